"""Accounts, transfers, holds, refusals, statements."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy import Row

from kernel.clock import LOCAL_ZONE
from services.credits.domain.campaigns import Actor, Campaign
from services.credits.domain.holds import HoldState, find_lacking_account
from services.credits.domain.ledger import AccountKind, Transfer, TransferKind, account_name
from services.credits.domain.refusals import RefusalSubject
from services.credits.domain.statements import AsOf, Basis, Period, Scope, Statement
from services.credits.schemas.fields import Body, LastDay, Minutes, ReasonBody


class AccountOut(BaseModel):
    id: UUID
    account: str = Field(description="e.g. credit/{campaign}/{association}")
    kind: AccountKind
    holder_id: UUID | None = Field(description="Association or contributor; null for the campaign's own.")
    holder_name: str | None
    lot_id: UUID | None = Field(description="Credit and held minutes belong to one lot each: one account for every lot.")
    balance_minutes: int
    version: int = Field(description="Number of entries; as of an instant, those that counted by then.")

    @classmethod
    def of(cls, row: Row[Any]) -> "AccountOut":
        return cls(
            id=row.id,
            account=account_name(row.kind, campaign_id=row.campaign_id, holder_id=row.holder_id),
            kind=row.kind,
            holder_id=None if row.holder_id == row.campaign_id else row.holder_id,
            holder_name=row.holder_name,
            lot_id=row.lot_id,
            balance_minutes=row.balance_minutes,
            version=row.version,
        )

    def as_of(self, version: int, balance_minutes: int) -> "AccountOut":
        """The account as it was with so many entries."""
        return self.model_copy(update={"version": version, "balance_minutes": balance_minutes})


class BooksOut(BaseModel):
    sum_minutes: int = Field(description="Of all balances: zero, always.")
    accounts: int
    transfers: int
    entries: int
    by_kind: dict[AccountKind, int]
    entries_sum_minutes: int = Field(description="The same, added up from the entries.")
    accounts_out_of_step: int = Field(description="Accounts whose balance is not the sum of their entries: zero, always.")


class TransferOut(BaseModel):
    id: UUID
    campaign_id: UUID
    kind: TransferKind
    from_account: str
    to_account: str
    minutes: int
    who: str = Field(description="Opaque id of the person, organisation or client.")
    why: str
    effective_at: datetime
    recorded_at: datetime
    idempotency_key: str
    mission_id: UUID | None
    grant_id: UUID | None
    pledge_id: UUID | None
    from_lot_id: UUID | None
    to_lot_id: UUID | None
    reverses: UUID | None
    reversed_by: UUID | None = Field(description="The last reversal, if there are several.")
    reversed_minutes: int = Field(description="How much of it was undone so far.")

    @classmethod
    def of(cls, transfer: Transfer) -> "TransferOut":
        return cls(
            id=transfer.id,
            campaign_id=transfer.campaign_id,
            kind=transfer.kind,
            from_account=str(transfer.source),
            to_account=str(transfer.target),
            minutes=transfer.minutes,
            who=transfer.who,
            why=transfer.why,
            effective_at=transfer.effective_at,
            recorded_at=transfer.recorded_at,
            idempotency_key=transfer.idempotency_key,
            mission_id=transfer.mission_id,
            grant_id=transfer.grant_id,
            pledge_id=transfer.pledge_id,
            from_lot_id=transfer.source.lot_id,
            to_lot_id=transfer.target.lot_id,
            reverses=transfer.reverses,
            reversed_by=transfer.reversed_by,
            reversed_minutes=transfer.reversed_minutes,
        )


class ReversalBody(ReasonBody):
    minutes: Minutes | None = Field(None, description="How much of it to undo; all that is left of it when absent.")


class LotOut(BaseModel):
    id: UUID
    campaign_id: UUID
    association_id: UUID
    grant_id: UUID | None = Field(description="The signed grant; null when the minutes were carried over.")
    carried_from: UUID | None = Field(description="The earlier campaign, when they were.")
    minutes: int
    credit_minutes: int = Field(description="Left to spend.")
    held_minutes: int = Field(description="Set aside for missions.")
    expires_at: datetime = Field(description="From this instant on they cannot be spent.")

    @classmethod
    def of(cls, row: Row[Any]) -> "LotOut":
        return cls.model_validate(row._mapping)


class CarryInBody(Body):
    from_campaign_id: UUID = Field(description="The earlier campaign, whose rule carries unspent credit over.")
    expires_on: LastDay = None


class CarriedIn(BaseModel):
    minutes: int


class CarriedOverCredit(BaseModel):
    association_id: UUID
    association_name: str | None
    minutes: int


class CarriedOver(BaseModel):
    minutes: int = Field(description="Of all associations together.")
    items: list[CarriedOverCredit]

    @classmethod
    def of(cls, left: Mapping[UUID, int], actors: Mapping[UUID, Actor]) -> "CarriedOver":
        names = {id: actor.name for id, actor in actors.items()}
        items = [
            CarriedOverCredit(association_id=id, association_name=names.get(id), minutes=minutes)
            for id, minutes in sorted(left.items(), key=lambda one: (names.get(one[0], ""), one[0]))
        ]
        return cls(minutes=sum(left.values()), items=items)


class HoldOut(BaseModel):
    mission_id: UUID
    mission_title: str | None
    campaign_id: UUID
    association_id: UUID
    association_name: str | None
    contributor_id: UUID | None
    minutes: int
    served_minutes: int
    ends_on: date | None
    state: HoldState
    changed_at: datetime

    @classmethod
    def of(cls, row: Row[Any]) -> "HoldOut":
        return cls.model_validate({**row._mapping, "mission_title": row.title})


class RefusalOut(BaseModel):
    id: UUID
    campaign_id: UUID
    subject: RefusalSubject = Field(description="What was asked for.")
    mission_id: UUID | None
    mission_title: str | None
    association_id: UUID | None
    association_name: str | None
    contributor_id: UUID | None
    code: str
    reason: str = Field(description="For people, in French. Refusals of versions before this one may be in English.")
    asked_minutes: int = Field(description="What it would have moved, or what a pledge was to be worth.")
    missing_minutes: int = Field(description="By how much a bound or a limit was missed; 0 when that was not the reason.")
    account: str | None = Field(description="Where minutes were missing, if that was the reason: `credit/{campaign}/{holder}`.")
    asked_by: str
    recorded_at: datetime

    @classmethod
    def of(cls, row: Row[Any]) -> "RefusalOut":
        account = row.account
        if account is None and row.mission_id is not None:
            whose = {"association_id": row.association_id, "contributor_id": row.contributor_id}
            account = find_lacking_account(row.code, campaign_id=row.campaign_id, **whose)
        return cls.model_validate({**row._mapping, "mission_title": row.title, "account": account})


@dataclass(frozen=True)
class Asked:
    """Which statement was asked for, and of whom."""

    campaign: Campaign
    scope: Scope
    holder_name: str | None
    since: date | None
    until: date | None
    as_of: AsOf | None

    @property
    def period(self) -> Period:
        """The local days asked for, as instants."""
        since = midnight(self.since) if self.since else None
        until = midnight(self.until + timedelta(days=1)) if self.until else None
        return Period(since=since, until=until).up_to(self.as_of)

    @property
    def basis(self) -> Basis:
        return self.period.basis


def midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, LOCAL_ZONE)


class StatementLineOut(BaseModel):
    transfer_id: UUID
    kind: TransferKind
    minutes: int
    from_account: str
    to_account: str
    mission_id: UUID | None
    mission_title: str | None
    volunteer_id: UUID | None = Field(description="Who serves the mission (opaque id).")
    who: str = Field(description="Who brought it about (opaque id).")
    why: str
    effective_at: datetime
    recorded_at: datetime
    reverses: UUID | None
    reversed_by: UUID | None = Field(description="The last reversal so far, if there are several.")
    reversed_minutes: int = Field(description="How much of it was undone so far.")
    balances_minutes: dict[AccountKind, int] = Field(description="After this line.")


class StatementOut(BaseModel):
    campaign_id: UUID
    campaign_title: str
    holder_id: UUID | None = Field(description="Association or contributor; null for the whole campaign.")
    holder_name: str | None
    since: date | None
    until: date | None
    basis: Basis = Field(description="The time that opening, lines, order and closing go by.")
    as_of: datetime | None = Field(description="The instant up to which they count; null for the present.")
    opening_minutes: dict[AccountKind, int] = Field(description="Of the whole period, on every page.")
    lines: list[StatementLineOut]
    closing_minutes: dict[AccountKind, int] = Field(description="Of the whole period, on every page.")
    next: datetime | None = Field(description="`cursor` of the page that follows; null on the last.")

    @classmethod
    def of(cls, statement: Statement, asked: "Asked") -> "StatementOut":
        lines = [
            StatementLineOut(
                transfer_id=line.transfer.id,
                mission_title=line.mission_title,
                volunteer_id=line.volunteer_id,
                balances_minutes=dict(after),
                **TransferOut.of(line.transfer).model_dump(
                    include={
                        "kind", "minutes", "from_account", "to_account", "mission_id", "who", "why", "effective_at",
                        "recorded_at", "reverses", "reversed_by", "reversed_minutes",
                    }
                ),
            )
            for line, after in zip(statement.lines, statement.after, strict=True)
        ]  # fmt: skip
        return cls(
            campaign_id=asked.campaign.id,
            campaign_title=asked.campaign.facts.title,
            holder_id=asked.scope.holder_id,
            holder_name=asked.holder_name,
            since=asked.since,
            until=asked.until,
            basis=asked.basis,
            as_of=asked.as_of.instant if asked.as_of else None,
            opening_minutes=dict(statement.opening),
            lines=lines,
            closing_minutes=dict(statement.closing),
            next=statement.next,
        )

"""The ledger: posting through PostgreSQL's own functions, locking, and reading accounts and transfers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from sqlalchemy import Row, Select, func, select

from kernel.errors import MetisError
from kernel.ids import new_id
from kernel.work import Work
from services.credits.domain.errors import AlreadyReversed, NotEnoughCredit, NotFound, TransferKeyReused, UnknownFlow
from services.credits.domain.ledger import AccountKey, AccountKind, Leg, Transfer, TransferKind
from services.credits.tables import account, actor, entry, hold, transfer


@dataclass(frozen=True)
class Posted:
    transfer_id: UUID
    is_new: bool  # False: its key had written it before


async def post(work: Work, legs: Sequence[Leg]) -> list[Posted]:
    """Post legs in order, all or none, in one call.

    Raises NotEnoughCredit when a bound is in the way, TransferKeyReused when a key wrote something else before.
    """
    if not legs:
        return []
    message = work.message
    who = (message.actorid if message else None) or work.caller.identity
    effective_at = message.time if message else work.now
    bodies = [_leg_body(leg, who=who, effective_at=effective_at) for leg in legs]
    with _named_errors():
        rows = await work.driver.fetch(
            "SELECT * FROM post_transfers($1::text::jsonb)", orjson.dumps(bodies, default=str).decode()
        )
    return [Posted(row["transfer_id"], row["posted"]) for row in rows]


def _leg_body(leg: Leg, *, who: str, effective_at: datetime) -> dict[str, Any]:
    return {
        "id": new_id(),
        "campaign_id": leg.source.campaign_id,
        "kind": leg.kind,
        "source": {"kind": leg.source.kind, "holder_id": leg.source.holder_id},
        "target": {"kind": leg.target.kind, "holder_id": leg.target.holder_id},
        "minutes": leg.minutes,
        "who": who,
        "why": leg.why,
        "effective_at": effective_at,
        "idempotency_key": leg.key,
        "mission_id": leg.mission_id,
        "grant_id": leg.grant_id,
        "pledge_id": leg.pledge_id,
        "reverses": leg.reverses,
    }


async def lock_balances(work: Work, keys: Iterable[AccountKey]) -> Mapping[AccountKey, int]:
    """The balances of these accounts, locked until the transaction ends; an account not opened yet counts 0."""
    wanted = list(keys)
    bodies = [{"campaign_id": key.campaign_id, "kind": key.kind, "holder_id": key.holder_id} for key in wanted]
    with _named_errors():
        rows = await work.driver.fetch("SELECT * FROM lock_accounts($1::text::jsonb)", orjson.dumps(bodies, default=str).decode())
    found = {AccountKey(row["campaign_id"], AccountKind(row["kind"]), row["holder_id"]): row["balance_minutes"] for row in rows}
    return {key: found.get(key, 0) for key in wanted}


@contextmanager
def _named_errors() -> Iterator[None]:
    """PostgreSQL's refusals by the names that callers know."""
    try:
        yield
    except asyncpg.PostgresError as error:
        if named := _named(error):
            raise named from error
        raise


def _named(error: asyncpg.PostgresError) -> MetisError | None:
    message = str(error.args[0]) if error.args else ""
    if error.sqlstate == "MT001":
        facts = orjson.loads(error.detail or "{}")
        return NotEnoughCredit.on(
            kind=facts["kind"],
            campaign_id=facts["campaign_id"],
            holder_id=facts["holder_id"],
            missing_minutes=facts["missing_minutes"],
        )
    if error.sqlstate == "MT002":
        return TransferKeyReused(f"{message}; take a new key for a new transfer.")
    if error.sqlstate == "MT004":
        return UnknownFlow(message)
    if isinstance(error, asyncpg.UniqueViolationError) and error.constraint_name == "uq_transfer_reverses":
        return AlreadyReversed("A transfer is reversed once; read its `reversed_by`.")
    return None


# ---- Accounts ------------------------------------------------------------------------------------------------------


def select_accounts(campaign_id: UUID) -> Select[Any]:
    return (
        select(account, actor.c.name.label("holder_name"))
        .select_from(account)
        .outerjoin(actor, actor.c.id == account.c.holder_id)
        .where(account.c.campaign_id == campaign_id)
    )


async def list_keys(work: Work, campaign_id: UUID, kind: AccountKind) -> list[AccountKey]:
    query = select(account.c.holder_id).where(account.c.campaign_id == campaign_id, account.c.kind == kind)
    return [AccountKey(campaign_id, kind, holder) for holder in (await work.connection.execute(query)).scalars()]


async def list_balances(work: Work, campaign_id: UUID, kind: AccountKind) -> dict[UUID, int]:
    """Balance by holder, not locked."""
    query = select(account.c.holder_id, account.c.balance_minutes).where(
        account.c.campaign_id == campaign_id, account.c.kind == kind
    )
    rows = await work.connection.execute(query.order_by(account.c.holder_id))
    return {row.holder_id: row.balance_minutes for row in rows}


async def sum_by_kind(work: Work, campaign_id: UUID | None = None) -> dict[str, int]:
    """Total of each kind of account, of one campaign or of the territory."""
    query = select(account.c.kind, func.sum(account.c.balance_minutes).label("minutes")).group_by(account.c.kind)
    if campaign_id is not None:
        query = query.where(account.c.campaign_id == campaign_id)
    totals = {row.kind: int(row.minutes) for row in await work.connection.execute(query)}
    return {kind: totals.get(kind, 0) for kind in AccountKind}


@dataclass(frozen=True)
class Books:
    """The campaign's books, added up from the entries as well as from the accounts' balances."""

    by_kind: dict[str, int]
    accounts: int
    transfers: int
    entries: int
    entries_sum_minutes: int
    accounts_out_of_step: int

    @property
    def sum_minutes(self) -> int:
        return sum(self.by_kind.values())


async def get_books(work: Work, campaign_id: UUID) -> Books:
    """One statement, hence one moment."""
    per_account = (
        select(
            account.c.id,
            account.c.kind,
            account.c.balance_minutes,
            func.coalesce(func.sum(entry.c.minutes), 0).label("entered_minutes"),
            func.count(entry.c.transfer_id).label("entries"),
        )
        .select_from(account)
        .outerjoin(entry, entry.c.account_id == account.c.id)
        .where(account.c.campaign_id == campaign_id)
        .group_by(account.c.id, account.c.kind, account.c.balance_minutes)
        .subquery()
    )
    transfers = select(func.count()).select_from(transfer).where(transfer.c.campaign_id == campaign_id).scalar_subquery()
    query = select(
        per_account.c.kind,
        func.count().label("accounts"),
        func.sum(per_account.c.balance_minutes).label("minutes"),
        func.sum(per_account.c.entered_minutes).label("entered_minutes"),
        func.sum(per_account.c.entries).label("entries"),
        func.count().filter(per_account.c.balance_minutes != per_account.c.entered_minutes).label("out_of_step"),
        transfers.label("transfers"),
    ).group_by(per_account.c.kind)
    rows = (await work.connection.execute(query)).all()
    totals = {row.kind: int(row.minutes) for row in rows}
    return Books(
        by_kind={kind: totals.get(kind, 0) for kind in AccountKind},
        accounts=sum(row.accounts for row in rows),
        transfers=rows[0].transfers if rows else 0,
        entries=sum(int(row.entries) for row in rows),
        entries_sum_minutes=sum(int(row.entered_minutes) for row in rows),
        accounts_out_of_step=sum(row.out_of_step for row in rows),
    )


# ---- Transfers -----------------------------------------------------------------------------------------------------

source = account.alias("source")
target = account.alias("target")
reversal = transfer.alias("reversal")


def select_transfers() -> Select[Any]:
    """Transfers with both accounts and, where there is one, the reversal."""
    return (
        select(
            transfer,
            source.c.kind.label("source_kind"),
            source.c.holder_id.label("source_holder_id"),
            target.c.kind.label("target_kind"),
            target.c.holder_id.label("target_holder_id"),
            reversal.c.id.label("reversed_by"),
        )
        .select_from(transfer)
        .join(source, source.c.id == transfer.c.from_account_id)
        .join(target, target.c.id == transfer.c.to_account_id)
        .outerjoin(reversal, reversal.c.reverses == transfer.c.id)
    )


def transfer_of(row: Row[Any]) -> Transfer:
    return Transfer(
        id=row.id,
        campaign_id=row.campaign_id,
        kind=TransferKind(row.kind),
        source=AccountKey(row.campaign_id, AccountKind(row.source_kind), row.source_holder_id),
        target=AccountKey(row.campaign_id, AccountKind(row.target_kind), row.target_holder_id),
        minutes=row.minutes,
        who=row.who,
        why=row.why,
        effective_at=row.effective_at,
        recorded_at=row.recorded_at,
        idempotency_key=row.idempotency_key,
        mission_id=row.mission_id,
        grant_id=row.grant_id,
        pledge_id=row.pledge_id,
        reverses=row.reverses,
        reversed_by=row.reversed_by,
    )


async def get_transfer(work: Work, transfer_id: UUID) -> Transfer:
    row = (await work.connection.execute(select_transfers().where(transfer.c.id == transfer_id))).first()
    if row is None:
        raise NotFound(f"There is no transfer {transfer_id}; GET /campaigns/{{id}}/transfers lists them.")
    return transfer_of(row)


async def list_settlement(work: Work, mission_id: UUID) -> list[Transfer]:
    """What was posted when the mission was settled: served and delivered."""
    query = select_transfers().where(transfer.c.mission_id == mission_id, transfer.c.kind.in_(["settle", "deliver"]))
    return [transfer_of(row) for row in await work.connection.execute(query.order_by(transfer.c.id))]


async def sum_committed_minutes(work: Work, campaign_id: UUID, contributor_id: UUID) -> int:
    """What is set aside for missions that this contributor will serve. Exact under the lock of its promised account."""
    query = select(func.coalesce(func.sum(hold.c.minutes), 0)).where(
        hold.c.campaign_id == campaign_id, hold.c.contributor_id == contributor_id, hold.c.state == "held"
    )
    return int((await work.connection.execute(query)).scalar_one())

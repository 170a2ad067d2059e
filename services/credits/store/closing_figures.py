"""What the close of a campaign reads from the ledger, and from the news that wait before it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Row, case, func, select

from kernel.events.envelope import Envelope, MalformedEvent
from kernel.work import Work
from services.credits.domain.approvals import ApprovalState
from services.credits.domain.campaigns import Campaign
from services.credits.domain.closing_figures import Flow
from services.credits.domain.closing_plan import Position
from services.credits.domain.closing_report import Anchor
from services.credits.domain.holds import Hold, HoldPart
from services.credits.domain.ledger import Account, AccountKey, AccountKind, Transfer, TransferKind
from services.credits.store.approvals import select_requests
from services.credits.store.ledger import select_transfers, transfer_of
from services.credits.store.lots import list_lots
from services.credits.store.missions import hold_of
from services.credits.store.seals import find_head
from services.credits.tables import (
    account,
    actor,
    campaign,
    entry,
    grant_proposal,
    hold,
    hold_part,
    metadata,
    mission,
    refusal,
    signed_grant,
    transfer,
    valuation,
)

_original = transfer.alias("original")
# News of missions, as matching tells them; kernel/events/matching.py.
_MISSION_NEWS = ("matching.mission_agreed.", "matching.mission_cancelled.", "matching.mission_validated.")


async def get_position(work: Work, found: Campaign) -> Position:
    """Every account of the campaign, its lots, and the missions that hold credit."""
    rows = await _list_accounts(work, found.id)
    accounts = {_key_of(row): Account(row.id, row.balance_minutes, row.version) for row in rows}
    lots = {lot.id: lot for lot in await list_lots(work, found.id)}
    return Position(found, accounts, lots, tuple(await list_held(work, found.id)))


async def _list_accounts(work: Work, campaign_id: UUID) -> Sequence[Row[Any]]:
    query = select(account).where(account.c.campaign_id == campaign_id).order_by(account.c.id)
    rows: Sequence[Row[Any]] = (await work.connection.execute(query)).all()
    return rows


def _key_of(row: Row[Any]) -> AccountKey:
    return AccountKey(row.campaign_id, AccountKind(row.kind), row.holder_id, row.lot_id)


async def list_anchors(work: Work, campaign_id: UUID) -> list[Anchor]:
    return [
        Anchor(row.id, row.kind, row.holder_id, row.lot_id, row.version, row.balance_minutes)
        for row in await _list_accounts(work, campaign_id)
    ]


async def list_held(work: Work, campaign_id: UUID) -> list[Hold]:
    """The missions that hold credit, each with what it draws from which lot."""
    parts: dict[UUID, list[HoldPart]] = {}
    held = select(hold).where(hold.c.campaign_id == campaign_id, hold.c.state == "held").order_by(hold.c.mission_id)
    rows = (await work.connection.execute(held)).all()
    drawn = select(hold_part).join(hold, hold.c.mission_id == hold_part.c.mission_id)
    drawn = drawn.where(hold.c.campaign_id == campaign_id, hold.c.state == "held")
    for row in await work.connection.execute(drawn.order_by(hold_part.c.mission_id, hold_part.c.number)):
        part = HoldPart(row.number, row.lot_id, row.minutes, row.served_minutes, row.released_minutes)
        parts.setdefault(row.mission_id, []).append(part)
    return [hold_of(row._mapping, parts.get(row.mission_id, ())) for row in rows]


async def list_flows(work: Work, campaign_id: UUID) -> list[Flow]:
    """What each kind of transfer moved on each holder's accounts; a reversal counts with what it undoes."""
    kind = func.coalesce(_original.c.kind, transfer.c.kind)
    query = (
        select(
            account.c.kind.label("account"),
            account.c.holder_id,
            kind.label("flow"),
            func.sum(case((entry.c.minutes > 0, entry.c.minutes), else_=0)).label("came"),
            func.sum(case((entry.c.minutes < 0, entry.c.minutes), else_=0)).label("went"),
        )
        .select_from(entry)
        .join(transfer, transfer.c.id == entry.c.transfer_id)
        .join(account, account.c.id == entry.c.account_id)
        .outerjoin(_original, _original.c.id == transfer.c.reverses)
        .where(account.c.campaign_id == campaign_id)
        .group_by(account.c.kind, account.c.holder_id, kind)
    )
    return [
        Flow(AccountKind(row.account), row.holder_id, TransferKind(row.flow), int(row.came), int(row.went))
        for row in await work.connection.execute(query)
    ]


async def list_reversals(work: Work, campaign_id: UUID) -> list[Transfer]:
    query = select_transfers().where(transfer.c.campaign_id == campaign_id, transfer.c.kind == TransferKind.REVERSE)
    return [transfer_of(row) for row in await work.connection.execute(query.order_by(transfer.c.id))]


async def list_moved_since(work: Work, campaign_id: UUID, versions: Mapping[UUID, int]) -> list[Transfer]:
    """The transfers that moved an account of the campaign past these versions; an account not named stood at 0."""
    moved = [
        anchor.account_id
        for anchor in await list_anchors(work, campaign_id)
        if anchor.version > versions.get(anchor.account_id, 0)
    ]
    query = select_transfers().where(
        transfer.c.campaign_id == campaign_id,
        transfer.c.from_account_id.in_(moved) | transfer.c.to_account_id.in_(moved),
    )
    return [
        transfer_of(row)
        for row in await work.connection.execute(query.order_by(transfer.c.recorded_at, transfer.c.id))
        if row.from_version > versions.get(row.from_account_id, 0) or row.to_version > versions.get(row.to_account_id, 0)
    ]


async def count_refusals(work: Work, campaign_id: UUID) -> dict[str, tuple[int, int]]:
    """By code, of missions alone: how many, and the minutes asked for."""
    query = select(refusal.c.code, func.count().label("many"), func.sum(refusal.c.asked_minutes).label("minutes"))
    rows = await work.connection.execute(
        query.where(refusal.c.campaign_id == campaign_id, refusal.c.mission_id.is_not(None)).group_by(refusal.c.code)
    )
    return {row.code: (row.many, int(row.minutes)) for row in rows}


async def find_unsigned_proposal(work: Work, campaign_id: UUID) -> tuple[UUID | None, int]:
    """The newest computation of grants, unless it is signed, and what it would grant."""
    query = (
        select(grant_proposal).where(grant_proposal.c.campaign_id == campaign_id).order_by(grant_proposal.c.id.desc()).limit(1)
    )
    row = (await work.connection.execute(query)).first()
    if row is None:
        return None, 0
    signed = select(signed_grant.c.id).where(signed_grant.c.proposal_id == row.id).limit(1)
    if (await work.connection.execute(signed)).first() is not None:
        return None, 0
    return row.id, row.computed_minutes


async def count_open_approvals(work: Work, campaign_id: UUID) -> int:
    requests = select_requests(now=work.now, campaign_id=campaign_id, state=ApprovalState.OPEN).subquery()
    return int((await work.connection.execute(select(func.count()).select_from(requests))).scalar_one())


async def count_unvalued(work: Work, campaign_id: UUID) -> tuple[int, int]:
    """Missions that companies served and nobody valued, and their minutes."""
    is_valued = select(valuation.c.mission_id).where(valuation.c.mission_id == hold.c.mission_id).exists()
    query = (
        select(func.count(), func.coalesce(func.sum(hold.c.served_minutes), 0))
        .select_from(hold)
        .join(actor, actor.c.id == hold.c.contributor_id)
        .where(hold.c.campaign_id == campaign_id, hold.c.served_minutes > 0, actor.c.kind == "company", ~is_valued)
    )
    missions, minutes = (await work.connection.execute(query)).one()
    return missions, int(minutes)


async def count_waiting_news(work: Work, campaign_id: UUID) -> tuple[int, int]:
    """News of the campaign's missions that wait for another try, and those that were parked for a person to decide."""
    retry, dead_letter = metadata.tables["retry"], metadata.tables["dead_letter"]
    waiting = (await work.connection.execute(select(retry.c.body))).scalars()
    parked = await work.connection.execute(select(dead_letter.c.body).where(dead_letter.c.territory == work.territory))
    return sum(_is_of(work, body, campaign_id) for body in waiting), sum(
        _is_of(work, body, campaign_id) for body in parked.scalars()
    )


def _is_of(work: Work, body: bytes, campaign_id: UUID) -> bool:
    try:
        told = Envelope.decode(bytes(body))
    except MalformedEvent:
        return False
    ours = told.territory == work.territory and told.type.startswith(_MISSION_NEWS)
    return ours and told.data.get("campaign_id") == str(campaign_id)


async def find_titles(work: Work, mission_ids: Collection[UUID]) -> dict[UUID, str]:
    query = select(mission.c.id, mission.c.title).where(mission.c.id.in_(mission_ids))
    return {row.id: row.title for row in await work.connection.execute(query)}


async def get_moments(work: Work, campaign_id: UUID) -> Row[Any]:
    """When and by whom it was opened and closed."""
    query = select(campaign.c.opened_at, campaign.c.closed_at, campaign.c.closed_by).where(campaign.c.id == campaign_id)
    row: Any = (await work.connection.execute(query)).one()
    return cast("Row[Any]", row)


async def find_ledger_head(work: Work) -> Mapping[str, Any] | None:
    """The last sealed block of the ledger, to be named in the report; None while nothing is sealed."""
    head = await find_head(work)
    if head is None:
        return None
    return {"number": head.number, "last_sequence": head.last_sequence, "hash": head.hash.hex(), "sealed_at": head.sealed_at}

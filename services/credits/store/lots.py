"""Lots: added once, found by campaign or by what is due; what is on them stands on their accounts."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, or_, select
from sqlalchemy.dialects.postgresql import insert

from kernel.work import Work
from services.credits.domain.ledger import AccountKind
from services.credits.domain.lots import Lot
from services.credits.store.missions import lot_of
from services.credits.tables import account, campaign, lot


async def add_lots(work: Work, lots: Sequence[Lot]) -> None:
    rows = [
        {
            "territory": work.territory,
            "id": one.id,
            "campaign_id": one.campaign_id,
            "association_id": one.association_id,
            "grant_id": one.grant_id,
            "carried_from": one.carried_from,
            "minutes": one.minutes,
            "expires_at": one.expires_at,
            "recorded_at": work.now,
        }
        for one in lots
    ]
    if rows:
        await work.connection.execute(insert(lot), rows)


def select_lots(campaign_id: UUID) -> Select[Any]:
    """Lots with what is left to spend on them and what is held of them."""
    minutes = {
        kind: select(func.coalesce(func.sum(account.c.balance_minutes), 0))
        .where(
            account.c.campaign_id == lot.c.campaign_id,
            account.c.holder_id == lot.c.association_id,
            account.c.kind == kind,
            account.c.lot_id == lot.c.id,
        )
        .scalar_subquery()
        for kind in (AccountKind.CREDIT, AccountKind.HELD)
    }
    return select(
        lot, minutes[AccountKind.CREDIT].label("credit_minutes"), minutes[AccountKind.HELD].label("held_minutes")
    ).where(lot.c.campaign_id == campaign_id)


async def list_lots(work: Work, campaign_id: UUID) -> list[Lot]:
    rows = await work.connection.execute(select(lot).where(lot.c.campaign_id == campaign_id).order_by(lot.c.id))
    return [lot_of(row._mapping) for row in rows]


def _with_credit() -> Select[Any]:
    """Lots on which there is something left to spend, and how much."""
    return (
        select(lot, account.c.balance_minutes)
        .join(account, (account.c.lot_id == lot.c.id) & (account.c.campaign_id == lot.c.campaign_id))
        .where(account.c.holder_id == lot.c.association_id, account.c.kind == AccountKind.CREDIT, account.c.balance_minutes > 0)
    )


async def list_due_lots(work: Work, *, now: datetime) -> list[Lot]:
    """Lots with credit that nobody may spend any more: expired, or of a closed campaign."""
    query = _with_credit().join(campaign, campaign.c.id == lot.c.campaign_id)
    query = query.where(or_(lot.c.expires_at <= now, campaign.c.state == "closed"))
    return [lot_of(row._mapping) for row in await work.connection.execute(query.order_by(lot.c.id))]


async def list_lots_expiring_by(work: Work, *, last: datetime, now: datetime) -> list[tuple[Lot, int]]:
    """Lots with credit, of open campaigns, that expire after `now` and by `last`, with that credit."""
    query = _with_credit().join(campaign, campaign.c.id == lot.c.campaign_id)
    query = query.where(campaign.c.state == "open", lot.c.expires_at > now, lot.c.expires_at <= last)
    rows = await work.connection.execute(query.order_by(lot.c.campaign_id, lot.c.association_id, lot.c.id))
    return [(lot_of(row._mapping), row.balance_minutes) for row in rows]


async def sum_brought(work: Work, *, from_campaign: UUID) -> dict[UUID, int]:
    """By association: what was carried over from a campaign into a later one already."""
    query = select(lot.c.association_id, func.sum(lot.c.minutes).label("minutes")).where(lot.c.carried_from == from_campaign)
    rows = await work.connection.execute(query.group_by(lot.c.association_id))
    return {row.association_id: int(row.minutes) for row in rows}

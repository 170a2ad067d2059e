"""The hours of one volunteer: what the ledger moved for the missions that they serve, whoever promised the minutes.

A person serves some dozens of missions in a campaign: all their lines are read, and a page is cut out of them.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import or_, select

from kernel.work import Work
from services.credits.domain.errors import NotFound
from services.credits.domain.statements import (
    VOLUNTEER_ACCOUNTS,
    Basis,
    Period,
    Scope,
    Statement,
    StatementLine,
    page_statement,
)
from services.credits.store.ledger import source, target
from services.credits.store.statement_lines import is_any, read_lines
from services.credits.tables import hold, mission, transfer


async def get_volunteer_statement(
    work: Work, campaign_id: UUID, volunteer_id: UUID, period: Period, *, after: datetime | None = None, limit: int = 1000
) -> Statement:
    """One page, as `get_statement` gives it. Raises NotFound for somebody whom no mission of this campaign names."""
    mission_ids = await _list_missions(work, campaign_id, volunteer_id)
    if not mission_ids:
        raise NotFound(f"{volunteer_id} serves no mission of this campaign for which minutes were asked so far.")
    lines = await _list_lines(work, campaign_id, mission_ids, basis=period.basis)
    return page_statement(lines, period, kinds=VOLUNTEER_ACCOUNTS, after=after, limit=limit)


async def _list_missions(work: Work, campaign_id: UUID, volunteer_id: UUID) -> Sequence[UUID]:
    query = (
        select(mission.c.id)
        .join(hold, hold.c.mission_id == mission.c.id)
        .where(mission.c.volunteer_id == volunteer_id, hold.c.campaign_id == campaign_id)
    )
    return (await work.connection.execute(query)).scalars().all()


async def _list_lines(work: Work, campaign_id: UUID, mission_ids: Sequence[UUID], *, basis: Basis) -> list[StatementLine]:
    return await read_lines(
        work,
        Scope(campaign_id, None, VOLUNTEER_ACCOUNTS),
        basis,
        is_any(transfer.c.mission_id, mission_ids),
        transfer.c.campaign_id == campaign_id,
        or_(source.c.kind.in_(VOLUNTEER_ACCOUNTS), target.c.kind.in_(VOLUNTEER_ACCOUNTS)),
    )

"""What has been between people before: who worked together, what was turned down, what still waits."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import and_, exists, func, select

from kernel.work import Work
from services.matching.domain.needs import Unmet
from services.matching.domain.states import NEVER_SERVED, Deed, MissionState, NeedState
from services.matching.store.facts import is_any
from services.matching.tables import mission, mission_event, need

_WANTED = (NeedState.OPEN, NeedState.COVERED, NeedState.FULFILLED)
_DISPUTES = (Deed.DISPUTE, Deed.REFUSE_SETTLEMENT)


async def list_turned_down(
    work: Work, *, need_ids: Collection[UUID] | None = None, offer_id: UUID | None = None
) -> frozenset[tuple[UUID, UUID]]:
    """Pairs (need, offer) whose mission was declined or cancelled, of these needs or of this offer."""
    states = (MissionState.DECLINED, MissionState.CANCELLED)
    query = select(mission.c.need_id, mission.c.offer_id).where(mission.c.state.in_(states))
    query = (
        query.where(is_any(mission.c.need_id, need_ids)) if need_ids is not None else query.where(mission.c.offer_id == offer_id)
    )
    return frozenset((row.need_id, row.offer_id) for row in await work.connection.execute(query))


async def count_worked_together(
    work: Work, *, association_ids: Collection[UUID] | None = None, volunteer_id: UUID | None = None
) -> dict[tuple[UUID, UUID], int]:
    """Closed missions that were never disputed, by (volunteer, association), of these associations or of this volunteer."""
    of_mission = and_(mission_event.c.territory == mission.c.territory, mission_event.c.subject_id == mission.c.id)
    disputed = exists().where(of_mission, mission_event.c.deed.in_(_DISPUTES))
    pair = (mission.c.volunteer_id, mission.c.association_id)
    query = select(*pair, func.count().label("missions")).where(mission.c.state == MissionState.CLOSED, ~disputed)
    if association_ids is not None:
        query = query.where(mission.c.association_id.in_(association_ids))
    else:
        query = query.where(mission.c.volunteer_id == volunteer_id)
    rows = await work.connection.execute(query.group_by(*pair))
    return {(row.volunteer_id, row.association_id): row.missions for row in rows}


async def measure_unmet(work: Work, *, campaign_ids: Collection[UUID]) -> dict[tuple[UUID, UUID], Unmet]:
    """What each association asks for in these campaigns, and what of it no mission serves; by (campaign, association)."""
    same_need = and_(mission.c.territory == need.c.territory, mission.c.need_id == need.c.id)
    served = exists().where(same_need, mission.c.state.not_in(NEVER_SERVED))
    unmet = func.coalesce(func.sum(need.c.minutes).filter(~served), 0)
    query = (
        select(need.c.campaign_id, need.c.association_id, unmet.label("unmet"), func.sum(need.c.minutes).label("needed"))
        .where(need.c.campaign_id.in_(campaign_ids), need.c.state.in_(_WANTED))
        .group_by(need.c.campaign_id, need.c.association_id)
    )
    rows = await work.connection.execute(query)
    return {(row.campaign_id, row.association_id): Unmet(row.unmet, row.needed) for row in rows}

"""Reading holds of missions."""

from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select

from kernel.work import Work
from services.credits.domain.holds import Hold
from services.credits.store.missions import hold_of
from services.credits.tables import actor, hold, mission


async def find_hold(work: Work, mission_id: UUID) -> Hold | None:
    """As it is, without its parts and not locked."""
    row = (await work.connection.execute(select(hold).where(hold.c.mission_id == mission_id))).first()
    return hold_of(row._mapping) if row else None


async def list_overdue_holds(work: Work, *, ended_before: date) -> list[Hold]:
    """Holds of missions that were over before that day, whether or not their campaign is."""
    query = select(hold).where(hold.c.state == "held", hold.c.ends_on < ended_before).order_by(hold.c.mission_id)
    return [hold_of(row._mapping) for row in await work.connection.execute(query)]


def select_holds(campaign_id: UUID) -> Select[Any]:
    return (
        select(hold, mission.c.title, mission.c.volunteer_id, actor.c.name.label("association_name"))
        .select_from(hold)
        .outerjoin(mission, mission.c.id == hold.c.mission_id)
        .outerjoin(actor, actor.c.id == hold.c.association_id)
        .where(hold.c.campaign_id == campaign_id)
    )

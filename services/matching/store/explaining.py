"""What explanations and reports ask of the tables. Of people only ids, and those only to tell sides apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, and_, exists, func, select

from kernel.work import Work
from services.matching.domain.missions import Mission
from services.matching.domain.states import NEVER_SERVED, Deed, MissionState
from services.matching.store.missions import mission_from
from services.matching.tables import actor, mission, mission_event, need, need_event, territory


async def find_territory_name(work: Work) -> str | None:
    """None where nobody has told of this territory."""
    name: str | None = (
        await work.connection.execute(select(territory.c.name).where(territory.c.code == work.territory))
    ).scalar()
    return name


async def read_proposed_at(work: Work, mission_id: UUID) -> datetime:
    at: datetime = (await work.connection.execute(select(mission.c.created_at).where(mission.c.id == mission_id))).scalar_one()
    return at


async def list_live_missions(work: Work, *, offer_id: UUID) -> list[Mission]:
    """Missions that count on the minutes of an offer, or have taken them; the oldest first."""
    query = select(mission).where(mission.c.offer_id == offer_id, mission.c.state.not_in(NEVER_SERVED)).order_by(mission.c.id)
    return [mission_from(row) for row in await work.connection.execute(query)]


async def find_live_mission(work: Work, *, need_id: UUID) -> Mission | None:
    query = select(mission).where(mission.c.need_id == need_id, mission.c.state.not_in(NEVER_SERVED))
    row = (await work.connection.execute(query)).first()
    return mission_from(row) if row else None


async def count_past_missions(work: Work, *, need_id: UUID) -> dict[str, int]:
    """Missions of a need that were never served, by state."""
    query = select(mission.c.state, func.count().label("missions")).where(
        mission.c.need_id == need_id, mission.c.state.in_(NEVER_SERVED)
    )
    return {row.state: row.missions for row in await work.connection.execute(query.group_by(mission.c.state))}


@dataclass(frozen=True)
class OpenedNeed:
    """A need that was opened in a period, and whether a mission was proposed, or agreed, for it since."""

    association_id: UUID
    minutes: int
    proposed: bool
    agreed: bool
    fields: tuple[str, ...]


async def list_opened_needs(work: Work, *, since: datetime, until: datetime) -> list[OpenedNeed]:
    """Needs opened for the first time from `since` on and before `until`."""
    opened = (
        select(need_event.c.subject_id, func.min(need_event.c.happened_at).label("at"))
        .where(need_event.c.deed == Deed.OPEN)
        .group_by(need_event.c.subject_id)
        .subquery()
    )
    of_need = and_(mission.c.territory == need.c.territory, mission.c.need_id == need.c.id)
    query = (
        select(
            need.c.association_id,
            need.c.minutes,
            exists().where(of_need).label("proposed"),
            exists().where(of_need, mission.c.agreed_at.is_not(None)).label("agreed"),
            func.coalesce(actor.c.fields_of_action, []).label("fields"),
        )
        .join(opened, opened.c.subject_id == need.c.id)
        .outerjoin(actor, and_(actor.c.territory == need.c.territory, actor.c.id == need.c.association_id))
        .where(opened.c.at >= since, opened.c.at < until)
        .order_by(need.c.id)
    )
    rows = await work.connection.execute(query)
    return [OpenedNeed(row.association_id, row.minutes, row.proposed, row.agreed, tuple(row.fields)) for row in rows]


async def count_answers(work: Work) -> Sequence[Row[Any]]:
    """Yes and no by weights version, side and criterion: rows (weights_version, deed, side, criterion, answers)."""
    of_mission = and_(mission_event.c.territory == mission.c.territory, mission_event.c.subject_id == mission.c.id)
    by = (mission.c.weights_version, mission_event.c.deed, mission_event.c.side, mission_event.c.criterion)
    query = (
        select(*by, func.count().label("answers"))
        .join(mission, of_mission)
        .where(mission_event.c.deed.in_((Deed.ACCEPT, Deed.DECLINE)))
        .group_by(*by)
    )
    return (await work.connection.execute(query)).all()


async def count_proposals(work: Work) -> dict[int | None, tuple[int, int, int]]:
    """By weights version: missions proposed, agreed by all sides at some time, declined."""
    query = select(
        mission.c.weights_version,
        func.count().label("proposed"),
        func.count(mission.c.agreed_at).label("agreed"),
        func.count().filter(mission.c.state == MissionState.DECLINED).label("declined"),
    ).group_by(mission.c.weights_version)
    rows = await work.connection.execute(query)
    return {row.weights_version: (row.proposed, row.agreed, row.declined) for row in rows}

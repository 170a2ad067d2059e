"""What matching knows of its neighbours because it listened; and the locks that are no rows."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Text, and_, bindparam, func, or_, select, true
from sqlalchemy.dialects.postgresql import insert

from kernel.statements import Prepared, write_row
from kernel.work import Work
from services.matching.domain.shared import Actor, Campaign, Commune
from services.matching.tables import actor, campaign, commune, convention, member, mission, panel, territory

_LOCK_NAME = Prepared(select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("name", type_=Text), 0))))


async def lock_name(work: Work, name: str) -> None:
    """Hold a name of this territory until the commit: a ref that may not exist yet, or the right to propose."""
    await work.run(_LOCK_NAME, name=f"{work.territory}:{name}")


async def save_territory(work: Work, *, code: str, name: str, told_at: datetime) -> None:
    statement = insert(territory).values(code=code, name=name, told_at=told_at)
    newer = {"name": name, "told_at": told_at}
    await work.connection.execute(
        statement.on_conflict_do_update(index_elements=["code"], set_=newer, where=territory.c.told_at <= told_at)
    )


async def list_territories(work: Work) -> list[str]:
    return list((await work.connection.execute(select(territory.c.code).order_by(territory.c.code))).scalars())


async def save_commune(work: Work, insee: str, saved: Commune, *, told_at: datetime) -> None:
    """Keep a commune's centre, unless something told later is kept already (the event bears no version)."""
    newer = {"name": saved.name, "latitude": saved.latitude, "longitude": saved.longitude, "told_at": told_at}
    statement = insert(commune).values(territory=work.territory, insee=insee, **newer)
    await work.connection.execute(
        statement.on_conflict_do_update(index_elements=["territory", "insee"], set_=newer, where=commune.c.told_at <= told_at)
    )


_FIND_COMMUNE = Prepared(select(commune).where(commune.c.insee == bindparam("insee")))


async def find_commune(work: Work, insee: str) -> Commune | None:
    row = (await work.run(_FIND_COMMUNE, insee=insee)).first()
    return Commune(row.name, row.latitude, row.longitude) if row else None


async def list_communes(work: Work) -> dict[str, Commune]:
    rows = await work.connection.execute(select(commune))
    return {row.insee: Commune(row.name, row.latitude, row.longitude) for row in rows}


# What the registry tells, unless a later version is known already.
_SAVE_ACTOR, _SAVE_MEMBER = write_row(actor, if_newer=True), write_row(member, if_newer=True)


async def save_actor(work: Work, id: UUID, saved: Actor) -> None:
    facts = vars(saved) | {"fields_of_action": list(saved.fields_of_action)}
    await work.run(_SAVE_ACTOR, territory=work.territory, id=id, **facts)


async def list_actors(work: Work, ids: Collection[UUID]) -> dict[UUID, Actor]:
    rows = await work.connection.execute(select(actor).where(actor.c.id.in_(ids)))
    return {row.id: Actor(row.version, row.kind, row.archived, row.name, tuple(row.fields_of_action)) for row in rows}


async def save_member(work: Work, id: UUID, *, version: int, actor_id: UUID | None, archived: bool) -> None:
    await work.run(_SAVE_MEMBER, territory=work.territory, id=id, version=version, actor_id=actor_id, archived=archived)


_ACTIVE_ACTOR = Prepared(select(actor.c.id).where(actor.c.id == bindparam("id"), ~actor.c.archived))
_ACTIVE_MEMBER = Prepared(select(member.c.id).where(member.c.id == bindparam("id"), ~member.c.archived))


async def is_active_actor(work: Work, id: UUID) -> bool:
    return (await work.run(_ACTIVE_ACTOR, id=id)).first() is not None


async def is_active_member(work: Work, id: UUID) -> bool:
    return (await work.run(_ACTIVE_MEMBER, id=id)).first() is not None


async def save_campaign_opened(work: Work, id: UUID, *, title: str, conventions_required: bool) -> None:
    told = {"title": title, "opened": True, "conventions_required": conventions_required}
    statement = insert(campaign).values(
        territory=work.territory, id=id, closed=False, panel_heard=True, minutes_replayed=False, **told
    )
    await work.connection.execute(statement.on_conflict_do_update(index_elements=["territory", "id"], set_=told))


async def save_campaign_closed(work: Work, id: UUID) -> None:
    """Closed for good: an opening that is told later (or again) does not open it any more."""
    unknown = {"title": "", "opened": False, "conventions_required": False}
    statement = insert(campaign).values(
        territory=work.territory, id=id, closed=True, panel_heard=True, minutes_replayed=False, **unknown
    )
    await work.connection.execute(statement.on_conflict_do_update(index_elements=["territory", "id"], set_={"closed": True}))


_SAVE_PANEL_PLACE = Prepared(insert(panel).on_conflict_do_nothing(), columns=panel.c.keys())


async def save_panel_place(work: Work, campaign_id: UUID, association_id: UUID) -> None:
    await work.run(_SAVE_PANEL_PLACE, territory=work.territory, campaign_id=campaign_id, association_id=association_id)


async def list_panels(work: Work, campaign_ids: Collection[UUID]) -> dict[UUID, frozenset[UUID]]:
    """The associations on each panel that is known: of campaigns whose admissions we heard from the first on."""
    is_of = and_(campaign.c.territory == panel.c.territory, campaign.c.id == panel.c.campaign_id)
    query = (
        select(panel.c.campaign_id, func.array_agg(panel.c.association_id).label("associations"))
        .outerjoin(campaign, is_of)
        .where(panel.c.campaign_id.in_(campaign_ids), func.coalesce(campaign.c.panel_heard, true()))
        .group_by(panel.c.campaign_id)
    )
    return {row.campaign_id: frozenset(row.associations) for row in await work.connection.execute(query)}


_TOLD = select(campaign).where(or_(campaign.c.opened, campaign.c.closed))
_OF_MISSION = select(mission.c.campaign_id).where(mission.c.id == bindparam("mission_id")).scalar_subquery()
_FIND_CAMPAIGN = Prepared(_TOLD.where(campaign.c.id == bindparam("id")))
_HOLD_CAMPAIGN = Prepared(_TOLD.where(campaign.c.id == bindparam("id")).with_for_update(read=True))
_HOLD_CAMPAIGN_OF_MISSION = Prepared(_TOLD.where(campaign.c.id == _OF_MISSION).with_for_update(read=True))


async def find_campaign(work: Work, id: UUID, *, hold: bool = False) -> Campaign | None:
    """The campaign, if it was told of; with `hold` it cannot be closed before this transaction ends."""
    return _campaign_from((await work.run(_HOLD_CAMPAIGN if hold else _FIND_CAMPAIGN, id=id)).first())


async def hold_campaign_of_mission(work: Work, mission_id: UUID) -> Campaign | None:
    """The mission's campaign, held; None as well when there is no such mission."""
    return _campaign_from((await work.run(_HOLD_CAMPAIGN_OF_MISSION, mission_id=mission_id)).first())


def _campaign_from(row: Row[Any] | None) -> Campaign | None:
    if row is None:
        return None
    return Campaign(row.id, row.title, row.opened and not row.closed, conventions_required=row.conventions_required)


async def save_conclusion(work: Work, mission_id: UUID, *, concluded_at: datetime) -> None:
    statement = insert(convention).values(territory=work.territory, mission_id=mission_id, concluded_at=concluded_at)
    await work.connection.execute(
        statement.on_conflict_do_update(
            index_elements=["territory", "mission_id"],
            set_={"concluded_at": concluded_at},
            where=convention.c.concluded_at > concluded_at,
        )
    )


_FIND_CONCLUSION = Prepared(select(convention.c.concluded_at).where(convention.c.mission_id == bindparam("mission_id")))


async def find_conclusion(work: Work, mission_id: UUID) -> datetime | None:
    """When the mission's first convention was concluded."""
    found: datetime | None = (await work.run(_FIND_CONCLUSION, mission_id=mission_id)).scalar()
    return found

"""Needs as rows."""

from collections.abc import Collection
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, and_, bindparam, exists, insert, or_, select, true, update

from kernel.auth import Caller, Role
from kernel.errors import NotFound
from kernel.statements import Prepared
from kernel.work import Work
from services.matching.domain.needs import Need, NeedFacts
from services.matching.domain.shared import Setting
from services.matching.domain.states import EDITABLE_NEEDS, NEVER_SERVED, NeedState, Step
from services.matching.domain.week import WeekPart
from services.matching.store.facts import facts_values, is_any, point_from, skills_from
from services.matching.store.history import Change
from services.matching.tables import campaign, mission, need, need_event


def need_from(row: Row[Any]) -> Need:
    facts = NeedFacts(
        title=row.title,
        description=row.description,
        skills=skills_from(row),
        minutes=row.minutes,
        starts_on=row.starts_on,
        ends_on=row.ends_on,
        commune=row.commune,
        remote=row.remote,
        languages=tuple(row.languages),
        week=tuple(WeekPart(part) for part in row.week),
        setting=Setting(row.setting) if row.setting else None,
        with_minors=row.with_minors,
        charter_required=row.charter_required,
        point=point_from(row),
    )
    return Need(
        row.id, row.ref, row.campaign_id, row.association_id, facts, NeedState(row.state), row.qualification_note, row.version
    )


def _values(saved: Need) -> dict[str, Any]:
    return {
        "ref": saved.ref,
        "campaign_id": saved.campaign_id,
        "association_id": saved.association_id,
        **facts_values(saved.facts),
        "state": saved.state,
        "qualification_note": saved.qualification_note,
        "version": saved.version,
    }


# The association and the campaign of a need may change while it is a draft; who wrote it, and when, never.
_CHANGING = [column.name for column in need.c if column.name not in {"territory", "id", "created_at"}]
_INSERT = Change(insert(need), need_event, columns=need.c.keys())
_SAVE = Change(update(need).where(need.c.id == bindparam("of")), need_event, columns=_CHANGING)


async def insert_need(work: Work, saved: Need, *steps: Step[NeedState]) -> None:
    values = {"territory": work.territory, "id": saved.id, **_values(saved), "created_at": work.now, "changed_at": work.now}
    await _INSERT.run(work, saved.id, values, *steps)


async def save_need(work: Work, saved: Need, *steps: Step[NeedState]) -> None:
    """Write a locked need back, with the steps of its state."""
    await _SAVE.run(work, saved.id, {"of": saved.id, **_values(saved), "changed_at": work.now}, *steps)


_LOCK = Prepared(select(need).where(need.c.id == bindparam("id")).with_for_update())
_LOCK_BY_REF = Prepared(select(need).where(need.c.ref == bindparam("ref")).with_for_update())
_OF_MISSION = select(mission.c.need_id).where(mission.c.id == bindparam("mission_id")).scalar_subquery()
_LOCK_OF_MISSION = Prepared(select(need).where(need.c.id == _OF_MISSION).with_for_update())


async def lock_need(work: Work, id: UUID) -> Need:
    row = (await work.run(_LOCK, id=id)).first()
    if row is None:
        raise NotFound(f"There is no need {id} here; GET /needs lists those you can see.")
    return need_from(row)


async def lock_need_by_ref(work: Work, ref: str) -> Need | None:
    row = (await work.run(_LOCK_BY_REF, ref=ref)).first()
    return need_from(row) if row else None


async def lock_need_of_mission(work: Work, mission_id: UUID) -> Need | None:
    """None when there is no such mission."""
    row = (await work.run(_LOCK_OF_MISSION, mission_id=mission_id)).first()
    return need_from(row) if row else None


async def get_need(work: Work, id: UUID) -> Need:
    """The need, if the caller may see it."""
    row = (await work.connection.execute(select_visible_needs(work.caller).where(need.c.id == id))).first()
    if row is None:
        raise NotFound(f"There is no need {id} that you can see; GET /needs lists those you can.")
    return need_from(row)


def select_visible_needs(caller: Caller) -> Select[Any]:
    return select(need).where(_is_visible(caller))


def _is_visible(caller: Caller) -> ColumnElement[bool]:
    """Everybody sees open needs; an association also its own, volunteer and company also those of their missions."""
    if caller.is_town or Role.AUDITOR in caller.roles:
        return true()
    conditions: list[ColumnElement[bool]] = [need.c.state == NeedState.OPEN]
    if Role.ASSOCIATION in caller.roles and caller.actor_id:
        conditions.append(need.c.association_id == caller.actor_id)
    if Role.VOLUNTEER in caller.roles and caller.member_id:
        conditions.append(_has_mission(mission.c.volunteer_id == caller.member_id))
    if Role.COMPANY in caller.roles and caller.actor_id:
        conditions.append(_has_mission(mission.c.company_id == caller.actor_id))
    return or_(*conditions)


def _has_mission(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    same_need = and_(mission.c.territory == need.c.territory, mission.c.need_id == need.c.id)
    return exists().where(same_need, condition)


_IS_SERVED = _has_mission(mission.c.state.not_in(NEVER_SERVED))


def _select_unserved(campaign_id: UUID | None) -> Select[Any]:
    """Open needs of open campaigns without a live mission."""
    query = (
        select(need)
        .join(campaign, and_(campaign.c.territory == need.c.territory, campaign.c.id == need.c.campaign_id))
        .where(need.c.state == NeedState.OPEN, ~_IS_SERVED, campaign.c.opened, ~campaign.c.closed)
        .order_by(need.c.id)
    )
    return query if campaign_id is None else query.where(need.c.campaign_id == campaign_id)


async def lock_unserved_needs(work: Work, *, campaign_id: UUID | None) -> list[Need]:
    """All of them, or those of one campaign. Those that another transaction decides on are left out."""
    query = _select_unserved(campaign_id).with_for_update(skip_locked=True, of=need)
    return [need_from(row) for row in await work.connection.execute(query)]


async def list_unserved_needs(work: Work, *, campaign_id: UUID | None = None, limit: int | None = None) -> list[Need]:
    return [need_from(row) for row in await work.connection.execute(_select_unserved(campaign_id).limit(limit))]


async def list_needs(work: Work, ids: Collection[UUID]) -> list[Need]:
    rows = await work.connection.execute(select(need).where(need.c.id.in_(ids)).order_by(need.c.id))
    return [need_from(row) for row in rows]


async def lock_needs(work: Work, ids: Collection[UUID]) -> dict[UUID, tuple[Need, bool]]:
    """These needs, each with whether a mission of it lives or was served."""
    query = select(need, _IS_SERVED.label("served")).where(is_any(need.c.id, ids)).order_by(need.c.id).with_for_update()
    return {row.id: (need_from(row), row.served) for row in await work.connection.execute(query)}


async def lock_unfinished_needs(work: Work, *, campaign_id: UUID) -> list[Need]:
    """Needs of a campaign that nothing is agreed for yet."""
    query = select(need).where(need.c.campaign_id == campaign_id, need.c.state.in_(EDITABLE_NEEDS))
    return [need_from(row) for row in await work.connection.execute(query.order_by(need.c.id).with_for_update())]


async def lock_passed_needs(work: Work, *, today: date, limit: int) -> list[Need]:
    query = select(need).where(need.c.ends_on < today, need.c.state.in_(EDITABLE_NEEDS)).order_by(need.c.id).limit(limit)
    return [need_from(row) for row in await work.connection.execute(query.with_for_update(skip_locked=True))]

"""Missions and their timesheets as rows."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, and_, bindparam, insert, or_, select, true, update
from sqlalchemy import false as nothing

from kernel.auth import Caller, Role
from kernel.errors import NotFound
from kernel.statements import Prepared
from kernel.work import Work
from services.matching.domain.missions import Mission, ScorePart, Side, Timesheet
from services.matching.domain.needs import Need
from services.matching.domain.shared import Campaign
from services.matching.domain.states import NEVER_SERVED, Deed, MissionState, Step
from services.matching.store.history import Change, save_first_steps
from services.matching.store.known import hold_campaign_of_mission
from services.matching.store.needs import lock_need_of_mission
from services.matching.tables import mission, mission_event, timesheet


def mission_from(row: Row[Any]) -> Mission:
    values = row._asdict()
    for column in ("territory", "created_at", "changed_at"):
        del values[column]
    return Mission(
        **values
        | {
            "parts": tuple(ScorePart(**part) for part in row.parts),
            "reasons": tuple(row.reasons),
            "state": MissionState(row.state),
            "accepted": frozenset(Side(side) for side in row.accepted),
        }
    )


def _values(saved: Mission) -> dict[str, Any]:
    parts = [vars(part) for part in saved.parts]
    return vars(saved) | {"parts": parts, "reasons": list(saved.reasons), "accepted": sorted(saved.accepted)}


_INSERT = Change(insert(mission), mission_event, columns=mission.c.keys())
_INSERT_MANY = Prepared(insert(mission), columns=mission.c.keys())


async def insert_mission(work: Work, saved: Mission, *steps: Step[MissionState]) -> None:
    values = {"territory": work.territory, **_values(saved), "created_at": work.now, "changed_at": work.now}
    await _INSERT.run(work, saved.id, values, *steps)


async def insert_proposed(work: Work, missions: Sequence[Mission]) -> None:
    """Many at once, each with its first step."""
    if not missions:
        return
    stamps = {"territory": work.territory, "created_at": work.now, "changed_at": work.now}
    await work.run_many(_INSERT_MANY, [stamps | _values(one) for one in missions])
    step = Step(None, MissionState.PROPOSED, Deed.CREATE, work.caller.identity)
    await save_first_steps(work, mission_event, [one.id for one in missions], step)


# What a mission is proposed with stays as it is; its columns are neither sent nor written again.
_CHANGING = ("state", "accepted", "worked_minutes", "served_minutes", "agreed_at", "version", "changed_at")
_SAVE = Change(update(mission).where(mission.c.id == bindparam("of")), mission_event, columns=_CHANGING)
_LOCK = Prepared(select(mission).where(mission.c.id == bindparam("id")).with_for_update())


async def save_mission(
    work: Work, saved: Mission, *steps: Step[MissionState], side: str | None = None, criterion: str | None = None
) -> None:
    """Write a locked mission back, with the steps of its state; `criterion`: what spoke for the first of them."""
    values = _values(saved) | {"changed_at": work.now}
    changing = {"of": saved.id} | {name: values[name] for name in _CHANGING}
    await _SAVE.run(work, saved.id, changing, *steps, side=side, criterion=criterion)


@dataclass(frozen=True)
class HeldMission:
    """A mission with what its states depend on, all held until the commit."""

    mission: Mission
    need: Need
    campaign: Campaign | None


async def lock_mission(work: Work, id: UUID) -> HeldMission:
    """The mission after its campaign and its need: see the order of locks. The campaign is held against closing only."""
    campaign = await hold_campaign_of_mission(work, id)
    need = await lock_need_of_mission(work, id)
    if need is None:
        raise NotFound(f"There is no mission {id} here; GET /missions lists yours.")
    return HeldMission(mission_from((await work.run(_LOCK, id=id)).one()), need, campaign)


async def has_live_or_served_mission(work: Work, need_id: UUID) -> bool:
    query = select(mission.c.id).where(mission.c.need_id == need_id, mission.c.state.not_in(NEVER_SERVED))
    return (await work.connection.execute(query)).first() is not None


async def lock_proposed_missions(work: Work, *, need_id: UUID | None = None, offer_id: UUID | None = None) -> list[Mission]:
    """Missions of a (locked) need or offer that nobody agreed to yet."""
    of_owner = mission.c.need_id == need_id if need_id is not None else mission.c.offer_id == offer_id
    query = select(mission).where(of_owner, mission.c.state == MissionState.PROPOSED).order_by(mission.c.id)
    return [mission_from(row) for row in await work.connection.execute(query.with_for_update())]


async def lock_passed_proposals(work: Work, *, today: date, limit: int) -> list[Mission]:
    has_passed = and_(mission.c.ends_on < today, mission.c.state == MissionState.PROPOSED)
    query = select(mission).where(has_passed).order_by(mission.c.id).limit(limit)
    return [mission_from(row) for row in await work.connection.execute(query.with_for_update(skip_locked=True))]


async def list_last_missions(work: Work, *, limit: int) -> list[Mission]:
    """The missions proposed last, the newest first."""
    rows = await work.connection.execute(select(mission).order_by(mission.c.id.desc()).limit(limit))
    return [mission_from(row) for row in rows]


async def get_mission(work: Work, id: UUID) -> Mission:
    """The mission, if the caller may see it."""
    row = (await work.connection.execute(select_visible_missions(work.caller).where(mission.c.id == id))).first()
    if row is None:
        raise NotFound(f"There is no mission {id} that you can see; GET /missions lists those you can.")
    return mission_from(row)


def select_visible_missions(caller: Caller) -> Select[Any]:
    return select(mission).where(_is_visible(caller))


def _is_visible(caller: Caller) -> ColumnElement[bool]:
    """The town sees all missions; association, volunteer and company those they are a side of."""
    if caller.is_town or Role.AUDITOR in caller.roles:
        return true()
    conditions: list[ColumnElement[bool]] = [nothing()]
    if Role.ASSOCIATION in caller.roles and caller.actor_id:
        conditions.append(mission.c.association_id == caller.actor_id)
    if Role.VOLUNTEER in caller.roles and caller.member_id:
        conditions.append(mission.c.volunteer_id == caller.member_id)
    if Role.COMPANY in caller.roles and caller.actor_id:
        conditions.append(mission.c.company_id == caller.actor_id)
    return or_(*conditions)


# ---- Timesheets -----------------------------------------------------------------------------------------------------

_correction = timesheet.alias("correction")
_INSERT_TIMESHEET = Prepared(insert(timesheet), columns=timesheet.c.keys())


def select_timesheets(mission_id: UUID | None = None) -> Select[Any]:
    """Timesheets, each with whether a later one replaced it."""
    correction = and_(_correction.c.territory == timesheet.c.territory, _correction.c.replaces == timesheet.c.id)
    query = select(timesheet, _correction.c.id.is_not(None).label("replaced")).outerjoin(_correction, correction)
    return query if mission_id is None else query.where(timesheet.c.mission_id == mission_id)


def timesheet_from(row: Row[Any]) -> Timesheet:
    values = row._asdict()
    del values["territory"]
    return Timesheet(**values)


async def find_timesheet(work: Work, id: UUID) -> Timesheet | None:
    row = (await work.connection.execute(select_timesheets().where(timesheet.c.id == id))).first()
    return timesheet_from(row) if row else None


async def insert_timesheet(work: Work, saved: Timesheet) -> None:
    values = asdict(saved)
    del values["replaced"]
    await work.run(_INSERT_TIMESHEET, territory=work.territory, **values)

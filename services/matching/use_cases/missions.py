"""A mission from the two sides' yes to the association's validation."""

from datetime import date
from uuid import UUID

from kernel.auth import Caller, Role
from kernel.clock import local_date
from kernel.errors import BadInput, Refused
from kernel.events.matching import (
    MissionAccepted,
    MissionAgreed,
    MissionDeclined,
    MissionDisputed,
    MissionValidated,
    TimesheetReported,
)
from kernel.ids import new_id
from kernel.work import Work
from services.matching.domain.missions import (
    Criterion,
    Mission,
    Side,
    Timesheet,
    check_convention,
    decide_acceptance,
    decide_mission,
    decide_report,
    decide_timesheet,
    decide_validation,
)
from services.matching.domain.refusals import NotAsked
from services.matching.domain.states import Deed, MissionState, NeedState
from services.matching.store.known import find_conclusion
from services.matching.store.missions import HeldMission, find_timesheet, insert_timesheet, lock_mission, save_mission
from services.matching.use_cases.ending import publish_cancellation
from services.matching.use_cases.needs import cover_need, reopen_need


async def accept_mission(work: Work, mission_id: UUID, *, criterion: Criterion | None = None) -> Mission:
    """The association's or the volunteer's yes; whose, the caller tells. `criterion`: what spoke for it most."""
    held = await lock_mission(work, mission_id)
    side = _find_side(work.caller, held.mission, among=(Side.ASSOCIATION, Side.VOLUNTEER))
    return await _say_yes(work, held, side, criterion=criterion)


async def approve_mission(work: Work, mission_id: UUID, *, criterion: Criterion | None = None) -> Mission:
    """The company's yes to its employee's professional mission."""
    held = await lock_mission(work, mission_id)
    return await _say_yes(work, held, _find_side(work.caller, held.mission, among=(Side.COMPANY,)), criterion=criterion)


async def _say_yes(work: Work, held: HeldMission, side: Side, *, criterion: Criterion | None) -> Mission:
    mission, steps = decide_acceptance(held.mission, side, campaign=held.campaign, who=work.caller.identity, now=work.now)
    await save_mission(work, mission, *steps, side=side, criterion=criterion)
    work.publish(MissionAccepted(mission_id=mission.id, side=side, criterion=criterion), subject=mission.id)
    if mission.state is MissionState.AGREED:
        await cover_need(work, held.need)
        agreement = MissionAgreed(
            mission_id=mission.id,
            campaign_id=mission.campaign_id,
            association_id=mission.association_id,
            contributor_id=mission.contributor_id,
            minutes=mission.minutes,
            ends_on=mission.ends_on,
        )
        work.publish(agreement, subject=mission.id)
    return mission


async def decline_mission(work: Work, mission_id: UUID, reason: str, *, criterion: Criterion | None = None) -> Mission:
    """One side's no, before the agreement. The need stays open for others. `criterion`: what spoke against it most."""
    mission = (await lock_mission(work, mission_id)).mission
    side = _find_side(work.caller, mission, among=tuple(Side))
    declined, step = decide_mission(mission, Deed.DECLINE, who=work.caller.identity, reason=reason)
    await save_mission(work, declined, step, side=side, criterion=criterion)
    work.publish(MissionDeclined(mission_id=mission.id, side=side, reason=reason, criterion=criterion), subject=mission.id)
    return declined


async def cancel_mission(work: Work, mission_id: UUID, reason: str) -> Mission:
    """It will not take place, or not be finished: credits releases the hold, and the need waits for another."""
    held = await lock_mission(work, mission_id)
    side = None if work.caller.is_town else _find_side(work.caller, held.mission, among=tuple(Side))
    if side and held.mission.state is MissionState.PROPOSED:
        raise Refused("Nothing is agreed yet; decline the proposal instead.")
    if side and held.mission.state is MissionState.DISPUTED:
        raise Refused("Hours are in dispute; validate them or correct the timesheets, or ask the operator to cancel the mission.")
    cancelled, step = decide_mission(held.mission, Deed.CANCEL, who=work.caller.identity, reason=reason)
    await save_mission(work, cancelled, step, side=side)
    publish_cancellation(work, cancelled, reason=reason)
    if held.need.state is NeedState.COVERED:
        await reopen_need(work, held.need, reason=f"La mission est annulée : {reason}")
    return cancelled


async def start_mission(work: Work, mission_id: UUID) -> Mission:
    held = await lock_mission(work, mission_id)
    work.caller.require_member(held.mission.volunteer_id)
    started, step = decide_mission(held.mission, Deed.START, who=work.caller.identity)
    await _check_convention(work, held)
    await save_mission(work, started, step)
    return started


async def enter_timesheet(
    work: Work, mission_id: UUID, *, worked_on: date, minutes: int, note: str | None, replaces: UUID | None
) -> Timesheet:
    """Minutes worked on one day. A correction names the timesheet it replaces; both are kept."""
    held = await lock_mission(work, mission_id)
    mission = held.mission
    work.caller.require_member(mission.volunteer_id)
    replaced_minutes = await _replaced_minutes(work, mission, replaces)
    if minutes == 0 and replaces is None:
        raise BadInput.at("/minutes", "must be at least 1; 0 only takes back a timesheet that it replaces")
    agreed_on = local_date(mission.agreed_at or work.now)
    today = local_date(work.now)
    counted = decide_timesheet(
        mission, minutes=minutes, replaced_minutes=replaced_minutes, worked_on=worked_on, today=today, agreed_on=agreed_on
    )
    if minutes > 0:  # to take back what should not have been entered is always right
        await _check_convention(work, held, worked_on=worked_on)
    entered = Timesheet(new_id(), mission_id, worked_on, minutes, note, work.caller.identity, work.now, replaces)
    await insert_timesheet(work, entered)
    await save_mission(work, counted)
    return entered


async def _check_convention(work: Work, held: HeldMission, *, worked_on: date | None = None) -> None:
    """Credits judges once more when minutes are settled; here it is judged before they are worked."""
    if held.campaign is None or not held.campaign.conventions_required:
        return
    concluded_at = await find_conclusion(work, held.mission.id)
    concluded_on = local_date(concluded_at) if concluded_at else None
    check_convention(held.mission, concluded_on=concluded_on, worked_on=worked_on)


async def _replaced_minutes(work: Work, mission: Mission, replaces: UUID | None) -> int:
    if replaces is None:
        return 0
    replaced = await find_timesheet(work, replaces)
    if replaced is None or replaced.mission_id != mission.id:
        raise BadInput.at("/replaces", "is no timesheet of this mission")
    if replaced.replaced:
        raise Refused("This timesheet was replaced already; replace its newest correction.")
    return replaced.minutes


async def report_mission(work: Work, mission_id: UUID, reason: str | None) -> Mission:
    """The hours are complete and go to the association. After a dispute, say what was put right."""
    mission = (await lock_mission(work, mission_id)).mission
    work.caller.require_member(mission.volunteer_id)
    reported, step = decide_report(mission, who=work.caller.identity, reason=reason)
    await save_mission(work, reported, step)
    work.publish(TimesheetReported(mission_id=mission.id, minutes=mission.worked_minutes), subject=mission.id)
    return reported


async def validate_mission(work: Work, mission_id: UUID, reason: str | None) -> Mission:
    """The association stands by the minutes: the hold is to be settled. In a dispute, say how it was resolved."""
    mission = (await lock_mission(work, mission_id)).mission
    work.caller.require_actor(mission.association_id)
    validated, step = decide_validation(mission, who=work.caller.identity, reason=reason)
    await save_mission(work, validated, step)
    event = MissionValidated(
        mission_id=mission.id,
        campaign_id=mission.campaign_id,
        association_id=mission.association_id,
        contributor_id=mission.contributor_id,
        served_minutes=mission.worked_minutes,
    )
    work.publish(event, subject=mission.id)
    return validated


async def dispute_mission(work: Work, mission_id: UUID, reason: str) -> Mission:
    mission = (await lock_mission(work, mission_id)).mission
    work.caller.require_actor(mission.association_id)
    disputed, step = decide_mission(mission, Deed.DISPUTE, who=work.caller.identity, reason=reason)
    await save_mission(work, disputed, step)
    work.publish(MissionDisputed(mission_id=mission.id, reason=reason), subject=mission.id)
    return disputed


def _find_side(caller: Caller, mission: Mission, *, among: tuple[Side, ...]) -> Side:
    """Which side of the mission the caller is; where one is two sides, the one that has not answered yet."""
    sides = []
    if Role.ASSOCIATION in caller.roles and caller.actor_id == mission.association_id:
        sides.append(Side.ASSOCIATION)
    if Role.VOLUNTEER in caller.roles and caller.member_id == mission.volunteer_id:
        sides.append(Side.VOLUNTEER)
    if Role.COMPANY in caller.roles and mission.company_id is not None and caller.actor_id == mission.company_id:
        sides.append(Side.COMPANY)
    possible = sorted((side for side in sides if side in among), key=lambda side: side in mission.accepted)
    if not possible:
        raise NotAsked(f"Only {' or '.join(among)} of this mission can do this; sign in as such.")
    return possible[0]

"""What credits answers, and what it makes of a mission.

Events of one mission come in their order, but each may come twice, or too late: a hold may be set aside for a mission
that was cancelled meanwhile (credits releases it when it reads the cancellation). An answer that the mission no longer
waits for therefore changes nothing.
"""

import logging
from uuid import UUID

from kernel.events.matching import MissionClosed, MissionDisputed
from kernel.work import Work
from services.matching.domain.missions import Mission, decide_mission
from services.matching.domain.states import MISSION_MOVES, Deed, find_move
from services.matching.store.known import save_campaign_closed
from services.matching.store.missions import HeldMission, lock_mission, save_mission
from services.matching.store.needs import lock_unfinished_needs
from services.matching.use_cases.needs import end_need, fulfil_need, reopen_need

log = logging.getLogger("metis.matching.saga")


async def record_reservation(work: Work, mission_id: UUID) -> None:
    """The mission's minutes are set aside."""
    held = await lock_mission(work, mission_id)
    if _is_awaited(held, Deed.RESERVE):
        reserved, step = decide_mission(held.mission, Deed.RESERVE, who=work.caller.identity)
        await save_mission(work, reserved, step)


async def record_refusal(work: Work, mission_id: UUID, reason: str) -> None:
    """The mission cannot be paid for; the need waits for another, or for more credit."""
    held = await lock_mission(work, mission_id)
    if _is_awaited(held, Deed.REFUSE):
        refused, step = decide_mission(held.mission, Deed.REFUSE, who=work.caller.identity, reason=reason)
        await save_mission(work, refused, step)
        await reopen_need(work, held.need, reason=f"Le crédit n'a pas pu être réservé : {reason}")


async def record_settlement(work: Work, mission_id: UUID, *, served_minutes: int) -> None:
    """The served minutes are spent: mission closed, need fulfilled."""
    held = await lock_mission(work, mission_id)
    if not _is_awaited(held, Deed.CLOSE):
        return
    closed, step = decide_mission(held.mission, Deed.CLOSE, who=work.caller.identity)
    await save_mission(work, closed.served(served_minutes), step)
    _publish_closing(work, closed, served_minutes=served_minutes)
    await fulfil_need(work, held.need, mission_id=mission_id)


async def record_settlement_refusal(work: Work, mission_id: UUID, reason: str) -> None:
    """The validated minutes cannot be settled: association and volunteer look at them again."""
    held = await lock_mission(work, mission_id)
    if _is_awaited(held, Deed.REFUSE_SETTLEMENT):
        disputed, step = decide_mission(held.mission, Deed.REFUSE_SETTLEMENT, who=work.caller.identity, reason=reason)
        await save_mission(work, disputed, step)
        work.publish(MissionDisputed(mission_id=mission_id, reason=reason), subject=mission_id)


async def close_campaign(work: Work, campaign_id: UUID, reason: str) -> None:
    """Nothing new is agreed in it: its needs without an agreement end, and what is only proposed with them."""
    await save_campaign_closed(work, campaign_id)
    for need in await lock_unfinished_needs(work, campaign_id=campaign_id):
        await end_need(work, need, Deed.EXPIRE, reason=f"La campagne est close : {reason}")


def _is_awaited(held: HeldMission, deed: Deed) -> bool:
    awaited = find_move(MISSION_MOVES, held.mission.state, deed) is not None
    if not awaited:
        log.info(
            "mission %s is %s and does not wait for %s any more", held.mission.id, held.mission.state, deed,
            extra={"facts": {"mission": str(held.mission.id)}},
        )  # fmt: skip
    return awaited


def _publish_closing(work: Work, mission: Mission, *, served_minutes: int) -> None:
    event = MissionClosed(
        mission_id=mission.id,
        need_id=mission.need_id,
        campaign_id=mission.campaign_id,
        association_id=mission.association_id,
        contributor_id=mission.contributor_id,
        served_minutes=served_minutes,
    )
    work.publish(event, subject=mission.id)

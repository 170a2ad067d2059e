"""The end of a mission that nobody agreed to yet, and so holds neither credit nor need."""

from kernel.events.matching import MissionCancelled
from kernel.work import Work
from services.matching.domain.missions import Mission, decide_mission
from services.matching.domain.states import Deed
from services.matching.store.missions import save_mission


async def cancel_proposal(work: Work, mission: Mission, *, reason: str) -> Mission:
    """Cancel a locked mission that is proposed; its need stays as it is."""
    cancelled, step = decide_mission(mission, Deed.CANCEL, who=work.caller.identity, reason=reason)
    await save_mission(work, cancelled, step)
    publish_cancellation(work, mission, reason=reason)
    return cancelled


def publish_cancellation(work: Work, mission: Mission, *, reason: str) -> None:
    event = MissionCancelled(
        mission_id=mission.id, campaign_id=mission.campaign_id, association_id=mission.association_id, reason=reason
    )
    work.publish(event, subject=mission.id)

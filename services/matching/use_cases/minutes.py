"""What may still be spent and given, counted from what credits tells: a round plans with it. Credits remains the judge.

Every count is a sum, so that events of different subjects may come in any order. What matching's own missions take is
read from the missions (store/minutes.py): only what the ledger did beside them is counted here.
"""

from uuid import UUID

from kernel.events.credits import CreditReleased, CreditReserved, MissionSettled, TransferReversed
from kernel.work import Work
from services.matching.store import minutes as store


async def count_credit(work: Work, campaign_id: UUID, association_id: UUID, *, minutes: int) -> None:
    """Granted (above zero) or expired, undone (below)."""
    await store.add_credit(work, campaign_id, association_id, minutes=minutes)
    await _note_replay(work, campaign_id)


async def count_promise(work: Work, campaign_id: UUID, contributor_id: UUID, *, minutes: int) -> None:
    """Promised (above zero) or taken back (below)."""
    await store.add_promise(work, campaign_id, contributor_id, minutes=minutes)
    await _note_replay(work, campaign_id)


async def count_direct(work: Work, event: CreditReserved | MissionSettled, *, minutes: int) -> None:
    """A mission that another platform keeps takes minutes (above zero), or gives some back."""
    await store.add_mission_minutes(
        work,
        event.mission_id,
        campaign_id=event.campaign_id,
        association_id=event.association_id,
        contributor_id=event.contributor_id,
        direct=True,
        minutes=minutes,
    )


async def count_given_back(work: Work, event: CreditReleased) -> None:
    """Of a mission of ours that is over it counts only where a settlement was undone: cancelled ones take nothing anyway."""
    await store.add_mission_minutes(
        work,
        event.mission_id,
        campaign_id=event.campaign_id,
        association_id=event.association_id,
        contributor_id=None,
        direct=False,
        minutes=-event.minutes,
    )


async def count_reversal(work: Work, event: TransferReversed) -> None:
    """Grants and pledges that were undone; what is undone of a mission comes back as a release."""
    if event.campaign_id is None or event.holder_id is None:
        return  # told before the event named them
    if event.kind == "grant":
        await count_credit(work, event.campaign_id, event.holder_id, minutes=-event.minutes)
    elif event.kind in {"pledge", "withdraw"}:
        minutes = event.minutes if event.kind == "withdraw" else -event.minutes
        await count_promise(work, event.campaign_id, event.holder_id, minutes=minutes)


async def _note_replay(work: Work, campaign_id: UUID) -> None:
    """An event of before we listened can only come from `metis events replay`: the campaign's past is told after all."""
    if work.message is not None and work.message.time < await store.listening_since(work):
        await store.save_replayed(work, campaign_id)

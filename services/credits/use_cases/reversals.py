"""Undo a transfer by its opposite: linked, once, and never past a bound.

What belongs together is undone together: a settlement's served and delivered minutes are one fact, and a reservation is
its mission's hold. What is undone by doing something else is refused with what to do instead.
"""

from uuid import UUID

from kernel.events.credits import TransferReversed
from kernel.work import Work
from services.credits.domain.campaigns import Campaign
from services.credits.domain.errors import AlreadyReversed, NotReversible
from services.credits.domain.holds import Hold, HoldState
from services.credits.domain.ledger import Leg, Transfer, TransferKind, make_leg, make_reversal_leg
from services.credits.store import campaigns, holds
from services.credits.store import ledger as store
from services.credits.use_cases.missions import build_late_expiry_legs, tell_released
from services.credits.use_cases.pledges import require_free_promise, require_worth

_INSTEAD = {
    TransferKind.RELEASE: "A release is not undone: agree the mission anew.",
    TransferKind.REVERSE: "A reversal is not undone: post the right transfer anew.",
}


async def reverse_transfer(work: Work, transfer_id: UUID, *, reason: str) -> Transfer:
    """Returns the reversal of the named transfer."""
    found = await store.get_transfer(work, transfer_id)
    campaign = await campaigns.use_campaign(work, found.campaign_id)
    if found.kind in _INSTEAD:
        raise NotReversible(_INSTEAD[found.kind])
    if found.kind in {TransferKind.RESERVE, TransferKind.SETTLE, TransferKind.DELIVER}:
        assert found.mission_id is not None
        hold = await holds.lock_hold(work, found.mission_id)
        assert hold is not None
        _require_not_reversed(await store.get_transfer(work, transfer_id))
        if found.kind is TransferKind.RESERVE:
            await _reverse_reservation(work, campaign, hold, found, reason=reason)
        else:
            await _reverse_settlement(work, campaign, hold, reason=reason)
    else:
        await _reverse_alone(work, found, reason=reason)
    reversed_by = (await store.get_transfer(work, transfer_id)).reversed_by
    assert reversed_by is not None
    return await store.get_transfer(work, reversed_by)


def _require_not_reversed(transfer: Transfer) -> None:
    if transfer.reversed_by is not None:
        raise AlreadyReversed(f"It was reversed by transfer {transfer.reversed_by}; a transfer is reversed once.")


async def _reverse_alone(work: Work, found: Transfer, *, reason: str) -> None:
    _require_not_reversed(found)
    if found.kind is TransferKind.PLEDGE and found.pledge_id is not None:
        pledge = await campaigns.lock_pledge(work, found.pledge_id)
        require_worth(pledge, minutes=found.minutes)
        await require_free_promise(work, found.campaign_id, found.source.holder_id, minutes=found.minutes)
    await _post_reversals(work, [found], reason=reason)


async def _reverse_reservation(work: Work, campaign: Campaign, hold: Hold, found: Transfer, *, reason: str) -> None:
    """The mission's hold is given back, as if the mission had been cancelled."""
    if hold.state is not HoldState.HELD:
        raise NotReversible(f"The mission's hold is {hold.state}: reverse its settlement instead, if it was settled.")
    await _post_reversals(work, [found], build_late_expiry_legs(campaign, hold, minutes=hold.minutes), reason=reason)
    await holds.save_hold(work, hold, state=HoldState.RELEASED)
    await tell_released(work, campaign, hold, minutes=hold.minutes, reason=reason)


async def _reverse_settlement(work: Work, campaign: Campaign, hold: Hold, *, reason: str) -> None:
    """Served and delivered are undone together, and what was served goes back to the association: the mission is over."""
    if hold.state is not HoldState.SETTLED:
        raise NotReversible(f"The mission's hold is {hold.state}; only a settled mission's settlement can be undone.")
    back = make_leg(
        TransferKind.RELEASE,
        campaign_id=campaign.id,
        holder_id=hold.association_id,
        minutes=hold.served_minutes,
        key=f"release-reversed:{hold.mission_id}",
        why=reason,
        mission_id=hold.mission_id,
    )
    settlement = await store.list_settlement(work, hold.mission_id)
    late = build_late_expiry_legs(campaign, hold, minutes=hold.served_minutes)
    await _post_reversals(work, settlement, [back, *late], reason=reason)
    await holds.save_hold(work, hold, state=HoldState.REVERSED)
    await tell_released(work, campaign, hold, minutes=hold.served_minutes, reason=reason)


async def _post_reversals(work: Work, transfers: list[Transfer], following: list[Leg] | None = None, *, reason: str) -> None:
    legs = [make_reversal_leg(transfer, reason=reason) for transfer in transfers]
    posted = await store.post(work, [*legs, *(following or [])])
    for transfer, written in zip(transfers, posted, strict=False):
        if not written.is_new:
            raise AlreadyReversed(f"It was reversed by transfer {written.transfer_id}; a transfer is reversed once.")
        work.publish(
            TransferReversed(transfer_id=transfer.id, reversal_id=written.transfer_id, minutes=transfer.minutes, reason=reason),
            subject=transfer.id,
        )

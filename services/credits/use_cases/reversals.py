"""Undo a transfer by its opposite: linked, in whole or in parts, and never past a bound.

What belongs together is undone together: a settlement's served and delivered minutes are one fact, and a reservation is
its mission's hold. What is undone by doing something else is refused with what to do instead.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from kernel.events.credits import TransferReversed
from kernel.work import Work
from services.credits.domain.errors import AlreadyReversed, BadInput, NotReversible
from services.credits.domain.holds import Hold, HoldState
from services.credits.domain.journal import Journal, expire_late
from services.credits.domain.ledger import CAMPAIGN_ACCOUNTS, Leg, Transfer, TransferKind, make_leg, make_reversal_leg
from services.credits.store import campaigns, missions
from services.credits.store import ledger as store
from services.credits.use_cases import telling
from services.credits.use_cases.pledges import require_free_promise, require_worth

INSTEAD = {
    TransferKind.RELEASE: "A release is not undone: agree the mission anew.",
    TransferKind.REVERSE: "A reversal is not undone: post the right transfer anew.",
    TransferKind.EXPIRE: "Credit that expired stays unspendable: grant the minutes anew.",
    TransferKind.CARRY: "Credit that was carried over is not brought back: grant the minutes anew.",
}


async def reverse_transfer(work: Work, transfer_id: UUID, *, reason: str, minutes: int | None = None) -> Transfer:
    """Undo `minutes` of the named transfer, or all that is left of it; returns the reversal."""
    found = await store.get_transfer(work, transfer_id)
    await campaigns.use_campaign(work, found.campaign_id)
    if found.kind in INSTEAD:
        raise NotReversible(INSTEAD[found.kind])
    if found.kind in {TransferKind.RESERVE, TransferKind.SETTLE, TransferKind.DELIVER}:
        await _reverse_in_mission(work, found, reason=reason, minutes=minutes)
    else:
        await _reverse_alone(work, found, reason=reason, minutes=minutes)
    reversed_by = (await store.get_transfer(work, transfer_id)).reversed_by
    assert reversed_by is not None
    return await store.get_transfer(work, reversed_by)


def _decide_minutes(left: int, *, asked: int | None, reversed_by: UUID | None) -> int:
    """How much to undo of what is left. Asking for more than that is an error, never cut silently."""
    if left == 0:
        raise AlreadyReversed(f"It was reversed by transfer {reversed_by}; nothing of it is left to undo.")
    if asked is not None and not 0 < asked <= left:
        raise BadInput.at("/minutes", f"must be at least 1 and at most {left}, what is left of it to undo")
    return left if asked is None else asked


async def _reverse_alone(work: Work, found: Transfer, *, reason: str, minutes: int | None) -> None:
    undone = _decide_minutes(found.reversible_minutes, asked=minutes, reversed_by=found.reversed_by)
    if found.kind is TransferKind.PLEDGE and found.pledge_id is not None:
        pledge = await campaigns.lock_pledge(work, found.pledge_id)
        require_worth(pledge, minutes=undone)
        await require_free_promise(work, found.campaign_id, found.source.holder_id, minutes=undone)
    await _post_reversals(work, [(found, undone)], reason=reason)


async def _reverse_in_mission(work: Work, found: Transfer, *, reason: str, minutes: int | None) -> None:
    assert found.mission_id is not None
    hold = (await missions.lock_holds(work, [found.mission_id]))[found.mission_id]
    journal = await missions.open_journal(work, [hold], await missions.use_campaigns(work, [hold.campaign_id]))
    if found.kind is TransferKind.RESERVE:
        changed = await _reverse_reservation(work, journal, hold, reason=reason, minutes=minutes)
    else:
        changed = await _reverse_settlement(work, journal, hold, found.id, reason=reason, minutes=minutes)
    await missions.save(work, changed=[changed])
    telling.tell_expired(work, journal)


async def _reverse_reservation(work: Work, journal: Journal, hold: Hold, *, reason: str, minutes: int | None) -> Hold:
    """The mission's hold is given back, as if the mission had been cancelled."""
    reserved = [one for one in await store.list_of_mission(work, hold.mission_id, TransferKind.RESERVE) if one.reversible_minutes]
    if hold.state is not HoldState.HELD:
        if not reserved:
            raise AlreadyReversed("The reservation was reversed before; its mission is over.")
        raise NotReversible(f"The mission's hold is {hold.state}: reverse its settlement instead, if it was settled.")
    if hold.served_minutes or minutes not in {None, hold.minutes}:
        raise NotReversible("A reservation is undone as a whole and before any of it is served; cancel the mission instead.")
    await _post_reversals(work, [(one, one.minutes) for one in reserved], reason=reason)
    return await _give_back(work, journal, hold, hold.minutes, reason=reason, state=HoldState.RELEASED)


async def _reverse_settlement(
    work: Work, journal: Journal, hold: Hold, transfer_id: UUID, *, reason: str, minutes: int | None
) -> Hold:
    """The named transfer is undone, served and delivered together, and what was served goes back to the association."""
    if hold.state not in {HoldState.SETTLED, HoldState.HELD, HoldState.REVERSED}:
        raise NotReversible(f"The mission's hold is {hold.state}; only a settled mission's settlement can be undone.")
    if hold.state is HoldState.HELD:
        raise NotReversible("Part of the mission is still held: settle it to its end, or cancel it, then undo its settlement.")
    named = await store.get_transfer(work, transfer_id)  # again: it was found before the mission was locked
    undone = _decide_minutes(named.reversible_minutes, asked=minutes, reversed_by=named.reversed_by)
    settled = _take(await store.list_of_mission(work, hold.mission_id, TransferKind.SETTLE), undone, named=named)
    delivered = _take(await store.list_of_mission(work, hold.mission_id, TransferKind.DELIVER), undone, named=named)
    await _post_reversals(work, [*settled, *delivered], _build_back_legs(hold, settled, reason=reason), reason=reason)
    parts = {part.lot_id: part for part in hold.parts}
    for transfer, amount in settled:
        assert transfer.source.lot_id is not None
        part = parts[transfer.source.lot_id]
        parts[part.lot_id] = replace(
            part, served_minutes=part.served_minutes - amount, released_minutes=part.released_minutes + amount
        )
    served = hold.served_minutes - undone
    state = HoldState.SETTLED if served else HoldState.REVERSED
    changed = replace(hold, served_minutes=served, parts=tuple(parts.values()), state=state)
    return await _give_back(work, journal, changed, undone, reason=reason, state=state, from_parts=settled)


def _take(transfers: Sequence[Transfer], minutes: int, *, named: Transfer) -> list[tuple[Transfer, int]]:
    """How much of each makes up `minutes`: of the named one first, then of those that its part of the settlement wrote,
    the last drawn first, then of the others."""
    taken = []
    backwards = list(reversed(transfers))
    for transfer in sorted(backwards, key=lambda one: (one.id != named.id, _part_of(one) != _part_of(named))):
        amount = min(minutes, transfer.reversible_minutes)
        if amount:
            taken.append((transfer, amount))
            minutes -= amount
    return taken


def _part_of(transfer: Transfer) -> str:
    """Which part of its mission's settlement wrote a transfer: its key begins with it (domain/journal.py)."""
    return transfer.idempotency_key.partition(":")[0]


def _build_back_legs(hold: Hold, settled: Sequence[tuple[Transfer, int]], *, reason: str) -> list[Leg]:
    """What came back to the hold goes on to the association's credit: the mission is over."""
    return [
        make_leg(
            TransferKind.RELEASE,
            campaign_id=hold.campaign_id,
            holder_id=hold.association_id,
            lot_id=transfer.source.lot_id,
            minutes=amount,
            key=f"release-reversed:{transfer.id}:{transfer.reversed_minutes}",
            why=reason,
            mission_id=hold.mission_id,
        )
        for transfer, amount in settled
    ]


async def _give_back(
    work: Work,
    journal: Journal,
    hold: Hold,
    minutes: int,
    *,
    reason: str,
    state: HoldState,
    from_parts: Sequence[tuple[Transfer, int]] | None = None,
) -> Hold:
    """Tell that credit came back, and expire what came back to a lot that nobody may spend any more."""
    telling.tell_released(work, hold, minutes=minutes, reason=reason)
    back = Counter({part.lot_id: part.held_minutes for part in hold.parts})
    if from_parts is not None:
        back = Counter()  # several parts of a settlement may have drawn on one lot
        for transfer, amount in from_parts:
            if transfer.source.lot_id is not None:
                back[transfer.source.lot_id] += amount
    for part in hold.parts:
        if amount := back.get(part.lot_id, 0):
            occasion = f"reversal-{hold.served_minutes}"
            expire_late(journal, hold, part, amount, author=store.author_of(work), occasion=occasion)
    await store.post_all(work, journal.legs)  # the reversals moved the journal's accounts meanwhile
    if from_parts is None:
        parts = tuple(replace(part, released_minutes=part.minutes - part.served_minutes) for part in hold.parts)
        return replace(hold, parts=parts, state=state)
    return hold


async def _post_reversals(
    work: Work, undone: Sequence[tuple[Transfer, int]], following: Sequence[Leg] = (), *, reason: str
) -> None:
    legs = [make_reversal_leg(transfer, minutes=minutes, reason=reason) for transfer, minutes in undone]
    posted = await store.post(work, [*legs, *following])
    for (transfer, minutes), written in zip(undone, posted, strict=False):
        if not written.is_new:
            raise AlreadyReversed(f"It was reversed by transfer {written.transfer_id} at the same moment; read it again.")
        work.publish(
            TransferReversed(
                transfer_id=transfer.id,
                reversal_id=written.transfer_id,
                minutes=minutes,
                reason=reason,
                kind=transfer.kind,
                campaign_id=transfer.campaign_id,
                holder_id=_holder_of(transfer),
            ),
            subject=transfer.id,
        )


def _holder_of(transfer: Transfer) -> UUID:
    """Whose minutes they are: of the two accounts the one that is not the campaign's own."""
    return (transfer.target if transfer.source.kind in CAMPAIGN_ACCOUNTS else transfer.source).holder_id

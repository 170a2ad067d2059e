"""Issue a receipt for valued missions, replace it, cancel it.

Locks: the holds of its missions in the order of their ids, then the counter of its number, last and shortest.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from kernel.clock import local_date
from kernel.events.credits import ReceiptIssued
from kernel.ids import new_id
from kernel.work import Work
from services.credits.domain.conventions import digest_of
from services.credits.domain.document_errors import AlreadyReceipted, ReceiptUnfit, ValuationMissing
from services.credits.domain.errors import BadInput
from services.credits.domain.parties import BENEFICIARY_NEEDS, DONOR_NEEDS
from services.credits.domain.receipts import Gift, Receipt, build_receipt_content, receipt_label
from services.credits.domain.valuations import require_served
from services.credits.store import missions, parties, valuations
from services.credits.store import receipts as store
from services.credits.use_cases.parties import get_organisation, require_speaker


@dataclass(frozen=True)
class _Replaced:
    receipt: Receipt
    reason: str


async def issue_receipt(work: Work, *, beneficiary_id: UUID, donor_id: UUID, mission_ids: Sequence[UUID]) -> UUID:
    """A receipt for the donor's valued missions; returns its id."""
    require_speaker(work.caller, beneficiary_id, deed="the beneficiary issues its receipts")
    return await _issue(work, beneficiary_id=beneficiary_id, donor_id=donor_id, mission_ids=mission_ids)


async def replace_receipt(work: Work, receipt_id: UUID, *, mission_ids: Sequence[UUID], reason: str) -> UUID:
    """Another receipt in its place, with a number of its own; both stay. Returns the new one's id."""
    replaced = store.receipt_of(await store.get_receipt_row(work, receipt_id))
    require_speaker(work.caller, replaced.beneficiary_id, deed="the beneficiary replaces its receipts")
    await _lock_missions(work, {*mission_ids, *await store.list_covered(work, receipt_id)})
    # Read again under the lock: another replacement may have come first.
    replaced = store.receipt_of(await store.get_receipt_row(work, receipt_id))
    replaced.require_in_force()
    return await _issue(
        work,
        beneficiary_id=replaced.beneficiary_id,
        donor_id=replaced.donor_id,
        mission_ids=mission_ids,
        replaced=_Replaced(replaced, reason),
    )


async def cancel_receipt(work: Work, receipt_id: UUID, *, reason: str) -> None:
    """Take a receipt back for good: its number stays, its missions may be receipted anew."""
    found = store.receipt_of(await store.get_receipt_row(work, receipt_id))
    require_speaker(work.caller, found.beneficiary_id, deed="the beneficiary cancels its receipts")
    await _lock_missions(work, await store.list_covered(work, receipt_id))
    store.receipt_of(await store.get_receipt_row(work, receipt_id)).require_in_force()
    await store.add_cancellation(work, receipt_id, reason=reason)


async def _issue(
    work: Work, *, beneficiary_id: UUID, donor_id: UUID, mission_ids: Sequence[UUID], replaced: _Replaced | None = None
) -> UUID:
    await _lock_missions(work, mission_ids)
    gifts = [
        await _get_gift(work, mission_id, at=f"/mission_ids/{index}", beneficiary_id=beneficiary_id, donor_id=donor_id)
        for index, mission_id in enumerate(mission_ids)
    ]
    follows = [await _find_followed(work, gift.mission_id, replaced=replaced) for gift in gifts]
    if await parties.is_member(work, donor_id):
        raise ReceiptUnfit("A citizen's own time is volunteering, not a gift in kind by a company: no receipt is given for it.")
    beneficiary = await get_organisation(work, beneficiary_id, needs=BENEFICIARY_NEEDS)
    donor = await get_organisation(work, donor_id, needs=DONOR_NEEDS)
    today = local_date(work.now)
    number = await store.take_number(work, beneficiary_id, year=today.year)
    label, reason = receipt_label(today.year, number), replaced.reason if replaced else None
    content = build_receipt_content(
        label=label,
        beneficiary=beneficiary,
        donor=donor,
        gifts=gifts,
        issued_on=today,
        replaces_label=replaced.receipt.label if replaced else None,
        reason=reason,
    )
    receipt_id, replaces = new_id(), replaced.receipt.id if replaced else None
    await store.add_receipt(
        work,
        id=receipt_id,
        beneficiary_id=beneficiary_id,
        donor_id=donor_id,
        year=today.year,
        number=number,
        replaces=replaces,
        reason=reason,
        content=content,
        digest=digest_of(content),
    )
    covered = [(gift.mission_id, gift.valuation_version, before) for gift, before in zip(gifts, follows, strict=True)]
    await store.add_covered(work, receipt_id, covered)
    work.publish(
        ReceiptIssued(
            receipt_id=receipt_id, association_id=beneficiary_id, contributor_id=donor_id, label=label, replaces=replaces
        ),
        subject=receipt_id,
    )
    return receipt_id


async def _lock_missions(work: Work, mission_ids: Iterable[UUID]) -> None:
    await missions.lock_holds(work, set(mission_ids))


async def _get_gift(work: Work, mission_id: UUID, *, at: str, beneficiary_id: UUID, donor_id: UUID) -> Gift:
    row = await valuations.get_valued_mission(work, mission_id)
    if row.association_id != beneficiary_id:
        raise BadInput.at(at, "is a mission for another association")
    if row.contributor_id != donor_id:
        raise BadInput.at(at, "is a mission by another donor")
    if row.version is None:
        raise ValuationMissing(
            f"Mission {mission_id} is not valued by its donor, and nobody else may: ask it for PUT /valuations/{mission_id}.",
            mission_id=str(mission_id),
        )
    require_served(row.minutes, served_minutes=int(row.served_minutes))
    return Gift(
        mission_id=mission_id,
        valuation_version=row.version,
        title=row.title or str(mission_id),
        minutes=row.minutes,
        employees=valuations.valuation_of(row).employees,
        retained_cents=row.retained_cents,
        from_day=row.from_day,
        to_day=row.to_day,
    )


async def _find_followed(work: Work, mission_id: UUID, *, replaced: _Replaced | None) -> UUID | None:
    """The receipt that covered the mission before, if any; it must be out of force, or be the one that is replaced."""
    last = await store.find_last_cover(work, mission_id)
    if last is None:
        return None
    if last.in_force and (replaced is None or last.receipt_id != replaced.receipt.id):
        label = receipt_label(last.label_year, last.label_number)
        raise AlreadyReceipted(
            f"Receipt {label} in force covers mission {mission_id}; replace or cancel that one.", receipt_id=str(last.receipt_id)
        )
    return last.receipt_id

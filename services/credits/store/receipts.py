"""Receipts: their numbers, what each covers, what became of it, and a year's totals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, and_, case, exists, func, not_, or_, select
from sqlalchemy.dialects.postgresql import insert

from kernel.work import Work
from services.credits.domain.errors import NotFound
from services.credits.domain.receipts import RECEIPT_TEMPLATE, Receipt, ReceiptState
from services.credits.store.valuations import served_minutes_of, shared_with_town
from services.credits.tables import actor, receipt, receipt_cancellation, receipt_counter, receipt_mission, valuation

successor = receipt.alias("successor")
cancellation = receipt_cancellation
beneficiary = actor.alias("beneficiary")
donor = actor.alias("donor")


@dataclass(frozen=True)
class Cover:
    """The last receipt that covered a mission."""

    receipt_id: UUID
    label_year: int
    label_number: int
    in_force: bool


async def take_number(work: Work, beneficiary_id: UUID, *, year: int) -> int:
    """The next number of this beneficiary and year; its row stays locked until the commit, so that none is left out."""
    statement = insert(receipt_counter).values(territory=work.territory, beneficiary_id=beneficiary_id, year=year, last_number=1)
    taken = statement.on_conflict_do_update(
        index_elements=["territory", "beneficiary_id", "year"], set_={"last_number": receipt_counter.c.last_number + 1}
    )
    return int((await work.connection.execute(taken.returning(receipt_counter.c.last_number))).scalar_one())


async def add_receipt(
    work: Work,
    *,
    id: UUID,
    beneficiary_id: UUID,
    donor_id: UUID,
    year: int,
    number: int,
    replaces: UUID | None,
    reason: str | None,
    content: dict[str, Any],
    digest: str,
) -> None:
    await work.connection.execute(
        insert(receipt).values(
            territory=work.territory,
            id=id,
            beneficiary_id=beneficiary_id,
            donor_id=donor_id,
            year=year,
            number=number,
            replaces=replaces,
            reason=reason,
            minutes=content["minutes"],
            amount_cents=content["amount_cents"],
            template=RECEIPT_TEMPLATE,
            content=content,
            digest=digest,
            issued_by=work.caller.identity,
            issued_at=work.now,
        )
    )


async def add_covered(work: Work, receipt_id: UUID, covered: Sequence[tuple[UUID, int, UUID | None]]) -> None:
    """Which valuations the receipt covers: (mission, version, the receipt that covered the mission before)."""
    await work.connection.execute(
        insert(receipt_mission).values(
            [
                {
                    "territory": work.territory,
                    "receipt_id": receipt_id,
                    "mission_id": mission_id,
                    "valuation_version": version,
                    "follows": follows,
                }
                for mission_id, version, follows in covered
            ]
        )
    )


async def add_cancellation(work: Work, receipt_id: UUID, *, reason: str) -> None:
    await work.connection.execute(
        insert(receipt_cancellation).values(
            territory=work.territory,
            receipt_id=receipt_id,
            reason=reason,
            cancelled_by=work.caller.identity,
            cancelled_at=work.now,
        )
    )


_STATE = case(
    (successor.c.id.is_not(None), ReceiptState.REPLACED),
    (cancellation.c.receipt_id.is_not(None), ReceiptState.CANCELLED),
    else_=ReceiptState.IN_FORCE,
)


def _is_outdated() -> Any:
    """Whether a mission it covers was valued anew since, or lost hours that it counts: it wants replacing or cancelling."""
    covered, newer, counted = receipt_mission.alias("covered"), valuation.alias("newer"), valuation.alias("counted")
    is_newer = and_(newer.c.mission_id == covered.c.mission_id, newer.c.version > covered.c.valuation_version)
    is_counted = and_(counted.c.mission_id == covered.c.mission_id, counted.c.version == covered.c.valuation_version)
    return exists(
        select(1)
        .select_from(covered)
        .join(counted, is_counted)
        .outerjoin(newer, is_newer)
        .where(
            covered.c.receipt_id == receipt.c.id,
            or_(newer.c.version.is_not(None), counted.c.minutes > served_minutes_of(covered.c.mission_id)),
        )
        .correlate(receipt)
    )


def _is_shared() -> Any:
    """Whether the donor shares the figures of all its missions with the town."""
    hidden = exists(
        select(1)
        .select_from(receipt_mission)
        .where(
            receipt_mission.c.receipt_id == receipt.c.id,
            func.coalesce(shared_with_town(receipt_mission.c.mission_id), False).is_(False),
        )
        .correlate(receipt)
    )
    return not_(hidden)


def select_receipts() -> Select[Any]:
    """Receipts with what became of them and who stands on both sides."""
    return (
        select(
            receipt,
            _STATE.label("state"),
            successor.c.id.label("replaced_by"),
            successor.c.year.label("successor_year"),
            successor.c.number.label("successor_number"),
            cancellation.c.reason.label("cancellation_reason"),
            beneficiary.c.name.label("beneficiary_name"),
            donor.c.name.label("donor_name"),
            _is_outdated().label("outdated"),
            _is_shared().label("shared_with_town"),
        )
        .select_from(receipt)
        .outerjoin(successor, successor.c.replaces == receipt.c.id)
        .outerjoin(cancellation, cancellation.c.receipt_id == receipt.c.id)
        .outerjoin(beneficiary, beneficiary.c.id == receipt.c.beneficiary_id)
        .outerjoin(donor, donor.c.id == receipt.c.donor_id)
    )


def receipt_of(row: Row[Any]) -> Receipt:
    return Receipt(
        id=row.id,
        beneficiary_id=row.beneficiary_id,
        donor_id=row.donor_id,
        year=row.year,
        number=row.number,
        state=ReceiptState(row.state),
        template=row.template,
        content=row.content,
        digest=row.digest,
        issued_at=row.issued_at,
    )


async def get_receipt_row(work: Work, receipt_id: UUID) -> Row[Any]:
    row: Row[Any] | None = (await work.connection.execute(select_receipts().where(receipt.c.id == receipt_id))).first()
    if row is None:
        raise NotFound(f"There is no receipt {receipt_id}; GET /receipts lists them.")
    return row


async def list_covered(work: Work, receipt_id: UUID) -> list[UUID]:
    query = select(receipt_mission.c.mission_id).where(receipt_mission.c.receipt_id == receipt_id)
    return list((await work.connection.execute(query.order_by(receipt_mission.c.mission_id))).scalars())


async def find_last_cover(work: Work, mission_id: UUID) -> Cover | None:
    """The end of the mission's chain of receipts. Exact under the lock of the mission's hold."""
    next_link = receipt_mission.alias("next_link")
    query = (
        select(receipt.c.id, receipt.c.year, receipt.c.number, (_STATE == ReceiptState.IN_FORCE).label("in_force"))
        .select_from(receipt_mission)
        .join(receipt, receipt.c.id == receipt_mission.c.receipt_id)
        .outerjoin(successor, successor.c.replaces == receipt.c.id)
        .outerjoin(cancellation, cancellation.c.receipt_id == receipt.c.id)
        .outerjoin(
            next_link,
            and_(next_link.c.mission_id == receipt_mission.c.mission_id, next_link.c.follows == receipt_mission.c.receipt_id),
        )
        .where(receipt_mission.c.mission_id == mission_id, next_link.c.receipt_id.is_(None))
    )
    row = (await work.connection.execute(query)).first()
    return Cover(row.id, row.year, row.number, row.in_force) if row else None


def select_declarations(year: int) -> Select[Any]:
    """By beneficiary, what the yearly declaration of receipts asks for (CGI art. 222 bis), out of the receipts alone."""
    rows = select_receipts().where(receipt.c.year == year).subquery("issued")
    in_force = rows.c.state == ReceiptState.IN_FORCE
    return (
        select(
            rows.c.beneficiary_id,
            func.max(rows.c.beneficiary_name).label("beneficiary_name"),
            func.count().filter(in_force).label("receipts"),
            func.coalesce(func.sum(rows.c.amount_cents).filter(in_force), 0).label("amount_cents"),
            func.count().filter(rows.c.state == ReceiptState.REPLACED).label("replaced"),
            func.count().filter(rows.c.state == ReceiptState.CANCELLED).label("cancelled"),
            func.bool_and(rows.c.shared_with_town).label("shared_with_town"),
        )
        .group_by(rows.c.beneficiary_id)
        .order_by(rows.c.beneficiary_id)
    )


async def sum_given_cents(work: Work, donor_id: UUID, *, year: int) -> int:
    """What the receipts in force of a year give this donor."""
    rows = select_receipts().where(receipt.c.year == year, receipt.c.donor_id == donor_id).subquery("issued")
    query = select(func.coalesce(func.sum(rows.c.amount_cents), 0)).where(rows.c.state == ReceiptState.IN_FORCE)
    return int((await work.connection.execute(query)).scalar_one())

"""Labels that named no skill when they were written, counted over needs and offers."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, column, false, func, literal_column, or_, select, true
from sqlalchemy.dialects.postgresql import JSONB

from kernel.work import Work
from services.matching.domain.needs import Need
from services.matching.domain.offers import Offer
from services.matching.domain.states import NeedState, OfferState
from services.matching.store.needs import need_from
from services.matching.store.offers import offer_from
from services.matching.tables import need, offer

# Letter for letter the predicate of the partial indexes of migration 0006.
_UNCODED: ColumnElement[Any] = literal_column("'$[*] ? (!exists (@.code) || @.code == null)'::jsonpath")
MOST_LABELS = 5000


@dataclass(frozen=True)
class WrittenLabel:
    label: str
    times: int
    last_written_at: datetime


async def list_uncoded_labels(work: Work) -> tuple[list[WrittenLabel], list[WrittenLabel]]:
    """Of needs and of offers, in whatever state; the 5,000 most frequent of each."""
    return await _list(work, need), await _list(work, offer)


async def _list(work: Work, table: Table) -> list[WrittenLabel]:
    rows: Sequence[Any] = (await work.connection.execute(_select_uncoded(table))).all()
    return [WrittenLabel(row.label, row.times, row.last_written_at) for row in rows]


def _select_uncoded(table: Table) -> Select[Any]:
    entry = func.jsonb_array_elements(table.c.skills).table_valued(column("value", JSONB), name="entry").render_derived()
    label = entry.c.value["label"].astext
    return (
        select(label.label("label"), func.count().label("times"), func.max(table.c.changed_at).label("last_written_at"))
        .select_from(table)
        .join(entry, true())
        .where(func.jsonb_path_exists(table.c.skills, _UNCODED), entry.c.value["code"].astext.is_(None))
        .group_by(label)
        .order_by(func.count().desc(), label)
        .limit(MOST_LABELS)
    )


async def lock_needs_with_labels(work: Work, labels: Collection[str], *, limit: int) -> list[Need]:
    """Open needs of which one of these labels names no skill that is written with it."""
    query = _select_with_labels(need, labels).where(need.c.state == NeedState.OPEN).order_by(need.c.id).limit(limit)
    return [need_from(row) for row in await work.connection.execute(query.with_for_update())]


async def lock_offers_with_labels(work: Work, labels: Collection[str], *, limit: int) -> list[Offer]:
    query = _select_with_labels(offer, labels).where(offer.c.state == OfferState.OPEN).order_by(offer.c.id).limit(limit)
    return [offer_from(row) for row in await work.connection.execute(query.with_for_update())]


def _select_with_labels(table: Table, labels: Collection[str]) -> Select[Any]:
    has_one = or_(false(), *(table.c.skills.contains([{"label": label}]) for label in labels))
    return select(table).where(func.jsonb_path_exists(table.c.skills, _UNCODED), has_one)

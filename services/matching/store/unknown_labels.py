"""Labels that named no skill when they were written, counted over needs and offers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, column, func, literal_column, select, true
from sqlalchemy.dialects.postgresql import JSONB

from kernel.work import Work
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

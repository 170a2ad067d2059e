"""Errands: put, taken with a lease, finished or postponed.

Taking counts the try and moves the row into the future in one commit: a process that dies with an errand leaves it to
the next taker when the lease ends, and one that dies each time is found out by its tries.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, case, delete, func, select, true, update
from sqlalchemy.dialects.postgresql import insert as upsert

from kernel.work import Work
from services.notifications.domain.errands import Errand, ErrandKind
from services.notifications.tables import errand


async def put_errands(work: Work, kind: ErrandKind, ids: Sequence[UUID], *, lane: UUID | None = None) -> None:
    """Ask for things to be done as soon as this transaction commits; one that waits already starts anew."""
    if not ids:
        return
    rows = [errand_row(work, kind, one, lane=lane) for one in ids]
    statement = upsert(errand)
    again = {"due_at": statement.excluded.due_at, "tries": 0}
    await work.connection.execute(statement.on_conflict_do_update(index_elements=["kind", "id"], set_=again), rows)


def errand_row(work: Work, kind: ErrandKind, id: UUID, *, lane: UUID | None = None) -> dict[str, Any]:
    return {"kind": kind, "id": id, "territory": work.territory, "lane": lane, "due_at": work.now, "tries": 0}


async def take_errands(work: Work, kind: ErrandKind, *, limit: int, lease: timedelta) -> list[Errand]:
    """Take what is due, the oldest first, in every territory; others do not see it until the lease ends."""
    due = (
        select(errand.c.id)
        .where(errand.c.kind == kind, errand.c.due_at <= work.now)
        .order_by(errand.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return await _take(work, kind, due, lease)


async def take_errands_by_lane(
    work: Work, kind: ErrandKind, *, each: int, busy: Mapping[UUID, int], limit: int, lease: timedelta
) -> list[Errand]:
    """As `take_errands`, but at most `each` a lane with those that are `busy` already: no lane crowds out another.

    The lane that waits longest comes first. MATERIALIZED: what is locked must be chosen once, before the update.
    """
    is_due = and_(errand.c.kind == kind, errand.c.due_at <= work.now, errand.c.lane.is_not(None))
    lanes = select(errand.c.lane, func.min(errand.c.due_at).label("oldest")).where(is_due).group_by(errand.c.lane).cte("lanes")
    waiting = errand.alias("waiting")
    room = {lane: max(0, each - count) for lane, count in busy.items()}
    first = (
        select(waiting.c.id)
        .where(waiting.c.kind == kind, waiting.c.due_at <= work.now, waiting.c.lane == lanes.c.lane)
        .order_by(waiting.c.due_at)
        .limit(case(room, value=lanes.c.lane, else_=each) if room else each)
        .with_for_update(skip_locked=True)
        .lateral("first")
    )
    chosen = select(first.c.id).select_from(lanes.join(first, true())).order_by(lanes.c.oldest).limit(limit)
    return await _take(work, kind, chosen, lease)


async def _take(work: Work, kind: ErrandKind, chosen: Select[Any], lease: timedelta) -> list[Errand]:
    due = chosen.cte("due").prefix_with("MATERIALIZED")
    taken = update(errand).where(errand.c.kind == kind, errand.c.id == due.c.id)
    changed = taken.values(tries=errand.c.tries + 1, due_at=work.now + lease).returning(errand)
    return [_errand_from(row) for row in await work.connection.execute(changed)]


async def finish_errand(work: Work, kind: ErrandKind, id: UUID) -> None:
    await work.connection.execute(delete(errand).where(errand.c.kind == kind, errand.c.id == id))


async def postpone_errand(work: Work, kind: ErrandKind, id: UUID, *, until: datetime) -> None:
    """Does nothing when the errand was dropped in the meantime."""
    await work.connection.execute(update(errand).where(errand.c.kind == kind, errand.c.id == id).values(due_at=until))


async def drop_lane(work: Work, lane: UUID) -> None:
    await work.connection.execute(delete(errand).where(errand.c.lane == lane))


def _errand_from(row: Any) -> Errand:
    return Errand(ErrandKind(row.kind), row.id, row.territory, row.tries, row.lane)

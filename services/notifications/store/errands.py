"""Errands: put, taken with a lease, finished or postponed.

Taking counts the try and moves the row into the future in one commit: a process that dies with an errand leaves it to
the next taker when the lease ends, and one that dies each time is found out by its tries.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from kernel.work import Work
from services.notifications.domain.errands import Errand, ErrandKind

_PUT = """
INSERT INTO errand (kind, id, territory, lane, due_at, tries)
SELECT $1, id, $2, $3::uuid, $4::timestamptz, 0 FROM unnest($5::uuid[]) AS id
ON CONFLICT (kind, id) DO UPDATE SET due_at = excluded.due_at, tries = 0
"""
# MATERIALIZED: what is locked must be chosen once, before the update.
_TAKE = """
WITH due AS MATERIALIZED (
  SELECT id FROM errand WHERE kind = $1 AND due_at <= $2 ORDER BY due_at LIMIT $4 FOR UPDATE SKIP LOCKED
)
UPDATE errand SET tries = tries + 1, due_at = $3 FROM due WHERE errand.kind = $1 AND errand.id = due.id
RETURNING errand.id, errand.territory, errand.tries, errand.lane
"""
_TAKE_BY_LANE = """
WITH lanes AS (
  SELECT lane, min(due_at) AS oldest FROM errand WHERE kind = $1 AND due_at <= $2 AND lane IS NOT NULL GROUP BY lane
), due AS MATERIALIZED (
  SELECT first.id FROM lanes LEFT JOIN unnest($5::uuid[], $6::bigint[]) AS busy (lane, count) USING (lane)
  CROSS JOIN LATERAL (
    SELECT id FROM errand WHERE kind = $1 AND due_at <= $2 AND lane = lanes.lane
    ORDER BY due_at LIMIT greatest($7::bigint - coalesce(busy.count, 0), 0) FOR UPDATE SKIP LOCKED
  ) AS first
  ORDER BY lanes.oldest LIMIT $4
)
UPDATE errand SET tries = tries + 1, due_at = $3 FROM due WHERE errand.kind = $1 AND errand.id = due.id
RETURNING errand.id, errand.territory, errand.tries, errand.lane
"""
_FINISH = "DELETE FROM errand WHERE kind = $1 AND id = ANY($2::uuid[])"
_POSTPONE = "UPDATE errand SET due_at = $3 WHERE kind = $1 AND id = ANY($2::uuid[])"
_DROP_LANE = "DELETE FROM errand WHERE lane = $1"


async def put_errands(work: Work, kind: ErrandKind, ids: Sequence[UUID], *, lane: UUID | None = None) -> None:
    """Ask for things to be done as soon as this transaction commits; one that waits already starts anew."""
    if ids:
        await work.driver.execute(_PUT, kind, work.territory, lane, work.now, ids)


async def take_errands(work: Work, kind: ErrandKind, *, limit: int, lease: timedelta) -> list[Errand]:
    """Take what is due, the oldest first, in every territory; others do not see it until the lease ends."""
    rows = await work.driver.fetch(_TAKE, kind, work.now, work.now + lease, limit)
    return [Errand(kind, *row) for row in rows]


async def take_errands_by_lane(
    work: Work, kind: ErrandKind, *, each: int, busy: Mapping[UUID, int], limit: int, lease: timedelta
) -> list[Errand]:
    """As `take_errands`, but at most `each` a lane with those that are `busy` already: no lane crowds out another.

    The lane that waits longest comes first.
    """
    rows = await work.driver.fetch(_TAKE_BY_LANE, kind, work.now, work.now + lease, limit, list(busy), list(busy.values()), each)
    return [Errand(kind, *row) for row in rows]


async def finish_errands(work: Work, kind: ErrandKind, ids: Sequence[UUID]) -> None:
    if ids:
        await work.driver.execute(_FINISH, kind, ids)


async def postpone_errands(work: Work, kind: ErrandKind, ids: Sequence[UUID], *, until: datetime) -> None:
    """Does nothing to those that were dropped in the meantime."""
    if ids:
        await work.driver.execute(_POSTPONE, kind, ids, until)


async def drop_lane(work: Work, lane: UUID) -> None:
    await work.driver.execute(_DROP_LANE, lane)

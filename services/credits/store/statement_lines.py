"""The lines of a statement's page, in the order of either time: no more is read than the page and what lies about it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Row, Select, Uuid, any_, func, literal, literal_column, select, union_all

from kernel.work import Work
from services.credits.domain.statements import Basis, Period, Scope, StatementLine, moved_in
from services.credits.store.ledger import select_transfers, transfer_of
from services.credits.tables import mission, transfer

_SIDES = ((transfer.c.from_account_id, transfer.c.from_version), (transfer.c.to_account_id, transfer.c.to_version))
# The two times of a transfer lie far apart or not, in the words of the partial indexes of migration 0012.
NEAR = timedelta(minutes=1)
_FAR: ColumnElement[bool] = func.greatest(transfer.c.effective_at, transfer.c.recorded_at) - func.least(
    transfer.c.effective_at, transfer.c.recorded_at
) >= literal_column("interval '1 minute'")


@dataclass(frozen=True)
class Start:
    """Where a page begins: an account of the scope, its version there (by effective time: a little before), and its last one."""

    account_id: UUID
    version: int
    last_version: int


async def list_lines(
    work: Work, scope: Scope, period: Period, starts: Sequence[Start], *, first: datetime | None, limit: int
) -> list[StatementLine]:
    """The first `limit` lines from `first` on, in the order of the period's time."""
    list_ids = _list_recorded if period.basis is Basis.RECORDED else _list_in_effect
    ids = await list_ids(work, scope, starts, first=first, until=period.until, limit=limit)
    return await read_lines(work, scope, period.basis, is_any(transfer.c.id, ids))


async def read_lines(work: Work, scope: Scope, basis: Basis, *which: ColumnElement[bool]) -> list[StatementLine]:
    """These transfers, in the order of this time, each with what it moves in the scope."""
    at = transfer.c.recorded_at if basis is Basis.RECORDED else transfer.c.effective_at
    query = select_lines().where(*which).order_by(at, transfer.c.recorded_at, transfer.c.id)
    rows = await work.connection.execute(query)
    return [StatementLine(moved := transfer_of(row), row.title, row.volunteer_id, moved_in(moved, scope)) for row in rows]


def is_any(column: ColumnElement[UUID], ids: Iterable[UUID]) -> ColumnElement[bool]:
    """One array, however many: a statement takes 32,767 parameters."""
    return column == any_(literal(list(ids), ARRAY(Uuid)))


def select_lines() -> Select[Any]:
    """Transfers, each with its mission's title and volunteer."""
    return (
        select_transfers()
        .add_columns(mission.c.title, mission.c.volunteer_id)
        .outerjoin(mission, mission.c.id == transfer.c.mission_id)
    )


# ---- In the order of recording


async def _list_recorded(
    work: Work, scope: Scope, starts: Sequence[Start], *, first: datetime | None, until: datetime | None, limit: int
) -> Sequence[UUID]:
    query = select(transfer.c.id)
    if scope.holder_id is None:
        query = query.where(transfer.c.campaign_id == scope.campaign_id)
    else:
        query = query.where(is_any(transfer.c.id, await _list_next(work, starts, limit=limit)))
    if first is not None:
        query = query.where(transfer.c.recorded_at >= first)
    if until is not None:
        query = query.where(transfer.c.recorded_at < until)
    return (await work.connection.execute(query.order_by(transfer.c.recorded_at, transfer.c.id).limit(limit))).scalars().all()


async def _list_next(work: Work, starts: Sequence[Start], *, limit: int) -> set[UUID]:
    """The transfers of each account's next entries: among them are the next lines of all, for versions follow the recorded order.

    Versions have no gap, so that the next ones are ranges of the two indexes. Each is asked for by itself, and the lines
    then by their ids: accounts differ so much in size that a planner who joins them guesses wrong.
    """
    ranges = [select(transfer.c.id).where(next_ones) for start in starts for next_ones in _ranges(start, limit=limit)]
    return set((await work.connection.execute(union_all(*ranges))).scalars()) if ranges else set()


def _ranges(start: Start, *, limit: int) -> list[ColumnElement[bool]]:
    """The next entries of an account, on both sides."""
    last = min(start.version + limit, start.last_version)
    if last == start.version:
        return []
    return [(account_id == start.account_id) & (version > start.version) & (version <= last) for account_id, version in _SIDES]


# ---- In the order of effect


async def _list_in_effect(
    work: Work, scope: Scope, starts: Sequence[Start], *, first: datetime | None, until: datetime | None, limit: int
) -> Sequence[UUID]:
    """What took effect about when it was recorded is read in that order, further and further, until enough is known of all
    that may come before what was not read; what did not, by its own indexes, up to there."""
    most = 2 * limit
    while True:
        near = await _read(work, _select_near(scope, starts, first=first, most=most))
        ends = [max(row.recorded_at for row in rows) - NEAR for rows in near if len(rows) == most]
        end = min([*ends, until] if until else ends, default=None)
        far = await _read(work, _select_far(scope, starts, first=first, until=end, most=limit))
        found = {
            (row.effective_at, row.recorded_at, row.id)
            for rows in (*near, *far)
            for row in rows
            if (first is None or row.effective_at >= first) and (end is None or row.effective_at < end)
        }
        if len(found) >= limit or end == until:
            return [transfer_id for _, _, transfer_id in sorted(found)[:limit]]
        most *= 2


async def _read(work: Work, queries: Sequence[Select[Any]]) -> Iterable[Sequence[Row[Any]]]:
    """The rows of each list."""
    lists: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in await work.connection.execute(union_all(*queries)) if queries else ():
        lists[row.list].append(row)
    return lists.values()


def _select_near(scope: Scope, starts: Sequence[Start], *, first: datetime | None, most: int) -> list[Select[Any]]:
    """A list for each account, or one for the campaign: what was recorded from a little before on, `most` of each."""
    if scope.holder_id is not None:
        return [
            _select_times(number).where(next_ones)
            for number, start in enumerate(starts)
            for next_ones in _ranges(start, limit=most)
        ]
    query = _select_times(0).where(transfer.c.campaign_id == scope.campaign_id, ~_FAR)
    if first is not None:
        query = query.where(transfer.c.recorded_at > first - NEAR)
    return [query.order_by(transfer.c.recorded_at).limit(most)]


def _select_far(
    scope: Scope, starts: Sequence[Start], *, first: datetime | None, until: datetime | None, most: int
) -> list[Select[Any]]:
    """A list for each side of each account, or one for the campaign: what is next of those whose times lie far apart."""
    of_whom = [transfer.c.campaign_id == scope.campaign_id]
    if scope.holder_id is not None:
        of_whom = [account_id == start.account_id for start in starts for account_id, _ in _SIDES]
    bounds = [_FAR]
    if first is not None:
        bounds.append(transfer.c.effective_at >= first)
    if until is not None:
        bounds.append(transfer.c.effective_at < until)
    return [
        _select_times(number).where(of_one, *bounds).order_by(transfer.c.effective_at).limit(most)
        for number, of_one in enumerate(of_whom)
    ]


def _select_times(number: int) -> Select[Any]:
    return select(transfer.c.id, transfer.c.effective_at, transfer.c.recorded_at, literal(number).label("list"))

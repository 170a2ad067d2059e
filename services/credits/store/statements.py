"""Statements and accounts by either of the two times.

By recorded time everything comes from the running balances: an account as of an instant is its last entry before it, and
a page reads no more than its own lines, whatever the ledger's size. By effective time nothing runs: entries are added up.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, FromClause, Select, Uuid, any_, func, literal, or_, select, true, union_all
from sqlalchemy import DateTime as Instant

from kernel.work import Work
from services.credits.domain.ledger import AccountKind
from services.credits.domain.statements import (
    AsOf,
    Balances,
    Basis,
    Period,
    Scope,
    Statement,
    StatementLine,
    build_statement,
    cut_page,
    moved_in,
)
from services.credits.store.ledger import select_transfers, transfer_of
from services.credits.tables import account, mission, transfer

# Both sides of each transfer with its time of effect.
_effect = union_all(
    select(transfer.c.from_account_id.label("account_id"), (-transfer.c.minutes).label("minutes"), transfer.c.effective_at),
    select(transfer.c.to_account_id, transfer.c.minutes, transfer.c.effective_at),
).subquery("effect")


@dataclass(frozen=True)
class _Start:
    """Where a page begins: an account of the scope, its version there, and its last one."""

    account_id: UUID
    version: int
    last_version: int


async def get_statement(
    work: Work, scope: Scope, period: Period, *, after: datetime | None = None, limit: int = 1000
) -> Statement:
    """One page of the statement over the period: the lines past `after`, `limit` of them at most (more at one instant)."""
    sums = _sum_recorded if period.basis is Basis.RECORDED else _sum_effective
    (opening, start, closing), starts = await sums(work, scope, period, after=after)
    wanted = limit
    while True:
        lines = await _list_lines(work, scope, period, starts, after=after, limit=wanted + 1)
        page = cut_page(lines, limit=wanted, basis=period.basis)
        if page is not None:
            break
        wanted *= 2
    shown, more = page
    following = shown[-1].instant(period.basis) if more else None
    return build_statement(shown, opening=opening, start=start, closing=closing, more=following)


# ---- Balances ------------------------------------------------------------------------------------------------------


def _of_scope(scope: Scope) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [account.c.campaign_id == scope.campaign_id, account.c.kind.in_(scope.kinds)]
    if scope.holder_id is not None:
        found.append(account.c.holder_id == scope.holder_id)
    return found


def account_at(before: datetime | None) -> Any:
    """The account's version and balance as the ledger had them before an instant (now, for None)."""
    at = func.ledger_account_at(account.c.id, literal(before, Instant(timezone=True)))
    return at.table_valued("version", "balance_minutes").lateral()


async def _sum_recorded(
    work: Work, scope: Scope, period: Period, *, after: datetime | None
) -> tuple[list[Balances], list[_Start]]:
    """Opening, start of the page and closing, each from the accounts' running balances; and the versions at the start."""
    query = select(account.c.id, account.c.kind, account.c.version).where(*_of_scope(scope))
    joined: FromClause = account
    for name, before in _marks(period, after=after).items():
        if name != "closing" and before is None:
            query = query.add_columns(literal(0).label(name))
            continue
        at = account_at(before)
        joined = joined.join(at, true())
        query = query.add_columns(at.c.balance_minutes.label(name))
        if name == "start":
            query = query.add_columns(at.c.version.label("start_version"))
    rows = (await work.connection.execute(query.select_from(joined))).all()
    starts = [_Start(row.id, row._mapping.get("start_version", 0), row.version) for row in rows]
    return _columns(scope, rows), starts


async def _sum_effective(
    work: Work, scope: Scope, period: Period, *, after: datetime | None
) -> tuple[list[Balances], list[_Start]]:
    """The same, added up from the entries that took effect before."""
    query = (
        select(account.c.id, account.c.kind)
        .join(_effect, _effect.c.account_id == account.c.id)
        .where(*_of_scope(scope))
        .group_by(account.c.id, account.c.kind)
    )
    for name, before in _marks(period, after=after).items():
        if name != "closing" and before is None:
            query = query.add_columns(literal(0).label(name))
        else:
            among = _effect.c.effective_at < before if before else true()
            query = query.add_columns(func.sum(_effect.c.minutes).filter(among).label(name))
    rows = (await work.connection.execute(query)).all()
    return _columns(scope, rows), [_Start(row.id, 0, 0) for row in rows]


def _marks(period: Period, *, after: datetime | None) -> dict[str, datetime | None]:
    """The instants before which a page's three sums are taken. None: the beginning; for the closing, the end."""
    start = AsOf(period.basis, after).before if after else period.since
    return {"opening": period.since, "start": start, "closing": period.until}


def _columns(scope: Scope, rows: Sequence[Any]) -> list[Balances]:
    found: list[dict[AccountKind, int]] = [dict.fromkeys(scope.kinds, 0) for _ in range(3)]
    for row in rows:
        for sums, minutes in zip(found, (row.opening, row.start, row.closing), strict=True):
            sums[AccountKind(row.kind)] += int(minutes or 0)
    return list(found)


async def list_balances_at(work: Work, ids: Sequence[UUID], as_of: AsOf) -> dict[UUID, tuple[int, int]]:
    """Version and balance of these accounts as of an instant. By effective time the version counts the entries in effect."""
    if as_of.basis is Basis.RECORDED:
        at = account_at(as_of.before)
        query = select(account.c.id, at.c.version, at.c.balance_minutes).select_from(account.join(at, true()))
    else:
        query = (
            select(account.c.id, func.count().label("version"), func.sum(_effect.c.minutes).label("balance_minutes"))
            .join(_effect, _effect.c.account_id == account.c.id)
            .where(_effect.c.effective_at < as_of.before)
            .group_by(account.c.id)
        )
    rows = await work.connection.execute(query.where(account.c.id.in_(ids)))
    return {row.id: (row.version, int(row.balance_minutes)) for row in rows}


# ---- Lines ---------------------------------------------------------------------------------------------------------


async def _list_lines(
    work: Work, scope: Scope, period: Period, starts: Sequence[_Start], *, after: datetime | None, limit: int
) -> list[StatementLine]:
    """The first `limit` lines past `after`, in the order of the period's time."""
    at = transfer.c.recorded_at if period.basis is Basis.RECORDED else transfer.c.effective_at
    narrow = select(transfer.c.id)
    if scope.holder_id is None:
        narrow = narrow.where(transfer.c.campaign_id == scope.campaign_id)
    elif period.basis is Basis.RECORDED:
        narrow = narrow.where(_is_any(transfer.c.id, await _list_next(work, starts, limit=limit)))
    else:
        accounts = [start.account_id for start in starts]
        narrow = narrow.where(or_(transfer.c.from_account_id.in_(accounts), transfer.c.to_account_id.in_(accounts)))
    if after is not None:
        narrow = narrow.where(at > after)
    if period.since is not None:
        narrow = narrow.where(at >= period.since)
    if period.until is not None:
        narrow = narrow.where(at < period.until)
    order = (at, transfer.c.recorded_at, transfer.c.id)
    ids = (await work.connection.execute(narrow.order_by(*order).limit(limit))).scalars().all()
    rows = await work.connection.execute(select_lines().where(_is_any(transfer.c.id, ids)).order_by(*order))
    return [StatementLine(moved := transfer_of(row), row.title, row.volunteer_id, moved_in(moved, scope)) for row in rows]


def _is_any(column: ColumnElement[UUID], ids: Iterable[UUID]) -> ColumnElement[bool]:
    """One array, however many: a statement takes 32,767 parameters."""
    return column == any_(literal(list(ids), ARRAY(Uuid)))


def select_lines() -> Select[Any]:
    """Transfers, each with its mission's title and volunteer."""
    return (
        select_transfers()
        .add_columns(mission.c.title, mission.c.volunteer_id)
        .outerjoin(mission, mission.c.id == transfer.c.mission_id)
    )


async def _list_next(work: Work, starts: Sequence[_Start], *, limit: int) -> set[UUID]:
    """The transfers of each account's next entries: among them are the next lines of all, for versions follow the recorded order.

    Versions have no gap, so that the next ones are ranges of the two indexes. Each is asked for by itself, and the lines
    then by their ids: accounts differ so much in size that a planner who joins them guesses wrong.
    """
    sides = ((transfer.c.from_account_id, transfer.c.from_version), (transfer.c.to_account_id, transfer.c.to_version))
    ranges = [
        select(transfer.c.id).where(
            account_id == start.account_id, version > start.version, version <= min(start.version + limit, start.last_version)
        )
        for start in starts
        if start.version < start.last_version
        for account_id, version in sides
    ]
    return set((await work.connection.execute(union_all(*ranges))).scalars()) if ranges else set()

"""Statements and accounts by either of the two times.

By recorded time everything comes from the running balances: an account as of an instant is its last entry before it, and
a page reads no more than its own lines, whatever the ledger's size. By effective time it is the same, but for what is out
of step: entries that took effect on one side of an instant and were recorded on its other side (migration 0012).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, func, literal, select, true
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
    build_statement,
    cut_page,
)
from services.credits.store.statement_lines import NEAR, Start, list_lines
from services.credits.tables import account


async def get_statement(
    work: Work, scope: Scope, period: Period, *, after: datetime | None = None, limit: int = 1000
) -> Statement:
    """One page of the statement over the period: the lines past `after`, `limit` of them at most (more at one instant)."""
    marks = _marks(period, after=after)
    (opening, start, closing), starts = await _sum(work, scope, period.basis, marks)
    wanted = limit
    while True:
        lines = await list_lines(work, scope, period, starts, first=marks["start"], limit=wanted + 1)
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


def _join_balances(
    joined: FromClause, campaign_id: UUID, basis: Basis, before: datetime | None
) -> tuple[FromClause, ColumnElement[int], ColumnElement[int]]:
    """Accounts with the versions and the balances they had before an instant (now, for None); by effective time the version
    counts the entries in effect."""
    at = account_at(before)
    joined = joined.join(at, true())
    if basis is Basis.RECORDED or before is None:
        return joined, at.c.version, at.c.balance_minutes
    out_of_step: Any = func.ledger_out_of_step(campaign_id, literal(before, Instant(timezone=True)))
    apart = out_of_step.table_valued("account_id", "version", "balance_minutes")
    joined = joined.outerjoin(apart, apart.c.account_id == account.c.id)
    return (
        joined,
        at.c.version + func.coalesce(apart.c.version, 0),
        at.c.balance_minutes + func.coalesce(apart.c.balance_minutes, 0),
    )


async def _sum(work: Work, scope: Scope, basis: Basis, marks: dict[str, datetime | None]) -> tuple[list[Balances], list[Start]]:
    """Opening, start of the page and closing, each from the accounts' running balances; and the versions at the start."""
    query = select(account.c.id, account.c.kind, account.c.version)
    joined: FromClause = account
    known: dict[datetime | None, tuple[ColumnElement[int], ColumnElement[int]]] = {}
    for name, before in marks.items():
        if name != "closing" and before is None:
            query = query.add_columns(literal(0).label(name))
            continue
        if before not in known:
            joined, version, balance = _join_balances(joined, scope.campaign_id, basis, before)
            known[before] = version, balance
        version, balance = known[before]
        query = query.add_columns(balance.label(name))
        if name == "start" and before is not None:
            if basis is Basis.EFFECTIVE:
                recorded = account_at(before - NEAR)
                joined, version = joined.join(recorded, true()), recorded.c.version
            query = query.add_columns(version.label("start_version"))
    rows = (await work.connection.execute(query.select_from(joined).where(*_of_scope(scope)))).all()
    starts = [Start(row.id, row._mapping.get("start_version", 0), row.version) for row in rows]
    return _columns(scope, rows), starts


def _marks(period: Period, *, after: datetime | None) -> dict[str, datetime | None]:
    """The instants before which a page's three sums are taken. None: the beginning; for the closing, the end."""
    starts = [mark for mark in (period.since, AsOf(period.basis, after).before if after else None) if mark]
    return {"opening": period.since, "start": max(starts, default=None), "closing": period.until}


def _columns(scope: Scope, rows: Sequence[Any]) -> list[Balances]:
    found: list[dict[AccountKind, int]] = [dict.fromkeys(scope.kinds, 0) for _ in range(3)]
    for row in rows:
        for sums, minutes in zip(found, (row.opening, row.start, row.closing), strict=True):
            sums[AccountKind(row.kind)] += int(minutes or 0)
    return list(found)


async def list_balances_at(work: Work, campaign_id: UUID, ids: Sequence[UUID], as_of: AsOf) -> dict[UUID, tuple[int, int]]:
    """Version and balance of these accounts of a campaign as of an instant. By effective time the version counts the entries
    in effect."""
    joined, version, balance = _join_balances(account, campaign_id, as_of.basis, as_of.before)
    query = select(account.c.id, version.label("version"), balance.label("balance_minutes")).select_from(joined)
    rows = await work.connection.execute(query.where(account.c.id.in_(ids)))
    return {row.id: (row.version, row.balance_minutes) for row in rows}

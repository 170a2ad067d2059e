"""One audit of one territory: every check in one snapshot, on a connection that can only read."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import asyncpg

from kernel.clock import utc_now
from services.credits.auditing.checks import CHECKS, Check

# The role that migrations make for it; where they may not, the login that is given, read-only all the same.
AUDITOR_ROLE = "metis_credits_auditor"
_SHOWN = 50
_TABLES = "SELECT (SELECT count(*) FROM transfer WHERE territory = $1), (SELECT count(*) FROM account WHERE territory = $1)"


@dataclass(frozen=True)
class Difference:
    check: str
    table: str
    key: str
    column: str
    expected: str | None
    found: str | None

    def __str__(self) -> str:
        return f"{self.table} {self.key}: {self.column} is {self.found}, recomputed {self.expected} ({self.check})"


@dataclass(frozen=True)
class Audit:
    """`differences` are the first of each check; `count` is of all."""

    territory: str
    started_at: datetime
    ended_at: datetime
    transfers: int
    accounts: int
    count: int
    differences: tuple[Difference, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.count == 0,
            "territory": self.territory,
            "started_at": self.started_at.isoformat(),
            "ended_at": self.ended_at.isoformat(),
            "transfers": self.transfers,
            "accounts": self.accounts,
            "difference_count": self.count,
            "differences": [asdict(difference) for difference in self.differences],
        }


async def audit(url: str, territory: str) -> Audit:
    """Recompute the territory's ledger and compare. Changes nothing; finding differences is no error."""
    connection = await asyncpg.connect(url, timeout=10, server_settings={"jit": "off", "application_name": "metis-audit"})
    try:
        return await _audit(connection, territory)
    finally:
        await connection.close()


async def _audit(connection: "asyncpg.Connection[Any]", territory: str) -> Audit:
    started_at = utc_now()
    if await connection.fetchval("SELECT pg_has_role(oid, 'MEMBER') FROM pg_roles WHERE rolname = $1", AUDITOR_ROLE):
        await connection.execute(f'SET ROLE "{AUDITOR_ROLE}"')
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute("SELECT set_config('metis.territory', $1, true)", territory)
        counts = await connection.fetchrow(_TABLES, territory)
        assert counts is not None
        total, differences = 0, []
        for check in CHECKS:
            count, found = await _run(connection, check, territory)
            total += count
            differences += found
    return Audit(territory, started_at, utc_now(), counts[0], counts[1], total, tuple(differences))


async def _run(connection: "asyncpg.Connection[Any]", check: Check, territory: str) -> tuple[int, list[Difference]]:
    """What no longer can be read (text that was JSON once, a version that is gone) is a difference, too, and never the end."""
    try:
        return await _compare(connection, check, territory)
    except (asyncpg.DataError, asyncpg.PLPGSQLError) as error:
        unreadable = [one async for one in _list_unreadable(connection, check, territory)]
        if not unreadable:
            return 1, [Difference(check.name, "audit", check.name, "check", "an answer", str(error))]
    count, found = await _compare(connection, check, territory, left_out=[one.key for one in unreadable])
    return len(unreadable) + count, [*unreadable, *found][:_SHOWN]


async def _compare(
    connection: "asyncpg.Connection[Any]", check: Check, territory: str, *, left_out: Sequence[str] = ()
) -> tuple[int, list[Difference]]:
    query = f"SELECT *, count(*) OVER () FROM ({check.query}) AS found(a, b, c, d, e) ORDER BY 1, 2, 3 LIMIT {_SHOWN}"
    async with connection.transaction():  # a savepoint: what fails here leaves the other checks their snapshot
        rows = await connection.fetch(query, territory, *([list(left_out)] if check.documents else []))
    return (rows[0][5] if rows else 0), [Difference(check.name, *row[:5]) for row in map(tuple, rows)]


async def _list_unreadable(connection: "asyncpg.Connection[Any]", check: Check, territory: str) -> AsyncIterator[Difference]:
    """One by one, and only when the check has failed for all of them together."""
    for documents in check.documents:
        for key, text in await connection.fetch(documents.texts, territory):
            try:
                async with connection.transaction():
                    await connection.execute(documents.probe, text)
            except asyncpg.DataError as error:
                yield Difference(check.name, documents.table, key, "content", "JSON that can be read", str(error))

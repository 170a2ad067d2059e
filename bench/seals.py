"""Sealing and verifying against hashing the same rows alone, in one run.

The ledger: missions that were reserved, settled and delivered, with the history of their holds; everything that a real one
has on its busy days. The limit: each of the very same rows brought into its canonical form and hashed (SHA-256), all in
memory; no database, no file, no tree, no signature, nothing recomputed. Beside it the barest figure there is: SHA-256 over
bytes that are canonical already. `python -m bench.seals [ROWS]` (see docs/performance.md).
"""

import asyncio
import hashlib
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import asyncpg
import uvloop

from bench.report import print_report
from cli import embedded_postgres
from cli.ledger_verify.command import verify
from kernel.auth import Caller, make_key_pair
from kernel.database import Database
from kernel.migrate import create_database, database_name, upgrade, url_for
from kernel.work import open_work
from services.credits.domain.signing import SealKey, SealKeys
from services.credits.sealing.bundle import build_page
from services.credits.sealing.sealer import Sealer

ROOT = Path(__file__).parent.parent
TERRITORY = "92071"
PASSWORD = "only-for-benches"
PREFIX = "metis_bench_seals"
ROWS = 300_000
ROWS_A_MISSION = 5  # three transfers, two versions of its hold
MISSIONS_A_TRANSACTION = 500
ROUNDS = 3

# One association, one contributor, one lot: every version and balance has a closed form.
_ACCOUNTS = {"promised": 1, "delivered": 2, "pool": 3, "credit": 4, "held": 5, "served": 6}
_START = """
SET session_replication_role = replica;
SET metis.territory = '92071';
CREATE FUNCTION pg_temp.id(kind text, number bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS
  $$ SELECT (kind || '-0000-7000-8000-' || lpad(to_hex(number), 12, '0'))::uuid $$;
INSERT INTO campaign (territory, id, ref, title, starts_on, ends_on, operator_id, step_minutes, compensation_permille,
  hour_value_cents, expiry, state)
VALUES ('92071', pg_temp.id('0000000c', 1), 'banc', 'Banc', '2026-01-01', '2026-12-31', pg_temp.id('0000000c', 2), 15, 1000, 6000,
  'return', 'open');
"""
_ACCOUNT = """
INSERT INTO account (territory, id, campaign_id, kind, holder_id, lot_id, balance_minutes, version)
VALUES ('92071', pg_temp.id('0000000a', $1), pg_temp.id('0000000c', 1), $2, CASE WHEN $2 = 'pool' THEN pg_temp.id('0000000c', 1)
  WHEN $2 IN ('promised', 'delivered') THEN pg_temp.id('0000000e', 1) ELSE pg_temp.id('0000000f', 1) END,
  CASE WHEN $2 IN ('credit', 'held') THEN pg_temp.id('00000010', 1) END, $3, $4)
"""
_FACTS = """
INSERT INTO fact (territory, table_name, row_key, facts)
SELECT '92071', 'campaign', id::text, to_jsonb(c) - 'territory' FROM campaign c WHERE territory = '92071'
UNION ALL SELECT '92071', 'account', id::text, to_jsonb(a) - '{{territory,balance_minutes,version,moved_at}}'::text[]
FROM account a WHERE territory = '92071';
INSERT INTO lot (territory, id, campaign_id, association_id, minutes, expires_at)
VALUES ('92071', pg_temp.id('00000010', 1), pg_temp.id('0000000c', 1), pg_temp.id('0000000f', 1), {total}, '2027-01-01');
"""
_TRANSFERS = """
INSERT INTO transfer (territory, id, campaign_id, kind, from_account_id, from_version, from_balance_minutes, to_account_id,
  to_version, to_balance_minutes, minutes, who, why, effective_at, recorded_at, idempotency_key, mission_id)
SELECT '92071', pg_temp.id('00000001', n), pg_temp.id('0000000c', 1), kind, pg_temp.id('0000000a', source), from_version,
  from_balance,
  pg_temp.id('0000000a', target), to_version, to_balance, minutes, '0193a1f2-7d4c-7b1e-9a55-000000000001', why,
  '2026-04-01 09:00+00', clock_timestamp(), key, mission
FROM ({legs}) AS legs(n, kind, source, from_version, from_balance, target, to_version, to_balance, minutes, why, key, mission)
"""
_FUNDING = """
VALUES
  (1::bigint, 'pledge', 1, 1::bigint, -{total}::bigint, 3, 1::bigint, {total}::bigint, {total}::bigint, 'Promesse', 'p',
    NULL::uuid),
  (2, 'grant', 3, 2, 0, 4, 1, {total}, {total}, 'Dotation', 'g', NULL)
"""
_MISSIONS = """
SELECT 3 * i + leg, kind, source, from_version, from_balance, target, to_version, to_balance, 60, why,
  key || ':' || pg_temp.id('0000000b', i) || suffix, pg_temp.id('0000000b', i)
FROM generate_series($1::bigint, $2::bigint) AS i CROSS JOIN LATERAL (VALUES
  (0, 'reserve', 4, 1 + i, {total} - 60 * i, 5, 2 * i - 1, 60, 'Mission convenue : crédit réservé', 'reserve', ':1'),
  (1, 'settle', 5, 2 * i, 0, 6, i, 60 * i, 'Heures validées par l''association', 'settle-1', ':1'),
  (2, 'deliver', 2, i, -60 * i, 1, 1 + i, 60 * i - {total}, 'Heures validées par l''association', 'settle-1:deliver', '')
) AS legs(leg, kind, source, from_version, from_balance, target, to_version, to_balance, why, key, suffix)
"""
_HOLDS = """
INSERT INTO hold (territory, mission_id, campaign_id, association_id, contributor_id, minutes, served_minutes, ends_on, state,
  changed_at)
SELECT '92071', pg_temp.id('0000000b', i), pg_temp.id('0000000c', 1), pg_temp.id('0000000f', 1), pg_temp.id('0000000e', 1), 60,
  60, '2026-06-30', 'settled', '2026-04-02 09:00+00' FROM generate_series($1::bigint, $2::bigint) AS i
"""
_PARTS = """
INSERT INTO hold_part (territory, mission_id, number, lot_id, minutes, served_minutes)
SELECT '92071', pg_temp.id('0000000b', i), 1, pg_temp.id('00000010', 1), 60, 60 FROM generate_series($1::bigint, $2::bigint) AS i
"""
_HISTORY = """
INSERT INTO fact (territory, table_name, row_key, facts)
SELECT '92071', 'hold', mission_id::text, to_jsonb(h) - 'territory' || states FROM hold h
CROSS JOIN (VALUES ('{"state": "held", "served_minutes": 0}'::jsonb), ('{}')) AS v(states)
WHERE territory = '92071' AND mission_id BETWEEN pg_temp.id('0000000b', $1) AND pg_temp.id('0000000b', $2) ORDER BY mission_id, 1
"""


async def measure(admin_url: str, *, rows: int = ROWS) -> dict[str, float]:
    """Seal, export and verify a ledger of about so many rows on the server of `admin_url`; ratios to hashing them alone."""
    url = await create_database(admin_url, service="credits", password=PASSWORD, prefix=PREFIX)
    owner_url = url_for(admin_url, database=database_name("credits", prefix=PREFIX))
    folder = Path(tempfile.mkdtemp(prefix="metis-bench-"))
    try:
        await asyncio.to_thread(upgrade, owner_url, ROOT / "services" / "credits" / "migrations")
        await _fill(owner_url, missions=rows // ROWS_A_MISSION)
        return await _measure(url, folder / "bundle.ndjson")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        connection = await asyncpg.connect(admin_url)
        await connection.execute(f'DROP DATABASE "{database_name("credits", prefix=PREFIX)}" WITH (FORCE)')
        await connection.close()


async def _fill(owner_url: str, *, missions: int) -> None:
    connection: asyncpg.Connection[Any] = await asyncpg.connect(owner_url)
    total = 60 * missions
    await connection.execute(_START)
    last = {
        "promised": (0, 1 + missions), "delivered": (-total, missions), "pool": (0, 2), "credit": (0, 1 + missions),
        "held": (0, 2 * missions), "served": (total, missions),
    }  # fmt: skip
    for kind, number in _ACCOUNTS.items():
        await connection.execute(_ACCOUNT, number, kind, *last[kind])
    await connection.execute(_FACTS.format(total=total) + _TRANSFERS.format(legs=_FUNDING.format(total=total)))
    for first in range(1, missions + 1, MISSIONS_A_TRANSACTION):
        span = first, min(first + MISSIONS_A_TRANSACTION - 1, missions)
        async with connection.transaction():
            for statement in (_HOLDS, _PARTS, _TRANSFERS.format(legs=_MISSIONS.format(total=total)), _HISTORY):
                await connection.execute(statement, *span)
    await connection.execute("ANALYZE")
    await connection.close()


async def _measure(url: str, path: Path) -> dict[str, float]:
    database = Database(url, service="credits", pool_size=5)
    sealer = Sealer(SealKeys(SealKey.of_jwk(make_key_pair()[0])))
    started = time.perf_counter()
    sealed = await sealer.seal(database, TERRITORY)
    sealing_seconds = time.perf_counter() - started
    exporting_seconds = await _export(database, path)
    await database.close()
    with path.open("rb") as file:
        contents = [line[:-1] for line in file if line.startswith(b"[")][: sealed.rows]
    hashing_seconds = min(_time_hashing(contents) for _ in range(ROUNDS))
    bare_seconds = min(_time_bare_hashing(contents) for _ in range(ROUNDS))
    verifying = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        report = verify(path)
        verifying.append(time.perf_counter() - started)
        if not report.ok:
            raise RuntimeError(report.findings[0].text("en"))
    return {
        "sealer_vs_hashing": round(hashing_seconds / sealing_seconds, 3),
        "verifier_vs_hashing": round(hashing_seconds / min(verifying), 3),
        "sealer_vs_bare_sha256": round(bare_seconds / sealing_seconds, 3),
        "verifier_vs_bare_sha256": round(bare_seconds / min(verifying), 3),
        "rows": sealed.rows,
        "hashing_seconds": round(hashing_seconds, 3),
        "bare_sha256_seconds": round(bare_seconds, 3),
        "sealing_seconds": round(sealing_seconds, 3),
        "verifying_seconds": round(min(verifying), 3),
        "exporting_seconds": round(exporting_seconds, 3),
    }


def _time_hashing(contents: list[bytes]) -> float:
    rows = [json.loads(content) for content in contents]
    started = time.perf_counter()
    for row in rows:
        text = json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        hashlib.sha256(b"\0" + text.encode()).digest()
    return time.perf_counter() - started


def _time_bare_hashing(contents: list[bytes]) -> float:
    started = time.perf_counter()
    for content in contents:
        hashlib.sha256(content).digest()
    return time.perf_counter() - started


async def _export(database: Database, path: Path) -> float:
    started = time.perf_counter()
    after: int | None = 0
    with path.open("wb") as file:
        while after is not None:
            async with open_work(database, Caller.system(TERRITORY)) as work:
                page = await build_page(work, after_block=after)
            file.write(page.content)
            after = page.next_block
    return time.perf_counter() - started


def main(rows: int = ROWS) -> None:
    folder = Path(tempfile.mkdtemp(prefix="metis-bench-"))
    folder.chmod(0o755)
    server = embedded_postgres.start(folder / "data", password=PASSWORD, log=folder / "log", durable=True)
    try:
        result = uvloop.run(measure(server.url, rows=rows))
    finally:
        embedded_postgres.stop(server)
        shutil.rmtree(folder, ignore_errors=True)
    table = [
        [name, f"{result[f'{name}_seconds']:.2f}"] for name in ("bare_sha256", "hashing", "sealing", "verifying", "exporting")
    ]
    print_report(f"{result['rows']:,.0f} rows", ["", "seconds"], table, result)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))

"""What a balance and a page of a statement cost in a small ledger and in a large one (`--entries`, 10,000,000 at best).

One association whose credit and held accounts bear all the entries, the worst case: the same questions, in turn, in two
databases of one server. Ratios near 1 are the promise, by recorded and by effective time; a transfer in a hundred is
recorded days after its effect.
"""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import Template
from uuid import UUID

import asyncpg
import uvloop

from bench.report import percentile, print_report
from cli import embedded_postgres
from kernel.auth import Caller
from kernel.database import Database
from kernel.migrate import create_database, database_name, upgrade, url_for
from kernel.work import Work, open_work
from services.credits.domain.ledger import AccountKind
from services.credits.domain.statements import ASSOCIATION_ACCOUNTS, TOWN_ACCOUNTS, AsOf, Basis, Period, Scope
from services.credits.store.ledger import list_balances
from services.credits.store.statements import get_statement, list_balances_at

SMALL_ENTRIES = 10_000
TRIES, WARM_UPS = 200, 20
LINES = 50
PASSWORD = "only-for-benches"
TERRITORY = "92071"
CAMPAIGN, ASSOCIATION, LOT, CREDIT, HELD = (UUID(int=number) for number in range(1, 6))
# A million entries of one holder are a year's, ten million ten years'.
BEGAN, STEP = datetime(2016, 1, 1, tzinfo=UTC), timedelta(minutes=1)

# Reserved and given back, again and again: what the use cases would write, without their checks (they cost hours here).
_FILL = Template("""
SET session_replication_role = replica;
INSERT INTO campaign (territory, id, ref, title, starts_on, ends_on, operator_id, step_minutes, compensation_permille,
  hour_value_cents, expiry, state)
VALUES ('$territory', '$campaign', 'bench', 'Bench', '2016-01-01', '2099-12-31', '$campaign', 15, 600, 4500, 'return', 'open');
INSERT INTO account (territory, id, campaign_id, kind, holder_id, lot_id, balance_minutes, version) VALUES
  ('$territory', '$credit', '$campaign', 'credit', '$association', '$lot', 600 - 15 * ($transfers % 2), $transfers),
  ('$territory', '$held', '$campaign', 'held', '$association', '$lot', 15 * ($transfers % 2), $transfers);
INSERT INTO transfer (territory, id, campaign_id, kind, from_account_id, from_version, from_balance_minutes, to_account_id,
  to_version, to_balance_minutes, minutes, who, why, effective_at, recorded_at, idempotency_key)
SELECT '$territory', lpad(to_hex(n), 32, '0')::uuid, '$campaign', CASE n % 2 WHEN 1 THEN 'reserve' ELSE 'release' END,
  CASE n % 2 WHEN 1 THEN '$credit' ELSE '$held' END::uuid, n, CASE n % 2 WHEN 1 THEN 585 ELSE 0 END,
  CASE n % 2 WHEN 1 THEN '$held' ELSE '$credit' END::uuid, n, CASE n % 2 WHEN 1 THEN 15 ELSE 600 END,
  15, 'somebody', 'Mission convenue',
  '$began'::timestamptz + n * '$step'::interval - CASE n % 101 WHEN 0 THEN 1 + n / 101 % 5 ELSE 0 END * interval '24 hours',
  '$began'::timestamptz + n * '$step'::interval, 'bench:' || n
FROM generate_series(1, $transfers) AS n;
ANALYZE;
""")


def fill_script(*, territory: str, transfers: int) -> str:
    """For the owner of a migrated database; the ids are the same in every territory."""
    ids = {"campaign": CAMPAIGN, "association": ASSOCIATION, "lot": LOT, "credit": CREDIT, "held": HELD}
    return _FILL.substitute(ids, territory=territory, transfers=transfers, began=BEGAN, step=STEP)


Question = Callable[[Work, datetime], Awaitable[object]]
BY_EFFECT = Period(Basis.EFFECTIVE)
SCOPE, TOWN = Scope(CAMPAIGN, ASSOCIATION, ASSOCIATION_ACCOUNTS), Scope(CAMPAIGN, None, TOWN_ACCOUNTS)
QUESTIONS: dict[str, Question] = {
    "balance now": lambda work, at: list_balances(work, CAMPAIGN, AccountKind.CREDIT),
    "balance as recorded": lambda work, at: list_balances_at(work, CAMPAIGN, [CREDIT, HELD], AsOf(Basis.RECORDED, at)),
    "page, first": lambda work, at: get_statement(work, SCOPE, Period(), limit=LINES),
    "page, anywhere": lambda work, at: get_statement(work, SCOPE, Period(), after=at, limit=LINES),
    "page, of a period": lambda work, at: get_statement(work, SCOPE, Period(since=at), limit=LINES),
    "page of the campaign": lambda work, at: get_statement(work, TOWN, Period(), after=at, limit=LINES),
    "balance as effective": lambda work, at: list_balances_at(work, CAMPAIGN, [CREDIT, HELD], AsOf(Basis.EFFECTIVE, at)),
    "page by effect, first": lambda work, at: get_statement(work, SCOPE, BY_EFFECT, limit=LINES),
    "page by effect, anywhere": lambda work, at: get_statement(work, SCOPE, BY_EFFECT, after=at, limit=LINES),
    "page by effect, of a period": lambda work, at: get_statement(work, SCOPE, replace(BY_EFFECT, since=at), limit=LINES),
    "page by effect of the campaign": lambda work, at: get_statement(work, TOWN, BY_EFFECT, after=at, limit=LINES),
}


async def fill(server: embedded_postgres.Server, *, entries: int) -> Database:
    prefix = f"bench_{entries}"
    url = await create_database(server.url, service="credits", password=PASSWORD, prefix=prefix)
    owner_url = url_for(server.url, database=database_name("credits", prefix=prefix))
    migrations = Path(__file__).parent.parent / "services" / "credits" / "migrations"
    await asyncio.to_thread(upgrade, owner_url, migrations)
    owner = await asyncpg.connect(owner_url, timeout=30, command_timeout=7200)
    await owner.execute(fill_script(territory=TERRITORY, transfers=entries // 2))
    await owner.close()
    await owner_vacuum(owner_url)
    return Database(url, service="credits", pool_size=2)


async def owner_vacuum(owner_url: str) -> None:
    """What autovacuum does in the course of months."""
    owner = await asyncpg.connect(owner_url, command_timeout=7200)
    await owner.execute("VACUUM transfer")
    await owner.close()


async def ask(question: Question, ledgers: Sequence[tuple[Database, int]]) -> list[float]:
    """95 in a hundred tries took at most so many milliseconds in each ledger; in turn, each time at the same place by chance."""
    chance = random.Random(7)
    taken: list[list[float]] = [[] for _ in ledgers]
    for _ in range(TRIES + WARM_UPS):
        place = chance.random()
        for (database, entries), milliseconds in zip(ledgers, taken, strict=True):
            async with open_work(database, Caller.system(TERRITORY)) as work:
                began = time.perf_counter()
                await question(work, BEGAN + STEP * (place * entries / 2))
                milliseconds.append((time.perf_counter() - began) * 1000)
    return [percentile(milliseconds[WARM_UPS:], 0.95) for milliseconds in taken]


async def run(server: embedded_postgres.Server, *, large: int) -> None:
    ledgers = [(await fill(server, entries=entries), entries) for entries in (SMALL_ENTRIES, large)]
    rows: list[list[str]] = []
    result: dict[str, object] = {"entries": large}
    for name, question in QUESTIONS.items():
        p95 = await ask(question, ledgers)
        print(name, *(f"{value:.2f}" for value in p95), file=sys.stderr, flush=True)
        rows.append([name, f"{p95[0]:.2f}", f"{p95[1]:.2f}", f"{p95[1] / p95[0]:.2f}"])
        result[name.replace(", ", "_").replace(" ", "_")] = round(p95[1] / p95[0], 2)
    columns = ["p95, ms", f"{SMALL_ENTRIES:,} entries", f"{large:,} entries", "ratio"]
    print_report("Balances and pages of one association", columns, rows, result)
    for database, _ in ledgers:
        await database.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000, help="Of the large ledger.")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="metis-bench-"))
    folder.chmod(0o755)
    server = embedded_postgres.start(folder / "data", password=PASSWORD, log=folder / "log", durable=False)
    try:
        uvloop.run(run(server, large=arguments.entries))
    finally:
        embedded_postgres.stop(server)
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

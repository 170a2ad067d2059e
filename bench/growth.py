"""What a transfer costs as the ledger grows: from 10,000 entries to 10,000,000 (`--entries`), and from one territory to 1,000.

Batches of promises through the ledger's use case, in turn in a small and in a large database of one server; each batch is
committed. The figure is the median of what 16 transfers take, and its ratio: 1.2 at most is asked. `python -m bench.growth`.
"""

import argparse
import asyncio
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import uvloop

from bench.report import print_report
from bench.statements import CAMPAIGN, PASSWORD, fill_script
from cli import embedded_postgres
from kernel.auth import Caller, Role
from kernel.database import Database
from kernel.ids import new_id
from kernel.migrate import create_database, database_name, upgrade, url_for
from kernel.work import open_work
from services.credits.domain.campaigns import Promise
from services.credits.use_cases.pledges import decide_promises

BATCH = 16
ROUNDS = 200
CONTRIBUTORS = 50  # in each territory; their accounts are opened beforehand
SMALL_ENTRIES = 10_000
ENTRIES_A_TERRITORY = 1_000


@dataclass(frozen=True)
class Ledger:
    """A filled database, and whose promises go into it."""

    database: Database
    territories: Sequence[str]
    contributors: Sequence[object]

    async def promise(self, territory: str, *, count: int = BATCH) -> float:
        """Milliseconds of a batch by contributors by chance, committed."""
        officer = Caller(territory, f"{territory}.bench", None, new_id(), frozenset({Role.OFFICER}))
        chosen = random.sample(range(CONTRIBUTORS), count)
        began = time.perf_counter()
        async with open_work(self.database, officer) as work:
            asked = [
                (work, Promise(CAMPAIGN, str(new_id()), self.contributors[number], 15))  # type: ignore[arg-type]
                for number in chosen
            ]
            await decide_promises(work, asked)
        return (time.perf_counter() - began) * 1000


async def fill(server: embedded_postgres.Server, *, name: str, territories: int, entries: int) -> Ledger:
    """`entries` in each territory."""
    url = await create_database(server.url, service="credits", password=PASSWORD, prefix=name)
    owner_url = url_for(server.url, database=database_name("credits", prefix=name))
    await asyncio.to_thread(upgrade, owner_url, Path(__file__).parent.parent / "services" / "credits" / "migrations")
    owner = await asyncpg.connect(owner_url, command_timeout=7200)
    codes = [f"{10_000 + number:05d}" for number in range(territories)]
    for number, code in enumerate(codes, 1):
        script = fill_script(territory=code, transfers=entries // 2)
        await owner.execute(script if number == territories else script.replace("ANALYZE;", ""))
        if number % 100 == 0:
            print(f"  {name}: {number} territories", file=sys.stderr, flush=True)
    await owner.execute("VACUUM ANALYZE transfer")
    await owner.close()
    ledger = Ledger(Database(url, service="credits", pool_size=2), codes, [new_id() for _ in range(CONTRIBUTORS)])
    for code in codes:
        await ledger.promise(code, count=CONTRIBUTORS)
    return ledger


async def compare(small: Ledger, large: Ledger) -> tuple[float, float]:
    """Median milliseconds of a batch in each, in turn."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for ledger, milliseconds in zip((small, large), taken, strict=True):
            milliseconds.append(await ledger.promise(random.choice(ledger.territories)))
    return statistics.median(taken[0]), statistics.median(taken[1])


async def run(server: embedded_postgres.Server, *, entries: int, territories: int) -> None:
    small = await fill(server, name="small", territories=1, entries=SMALL_ENTRIES)
    large = await fill(server, name="large", territories=1, entries=entries)
    by_entries = await compare(small, large)
    one = await fill(server, name="one", territories=1, entries=territories * ENTRIES_A_TERRITORY)
    many = await fill(server, name="many", territories=territories, entries=ENTRIES_A_TERRITORY)
    by_territories = await compare(one, many)
    rows, result = [], {}
    for name, label, (before, after) in (
        ("entries_growth", f"{SMALL_ENTRIES:,} → {entries:,} entries", by_entries),
        ("territories_growth", f"1 → {territories:,} territories", by_territories),
    ):
        rows.append([label, f"{before:.2f}", f"{after:.2f}", f"{after / before:.2f}", "≤ 1.20"])
        result[name] = round(after / before, 3)
    columns = ["", f"{BATCH} transfers before, ms", "after, ms", "ratio", "target"]
    print_report("What a transfer costs as the ledger grows", columns, rows, result)
    for ledger in (small, large, one, many):
        await ledger.database.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=1_000_000, help="Of the large ledger.")
    parser.add_argument("--territories", type=int, default=1_000)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="metis-bench-"))
    folder.chmod(0o755)
    server = embedded_postgres.start(folder / "data", password=PASSWORD, log=folder / "log", durable=False)
    try:
        uvloop.run(run(server, entries=arguments.entries, territories=arguments.territories))
    finally:
        embedded_postgres.stop(server)
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

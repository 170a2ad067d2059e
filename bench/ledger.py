"""Transfers a second through the ledger's own use cases, against pgledger and the bare limit, in the same run.

Bare: one row inserted and committed a call. pgledger: its `pgledger_create_transfer` a call, no idempotency, no event (its SQL
is read from a file that is given: `python -m bench.ledger --pgledger FILE`; without it, the bare limit alone). Ours: through
the combiner, with keys, events in the outbox and all: promises into one campaign's pool (`hot`) or into those of campaigns by
chance (`random`), and reservations of missions by chance (`reserve`: a hold on the lots of an association and on the promise of a
contributor, which is compared with pgledger's plain transfer between random accounts). Callers share one process and its
event loop, as in the service. Rounds alternate; ratios are medians of the rounds' own. Mission events through the consumer
(bench/told.py) and sealing (bench/seals.py) come last.
"""

import argparse
import asyncio
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from uuid import UUID

import asyncpg
import uvloop

from bench import seals, told
from bench.report import percentile, print_report
from cli import embedded_postgres
from kernel import memory
from kernel.database import Database
from kernel.ids import new_id
from kernel.migrate import create_database, database_name, upgrade, url_for
from services.credits.domain.campaigns import Promise
from services.credits.use_cases.combiner import Combiner
from services.credits.use_cases.missions import Reservation, decide_missions
from services.credits.use_cases.pledges import decide_promises
from tests.builders.credits import Scene

TERRITORY = "92071"
ACCOUNTS = 1000
ASSOCIATIONS = 200
CAMPAIGNS = 50
SEALED_ROWS = 60_000
# Of the sealer and the verifier, against hashing the same rows (bench/seals.py).
BESIDES = {"sealer_vs_hashing": "≥ 0.1", "verifier_vs_hashing": "≥ 0.3"}
# With which of pgledger's loads each of ours is compared.
PEERS = {"hot": "hot", "random": "random", "reserve": "random"}
SECONDS = 2.0
ROUNDS = 5
CALLERS = (16, 64)
PASSWORD = "only-for-benches"

Call = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Speed:
    per_second: float
    p99_ms: float


async def run_callers(calls: list[Call], *, seconds: float = SECONDS) -> Speed:
    """Every caller calls again and again; what began in time counts."""
    latencies: list[float] = []
    began = time.perf_counter()
    until = began + seconds

    async def go_on(call: Call) -> None:
        while (started := time.perf_counter()) < until:
            await call()
            latencies.append(time.perf_counter() - started)

    await asyncio.gather(*map(go_on, calls))
    return Speed(len(latencies) / (time.perf_counter() - began), percentile(latencies, 0.99) * 1000)


Connections = Sequence["asyncpg.Connection[asyncpg.Record]"]


class Bare:
    """The limit: one row and one commit a call."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    async def start(self) -> None:
        await self.connections[0].execute("CREATE TABLE bare (id uuid PRIMARY KEY, amount bigint NOT NULL, body text NOT NULL)")

    def calls(self, callers: int) -> list[Call]:
        def make(connection: "asyncpg.Connection[asyncpg.Record]") -> Call:
            return lambda: connection.execute("INSERT INTO bare VALUES ($1, $2, $3)", new_id(), 15, "x" * 60)

        return [make(connection) for connection in self.connections[:callers]]


class PgLedger:
    """Its own functions, one connection a caller; accounts without bounds, as its documentation begins."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    async def start(self, sql: str) -> None:
        await self.connections[0].execute(sql)
        created = "SELECT id FROM pgledger_create_account($1, 'MIN')"
        self.accounts = [await self.connections[0].fetchval(created, f"account {number}") for number in range(ACCOUNTS)]

    def calls(self, callers: int, *, hot: bool) -> list[Call]:
        def make(connection: "asyncpg.Connection[asyncpg.Record]") -> Call:
            def call() -> Awaitable[object]:
                source, target = random.sample(self.accounts, 2)
                if hot:
                    target = self.accounts[0] if source != self.accounts[0] else self.accounts[1]
                return connection.fetch("SELECT id FROM pgledger_create_transfer($1, $2, '15')", source, target)

            return call

        return [make(connection) for connection in self.connections[:callers]]


class Ours:
    """A town with an open campaign, played through the use cases."""

    async def start(self, url: str) -> None:
        self.database = Database(url, service="credits", pool_size=8)
        self.scene = await Scene(self.database, TERRITORY).start()
        self.contributors = [new_id() for _ in range(ACCOUNTS)]
        self.promises = Combiner(self.database, decide_promises)
        self.missions = Combiner(self.database, decide_missions)
        await asyncio.gather(*(self.promise(contributor, minutes=10_000_000) for contributor in self.contributors))
        self.associations = [await self.scene.admit(entitled_minutes=10_000_000) for _ in range(ASSOCIATIONS)]
        await self.scene.sign()
        campaigns = [(await Scene(self.database, TERRITORY).start()).campaign_id for _ in range(CAMPAIGNS)]
        # As many accounts as pgledger's, opened beforehand like its own: what is compared is transfers.
        self.pairs = [(random.choice(campaigns), contributor) for contributor in self.contributors]
        await asyncio.gather(*(self.promise(contributor, campaign=campaign) for campaign, contributor in self.pairs))

    def promise(self, contributor: UUID | None = None, *, minutes: int = 15, campaign: UUID | None = None) -> Awaitable[object]:
        chosen = contributor or random.choice(self.contributors)
        command = Promise(campaign or self.scene.campaign_id, str(new_id()), chosen, minutes)
        return self.promises.submit(self.scene.officer, command)

    def promise_anywhere(self) -> Awaitable[object]:
        campaign, contributor = random.choice(self.pairs)
        return self.promise(contributor, campaign=campaign)

    def reserve(self) -> Awaitable[object]:
        association, contributor = random.choice(self.associations), random.choice(self.contributors)
        command = Reservation(new_id(), self.scene.campaign_id, association, contributor, 15, date(2099, 12, 31))
        return self.missions.submit(self.scene.officer, command)

    async def check(self) -> None:
        books = await self.scene.books()
        if books.sum_minutes or books.entries_sum_minutes or books.accounts_out_of_step:
            raise RuntimeError(f"the books do not agree after the bench: {books}")

    async def measure_bytes(self) -> float:
        """Of the table of transfers and its indexes; accounts grow with holders, not with transfers."""
        size = "SELECT pg_total_relation_size('transfer')::float8 / count(*) AS size FROM transfer"
        return float((await self.scene.fetch(size))[0]["size"])

    async def stop(self) -> None:
        await self.database.close()


Rounds = dict[str, list[Speed]]


async def measure(urls: dict[str, str], pgledger_sql: str | None) -> tuple[Rounds, dict[str, float]]:
    """The rounds of every side, and what else was measured of ours, by name."""
    connections = [await asyncpg.connect(urls["theirs"]) for _ in range(max(CALLERS))]
    bare, ours, pgledger = Bare(connections), Ours(), PgLedger(connections)
    await bare.start()
    await ours.start(urls["ours"])
    if pgledger_sql is not None:
        await pgledger.start(pgledger_sql)
    memory.settle()
    sides: dict[str, list[Call]] = {}
    for callers in CALLERS:
        sides[f"bare {callers}"] = bare.calls(callers)
        sides[f"ours hot {callers}"] = [ours.promise] * callers
        sides[f"ours random {callers}"] = [ours.promise_anywhere] * callers
        sides[f"ours reserve {callers}"] = [ours.reserve] * callers
        if pgledger_sql is not None:
            for kind in ("hot", "random"):
                sides[f"pgledger {kind} {callers}"] = pgledger.calls(callers, hot=kind == "hot")
    rounds: Rounds = {name: [] for name in sides}
    for calls in sides.values():
        await run_callers(calls, seconds=0.5)  # warm: prepared statements, plans, pages
    for number in range(ROUNDS):
        for name, calls in sides.items():
            rounds[name].append(await run_callers(calls))
        print(f"  round {number + 1} of {ROUNDS}", file=sys.stderr, flush=True)
    await ours.check()
    figures = {"bytes_per_transfer": await ours.measure_bytes()}
    figures |= await told.measure(ours.database, ours.scene, associations=ours.associations, contributors=ours.contributors)
    await ours.check()
    await ours.stop()
    for connection in connections:
        await connection.close()
    return rounds, figures


def report(rounds: Rounds, figures: dict[str, float], *, with_pgledger: bool) -> None:
    """`figures`: what was measured besides, by name."""
    rows = []
    for name, speeds in rounds.items():
        speed, p99 = (statistics.median(getattr(one, field) for one in speeds) for field in ("per_second", "p99_ms"))
        ratio = _ratio(rounds, name)
        rows.append([name, f"{speed:,.0f}", f"{p99:.1f}", f"{ratio:.2f}" if ratio else "", _target(name)])
    figures["plain_vs_bare"] = _median_ratio(rounds, "ours hot 16", "bare 16")
    figures["plain_per_second"] = statistics.median(one.per_second for one in rounds["ours hot 16"])
    if with_pgledger:
        for kind, theirs in PEERS.items():
            for callers in CALLERS:
                figures[f"{kind}_vs_pgledger_{callers}"] = _median_ratio(
                    rounds, f"ours {kind} {callers}", f"pgledger {theirs} {callers}"
                )
            figures[f"{kind}_vs_pgledger"] = min(figures[f"{kind}_vs_pgledger_{callers}"] for callers in CALLERS)
        figures["p99_vs_pgledger"] = statistics.median(
            a.p99_ms / b.p99_ms for a, b in zip(rounds["ours hot 64"], rounds["pgledger hot 64"], strict=True)
        )
    rows += [[f"{name} together, by the consumer", f"{figures[f'{name}_per_second']:,.0f}", "",
              f"{figures[f'{name}_together_vs_alone']:.2f}", "of each alone"] for name in ("agreed", "validated")]  # fmt: skip
    rows += [[name, "", "", f"{figures[name]:.2f}", target] for name, target in BESIDES.items()]
    rows.append(["bytes a transfer, with its indexes", "", "", f"{figures['bytes_per_transfer']:.0f}", "430 known"])
    print_report(
        "Ledger: transfers through the use cases",
        ["callers", "a second", "p99 ms", "ratio", "target"],
        rows,
        {name: round(value, 3) for name, value in figures.items()},
    )


def _median_ratio(rounds: Rounds, ours: str, theirs: str) -> float:
    return statistics.median(a.per_second / b.per_second for a, b in zip(rounds[ours], rounds[theirs], strict=True))


def _ratio(rounds: Rounds, name: str) -> float | None:
    """To pgledger where it was measured, for a plain transfer at 16 callers to the bare limit."""
    if not name.startswith("ours"):
        return None
    _, kind, callers = name.split()
    theirs = f"pgledger {PEERS[kind]} {callers}"
    return _median_ratio(rounds, name, theirs if theirs in rounds else f"bare {callers}")


def _target(name: str) -> str:
    return {"ours hot": "≥ 5 × pgledger", "ours random": "≥ 2.5 × pgledger"}.get(name.rpartition(" ")[0], "")


async def prepare(admin_url: str) -> dict[str, str]:
    """A database for each side; ours with its migrations, used by the service's own role."""
    connection = await asyncpg.connect(admin_url)
    await connection.execute("CREATE DATABASE bench_theirs")
    await connection.close()
    ours = await create_database(admin_url, service="credits", password=PASSWORD, prefix="bench")
    migrations = Path(__file__).parent.parent / "services/credits/migrations"
    owner = url_for(admin_url, database=database_name("credits", prefix="bench"))
    await asyncio.to_thread(upgrade, owner, migrations)
    return {"ours": ours, "theirs": url_for(admin_url, database="bench_theirs")}


async def run(admin_url: str, pgledger_sql: str | None) -> None:
    rounds, figures = await measure(await prepare(admin_url), pgledger_sql)
    print("  sealing and verifying", file=sys.stderr, flush=True)
    figures |= await seals.measure(admin_url, rows=SEALED_ROWS)
    report(rounds, figures, with_pgledger=pgledger_sql is not None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pgledger", type=Path, help="pgledger's SQL; without it, only the bare limit is compared with")
    arguments = parser.parse_args()
    sql = arguments.pgledger.read_text() if arguments.pgledger else None
    folder = Path(tempfile.mkdtemp(prefix="metis-bench-"))
    folder.chmod(0o755)
    server = embedded_postgres.start(folder / "data", password=PASSWORD, log=folder / "log")
    try:
        uvloop.run(run(server.url, sql))
    finally:
        embedded_postgres.stop(server)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()

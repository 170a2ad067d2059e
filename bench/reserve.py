"""Reserve and settle, and promise, over HTTP and through the gateway: how many a second, and where the time goes.

Each caller is a platform that keeps its own missions: it sets credit aside (`POST …/holds`), then spends it (`POST
…/settlements`). Associations and companies by chance. Processor time is that of each process between the first pair and
the last; time on the way is that of one caller alone, by its spans. Then companies promise hours (`PUT …/pledges/refs/…`),
taken many in one transaction, or each in its own with an Idempotency-Key. `python -m bench.reserve` (see docs/performance.md).
"""

import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from unittest import mock

import psutil
import uvloop
from aiohttp import ClientSession, TCPConnector

from bench import ledger
from bench.gateway import NO_LIMITS, TERRITORY
from bench.report import percentile, print_report
from cli.http import make_client
from cli.stack import Stack, run_stack
from cli.state import State
from cli.traces import Span, read_spans
from kernel.clock import local_date, utc_now
from kernel.ids import new_id
from tests.support.town import Town, admit_when_known, found_town
from tests.support.waiting import wait_until

PARTIES = 20
CALLERS = (1, 16, 64)
SECONDS = 8.0
ROUNDS = 3  # of promises, each way in turn
MINUTES = 15


@dataclass
class Run:
    """What some callers saw. Latencies in milliseconds."""

    pairs: int = 0
    seconds: float = 0.0
    reserve_ms: list[float] = field(default_factory=list)
    settle_ms: list[float] = field(default_factory=list)
    cpu_ms: dict[str, float] = field(default_factory=dict)  # processor time a pair, by process

    @property
    def per_second(self) -> float:
        return self.pairs / self.seconds


@dataclass(frozen=True)
class Stage:
    """A campaign with credit and promises enough."""

    town: Town
    platform: ClientSession  # a connection for each caller; it bears the platform's token
    campaign: str
    associations: list[str]
    companies: list[str]

    def reserve_body(self) -> dict[str, object]:
        return {
            "mission_id": str(new_id()),
            "association_id": random.choice(self.associations),
            "contributor_id": random.choice(self.companies),
            "minutes": MINUTES,
            "ends_on": str(local_date(utc_now()) + timedelta(days=30)),
        }


async def set_stage(town: Town) -> Stage:
    today = local_date(utc_now())
    body = {
        "title": "Mesure",
        "starts_on": str(today - timedelta(days=30)),
        "ends_on": str(today + timedelta(days=60)),
        "operator_id": town.ids["operator"],
        "compensation_permille": 1000,
        "conventions_required": False,
        "hour_value_cents": 6000,  # a euro of cut is a minute
    }
    campaign = str((await town.officer.put("/campaigns/refs/mesure", body))["id"])
    associations = [await town.actor(f"association-{number}", "association") for number in range(PARTIES)]
    companies = [await town.actor(f"company-{number}", "company") for number in range(PARTIES)]
    for association in associations:
        await admit_when_known(town, f"/campaigns/{campaign}/panel/{association}", 100_000_000, 0)
    for company in companies:
        pledge = {"contributor_id": company, "minutes": 1_000_000, "note": "mesure"}
        await town.officer.put(f"/campaigns/{campaign}/pledges/refs/{company}", pledge)
    await town.officer.post(f"/campaigns/{campaign}/opening", key="open")
    proposal = await town.officer.post(f"/campaigns/{campaign}/grant-proposals", key="propose")
    await town.officer.post(f"/campaigns/{campaign}/grants", {"proposal_id": proposal["id"]}, key="grant")
    client = await town.person("platform", ["partner"], scopes=["credits:read", "credits:reserve"])
    address, headers = f"{town.url}/v1/territories/{TERRITORY}/", {"authorization": f"Bearer {await client.token()}"}
    platform = ClientSession(address, connector=TCPConnector(limit=max(CALLERS)), headers=headers, raise_for_status=True)
    return Stage(town, platform, campaign, associations, companies)


async def run_callers(stage: Stage, stack: Stack, *, callers: int, seconds: float) -> Run:
    run = Run()
    processes = find_processes(stack)
    before = {name: _cpu_seconds(group) for name, group in processes.items()}
    own_before = time.process_time()
    began = time.perf_counter()

    async def go_on() -> None:
        while time.perf_counter() < began + seconds:
            body = stage.reserve_body()
            path = f"campaigns/{stage.campaign}/holds"
            started = time.perf_counter()
            await ask(stage.platform, path, body)
            reserved = time.perf_counter()
            await ask(stage.platform, f"{path}/{body['mission_id']}/settlements", {"minutes": MINUTES})
            run.reserve_ms.append((reserved - started) * 1000)
            run.settle_ms.append((time.perf_counter() - reserved) * 1000)
            run.pairs += 1

    await asyncio.gather(*(go_on() for _ in range(callers)))
    run.seconds = time.perf_counter() - began
    spent = {name: _cpu_seconds(group) - before[name] for name, group in processes.items()}
    spent["callers"] = time.process_time() - own_before
    run.cpu_ms = {name: seconds * 1000 / max(1, run.pairs) for name, seconds in spent.items()}
    return run


async def promise(stage: Stage, *, callers: int, seconds: float, keyed: bool) -> float:
    """Promises a second."""
    bearer = {"authorization": f"Bearer {await stage.town.officer.token()}"}

    async def call() -> None:
        path = f"campaigns/{stage.campaign}/pledges/refs/{new_id()}"
        body = {"contributor_id": random.choice(stage.companies), "minutes": MINUTES}
        headers = bearer | ({"idempotency-key": str(new_id())} if keyed else {})
        async with stage.platform.put(path, json=body, headers=headers) as answer:
            await answer.read()

    return (await ledger.run_callers([call] * callers, seconds=seconds)).per_second


async def measure_promises(stage: Stage) -> dict[int, list[tuple[float, float]]]:
    """By callers and round: a second together, and each in its own transaction."""
    found: dict[int, list[tuple[float, float]]] = {callers: [] for callers in CALLERS}
    for callers, rounds in found.items():
        await promise(stage, callers=callers, seconds=1, keyed=False)  # warm
        for _ in range(ROUNDS):
            speeds = [await promise(stage, callers=callers, seconds=SECONDS / 2, keyed=keyed) for keyed in (False, True)]
            rounds.append((speeds[0], speeds[1]))
        print(f"  {callers} callers promise", file=sys.stderr, flush=True)
    return found


def report_promises(found: dict[int, list[tuple[float, float]]]) -> None:
    rows: list[list[str]] = []
    result: dict[str, float] = {}
    for callers, rounds in found.items():
        together, apart = (statistics.median(speeds) for speeds in zip(*rounds, strict=True))
        ratio = statistics.median(one / other for one, other in rounds)
        rows.append([f"{callers} callers", f"{together:,.0f}", f"{apart:,.0f}", f"{ratio:.2f}"])
        result |= {f"promises_per_second_{callers}": round(together, 1), f"promises_together_vs_apart_{callers}": round(ratio, 2)}
    print_report("Promises through the gateway", ["", "a second", "with a key, each apart", "ratio"], rows, result)


async def ask(platform: ClientSession, path: str, body: dict[str, object]) -> None:
    async with platform.post(path, json=body) as answer:
        await answer.read()


def find_processes(stack: Stack) -> dict[str, list[psutil.Process]]:
    """By what they are; PostgreSQL is its postmaster with all that come from it, then or later."""
    found = {name: [psutil.Process(child.pid)] for name, child in stack.children.all.items() if child.pid}
    if stack.server is not None:
        found["postgresql"] = [psutil.Process(int((stack.state.postgres / "postmaster.pid").read_text().split()[0]))]
    return found


def _cpu_seconds(group: Iterable[psutil.Process]) -> float:
    """Of the processes, their living children, and those that ended."""
    total = 0.0
    for process in group:
        for one in (process, *process.children(recursive=True)):
            times = one.cpu_times()
            total += times.user + times.system
    return total


def read_way(spans: Iterable[Span], *, ending: str) -> dict[str, float]:
    """Median milliseconds of a request in the gateway and in credits, from traces of one caller alone."""
    taken: dict[str, list[float]] = {"gateway": [], "credits": []}
    for span in spans:
        if span.kind == "server" and span.service in taken and span.name.endswith(ending):
            taken[span.service].append((span.end_ns - span.start_ns) / 1e6)
    return {service: statistics.median(values) for service, values in taken.items() if values}


def report(runs: dict[int, Run], way: dict[str, dict[str, float]]) -> None:
    rows: list[list[str]] = []
    result: dict[str, object] = {}
    for callers, run in runs.items():
        p99 = [f"{percentile(values, 0.5):.1f} / {percentile(values, 0.99):.1f}" for values in (run.reserve_ms, run.settle_ms)]
        rows.append([f"{callers} callers", f"{run.per_second:,.0f}", *p99])
        result[f"pairs_per_second_{callers}"] = round(run.per_second, 1)
    print_report(
        "Reserve and settle through the gateway", ["", "pairs a second", "reserve p50/p99 ms", "settle p50/p99 ms"], rows, result
    )
    busiest = runs[max(runs)]
    rows = [[name, f"{ms:.2f}"] for name, ms in sorted(busiest.cpu_ms.items(), key=lambda item: -item[1])]
    rows.append(["together", f"{sum(busiest.cpu_ms.values()):.2f}"])
    print_report(
        f"Where the processor's time goes, {max(runs)} callers",
        ["process", "ms a pair"],
        rows,
        {f"cpu_ms_{name}": round(ms, 3) for name, ms in busiest.cpu_ms.items()},
    )
    alone = runs[min(runs)]
    rows = []
    for name, values in (("holds", alone.reserve_ms), ("settlements", alone.settle_ms)):
        spent = way[name]
        whole = statistics.median(values)
        rows.append([name, f"{whole:.2f}", f"{spent.get('gateway', 0):.2f}", f"{spent.get('credits', 0):.2f}"])
        result |= {f"{name}_ms": round(whole, 2), f"{name}_credits_ms": round(spent.get("credits", 0), 2)}
    print_report(
        "One request on its way, one caller alone, median ms",
        ["", "for the caller", "of it, in the gateway", "of that, in credits"],
        rows,
        result,
    )


async def measure(folder: Path) -> None:
    with mock.patch.dict(os.environ, NO_LIMITS):
        async with run_stack(State(folder / "state"), environment=NO_LIMITS) as stack, make_client(stack.url) as http:
            town = await found_town(http, stack.url, TERRITORY, admin_secret=stack.secrets.instance_admin_secret)
            stage = await set_stage(town)
            runs: dict[int, Run] = {}
            way: dict[str, dict[str, float]] = {}
            for callers in CALLERS:
                await run_callers(stage, stack, callers=callers, seconds=1)  # warm
                runs[callers] = await run_callers(stage, stack, callers=callers, seconds=SECONDS)
                print(f"  {callers} callers", file=sys.stderr, flush=True)
                if callers == min(CALLERS):
                    spans = await _read_spans(stack, requests=2 * runs[callers].pairs)
                    way = {name: read_way(spans, ending=f"/{name}") for name in ("holds", "settlements")}
            promises = await measure_promises(stage)
            await stage.platform.close()
            report(runs, way)
            report_promises(promises)


async def _read_spans(stack: Stack, *, requests: int) -> list[Span]:
    """Those written so far; waits until the gateway's of all requests are there."""
    found: list[Span] = []

    async def all_there() -> bool:
        found[:] = read_spans(stack.state.spans)
        return sum(one.service == "gateway" and one.kind == "server" for one in found) >= requests

    await wait_until(all_there, what="the spans to be written")
    return found


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="metis-bench-") as name:
        Path(name).chmod(0o755)
        uvloop.run(measure(Path(name)))


if __name__ == "__main__":
    main()

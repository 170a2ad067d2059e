"""Events from use case to committed effect, against bare aio-pika on the same RabbitMQ in the same run.

Ours: a use case (one transaction, one row, one event) in one process; outbox, relay, quorum queue; inbox,
handler (one row) and commit in another process; every span recorded. Bare: one process publishes with
confirms (100 under way), consumes and acknowledges as many bytes as our envelopes have, on a quorum queue. Both on uvloop.
Rounds alternate, so that a noisy neighbour troubles both. `python -m bench.bus` (see docs/performance.md).
"""

import asyncio
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import aio_pika
import asyncpg
import uvloop
from pydantic import SecretStr
from sqlalchemy import BigInteger, Column, Double, MetaData, Table, Text

from bench.report import percentile, print_report
from cli import embedded_postgres
from kernel import memory
from kernel.auth import Caller, make_key_pair
from kernel.bus.consumer import Handlers
from kernel.bus.service import Bus
from kernel.bus.transport import Delivery
from kernel.database import Database
from kernel.events import Event
from kernel.events.envelope import encode_event
from kernel.migrate import create_database, database_name, url_for
from kernel.settings import ServiceSettings
from kernel.tables import KERNEL_DDL
from kernel.telemetry import set_up_telemetry, span
from kernel.work import Work, open_work
from tests.support.broker import make_broker

EVENTS = 6000
ROUNDS = 3
CALLERS = 32
PACED_EVENTS_PER_SECOND = 300
PACED_SECONDS = 3
PACED_ROUNDS = 15
WINDOW = 100
BODY_BYTES = 508
TERRITORY = "92071"
PASSWORD = "only-for-benches"

metadata = MetaData()
thing = Table(
    "thing", metadata, Column("territory", Text), Column("number", BigInteger), Column("started", Double), Column("note", Text)
)
# Built once: SQLAlchemy then finds its compiled form by identity.
INSERT_THING = thing.insert()
THING_DDL = KERNEL_DDL + "CREATE TABLE thing (territory text NOT NULL, number bigint NOT NULL, started float8, note text)"


class ThingDone(Event):
    event_type: ClassVar[str] = "bench.thing_done.v1"
    number: int
    started: float
    note: str


def make_thing_done(number: int, started: float) -> ThingDone:
    """The event whose envelope has BODY_BYTES: the note fills what number (which is its subject, too) and start leave."""
    return ThingDone(number=number, started=started, note="x" * (ROOM_BYTES - 2 * len(str(number)) - len(repr(started))))


def _measure_room() -> int:
    """Bytes that the rest of the envelope leaves for subject, number, start and note."""
    number, started = 0, 0.0
    envelope = encode_event(
        ThingDone(number=number, started=started, note=""),
        id=uuid4(),
        source="/metis/teller",
        time=datetime(2026, 1, 1, microsecond=1, tzinfo=UTC),
        subject="",
        territory=TERRITORY,
        traceparent=f"00-{1:032x}-{1:016x}-01",
        actorid=Caller.system(TERRITORY).identity,
    )
    return BODY_BYTES - len(envelope) + len(str(number)) + len(repr(started))


ROOM_BYTES = _measure_room()


def make_settings(database_url: str, amqp_url: str, spans: str) -> ServiceSettings:
    return ServiceSettings(
        database_url=SecretStr(database_url),
        amqp_url=SecretStr(amqp_url),
        spans_file=spans,
        internal_public_keys=make_key_pair()[1],
        log_level="warning",
    )


async def do_thing(database: Database, number: int) -> None:
    """The use case: one row and one event, in one transaction."""
    started = time.time()
    with span("do thing"):
        async with open_work(database, Caller.system(TERRITORY)) as work:
            row = {"territory": TERRITORY, "number": number, "started": started, "note": "x"}
            await work.connection.execute(INSERT_THING, row)
            work.publish(make_thing_done(number, started), subject=str(number))


async def run_teller(database_url: str, amqp_url: str, spans: str) -> None:
    """Reads `N RATE` lines (rate 0: as fast as it goes) and does N use cases for each."""
    settings = make_settings(database_url, amqp_url, spans)
    provider = set_up_telemetry("teller", settings)
    database = Database(database_url, service="teller", pool_size=CALLERS)
    bus = asyncio.create_task(Bus("teller", database, Handlers(), settings).run())
    reader = await _stdin()
    print("ready", flush=True)
    while line := await reader.readline():
        count, rate = map(int, line.split())
        if rate:
            await _paced(database, count, rate)
        else:
            numbers = iter(range(count))
            await asyncio.gather(*(_caller(database, numbers) for _ in range(CALLERS)))
        print("done", flush=True)
    bus.cancel()
    await asyncio.gather(bus, return_exceptions=True)
    provider.shutdown()


async def _caller(database: Database, numbers: Any) -> None:
    for number in numbers:
        await do_thing(database, number)


async def _paced(database: Database, count: int, rate: int) -> None:
    began = time.perf_counter()
    tasks = []
    for number in range(count):
        await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(do_thing(database, number)))
    await asyncio.gather(*tasks)


async def run_listener(database_url: str, amqp_url: str, spans: str) -> None:
    """Prints, for each `N` line read, when the N-th effect was committed and each event's latency."""
    settings = make_settings(database_url, amqp_url, spans)
    provider = set_up_telemetry("listener", settings)
    database = Database(database_url, service="listener", pool_size=6)
    handlers = Handlers()
    latencies: list[float] = []
    target = asyncio.Event()
    wanted = 0

    @handlers.on(ThingDone)
    async def on_thing_done(work: Work, event: ThingDone) -> None:
        row = {"territory": work.territory, "number": event.number, "started": event.started, "note": event.note}
        await work.connection.execute(INSERT_THING, row)

    bus = Bus("listener", database, handlers, settings)
    handle_batch = bus.consumer.handle_batch

    async def measured(deliveries: Sequence[Delivery]) -> None:
        await handle_batch(deliveries)
        committed = time.time()
        latencies.extend(committed - json.loads(delivery.body)["data"]["started"] for delivery in deliveries)
        if len(latencies) >= wanted:
            target.set()

    bus.consumer.handle_batch = measured  # type: ignore[method-assign]
    running = asyncio.create_task(bus.run())
    reader = await _stdin()
    print("ready", flush=True)
    while line := await reader.readline():
        latencies.clear()
        target.clear()
        wanted = int(line)
        print("counting", flush=True)
        await target.wait()
        print(json.dumps({"finished": time.time(), "latencies": latencies}), flush=True)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    provider.shutdown()


async def _stdin() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def run_bare(amqp_url: str, count: int, rate: int) -> tuple[float, list[float]]:
    """Seconds from the first publish to the last acknowledgement, and each message's latency."""
    connection = await aio_pika.connect(amqp_url)
    async with connection, connection.channel() as publishing, connection.channel() as consuming:
        await consuming.set_qos(prefetch_count=200)
        queue = await consuming.declare_queue(f"bare-{uuid4()}", durable=True, arguments={"x-queue-type": "quorum"})
        latencies: list[float] = []
        finished = asyncio.Event()

        async def on_message(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            await message.ack()
            latencies.append(time.time() - float(message.body[:20]))
            if len(latencies) == count:
                finished.set()

        await queue.consume(on_message)
        window = asyncio.Semaphore(WINDOW)

        async def publish() -> None:
            async with window:
                body = f"{time.time():020.6f}".encode().ljust(BODY_BYTES, b"x")
                message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
                await publishing.default_exchange.publish(message, routing_key=queue.name)

        began = time.perf_counter()
        tasks = []
        for number in range(count):
            if rate:
                await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            tasks.append(asyncio.create_task(publish()))
        await asyncio.gather(*tasks)
        await finished.wait()
        seconds = time.perf_counter() - began
        await queue.delete(if_unused=False, if_empty=False)
    return seconds, latencies


class Ours:
    """The two processes of our side."""

    def __init__(self, teller: asyncio.subprocess.Process, listener: asyncio.subprocess.Process) -> None:
        self._teller = teller
        self._listener = listener

    @classmethod
    async def start(cls, urls: dict[str, str], amqp_url: str, spans: str) -> "Ours":
        processes = []
        for role in ("listener", "teller"):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bench.bus", role, urls[role], amqp_url, spans,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 26,
            )  # fmt: skip
            await _expect(process, "ready")
            processes.append(process)
        await asyncio.sleep(2)  # the consumer binds its queue before the first event
        return cls(processes[1], processes[0])

    async def run(self, count: int, rate: int) -> tuple[float, list[float]]:
        """Seconds from the first use case to the last effect committed, and each event's latency."""
        await _say(self._listener, f"{count}")
        await _expect(self._listener, "counting")
        began = time.time()
        await _say(self._teller, f"{count} {rate}")
        assert self._listener.stdout is not None
        answer = json.loads(await self._listener.stdout.readline())
        await _expect(self._teller, "done")
        return answer["finished"] - began, answer["latencies"]

    async def stop(self) -> None:
        for process in (self._teller, self._listener):
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()


async def _say(process: asyncio.subprocess.Process, line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line.encode() + b"\n")
    await process.stdin.drain()


async def _expect(process: asyncio.subprocess.Process, word: str) -> None:
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode().strip()
    if line != word:
        raise RuntimeError(f"a bench process said {line!r} instead of {word!r}")


async def make_databases(admin_url: str) -> dict[str, str]:
    urls = {}
    for service in ("teller", "listener"):
        urls[service] = await create_database(admin_url, service=service, password=PASSWORD, prefix="bench")
        owner = await asyncpg.connect(url_for(admin_url, database=database_name(service, prefix="bench")))
        await owner.execute(THING_DDL)
        await owner.close()
    return urls


async def measure(admin_url: str, amqp_url: str, folder: Path) -> None:
    ours = await Ours.start(await make_databases(admin_url), amqp_url, str(folder / "spans.jsonl"))
    await ours.run(1000, 0)  # warm: caches, prepared statements, the queue's first segment
    await run_bare(amqp_url, 1000, 0)
    speeds: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        our_seconds, _latencies = await ours.run(EVENTS, 0)
        bare_seconds, _latencies = await run_bare(amqp_url, EVENTS, 0)
        speeds.append((EVENTS / our_seconds, EVENTS / bare_seconds))
        print(f"  {speeds[-1][0]:.0f}/s ours, {speeds[-1][1]:.0f}/s bare", file=sys.stderr, flush=True)
    paced = PACED_EVENTS_PER_SECOND * PACED_SECONDS
    latencies: dict[int, list[tuple[float, float]]] = {50: [], 99: []}
    for _ in range(PACED_ROUNDS):
        _, our_latencies = await ours.run(paced, PACED_EVENTS_PER_SECOND)
        _, bare_latencies = await run_bare(amqp_url, paced, PACED_EVENTS_PER_SECOND)
        for share, pairs in latencies.items():
            pairs.append((percentile(our_latencies, share / 100), percentile(bare_latencies, share / 100)))
        shown = ", ".join(f"p{share} {a * 1000:.1f}/{b * 1000:.1f} ms" for share, (*_, (a, b)) in latencies.items())
        print(f"  {shown}", file=sys.stderr, flush=True)
    await ours.stop()
    report(speeds, latencies)


def report(speeds: list[tuple[float, float]], latencies: dict[int, list[tuple[float, float]]]) -> None:
    """Each ratio is the median of the rounds' own ratios: a neighbour's noise falls on both sides of a round."""
    our_speed, bare_speed, ratio = _middle(speeds)
    figures = {"ratio": ratio}
    rows = [["events/s, flat out", f"{our_speed:,.0f}", f"{bare_speed:,.0f}", f"{ratio:.2f}", "≥ 0.50"]]
    for share, pairs in latencies.items():
        a, b, ratio = _middle(pairs)
        figures[f"p{share}_ratio"] = ratio
        rows.append([f"p{share} ms at {PACED_EVENTS_PER_SECOND}/s", f"{a * 1000:.1f}", f"{b * 1000:.1f}", f"{ratio:.1f}", "≤ 5"])
    figures |= {"events_per_second": our_speed, "bare_events_per_second": bare_speed}
    print_report(
        "Bus: use case → outbox → RabbitMQ → inbox → effect committed, traced",
        ["", "ours", "bare aio-pika", "ratio", "target"],
        rows,
        {name: round(value, 3) for name, value in figures.items()},
    )


def _middle(pairs: list[tuple[float, float]]) -> tuple[float, float, float]:
    """The median of ours, of theirs, and of the rounds' ratios."""
    ours, theirs = zip(*pairs, strict=True)
    return statistics.median(ours), statistics.median(theirs), statistics.median(a / b for a, b in pairs)


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="metis-bench-"))
    folder.chmod(0o755)
    server = embedded_postgres.start(folder / "data", password=PASSWORD, log=folder / "log")
    broker = make_broker()
    try:
        uvloop.run(measure(server.url, broker.url, folder))
    finally:
        broker.remove()
        embedded_postgres.stop(server)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        role, *arguments = sys.argv[1:]
        memory.settle()
        uvloop.run({"teller": run_teller, "listener": run_listener}[role](*arguments))

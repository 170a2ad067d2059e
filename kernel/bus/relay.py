"""The relay: takes events from the outbox to the broker, and deletes what the broker confirmed.

One relay per service (advisory lock; replicas stand by). Rows are deleted by their own sequence, never
skipped by a cursor: a slow transaction's rows appear below newer ones. A batch may go out while the last one
waits for its confirms, but two events of one subject are never under way together: the second goes out when
the first is confirmed.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Collection, Sequence
from typing import Any

import asyncpg
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from kernel.bus.transport import EXCHANGE, Outgoing, Transport
from kernel.database import Database
from kernel.jobs import Leadership, until_woken
from kernel.telemetry import PUBLISH_FAILURES, PUBLISHED, context_from, span_context_of, tracer

log = logging.getLogger("metis.bus.relay")

BATCH = 200
# Batches under way at once: one more than one, so that nothing waits for the confirms of others. More would only
# make the batches smaller when there is much to do.
LANES = 2
MOST_HELD = 1000
POLL_SECONDS = 1.0
# What is confirmed is deleted with the next reading, or after this when there is nothing to read.
LINGER_SECONDS = 0.05
BACKOFF_SECONDS = (0.1, 0.5, 1, 2, 5)
CHANNEL = "metis_outbox"

# Delete what was confirmed and read what waits, in one round trip; both see the table as it was, hence `<> ALL` of both.
_NEXT = f"""
WITH confirmed AS (DELETE FROM outbox WHERE sequence = ANY($1::bigint[]))
SELECT sequence, event_id, type, subject, body, traceparent FROM outbox
WHERE sequence <> ALL($1::bigint[]) AND sequence <> ALL($2::bigint[]) ORDER BY sequence LIMIT {BATCH}
"""


class _Held:
    """What was read from the outbox and is still there. Of each subject the first event is under way, and the
    others wait behind it."""

    def __init__(self) -> None:
        self.sequences: set[int] = set()
        self.confirmed: list[int] = []
        self._by_subject: dict[str, deque[asyncpg.Record]] = {}

    def take(self, rows: Sequence[asyncpg.Record]) -> list[asyncpg.Record]:
        """Hold what was read, in its order; returns what may go out now."""
        sendable = []
        for row in rows:
            self.sequences.add(row["sequence"])
            if waiting := self._by_subject.get(row["subject"]):
                waiting.append(row)
            else:
                self._by_subject[row["subject"]] = deque([row])
                sendable.append(row)
        return sendable

    def settle(self, sent: Sequence[asyncpg.Record], failed: Collection[Any]) -> list[asyncpg.Record]:
        """Note what the broker confirmed; returns the next ones of those subjects. Where one failed, its whole
        subject is let go: it stays in the outbox and is read again."""
        sendable = []
        for row in sent:
            waiting = self._by_subject[row["subject"]]
            if row["event_id"] in failed:
                self.sequences.difference_update(other["sequence"] for other in waiting)
                waiting.clear()
            else:
                self.confirmed.append(waiting.popleft()["sequence"])
            if waiting:
                sendable.append(waiting[0])
            else:
                del self._by_subject[row["subject"]]
        return sendable

    def take_confirmed(self) -> list[int]:
        confirmed, self.confirmed = self.confirmed, []
        self.sequences.difference_update(confirmed)
        return confirmed


class Relay:
    def __init__(self, service: str, database: Database, transport: Transport) -> None:
        self._service = service
        self._database = database
        self._transport = transport
        self._wake = asyncio.Event()
        self._lanes = 0
        self._failures = 0
        self._leads = False
        self._notices: set[asyncio.Task[None]] = set()

    def on_published(self) -> None:
        """Called after a commit that wrote to the outbox. In the leading process this costs nothing; a
        standby sends one NOTIFY, since NOTIFY holds a lock on the whole database while it commits."""
        if self._leads:
            self._wake.set()
        elif not self._notices:
            task = asyncio.create_task(self._notify())
            self._notices.add(task)
            task.add_done_callback(self._notices.discard)

    async def _notify(self) -> None:
        try:
            async with self._database.transaction("*") as (_, driver):
                await driver.execute(f"NOTIFY {CHANNEL}")
        except Exception as error:
            log.info("could not wake the relay (it polls): %r", error)

    async def run(self) -> None:
        """Relay for ever; a lost database or broker is waited for."""
        while True:
            try:
                async with Leadership(self._database.url, "relay") as leadership:
                    await self._lead(leadership)
            except* (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as errors:
                log.warning("the relay lost its database: %r", errors.exceptions)
            finally:
                self._leads = False
                for notice in self._notices:
                    notice.cancel()
            await asyncio.sleep(1)

    async def _lead(self, leadership: Leadership) -> None:
        connection = leadership.connection
        # A deletion that a crash forgets only publishes an event again, which the inbox knows: no need to wait for the disk.
        await connection.execute("SET synchronous_commit = off")
        await connection.add_listener(CHANNEL, lambda *_: self._wake.set())
        self._leads, self._lanes, self._failures = True, 0, 0
        held = _Held()
        async with asyncio.TaskGroup() as lanes:
            while leadership.holds:
                if self._failures:
                    await asyncio.sleep(BACKOFF_SECONDS[min(self._failures, len(BACKOFF_SECONDS)) - 1])
                self._wake.clear()
                rows = await connection.fetch(_NEXT, held.take_confirmed(), held.sequences)
                if sendable := held.take(rows):
                    self._lanes += 1
                    lanes.create_task(self._send(sendable, held))
                if self._lanes == LANES or len(held.sequences) >= MOST_HELD:
                    await self._until_settled(held)
                elif len(rows) < BATCH:
                    await until_woken(self._wake, LINGER_SECONDS if held.confirmed else POLL_SECONDS)

    async def _until_settled(self, held: _Held) -> None:
        while self._lanes == LANES or len(held.sequences) - len(held.confirmed) >= MOST_HELD:
            self._wake.clear()
            await self._wake.wait()

    async def _send(self, rows: Sequence[asyncpg.Record], held: _Held) -> None:
        """Publish a batch, then what waited behind it. What fails stays in the outbox."""
        while rows:
            started = time.time_ns()
            failed = await self._transport.publish(
                [Outgoing(row["event_id"], row["type"], row["subject"], row["body"]) for row in rows]
            )
            self._trace(rows, failed, started_ns=started)
            PUBLISHED.labels(self._service).inc(len(rows) - len(failed))
            if failed:
                PUBLISH_FAILURES.labels(self._service).inc(len(failed))
                log.warning("%d of %d events stay in the outbox: %s", len(failed), len(rows), next(iter(failed.values())))
            self._failures = self._failures + 1 if failed else 0
            rows = held.settle(rows, failed)
        self._lanes -= 1
        if self._failures or self._lanes == LANES - 1:
            self._wake.set()

    def _trace(self, rows: Sequence[asyncpg.Record], failed: dict[Any, str], *, started_ns: int) -> None:
        """A span for the sending. One event's is a child in its trace; a batch's has a link to each of its traces
        (semantic conventions for messaging: the message itself carries the span that created it)."""
        first = rows[0]
        alone = len(rows) == 1
        attributes: dict[str, str | int] = {
            "messaging.system": self._transport.system,
            "messaging.operation.type": "send",
            "messaging.destination.name": EXCHANGE,
        }
        if alone:
            attributes["messaging.message.id"] = str(first["event_id"])
        else:
            attributes["messaging.batch.message_count"] = len(rows)
        span = tracer().start_span(
            f"send {first['type'] if alone else EXCHANGE}",
            context=context_from(first["traceparent"] if alone else None),
            links=[] if alone else [Link(context) for row in rows if (context := span_context_of(row["traceparent"]))],
            kind=SpanKind.PRODUCER,
            start_time=started_ns,
            attributes=attributes,
        )
        if failed:
            span.set_status(Status(StatusCode.ERROR, f"{len(failed)} of {len(rows)}: {next(iter(failed.values()))}"))
        span.end()

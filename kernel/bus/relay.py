"""The relay: takes events from the outbox to the broker, and deletes what the broker confirmed.

One relay per service (advisory lock; replicas stand by). Rows are deleted by their own sequence, never
skipped by a cursor: a slow transaction's rows appear below newer ones. A batch may go out while the last one
waits for its confirms, but two events of one subject are never under way together: the second goes out when
the first is confirmed.

What this process has just committed is sent without reading it back, unless an earlier event of its subject waits
in the outbox still (docs/adr/0013). All else is read: what other replicas wrote, what failed, what a crash left.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from typing import Any
from uuid import UUID

import asyncpg
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from kernel.bus.transport import EXCHANGE, Outgoing, Transport
from kernel.cancellation import raise_if_cancelled
from kernel.database import ANY_DATABASE_ERROR, Database
from kernel.jobs import Leadership, until_woken
from kernel.telemetry import PUBLISH_FAILURES, PUBLISHED, context_from, span_context_of, tracer

log = logging.getLogger("metis.bus.relay")

BATCH = 200
# Batches under way at once: one more than one, so that nothing waits for the confirms of others. More would only
# make the batches smaller when there is much to do.
LANES = 2
MOST_HELD = 1000
POLL_SECONDS = 1.0
# What is confirmed is deleted with the next reading, and no later than this.
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
    """The events that we have of the outbox and that are still there. Of each subject the first is ready to go
    out or under way, and the others wait behind it."""

    def __init__(self) -> None:
        self.sequences: set[int] = set()
        self.ready: list[Outgoing] = []
        self.confirmed: list[int] = []
        self.failures = 0  # how often a subject was let go
        self._by_subject: dict[str, deque[Outgoing]] = {}

    def take(self, events: Iterable[Outgoing]) -> None:
        """Hold events in their order; what is held already stays where it is."""
        for event in events:
            if event.sequence in self.sequences:
                continue
            self.sequences.add(event.sequence)
            if waiting := self._by_subject.get(event.subject):
                waiting.append(event)
            else:
                self._by_subject[event.subject] = deque([event])
                self.ready.append(event)

    def take_ready(self) -> list[Outgoing]:
        ready, self.ready = self.ready[:BATCH], self.ready[BATCH:]
        return ready

    def settle(self, sent: Sequence[Outgoing], failed: Collection[UUID]) -> list[Outgoing]:
        """Note what the broker confirmed; returns the next ones of those subjects. Where one failed, its whole
        subject is let go: it stays in the outbox and is read again."""
        sendable = []
        for event in sent:
            waiting = self._by_subject[event.subject]
            if event.event_id in failed:
                self.failures += 1
                self.sequences.difference_update(other.sequence for other in waiting)
                waiting.clear()
            else:
                self.confirmed.append(waiting.popleft().sequence)
            if waiting:
                sendable.append(waiting[0])
            else:
                del self._by_subject[event.subject]
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
        self._held = _Held()
        self._leads = False
        self._must_read = True
        self._lanes = 0
        self._failures = 0
        self._notices: set[asyncio.Task[None]] = set()

    def on_published(self, at_hand: Sequence[Outgoing]) -> None:
        """Called after a commit that wrote to the outbox. The leading process sends without reading back what is
        at hand; a standby sends one NOTIFY, since NOTIFY holds a lock on the whole database while it commits."""
        if self._leads:
            if at_hand and len(self._held.sequences) < MOST_HELD and not self._failures:
                self._held.take(at_hand)
            else:
                self._must_read = True
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

    def _on_notice(self, *_: object) -> None:
        self._must_read = True
        self._wake.set()

    async def run(self) -> None:
        """Relay for ever; a lost database or broker is waited for."""
        while True:
            raise_if_cancelled()
            try:
                async with Leadership(self._database.url, "relay") as leadership:
                    await self._lead(leadership)
            except* ANY_DATABASE_ERROR as errors:
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
        await connection.add_listener(CHANNEL, self._on_notice)
        self._held, self._lanes, self._failures = _Held(), 0, 0
        self._leads = self._must_read = True
        async with asyncio.TaskGroup() as lanes:
            read_at = 0.0
            while leadership.holds:
                raise_if_cancelled()
                self._wake.clear()
                # What is at hand does not wait for the reading.
                if self._lanes < LANES and (ready := self._held.take_ready()):
                    self._lanes += 1
                    lanes.create_task(self._send(ready))
                if self._must_read or time.monotonic() - read_at >= LINGER_SECONDS:
                    await self._read(connection)
                    read_at = time.monotonic()
                await self._wait()

    async def _read(self, connection: "asyncpg.Connection[Any]") -> None:
        """Delete what is confirmed, and take what others left in the outbox."""
        failures = self._held.failures
        rows = await connection.fetch(_NEXT, self._held.take_confirmed(), self._held.sequences)
        if self._held.failures != failures:
            # What failed meanwhile was held when we asked, and is not among the rows; later ones of its subject may be.
            self._must_read = True
            return
        self._held.take(Outgoing(**row) for row in rows)
        self._must_read = len(rows) == BATCH

    async def _wait(self) -> None:
        """Until there is something to read or to send."""
        if self._failures:
            await asyncio.sleep(BACKOFF_SECONDS[min(self._failures, len(BACKOFF_SECONDS)) - 1])
            self._must_read = True
        while self._lanes == LANES or len(self._held.sequences) - len(self._held.confirmed) >= MOST_HELD:
            self._wake.clear()
            await self._wake.wait()
        if not self._must_read and not self._held.ready:
            await until_woken(self._wake, LINGER_SECONDS if self._held.confirmed or self._lanes else POLL_SECONDS)

    async def _send(self, events: Sequence[Outgoing]) -> None:
        """Publish a batch, then what waited behind it. What fails stays in the outbox."""
        while events:
            started = time.time_ns()
            failed = await self._transport.publish(events)
            self._trace(events, failed, started_ns=started)
            PUBLISHED.labels(self._service).inc(len(events) - len(failed))
            if failed:
                PUBLISH_FAILURES.labels(self._service).inc(len(failed))
                log.warning("%d of %d events stay in the outbox: %s", len(failed), len(events), next(iter(failed.values())))
            self._failures = self._failures + 1 if failed else 0
            events = self._held.settle(events, failed)
        self._lanes -= 1
        if self._failures or self._lanes == LANES - 1:
            self._wake.set()

    def _trace(self, events: Sequence[Outgoing], failed: dict[UUID, str], *, started_ns: int) -> None:
        """A span for the sending. One event's is a child in its trace; a batch's has a link to each of its traces
        (semantic conventions for messaging: the message itself carries the span that created it)."""
        first = events[0]
        alone = len(events) == 1
        attributes: dict[str, str | int] = {
            "messaging.system": self._transport.system,
            "messaging.operation.type": "send",
            "messaging.destination.name": EXCHANGE,
        }
        if alone:
            attributes["messaging.message.id"] = str(first.event_id)
        else:
            attributes["messaging.batch.message_count"] = len(events)
        span = tracer().start_span(
            f"send {first.type if alone else EXCHANGE}",
            context=context_from(first.traceparent if alone else None),
            links=[] if alone else [Link(context) for event in events if (context := span_context_of(event.traceparent))],
            kind=SpanKind.PRODUCER,
            start_time=started_ns,
            attributes=attributes,
        )
        if failed:
            span.set_status(Status(StatusCode.ERROR, f"{len(failed)} of {len(events)}: {next(iter(failed.values()))}"))
        span.end()

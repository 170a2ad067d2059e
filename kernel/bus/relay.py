"""The relay: takes events from the outbox to the broker, and deletes what the broker confirmed.

One relay per service (advisory lock; replicas stand by). Rows are deleted by their own sequence, never
skipped by a cursor: a slow transaction's rows appear below newer ones. Within a batch, two events of one
subject are never under way together: the second goes out when the first is confirmed.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

import asyncpg
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from kernel.bus.transport import EXCHANGE, Outgoing, Transport
from kernel.database import Database
from kernel.jobs import Leadership
from kernel.telemetry import PUBLISH_FAILURES, PUBLISHED, context_from, span_context_of, tracer

log = logging.getLogger("metis.bus.relay")

BATCH = 200
POLL_SECONDS = 1.0
BACKOFF_SECONDS = (0.1, 0.5, 1, 2, 5)
CHANNEL = "metis_outbox"

# Delete what was confirmed and read what waits, in one round trip; both see the table as it was, hence `<> ALL`.
_NEXT = f"""
WITH confirmed AS (DELETE FROM outbox WHERE sequence = ANY($1::bigint[]))
SELECT sequence, event_id, type, subject, body, traceparent FROM outbox
WHERE sequence <> ALL($1::bigint[]) ORDER BY sequence LIMIT {BATCH}
"""


class Relay:
    def __init__(self, service: str, database: Database, transport: Transport) -> None:
        self._service = service
        self._database = database
        self._transport = transport
        self._wake = asyncio.Event()
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
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
                log.warning("the relay lost its database: %r", error)
                await asyncio.sleep(1)
            finally:
                self._leads = False
                for notice in self._notices:
                    notice.cancel()

    async def _lead(self, leadership: Leadership) -> None:
        connection = leadership.connection
        # A deletion that a crash forgets only publishes an event again, which the inbox knows: no need to wait for the disk.
        await connection.execute("SET synchronous_commit = off")
        await connection.add_listener(CHANNEL, lambda *_: self._wake.set())
        self._leads = True
        failures = 0
        confirmed: list[int] = []
        while leadership.holds:
            self._wake.clear()
            rows = await connection.fetch(_NEXT, confirmed)
            confirmed = []
            if rows:
                confirmed = await self._publish(rows)
                failures = failures + 1 if len(confirmed) < len(rows) else 0
                if failures:
                    await asyncio.sleep(BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS)) - 1])
            else:
                await self._wait()

    async def _wait(self) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), POLL_SECONDS)
        except TimeoutError:
            return  # A wake-up can be missed; the poll cannot.

    async def _publish(self, rows: Sequence[asyncpg.Record]) -> list[int]:
        """Publish a batch; returns the sequences of what the broker confirmed. The others stay."""
        stuck: set[str] = set()
        confirmed: list[int] = []
        for wave in _waves(rows):
            sendable = [row for row in wave if row["subject"] not in stuck]
            if not sendable:
                continue
            started = time.time_ns()
            failed = await self._transport.publish(
                [Outgoing(row["event_id"], row["type"], row["subject"], row["body"]) for row in sendable]
            )
            self._trace(sendable, failed, started_ns=started)
            stuck |= {row["subject"] for row in sendable if row["event_id"] in failed}
            confirmed += [row["sequence"] for row in sendable if row["event_id"] not in failed]
            PUBLISHED.labels(self._service).inc(len(sendable) - len(failed))
            if failed:
                PUBLISH_FAILURES.labels(self._service).inc(len(failed))
                log.warning("%d of %d events stay in the outbox: %s", len(failed), len(wave), next(iter(failed.values())))
        return confirmed

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


def _waves(rows: Sequence[asyncpg.Record]) -> list[list[asyncpg.Record]]:
    """Split a batch so that no wave holds two events of one subject, keeping each subject's order."""
    waves: list[list[asyncpg.Record]] = []
    depth: dict[str, int] = {}
    for row in rows:
        level = depth.get(row["subject"], 0)
        depth[row["subject"]] = level + 1
        if level == len(waves):
            waves.append([])
        waves[level].append(row)
    return waves

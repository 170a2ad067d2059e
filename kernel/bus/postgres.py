"""The transport of the embedded default: a small broker in a PostgreSQL database of its own.

`binding` says which queue wants which type; publishing writes one row a queue; the active consumer of a
queue holds an advisory lock, reads the oldest rows and deletes them when they are dealt with. A row is
`taken` when a batch holds it, so that the next consumer knows what a dead one left behind.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg

from kernel.bus.transport import EVERYTHING, Delivery, Outgoing, TransportLost, queue_name
from kernel.cancellation import raise_if_cancelled
from kernel.database import ANY_DATABASE_ERROR
from kernel.jobs import Leadership, until_woken

COMMAND_TIMEOUT_SECONDS = 15
POLL_SECONDS = 1.0

_PUBLISH = f"""
WITH incoming AS (
  SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[]) WITH ORDINALITY AS i(event_id, type, body, n)
), routed AS (
  INSERT INTO message (queue, event_id, body)
  SELECT b.queue, i.event_id, i.body
  FROM incoming i, LATERAL (SELECT DISTINCT queue FROM binding WHERE pattern IN (i.type, '{EVERYTHING}')) b
  ORDER BY i.n
  RETURNING queue, event_id
), woken AS (
  SELECT pg_notify('metis_bus', queue) FROM (SELECT DISTINCT queue FROM routed) q
)
SELECT DISTINCT event_id, (SELECT count(*) FROM woken) FROM routed
"""

# Delete what is dealt with and take what comes next, in one round trip; both see the table as it was, hence `<> ALL`.
_NEXT = """
WITH acknowledged AS (DELETE FROM message WHERE sequence = ANY($3::bigint[])), oldest AS (
  SELECT sequence, taken FROM message WHERE queue = $1 AND sequence <> ALL($3::bigint[]) ORDER BY sequence LIMIT $2
)
UPDATE message m SET taken = true FROM oldest o WHERE m.sequence = o.sequence RETURNING m.sequence, m.body, o.taken
"""

_BIND = "INSERT INTO binding (queue, pattern) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING"


class PostgresTransport:
    set_aside = None  # what is taken and never answered is the consumer's to park

    def __init__(self, url: str, *, command_timeout_seconds: float = COMMAND_TIMEOUT_SECONDS) -> None:
        self._url = url
        self._command_timeout_seconds = command_timeout_seconds
        self._publisher: asyncpg.Connection[Any] | None = None
        self._publishing = asyncio.Lock()

    @property
    def system(self) -> str:
        return "postgresql"

    async def publish(self, messages: Sequence[Outgoing]) -> dict[UUID, str]:
        ids = [message.event_id for message in messages]
        try:
            async with self._publishing:  # a session does one thing at a time
                if self._publisher is None or self._publisher.is_closed():
                    self._publisher = await asyncpg.connect(self._url, timeout=10, command_timeout=self._command_timeout_seconds)
                rows = await self._publisher.fetch(_PUBLISH, ids, [m.type for m in messages], [m.body for m in messages])
        except ANY_DATABASE_ERROR as error:
            if self._publisher is not None:
                self._publisher.terminate()
            return dict.fromkeys(ids, repr(error))
        routed = {row["event_id"] for row in rows}
        return {event_id: "no queue takes it" for event_id in ids if event_id not in routed}

    @asynccontextmanager
    async def subscribe(self, service: str, patterns: Sequence[str]) -> AsyncIterator["PostgresSubscription"]:
        queue = queue_name(service)
        connection: asyncpg.Connection[Any] | None = None
        try:
            connection = await asyncpg.connect(self._url, timeout=10, command_timeout=self._command_timeout_seconds)
            # Bound before the lock is held: what is published while a replica waits is kept for it all the same.
            await connection.execute(_BIND, queue, patterns)
            async with Leadership(self._url, f"queue:{queue}") as leadership:
                subscription = PostgresSubscription(connection, leadership, queue=queue, patterns=patterns)
                await subscription.listen()
                yield subscription
        except ANY_DATABASE_ERROR as error:
            raise TransportLost(repr(error)) from error
        finally:
            if connection is not None:
                connection.terminate()

    async def close(self) -> None:
        if self._publisher is not None:
            self._publisher.terminate()


class PostgresSubscription:
    def __init__(
        self, connection: "asyncpg.Connection[Any]", leadership: Leadership, *, queue: str, patterns: Sequence[str]
    ) -> None:
        self._connection = connection
        self._leadership = leadership
        self._queue = queue
        self._patterns = patterns
        self._wake = asyncio.Event()
        self._acknowledged: list[int] = []

    async def listen(self) -> None:
        # A mark or a deletion that a crash forgets only delivers an event again, which the inbox knows.
        await self._connection.execute("SET synchronous_commit = off")
        await self._connection.add_listener("metis_bus", self._on_notify)

    def _on_notify(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        if payload == self._queue:
            self._wake.set()

    async def next_batch(self, limit: int) -> list[Delivery]:
        idle = False  # for a whole poll: nothing came, or nothing could
        while True:
            raise_if_cancelled()
            if not self._leadership.holds:
                raise TransportLost("another process may consume now")
            self._wake.clear()
            try:
                if idle:
                    # A queue that somebody deleted is there again within a second, like one of RabbitMQ's.
                    await self._connection.execute(_BIND, self._queue, self._patterns)
                rows = await self._connection.fetch(_NEXT, self._queue, limit, self._acknowledged)
            except ANY_DATABASE_ERROR as error:
                raise TransportLost(repr(error)) from error
            self._acknowledged = []
            if rows:
                return [
                    Delivery(row["body"], row["taken"], row["sequence"]) for row in sorted(rows, key=lambda row: row["sequence"])
                ]
            await until_woken(self._wake, POLL_SECONDS)
            idle = not self._wake.is_set()

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Done with the next reading, which follows at once."""
        self._acknowledged += [delivery.tag for delivery in deliveries]

"""A transaction, the caller it runs for, and the events it publishes. Only this module commits.

One request or one message is one `Work`. An event is published by writing it to the outbox inside the
same transaction; there is no other way to publish (kernel/bus/relay.py speaks to the broker).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from kernel import clock
from kernel.auth import Caller
from kernel.bus.transport import Outgoing
from kernel.database import Database
from kernel.events.envelope import Envelope, Event, encode_event
from kernel.ids import new_id
from kernel.telemetry import current_traceparent

# Each row says whether an earlier event of its subject waits still: the relay must then read them in their order.
_INSERT_ONE = """
INSERT INTO outbox AS new (event_id, type, subject, body, traceparent, recorded_at) VALUES ($1, $2, $3, $4, $5, $6)
RETURNING event_id, sequence, EXISTS (SELECT FROM outbox WHERE subject = new.subject) AS behind
"""
_INSERT_MANY = """
INSERT INTO outbox AS new (event_id, type, subject, body, traceparent, recorded_at)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::timestamptz[])
RETURNING event_id, sequence, EXISTS (SELECT FROM outbox WHERE subject = new.subject) AS behind
"""


@dataclass
class Work:
    """What a use case gets: `connection` to query, `now` to read the time, `publish` to tell others."""

    connection: AsyncConnection
    driver: "asyncpg.Connection[Any]"
    caller: Caller
    now: datetime
    service: str
    message: Envelope | None = None  # the event being handled, if this work handles one
    context: Context | None = None  # of the caller that is served, when several share the transaction
    _outgoing: list[tuple[UUID, str, str, bytes, str | None, datetime]] = field(default_factory=list)

    @property
    def territory(self) -> str:
        return self.caller.territory

    def publish(self, event: Event, *, subject: UUID | str) -> UUID:
        """Tell everybody, if and when this transaction commits. Order is kept per subject."""
        event_id = new_id()
        traceparent = self.context.run(current_traceparent) if self.context else current_traceparent()
        body = encode_event(
            event,
            id=event_id,
            source=f"/metis/{self.service}",
            time=self.now,
            subject=str(subject),
            territory=self.territory,
            traceparent=traceparent,
            actorid=self.caller.identity,
        )
        self._outgoing.append((event_id, event.event_type, str(subject), body, traceparent, self.now))
        return event_id

    def for_message(self, message: Envelope) -> "Work":
        """The same transaction, handling one event of several."""
        return replace(self, message=message)

    def for_caller(self, caller: Caller, *, context: Context) -> "Work":
        """The same transaction, serving one caller of several: its events bear the caller's name and trace."""
        if caller.territory != self.territory:
            raise ValueError(f"this work is {self.territory}'s, the caller is of {caller.territory}")
        return replace(self, caller=caller, context=context)

    async def flush(self) -> list[Outgoing] | None:
        """Write the published events to the outbox; called once, just before the commit.

        Returns None when there are none, else those that need not be read back: all, or, when an earlier event of one
        of their subjects still waits there, none.
        """
        if not self._outgoing:
            return None
        if len(self._outgoing) == 1:  # the usual case, and twice as cheap as arrays of one
            written = await self.driver.fetch(_INSERT_ONE, *self._outgoing[0])
        else:
            written = await self.driver.fetch(_INSERT_MANY, *map(list, zip(*self._outgoing, strict=True)))
        if any(row["behind"] for row in written):
            return []
        sequences = {row["event_id"]: row["sequence"] for row in written}
        return [
            Outgoing(sequences[event_id], event_id, type_, subject, body, traceparent)
            for event_id, type_, subject, body, traceparent, _ in self._outgoing
        ]


@asynccontextmanager
async def open_work(
    database: Database, caller: Caller, *, now: datetime | None = None, message: Envelope | None = None
) -> AsyncIterator[Work]:
    """One transaction for one caller. Leaves with a commit, or with an error and no trace of the attempt."""
    async with database.transaction(caller.territory) as (connection, driver):
        work = Work(connection, driver, caller, now or clock.utc_now(), database.service, message)
        yield work
        published = await work.flush()
    if published is not None:
        database.after_publish(published)

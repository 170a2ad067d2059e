"""A transaction, the caller it runs for, and the events it publishes. Only this module commits.

One request or one message is one `Work`. An event is published by writing it to the outbox inside the
same transaction; there is no other way to publish (kernel/bus/relay.py speaks to the broker).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy.engine import Result
from sqlalchemy.ext.asyncio import AsyncConnection

from kernel import clock
from kernel.auth import Caller
from kernel.bus.transport import Outgoing
from kernel.database import Database
from kernel.errors import Refused
from kernel.events.envelope import Envelope, Event, encode_event
from kernel.ids import new_id
from kernel.statements import Prepared
from kernel.telemetry import current_traceparent

# Each row says whether an earlier event of its subject waits still: the relay must then read them in their order.
# OFFSET 0: looked up by index for each; a plan made while the outbox was empty would read all of it.
_INSERT_ONE = """
INSERT INTO outbox AS new (event_id, type, subject, body, traceparent, recorded_at) VALUES ($1, $2, $3, $4, $5, $6)
RETURNING event_id, sequence, EXISTS (SELECT FROM outbox WHERE subject = new.subject OFFSET 0) AS behind
"""
_INSERT_MANY = """
INSERT INTO outbox AS new (event_id, type, subject, body, traceparent, recorded_at)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::timestamptz[])
RETURNING event_id, sequence, EXISTS (SELECT FROM outbox WHERE subject = new.subject OFFSET 0) AS behind
"""

# An event on its way to the outbox: id, type, subject, body, trace, time.
OutboxRow = tuple[UUID, str, str, bytes, str | None, datetime]


@dataclass
class Work:
    """What a use case gets: `connection` and `run` to query, `now` to read the time, `publish` to tell others."""

    connection: AsyncConnection
    driver: "asyncpg.Connection[Any]"
    caller: Caller
    now: datetime
    service: str
    message: Envelope | None = None  # the event being handled, if this work handles one
    context: Context | None = None  # of the caller that is served, when several share the transaction
    # What is to stay of an attempt that a rule refuses: run in a transaction of its own, after this one was rolled back.
    when_refused: "Callable[[Work, Refused], Awaitable[None]] | None" = None
    _outgoing: list[OutboxRow] = field(default_factory=list)
    _entered: list[tuple[Outgoing, bool]] = field(default_factory=list)  # with whether an earlier one of its subject waits

    @property
    def territory(self) -> str:
        return self.caller.territory

    async def run(self, statement: Prepared, /, **values: Any) -> Result[Any]:
        """Its rows, whose values are given by name (kernel/statements.py)."""
        return await statement.run(self.driver, values)

    async def run_many(self, statement: Prepared, rows: Iterable[Mapping[str, Any]]) -> None:
        """The statement once with each of these values, in one exchange."""
        await statement.run_many(self.driver, rows)

    def publish(self, event: Event, *, subject: UUID | str) -> UUID:
        """Tell everybody, if and when this transaction commits. Order is kept per subject."""
        self._outgoing.append(row := self.encode(event, subject=subject))
        return row[0]

    def encode(self, event: Event, *, subject: UUID | str) -> OutboxRow:
        """The row that publishes an event, for a statement that writes it with what it tells; then `add_entered`."""
        event_id, about = new_id(), str(subject)
        traceparent = self.context.run(current_traceparent) if self.context else current_traceparent()
        body = encode_event(
            event,
            id=event_id,
            source=f"/metis/{self.service}",
            time=self.now,
            subject=about,
            territory=self.territory,
            traceparent=traceparent,
            actorid=self.caller.identity,
        )
        return event_id, event.event_type, about, body, traceparent, self.now

    def take_outgoing(self) -> list[OutboxRow]:
        """The events published so far, for a statement of the use case's own that writes them to the outbox with what they
        tell, and spares a round trip; `add_entered` says which it wrote. The others are not published."""
        taken = self._outgoing.copy()
        self._outgoing.clear()
        return taken

    def add_entered(self, taken: Iterable[OutboxRow], written: Iterable[Mapping[str, Any]]) -> None:
        """`written`: of those that stand in the outbox now, event_id, sequence, and behind (an earlier one of its subject)."""
        rows = {row["event_id"]: row for row in written}
        own = {outgoing.subject for outgoing, _ in self._entered}  # of this very transaction, and before: no reason to wait
        for event_id, type_, about, body, traceparent, _ in taken:
            if row := rows.get(event_id):
                outgoing = Outgoing(row["sequence"], event_id, type_, about, body, traceparent)
                self._entered.append((outgoing, row["behind"] and about not in own))

    def for_message(self, message: Envelope, *, context: Context | None = None) -> "Work":
        """The same transaction, handling one event of several; `context`: in which its span is the current one."""
        return replace(self, message=message, context=context)

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
        if taken := self.take_outgoing():
            if len(taken) == 1:  # the usual case, and twice as cheap as arrays of one
                written = await self.driver.fetch(_INSERT_ONE, *taken[0])
            else:
                written = await self.driver.fetch(_INSERT_MANY, *map(list, zip(*taken, strict=True)))
            self.add_entered(taken, written)
        if not self._entered:
            return None
        return [] if any(behind for _, behind in self._entered) else [outgoing for outgoing, _ in self._entered]


@asynccontextmanager
async def open_work(
    database: Database, caller: Caller, *, now: datetime | None = None, message: Envelope | None = None
) -> AsyncIterator[Work]:
    """One transaction for one caller. Leaves with a commit, or with an error and no trace of the attempt, save what
    `when_refused` keeps of it: what cannot be kept is not refused either, but fails, and may be tried again."""
    work: Work | None = None
    try:
        async with database.transaction(caller.territory) as (connection, driver):
            work = Work(connection, driver, caller, now or clock.utc_now(), database.service, message)
            yield work
            published = await work.flush()
    except Refused as error:
        if work is not None and work.when_refused is not None:
            async with open_work(database, caller, now=work.now) as after:
                await work.when_refused(after, error)
        raise
    if published is not None:
        database.after_publish(published)

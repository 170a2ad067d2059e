"""The consumer: gives each event to its handler once, in the order of its subject, whatever happens.

A batch of deliveries is handled in one transaction per territory: a group commit. Each event still has its own inbox row
and span, and its own handler call unless its handler takes at once what comes in a row. When any of it fails the
transaction is rolled back and the events are handled one by one, so that a poison message never holds up those of other
subjects:

* a failed event goes to the `retry` table with a growing delay, and events of its subject queue behind it;
* after the last try, or at once when trying again cannot help, it goes to `dead_letter` with reason and stack;
* an event that was taken before and never answered (the process was killed in the middle) goes to `retry`
  first: its try is counted before it begins, so that one that kills its process is parked, too;
* a try that is given up because broker or database are lost says nothing against its event, and is not counted.
"""

import asyncio
import contextlib
import contextvars
import itertools
import logging
import random
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, TypeVar
from uuid import NAMESPACE_OID, UUID, uuid5

from opentelemetry.trace import Span, SpanKind
from pydantic import ValidationError

from kernel import clock
from kernel.auth import Caller
from kernel.bus.deadletters import MALFORMED
from kernel.bus.transport import EVERYTHING, Delivery, Subscription, Transport, TransportLost, queue_name
from kernel.cancellation import raise_if_cancelled
from kernel.database import Database, DatabaseLost, is_lost, is_territory
from kernel.events.envelope import Envelope, Event, MalformedEvent
from kernel.jobs import until_woken
from kernel.telemetry import FAILED, HANDLED, context_from, log_territory, span
from kernel.work import Work, open_work

log = logging.getLogger("metis.bus.consumer")

BATCH = 100
RETRY_POLL_SECONDS = 0.25
# A subscription that lasted so long was a good one: after its loss the pauses begin anew.
SETTLED_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 5.0

_ENTER_INBOX = """
WITH held AS (
  SELECT DISTINCT subject FROM retry WHERE subject = ANY($2::text[])
), entered AS (
  INSERT INTO inbox (event_id, handled_at)
  SELECT DISTINCT i.id, $3::timestamptz FROM unnest($1::uuid[], $2::text[]) AS i(id, subject)
  WHERE i.subject NOT IN (SELECT subject FROM held)
  ON CONFLICT DO NOTHING RETURNING event_id
)
SELECT event_id, NULL::text AS subject FROM entered UNION ALL SELECT NULL, subject FROM held
"""
# Of a lone event, at half the price; it says nothing of an event that was seen before or must wait.
_ENTER_LONE = """
INSERT INTO inbox (event_id, handled_at) SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM retry WHERE subject = $3)
ON CONFLICT DO NOTHING RETURNING true
"""
_ENTER_ONE = "INSERT INTO inbox (event_id, handled_at) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true"

E = TypeVar("E", bound=Event)
EventHandler = Callable[[Work, E], Awaitable[None]]
# Each event with the work it is told in: its message, and the span that is open for it.
Told = Sequence[tuple[Work, Event]]
TogetherHandler = Callable[[Work, Told], Awaitable[None]]


class Handlers:
    """What a service does on which event: `@handlers.on(ActorRecorded)` above an `on_actor_recorded(work, event)`, or
    `@handlers.on_together(MissionAgreed, MissionCancelled)` above an `on_missions(work, told)`, which takes what comes in a
    row at once."""

    def __init__(self) -> None:
        self._events: dict[str, type[Event]] = {}
        self._alone: dict[str, EventHandler[Any]] = {}
        self._together: dict[str, TogetherHandler] = {}
        self._every: Callable[[Work, Envelope], Awaitable[None]] | None = None

    def on(self, event: type[E]) -> Callable[[EventHandler[E]], EventHandler[E]]:
        def register(handler: EventHandler[E]) -> EventHandler[E]:
            self._expect(event)
            self._alone[event.event_type] = handler
            return handler

        return register

    def on_together(self, *events: type[Event]) -> Callable[[TogetherHandler], TogetherHandler]:
        """Of events that cost much less together than one by one. Their handler gets them in order, those of one batch that
        no other event came between; when it fails each is handled alone, so that the one at fault fails alone."""

        def register(handler: TogetherHandler) -> TogetherHandler:
            for event in events:
                self._expect(event)
                self._together[event.event_type] = handler
            return handler

        return register

    def _expect(self, event: type[Event]) -> None:
        if event.event_type in self._events:
            raise TypeError(f"{event.event_type} has a handler already")
        self._events[event.event_type] = event

    def on_every(self, handler: Callable[[Work, Envelope], Awaitable[None]]) -> Callable[[Work, Envelope], Awaitable[None]]:
        """Register one handler that sees every event of the platform, before the event's own handler."""
        self._every = handler
        return handler

    @property
    def patterns(self) -> list[str]:
        return [EVERYTHING] if self._every else sorted(self._events)

    def wants(self, event_type: str) -> bool:
        return self._every is not None or event_type in self._events

    def split(self, envelopes: Iterable[Envelope]) -> Iterable[list[Envelope]]:
        """As they are to be called, in their order: what one handler takes together, and each of the others alone."""
        for together, run in itertools.groupby(envelopes, key=lambda envelope: self._together.get(envelope.type)):
            if together is None:
                yield from ([envelope] for envelope in run)
            else:
                yield list(run)

    async def call(self, work: Work, told: Sequence[tuple[Work, Envelope]]) -> None:
        """`told`: as `split` gives them, each with the work that bears its message."""
        if self._every is not None:
            for view, envelope in told:
                await self._every(view, envelope)
        heard = [
            (view, envelope.type, self._events[envelope.type].model_validate(envelope.data))
            for view, envelope in told
            if envelope.type in self._events
        ]
        if heard and (together := self._together.get(heard[0][1])):
            await together(work, [(view, event) for view, _, event in heard])
            return
        for view, event_type, event in heard:
            await self._alone[event_type](view, event)


class Consumer:
    def __init__(
        self,
        service: str,
        database: Database,
        handlers: Handlers,
        transport: Transport,
        *,
        retry_delays_seconds: Sequence[float],
        jitter: Callable[[], float] = lambda: random.uniform(0.8, 1.2),  # noqa: S311 - spreads load, guards nothing
    ) -> None:
        self._service = service
        self._database = database
        self._handlers = handlers
        self._transport = transport
        self._delays = tuple(retry_delays_seconds)
        self._jitter = jitter
        self._retry_wake = asyncio.Event()
        # Events whose last try was given up in this process, which lost broker or database in the middle of it.
        self._given_up: set[UUID] = set()
        self.connected = False

    async def run(self) -> None:
        """Consume for ever; a lost broker or database is waited for."""
        if not self._handlers.patterns:
            return
        pause = 0.1
        while True:
            raise_if_cancelled()
            began = time.monotonic()
            try:
                # Asked first: a message that is taken and given back counts against the broker's delivery limit, and a
                # database that is away would soon use it up.
                async with self._database.transaction("*"):
                    pass
                async with self._transport.subscribe(self._service, self._handlers.patterns) as subscription:
                    self.connected = True
                    await self._consume(subscription)
            except Exception as error:
                lost = _only_losses(error)
                if not lost:
                    raise
                log.warning("the consumer lost broker or database and comes back: %s", lost)
            finally:
                self.connected = False
            pause = 0.1 if time.monotonic() - began > SETTLED_SECONDS else min(pause * 2, LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(pause)

    async def _consume(self, subscription: Subscription) -> None:
        # Retries run beside the queue, in the active consumer only, so that a subject's order holds.
        async with asyncio.TaskGroup() as group:
            group.create_task(self._retry_for_ever(), name="retries")
            while True:
                raise_if_cancelled()
                deliveries = await subscription.next_batch(BATCH)
                await self.handle_batch(deliveries)
                await subscription.acknowledge(deliveries)

    async def handle_batch(self, deliveries: Sequence[Delivery]) -> None:
        """Deal with a batch for good: afterwards each event is handled, waits in `retry`, or is a dead letter."""
        fresh: list[tuple[Envelope, bytes]] = []
        for delivery in deliveries:
            try:
                envelope = _decode(delivery.body)
            except MalformedEvent as error:
                await self._bury_malformed(delivery.body, error)
                continue
            if not self._handlers.wants(envelope.type):
                continue
            if delivery.redelivered:
                await self._park(envelope, delivery.body, reason="it was taken before and never answered")
            else:
                fresh.append((envelope, delivery.body))
        for territory, run in itertools.groupby(fresh, key=lambda item: item[0].territory):
            await self._handle_run(territory, list(run))

    async def _handle_run(self, territory: str, run: Sequence[tuple[Envelope, bytes]]) -> None:
        try:
            await self._commit_together(territory, run)
        except Exception as error:
            if is_lost(error):
                raise DatabaseLost(repr(error)) from error
            if len(run) == 1:
                await self._record_failure(*run[0], error, attempts=1)
            else:
                for item in run:
                    await self._handle_run(territory, [item])

    async def _commit_together(self, territory: str, run: Sequence[tuple[Envelope, bytes]]) -> None:
        async with open_work(self._database, Caller.system(territory)) as work:
            fresh, held = await self._enter_inbox(work, [envelope for envelope, _ in run])
            mine: list[Envelope] = []
            for envelope, body in run:
                if envelope.subject in held:
                    await self._insert_retry(work, envelope, body, reason="waits for an earlier event of its subject")
                elif envelope.id in fresh:
                    fresh.discard(envelope.id)  # a batch may hold the same event twice
                    mine.append(envelope)
            for together in self._handlers.split(mine):
                await self._call(work, together)

    @staticmethod
    async def _enter_inbox(work: Work, envelopes: Sequence[Envelope]) -> tuple[set[UUID], set[str]]:
        """Record the ids with the effect to come. Returns those never seen before, and the subjects that must
        wait because an earlier event of theirs does: of these nothing is recorded. One round trip for both."""
        if len(envelopes) == 1:
            [lone] = envelopes
            if await work.driver.fetchval(_ENTER_LONE, lone.id, work.now, lone.subject):
                return {lone.id}, set()
        ids, subjects = [envelope.id for envelope in envelopes], [envelope.subject for envelope in envelopes]
        rows = await work.driver.fetch(_ENTER_INBOX, ids, subjects, work.now)
        return {row[0] for row in rows if row[0] is not None}, {row[1] for row in rows if row[1] is not None}

    async def _call(self, work: Work, envelopes: Sequence[Envelope]) -> None:
        """Run the handler of events that it takes at once, each in a span that is a child of the span that published it."""
        log_territory.set(work.territory)
        started = time.perf_counter()
        with contextlib.ExitStack() as spans:
            if len(envelopes) == 1:
                spans.enter_context(self._span_of(envelopes[0]))
                told = [(work.for_message(envelopes[0]), envelopes[0])]
            else:
                told = [(work.for_message(each, context=_enter_apart(spans, self._span_of(each))), each) for each in envelopes]
            await self._handlers.call(work, told)
        took = time.perf_counter() - started
        for envelope in envelopes:
            HANDLED.labels(self._service, envelope.type).observe(took)

    def _span_of(self, envelope: Envelope) -> contextlib.AbstractContextManager[Span]:
        attributes = {
            "messaging.system": self._transport.system,
            "messaging.operation.type": "process",
            "messaging.destination.name": queue_name(self._service),
            "messaging.message.id": str(envelope.id),
            "metis.territory": envelope.territory,
        }
        return span(
            f"process {envelope.type}",
            kind=SpanKind.CONSUMER,
            context=context_from(envelope.traceparent),
            attributes=attributes,
        )

    async def _record_failure(self, envelope: Envelope, body: bytes, error: Exception, *, attempts: int) -> None:
        """After a try that failed: another one later, or the dead letters."""
        FAILED.labels(self._service, envelope.type).inc()
        reason = _storable(f"{type(error).__name__}: {error}"[:2000])
        hopeless = isinstance(error, ValidationError | MalformedEvent) or attempts > len(self._delays)
        log.log(
            logging.ERROR if hopeless else logging.WARNING,
            "event %s failed (try %d): %s", envelope.type, attempts, reason,
            extra={"facts": {"event": str(envelope.id), "subject": envelope.subject}},
        )  # fmt: skip
        async with open_work(self._database, Caller.system(envelope.territory)) as work:
            if hopeless:
                stack = _storable("".join(traceback.format_exception(error)))
                await self._bury(work, envelope, body, reason=reason, stack=stack, attempts=attempts)
            else:
                due = work.now + timedelta(seconds=self._delays[attempts - 1] * self._jitter())
                await self._insert_retry(work, envelope, body, reason=reason)
                await work.driver.execute(
                    "UPDATE retry SET attempts = $2, due_at = $3, reason = $4 WHERE event_id = $1",
                    envelope.id,
                    attempts,
                    due,
                    reason,
                )

    async def _park(self, envelope: Envelope, body: bytes, *, reason: str) -> None:
        async with open_work(self._database, Caller.system(envelope.territory)) as work:
            await self._insert_retry(work, envelope, body, reason=reason)
        self._retry_wake.set()

    @staticmethod
    async def _insert_retry(work: Work, envelope: Envelope, body: bytes, *, reason: str) -> None:
        await work.driver.execute(
            "INSERT INTO retry (event_id, subject, body, attempts, due_at, reason)"
            " SELECT $1, $2, $3, 0, $4, $5 WHERE NOT EXISTS (SELECT 1 FROM inbox WHERE event_id = $1)"
            " AND NOT EXISTS (SELECT 1 FROM dead_letter WHERE event_id = $1) ON CONFLICT DO NOTHING",
            envelope.id, envelope.subject, body, work.now, reason,
        )  # fmt: skip

    @staticmethod
    async def _bury(work: Work, envelope: Envelope, body: bytes, *, reason: str, stack: str, attempts: int) -> None:
        await work.driver.execute(
            "INSERT INTO dead_letter (event_id, type, subject, territory, body, attempts, reason, stack)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
            envelope.id, envelope.type, envelope.subject, envelope.territory, body, attempts, reason, stack,
        )  # fmt: skip
        await work.driver.execute("DELETE FROM retry WHERE event_id = $1", envelope.id)

    async def _bury_malformed(self, body: bytes, error: MalformedEvent) -> None:
        log.error("bytes that are no event: %s", error)
        # The same bytes again are the same dead letter.
        envelope = Envelope(
            id=uuid5(NAMESPACE_OID, body.hex()),
            source="?",
            type=MALFORMED,
            time=clock.utc_now(),
            subject="?",
            territory="*",
            data={},
        )
        async with open_work(self._database, Caller.system("*")) as work:
            await self._bury(work, envelope, body, reason=f"malformed: {error}", stack="", attempts=1)

    async def _retry_for_ever(self) -> None:
        while True:
            raise_if_cancelled()
            if not await self.retry_due():
                await until_woken(self._retry_wake, RETRY_POLL_SECONDS)
                self._retry_wake.clear()

    async def retry_due(self) -> int:
        """Try again the oldest waiting event of each subject, if it is due; returns how many were tried."""
        async with self._database.transaction("*") as (_, driver):
            rows = await driver.fetch(
                "SELECT event_id, body, attempts FROM ("
                "  SELECT DISTINCT ON (subject) event_id, body, attempts, due_at FROM retry ORDER BY subject, sequence"
                ") AS oldest WHERE due_at <= $1 ORDER BY due_at LIMIT 50",
                clock.utc_now(),
            )
        for row in rows:
            attempts = row["attempts"] + 1
            if row["event_id"] in self._given_up:  # that try was counted, and says nothing against the event
                self._given_up.discard(row["event_id"])
                attempts = max(1, attempts - 1)
            await self._retry(Envelope.decode(row["body"]), row["body"], attempts=attempts)
        return len(rows)

    async def _retry(self, envelope: Envelope, body: bytes, *, attempts: int) -> None:
        delay = self._delays[min(attempts, len(self._delays)) - 1] * self._jitter()
        if attempts > len(self._delays) + 1:
            gone = RuntimeError("handling it ended the process each time")
            await self._record_failure(envelope, body, gone, attempts=attempts)
            return
        try:
            async with self._database.transaction("*") as (_, driver):
                # Counted before the try: if handling it ends this process, the count stays.
                await driver.execute(
                    "UPDATE retry SET attempts = $2, due_at = $3 WHERE event_id = $1",
                    envelope.id, attempts, clock.utc_now() + timedelta(seconds=delay),
                )  # fmt: skip
            async with open_work(self._database, Caller.system(envelope.territory)) as work:
                if await work.driver.fetchval(_ENTER_ONE, envelope.id, work.now):
                    await self._call(work, [envelope])
                await work.driver.execute("DELETE FROM retry WHERE event_id = $1", envelope.id)
        except asyncio.CancelledError:
            self._given_up.add(envelope.id)
            raise
        except Exception as error:
            if is_lost(error):
                self._given_up.add(envelope.id)
                raise DatabaseLost(repr(error)) from error
            await self._record_failure(envelope, body, error, attempts=attempts)


def _decode(body: bytes) -> Envelope:
    """Raises MalformedEvent for all that no transaction could be opened for, or written down of: it would end us each time."""
    envelope = Envelope.decode(body)
    if not is_territory(envelope.territory):
        raise MalformedEvent(f"attribute territory: {envelope.territory!r} is none")
    if "\0" in envelope.subject or "\0" in envelope.type:
        raise MalformedEvent("attributes subject and type must not hold NUL")
    return envelope


def _enter_apart(spans: contextlib.ExitStack, opened: contextlib.AbstractContextManager[Span]) -> contextvars.Context:
    """The context in which this span is the current one, beside others, until `spans` is left."""
    context = contextvars.copy_context()
    context.run(opened.__enter__)

    def leave(*raised: Any) -> bool | None:
        return context.run(opened.__exit__, *raised)

    spans.push(leave)
    return context


def _storable(text: str) -> str:
    """A text as PostgreSQL takes it: without NUL and halves of characters, which an error may quote."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def _only_losses(error: Exception) -> str:
    """What was lost, if nothing else went wrong (a task group may hold several errors); else nothing."""
    if isinstance(error, ExceptionGroup):
        found = [_only_losses(inner) for inner in error.exceptions]
        return "; ".join(found) if all(found) else ""
    return repr(error) if isinstance(error, TransportLost) or is_lost(error) else ""

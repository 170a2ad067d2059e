"""What the relay may send, whatever fails while it reads."""

import asyncio
import dataclasses
from typing import Any, cast

import asyncpg

from kernel.bus.relay import Relay
from kernel.bus.transport import Outgoing, Transport
from kernel.database import Database
from kernel.ids import new_id


class SlowOutbox:
    """A connection whose answer to a reading is on its way until it is let through."""

    def __init__(self, *rows: Outgoing) -> None:
        self.asked, self.may_answer = asyncio.Event(), asyncio.Event()
        self._rows = [dataclasses.asdict(row) for row in rows]

    async def fetch(self, _query: str, *_: object) -> list[dict[str, Any]]:
        self.asked.set()
        await self.may_answer.wait()
        return self._rows

    def as_connection(self) -> "asyncpg.Connection[Any]":
        return cast("asyncpg.Connection[Any]", self)


def make_event(sequence: int, *, subject: str = "a") -> Outgoing:
    return Outgoing(sequence, new_id(), "tests.thing_happened.v1", subject, b"{}", None)


async def read_meanwhile(relay: Relay, outbox: SlowOutbox, *, failed: list[Outgoing], sent: list[Outgoing]) -> None:
    """A reading, during which the broker answers for events that are under way."""
    reading = asyncio.create_task(relay._read(outbox.as_connection()))
    await outbox.asked.wait()
    relay._held.settle([*failed, *sent], {event.event_id for event in failed})
    outbox.may_answer.set()
    await reading


def make_relay() -> Relay:
    return Relay("tests", cast(Database, None), cast(Transport, None))


class TestReading:
    async def test_what_failed_meanwhile_goes_out_before_what_was_read(self) -> None:
        first, second, third = make_event(1), make_event(2), make_event(3)
        relay = make_relay()
        relay._held.take([first, second])
        under_way = relay._held.take_ready()
        # The first two are held, and so the reading asks for neither.
        await read_meanwhile(relay, SlowOutbox(third), failed=under_way, sent=[])
        assert relay._held.ready == [] and relay._must_read
        all_of_it = SlowOutbox(first, second, third)
        all_of_it.may_answer.set()
        await relay._read(all_of_it.as_connection())
        assert relay._held.ready == [first]
        assert relay._held.settle([first], set()) == [second] and relay._held.settle([second], set()) == [third]

    async def test_what_was_confirmed_meanwhile_holds_nothing_up(self) -> None:
        first, second = make_event(1), make_event(2, subject="b")
        relay = make_relay()
        relay._held.take([first])
        await read_meanwhile(relay, SlowOutbox(second), failed=[], sent=relay._held.take_ready())
        assert relay._held.ready == [second] and not relay._must_read

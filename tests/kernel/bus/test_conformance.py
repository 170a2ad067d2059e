"""What the bus promises, held on both transports: RabbitMQ and PostgreSQL."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import asyncpg
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from kernel.auth import Caller
from kernel.bus.deadletters import drop_dead_letters, list_dead_letters, offer_again, replay_dead_letters
from kernel.telemetry import span
from kernel.work import open_work
from tests.kernel.bus.conftest import World
from tests.kernel.bus.node import TERRITORY, Node, ThingHappened
from tests.support.waiting import wait_until


class Fails:
    """Raises for some numbers until told to stop."""

    def __init__(self, *numbers: int, times: int = 1_000_000) -> None:
        self.numbers = set(numbers)
        self.times = times
        self.tries = 0

    def __call__(self, subject: str, number: int) -> None:
        if number in self.numbers and self.tries < self.times:
            self.tries += 1
            raise RuntimeError(f"cannot digest {number}")


class TestPublish:
    async def test_reaches_every_service_that_listens(self, world: World) -> None:
        teller, first, second = [await world.make_node(name) for name in ("teller", "first", "second")]
        first.start(relay=False)
        second.start(relay=False)
        await wait_until(lambda: first.consumer.connected and second.consumer.connected)
        teller.start(consume=False)
        await teller.tell("s", 1, 2, 3)
        for node in (first, second):
            await wait_until(partial(_numbers_are, node, "s", [1, 2, 3]), what="the fan-out")
        await wait_until(lambda: _equals(teller.outbox(), 0), what="an empty outbox")

    async def test_nothing_is_published_by_a_transaction_that_fails(self, world: World) -> None:
        node = await world.make_node("teller")
        node.start()
        try:
            async with open_work(node.database, Caller.system(TERRITORY)) as work:
                work.publish(ThingHappened(number=1), subject="s")
                raise LookupError
        except LookupError:
            pass
        await node.tell("s", 2)
        await wait_until(lambda: _equals(node.numbers("s"), [2]))

    async def test_an_event_that_no_queue_takes_stays_until_one_does(self, world: World) -> None:
        teller = await world.make_node("teller")
        teller.start(consume=False)
        await teller.tell("s", 1)
        listener = await world.make_node("listener")
        assert await teller.outbox() == 1
        listener.start(relay=False)
        await wait_until(lambda: _equals(listener.numbers("s"), [1]))
        await wait_until(lambda: _equals(teller.outbox(), 0))

    async def test_a_standby_relay_takes_over(self, world: World) -> None:
        first, second = await world.make_node("teller"), await world.make_node("teller")
        listener = await world.make_node("listener")
        listener.start(relay=False)
        first.start(consume=False)
        await first.tell("s", 1)
        await wait_until(lambda: _equals(listener.numbers("s"), [1]))
        second.start(consume=False)
        await second.tell("s", 2)  # published by the leader, woken by NOTIFY
        await wait_until(lambda: _equals(listener.numbers("s"), [1, 2]))
        await first.stop()
        await second.tell("s", 3)
        await wait_until(lambda: _equals(listener.numbers("s"), [1, 2, 3]))


class TestHandle:
    async def test_a_redelivered_event_changes_nothing(self, world: World) -> None:
        node = await world.make_node("node")
        await node.tell("s", 1)
        async with node.database.transaction("*") as (_, driver):
            for _i in range(3):
                await driver.execute(
                    "INSERT INTO outbox (event_id, type, subject, body) SELECT event_id, type, subject, body FROM outbox LIMIT 1"
                )
        node.start()
        await node.tell("s", 2)
        await wait_until(lambda: _equals(node.outbox(), 0))
        await wait_until(lambda: _equals(node.numbers("s"), [1, 2]))

    async def test_order_holds_for_each_subject_while_handlers_fail(self, world: World) -> None:
        dice = random.Random(7)
        failures = {"left": 30}

        def fail_sometimes(subject: str, number: int) -> None:
            if failures["left"] and dice.random() < 0.2:
                failures["left"] -= 1
                raise RuntimeError("not now")

        node = await world.make_node("node", on_thing=fail_sometimes, delays=(0.01,) * 40)
        node.start()
        for number in range(30):
            for subject in ("a", "b", "c", "d"):
                await node.tell(subject, number)
        await wait_until(lambda: _has(node.effects(), 120), what="all effects", seconds=60)
        for subject in ("a", "b", "c", "d"):
            assert await node.numbers(subject) == list(range(30))
        assert failures["left"] < 30, "the dice never failed: the test proves nothing"

    async def test_one_transaction_may_tell_much_of_one_subject_in_order(self, world: World) -> None:
        node = await world.make_node("node")
        node.start()
        await node.tell("s", *range(50))
        await wait_until(lambda: _equals(node.numbers("s"), list(range(50))))

    async def test_events_behind_a_failed_one_of_their_subject_wait_for_it(self, world: World) -> None:
        fails = Fails(1, times=2)
        node = await world.make_node("node", on_thing=fails, delays=(0.3, 0.3, 0.3))
        node.start()
        await node.tell("s", 1)
        await wait_until(lambda: _equals(node.waiting(), 1))
        await node.tell("s", 2)
        await node.tell("other", 3)
        await wait_until(lambda: _equals(node.numbers("other"), [3]))
        assert await node.numbers("s") == []
        await wait_until(lambda: _equals(node.numbers("s"), [1, 2]))

    async def test_two_replicas_keep_the_order_and_one_takes_over(self, world: World) -> None:
        first, second = await world.make_node("node"), await world.make_node("node")
        first.start()
        await wait_until(lambda: first.consumer.connected)
        second.start(relay=False)
        await first.tell("s", *range(20))
        await wait_until(lambda: _equals(first.numbers("s"), list(range(20))))
        await first.stop()
        second.start(consume=False)
        await second.tell("s", *range(20, 40))
        await wait_until(lambda: _equals(second.numbers("s"), list(range(40))), seconds=40)

    async def test_what_the_relay_has_at_hand_never_overtakes_what_another_replica_wrote(self, world: World) -> None:
        relaying, other = await world.make_node("node"), await world.make_node("node")
        relaying.start()
        await wait_until(lambda: relaying.consumer.connected)
        await relaying.tell("warm", 0)
        await wait_until(lambda: _equals(relaying.numbers("warm"), [0]))
        other.database.after_publish = lambda _: None  # its wake-up is lost: only the outbox knows of its events
        for number in range(0, 40, 2):
            await other.tell("s", number)
            await relaying.tell("s", number + 1)
        await wait_until(lambda: _has(relaying.numbers("s"), 40))
        assert await relaying.numbers("s") == list(range(40))


class TestFail:
    async def test_a_poison_event_is_parked_with_its_reason_and_blocks_nobody(self, world: World) -> None:
        node = await world.make_node("node", on_thing=Fails(13))
        node.start()
        for number in range(10, 20):
            await node.tell(f"s{number}", number)
        await wait_until(lambda: _has(node.effects(), 9))
        [letter] = await wait_until(node.dead)
        assert letter["subject"] == "s13"
        assert letter["attempts"] == 4  # the first try and one after each of three delays
        assert letter["reason"] == "RuntimeError: cannot digest 13"
        assert "Fails" in str(letter["stack"]) or "__call__" in str(letter["stack"])
        assert sorted(number for _, number in await node.effects()) == [10, 11, 12, 14, 15, 16, 17, 18, 19]
        assert await node.waiting() == 0

    async def test_the_delay_grows_with_each_try(self, world: World) -> None:
        node = await world.make_node("node", on_thing=Fails(1), delays=(0.1, 0.4, 60))
        node.start()
        await node.tell("s", 1)

        async def third_pause() -> float | None:
            async with node.database.transaction("*") as (_, driver):
                row = await driver.fetchrow("SELECT attempts, extract(epoch FROM due_at - now())::float8 AS pause FROM retry")
                return row["pause"] if row and row["attempts"] == 3 and row["pause"] > 1 else None

        assert 50 < await wait_until(third_pause) <= 60

    async def test_bytes_that_are_no_event_are_parked_at_once(self, world: World) -> None:
        node = await world.make_node("node")
        node.start()
        await wait_until(lambda: node.consumer.connected)
        event = (
            b'{"specversion":"1.0","id":"01930000-0000-7000-8000-000000000001","source":"/x","type":"tests.thing_happened.v1",'
            b'"time":"2026-01-01T00:00:00Z","subject":"%s","territory":"%s","data":{"number":1}}'
        )
        nowhere, unwritable = event % (b"s", b"Paris"), event % (b"a\\u0000b", b"92071")
        for rubbish in (b"\x00\xff", b"{}", b'{"id": 3}', b"[" * 10_000, b"", nowhere, unwritable):
            await world.send_rubbish("node", rubbish)
        await node.tell("s", 1)
        await wait_until(lambda: _equals(node.numbers("s"), [1]))
        letters = await wait_until(lambda: _has(node.dead(), 7))
        assert all(str(letter["reason"]).startswith("malformed: ") for letter in letters)

    async def test_an_error_that_quotes_what_cannot_be_stored_is_written_down_all_the_same(self, world: World) -> None:
        def quote(subject: str, number: int) -> None:
            raise RuntimeError("a\0b \ud800")

        node = await world.make_node("node", on_thing=quote, delays=(0.01,))
        node.start()
        await node.tell("s", 1)
        [letter] = await wait_until(node.dead)
        assert letter["reason"] == "RuntimeError: a\\0b \\ud800"

    async def test_data_that_does_not_fit_is_parked_at_once(self, world: World) -> None:
        node = await world.make_node("node")
        node.start()
        [event_id] = await node.tell("s", 1)
        await wait_until(lambda: _equals(node.numbers("s"), [1]))
        body = (
            b'{"specversion":"1.0","id":"%s","source":"/x","type":"tests.thing_happened.v1","time":"2026-01-01T00:00:00Z",'
            b'"subject":"s","territory":"92071","data":{"number":"many"}}' % str(event_id).replace("0", "1").encode()
        )
        await world.send_rubbish("node", body)
        [letter] = await wait_until(node.dead)
        assert letter["attempts"] == 1
        assert "number" in str(letter["reason"])


class TestDeadLetters:
    async def test_replay_gives_it_to_the_handler_again(self, world: World) -> None:
        fails = Fails(13)
        node = await world.make_node("node", on_thing=fails)
        node.start()
        [event_id] = await node.tell("s", 13)
        await wait_until(node.dead)
        fails.numbers.clear()
        async with connect(node) as connection:
            assert [letter.event_id for letter in await list_dead_letters(connection)] == [event_id]
            assert await replay_dead_letters(connection, [event_id]) == 1
        await wait_until(lambda: _equals(node.numbers("s"), [13]))
        assert await node.dead() == []

    async def test_drop_forgets_it(self, world: World) -> None:
        node = await world.make_node("node", on_thing=Fails(13))
        node.start()
        [event_id] = await node.tell("s", 13)
        await wait_until(node.dead)
        async with connect(node) as connection:
            assert await drop_dead_letters(connection, [event_id]) == 1
        assert await node.dead() == []

    async def test_past_events_are_offered_again_without_double_effect(self, world: World) -> None:
        node = await world.make_node("node")
        async with open_work(node.database, Caller.system(TERRITORY)) as work:
            ids = [work.publish(ThingHappened(number=number), subject="s") for number in (1, 2)]
            bodies = [outgoing[3] for outgoing in work._outgoing]
        node.start()
        await wait_until(lambda: _equals(node.numbers("s"), [1, 2]))
        async with connect(node) as connection:
            await connection.execute("DELETE FROM inbox WHERE event_id = $1", ids[1])  # as if it had missed the second
            assert await offer_again(connection, [(event_id, "s", body) for event_id, body in zip(ids, bodies, strict=True)]) == 1
        await wait_until(lambda: _equals(node.numbers("s"), [1, 2, 2]))


class TestTrace:
    async def test_a_handler_is_a_child_of_the_span_that_published(self, world: World, spans: InMemorySpanExporter) -> None:
        node = await world.make_node("node")
        node.start()
        with span("a use case") as parent:
            await node.tell("s", 1)
        await wait_until(lambda: _equals(node.numbers("s"), [1]))

        def finished() -> set[str]:
            return {found.name for found in spans.get_finished_spans()}

        await wait_until(lambda: {f"send {ThingHappened.event_type}", f"process {ThingHappened.event_type}"} <= finished())
        parent_id = parent.get_span_context().span_id
        children = [found for found in spans.get_finished_spans() if found.parent and found.parent.span_id == parent_id]
        assert {found.kind.name for found in children} == {"PRODUCER", "CONSUMER"}


@asynccontextmanager
async def connect(node: Node) -> AsyncIterator["asyncpg.Connection[Any]"]:
    connection = await asyncpg.connect(node.database.url)
    yield connection
    await connection.close()


async def _numbers_are(node: Node, subject: str, expected: list[int]) -> bool:
    return await node.numbers(subject) == expected


async def _equals(found: object, expected: object) -> bool:
    return bool(await found == expected)  # type: ignore[misc]


async def _has(found: object, count: int) -> object:
    rows = await found  # type: ignore[misc]
    return rows if len(rows) == count else None

"""What the bus promises when something dies: nothing is lost, nothing happens twice."""

import asyncio
import contextlib
import itertools
import random
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from typing import Any

import aio_pika
import pytest

from kernel.bus import consumer, rabbitmq, relay
from kernel.bus.transport import Subscription
from kernel.database import DatabaseLost
from tests.kernel.bus.conftest import World
from tests.kernel.bus.node import Node
from tests.support.cutting import cutting
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)


@contextlib.asynccontextmanager
async def node_process(world: World, mode: str, service: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A node in a process of its own."""
    name = world.name(service)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.kernel.bus.node", mode, name, world.databases[name], world.bus_url
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _ended_or_buried(process: asyncio.subprocess.Process, listener: Node) -> bool:
    return process.returncode is not None or bool(await listener.dead())


async def _equals(node: Node, subject: str, expected: list[int]) -> bool:
    return await node.numbers(subject) == expected


async def _has_heard(node: Node, subject: str, number: int) -> bool:
    return number in await node.numbers(subject)


async def _could_tell(node: Node, subject: str, number: int) -> bool:
    with contextlib.suppress(Exception):
        await node.tell(subject, number)
        return True
    return False


async def _holds(node: Node, events: int) -> bool:
    """Whether so many events wait in the outbox; what was confirmed leaves it a moment later."""
    return await node.outbox() == events


class TestBroker:
    async def test_stopped_and_started_loses_nothing(self, world: World) -> None:
        node = await world.make_node("node")
        node.start()
        await node.tell("s", 1)
        await wait_until(lambda: _equals(node, "s", [1]))
        await world.stop_broker()
        await node.tell("s", 2, 3)  # people go on working: the outbox keeps it
        await wait_until(lambda: _holds(node, 2))
        await world.start_broker()
        await node.tell("s", 4)
        await wait_until(lambda: _equals(node, "s", [1, 2, 3, 4]), seconds=90)

    async def test_stalled_and_resumed_loses_nothing(self, world: World) -> None:
        node = await world.make_node("node")
        node.start()
        await node.tell("s", 1)
        await wait_until(lambda: _equals(node, "s", [1]))
        resume = await world.stall_broker()
        try:
            await node.tell("s", 2)
            await node.tell("t", 1)
            # Longer than the patience for a confirm: the relay must have given up at least once, and live.
            with contextlib.suppress(AssertionError):
                await wait_until(lambda: _equals(node, "s", [1, 2]), seconds=4)
            await wait_until(lambda: _holds(node, 2))
        finally:
            await resume()
        await node.tell("s", 3)
        await wait_until(lambda: _equals(node, "s", [1, 2, 3]), seconds=90)
        await wait_until(lambda: _equals(node, "t", [1]))

    async def test_a_deleted_queue_comes_back_with_its_consumer(self, world: World) -> None:
        node = await world.make_node("node")
        node.start()
        await node.tell("s", 1)
        await wait_until(lambda: _equals(node, "s", [1]))
        await world.delete_queue("node")
        await node.tell("s", 2)
        await wait_until(lambda: _equals(node, "s", [1, 2]), seconds=60)
        await wait_until(lambda: _holds(node, 0))


@pytest.mark.parametrize("world", ["rabbitmq"], indirect=True)
class TestBrokerWithoutAnswer:
    """Alive (it sends its heartbeats), and silent about one request; a queue that has lost its majority does so."""

    @pytest.mark.parametrize("request_of", ["channel", "declare_exchange", "declare_queue"])
    async def test_is_asked_anew(self, world: World, monkeypatch: pytest.MonkeyPatch, request_of: str) -> None:
        monkeypatch.setattr(rabbitmq, "SETUP_TIMEOUT_SECONDS", 1)
        where = aio_pika.Connection if request_of == "channel" else aio_pika.Channel
        silences, ask = 2, getattr(where, request_of)  # one for the relay, one for the consumer

        def be_silent_at_first(*arguments: Any, **options: Any) -> Any:
            nonlocal silences
            silences -= 1
            if silences < 0:
                return ask(*arguments, **options)
            return asyncio.get_running_loop().create_future()

        monkeypatch.setattr(where, request_of, be_silent_at_first)
        node = await world.make_node("node")
        node.start()
        await node.tell("s", 1)
        await wait_until(lambda: _equals(node, "s", [1]))
        assert silences < 0


@pytest.mark.parametrize("world", ["rabbitmq"], indirect=True)
class TestWayToTheBroker:
    @pytest.mark.parametrize("seed", [2, 4])
    async def test_breaks_at_any_moment_and_nothing_is_lost(
        self, world: World, monkeypatch: pytest.MonkeyPatch, seed: int
    ) -> None:
        """Also while it is set up, and while what waits is tried again: that try says nothing against its event."""
        monkeypatch.setattr(consumer, "LONGEST_PAUSE_SECONDS", 0.15)
        monkeypatch.setattr(relay, "BACKOFF_SECONDS", (0.05,))
        dice = random.Random(seed)
        bytes_each = [dice.randint(1, dice.choice([700, 1500, 4000])) for _ in range(60)]
        async with cutting(world.bus_url, bytes_each) as (proxy, world.bus_url):
            node = await world.make_node("node")
            node.start()
            told: list[int] = []

            async def has_been_cut_often() -> bool:
                told.append(len(told))
                await node.tell("s", told[-1])
                return proxy.cuts >= 55

            await wait_until(has_been_cut_often, seconds=90)
            await wait_until(lambda: _equals(node, "s", told), seconds=60)
            assert await node.dead() == []
            await node.stop()


class TestLostDatabase:
    async def test_is_no_fault_of_the_event_that_was_tried(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(consumer, "LONGEST_PAUSE_SECONDS", 0.15)
        failures: Iterator[Exception] = iter([ValueError("once"), *[DatabaseLost("again and again")] * 8])

        def fail(subject: str, number: int) -> None:
            if error := next(failures, None):
                raise error

        node = await world.make_node("node", on_thing=fail)
        node.start()
        await node.tell("s", 1)
        await wait_until(lambda: _equals(node, "s", [1]))
        assert await node.dead() == []


class TestProcess:
    async def test_a_handler_killed_in_the_middle_is_parked_and_the_others_go_on(self, world: World) -> None:
        teller = await world.make_node("teller")
        listener = await world.make_node("listener")  # its tables; the process below does the work
        deaths = 0
        async with node_process(world, "consume-die", "listener") as process:
            teller.start(consume=False)
            await teller.tell("killer", 13)
            for number in (1, 2):
                await teller.tell("s", number)
            assert await asyncio.wait_for(process.wait(), 30) == -signal.SIGKILL
        while not await listener.dead():
            deaths += 1
            assert deaths < 10, "a message that kills its process must end in the dead letters"
            async with node_process(world, "consume-die", "listener") as process:
                with contextlib.suppress(AssertionError):
                    await wait_until(partial(_ended_or_buried, process, listener), seconds=30)
        [letter] = await listener.dead()
        assert letter["subject"] == "killer"
        assert "ended the process" in str(letter["reason"])
        async with node_process(world, "consume-die", "listener"):
            await wait_until(lambda: _equals(listener, "s", [1, 2]))

    async def test_a_relay_killed_between_publish_and_delete_repeats_without_double_effect(self, world: World) -> None:
        teller, listener = await world.make_node("teller"), await world.make_node("listener")
        listener.start(relay=False)
        await wait_until(lambda: listener.consumer.connected)
        await teller.tell("s", 1)
        async with node_process(world, "relay-die", "teller") as process:
            assert await asyncio.wait_for(process.wait(), 30) == -signal.SIGKILL
        await wait_until(lambda: _equals(listener, "s", [1]))
        assert await teller.outbox() == 1, "the row was to be deleted only after the confirm"
        teller.start(consume=False)
        await teller.tell("s", 2)
        await wait_until(lambda: _equals(listener, "s", [1, 2]))

    async def test_the_services_database_restarted_loses_nothing(self, world: World) -> None:
        node = await world.make_node("node")
        node.start()
        await node.tell("s", 1)
        await wait_until(lambda: _equals(node, "s", [1]))
        name = world.databases[node.service].rpartition("/")[2]
        await world._admin(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")

        await wait_until(partial(_could_tell, node, "s", 2))
        await wait_until(lambda: _equals(node, "s", [1, 2]), seconds=60)

    async def test_connections_that_end_at_any_moment_lose_nothing(self, world: World) -> None:
        """Also while they are opened: what asyncpg raises then is no error of the database's."""
        node = await world.make_node("node")
        node.start()
        name = world.databases[node.service].rpartition("/")[2]
        told = []
        for number, seconds in zip(range(90), itertools.cycle((0, 0.002, 0.01)), strict=False):
            end_all = world._admin(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
            ending = asyncio.create_task(end_all)
            await asyncio.sleep(seconds)
            with contextlib.suppress(Exception):
                await node.tell("s", number)
                told.append(number)
            await ending

        await wait_until(partial(_could_tell, node, "s", 90))
        await wait_until(partial(_has_heard, node, "s", 90), seconds=60)
        numbers = await node.numbers("s")
        assert set(told) <= set(numbers)
        assert numbers == sorted(set(numbers))

    async def test_a_database_that_is_away_costs_no_message_a_delivery(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A broker counts what was taken and given back, and lays aside what was given back too often."""
        teller, node = await world.make_node("teller"), await world.make_node("node")
        node.start(relay=False)
        await wait_until(lambda: node.consumer.connected)
        teller.start(consume=False)
        asked, taken, subscribe = 0, 0, node.transport.subscribe

        @contextlib.asynccontextmanager
        async def away(_: str) -> AsyncIterator[None]:
            nonlocal asked
            asked += 1
            raise ConnectionRefusedError
            yield

        def count(service: str, patterns: Sequence[str]) -> contextlib.AbstractAsyncContextManager[Subscription]:
            nonlocal taken
            taken += 1
            return subscribe(service, patterns)

        monkeypatch.setattr(node.transport, "subscribe", count)
        with monkeypatch.context() as outage:
            outage.setattr(node.database, "transaction", away)
            await teller.tell("s", 1, 2)
            await wait_until(lambda: asked >= 5)
            assert taken == 0
        await wait_until(lambda: _equals(node, "s", [1, 2]))

"""What RabbitMQ itself puts aside is seen, and can be brought back. The embedded transport puts nothing aside."""

from collections.abc import AsyncIterator

import aio_pika
import pytest
from pydantic import SecretStr

from kernel.bus import rabbitmq
from kernel.bus.consumer import Handlers
from kernel.bus.service import Bus
from kernel.bus.setaside import count_set_aside, recover_set_aside
from kernel.bus.transport import dead_queue_name, queue_name
from kernel.settings import ServiceSettings
from tests.kernel.bus.conftest import World
from tests.kernel.bus.node import Node
from tests.support.clients import PUBLIC_KEYS
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.timeout(180), pytest.mark.parametrize("world", ["rabbitmq"], indirect=True)]


@pytest.fixture
async def channel(world: World) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    connection = await aio_pika.connect(world.bus_url)
    async with connection:
        yield await connection.channel()


@pytest.fixture
async def node(world: World, channel: aio_pika.abc.AbstractChannel) -> AsyncIterator[Node]:
    """With its queues, and nobody consuming."""
    made = await world.make_node("node")
    made.start()
    await wait_until(lambda: made.consumer.connected)
    await made.stop()
    yield made
    await channel.queue_delete(dead_queue_name(made.service))


async def put_aside(node: Node, channel: aio_pika.abc.AbstractChannel, number: int) -> None:
    """An event that is taken and given back until the broker has had enough."""
    node.start(consume=False)
    await node.tell("s", number)
    queue = await channel.get_queue(queue_name(node.service), ensure=False)

    async def give_back(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        await message.nack(requeue=True)

    tag = await queue.consume(give_back)

    async def counted() -> bool:
        return await count_set_aside(node.transport._url, [node.service]) == {node.service: 1}  # type: ignore[attr-defined]

    await wait_until(counted, seconds=60, what="the delivery limit")
    await queue.cancel(tag)
    await node.stop()


class TestSetAside:
    async def test_is_counted_by_who_consumes_and_comes_back_by_hand(
        self, world: World, node: Node, channel: aio_pika.abc.AbstractChannel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rabbitmq, "WATCH_SECONDS", 0.2)
        await put_aside(node, channel, 1)
        node.start()
        await wait_until(lambda: node.transport.set_aside == 1)
        assert await node.effects() == []
        assert await recover_set_aside(world.bus_url, node.service) == 1
        await wait_until(lambda: node.transport.set_aside == 0)
        await wait_until(node.effects)
        assert await node.numbers("s") == [1]
        assert await recover_set_aside(world.bus_url, node.service) == 0

    async def test_what_was_handled_before_has_no_second_effect(
        self, world: World, node: Node, channel: aio_pika.abc.AbstractChannel
    ) -> None:
        await put_aside(node, channel, 1)
        dead = await channel.get_queue(dead_queue_name(node.service))
        message = await dead.get()
        for _ in range(2):  # as if a recovery had been cut short
            await channel.default_exchange.publish(aio_pika.Message(message.body), dead.name)
        await message.ack()
        await recover_set_aside(world.bus_url, node.service)
        node.start()
        await node.tell("s", 2)
        await wait_until(lambda: _has(node, 2))
        assert sorted(await node.numbers("s")) == [1, 2]

    async def test_stands_in_the_service_s_health(self, world: World, node: Node) -> None:
        settings = ServiceSettings(
            database_url=SecretStr(node.database.url), amqp_url=SecretStr(world.bus_url), internal_public_keys=PUBLIC_KEYS
        )
        bus = Bus(node.service, node.database, Handlers(), settings)
        assert "broker_dead_letters" not in await bus.health()  # nobody has looked yet
        bus._transport.set_aside = 3  # type: ignore[misc]
        health = await bus.health()
        assert (health["status"], health["broker_dead_letters"]) == ("ok", 3)
        await bus._transport.close()


class TestCount:
    async def test_a_service_that_never_ran_has_none(self, world: World) -> None:
        assert await count_set_aside(world.bus_url, ["nobody_ever", "nor_this"]) == {"nobody_ever": 0, "nor_this": 0}


async def _has(node: Node, number: int) -> bool:
    return number in await node.numbers("s")

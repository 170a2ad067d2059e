"""Each test of the bus gets fresh databases and queues, on each of the two transports."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import aio_pika
import asyncpg
import pytest

from kernel.bus.transport import queue_name
from kernel.database import Database
from kernel.migrate import url_for
from kernel.tables import BUS_DDL, KERNEL_DDL
from tests.kernel.bus.node import EFFECT_DDL, Node, make_transport
from tests.support.broker import Broker
from tests.support.stalling import StallingProxy, stalling

_numbers = itertools.count(1)


@dataclass
class World:
    """One test's broker and databases. `name("a")` is a service of this test alone."""

    admin_url: str
    bus_url: str
    broker: Broker | None
    number: int
    proxy: StallingProxy | None = None  # what leads to the PostgreSQL that is the broker
    nodes: list[Node] = field(default_factory=list)
    databases: dict[str, str] = field(default_factory=dict)

    def name(self, service: str) -> str:
        return f"{service}_{os.getpid()}_{self.number}"

    async def make_node(self, service: str, **options: Any) -> Node:
        """A node; two of the same service are replicas with one database."""
        name = self.name(service)
        if name not in self.databases:
            self.databases[name] = await make_bare_database(self.admin_url, f"metis_bus_{name}", KERNEL_DDL + EFFECT_DDL)
        node = Node(
            name, Database(self.databases[name], service=name, pool_size=4), make_transport(self.bus_url, service=name), **options
        )
        self.nodes.append(node)
        return node

    async def stop_broker(self) -> None:
        if self.broker is not None:
            await asyncio.to_thread(self.broker.stop)
        else:
            await self._admin(f'ALTER DATABASE "{self._bus}" ALLOW_CONNECTIONS false')
            await self._admin(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self._bus}'")

    async def start_broker(self) -> None:
        if self.broker is not None:
            await asyncio.to_thread(self.broker.start)
        else:
            await self._admin(f'ALTER DATABASE "{self._bus}" ALLOW_CONNECTIONS true')

    async def stall_broker(self) -> Callable[[], Awaitable[None]]:
        """The broker stops answering without closing a connection; returns how to end that."""
        if self.broker is not None:
            broker = self.broker
            broker.stall()
            return lambda: asyncio.to_thread(broker.resume)
        assert self.proxy is not None
        self.proxy.stall()
        return self._flow_again

    async def _flow_again(self) -> None:
        assert self.proxy is not None
        self.proxy.resume()

    async def delete_queue(self, service: str) -> None:
        queue = queue_name(self.name(service))
        if self.broker is None:
            connection = await asyncpg.connect(self.bus_url)
            for table in ("message", "binding"):
                await connection.execute(f"DELETE FROM {table} WHERE queue = $1", queue)
            await connection.close()
            return
        amqp = await aio_pika.connect(self.broker.url)
        async with amqp, amqp.channel() as channel:
            await channel.queue_delete(queue)

    async def send_rubbish(self, service: str, body: bytes) -> None:
        """Put bytes straight into a service's queue."""
        queue = queue_name(self.name(service))
        if self.broker is None:
            connection = await asyncpg.connect(self.bus_url)
            insert = "INSERT INTO message (queue, event_id, body) VALUES ($1, gen_random_uuid(), $2)"
            await connection.execute(insert, queue, body)
            await connection.execute("SELECT pg_notify('metis_bus', $1)", queue)
            await connection.close()
            return
        amqp = await aio_pika.connect(self.broker.url)
        async with amqp, amqp.channel() as channel:
            await channel.default_exchange.publish(aio_pika.Message(body), routing_key=queue)

    @property
    def _bus(self) -> str:
        return self.bus_url.rpartition("/")[2]

    async def _admin(self, statement: str) -> None:
        connection = await asyncpg.connect(self.admin_url)
        await connection.execute(statement)
        await connection.close()


async def make_bare_database(admin_url: str, name: str, ddl: str) -> str:
    connection = await asyncpg.connect(admin_url)
    await connection.execute(f'CREATE DATABASE "{name}"')
    await connection.close()
    url = url_for(admin_url, database=name)
    owner = await asyncpg.connect(url)
    await owner.execute(ddl)
    await owner.close()
    return url


@pytest.fixture(params=["rabbitmq", "postgresql"])
async def world(request: pytest.FixtureRequest, postgres_url: str) -> AsyncIterator[World]:
    number = next(_numbers)
    if request.param == "rabbitmq":
        broker: Broker = request.getfixturevalue("broker")
        made = World(postgres_url, broker.url, broker, number)
        yield made
        await _stop_nodes(made)
        # Else the next test's events, of the same type, would find a queue before its own is there.
        for node in made.nodes:
            await made.delete_queue(node.service.partition("_")[0])
        await _drop(postgres_url, made.databases.values())
        return
    bus = await make_bare_database(postgres_url, f"metis_bus_{os.getpid()}_{number}", BUS_DDL)
    async with stalling(bus) as (proxy, url):
        made = World(postgres_url, url, None, number, proxy)
        yield made
        await _stop_nodes(made)
    await _drop(postgres_url, [*made.databases.values(), bus])


async def _stop_nodes(world: World) -> None:
    for node in world.nodes:
        await node.stop()
        await node.database.close()


async def _drop(admin_url: str, urls: Iterable[str]) -> None:
    admin = await asyncpg.connect(admin_url)
    for url in urls:
        await admin.execute(f'DROP DATABASE "{url.rpartition("/")[2]}" WITH (FORCE)')
    await admin.close()

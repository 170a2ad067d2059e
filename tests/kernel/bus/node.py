"""A small service for tests of the bus: it tells `ThingHappened`, and writes down which it heard, in order.

It also runs as a process of its own (`python -m tests.kernel.bus.node`), so that it can be killed for real.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, ClassVar
from uuid import UUID

from kernel.auth import Caller
from kernel.bus.consumer import Consumer, Handlers
from kernel.bus.postgres import PostgresTransport
from kernel.bus.rabbitmq import RabbitTransport
from kernel.bus.relay import Relay
from kernel.bus.transport import Outgoing, Transport
from kernel.database import Database
from kernel.events import Event
from kernel.work import Work, open_work

TERRITORY = "92071"
EFFECT_DDL = "CREATE TABLE effect (sequence bigint GENERATED ALWAYS AS IDENTITY, subject text, number int)"


class ThingHappened(Event):
    event_type: ClassVar[str] = "tests.thing_happened.v1"
    number: int


def make_transport(url: str, *, service: str) -> Transport:
    """By the URL's scheme; with short patience, so that tests of a stall are short.

    The exchange is the test's own (a service is called `name_process_test`), for other tests' queues hear everything.
    """
    if url.startswith("amqp"):
        return RabbitTransport(url, name=service, exchange=f"metis.test.{service.partition('_')[2]}", confirm_timeout_seconds=1.5)
    return PostgresTransport(url, command_timeout_seconds=1.5)


class Node:
    """`service` names the queue; `on_thing` may fail, or end the process, before the effect is written."""

    def __init__(
        self,
        service: str,
        database: Database,
        transport: Transport,
        *,
        on_thing: Callable[[str, int], None] = lambda subject, number: None,
        delays: Sequence[float] = (0.05, 0.1, 0.2),
    ) -> None:
        self.service = service
        self.database = database
        self.transport = transport
        handlers = Handlers()

        @handlers.on(ThingHappened)
        async def on_thing_happened(work: Work, event: ThingHappened) -> None:
            assert work.message is not None
            await work.driver.execute("INSERT INTO effect (subject, number) VALUES ($1, $2)", work.message.subject, event.number)
            on_thing(work.message.subject, event.number)

        self.relay = Relay(service, database, transport)
        self.consumer = Consumer(service, database, handlers, transport, retry_delays_seconds=delays, jitter=lambda: 1.0)
        database.after_publish = self.relay.on_published
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, *, consume: bool = True, relay: bool = True) -> None:
        if relay:
            self._tasks.append(asyncio.create_task(self.relay.run()))
        if consume:
            self._tasks.append(asyncio.create_task(self.consumer.run()))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await self.transport.close()
        if errors := [error for error in ended if isinstance(error, Exception)]:
            raise ExceptionGroup("a relay or consumer, which run for ever, had ended", errors)

    async def tell(self, subject: str, *numbers: int) -> list[UUID]:
        """One transaction that publishes these numbers about a subject."""
        async with open_work(self.database, Caller.system(TERRITORY)) as work:
            return [work.publish(ThingHappened(number=number), subject=subject) for number in numbers]

    async def effects(self) -> list[tuple[str, int]]:
        rows = await self._rows("SELECT subject, number FROM effect ORDER BY sequence")
        return [(row["subject"], row["number"]) for row in rows]

    async def numbers(self, subject: str) -> list[int]:
        return [number for about, number in await self.effects() if about == subject]

    async def outbox(self) -> int:
        return len(await self._rows("SELECT 1 FROM outbox"))

    async def waiting(self) -> int:
        return len(await self._rows("SELECT 1 FROM retry"))

    async def dead(self) -> list[dict[str, object]]:
        return [dict(row) for row in await self._rows("SELECT * FROM dead_letter")]

    async def _rows(self, query: str) -> list[dict[str, Any]]:
        async with self.database.transaction("*") as (_, driver):
            return [dict(row) for row in await driver.fetch(query)]


class DyingTransport:
    """Publishes, and ends the process before anybody can note that the broker confirmed."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.system = inner.system
        self.set_aside = inner.set_aside
        self.subscribe = inner.subscribe
        self.close = inner.close

    async def publish(self, messages: Sequence[Outgoing]) -> dict[UUID, str]:
        failed = await self._inner.publish(messages)
        if not failed:
            os.kill(os.getpid(), signal.SIGKILL)
        return failed


async def main(mode: str, service: str, database_url: str, bus_url: str) -> None:
    """`consume-die`: number 13 ends the process; `relay-die`: the relay is killed between publish and delete."""

    def die_at_13(_: str, number: int) -> None:
        if number == 13:
            os.kill(os.getpid(), signal.SIGKILL)

    transport = make_transport(bus_url, service=service)
    database = Database(database_url, service=service, pool_size=4)
    node = Node(service, database, DyingTransport(transport) if mode == "relay-die" else transport, on_thing=die_at_13)
    node.start(consume=mode != "relay-die", relay=mode != "consume-die")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

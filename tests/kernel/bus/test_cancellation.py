"""A consumer and a relay whose library swallows their cancellation end all the same (kernel/cancellation.py says when)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from kernel.bus.consumer import Consumer, Handlers
from kernel.bus.relay import Relay
from kernel.bus.transport import Delivery, Outgoing, Subscription
from kernel.database import Database
from kernel.work import Work


class Swallowing:
    """A transport and its subscription: nothing ever comes, and who is cancelled meanwhile goes on once."""

    system = "swallowing"
    set_aside = None

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self._never = asyncio.Event()

    @asynccontextmanager
    async def subscribe(self, service: str, patterns: Sequence[str]) -> AsyncIterator[Subscription]:
        yield self

    async def next_batch(self, limit: int) -> list[Delivery]:
        self.asked.set()
        with contextlib.suppress(asyncio.CancelledError):
            await self._never.wait()
        return []

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None: ...
    async def close(self) -> None: ...

    async def publish(self, messages: Sequence[Outgoing]) -> dict[UUID, str]:
        raise AssertionError("nothing waits in this outbox")


async def ends_when_cancelled(task: "asyncio.Task[Any]") -> bool:
    task.cancel()
    await asyncio.wait([task], timeout=20)
    return task.cancelled()


async def test_a_consumer_ends(make_database: Callable[..., Database]) -> None:
    handlers, transport = Handlers(), Swallowing()

    @handlers.on_every
    async def hear(work: Work, envelope: object) -> None: ...

    consumer = Consumer("credits", make_database("credits"), handlers, transport, retry_delays_seconds=[1])
    task = asyncio.create_task(consumer.run())
    await transport.asked.wait()
    assert await ends_when_cancelled(task)


async def test_a_relay_ends(make_database: Callable[..., Database], monkeypatch: Any) -> None:
    relay = Relay("credits", make_database("credits"), Swallowing())
    asked, never = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        asked.set()
        with contextlib.suppress(asyncio.CancelledError):
            await never.wait()

    monkeypatch.setattr(relay, "_wait", wait)
    task = asyncio.create_task(relay.run())
    await asked.wait()
    assert await ends_when_cancelled(task)

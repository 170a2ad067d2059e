"""When nothing is on its way any more: no event in an outbox, a queue or a retry, no e-mail, no delivery."""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from cli.databases import connect
from cli.demo.town import wait_until
from cli.migrate import BUS, SERVICES
from cli.state import State

if TYPE_CHECKING:
    import asyncpg

# RabbitMQ keeps its queues to itself: quiet when nobody has handled anything for so long.
STILL_SECONDS = 1.0
# What a killed process had taken in hand is nobody's until its lease ends; it is told, and not waited for.
LEASED_STILL_SECONDS = 4.0
_WAITING = "SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM retry)"
_HANDLED = "SELECT count(*) FROM inbox"
_ERRANDS = "SELECT count(*) AS open, count(*) FILTER (WHERE due_at <= now()) AS due, coalesce(sum(tries), 0) AS tries FROM errand"


class Lookout:
    """Looks into the services' databases, and remembers since when nothing has changed."""

    def __init__(self, services: "dict[str, asyncpg.Connection[Any]]", bus: "asyncpg.Connection[Any] | None") -> None:
        self._services = services
        self._bus = bus
        self._seen: tuple[int, ...] = ()
        self._since = time.monotonic()

    async def is_quiet(self) -> bool:
        waiting = [int(await connection.fetchval(_WAITING)) for connection in self._services.values()]
        if self._bus is not None:
            waiting.append(int(await self._bus.fetchval("SELECT count(*) FROM message")))
        handled = [int(await connection.fetchval(_HANDLED)) for connection in self._services.values()]
        errands: Any = await self._services["notifications"].fetchrow(_ERRANDS)
        self._note((*waiting, *handled, int(errands["open"]), int(errands["tries"])))
        if sum(waiting) + int(errands["due"]):
            return False
        needed = LEASED_STILL_SECONDS if errands["open"] else STILL_SECONDS if self._bus is None else 0
        return time.monotonic() - self._since >= needed

    def _note(self, seen: tuple[int, ...]) -> None:
        if seen != self._seen:
            self._seen, self._since = seen, time.monotonic()


@asynccontextmanager
async def _looking(state: State) -> AsyncIterator[Lookout]:
    opened: dict[str, asyncpg.Connection[Any]] = {}
    try:
        for service in (*SERVICES, *([] if os.environ.get("METIS_AMQP_URL") else [BUS])):
            opened[service] = await connect(service, state)
        yield Lookout({name: connection for name, connection in opened.items() if name != BUS}, opened.get(BUS))
    finally:
        for connection in opened.values():
            await connection.close()


async def wait_until_quiet(state: State) -> None:
    async with _looking(state) as lookout:
        await wait_until(lookout.is_quiet, what="tous les événements, courriels et webhooks sont arrivés", timeout_seconds=90)

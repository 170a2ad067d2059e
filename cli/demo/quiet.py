"""When nothing is on its way any more: no event in an outbox, a queue or a retry, no e-mail, no delivery."""

import os
import time
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

    def __init__(self, state: State) -> None:
        self._state = state
        self._opened: dict[str, asyncpg.Connection[Any]] = {}
        self._seen: tuple[int, ...] = ()
        self._since = time.monotonic()

    async def is_quiet(self) -> bool:
        try:
            return await self._look()
        except Exception as error:
            from kernel.database import is_lost  # slow to import, and rarely needed

            if not is_lost(error):
                raise
            await self.close()  # opened anew for the next look
            return False

    async def _look(self) -> bool:
        for name in (*SERVICES, *([] if os.environ.get("METIS_AMQP_URL") else [BUS])):
            if name not in self._opened:
                self._opened[name] = await connect(name, self._state)
        services = [self._opened[name] for name in SERVICES]
        waiting = [int(await connection.fetchval(_WAITING)) for connection in services]
        if bus := self._opened.get(BUS):
            waiting.append(int(await bus.fetchval("SELECT count(*) FROM message")))
        handled = [int(await connection.fetchval(_HANDLED)) for connection in services]
        errands: Any = await self._opened["notifications"].fetchrow(_ERRANDS)
        self._note((*waiting, *handled, int(errands["open"]), int(errands["tries"])))
        if sum(waiting) + int(errands["due"]):
            return False
        needed = LEASED_STILL_SECONDS if errands["open"] else STILL_SECONDS if bus is None else 0
        return time.monotonic() - self._since >= needed

    def _note(self, seen: tuple[int, ...]) -> None:
        if seen != self._seen:
            self._seen, self._since = seen, time.monotonic()

    async def close(self) -> None:
        while self._opened:
            await self._opened.popitem()[1].close()


async def wait_until_quiet(state: State) -> None:
    lookout = Lookout(state)
    try:
        await wait_until(lookout.is_quiet, what="tous les événements, courriels et webhooks sont arrivés", timeout_seconds=90)
    finally:
        await lookout.close()

"""The server's clock, stepped by tests: the ledger asks one function what time it is (migration 0013)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg

_CLOCK = "CREATE OR REPLACE FUNCTION ledger_clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT clock_timestamp(){}'"


class ServerClock:
    """Every territory's; it goes right again when the test ends."""

    def __init__(self, connection: "asyncpg.Connection[Any]") -> None:
        self._connection = connection

    async def be_off_by(self, error: timedelta) -> None:
        """From now on the clock says the true time and this error, as after a step."""
        await self._connection.execute(_CLOCK.format(f" + interval ''{error.total_seconds()} s''" if error else ""))


@asynccontextmanager
async def server_clock(owner_url: str) -> AsyncIterator[ServerClock]:
    connection = await asyncpg.connect(owner_url)
    clock = ServerClock(connection)
    try:
        yield clock
    finally:
        await clock.be_off_by(timedelta())
        await connection.close()

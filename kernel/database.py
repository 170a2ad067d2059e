"""The service's database: one pool, and connections that start in a territory."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import sqlalchemy.exc
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

_TERRITORY = re.compile(r"([0-9]{2}|2[AB])[0-9]{3}|\*")


def sqlalchemy_url(url: str, *, driver: str = "asyncpg") -> str:
    """A libpq-style URL as SQLAlchemy wants it."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(scheme=f"postgresql+{driver}"))


# What a database says, or what is said of it, when it is away: no fault of the work at hand.
_AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    sqlalchemy.exc.TimeoutError,
    OSError,
)


# Two transactions stood in each other's way; the one that was rolled back may simply come again.
_BUSY = (asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError, asyncpg.SerializationError)


class DatabaseLost(Exception):
    """The database is away; what was being done is undone and can be tried again."""


def is_lost(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, says that the database is away rather than that a statement is wrong."""
    return _was_caused_by(error, _AWAY)


def is_passing(error: BaseException | None) -> bool:
    """Whether the same request may well succeed in a moment: the database is away, or was too busy for it."""
    return _was_caused_by(error, _AWAY + _BUSY)


def _was_caused_by(error: BaseException | None, kinds: tuple[type[BaseException], ...]) -> bool:
    while error is not None:
        if isinstance(error, kinds):
            return True
        error = error.__cause__
    return False


class Database:
    """Pool of one service's database.

    Connections are in autocommit as far as SQLAlchemy knows: `transaction` sends BEGIN together with the
    territory in one message, which spares every request a round trip (measured in docs/performance.md).
    """

    def __init__(self, url: str, *, service: str, pool_size: int = 10) -> None:
        self.url = url
        self.service = service
        self.engine: AsyncEngine = create_async_engine(
            sqlalchemy_url(url),
            isolation_level="AUTOCOMMIT",
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=10,
            pool_reset_on_return=None,
            connect_args={"server_settings": {"jit": "off", "lock_timeout": "10s", "idle_in_transaction_session_timeout": "60s"}},
        )
        # Called after a commit that published events; the relay listens here.
        self.after_publish: Callable[[], None] = lambda: None

    @asynccontextmanager
    async def transaction(self, territory: str) -> AsyncIterator[tuple[AsyncConnection, "asyncpg.Connection[Any]"]]:
        """A transaction bound to a territory (row-level security); commits at the end, rolls back on any error."""
        if not _TERRITORY.fullmatch(territory):
            raise ValueError(f"no territory: {territory!r}")
        async with self.engine.connect() as connection:
            driver = await driver_connection(connection)
            try:
                await driver.execute(f"BEGIN; SET LOCAL metis.territory = '{territory}'")
                yield connection, driver
                await driver.execute("COMMIT")
            except BaseException:
                # A connection whose state is unknown (cancelled, broken) must not return to the pool.
                try:
                    await driver.execute("ROLLBACK", timeout=5)
                except BaseException:
                    await connection.invalidate()
                raise

    async def close(self) -> None:
        await self.engine.dispose()


async def driver_connection(connection: AsyncConnection) -> "asyncpg.Connection[Any]":
    """The asyncpg connection below, for the kernel's own set-based statements."""
    raw = await connection.get_raw_connection()
    return cast("asyncpg.Connection[Any]", raw.driver_connection)

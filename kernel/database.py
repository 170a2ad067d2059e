"""The service's database: its open connections, and transactions that start in a territory."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from kernel.bus.transport import Outgoing

PATIENCE_SECONDS = 10
_TERRITORY = re.compile(r"([0-9]{2}|2[AB])[0-9]{3}|\*")


def sqlalchemy_url(url: str, *, driver: str = "asyncpg") -> str:
    """A libpq-style URL as SQLAlchemy wants it."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(scheme=f"postgresql+{driver}"))


class DatabaseLost(Exception):
    """The database is away; what was being done is undone and can be tried again."""


# What a database says, or what is said of it, when it is away: no fault of the work at hand.
_AWAY = (
    DatabaseLost,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    # What asyncpg makes of a connection that dies while it looks up the types of a statement, or as soon as it is open.
    asyncpg.InternalClientError,
    OSError,
)
# Whatever a connection may raise, for those who come back after any of it.
ANY_DATABASE_ERROR = (asyncpg.PostgresError, *_AWAY)

# Two transactions stood in each other's way; the one that was rolled back may simply come again.
_BUSY = (asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError, asyncpg.SerializationError)


def is_territory(text: str) -> bool:
    """Whether a transaction can be opened for it: the INSEE code of a commune, or `*`."""
    return _TERRITORY.fullmatch(text) is not None


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
    """The open connections of one service's database.

    Connections are in autocommit as far as SQLAlchemy knows: `transaction` sends BEGIN together with the
    territory in one message, which spares every request a round trip. They stay checked out of SQLAlchemy
    between transactions, for its pool costs more processor time than all the rest of a small one (both measured
    in docs/performance.md); the idle ones wait in a list here.
    """

    def __init__(self, url: str, *, service: str, pool_size: int = 10) -> None:
        self.url = url
        self.service = service
        self._engine = create_async_engine(
            sqlalchemy_url(url),
            isolation_level="AUTOCOMMIT",
            poolclass=NullPool,
            connect_args={"server_settings": {"jit": "off", "lock_timeout": "10s", "idle_in_transaction_session_timeout": "60s"}},
        )
        self._slots = asyncio.Semaphore(pool_size)
        self._idle: list[_Session] = []
        # Called after a commit that published events, with those that need not be read back; the relay listens here.
        self.after_publish: Callable[[Sequence[Outgoing]], None] = lambda _: None

    @asynccontextmanager
    async def transaction(self, territory: str) -> AsyncIterator[tuple[AsyncConnection, "asyncpg.Connection[Any]"]]:
        """A transaction bound to a territory (row-level security); commits at the end, rolls back on any error.
        Raises TimeoutError when no connection becomes free."""
        if not is_territory(territory):
            raise ValueError(f"no territory: {territory!r}")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._slots.acquire()
        try:
            session = await self._take()
            connection, driver = session
            try:
                await driver.execute(f"BEGIN; SET LOCAL metis.territory = '{territory}'")
                yield connection, driver
                await driver.execute("COMMIT")
            except BaseException:
                # A connection whose state is unknown (cancelled, broken) must not be used again.
                try:
                    await driver.execute("ROLLBACK", timeout=5)
                except BaseException:
                    await _discard(session)
                else:
                    self._idle.append(session)
                raise
            self._idle.append(session)
        finally:
            self._slots.release()

    async def _take(self) -> "_Session":
        while self._idle:
            session = self._idle.pop()
            if not session.driver.is_closed():
                return session
            await _discard(session)
        try:
            connection = await self._engine.connect()
        except DBAPIError as error:
            # "not currently accepting connections". Of a statement, the same SQLSTATE (55000) says that it is wrong.
            if _was_caused_by(error, (asyncpg.ObjectNotInPrerequisiteStateError,)):
                raise DatabaseLost(str(error.orig)) from error
            raise
        raw = await connection.get_raw_connection()
        return _Session(connection, cast("asyncpg.Connection[Any]", raw.driver_connection))

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().connection.close()
        await self._engine.dispose()


class _Session(NamedTuple):
    """A connection as SQLAlchemy sees it, and the asyncpg connection below, for set-based statements."""

    connection: AsyncConnection
    driver: "asyncpg.Connection[Any]"


async def _discard(session: _Session) -> None:
    session.driver.terminate()
    await session.connection.invalidate()
    await session.connection.close()

"""The service's database while it is away, and while it is only asked wrongly."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

import asyncpg
import pytest

from kernel.database import Database, DatabaseLost, is_lost, is_passing
from kernel.migrate import url_for


@dataclass
class Server:
    """A database of this test's own, and its administrator."""

    admin_url: str
    name: str
    database: Database

    async def administer(self, statement: str) -> None:
        connection = await asyncpg.connect(self.admin_url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@pytest.fixture
async def server(postgres_url: str) -> AsyncIterator[Server]:
    name = f"metis_database_{uuid4().hex}"
    made = Server(postgres_url, name, Database(url_for(postgres_url, database=name), service="test", pool_size=2))
    await made.administer(f'CREATE DATABASE "{name}"')
    yield made
    await made.database.close()
    await made.administer(f'DROP DATABASE "{name}" WITH (FORCE)')


async def ask(database: Database, statement: str = "SELECT 1") -> None:
    async with database.transaction("92071") as (_, driver):
        await driver.execute(statement)


class TestTransaction:
    async def test_a_database_that_accepts_no_connections_is_away_until_it_does(self, server: Server) -> None:
        await server.administer(f'ALTER DATABASE "{server.name}" ALLOW_CONNECTIONS false')
        with pytest.raises(DatabaseLost, match="not currently accepting connections") as lost:
            await ask(server.database)
        assert is_lost(lost.value) and is_passing(lost.value)
        await server.administer(f'ALTER DATABASE "{server.name}" ALLOW_CONNECTIONS true')
        await ask(server.database)

    async def test_a_statement_at_the_wrong_moment_is_wrong_and_the_database_is_there(self, server: Server) -> None:
        await ask(server.database, "CREATE SEQUENCE numbers")
        with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError) as wrong:  # the same SQLSTATE
            await ask(server.database, "SELECT currval('numbers')")
        assert not is_lost(wrong.value) and not is_passing(wrong.value)

    async def test_a_connection_that_was_ended_is_lost_and_the_next_one_is_new(self, server: Server) -> None:
        with pytest.raises(asyncpg.PostgresError) as lost:
            await ask(server.database, "SELECT pg_terminate_backend(pg_backend_pid())")
        assert is_lost(lost.value)
        await ask(server.database)

"""Fixtures of the credits tests: a scene in a territory of its own."""

from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest
from fastapi import FastAPI

from kernel.database import Database
from services.credits.domain.campaigns import Safeguards
from tests.builders.approvals import Start
from tests.builders.credits import Scene
from tests.support.culprit import Culprit


@pytest.fixture
def database(make_database: Callable[..., Database]) -> Database:
    return make_database("credits", pool_size=10)


@pytest.fixture
def app(make_app: Callable[..., FastAPI]) -> FastAPI:
    return make_app("credits")


@pytest.fixture
async def scene(database: Database, territory: str) -> Scene:
    """An open campaign."""
    return await Scene(database, territory).start()


@pytest.fixture
def start(database: Database, territory: str) -> Start:
    """A function: an open campaign with these safeguards."""

    async def begin(*, above: int | None = None, limit: int | None = None) -> Scene:
        return await Scene(database, territory).start(safeguards=Safeguards(above, limit))

    return begin


@pytest.fixture
async def guarded(start: Start) -> Scene:
    """More than an hour needs a second person."""
    return await start(above=60)


@pytest.fixture
async def culprit(owner_url: Callable[[str], str], territory: str) -> AsyncIterator[Culprit]:
    connection = await asyncpg.connect(owner_url("credits"))
    await connection.execute("SET session_replication_role = replica")
    yield Culprit(connection, territory)
    await connection.close()

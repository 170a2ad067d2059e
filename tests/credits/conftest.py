"""Fixtures of the credits tests: a scene in a territory of its own."""

from collections.abc import Callable

import pytest
from fastapi import FastAPI

from kernel.database import Database
from tests.builders.credits import Scene


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

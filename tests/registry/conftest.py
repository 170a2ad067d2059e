"""A registry with the test's territory recorded, and clients that call it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import orjson
import pytest
from fastapi import FastAPI

from kernel.auth import Caller, Role
from kernel.database import Database
from kernel.work import open_work
from services.registry import use_cases
from tests.support.clients import client_for, make_caller

Enter = Callable[..., Awaitable[httpx2.AsyncClient]]


@pytest.fixture
async def app(make_app: Callable[..., FastAPI], territory: str) -> FastAPI:
    made = make_app("registry")
    async with open_work(made.state.database, Caller.system(territory)) as work:
        await use_cases.record_territory(work, name="Ville d'essai")
    return made


@pytest.fixture
def database(app: FastAPI) -> Database:
    found: Database = app.state.database
    return found


@pytest.fixture
async def sign_in(app: FastAPI, territory: str) -> AsyncIterator[Enter]:
    """A function: an HTTP client with these roles, for this actor and this member."""
    async with AsyncExitStack() as stack:

        async def enter(*roles: Role, **named: Any) -> httpx2.AsyncClient:
            caller = make_caller(named.pop("territory", territory), *roles, **named)
            return await stack.enter_async_context(client_for(app, caller))

        yield enter


@pytest.fixture
async def officer(sign_in: Enter) -> httpx2.AsyncClient:
    return await sign_in(Role.OFFICER)


@pytest.fixture
def published(database: Database, territory: str) -> Callable[[str], Awaitable[list[dict[str, Any]]]]:
    """A function: the data of the events of one type that this territory has published, in order."""

    async def read(event_type: str) -> list[dict[str, Any]]:
        async with open_work(database, Caller.system(territory)) as work:
            rows = await work.driver.fetch("SELECT body FROM outbox WHERE type = $1 ORDER BY sequence", event_type)
        envelopes = [orjson.loads(row["body"]) for row in rows]
        return [envelope["data"] for envelope in envelopes if envelope["territory"] == territory]

    return read

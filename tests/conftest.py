"""Fixtures of all rooms: one PostgreSQL and one RabbitMQ a session; a territory of its own for each test.

Row-level security keeps territories apart, so that tests need no clean-up: what another test wrote cannot
be seen. Use `service_databases["credits"]` (URL of the runtime role), `make_database("credits")`,
`make_app("credits")`, `client_for(app, make_caller(territory, Role.OFFICER))`.
"""

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import TypeVar

import asyncpg
import pytest
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import SecretStr

from cli import embedded_postgres
from cli.http import make_client
from cli.stack import Stack
from kernel.auth import Caller
from kernel.database import Database
from kernel.migrate import create_bus, create_database, database_name, upgrade, url_for
from kernel.work import open_work
from tests.support.broker import Broker, make_broker
from tests.support.clients import PUBLIC_KEYS
from tests.support.hangs import HangWatch
from tests.support.stack import running_stack
from tests.support.town import Town, found_town

ROOT = Path(__file__).parent.parent
SERVICES = ("registry", "matching", "credits", "notifications")
PASSWORD = "only-for-tests"
PREFIX = f"metis_test_{os.getpid()}"

_territories = itertools.count(1)
T = TypeVar("T")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(HangWatch(config), "hang-watch")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Admin URL of a real PostgreSQL: METIS_TEST_DATABASE_URL, else the wheel's."""
    if url := os.environ.get("METIS_TEST_DATABASE_URL"):
        yield url
        return
    folder = Path(tempfile.mkdtemp(prefix="metis-pg-"))
    folder.chmod(0o755)
    server = embedded_postgres.start(folder / "data", password=PASSWORD, log=folder / "log", durable=False)
    yield server.url
    embedded_postgres.stop(server)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def service_url(postgres_url: str) -> Iterator[Callable[[str], str]]:
    """A function: the URL of a service's migrated database, for its runtime role."""
    urls: dict[str, str] = {}

    def get(service: str) -> str:
        if service not in urls:
            urls[service] = asyncio.run(create_database(postgres_url, service=service, password=PASSWORD, prefix=PREFIX))
            owner = url_for(postgres_url, database=database_name(service, prefix=PREFIX))
            upgrade(owner, ROOT / "services" / service / "migrations")
        return urls[service]

    yield lambda service: _in_thread(lambda: get(service))
    _in_thread(lambda: asyncio.run(_drop_databases(postgres_url)))


@pytest.fixture(scope="session")
def owner_url(postgres_url: str, service_url: Callable[[str], str]) -> Callable[[str], str]:
    """A function: the URL of a service's database for its owner, who sees every territory."""

    def get(service: str) -> str:
        service_url(service)
        return url_for(postgres_url, database=database_name(service, prefix=PREFIX))

    return get


@pytest.fixture(scope="session")
def bus_url(postgres_url: str) -> str:
    """The embedded transport's database."""
    return _in_thread(lambda: asyncio.run(create_bus(postgres_url, password=PASSWORD, prefix=PREFIX)))


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    found = make_broker()
    yield found
    found.remove()


@pytest.fixture
def territory() -> str:
    """An INSEE-like code that no other test has."""
    return f"{10001 + next(_territories):05d}"


@pytest.fixture
async def make_database(service_url: Callable[[str], str]) -> AsyncIterator[Callable[[str], Database]]:
    made: list[Database] = []

    def make(service: str, *, pool_size: int = 5) -> Database:
        made.append(Database(service_url(service), service=service, pool_size=pool_size))
        return made[-1]

    yield make
    for database in made:
        await database.close()


@pytest.fixture
async def make_app(service_url: Callable[[str], str], bus_url: str) -> AsyncIterator[Callable[..., FastAPI]]:
    """A function: a service's app on the test database, its bus and jobs not running (no lifespan)."""
    made: list[FastAPI] = []

    def make(service: str, **settings: object) -> FastAPI:
        settings_class = import_module(f"services.{service}.settings").Settings
        app: FastAPI = import_module(f"services.{service}.app").make_service(
            settings_class(
                database_url=SecretStr(service_url(service)),
                bus_database_url=SecretStr(bus_url),
                internal_public_keys=PUBLIC_KEYS,
                database_pool_size=5,
                **settings,
            )
        )
        # Nothing relays here; a wake-up would outlive the test.
        app.state.database.after_publish = lambda _: None
        made.append(app)
        return app

    yield make
    for app in made:
        await app.state.database.close()


@pytest.fixture
def open_test_work(territory: str) -> Callable[..., object]:
    """A function: `async with open_test_work(database) as work` runs as the platform in the test's territory."""

    def make(database: Database, *, caller: Caller | None = None, **options: object) -> object:
        return open_work(database, caller or Caller.system(territory), **options)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
async def stack(broker: Broker) -> AsyncIterator[Stack]:
    """All services and the gateway as processes, over RabbitMQ."""
    folder = Path(tempfile.mkdtemp(prefix="metis-stack-"))
    folder.chmod(0o755)
    async with running_stack(folder / "state", amqp_url=broker.url) as running:
        yield running
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def make_town(stack: Stack) -> AsyncIterator[Callable[[str], Awaitable[Town]]]:
    """A function: a town of its own at the stack's public API."""
    async with make_client(stack.url) as http:
        yield lambda territory: found_town(http, stack.url, territory, admin_secret=stack.secrets.instance_admin_secret)


@pytest.fixture
async def town(make_town: Callable[[str], Awaitable[Town]], territory: str) -> Town:
    return await make_town(territory)


@pytest.fixture(scope="session")
def span_exporter() -> InMemorySpanExporter:
    """OpenTelemetry takes one provider a process."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans(span_exporter: InMemorySpanExporter) -> InMemorySpanExporter:
    """The spans that end during this test."""
    span_exporter.clear()
    return span_exporter


async def _drop_databases(admin_url: str) -> None:
    connection = await asyncpg.connect(admin_url)
    for row in await connection.fetch("SELECT datname FROM pg_database WHERE datname LIKE $1", PREFIX.replace("_", r"\_") + "%"):
        await connection.execute(f'DROP DATABASE "{row["datname"]}" WITH (FORCE)')
    await connection.close()


def _in_thread(run: Callable[[], T]) -> T:
    """Fixtures that need a loop of their own run beside the session's loop."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(run).result()

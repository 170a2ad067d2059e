"""A gateway on loopback in front of services on loopback."""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway.app import Gateway
from kernel.auth import Caller, Role
from tests.builders.gateway import make_access_token, make_settings
from tests.support.clients import make_caller
from tests.support.servers import FakeService, serve_app, unused_port

TERRITORY = "92071"


class Door:
    """The gateway under test: its address, its services, its spans."""

    def __init__(self, port: int, services: dict[str, FakeService], urls: dict[str, str], spans: InMemorySpanExporter) -> None:
        self.urls = urls
        self.port = port
        self.registry = services["registry"]
        self.matching = services["matching"]
        self.spans = spans
        self.client = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", verify=False)  # no certificates to load

    async def call(
        self, method: str, path: str, *, caller: Caller | None = None, token: str | None = None, **options: Any
    ) -> httpx2.Response:
        """Call `path` below the territory of Sceaux, as an officer unless said otherwise."""
        token = token or make_access_token(caller or make_caller(TERRITORY, Role.OFFICER))
        headers = {"authorization": f"Bearer {token}", **options.pop("headers", {})}
        return await self.client.request(method, f"/v1/territories/{TERRITORY}{path}", headers=headers, **options)


OpenDoor = Callable[..., contextlib.AbstractAsyncContextManager[Door]]


@pytest.fixture
def open_door(tmp_path: Path) -> OpenDoor:
    """A function: `async with open_door(client_limit_per_minute=3) as door`. Credits and notifications are down."""

    @contextlib.asynccontextmanager
    async def make(*, document: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[Door]:
        services = {"registry": FakeService(), "matching": FakeService()}
        exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        async with contextlib.AsyncExitStack() as stack:
            urls = {f"{name}_url": f"http://127.0.0.1:{unused_port()}" for name in ("credits", "notifications")}
            for name, service in services.items():
                urls[f"{name}_url"] = f"http://127.0.0.1:{await stack.enter_async_context(serve_app(service))}"
            gateway = Gateway(make_settings(tmp_path, document=document, **(urls | options)), provider=provider)
            port = await stack.enter_async_context(serve_app(gateway))
            stack.push_async_callback(gateway.stop)
            door = Door(port, services, urls, exporter)
            await stack.enter_async_context(door.client)
            yield door

    return make


@pytest.fixture
async def door(open_door: OpenDoor) -> AsyncIterator[Door]:
    async with open_door() as opened:
        yield opened

"""The app of a service: wiring of settings, database, bus, jobs, health, metrics and traces.

`python -m kernel.web services.credits.app:make_service` serves it.
"""

import asyncio
import contextlib
import importlib
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI
from fastapi.telemetry import TelemetryConfig
from opentelemetry.trace import SpanKind, Status, StatusCode
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kernel import memory
from kernel.auth import TokenChecker
from kernel.bus.consumer import Handlers
from kernel.bus.service import Bus
from kernel.database import Database
from kernel.jobs import Job, run_all
from kernel.problems import install_problem_handlers
from kernel.settings import KernelSettings, ServiceSettings
from kernel.telemetry import REQUESTS, context_from, set_up_telemetry, tracer

log = logging.getLogger("metis.web")


def make_service_app(
    service: str,
    settings: ServiceSettings,
    *,
    routers: Sequence[APIRouter],
    handlers: Handlers,
    jobs: Sequence[Job] = (),
    prepare: Callable[[FastAPI], None] = lambda app: None,
    describe: Callable[[], Mapping[str, Any]] = dict,
) -> FastAPI:
    """One service: its routes, its event handlers and its jobs in one process.

    `prepare` may put more into `app.state` before the first request; what `describe` says is shown with the health. The
    process stops taking requests on SIGTERM, finishes what it has, and leaves the rest in outbox and queue.
    """
    database = Database(settings.database_url.get_secret_value(), service=service, pool_size=settings.database_pool_size)
    bus = Bus(service, database, handlers, settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        provider = set_up_telemetry(service, settings)
        background = [asyncio.create_task(bus.run(), name="bus")]
        if jobs:
            background.append(asyncio.create_task(run_all(jobs, database), name="jobs"))
        for task in background:
            task.add_done_callback(_stop_if_failed)
        log.info("%s is ready", service)
        try:
            yield
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            await database.close()
            await asyncio.to_thread(provider.shutdown)

    # FastAPI's own spans, metrics and logs would double ours (the Telemetry middleware below).
    silent: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
    app = FastAPI(title=f"Métis {service}", version="1", lifespan=lifespan, docs_url=None, redoc_url=None, telemetry=silent)
    app.state.database = database
    app.state.bus = bus
    app.state.settings = settings
    app.state.token_checker = TokenChecker(settings.internal_public_keys)
    prepare(app)
    install_problem_handlers(app)
    for router in routers:
        # Not `include_router`: it makes every route a second time at the first request, and matches each request twice.
        app.router.routes.extend(router.routes)
    app.add_middleware(Telemetry, service=service)

    async def health() -> dict[str, Any]:
        return {**await bus.health(), **describe()}

    add_health(app, ready=health)
    return app


def add_health(app: FastAPI, *, ready: Callable[[], Any]) -> None:
    """Liveness (the process answers), readiness (it can do its work) and metrics; kept from the public API."""

    @app.get("/health/live", include_in_schema=False)
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/health/ready", include_in_schema=False)
    async def is_ready() -> Response:
        state: dict[str, Any] = await ready()
        return JSONResponse(state, status_code=200 if state["status"] == "ok" else 503)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


class Telemetry:
    """A server span and a duration for each request (semantic conventions for HTTP)."""

    def __init__(self, app: ASGIApp, *, service: str) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(("/health", "/metrics")):
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        parent = context_from(headers.get(b"traceparent", b"").decode("latin-1"))
        method = scope["method"]
        started = time.perf_counter()
        status = 500
        with tracer().start_as_current_span(method, context=parent, kind=SpanKind.SERVER) as span:

            async def send_noting(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            try:
                await self._app(scope, receive, send_noting)
            finally:
                route = getattr(scope.get("route"), "path", "unmatched")
                span.update_name(f"{method} {route}")
                span.set_attributes(
                    {
                        "http.request.method": method,
                        "http.route": route,
                        "url.path": scope["path"],
                        "http.response.status_code": status,
                    }
                )
                if status >= 500:
                    span.set_status(Status(StatusCode.ERROR, f"HTTP {status}"))
                REQUESTS.labels(self._service, method, route, str(status)).observe(time.perf_counter() - started)


def _stop_if_failed(task: "asyncio.Task[None]") -> None:
    """A service whose bus or jobs died must not go on as if nothing were: end it, and let it be restarted."""
    if not task.cancelled() and task.exception() is not None:
        log.critical("%s ended by an error; the process stops", task.get_name(), exc_info=task.exception())
        signal.raise_signal(signal.SIGTERM)


def serve(factory: Callable[[], Any], settings: KernelSettings) -> None:
    """Serve an app until SIGTERM or SIGINT."""

    def build() -> Any:
        app = factory()
        memory.settle()
        return app

    uvicorn.run(
        build,
        factory=True,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=20,
        timeout_keep_alive=75,
        backlog=1024,
    )


if __name__ == "__main__":
    module, _, name = sys.argv[1].partition(":")
    serve(getattr(importlib.import_module(module), name), KernelSettings())

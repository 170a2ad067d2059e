"""The one public door, as a plain ASGI app: `python -m kernel.web gateway.app:make_gateway`."""

import asyncio
import gc
import logging
import time
from datetime import timedelta
from typing import Any

import orjson
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import Histogram
from starlette.types import Receive, Scope, Send

from gateway.answers import send_problem
from gateway.docs import PAGE_HEADERS, render_docs
from gateway.exchange import END_TO_END, Exchange
from gateway.health import WholeHealth
from gateway.limits import Limiter
from gateway.oauth import ClientDirectory
from gateway.pages import JSON, FixedPage, HealthPage, Page, Pages, TokenPage, show_docs_address, show_life, show_metrics
from gateway.proxy import Proxy
from gateway.router import METHODS, RouteTable
from gateway.sessions import ACCESS_AUDIENCE, Sessions
from gateway.settings import GatewaySettings
from gateway.tracing import Tracing
from gateway.upstream import Upstream
from kernel.auth import EVERY_TERRITORY, Caller, TokenChecker, TokenSigner
from kernel.clock import Clock, utc_now
from kernel.errors import MetisError, Unauthenticated
from kernel.telemetry import REQUESTS, set_up_telemetry

log = logging.getLogger("metis.gateway")
SERVICE = "gateway"
_UNRECORDED = frozenset({"/health", "/health/live", "/health/ready", "/metrics"})  # a trace of every probe helps nobody
_METHODS = frozenset(method.upper() for method in METHODS) | {"HEAD", "OPTIONS"}


def make_gateway() -> "Gateway":
    """The gateway as the environment describes it."""
    return Gateway(GatewaySettings())


class Gateway:
    """Wiring, and the frame around each request: errors become problems, each exchange a span and a duration."""

    def __init__(self, settings: GatewaySettings, *, clock: Clock = utc_now, provider: TracerProvider | None = None) -> None:
        self._settings = settings
        document = _load_document(settings)
        urls = settings.service_urls()
        table = RouteTable(document, services=frozenset(urls))
        self._forwarded = END_TO_END | table.forwarded_headers
        self._upstreams = {
            name: Upstream(
                name, url, connections=settings.upstream_connections, timeout_seconds=settings.upstream_timeout_seconds
            )
            for name, url in urls.items()
        }
        signer = _make_signer(settings, clock=clock)
        addresses = Limiter("address", quota=settings.address_limit_per_minute, clock=clock)
        self._proxy = Proxy(
            table=table,
            sessions=Sessions(TokenChecker(settings.internal_public_keys, audience=ACCESS_AUDIENCE), signer),
            clients=Limiter("client", quota=settings.client_limit_per_minute, clock=clock),
            addresses=addresses,
            upstreams=self._upstreams,
            settings=settings,
            clock=clock,
        )
        self._pages = _make_pages(settings, document, table, self._upstreams, signer=signer, addresses=addresses, clock=clock)
        self._durations: dict[tuple[str, str, int], Histogram] = {}
        self._provider: TracerProvider | None = None
        # Until the process starts, nothing is recorded (tests bring a provider of their own).
        self._tracing = Tracing(provider or TracerProvider(), ratio=settings.trace_ratio if provider else 0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send, tracing=self._tracing, forwarded=self._forwarded)
        try:
            if exchange.raw_path.startswith(b"/v1/"):
                await self._proxy.forward(exchange)
            else:
                await self._pages.answer(exchange)
        except MetisError as error:
            await _refuse(exchange, error)
        except Exception as error:
            if exchange.status:
                raise  # half an answer is out: the server closes the connection
            with trace.use_span(exchange.trace.as_current()):
                log.error("a request failed", exc_info=error)
            await _refuse(exchange, MetisError("The fault is ours and is logged; try again, or quote the trace id."))
        finally:
            self._record(exchange)

    def _record(self, exchange: Exchange) -> None:
        if exchange.route in _UNRECORDED:
            return
        method = exchange.method if exchange.method in _METHODS else "_OTHER"
        key = (method, exchange.route, exchange.status)
        duration = self._durations.get(key)
        if duration is None:
            duration = self._durations[key] = REQUESTS.labels(SERVICE, method, exchange.route, str(exchange.status))
        duration.observe(time.perf_counter() - exchange.started)
        if not exchange.trace.sampled:
            return
        self._tracing.record(
            exchange.trace,
            name=f"{method} {exchange.route}",
            attributes={
                "http.request.method": method,
                "http.route": exchange.route,
                "url.path": exchange.scope["path"],
                "http.response.status_code": exchange.status,
                "metis.territory": exchange.territory,
            },
            error=f"HTTP {exchange.status}" if exchange.status >= 500 or not exchange.status else None,
        )

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            self.start()
        except Exception as error:
            # Said aloud: on an exception alone, the server would go on without us.
            await send({"type": "lifespan.startup.failed", "message": f"The gateway cannot start: {error}"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})

    def start(self) -> None:
        self._provider = set_up_telemetry(SERVICE, self._settings)
        self._tracing = Tracing(self._provider, ratio=self._settings.trace_ratio)
        # What is alive now lives as long as the process: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        log.info("gateway is ready")

    async def stop(self) -> None:
        for upstream in self._upstreams.values():
            upstream.close()
        if self._provider:
            await asyncio.to_thread(self._provider.shutdown)


async def _refuse(exchange: Exchange, error: MetisError) -> None:
    exchange.status = error.status
    with trace.use_span(exchange.trace.as_current()):
        if error.status != 429:  # a flood must not become a flood of log lines; the metric counts it
            log.info("refused: %s", error.detail, extra={"facts": {"code": error.code, "status": error.status}})
        await send_problem(exchange.send, error, headers=exchange.limit_headers)


def _load_document(settings: GatewaySettings) -> dict[str, Any]:
    try:
        document: dict[str, Any] = orjson.loads(settings.openapi_file.read_bytes())
    except FileNotFoundError as error:
        raise SystemExit(f"{settings.openapi_file} is missing: run `metis openapi` to make it from the services.") from error
    return document


def _make_signer(settings: GatewaySettings, *, clock: Clock) -> TokenSigner:
    """The signer, once its tokens pass the public keys: a wrong pair must be seen at the start, not at each request."""
    signer = TokenSigner(settings.internal_private_key.get_secret_value())
    token = signer.sign(Caller(EVERY_TERRITORY, "self-test"), now=clock(), lifetime=timedelta(minutes=1))
    try:
        TokenChecker(settings.internal_public_keys).check(token, now=clock())
    except Unauthenticated as error:
        raise SystemExit(
            "METIS_INTERNAL_PRIVATE_KEY is not the key of METIS_INTERNAL_PUBLIC_KEYS: `metis keys` makes a pair."
        ) from error
    return signer


def _public_keys(settings: GatewaySettings) -> bytes:
    """The JWKS without anything that is not public, whatever the setting holds."""
    public = ("kty", "crv", "x", "kid", "alg", "use")
    keys = [{name: key[name] for name in public if name in key} for key in orjson.loads(settings.internal_public_keys)["keys"]]
    return orjson.dumps({"keys": keys})


def _make_pages(
    settings: GatewaySettings,
    document: dict[str, Any],
    table: RouteTable,
    upstreams: dict[str, Upstream],
    *,
    signer: TokenSigner,
    addresses: Limiter,
    clock: Clock,
) -> Pages:
    secret = settings.admin_client_secret
    directory = ClientDirectory(
        upstreams["registry"],
        signer,
        clock=clock,
        scopes=frozenset(table.scopes),
        admin_secret=secret.get_secret_value() if secret else None,
    )
    failures = Limiter("sign-in", quota=settings.failed_sign_ins_per_minute, clock=clock)
    token = TokenPage(directory, signer, addresses=addresses, failures=failures, settings=settings, clock=clock)

    def fixed(media_type: str, body: bytes, *headers: tuple[bytes, bytes]) -> FixedPage:
        return FixedPage(media_type, body, addresses=addresses, clock=clock, headers=headers)

    gets: dict[bytes, Page] = {
        b"/": show_docs_address,
        b"/docs": fixed("text/html; charset=utf-8", render_docs(document), *PAGE_HEADERS),
        b"/openapi.json": fixed(JSON, orjson.dumps(document)),
        b"/oauth/jwks": fixed(JSON, _public_keys(settings)),
        b"/health": HealthPage(WholeHealth(upstreams, version=document["info"]["version"])),
        b"/health/live": show_life,
        b"/health/ready": show_life,
        b"/metrics": show_metrics,
    }
    return Pages(gets=gets, posts={b"/oauth/token": token})

"""What the gateway answers itself: tokens, keys, health, metrics, the OpenAPI document and its page."""

import gzip
import hashlib
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gateway.answers import Headers
from gateway.errors import MethodNotAllowed, TooLarge
from gateway.exchange import Exchange
from gateway.health import WholeHealth
from gateway.limits import Limiter
from gateway.oauth import FORM_LIMIT_BYTES, NO_STORE, ClientDirectory, OAuthError, issue_token, read_request, refuse_client
from gateway.settings import GatewaySettings
from kernel.auth import TokenSigner
from kernel.clock import Clock
from kernel.errors import NotFound, TooManyRequests

log = logging.getLogger("metis.gateway.oauth")
JSON = "application/json"
Page = Callable[[Exchange], Awaitable[None]]
_ALLOW_GET = "GET, HEAD"


class TokenPage:
    """`POST /oauth/token`."""

    def __init__(
        self,
        directory: ClientDirectory,
        signer: TokenSigner,
        *,
        addresses: Limiter,
        failures: Limiter,
        settings: GatewaySettings,
        clock: Clock,
    ) -> None:
        self._directory = directory
        self._signer = signer
        self._addresses = addresses
        self._failures = failures
        self._settings = settings
        self._clock = clock

    async def __call__(self, exchange: Exchange) -> None:
        try:
            exchange.count(self._addresses.window(exchange.address), self._clock().timestamp())
            await self._answer(exchange)
        except OAuthError as error:
            log.info("no token: %s", error, extra={"facts": {"code": error.error, "status": error.status}})
            await exchange.answer(error.status, JSON, error.body(), headers=[*NO_STORE, *error.headers])
        except TooManyRequests as error:
            # A client library looks for `error`; RFC 6749 has no better word for "later".
            error.members["error"] = "temporarily_unavailable"
            error.headers["cache-control"] = "no-store"
            raise

    async def _answer(self, exchange: Exchange) -> None:
        try:
            body = await exchange.read_body(limit_bytes=FORM_LIMIT_BYTES, timeout_seconds=self._settings.body_timeout_seconds)
        except TooLarge as error:
            raise OAuthError("invalid_request", "The form is too large.", headers=((b"connection", b"close"),)) from error
        authorization = [value.decode("latin-1") for value in exchange.authorization]
        request = read_request(content_type=exchange.header(b"content-type"), authorization=authorization, body=body or b"")
        failures = self._failures.window(f"{request.client_id} {exchange.address}")
        now = self._clock().timestamp()
        if failures.is_spent(now):
            raise failures.refusal(now)
        answer = await issue_token(
            request,
            self._directory,
            self._signer,
            clock=self._clock,
            lifetime=timedelta(seconds=self._settings.access_token_lifetime_seconds),
            traceparent=exchange.trace.traceparent,
        )
        if answer is None:
            failures.take(now)
            raise refuse_client("This client is unknown, or its secret is another one.")
        await exchange.answer(200, "application/json;charset=UTF-8", answer, headers=NO_STORE)


class FixedPage:
    """Bytes that never change while the process runs: with an ETag, and compressed once."""

    def __init__(self, media_type: str, body: bytes, *, addresses: Limiter, clock: Clock, headers: Headers = ()) -> None:
        self._media_type = media_type
        self._body = body
        self._packed = gzip.compress(body, mtime=0)
        self._etag = f'W/"{hashlib.sha256(body).hexdigest()[:20]}"'
        self._headers = [*headers, (b"etag", self._etag.encode()), (b"vary", b"accept-encoding"), (b"cache-control", b"no-cache")]
        self._addresses = addresses
        self._clock = clock

    async def __call__(self, exchange: Exchange) -> None:
        exchange.count(self._addresses.window(exchange.address), self._clock().timestamp())
        if self._etag in exchange.header(b"if-none-match"):
            exchange.status = 304
            headers = [*self._headers, *exchange.limit_headers]
            await exchange.send({"type": "http.response.start", "status": 304, "headers": headers})
            await exchange.send({"type": "http.response.body", "body": b""})
        elif "gzip" in exchange.header(b"accept-encoding"):
            await exchange.answer(200, self._media_type, self._packed, headers=[*self._headers, (b"content-encoding", b"gzip")])
        else:
            await exchange.answer(200, self._media_type, self._body, headers=self._headers)


class HealthPage:
    """`GET /health`: 200 when every service is ready, else 503, with the state of each."""

    def __init__(self, health: WholeHealth) -> None:
        self._health = health

    async def __call__(self, exchange: Exchange) -> None:
        state = await self._health.read()
        status = 200 if state["status"] == "ok" else 503
        await exchange.answer(
            status, JSON, orjson.dumps(state, option=orjson.OPT_INDENT_2), headers=[(b"cache-control", b"no-store")]
        )


async def show_life(exchange: Exchange) -> None:
    """`GET /health/live` and `/health/ready`: the gateway serves as long as it runs; one dead service must not take it out."""
    await exchange.answer(200, JSON, b'{"status":"ok"}')


async def show_metrics(exchange: Exchange) -> None:
    """`GET /metrics` for Prometheus; keep it from the public at the ingress."""
    await exchange.answer(200, CONTENT_TYPE_LATEST, generate_latest())


async def show_docs_address(exchange: Exchange) -> None:
    """`GET /`: on to the documentation."""
    await exchange.answer(302, "text/plain", b"/docs", headers=[(b"location", b"/docs")])


class Pages:
    """Every address of the gateway's own, by path and method."""

    def __init__(self, *, gets: dict[bytes, Page], posts: dict[bytes, Page]) -> None:
        self._gets = gets
        self._posts = posts

    async def answer(self, exchange: Exchange) -> None:
        """Answer, or raise NotFound or MethodNotAllowed."""
        path = exchange.raw_path
        if page := self._gets.get(path):
            allowed = _ALLOW_GET
        elif page := self._posts.get(path):
            allowed = "POST"
        else:
            raise NotFound("There is nothing at this address; the API is below /v1, its description at /docs.")
        exchange.route = path.decode("ascii")
        if exchange.method not in allowed.split(", "):
            raise MethodNotAllowed(f"{exchange.method} is not possible here; possible: {allowed}.", headers={"allow": allowed})
        await page(exchange)

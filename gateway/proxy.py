"""The proxied path: check, sign, forward, give back. Every microsecond here is paid by every request."""

import asyncio
import logging
import re
from collections.abc import Mapping
from datetime import datetime

from opentelemetry import trace

from gateway.answers import NOSNIFF
from gateway.errors import Malformed, NoAnswer
from gateway.exchange import Exchange
from gateway.limits import Limiter
from gateway.router import Operation, RouteTable
from gateway.sessions import Session, Sessions
from gateway.settings import GatewaySettings
from gateway.upstream import Answer, Header, Stream, Upstream, UpstreamFailed, UpstreamTooSlow
from kernel.clock import Clock
from kernel.errors import Unauthenticated, Unavailable
from kernel.telemetry import log_territory

log = logging.getLogger("metis.gateway.proxy")
CLIENT_CLOSED_REQUEST = 499  # nobody gets it; it tells logs and metrics that the client left first
WATCH_EVERY_SECONDS = 0.1
_QUERY = re.compile(rb"[!-~]*")
# Hop-by-hop (RFC 9110, section 7.6.1), what is set anew, and what only the gateway may say.
_NOT_GIVEN_BACK = frozenset(
    b"connection content-length keep-alive proxy-authenticate proxy-connection te trailer transfer-encoding upgrade"
    b" date server set-cookie www-authenticate ratelimit ratelimit-policy".split()
)
_NO_BODY = frozenset({204, 304})


class Proxy:
    """Carries requests to the services."""

    def __init__(
        self,
        *,
        table: RouteTable,
        sessions: Sessions,
        clients: Limiter,
        addresses: Limiter,
        upstreams: Mapping[str, Upstream],
        settings: GatewaySettings,
        clock: Clock,
    ) -> None:
        self._table = table
        self._sessions = sessions
        self._clients = clients
        self._addresses = addresses
        self._upstreams = upstreams
        self._settings = settings
        self._clock = clock
        self._watches = _Watches()

    async def forward(self, exchange: Exchange) -> None:
        """Answer one request with what its service says. Raises the gateway's own refusals."""
        operation, territory = self._table.find(exchange.method, exchange.raw_path)
        exchange.operation, exchange.route, exchange.territory = operation, operation.template, territory
        log_territory.set(territory)
        now = self._clock()
        session = self._open_session(exchange, operation, now=now)
        if not session.is_visit:
            exchange.count(self._clients.window(session.caller.client_id), now.timestamp())
        pass_line = session.authorise(operation, territory=territory, now=now)
        body = await self._read_body(exchange)
        if body is None:
            exchange.status = CLIENT_CLOSED_REQUEST
            return
        upstream = self._upstreams[operation.service]
        await self._carry(exchange, upstream, _write_request(exchange, upstream, pass_line=pass_line, body=body))

    def _open_session(self, exchange: Exchange, operation: Operation, *, now: datetime) -> Session:
        if not exchange.authorization and operation.is_public:
            exchange.count(self._addresses.window(exchange.address), now.timestamp())
            return self._sessions.visit(operation)
        if len(exchange.authorization) > 1:
            raise Unauthenticated("Send one Authorization header, not several.")
        authorization = exchange.authorization[0] if exchange.authorization else None
        session = self._sessions.find(authorization, now=now)
        if session is None:
            # Checking a signature is the dearest thing here: who sends unknown tokens is counted by address first.
            exchange.count(self._addresses.window(exchange.address), now.timestamp())
            session = self._sessions.open(authorization, now=now)
        return session

    async def _read_body(self, exchange: Exchange) -> bytes | None:
        if exchange.method == "GET" or not (exchange.content_length or exchange.chunked):
            return b""
        settings = self._settings
        return await exchange.read_body(limit_bytes=settings.body_limit_bytes, timeout_seconds=settings.body_timeout_seconds)

    async def _carry(self, exchange: Exchange, upstream: Upstream, request: bytes) -> None:
        watch = self._watches.begin(exchange)
        try:
            answer = await upstream.ask(request, repeatable=exchange.method == "GET")
            if answer.stream is None:
                await _give_whole(exchange, answer)
            else:
                await _give_stream(exchange, answer, answer.stream)
        except UpstreamFailed as error:
            raise _unavailable(exchange, error) from error
        except UpstreamTooSlow as error:
            _warn(exchange, "no answer in time", error)
            raise NoAnswer(f"No answer in time from {upstream.name}.{_advice(exchange)}") from error
        except asyncio.CancelledError:
            if not watch.client_left:
                raise
            watch.forgive()
            exchange.status = CLIENT_CLOSED_REQUEST
        finally:
            self._watches.end(watch)


class _Watches:
    """Looks after the requests that wait for a service: those whose client leaves are cancelled.

    One timer for all, and a watcher only for a request that has waited a while: most answers come before.
    """

    def __init__(self) -> None:
        self._waiting: set[_Watch] = set()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, exchange: Exchange) -> "_Watch":
        watch = _Watch(exchange)
        self._waiting.add(watch)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WATCH_EVERY_SECONDS, self._look)
        return watch

    def end(self, watch: "_Watch") -> None:
        self._waiting.discard(watch)
        watch.stop()

    def _look(self) -> None:
        self._timer = None
        for watch in self._waiting:
            watch.grow_older()
        if self._waiting:
            self._timer = asyncio.get_running_loop().call_later(WATCH_EVERY_SECONDS, self._look)


class _Watch:
    """One request that waits."""

    __slots__ = ("_exchange", "_is_old", "_task", "_watcher", "client_left")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._task = asyncio.current_task()
        self._watcher: asyncio.Task[None] | None = None
        self._is_old = False
        self.client_left = False

    def grow_older(self) -> None:
        """The second look at a request begins its watch."""
        if self._is_old and self._watcher is None:
            self._watcher = asyncio.create_task(self._wait())
        self._is_old = True

    async def _wait(self) -> None:
        while (await self._exchange.receive())["type"] != "http.disconnect":
            pass
        if self._task:
            self.client_left = True
            self._task.cancel()

    def forgive(self) -> None:
        """The cancelling was ours and is over."""
        if self._task:
            self._task.uncancel()

    def stop(self) -> None:
        self._task = None
        if self._watcher:
            self._watcher.cancel()


def _write_request(exchange: Exchange, upstream: Upstream, *, pass_line: bytes, body: bytes) -> bytes:
    """The request as the service gets it: the very path that was matched, our token, our trace, nothing unknown."""
    query: bytes = exchange.scope["query_string"]
    if exchange.is_malformed or not _QUERY.fullmatch(query):
        raise Malformed("The query or a header holds a character that must be percent-encoded.")
    return b"".join(
        (
            exchange.method.encode(), b" ", exchange.raw_path, b"?" if query else b"", query, b" HTTP/1.1\r\n",
            upstream.host_line,
            pass_line,
            b"traceparent: ", exchange.trace.traceparent, b"\r\n",
            exchange.forwarded,
            b"" if exchange.method == "GET" else b"content-length: %d\r\n" % len(body),
            b"\r\n",
            body,
        )
    )  # fmt: skip


async def _give_whole(exchange: Exchange, answer: Answer) -> None:
    headers = _given_back(answer)
    if answer.status not in _NO_BODY:
        headers.append((b"content-length", b"%d" % len(answer.body)))
    headers += (NOSNIFF, *exchange.limit_headers)
    exchange.status = answer.status
    await exchange.send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await exchange.send({"type": "http.response.body", "body": answer.body})


async def _give_stream(exchange: Exchange, answer: Answer, stream: Stream) -> None:
    length = [pair for pair in answer.headers if pair[0] == b"content-length"]
    headers = [*_given_back(answer), *length, NOSNIFF, *exchange.limit_headers]
    exchange.status = answer.status
    try:
        await exchange.send({"type": "http.response.start", "status": answer.status, "headers": headers})
        async for chunk in stream.chunks():
            await exchange.send({"type": "http.response.body", "body": chunk, "more_body": True})
        await exchange.send({"type": "http.response.body", "body": b""})
    except (UpstreamFailed, UpstreamTooSlow) as error:
        # Too late for another status. The server closes the connection on an unfinished answer, so the client sees
        # that a part is missing.
        _warn(exchange, "an answer broke off", error)
    finally:
        stream.close()


def _given_back(answer: Answer) -> list[Header]:
    return [pair for pair in answer.headers if pair[0] not in _NOT_GIVEN_BACK]


def _unavailable(exchange: Exchange, error: UpstreamFailed) -> Unavailable:
    _warn(exchange, "no answer", error)
    operation = exchange.operation
    name = operation.service if operation else "A service"
    return Unavailable(
        f"{name} does not answer just now; try again in a moment.{_advice(exchange)}", headers={"retry-after": "2"}
    )


def _warn(exchange: Exchange, what: str, error: Exception) -> None:
    with trace.use_span(exchange.trace.as_current()):  # for the line's trace id
        log.warning("%s: %s", what, error)


def _advice(exchange: Exchange) -> str:
    if exchange.method == "GET":
        return ""
    return " It may have been carried out all the same: repeat it with the same Idempotency-Key, and it happens once."

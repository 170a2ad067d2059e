"""HTTP/1.1 to one service over kept-alive connections: the gateway's only HTTP client.

Built on httptools, the parser that uvicorn uses. aiohttp's client costs 180 microseconds more a request, which
is about as much as all the rest of the proxied path (see gateway/README.md). It can be this small because
it speaks with our own services alone: no redirects, cookies, compression, proxies or upgrades.
"""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import cast
from urllib.parse import urlsplit

import httptools

WHOLE_BYTES = 64 * 1024  # an answer up to this size is given in one piece
HIGH_WATER_BYTES = 256 * 1024  # a client slower than its service makes the service wait from here on
CONNECT_TIMEOUT_SECONDS = 2.0
# Under the 75 s after which the services close an idle connection, and short enough for new replicas to get their share.
CONNECTION_AGE_SECONDS = 50.0

Header = tuple[bytes, bytes]


class UpstreamFailed(Exception):
    """The service could not be reached, hung up, or spoke something else than HTTP."""


class UpstreamTooSlow(Exception):
    """The service did not answer, or stopped answering, in the time it has."""


class Answer:
    """What the service answered: `body` when it came whole, else `stream` to read it from."""

    __slots__ = ("body", "headers", "status", "stream")

    def __init__(self, status: int, headers: list[Header], *, body: bytes, stream: "Stream | None" = None) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.stream = stream


class Stream:
    """The rest of a long answer, as it arrives."""

    def __init__(self, connection: "Connection", first: list[bytes]) -> None:
        self._connection: Connection | None = connection
        self._chunks = deque(first)
        self._size_bytes = sum(map(len, first))
        self._error: Exception | None = None
        self._wake: asyncio.Future[None] | None = None

    def feed(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._size_bytes += len(chunk)
        if self._connection and self._size_bytes > HIGH_WATER_BYTES:
            self._connection.pause()
        self._rouse()

    def end(self, error: Exception | None = None) -> None:
        """No more will come. The connection may serve another request from here on."""
        self._connection = None
        self._error = error
        self._rouse()

    def close(self) -> None:
        """Give up the rest; without effect when it has all come."""
        if self._connection:
            self._connection.drop()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, piece by piece. Raises UpstreamFailed or UpstreamTooSlow when it breaks off."""
        while True:
            if self._chunks:
                data = b"".join(self._chunks)
                self._chunks.clear()
                self._size_bytes = 0
                if self._connection:
                    self._connection.resume()
                yield data
            elif self._error:
                raise self._error
            elif self._connection is None:
                return
            else:
                self._wake = asyncio.get_running_loop().create_future()
                await self._wake

    def _rouse(self) -> None:
        if self._wake and not self._wake.done():
            self._wake.set_result(None)


class Connection(asyncio.Protocol):
    """One connection, one request at a time. Its names `on_…` are httptools' callbacks."""

    def __init__(self, upstream: "Upstream") -> None:
        self._upstream = upstream
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._born = time.monotonic()
        self._answer: asyncio.Future[Answer] | None = None
        self._stream: Stream | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._heard = 0.0
        self._paused = False
        self._busy = False
        self._begin_message()

    # What the pool and the answer ask for

    def is_usable(self) -> bool:
        return (
            self._transport is not None
            and not self._transport.is_closing()
            and time.monotonic() - self._born < CONNECTION_AGE_SECONDS
        )

    async def ask(self, request: bytes) -> Answer:
        """Send one request and wait for its answer. A cancelled wait closes the connection."""
        assert self._transport is not None
        assert not self._busy
        self._busy = True
        self._heard = self._loop.time()
        self._begin_message()
        self._parser = httptools.HttpResponseParser(self)
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._answer = answer
        if self._timer is None:
            self._timer = self._loop.call_later(self._upstream.timeout_seconds, self._check_time)
        self._transport.write(request)
        try:
            return await answer
        except asyncio.CancelledError:
            self._abandon(answer)
            raise

    def pause(self) -> None:
        if self._transport and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport and self._paused:
            self._paused = False
            self._heard = self._loop.time()
            self._transport.resume_reading()

    def drop(self) -> None:
        """Close, whatever was going on."""
        self._fail(UpstreamFailed(f"The connection to {self._upstream.name} was dropped."))

    # What the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def data_received(self, data: bytes) -> None:
        if not self._busy:
            # Nobody asked: an answer too many must never become the next request's.
            self.drop()
            return
        self._heard = self._loop.time()
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(UpstreamFailed(f"{self._upstream.name} answered something else than HTTP: {error}"))
            return
        if self._complete:
            self._finish()
        elif self._has_head and self._stream is None and not self._is_small:
            self._stream = Stream(self, self._body)
            self._resolve(Answer(self._parser.get_status_code(), self._headers, body=b"", stream=self._stream))

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(UpstreamFailed(f"{self._upstream.name} closed the connection{f': {error}' if error else ''}."))

    # What the parser tells

    def on_message_begin(self) -> None:
        if self._complete:
            raise ValueError("a second answer to one request")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._has_head = self._parser.get_status_code() >= 200
        self._keep = self._parser.should_keep_alive()  # after the message, the parser has forgotten
        self._is_small = any(name == b"content-length" and int(value) <= WHOLE_BYTES for name, value in self._headers)

    def on_body(self, chunk: bytes) -> None:
        if self._stream:
            self._stream.feed(chunk)
        else:
            self._body.append(chunk)

    def on_message_complete(self) -> None:
        if self._has_head:
            self._complete = True
        else:
            self._begin_message()  # an interim answer (1xx): the real one follows

    # How an exchange ends

    def _begin_message(self) -> None:
        self._headers: list[Header] = []
        self._body: list[bytes] = []
        self._has_head = self._is_small = self._complete = self._keep = False

    def _finish(self) -> None:
        stream, self._stream = self._stream, None
        if stream:
            stream.end()
        else:
            body = self._body
            whole = body[0] if len(body) == 1 else b"".join(body)
            self._resolve(Answer(self._parser.get_status_code(), self._headers, body=whole))
        self.resume()
        self._rest(keep=self._keep)

    def _fail(self, error: Exception) -> None:
        stream, self._stream = self._stream, None
        if stream:
            stream.end(error)
        if self._answer and not self._answer.done():
            self._answer.set_exception(error)
        self._rest(keep=False)

    def _abandon(self, answer: "asyncio.Future[Answer]") -> None:
        """Nobody waits any more; but by now the connection may be another request's."""
        if answer.cancelled():
            if self._busy and self._answer is answer:
                self.drop()
        elif answer.exception() is None and (stream := answer.result().stream):
            stream.close()

    def _resolve(self, answer: Answer) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_result(answer)

    def _rest(self, *, keep: bool) -> None:
        if not keep and self._transport:
            self._transport.abort()
            self._transport = None
            if self._timer:
                self._timer.cancel()
        if self._busy:
            self._busy = False
            self._upstream.give_back(self)

    def _check_time(self) -> None:
        """Runs on through many exchanges: a timer for each would be a tenth of the gateway's own work."""
        if not self._busy:
            self._timer = None
            return
        left = self._heard + self._upstream.timeout_seconds - self._loop.time()
        if self._paused:
            left = self._upstream.timeout_seconds  # it is the client who keeps us waiting
        if left > 0.001:
            self._timer = self._loop.call_later(left, self._check_time)
            return
        self._timer = None
        self._fail(UpstreamTooSlow(f"{self._upstream.name} did not answer within {self._upstream.timeout_seconds:g} seconds."))


class Upstream:
    """One service: where it is, and the connections that are open to it."""

    def __init__(self, name: str, url: str, *, connections: int, timeout_seconds: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"}:
            raise ValueError(f"{name}: {url} must be http://host:port without a path")
        self.name = name
        self.timeout_seconds = timeout_seconds
        self._host = parts.hostname
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._ssl = ssl.create_default_context() if parts.scheme == "https" else None
        self.host_line = f"host: {parts.netloc.rpartition('@')[2]}\r\n".encode()
        self._slots = asyncio.Semaphore(connections)
        self._idle: list[Connection] = []

    async def ask(self, request: bytes, *, repeatable: bool) -> Answer:
        """The answer to one request, given as its bytes on the wire.

        A repeatable one (a GET) is asked a second time when its connection fails: the service may have restarted
        between two requests. Raises UpstreamFailed, UpstreamTooSlow.
        """
        try:
            return await (await self._take()).ask(request)
        except UpstreamFailed:
            if not repeatable:
                raise
        return await (await self._take(fresh=True)).ask(request)

    def give_back(self, connection: Connection) -> None:
        """A connection's exchange is over; called once for each."""
        if connection.is_usable():
            self._idle.append(connection)
        else:
            connection.drop()
        self._slots.release()

    def close(self) -> None:
        for connection in self._idle:
            connection.drop()
        self._idle.clear()

    async def _take(self, *, fresh: bool = False) -> Connection:
        try:
            if self._slots.locked():
                async with asyncio.timeout(self.timeout_seconds):
                    await self._slots.acquire()
            else:
                await self._slots.acquire()
        except TimeoutError as error:
            raise UpstreamFailed(f"All connections to {self.name} are busy.") from error
        while self._idle and not fresh:
            connection = self._idle.pop()
            if connection.is_usable():
                return connection
            connection.drop()
        try:
            return await self._connect()
        except BaseException:
            self._slots.release()
            raise

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                _, connection = await loop.create_connection(lambda: Connection(self), self._host, self._port, ssl=self._ssl)
                return connection
        except (OSError, TimeoutError) as error:
            raise UpstreamFailed(f"{self.name} cannot be reached: {error or 'no connection in time'}") from error

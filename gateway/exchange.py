"""One request and what becomes of it: read once, passed along, recorded at the end."""

import asyncio
import time

from starlette.types import Receive, Scope, Send

from gateway.answers import Headers, read_body, refuse_larger, send_answer
from gateway.errors import TooSlow
from gateway.limits import Window
from gateway.router import Operation
from gateway.tracing import Trace, Tracing

# What a service may see of a request, besides the headers that its OpenAPI document declares. An allow-list: nothing
# that a client makes up (X-Forwarded-*, X-Territory, cookies) can ever be believed by a service, as none arrives.
END_TO_END = frozenset({b"accept", b"accept-language", b"content-type", b"if-none-match", b"user-agent"})


class Exchange:
    """A request's facts on the way in; status, route and limits on the way out."""

    __slots__ = (
        "address", "authorization", "chunked", "content_length", "forwarded", "is_malformed", "limit_headers", "method",
        "operation", "raw_path", "receive", "route", "scope", "send", "started", "status", "territory", "trace",
    )  # fmt: skip

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, tracing: Tracing, forwarded: frozenset[bytes]) -> None:
        self.started = time.perf_counter()
        self.scope = scope
        self.receive = receive
        self.send = send
        self.method: str = scope["method"]
        self.raw_path: bytes = scope["raw_path"]
        client = scope.get("client")
        self.address: str = client[0] if client else ""
        self.operation: Operation | None = None
        self.route = "unmatched"
        self.territory = ""
        self.status = 0
        self.limit_headers: Headers = ()
        self._read_headers(scope["headers"], tracing, forwarded)

    def _read_headers(self, headers: Headers, tracing: Tracing, forwarded: frozenset[bytes]) -> None:
        self.content_length = b""
        self.chunked = False
        self.authorization: list[bytes] = []
        traceparent: bytes | None = None
        lines: list[bytes] = []
        named_hop_by_hop: frozenset[bytes] = frozenset()
        for name, value in headers:
            if name in forwarded:
                lines += (name, b": ", value, b"\r\n")
            elif name == b"authorization":
                self.authorization.append(value)
            elif name == b"content-length":
                self.content_length = value
            elif name == b"transfer-encoding":
                self.chunked = True
            elif name == b"traceparent":
                traceparent = value
            elif name == b"connection" and value.lower() not in {b"keep-alive", b"close"}:
                named_hop_by_hop |= {option.strip() for option in value.lower().split(b",")}
        if named_hop_by_hop & forwarded:
            # What the client names in `Connection` ends at the next hop, which is us (RFC 9110, section 7.6.1).
            kept = forwarded - named_hop_by_hop
            lines = [part for name, value in headers if name in kept for part in (name, b": ", value, b"\r\n")]
        self.trace: Trace = tracing.begin(traceparent)
        self.forwarded = b"".join(lines)
        # The server's parser refuses line breaks in values already; but this is the door, so it looks itself.
        count = len(lines) // 4
        self.is_malformed = self.forwarded.count(b"\n") != count or self.forwarded.count(b"\r") != count

    def header(self, name: bytes) -> str:
        """The first header of this name, or an empty string."""
        return next((value.decode("latin-1") for key, value in self.scope["headers"] if key == name), "")

    async def read_body(self, *, limit_bytes: int, timeout_seconds: float) -> bytes | None:
        """The request's whole body, or None when the client has gone. Raises TooLarge, TooSlow.

        It is read to its end before a service is asked: a slow sender must not hold a service's transaction open.
        """
        if self.content_length:
            refuse_larger(int(self.content_length), limit_bytes=limit_bytes)
        try:
            async with asyncio.timeout(timeout_seconds):
                return await read_body(self.receive, limit_bytes=limit_bytes)
        except TimeoutError as error:
            raise TooSlow(
                f"The body did not arrive within {timeout_seconds:g} seconds.", headers={"connection": "close"}
            ) from error

    def count(self, window: Window, now: float) -> None:
        """Count the request in a window. Raises TooManyRequests."""
        allowed = window.take(now)
        self.limit_headers = window.headers(now)
        if not allowed:
            raise window.refusal(now)

    async def answer(self, status: int, media_type: str, body: bytes, *, headers: Headers = ()) -> None:
        """Give a whole answer of our own."""
        self.status = status
        await send_answer(
            self.send, status=status, media_type=media_type.encode(), body=body, headers=[*headers, *self.limit_headers]
        )

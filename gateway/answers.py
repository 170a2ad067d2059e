"""Whole answers over bare ASGI."""

from collections.abc import Sequence

from starlette.types import Receive, Send

from gateway.errors import TooLarge
from kernel.errors import MetisError
from kernel.problems import MEDIA_TYPE, problem_body

Headers = Sequence[tuple[bytes, bytes]]
NOSNIFF = (b"x-content-type-options", b"nosniff")


async def send_answer(send: Send, *, status: int, media_type: bytes, body: bytes, headers: Headers = ()) -> None:
    """One answer, complete."""
    start = [(b"content-type", media_type), (b"content-length", b"%d" % len(body)), NOSNIFF, *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})


async def send_problem(send: Send, error: MetisError, *, headers: Headers = ()) -> None:
    """A refusal as problem+json (RFC 9457)."""
    own = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in error.headers.items()]
    await send_answer(
        send, status=error.status, media_type=MEDIA_TYPE.encode(), body=problem_body(error), headers=[*own, *headers]
    )


async def read_body(receive: Receive, *, limit_bytes: int) -> bytes | None:
    """The whole request body, or None when the client left before it was complete. Raises TooLarge."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message.get("body", b"")
        refuse_larger(len(body), limit_bytes=limit_bytes)
        return body
    parts = bytearray()
    while message["type"] == "http.request":
        parts += message.get("body", b"")
        refuse_larger(len(parts), limit_bytes=limit_bytes)
        if not message.get("more_body", False):
            return bytes(parts)
        message = await receive()
    return None


def refuse_larger(size_bytes: int, *, limit_bytes: int) -> None:
    if size_bytes > limit_bytes:
        # The rest of the body is not wanted: closing says so to a client that is still sending.
        raise TooLarge(f"The body is larger than {limit_bytes} bytes; send less at a time.", headers={"connection": "close"})

"""The endpoints of partners: one POST for each delivery, to a checked and pinned address."""

import socket
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from uuid import UUID

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from services.notifications.domain.addresses import is_public_address
from services.notifications.domain.webhooks import ANSWER_KEPT_BYTES, Try
from services.notifications.settings import Settings

ANSWER_READ_BYTES = 4096
CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"


class AddressRefused(OSError):
    """The name leads, or may lead, into a private network."""


class PublicResolver(AbstractResolver):
    """Resolves a name and refuses it unless every one of its addresses is public.

    The connection is made to the very addresses checked here: the name is not looked up a second time, so that it
    cannot change its mind in between.
    """

    def __init__(self, resolve: Callable[..., Awaitable[list[ResolveResult]]] | None = None) -> None:
        self._resolve = resolve or aiohttp.ThreadedResolver().resolve

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        found = await self._resolve(host, port, family)
        if not found or not all(is_public_address(address["host"]) for address in found):
            # Which address it was is not said: the partner reads this, and our names are not theirs to look up.
            raise AddressRefused(f"{host} does not lead to public addresses alone")
        return found

    async def close(self) -> None:
        """Nothing is held."""


class PartnerClient:
    """`async with PartnerClient(settings) as partners: attempt = await partners.post(...)`."""

    def __init__(self, settings: Settings, *, resolver: AbstractResolver | None = None) -> None:
        self._allow_private = settings.webhook_allow_private
        connector = aiohttp.TCPConnector(
            resolver=resolver or (None if self._allow_private else PublicResolver()),
            use_dns_cache=False,
            limit=settings.webhook_parallel,
            limit_per_host=0,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=settings.webhook_timeout_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # a small answer may unpack to a large one
            trust_env=False,
        )

    async def __aenter__(self) -> "PartnerClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def post(
        self, url: str, *, body: bytes, event_id: UUID, timestamp: int, signature: str, traceparent: str | None, now: datetime
    ) -> Try:
        """One try. Whatever goes wrong is in the answer, nothing is raised."""
        headers = {
            "content-type": CONTENT_TYPE,
            "user-agent": "Metis-Webhooks/1",
            "accept-encoding": "identity",
            "webhook-id": str(event_id),
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature,
        }
        if traceparent:
            headers["traceparent"] = traceparent
        started = time.perf_counter()
        status, error, answer = None, None, ""
        try:
            self._check_literal(url)
            async with self._session.post(URL(url), data=body, headers=headers, allow_redirects=False) as response:
                status = response.status
                answer = await _read_some(response)
                error = None if 200 <= status < 300 else _describe(status)
        except TimeoutError:
            status, error = None, "The endpoint did not answer in time"
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            status, error = None, _say(failure)
        return Try(now, status, round((time.perf_counter() - started) * 1000), error, answer)

    def _check_literal(self, url: str) -> None:
        # aiohttp asks no resolver for an address written out; a name goes through PublicResolver.
        host = URL(url).host or ""
        is_literal = ":" in host or host.replace(".", "").isdigit()
        if is_literal and not self._allow_private and not is_public_address(host):
            raise AddressRefused(f"{host} is not a public address")


def _say(failure: Exception) -> str:
    """What went wrong, in a line. aiohttp wraps a resolver's refusal in an error of its own, without its text."""
    cause = failure.__cause__ if isinstance(failure.__cause__, AddressRefused) else failure
    return f"{type(cause).__name__}: {cause}".replace("\x00", "")[:500]


async def _read_some(response: aiohttp.ClientResponse) -> str:
    """The beginning of an answer, as text that a database takes."""
    read = b""
    while len(read) < ANSWER_READ_BYTES:
        chunk = await response.content.read(ANSWER_READ_BYTES - len(read))
        if not chunk:
            break
        read += chunk
    else:
        response.close()  # The rest is not wanted; without this the connection would be drained first.
    return read[:ANSWER_KEPT_BYTES].decode("utf-8", "replace").replace("\x00", "\ufffd")


def _describe(status: int) -> str:
    if 300 <= status < 400:
        return f"HTTP {status}: redirects are not followed; register the final address"
    return f"HTTP {status}"

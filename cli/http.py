"""The one place that chooses the HTTP client.

aiohttp: a demo sends some 1,400 requests from one process that shares two cores with everything they reach, and httpx2
costs three times as much a request (docs/performance.md). The few calls below are all that the command line needs.
It takes a third of a second to import, so that waits for the first client.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import orjson

if TYPE_CHECKING:
    from aiohttp import ClientSession

CONNECTIONS = 32
CONNECT_SECONDS = 5


class HTTPError(Exception):
    """Nobody answers, or not in time."""


@dataclass(frozen=True)
class Response:
    """A whole answer."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status_code < 300

    @property
    def text(self) -> str:
        return self.content.decode(errors="replace")

    def json(self) -> Any:
        """Raises ValueError for what is no JSON."""
        return orjson.loads(self.content)


class AsyncClient:
    """A bounded pool of connections. It keeps no cookies, follows no redirects and asks no proxy."""

    def __init__(self, base_url: str, *, timeout_seconds: float) -> None:
        self._base_url = base_url.rstrip("/")
        self._timeout_seconds = timeout_seconds
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

        timeout = ClientTimeout(total=self._timeout_seconds, sock_connect=CONNECT_SECONDS)
        self._session = ClientSession(connector=TCPConnector(limit=CONNECTIONS), timeout=timeout, cookie_jar=DummyCookieJar())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Response:
        return await self.request("GET", url, headers=headers)

    async def post(
        self,
        url: str,
        *,
        json: Any = None,
        content: bytes | None = None,
        data: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        return await self.request("POST", url, json=json, content=content, data=data, auth=auth, headers=headers)

    async def request(
        self,
        method: str,
        url: str,
        *,
        json: Any = None,
        content: bytes | None = None,
        data: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        auth: tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """`content` is sent as it is, `data` as a form; `auth` is user and password. Raises HTTPError."""
        from aiohttp import ClientError, encode_basic_auth
        from yarl import URL

        assert self._session is not None
        sent = dict(headers or {})
        body: Any = content if content is not None else data
        if json is not None:
            sent["content-type"] = "application/json"
            body = orjson.dumps(json)
        # Encoded as it is given: what is asked for must be what is sent.
        target = URL(url if "://" in url else self._base_url + url, encoded=True)
        if params:
            target = target.update_query({name: str(value) for name, value in params.items()})
        if auth:
            sent["authorization"] = encode_basic_auth(*auth, encoding="utf-8")
        try:
            async with self._session.request(method, target, data=body, headers=sent, allow_redirects=False) as answer:
                return Response(answer.status, answer.headers, await answer.read())
        except (ClientError, TimeoutError, OSError) as error:
            raise HTTPError(f"{type(error).__name__}: {error}") from error


def make_client(base_url: str = "", *, timeout_seconds: float = 30) -> AsyncClient:
    """Use it as `async with make_client() as http`; a URL without scheme is below `base_url`."""
    return AsyncClient(base_url, timeout_seconds=timeout_seconds)

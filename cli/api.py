"""One OAuth client at the public API: its token, patient retries, pages, and problems as errors."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cli.console import CliError
from cli.http import AsyncClient, HTTPError, Response

TRIES = 9
# Too many requests; a part of the platform is away, or did not answer in time.
AGAIN = frozenset({429, 502, 503, 504})
LONGEST_PAUSE_SECONDS = 20.0
# Refreshed a little early, so that no request leaves with a token about to expire.
TOKEN_MARGIN_SECONDS = 30.0


class ApiError(CliError):
    """The API refused (RFC 9457). `code` is the last part of the problem's type."""

    def __init__(self, response: Response, *, doing: str) -> None:
        self.status = response.status_code
        self.problem = _problem_of(response)
        self.code = str(self.problem.get("type", "")).rpartition("/")[2]
        self.reason = str(self.problem.get("detail") or response.text[:300] or f"HTTP {self.status}")
        self.fields: list[dict[str, str]] = self.problem.get("errors", [])
        trace = f" (trace {self.problem['trace']})" if "trace" in self.problem else ""
        super().__init__(f"{doing} : {self.status} {self.code} : {self.reason}{trace}")


def _problem_of(response: Response) -> dict[str, Any]:
    try:
        content = response.json()
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


@dataclass
class Session:
    """A person or a program at the API of one territory. Its token is fetched at the first request and kept.

    Requests are tried again while the platform is busy or away or the line breaks, if repeating them is harmless:
    reads, PUT and DELETE always, POST and PATCH with an idempotency key.
    """

    http: AsyncClient
    url: str
    territory: str
    client_id: str
    client_secret: str = field(repr=False)
    _token: str = field(default="", repr=False)
    _expires: float = 0.0
    _signing_in: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    async def get(self, path: str, **parameters: Any) -> Any:
        return (await self.request("GET", path, parameters=parameters)).json()

    async def put(self, path: str, body: Mapping[str, Any]) -> Any:
        return (await self.request("PUT", path, body=body)).json()

    async def post(
        self, path: str, body: Mapping[str, Any] | None = None, *, key: str | None = None, trace: str | None = None
    ) -> Any:
        response = await self.request("POST", path, body=body, key=key, trace=trace)
        return response.json() if response.content else None

    async def patch(self, path: str, body: Mapping[str, Any], *, version: int) -> Any:
        return (await self.request("PATCH", path, body=body, version=version)).json()

    async def every(self, path: str, **parameters: Any) -> AsyncIterator[dict[str, Any]]:
        """All rows of a list, page by page."""
        parameters = {"limit": 200} | parameters
        while True:
            page = await self.get(path, **parameters)
            for item in page["items"]:
                yield item
            if not page.get("next"):
                return
            parameters["cursor"] = page["next"]

    async def everything(self, path: str, **parameters: Any) -> list[dict[str, Any]]:
        return [item async for item in self.every(path, **parameters)]

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
        key: str | None = None,
        trace: str | None = None,
        version: int | None = None,
        territory: str | None = None,
    ) -> Response:
        """The answer, once it is a success. Raises ApiError for a refusal, CliError when nobody answers."""
        edited = f'"{version}"' if version is not None else None
        headers = {
            name: value for name, value in (("idempotency-key", key), ("traceparent", trace), ("if-match", edited)) if value
        }
        where = f"{self.url}/v1/territories/{territory or self.territory}{path}"
        repeatable = method in {"GET", "PUT", "DELETE"} or key is not None
        for attempt in range(1, TRIES + 1):
            last = attempt == TRIES or not repeatable
            headers["authorization"] = f"Bearer {await self.token()}"
            try:
                response = await self.http.request(method, where, json=body, params=parameters, headers=headers)
            except HTTPError as error:
                if last:
                    raise _unreachable(self.url, error) from error
                await asyncio.sleep(_pause_seconds(attempt))
                continue
            if response.status_code == 401 and attempt == 1:
                self._token = ""  # withdrawn or expired early: sign in once more
            elif response.status_code in AGAIN and not last:
                await asyncio.sleep(_pause_seconds(attempt, asked=response.headers.get("retry-after")))
            elif response.is_success:
                return response
            else:
                raise ApiError(response, doing=f"{method} {path}")
        raise ApiError(response, doing=f"{method} {path}")

    async def token(self) -> str:
        """The access token, fetched anew shortly before it expires."""
        async with self._signing_in:
            if not self._token or time.monotonic() > self._expires:
                await self._sign_in()
            return self._token

    async def _sign_in(self) -> None:
        form = {"grant_type": "client_credentials"}
        for attempt in range(1, TRIES + 1):
            try:
                response = await self.http.post(f"{self.url}/oauth/token", data=form, auth=(self.client_id, self.client_secret))
            except HTTPError as error:
                if attempt == TRIES:
                    raise _unreachable(self.url, error) from error
                await asyncio.sleep(_pause_seconds(attempt))
                continue
            if response.is_success:
                answer = response.json()
                self._token = answer["access_token"]
                self._expires = time.monotonic() + float(answer.get("expires_in", 60)) - TOKEN_MARGIN_SECONDS
                return
            if response.status_code not in AGAIN or attempt == TRIES:
                break
            await asyncio.sleep(_pause_seconds(attempt, asked=response.headers.get("retry-after")))
        raise self._not_let_in(response)

    def _not_let_in(self, response: Response) -> CliError:
        if response.status_code in {400, 401}:
            return CliError(
                f"La plateforme ne reconnaît pas le client « {self.client_id} » ou son secret.",
                cure="Vérifiez --client-id et --client-secret, ou demandez un nouveau secret à un agent de la ville.",
            )
        return ApiError(response, doing=f"POST /oauth/token ({self.client_id})")


def _pause_seconds(attempt: int, *, asked: str | None = None) -> float:
    """What the server asks for, else a growing pause; with jitter, so that many do not come back at once."""
    wanted = float(asked) if asked and asked.isdigit() else min(0.1 * 2**attempt, LONGEST_PAUSE_SECONDS)
    return min(wanted, LONGEST_PAUSE_SECONDS) + random.uniform(0, 0.1)  # noqa: S311  (spreads load, keeps no secret)


def _unreachable(url: str, error: HTTPError) -> CliError:
    return CliError(
        f"{url} ne répond pas ({error}).",
        cure="Vérifiez l'adresse et que la plateforme tourne (`metis doctor`) ; la commande peut être relancée telle quelle.",
    )

"""How a route runs: who may call it, one transaction, one stored answer for each idempotency key.

Every route says what it asks for with `allow(...)`; a route that does not cannot be built. The gateway
reads the same declaration from the OpenAPI document (`x-scope`, `x-roles`) and checks it first.
"""

import hashlib
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Header, Path
from fastapi.routing import APIRoute
from opentelemetry import trace
from starlette.requests import Request
from starlette.responses import Response

from kernel.auth import EVERY_TERRITORY, Caller, Role
from kernel.clock import utc_now
from kernel.errors import BadInput, Forbidden, KeyReused, PreconditionFailed, PreconditionRequired, Unauthenticated
from kernel.problems import EXPECTED, MEDIA_TYPE, PROBLEM_SCHEMA, on_surprise
from kernel.telemetry import log_territory
from kernel.work import Work, open_work

TERRITORY_PATTERN = r"^([0-9]{2}|2[AB])[0-9]{3}$"
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
PROBLEM_STATUSES = {
    400: "The request is malformed",
    401: "No valid token",
    403: "The token does not allow it",
    404: "No such thing here",
    409: "A rule refuses it",
    412: "Changed in the meantime",
    422: "Bad input, each field named",
    428: "The version is missing",
    429: "Too many requests",
    503: "A part of the platform does not answer",
}
KEY_HEADER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "Makes a write repeatable: same key and request, same answer.",
}


def allow(scope: str, *roles: Role) -> dict[str, Any]:
    """The declaration that each route needs: one scope, and the roles of which the caller must have one."""
    return {"openapi_extra": {"x-scope": scope, "x-roles": sorted(roles)}}


def make_router(tag: str, *, route_class: "type[MetisRoute] | None" = None) -> APIRouter:
    """A router whose routes live under a territory and run as one transaction each (unless they are `CallerRoute`s)."""
    return APIRouter(
        prefix="/v1/territories/{territory}",
        tags=[tag],
        route_class=route_class or MetisRoute,
        dependencies=[Depends(_document_territory)],
        responses={
            status: {"description": text, "content": {MEDIA_TYPE: {"schema": PROBLEM_SCHEMA}}}
            for status, text in PROBLEM_STATUSES.items()
        },
    )


class MetisRoute(APIRoute):
    """Authorises, opens the transaction, and replays the stored answer of a key that came before."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        extra = self.openapi_extra or {}
        if not extra.get("x-scope") or not extra.get("x-roles"):
            raise TypeError(f"{path}: say who may call it, with **allow(scope, *roles)")
        self.scope: str = extra["x-scope"]
        self.roles: frozenset[str] = frozenset(extra["x-roles"])
        if WRITES.intersection(self.methods or ()) and self.opens_work(keyed=True):
            self.openapi_extra = extra | {"parameters": [KEY_HEADER]}

    def opens_work(self, *, keyed: bool) -> bool:
        """Whether a request runs in a transaction of its own; `keyed`: it is a write with an Idempotency-Key."""
        return True

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        run = super().get_route_handler()

        async def answer(request: Request) -> Response:
            request.state.caller = caller = authorise(request, scope=self.scope, roles=self.roles)
            request.state.work = None
            log_territory.set(caller.territory)
            trace.get_current_span().set_attribute("metis.territory", caller.territory)
            key = request.headers.get("idempotency-key") if request.method in WRITES else None
            if not self.opens_work(keyed=key is not None):
                return await run(request)
            async with open_work(request.app.state.database, caller) as request.state.work:
                return await run(request) if key is None else await _answer_once(request, request.state.work, run, key=key)

        async def handle(request: Request) -> Response:
            try:
                return await answer(request)
            except EXPECTED:
                raise
            except Exception as error:
                return await on_surprise(request, error)

        return handle


class CallerRoute(MetisRoute):
    """Authorises, and leaves transactions to the use case. It writes nothing that a key would guard, and keeps no answer."""

    def opens_work(self, *, keyed: bool) -> bool:
        return False


class SharingRoute(CallerRoute):
    """Leaves the transaction to the use case, which may share one among many requests.

    What such a route writes bears a key of its own (a mission's id, a pledge's ref), so that repeating it has one effect. A
    request with an Idempotency-Key gets a transaction of its own, as on any other route: key, effect and answer commit together.
    """

    def opens_work(self, *, keyed: bool) -> bool:
        return keyed


def authorise(request: Request, *, scope: str, roles: frozenset[str]) -> Caller:
    """The caller, once token, territory, scope and role all agree."""
    header = request.headers.get("authorization", "")
    if not header.startswith("Bearer "):
        raise Unauthenticated("Send `Authorization: Bearer <token>`; a token comes from /oauth/token.")
    caller: Caller = request.app.state.token_checker.check(header[7:], now=utc_now())
    territory = request.path_params.get("territory", caller.territory)
    return check_access(caller, territory=territory, scope=scope, roles=roles)


def check_access(caller: Caller, *, territory: str, scope: str, roles: frozenset[str]) -> Caller:
    """Deny unless everything fits. A caller for every territory becomes one for the territory it named."""
    if caller.territory == EVERY_TERRITORY:
        caller = Caller(territory, caller.client_id, caller.actor_id, caller.member_id, caller.roles, caller.scopes)
    if caller.territory != territory:
        raise Forbidden(f"Your token is for territory {caller.territory}, not for {territory}.")
    if scope not in caller.scopes:
        raise Forbidden(f"Your token lacks the scope {scope}; ask for it at /oauth/token.")
    if not roles & caller.roles:
        raise Forbidden(f"This is for {', '.join(sorted(roles))}; you are {', '.join(sorted(caller.roles)) or 'nobody'}.")
    return caller


async def _answer_once(
    request: Request, work: Work, run: Callable[[Request], Coroutine[Any, Any, Response]], *, key: str
) -> Response:
    """The stored answer of this key, or a new one that is stored with its effect in one commit.

    The key's row is inserted first: a second request with the same key waits on it until the first commits.
    Refusals (4xx) roll back and are decided anew.
    """
    if not 1 <= len(key) <= 255:
        raise BadInput.at("header/Idempotency-Key", "must be 1 to 255 characters; a UUID serves well")
    digest = hashlib.sha256(
        b"\0".join([request.method.encode(), str(request.url.path).encode(), request.url.query.encode(), await request.body()])
    ).digest()
    inserted = await work.driver.fetchval(
        "INSERT INTO idempotency_key (territory, client_id, key, request_hash) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT DO NOTHING RETURNING true",
        work.territory, work.caller.client_id, key, digest,
    )  # fmt: skip
    where = (work.territory, work.caller.client_id, key)
    if not inserted:
        row = await work.driver.fetchrow(
            "SELECT request_hash, status, headers, body FROM idempotency_key WHERE (territory, client_id, key) = ($1, $2, $3)",
            *where,
        )
        assert row is not None
        if row["request_hash"] != digest:
            raise KeyReused("This Idempotency-Key was used with another request; take a new key for a new request.")
        headers = orjson.loads(row["headers"]) | {"idempotent-replay": "true"}
        return Response(row["body"], status_code=row["status"], headers=headers)
    response = await run(request)
    headers = {name: value for name, value in response.headers.items() if name not in {"content-length"}}
    await work.driver.execute(
        "UPDATE idempotency_key SET status = $4, headers = $5, body = $6 WHERE (territory, client_id, key) = ($1, $2, $3)",
        *where, response.status_code, orjson.dumps(headers).decode(), bytes(response.body),
    )  # fmt: skip
    return response


async def _document_territory(
    territory: Annotated[str, Path(pattern=TERRITORY_PATTERN, description="INSEE code of the commune.")],
) -> None:
    """Puts the path parameter into the OpenAPI document and refuses malformed codes."""


async def _current_work(request: Request) -> Work:
    work: Work = request.state.work
    return work


InWork = Annotated[Work, Depends(_current_work)]


async def _current_caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


ByCaller = Annotated[Caller, Depends(_current_caller)]


async def _own_work(request: Request) -> Work | None:
    work: Work | None = request.state.work
    return work


# Of a `SharingRoute`: the transaction of a request that brought a key, and must be used then.
OwnWork = Annotated[Work | None, Depends(_own_work)]


async def _version_to_edit(
    if_match: Annotated[str | None, Header(description='Version being edited, e.g. "3" (the ETag).')] = None,
) -> int:
    if if_match is None:
        raise PreconditionRequired('Send `If-Match: "<version>"` with the version you read (its ETag).')
    bare = if_match.strip().strip('"')
    if not bare.isascii() or not bare.isdigit() or len(bare) > 9:
        raise BadInput.at("header/If-Match", 'must be the version you read, e.g. "3"')
    return int(bare)


VersionToEdit = Annotated[int, Depends(_version_to_edit)]


def check_version(current: int, expected: int) -> None:
    """Refuse an edit of a version that is no longer the current one."""
    if current != expected:
        raise PreconditionFailed(
            f"You edit version {expected}, the current one is {current}; read it again, then edit.", current=current
        )

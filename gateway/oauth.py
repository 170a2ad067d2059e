"""`POST /oauth/token`: client credentials become an access token (RFC 6749, sections 2.3, 4.4 and 5).

The registry knows the clients; the gateway asks it and keeps nothing. `instance-admin` alone is known here, because
it must exist before any territory does.
"""

import base64
import binascii
import hmac
import logging
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, unquote_plus
from uuid import UUID

import orjson

from gateway.sessions import ACCESS_AUDIENCE, INTERNAL_LIFETIME
from gateway.upstream import Upstream, UpstreamFailed, UpstreamTooSlow
from kernel.auth import EVERY_TERRITORY, EVERYONE, Caller, Role, TokenSigner
from kernel.clock import Clock
from kernel.routing import TERRITORY_PATTERN

log = logging.getLogger("metis.gateway.oauth")
ADMIN_CLIENT_ID = "instance-admin"
CHECK_SCOPE = "clients:check"
FORM_LIMIT_BYTES = 16 * 1024
NAME_CHARACTERS = 300
NO_STORE = ((b"cache-control", b"no-store"), (b"pragma", b"no-cache"))  # section 5.1
_FORM = "application/x-www-form-urlencoded"
_TERRITORY = re.compile(TERRITORY_PATTERN, re.ASCII)
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*")  # RFC 6749, appendix A.4


class OAuthError(Exception):
    """A refusal in the words of RFC 6749, section 5.2. The description is plain ASCII without quotes."""

    def __init__(self, error: str, description: str, *, status: int = 400, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = status
        self.headers = headers

    def body(self) -> bytes:
        return orjson.dumps({"error": self.error, "error_description": self.description})


@dataclass(frozen=True)
class TokenRequest:
    client_id: str
    client_secret: str
    scopes: frozenset[str] | None  # None: all that the client may have


def read_request(*, content_type: str, authorization: list[str], body: bytes) -> TokenRequest:
    """What a client asks for. Raises OAuthError."""
    if content_type.partition(";")[0].strip().lower() != _FORM:
        raise OAuthError("invalid_request", f"Send the parameters as {_FORM}.")
    form = _read_form(body)
    client_id, client_secret = _read_client(authorization, form)
    if len(client_id) > NAME_CHARACTERS or len(client_secret) > NAME_CHARACTERS:
        raise refuse_client("No client has a name or a secret as long as this.")
    grant_type = form.get("grant_type")
    if grant_type is None:
        raise OAuthError("invalid_request", "The parameter grant_type is missing; send client_credentials.")
    if grant_type != "client_credentials":
        raise OAuthError("unsupported_grant_type", "Only grant_type=client_credentials is possible here.")
    scope = form.get("scope")
    if scope is not None and not _SCOPE.fullmatch(scope):
        raise OAuthError("invalid_scope", "The parameter scope is a list of scopes with one space between them.")
    return TokenRequest(client_id, client_secret, frozenset(scope.split(" ")) if scope else None)


def _read_form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, strict_parsing=bool(body), errors="strict", max_num_fields=32
        )
    except ValueError as error:
        raise OAuthError("invalid_request", "The form cannot be read.") from error
    form: dict[str, str] = {}
    for name, value in pairs:
        if name in form:
            raise OAuthError("invalid_request", "A parameter occurs twice.")
        form[name] = value
    return {name: value for name, value in form.items() if value}  # sent without a value is as not sent (section 3.1)


def _read_client(authorization: list[str], form: dict[str, str]) -> tuple[str, str]:
    """Client id and secret, by client_secret_basic or client_secret_post, never both (section 2.3)."""
    if not authorization:
        if "client_id" not in form or "client_secret" not in form:
            raise refuse_client("Say who you are: HTTP Basic with client id and secret, or both in the form.")
        return form["client_id"], form["client_secret"]
    if len(authorization) > 1 or "client_secret" in form:
        raise OAuthError("invalid_request", "Authenticate once: in the Authorization header or in the form.")
    client_id, client_secret = _read_basic(authorization[0])
    if form.get("client_id", client_id) != client_id:
        raise OAuthError("invalid_request", "The client_id of the form is not the one of the Authorization header.")
    return client_id, client_secret


def _read_basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    try:
        if scheme.lower() != "basic":
            raise ValueError("another scheme")
        client_id, colon, client_secret = base64.b64decode(encoded.strip(), validate=True).decode("utf-8").partition(":")
        if not colon:
            raise ValueError("no colon")
        # Both are form-encoded before they are joined (section 2.3.1).
        return unquote_plus(client_id, errors="strict"), unquote_plus(client_secret, errors="strict")
    except (ValueError, binascii.Error) as error:
        raise refuse_client("The Authorization header cannot be read; send HTTP Basic.") from error


def refuse_client(description: str) -> OAuthError:
    """401 with a challenge: the RFC asks for it when the client used the header, and allows it otherwise."""
    challenge = b'Basic realm="metis", charset="UTF-8"'
    return OAuthError("invalid_client", description, status=401, headers=((b"www-authenticate", challenge),))


class ClientDirectory:
    """Who a client is: asked at the registry, or known here for the instance's admin."""

    def __init__(
        self, registry: Upstream, signer: TokenSigner, *, clock: Clock, scopes: frozenset[str], admin_secret: str | None
    ) -> None:
        self._registry = registry
        self._signer = signer
        self._clock = clock
        self._scopes = scopes
        self._admin_secret = admin_secret

    async def find_client(self, client_id: str, client_secret: str, *, traceparent: bytes) -> Caller | None:
        """The caller behind these credentials, or None. Raises UpstreamFailed, UpstreamTooSlow."""
        if client_id == ADMIN_CLIENT_ID:
            return self._find_admin(client_secret)
        territory = client_id.partition(".")[0]
        if not _TERRITORY.fullmatch(territory):
            return None
        facts = await self._ask_registry(territory, client_id, client_secret, traceparent=traceparent)
        if facts is None:
            return None
        # A territory's officer makes its clients: they are people and partners of that territory, never more,
        # whatever the registry stored.
        return Caller(
            territory=territory,
            client_id=client_id,
            actor_id=UUID(facts["actor_id"]) if facts.get("actor_id") else None,
            member_id=UUID(facts["member_id"]) if facts.get("member_id") else None,
            roles=frozenset(facts["roles"]) & frozenset(EVERYONE),
            scopes=frozenset(facts["scopes"]) & self._scopes,
        )

    def _find_admin(self, client_secret: str) -> Caller | None:
        if self._admin_secret is None or not hmac.compare_digest(self._admin_secret.encode(), client_secret.encode()):
            return None
        return Caller(EVERY_TERRITORY, ADMIN_CLIENT_ID, roles=frozenset({Role.INSTANCE_ADMIN}), scopes=self._scopes)

    async def _ask_registry(
        self, territory: str, client_id: str, client_secret: str, *, traceparent: bytes
    ) -> dict[str, Any] | None:
        asking = Caller(territory, "gateway", roles=frozenset({Role.GATEWAY}), scopes=frozenset({CHECK_SCOPE}))
        token = self._signer.sign(asking, now=self._clock(), lifetime=INTERNAL_LIFETIME)
        body = orjson.dumps({"client_id": client_id, "client_secret": client_secret})
        head = (
            f"POST /v1/territories/{territory}/client-checks HTTP/1.1\r\n{self._registry.host_line.decode()}"
            f"authorization: Bearer {token}\r\ntraceparent: {traceparent.decode()}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        # Checking changes nothing, so it may be asked twice.
        answer = await self._registry.ask(head.encode() + body, repeatable=True)
        if answer.stream:
            answer.stream.close()
            raise UpstreamFailed("The registry answered a client check at an impossible length.")
        if answer.status == 200:
            facts: dict[str, Any] = orjson.loads(answer.body)
            return facts
        if answer.status in {401, 404, 422}:
            return None
        log.error("the registry answered a client check with %s", answer.status)
        raise UpstreamFailed(f"The registry answered with {answer.status}.")


async def issue_token(
    request: TokenRequest,
    directory: ClientDirectory,
    signer: TokenSigner,
    *,
    clock: Clock,
    lifetime: timedelta,
    traceparent: bytes,
) -> bytes | None:
    """The answer of section 5.1 as JSON, or None for a client that is unknown or has another secret. Raises OAuthError."""
    try:
        caller = await directory.find_client(request.client_id, request.client_secret, traceparent=traceparent)
    except (UpstreamFailed, UpstreamTooSlow) as error:
        log.warning("no client check: %s", error)
        retry = ((b"retry-after", b"2"),)
        raise OAuthError(
            "temporarily_unavailable", "Clients cannot be checked just now; try again.", status=503, headers=retry
        ) from error
    if caller is None:
        return None
    scopes = caller.scopes if request.scopes is None else request.scopes
    if missing := scopes - caller.scopes:
        raise OAuthError("invalid_scope", f"This client may not have: {' '.join(sorted(missing))}.")
    granted = Caller(caller.territory, caller.client_id, caller.actor_id, caller.member_id, caller.roles, scopes)
    token = signer.sign(granted, now=clock(), lifetime=lifetime, audience=ACCESS_AUDIENCE)
    return orjson.dumps(
        {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": int(lifetime.total_seconds()),
            "scope": " ".join(sorted(scopes)),
        }
    )

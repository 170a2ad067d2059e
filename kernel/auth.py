"""Who is calling: the internal token that the gateway signs and every service checks.

Services trust no header but this token. It names territory, client, actor, member, roles and scopes,
lives for minutes, and is signed with Ed25519, so that a service holds nothing that could forge one.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey

from kernel.errors import Forbidden, Unauthenticated

ALGORITHM = "Ed25519"
AUDIENCE = "metis-services"
EVERY_TERRITORY = "*"


class Role(StrEnum):
    OFFICER = "officer"
    OPERATOR = "operator"
    ASSOCIATION = "association"
    COMPANY = "company"
    VOLUNTEER = "volunteer"
    AUDITOR = "auditor"
    PARTNER = "partner"
    INSTANCE_ADMIN = "instance_admin"
    GATEWAY = "gateway"
    SYSTEM = "system"
    # Anybody, without a token. No client can be one: the gateway alone speaks so, for operations that name it.
    VISITOR = "visitor"


PEOPLE = (Role.OFFICER, Role.OPERATOR, Role.ASSOCIATION, Role.COMPANY, Role.VOLUNTEER)
EVERYONE = (*PEOPLE, Role.AUDITOR, Role.PARTNER)
TOWN = (Role.OFFICER, Role.OPERATOR)


@dataclass(frozen=True)
class Caller:
    """The one on whose behalf a transaction runs."""

    territory: str
    client_id: str
    actor_id: UUID | None = None
    member_id: UUID | None = None
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()

    @property
    def identity(self) -> str:
        """Who is written beside a deed: the member, else the actor, else the client. Opaque, never a name."""
        return str(self.member_id or self.actor_id or self.client_id)

    @property
    def is_town(self) -> bool:
        """Whether the caller runs the scheme here (officer, operator, or the platform itself)."""
        return bool(self.roles & {Role.OFFICER, Role.OPERATOR, Role.SYSTEM})

    def require_actor(self, actor_id: UUID) -> None:
        """Refuse unless the caller acts for this actor, or runs the scheme."""
        if not self.is_town and self.actor_id != actor_id:
            raise Forbidden("You can only act for your own organisation; sign in as one of its members.")

    def require_member(self, member_id: UUID) -> None:
        """Refuse unless the caller is this member, or runs the scheme."""
        if not self.is_town and self.member_id != member_id:
            raise Forbidden("You can only act for yourself; sign in as that person.")

    @classmethod
    def system(cls, territory: str) -> "Caller":
        """The platform acting by itself: handlers of events, sweepers."""
        return cls(territory=territory, client_id="system", roles=frozenset({Role.SYSTEM}))


def make_key_pair() -> tuple[str, str]:
    """A fresh private JWK and the public JWKS that goes with it, both as JSON."""
    key = OKPKey.generate_key("Ed25519", {"alg": ALGORITHM, "use": "sig"}, auto_kid=True)
    private = json.dumps(key.as_dict(private=True))
    public = json.dumps({"keys": [key.as_dict(private=False)]})
    return private, public


class TokenSigner:
    """Signs short-lived tokens; held by the gateway alone (and by tests)."""

    def __init__(self, private_jwk: str) -> None:
        self._key = OKPKey.import_key(json.loads(private_jwk))

    def sign(self, caller: Caller, *, now: datetime, lifetime: timedelta, audience: str = AUDIENCE) -> str:
        claims: dict[str, Any] = {
            "aud": audience,
            "sub": caller.client_id,
            "iat": int(now.timestamp()),
            "exp": int((now + lifetime).timestamp()),
            "territory": caller.territory,
            "roles": sorted(caller.roles),
            "scope": " ".join(sorted(caller.scopes)),
        }
        if caller.actor_id:
            claims["actor"] = str(caller.actor_id)
        if caller.member_id:
            claims["member"] = str(caller.member_id)
        return jwt.encode({"alg": ALGORITHM, "kid": self._key.kid}, claims, self._key, algorithms=[ALGORITHM])


class TokenChecker:
    """Checks tokens against public keys; remembers those it has seen until they expire.

    The memory spares an Ed25519 verification a request; it holds at most `size` tokens and starts anew when full.
    """

    def __init__(self, public_jwks: str, *, audience: str = AUDIENCE, size: int = 4096) -> None:
        self._keys = KeySet.import_key_set(json.loads(public_jwks))
        self._audience = audience
        self._size = size
        self._seen: dict[str, tuple[float, Caller]] = {}

    def check(self, token: str, *, now: datetime) -> Caller:
        """The caller that the token names. Raises Unauthenticated when forged, foreign or expired."""
        seen = self._seen.get(token)
        if seen is None:
            seen = self._decode(token)
            if len(self._seen) >= self._size:
                self._seen.clear()
            self._seen[token] = seen
        expires, caller = seen
        if expires <= now.timestamp():
            self._seen.pop(token, None)
            raise Unauthenticated("The token has expired; ask for a new one at /oauth/token.")
        return caller

    def _decode(self, token: str) -> tuple[float, Caller]:
        try:
            claims = jwt.decode(token, self._keys, algorithms=[ALGORITHM]).claims
            if claims["aud"] != self._audience:
                raise Unauthenticated("The token is meant for another audience.")
            caller = Caller(
                territory=claims["territory"],
                client_id=claims["sub"],
                actor_id=UUID(claims["actor"]) if "actor" in claims else None,
                member_id=UUID(claims["member"]) if "member" in claims else None,
                roles=frozenset(claims["roles"]),
                scopes=frozenset(claims["scope"].split()),
            )
            return float(claims["exp"]), caller
        except (JoseError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise Unauthenticated("The token cannot be verified; ask for a new one at /oauth/token.") from error

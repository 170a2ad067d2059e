"""Programs that sign in (OAuth 2 client credentials): who may make one, for whom, and with which scopes."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from hmac import compare_digest
from uuid import UUID

from kernel.errors import BadInput, Forbidden, Unauthenticated


class ClientRole(StrEnum):
    """What a program may sign in as. `system` is missing: the platform itself signs in nowhere."""

    OFFICER = "officer"
    OPERATOR = "operator"
    ASSOCIATION = "association"
    COMPANY = "company"
    VOLUNTEER = "volunteer"
    AUDITOR = "auditor"
    PARTNER = "partner"
    INSTANCE_ADMIN = "instance_admin"
    GATEWAY = "gateway"


@dataclass(frozen=True)
class Client:
    """A program that signs in with OAuth 2 client credentials. The secret itself is nowhere."""

    id: UUID
    client_id: str
    name: str
    roles: tuple[ClientRole, ...]
    scopes: tuple[str, ...]
    actor_id: UUID | None
    member_id: UUID | None
    created_at: datetime
    rotated_at: datetime


READS = frozenset({"registry:read", "credits:read", "matching:read", "notifications:read"})
WRITES = frozenset({"registry:write", "credits:write", "credits:reserve", "matching:write", "notifications:write"})
_TOWN_SCOPES = READS | WRITES | {"webhooks:manage"}
# Companies and citizens promise and value their own hours; associations accept conventions and issue receipts.
_PEOPLE_SCOPES = READS | {"matching:write", "notifications:write", "credits:write"}

# What a client gets when it asks for nothing in particular.
SCOPES_OF_ROLE: Mapping[ClientRole, frozenset[str]] = {
    ClientRole.OFFICER: _TOWN_SCOPES,
    ClientRole.OPERATOR: _TOWN_SCOPES,
    ClientRole.ASSOCIATION: _PEOPLE_SCOPES,
    ClientRole.COMPANY: _PEOPLE_SCOPES,
    ClientRole.VOLUNTEER: _PEOPLE_SCOPES,
    ClientRole.AUDITOR: READS,
    ClientRole.PARTNER: READS | {"webhooks:manage"},
    ClientRole.INSTANCE_ADMIN: _TOWN_SCOPES | {"instance:admin"},
    ClientRole.GATEWAY: frozenset({"clients:check"}),
}
# What a client gets only when it is asked for by its name: to spend associations' credit is no platform's by default.
SCOPES_BY_NAME: Mapping[ClientRole, frozenset[str]] = {ClientRole.PARTNER: frozenset({"credits:reserve"})}
ROLES_OF_INSTANCE = frozenset({ClientRole.INSTANCE_ADMIN, ClientRole.GATEWAY})
ROLES_FOR_SOMEBODY = frozenset({ClientRole.ASSOCIATION, ClientRole.COMPANY, ClientRole.VOLUNTEER})


def decide_scopes(roles: Collection[ClientRole], requested: Collection[str]) -> tuple[str, ...]:
    """What the roles bring, or what is requested, some of it by its name alone. Raises BadInput for more than they allow."""
    brought = frozenset[str]().union(*(SCOPES_OF_ROLE[role] for role in roles))
    allowed = brought.union(*(SCOPES_BY_NAME.get(role, frozenset()) for role in roles))
    excess = sorted(set(requested) - allowed)
    if excess:
        raise BadInput.at("/scopes", f"{', '.join(excess)} is beyond these roles; they allow {', '.join(sorted(allowed))}.")
    return tuple(sorted(requested or brought))


def check_client_roles(roles: Collection[ClientRole], *, caller_roles: Collection[str]) -> None:
    """The town's officers handle the town's clients; those of the instance are for its administrator."""
    reserved = sorted(ROLES_OF_INSTANCE & set(roles))
    if reserved and ClientRole.INSTANCE_ADMIN not in caller_roles:
        raise Forbidden(f"A client with the role {', '.join(reserved)} is for the instance's administrator alone.")


def check_client_name(client_id: str, *, territory: str) -> None:
    if not client_id.startswith(f"{territory}."):
        raise BadInput.at("path/client_id", f"begin it with {territory}. to show its territory, as {territory}.agenda")


def check_client_stands_for(roles: Collection[ClientRole], *, actor_id: UUID | None, member_id: UUID | None) -> None:
    """People's clients act for somebody. Raises BadInput when it is not said for whom."""
    if actor_id is None and member_id is None and ROLES_FOR_SOMEBODY & set(roles):
        raise BadInput.at("/actor_id", "these roles act for somebody; name the actor_id, the member_id, or both.")


def hash_secret(secret: str) -> bytes:
    """SHA-256 suffices: a secret is 256 random bits, so there is nothing that a slow hash would protect from guessing."""
    return sha256(secret.encode()).digest()


_NOBODYS_HASH = hash_secret("")


def check_secret(secret: str, *, expected_hash: bytes | None) -> None:
    """Raises Unauthenticated, in the same words and time whether the client is unknown or the secret wrong."""
    fits = compare_digest(hash_secret(secret), expected_hash or _NOBODYS_HASH)
    if not fits or expected_hash is None:
        raise Unauthenticated("The client_id or the client_secret is wrong, or the client was withdrawn; ask the town's officer.")

"""HTTP clients that call a service's app in this process, signed as a caller."""

from datetime import timedelta
from uuid import UUID

import httpx2
from fastapi import FastAPI

from kernel.auth import Caller, Role, TokenSigner, make_key_pair
from kernel.clock import utc_now

PRIVATE_KEY, PUBLIC_KEYS = make_key_pair()
SIGNER = TokenSigner(PRIVATE_KEY)
ALL_SCOPES = frozenset(
    {
        *(f"{room}:{verb}" for room in ("registry", "credits", "matching", "notifications") for verb in ("read", "write")),
        "webhooks:manage",
        "credits:reserve",
        "instance:admin",
        "clients:check",
    }
)


def make_caller(
    territory: str,
    *roles: Role,
    actor_id: UUID | None = None,
    member_id: UUID | None = None,
    scopes: frozenset[str] = ALL_SCOPES,
    client_id: str | None = None,
) -> Caller:
    chosen = roles or (Role.OFFICER,)
    return Caller(territory, client_id or f"{territory}.{chosen[0]}", actor_id, member_id, frozenset(chosen), scopes)


def client_for(app: FastAPI, caller: Caller) -> httpx2.AsyncClient:
    """A client whose base URL is the caller's territory: `client.get("/actors")`. Open it with `async with`."""
    return client_at("http://service", caller, transport=httpx2.ASGITransport(app=app))


def client_at(url: str, caller: Caller, *, transport: httpx2.AsyncBaseTransport | None = None) -> httpx2.AsyncClient:
    """The same for a service that listens there, in whatever process."""
    token = SIGNER.sign(caller, now=utc_now(), lifetime=timedelta(hours=1))
    return httpx2.AsyncClient(
        transport=transport,
        base_url=f"{url}/v1/territories/{caller.territory}",
        headers={"authorization": f"Bearer {token}"},
        timeout=60,
    )

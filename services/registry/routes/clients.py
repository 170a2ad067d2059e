"""Programs that sign in: issued by an officer, checked by the gateway."""

from typing import Annotated

from fastapi import Path, Request, Response

from kernel.auth import Role
from kernel.errors import BadInput
from kernel.paging import OnePage, Page, fetch_page
from kernel.routing import InWork, allow, make_router
from services.registry import store, use_cases
from services.registry.schemas import ClientBody, ClientCheckBody, ClientCheckOut, ClientId, ClientOut, IssuedClientOut
from services.registry.tables import client
from services.registry.use_cases import ClientRequest

router = make_router("registry")
NamedClient = Annotated[ClientId, Path(description="Begins with the territory and a dot, as 92071.agenda.")]


@router.put("/clients/{client_id}", **allow("registry:write", Role.OFFICER, Role.INSTANCE_ADMIN))
async def put_client(
    work: InWork, client_id: NamedClient, body: ClientBody, request: Request, response: Response
) -> IssuedClientOut:
    """Create an OAuth client, or give it these facts and a new secret.

    The secret is in this answer and nowhere else; the one before ends at once. Send no `Idempotency-Key`.
    """
    if "idempotency-key" in request.headers:
        # The answer would be stored for a replay, and the secret with it.
        raise BadInput.at("header/Idempotency-Key", "a secret is never answered twice; send this request without the key.")
    wanted = ClientRequest(
        name=body.name, roles=tuple(body.roles), scopes=tuple(body.scopes), actor_id=body.actor_id, member_id=body.member_id
    )
    issued, secret = await use_cases.issue_client(work, wanted, client_id=client_id)
    # No cache keeps a secret.
    response.headers["Cache-Control"] = "no-store"
    return IssuedClientOut.of_secret(issued, secret)


@router.get("/clients", **allow("registry:read", Role.OFFICER, Role.INSTANCE_ADMIN))
async def get_clients(work: InWork, page: OnePage) -> Page[ClientOut]:
    """List the OAuth clients, without their secrets."""
    return await fetch_page(
        work, store.list_clients(), by=client.c.id, page=page, shape=lambda row: ClientOut.of(store.client_from(row))
    )


@router.delete("/clients/{client_id}", status_code=204, **allow("registry:write", Role.OFFICER, Role.INSTANCE_ADMIN))
async def delete_client(work: InWork, client_id: NamedClient) -> None:
    """Withdraw an OAuth client; it gets no more tokens; one it already holds lasts until it expires (an hour at most)."""
    await use_cases.withdraw_client(work, client_id)


@router.post("/client-checks", include_in_schema=False, **allow("clients:check", Role.GATEWAY))
async def check_client(work: InWork, body: ClientCheckBody, response: Response) -> ClientCheckOut:
    """Tell the gateway who the bearer of these credentials is."""
    found = await use_cases.check_client(work, client_id=body.client_id, client_secret=body.client_secret)
    response.headers["Cache-Control"] = "no-store"
    return ClientCheckOut(
        territory=work.territory,
        client_id=found.client_id,
        actor_id=found.actor_id,
        member_id=found.member_id,
        roles=list(found.roles),
        scopes=list(found.scopes),
    )

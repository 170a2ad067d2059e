"""Actors: every body or group of the territory's ecosystem."""

from typing import Annotated
from uuid import UUID

from fastapi import Path, Query, Response

from kernel.auth import EVERYONE, TOWN
from kernel.paging import OnePage, Page, fetch_page
from kernel.routing import InWork, VersionToEdit, allow, make_router
from services.registry import store, use_cases
from services.registry.domain.records import Actor, ActorKind, FieldOfAction, Outcome
from services.registry.schemas import ActorBody, ActorImport, ActorOut, ActorPatch, ActorRecordOut, ArchivalBody, Line, Ref
from services.registry.tables import actor

router = make_router("registry")


def _shape(record: Actor, response: Response) -> ActorOut:
    response.headers["ETag"] = f'"{record.version}"'
    return ActorOut.of(record)


@router.post("/actors", status_code=201, **allow("registry:write", *TOWN))
async def post_actor(work: InWork, body: ActorBody, response: Response) -> ActorOut:
    """Register an actor."""
    return _shape(await use_cases.register_actor(work, body.to_facts(), ref=body.ref), response)


@router.get("/actors", **allow("registry:read", *EVERYONE))
async def get_actors(
    work: InWork,
    page: OnePage,
    *,
    kind: ActorKind | None = None,
    field: Annotated[FieldOfAction | None, Query(description="A field of action.")] = None,
    q: Annotated[Line | None, Query(description="Part of the name; case and accents do not matter.")] = None,
    ref: Annotated[Ref | None, Query(description="The officer's own key.")] = None,
    archived: Annotated[bool, Query(description="Show archived actors, too.")] = False,
) -> Page[ActorOut]:
    """List the actors, the oldest record first."""
    query = store.list_actors(kind=kind, field=field, q=q, ref=ref, with_archived=archived)
    return await fetch_page(work, query, by=actor.c.id, page=page, shape=lambda row: ActorOut.of(store.actor_from(row)))


@router.get("/actors/{id}", **allow("registry:read", *EVERYONE))
async def get_actor(work: InWork, id: UUID, response: Response) -> ActorOut:
    """Read an actor."""
    return _shape(await store.get_actor(work, id), response)


@router.patch("/actors/{id}", **allow("registry:write", *TOWN))
async def patch_actor(work: InWork, id: UUID, body: ActorPatch, version: VersionToEdit, response: Response) -> ActorOut:
    """Correct an actor; fields left out stay as they are."""
    return _shape(await use_cases.correct_actor(work, id, body.changes(), version=version), response)


@router.post("/actors/{id}/archival", **allow("registry:write", *TOWN))
async def post_actor_archival(work: InWork, id: UUID, body: ArchivalBody, response: Response) -> ActorOut:
    """Take an actor out of use, with the reason; its clients can no longer sign in."""
    return _shape(await use_cases.archive_actor(work, id, reason=body.reason), response)


@router.put(
    "/actors/refs/{ref}",
    responses={201: {"model": ActorRecordOut, "description": "It was not there before."}},
    **allow("registry:write", *TOWN),
)
async def put_actor(
    work: InWork, ref: Annotated[Ref, Path(description="Your own key for it.")], body: ActorImport, response: Response
) -> ActorRecordOut:
    """Record an actor under your own key, or make it what the body says; repeating it changes nothing."""
    recorded, outcome = await use_cases.record_actor(work, body.to_facts(), ref=ref)
    response.status_code = 201 if outcome == Outcome.CREATED else 200
    response.headers["ETag"] = f'"{recorded.version}"'
    return ActorRecordOut.of_outcome(recorded, outcome)

"""Members: the people who act for an actor, or for themselves. Personal data: who may see whom is in store.py."""

from typing import Annotated
from uuid import UUID

from fastapi import Path, Query, Response

from kernel.auth import PEOPLE, TOWN, Role
from kernel.paging import OnePage, Page, fetch_page
from kernel.routing import InWork, VersionToEdit, allow, make_router
from services.registry import store, use_cases
from services.registry.domain.records import Member, Outcome
from services.registry.schemas import ArchivalBody, MemberBody, MemberFactsBody, MemberOut, MemberPatch, MemberRecordOut, Ref
from services.registry.tables import member

router = make_router("registry")


def _shape(record: Member, response: Response) -> MemberOut:
    response.headers["ETag"] = f'"{record.version}"'
    return MemberOut.of(record)


@router.post("/members", status_code=201, **allow("registry:write", *TOWN))
async def post_member(work: InWork, body: MemberBody, response: Response) -> MemberOut:
    """Register a member."""
    return _shape(await use_cases.register_member(work, body.to_facts(), ref=body.ref), response)


@router.get("/members", **allow("registry:read", *PEOPLE, Role.AUDITOR))
async def get_members(
    work: InWork,
    page: OnePage,
    *,
    actor_id: Annotated[UUID | None, Query(description="Only those who act for this actor.")] = None,
    ref: Annotated[Ref | None, Query(description="The officer's own key.")] = None,
    archived: Annotated[bool, Query(description="Show archived members, too.")] = False,
) -> Page[MemberOut]:
    """List the members that you may see: the town all, others themselves and their own actor's people."""
    query = store.list_members(work, actor_id=actor_id, ref=ref, with_archived=archived)
    return await fetch_page(work, query, by=member.c.id, page=page, shape=lambda row: MemberOut.of(store.member_from(row)))


@router.get("/members/{id}", **allow("registry:read", *PEOPLE, Role.AUDITOR))
async def get_member(work: InWork, id: UUID, response: Response) -> MemberOut:
    """Read a member that you may see."""
    return _shape(await store.get_visible_member(work, id), response)


@router.patch("/members/{id}", **allow("registry:write", *TOWN))
async def patch_member(work: InWork, id: UUID, body: MemberPatch, version: VersionToEdit, response: Response) -> MemberOut:
    """Correct a member; fields left out stay as they are."""
    return _shape(await use_cases.correct_member(work, id, body.changes(), version=version), response)


@router.post("/members/{id}/archival", **allow("registry:write", *TOWN))
async def post_member_archival(work: InWork, id: UUID, body: ArchivalBody, response: Response) -> MemberOut:
    """Take a member out of use, with the reason; their clients can no longer sign in."""
    return _shape(await use_cases.archive_member(work, id, reason=body.reason), response)


@router.put(
    "/members/refs/{ref}",
    responses={201: {"model": MemberRecordOut, "description": "They were not there before."}},
    **allow("registry:write", *TOWN),
)
async def put_member(
    work: InWork, ref: Annotated[Ref, Path(description="Your own key for them.")], body: MemberFactsBody, response: Response
) -> MemberRecordOut:
    """Record a member under your own key, or make them what the body says; repeating it changes nothing."""
    recorded, outcome = await use_cases.record_member(work, body.to_facts(), ref=ref)
    response.status_code = 201 if outcome == Outcome.CREATED else 200
    response.headers["ETag"] = f'"{recorded.version}"'
    return MemberRecordOut.of_outcome(recorded, outcome)

"""Seals for everybody, the bundle and the audits for those who check."""

from typing import Annotated

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from kernel.auth import EVERYONE, Role
from kernel.paging import OnePage, Page, fetch_page
from kernel.routing import InWork, allow, make_router
from services.credits.auditing.runs import run_audit, select_runs
from services.credits.domain.errors import NotFound
from services.credits.domain.signing import key_id
from services.credits.schemas.seals import AuditOut, HeadOut, SealKeyOut, SealKeysOut, SealsOut
from services.credits.sealing.bundle import build_page
from services.credits.store import seals
from services.credits.tables import audit_run


class Lines(Response):
    media_type = "application/x-ndjson"


router = make_router("credits")
CHECKERS = (Role.OFFICER, Role.AUDITOR)
LAST_BLOCK = 2**53 - 1  # what JSON numbers hold exactly, and PostgreSQL's bigint with room to spare


@router.get("/ledger/seals/head", **allow("credits:read", *EVERYONE))
async def get_head(work: InWork) -> HeadOut:
    """The last seal of the territory's ledger. Keep it: it proves later that nothing sealed by then was changed."""
    head = await seals.find_head(work)
    if head is None:
        raise NotFound("Nothing is sealed yet; the service's health says whether it has a key to seal with.")
    return HeadOut.of(head)


@router.get("/ledger/seals/keys", **allow("credits:read", *EVERYONE))
async def get_keys(work: InWork) -> SealKeysOut:
    """Every public key that signed a seal, and from which block on."""
    keys = await seals.list_public_keys(work)
    return SealKeysOut(
        items=[SealKeyOut(key_id=key_id(public), public_key=public.hex(), from_block=number) for public, number in keys]
    )


@router.get("/ledger/seals", **allow("credits:read", *EVERYONE))
async def get_seals(
    work: InWork,
    after: Annotated[int, Query(ge=0, le=LAST_BLOCK, description="Number of the block before the first one shown.")] = 0,
    limit: Annotated[int, Query(ge=1, le=200, description="Blocks a page.")] = 50,
) -> SealsOut:
    """List the seals, the oldest first: each block's hash, link and signature."""
    blocks = await seals.list_heads(work, after=after, limit=limit + 1)
    shown = [HeadOut.of(block) for block in blocks[:limit]]
    return SealsOut(items=shown, next=shown[-1].number if len(blocks) > limit else None)


@router.get("/ledger/bundle", response_class=Lines, **allow("credits:read", *CHECKERS))
async def get_bundle(
    work: InWork,
    request: Request,
    after_block: Annotated[
        int, Query(ge=0, le=LAST_BLOCK, description="Number of the last block that you have; 0 for the beginning.")
    ] = 0,
) -> Lines:
    """A page of the whole ledger, as NDJSON for `metis ledger verify`; `Link` names the next, until there is none."""
    page = await build_page(work, after_block=after_block)
    headers = {}
    if page.next_block is not None:
        url = request.url.include_query_params(after_block=page.next_block)
        headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
    return Lines(page.content, headers=headers)


@router.post("/ledger/audits", status_code=201, **allow("credits:write", *CHECKERS))
async def post_audit(work: InWork, request: Request) -> AuditOut:
    """Recompute the whole ledger now, on a connection that can only read, and keep what came of it."""
    return AuditOut.of(await run_audit(work, settings=request.app.state.settings))


@router.get("/ledger/audits", **allow("credits:read", *CHECKERS))
async def get_audits(work: InWork, page: OnePage) -> Page[AuditOut]:
    """List the audits, the oldest first."""
    return await fetch_page(work, select_runs(), by=audit_run.c.id, page=page, shape=AuditOut.of)

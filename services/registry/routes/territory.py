"""The territory itself, and the communes it deals with."""

from typing import Annotated

from fastapi import Path, Response

from kernel.auth import EVERYONE, TOWN, Role
from kernel.paging import OnePage, Page, fetch_page
from kernel.routing import InWork, allow, make_router
from services.registry import store, use_cases
from services.registry.domain.records import Outcome
from services.registry.schemas import CommuneBody, CommuneOut, CommuneRecordOut, Insee, TerritoryBody, TerritoryOut
from services.registry.tables import commune

router = make_router("registry")


@router.put("", **allow("instance:admin", Role.INSTANCE_ADMIN))
async def put_territory(work: InWork, body: TerritoryBody) -> TerritoryOut:
    """Record the territory, or give it another name."""
    return TerritoryOut.of(await use_cases.record_territory(work, name=body.name))


@router.get("", **allow("registry:read", *EVERYONE, Role.INSTANCE_ADMIN))
async def get_territory(work: InWork) -> TerritoryOut:
    """Read the territory."""
    return TerritoryOut.of(await store.get_territory(work))


@router.put(
    "/communes/{insee}",
    responses={201: {"model": CommuneRecordOut, "description": "It was not there before."}},
    **allow("registry:write", *TOWN),
)
async def put_commune(
    work: InWork, insee: Annotated[Insee, Path(description="INSEE code.")], body: CommuneBody, response: Response
) -> CommuneRecordOut:
    """Record a commune with its centre, or change it."""
    recorded = body.to_commune(insee)
    outcome = await use_cases.record_commune(work, recorded)
    response.status_code = 201 if outcome == Outcome.CREATED else 200
    return CommuneRecordOut(**dict(CommuneOut.of(recorded)), outcome=outcome)


@router.get("/communes", **allow("registry:read", *EVERYONE))
async def get_communes(work: InWork, page: OnePage) -> Page[CommuneOut]:
    """List the communes."""
    return await fetch_page(
        work, store.list_communes(), by=commune.c.id, page=page, shape=lambda row: CommuneOut.of(store.commune_from(row))
    )

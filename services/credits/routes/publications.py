"""Published grants: everybody with a token may read them."""

import asyncio
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query, Response

from kernel.auth import EVERYONE, Role
from kernel.paging import OnePage, Page, fetch_page
from kernel.routing import InWork, allow, make_router
from services.credits.clients.typst import render_pdf
from services.credits.schemas.publications import (
    PublicationBody,
    PublicationOut,
    PublicationSummary,
    build_publication_document,
    build_publication_sheet,
)
from services.credits.schemas.sheets import CSV, attachment, documented
from services.credits.store import campaigns
from services.credits.store import publications as store
from services.credits.tables import grant_publication
from services.credits.use_cases.publications import publish_grants

router = make_router("credits")
PDF = "application/pdf"


@router.post("/campaigns/{id}/grant-publications", status_code=201, **allow("credits:write", Role.OFFICER))
async def post_publication(work: InWork, id: UUID, body: PublicationBody) -> PublicationOut:
    """Publish the signed grants of a proposal: the rule with its figures, every line with its inputs, the legal notice."""
    return PublicationOut.of(await publish_grants(work, id, proposal_id=body.proposal_id, contact=body.contact))


@router.get("/campaigns/{id}/grant-publications", **allow("credits:read", *EVERYONE))
async def get_publications(work: InWork, id: UUID, page: OnePage) -> Page[PublicationSummary]:
    """List what was published of a campaign's grants, the oldest first."""
    await campaigns.get_campaign(work, id)
    return await fetch_page(
        work,
        store.select_publications(id),
        by=grant_publication.c.id,
        page=page,
        shape=lambda row: PublicationSummary.of(store.publication_of(row)),
    )


@router.get(
    "/campaigns/{id}/grant-publications/{publication_id}",
    response_model=PublicationOut,
    responses=documented(CSV, PDF),
    **allow("credits:read", *EVERYONE),
)
async def get_publication(
    work: InWork,
    id: UUID,
    publication_id: UUID,
    *,
    format: Annotated[Literal["json", "csv", "pdf"], Query(description="csv and pdf are for people.")] = "json",
) -> PublicationOut | Response:
    """Read a publication as it was published, as data, as a sheet or as a document."""
    found = await store.get_publication(work, id, publication_id)
    name = f"dotations-{found.content['campaign']['ref']}-{found.number}"
    if format == "csv":
        return attachment(build_publication_sheet(found), media_type=CSV, name=f"{name}.csv")
    if format == "pdf":
        pdf = await asyncio.to_thread(render_pdf, "grant_publication.typ", build_publication_document(found))
        return attachment(pdf, media_type=PDF, name=f"{name}.pdf")
    return PublicationOut.of(found)

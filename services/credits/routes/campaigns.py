"""Campaigns and their panel."""

from typing import Annotated
from uuid import UUID

from fastapi import Path, Query, Response
from sqlalchemy import select

from kernel.auth import EVERYONE, TOWN, Role
from kernel.paging import OnePage, Page, fetch_page
from kernel.routing import InWork, allow, make_router
from services.credits.domain.campaigns import Campaign, CampaignState, Outcome
from services.credits.domain.grants import PanelSeat
from services.credits.schemas.campaigns import CampaignBody, CampaignOut, CampaignWritten, SeatBody, SeatOut, SeatWritten
from services.credits.schemas.fields import ReasonBody, Ref
from services.credits.store import campaigns as store
from services.credits.tables import campaign, panel
from services.credits.use_cases import campaigns as use_cases

router = make_router("credits")


def _shape(found: Campaign, response: Response) -> CampaignOut:
    response.headers["ETag"] = f'"{found.version}"'
    return CampaignOut.of(found)


@router.put(
    "/campaigns/refs/{ref}",
    responses={201: {"model": CampaignWritten, "description": "It was not there before."}},
    **allow("credits:write", *TOWN),
)
async def put_campaign(
    work: InWork, ref: Annotated[Ref, Path(description="Your own key for it.")], body: CampaignBody, response: Response
) -> CampaignWritten:
    """Write a draft campaign with its rules, or change it; repeating it changes nothing."""
    conventions_required = body.conventions_required
    if conventions_required is None:
        conventions_required = await store.find_conventions_required(work, ref)
    facts = body.facts(conventions_required=conventions_required)
    found, outcome = await use_cases.write_campaign(work, ref=ref, facts=facts)
    response.status_code = 201 if outcome == Outcome.CREATED else 200
    response.headers["ETag"] = f'"{found.version}"'
    return CampaignWritten.model_validate({**CampaignOut.of(found).model_dump(), "outcome": outcome})


@router.get("/campaigns", **allow("credits:read", *EVERYONE))
async def get_campaigns(
    work: InWork,
    page: OnePage,
    *,
    state: CampaignState | None = None,
    ref: Annotated[Ref | None, Query(description="The officer's own key.")] = None,
) -> Page[CampaignOut]:
    """List the campaigns, the oldest first."""
    query = select(campaign)
    if state is not None:
        query = query.where(campaign.c.state == state)
    if ref is not None:
        query = query.where(campaign.c.ref == ref)
    return await fetch_page(work, query, by=campaign.c.id, page=page, shape=lambda row: CampaignOut.of(store.campaign_of(row)))


@router.get("/campaigns/{id}", **allow("credits:read", *EVERYONE))
async def get_campaign(work: InWork, id: UUID, response: Response) -> CampaignOut:
    """Read a campaign."""
    return _shape(await store.get_campaign(work, id), response)


@router.post("/campaigns/{id}/opening", **allow("credits:write", Role.OFFICER))
async def post_opening(work: InWork, id: UUID, response: Response) -> CampaignOut:
    """Open a draft campaign: its rules are fixed from here on."""
    return _shape(await use_cases.open_campaign(work, id), response)


@router.post("/campaigns/{id}/closure", **allow("credits:write", Role.OFFICER))
async def post_closure(work: InWork, id: UUID, body: ReasonBody, response: Response) -> CampaignOut:
    """Close a campaign, before its end if need be: unspent credit expires by its rule, holds of running missions survive."""
    return _shape(await use_cases.close_campaign(work, id, reason=body.reason), response)


@router.put(
    "/campaigns/{id}/panel/{association_id}",
    responses={201: {"model": SeatWritten, "description": "It was not there before."}},
    **allow("credits:write", *TOWN),
)
async def put_seat(work: InWork, id: UUID, association_id: UUID, body: SeatBody, response: Response) -> SeatWritten:
    """Admit an association to the panel with its subsidy before and after the cut, or correct these."""
    seat = PanelSeat(association_id, body.subsidy_before_cents, body.subsidy_after_cents)
    outcome = await use_cases.admit_association(work, id, seat)
    row = await store.get_seat_row(work, id, association_id)
    response.status_code = 201 if outcome == Outcome.CREATED else 200
    response.headers["ETag"] = f'"{row.version}"'
    return SeatWritten.model_validate({**row._mapping, "outcome": outcome})


@router.get("/campaigns/{id}/panel", **allow("credits:read", *EVERYONE))
async def get_panel(work: InWork, id: UUID, page: OnePage) -> Page[SeatOut]:
    """List the panel: its associations and their subsidies."""
    await store.get_campaign(work, id)
    return await fetch_page(work, store.select_panel(id), by=panel.c.id, page=page, shape=SeatOut.of)

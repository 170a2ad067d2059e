"""Valuations by donors, the law's figures, and what a year's gifts come to."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Response
from sqlalchemy import Row

from kernel.auth import EVERYONE, Caller, Role
from kernel.clock import local_date
from kernel.errors import Forbidden, NotFound
from kernel.paging import OnePage, Page, fetch_page
from kernel.routing import InWork, allow, make_router
from kernel.work import Work
from services.credits.domain.campaigns import Outcome
from services.credits.domain.patronage import compute_reduction, get_law, list_laws
from services.credits.domain.valuations import make_valuation
from services.credits.routes.access import CONCERNED, sees_everything
from services.credits.schemas.documents import (
    ConsentBody,
    PatronageLawOut,
    PatronageLawsOut,
    ReductionOut,
    ValuationBody,
    ValuationOut,
    ValuationWritten,
    Year,
)
from services.credits.schemas.fields import Cents
from services.credits.store import campaigns
from services.credits.store import valuations as store
from services.credits.store.receipts import sum_given_cents
from services.credits.tables import hold
from services.credits.use_cases import valuations as use_cases
from services.credits.use_cases.parties import require_speaker, speaking_ids, speaks_for

router = make_router("credits")
DONORS = (Role.COMPANY, Role.VOLUNTEER, Role.ASSOCIATION)


@router.get("/patronage-laws", **allow("credits:read", *EVERYONE))
async def get_patronage_laws(work: InWork) -> PatronageLawsOut:
    """List the law's figures by year, each with its source."""
    return PatronageLawsOut(items=[PatronageLawOut.model_validate(law) for law in list_laws()])


@router.put(
    "/valuations/{mission_id}",
    responses={201: {"model": ValuationWritten, "description": "The first valuation."}},
    **allow("credits:write", *DONORS),
)
async def put_valuation(work: InWork, mission_id: UUID, body: ValuationBody, response: Response) -> ValuationWritten:
    """Value the minutes you gave, at cost: never more than were served. Other figures are a new version, with its reason."""
    valuation = make_valuation(
        from_day=body.from_day,
        to_day=body.to_day,
        lines=[item.line() for item in body.lines],
        method=body.method,
        today=local_date(work.now),
    )
    outcome = await use_cases.value_mission(work, mission_id, valuation, share_with_town=body.share_with_town, reason=body.reason)
    response.status_code = 201 if outcome == Outcome.CREATED else 200
    return await _written(work, mission_id, outcome)


@router.put("/valuations/{mission_id}/consent", **allow("credits:write", *DONORS))
async def put_consent(work: InWork, mission_id: UUID, body: ConsentBody) -> ValuationWritten:
    """Let the town see the figures of your valuation, or no longer."""
    outcome = await use_cases.say_consent(work, mission_id, share_with_town=body.share_with_town)
    return await _written(work, mission_id, outcome)


@router.get("/valuations/{mission_id}", **allow("credits:read", *CONCERNED))
async def get_valuation(work: InWork, mission_id: UUID) -> ValuationOut:
    """Read a valuation with all its versions; what you may not see of it is null."""
    row = await store.get_valued_mission(work, mission_id)
    if not _is_concerned(work.caller, row):
        raise Forbidden("A valuation is read by its donor and its beneficiary, and by the town where the donor says so.")
    return await _shape(work, row)


@router.get("/campaigns/{id}/valuations", **allow("credits:read", *CONCERNED))
async def get_valuations(work: InWork, id: UUID, page: OnePage) -> Page[ValuationOut]:
    """List the valued missions with their latest valuation. A mission that is not there is not valued, and none is guessed."""
    await campaigns.get_campaign(work, id)
    query = store.select_valued_missions().where(hold.c.campaign_id == id)
    query = query.where(query.selected_columns["version"].is_not(None))
    if not sees_everything(work.caller):
        ids = speaking_ids(work.caller)
        query = query.where(hold.c.association_id.in_(ids) | hold.c.contributor_id.in_(ids))
    return await fetch_page(
        work, query, by=hold.c.mission_id, page=page, shape=lambda row: _shape_versions(work.caller, row, [row])
    )


@router.get("/tax-reductions/{donor_id}", **allow("credits:read", Role.COMPANY, Role.ASSOCIATION))
async def get_reduction(
    work: InWork,
    donor_id: UUID,
    *,
    year: Annotated[Year, Query(description="Of the receipts.")],
    turnover_cents: Annotated[Cents, Query(description="Of the donor, without tax; asked for and not kept.")],
) -> ReductionOut:
    """Work out, for information, what the receipts of a year may take off your tax."""
    require_speaker(work.caller, donor_id, deed="the donor works out its own tax")
    law = get_law(year)
    given_cents = await sum_given_cents(work, donor_id, year=year)
    reduction = compute_reduction(law, given_cents=given_cents, turnover_cents=turnover_cents)
    return ReductionOut(year=year, source=law.source, estimate=True, **vars(reduction))


def _is_concerned(caller: Caller, row: Row[Any]) -> bool:
    return sees_everything(caller) or speaks_for(caller, row.association_id) or speaks_for(caller, row.contributor_id)


async def _written(work: Work, mission_id: UUID, outcome: Outcome) -> ValuationWritten:
    shaped = await _shape(work, await store.get_valued_mission(work, mission_id))
    return ValuationWritten(**shaped.model_dump(), outcome=outcome)


async def _shape(work: Work, row: Row[Any]) -> ValuationOut:
    versions = await store.list_version_rows(work, row.mission_id)
    if not versions:
        raise NotFound(f"Mission {row.mission_id} is not valued, and nobody but its donor may.")
    return _shape_versions(work.caller, row, versions)


def _shape_versions(caller: Caller, row: Row[Any], versions: Sequence[Row[Any]]) -> ValuationOut:
    shared = sees_everything(caller) and row.share_with_town
    costs = speaks_for(caller, row.contributor_id) or shared
    figures = costs or speaks_for(caller, row.association_id)
    return ValuationOut.of(row, list(versions), figures=figures, costs=costs)

"""Pledges of companies and citizens."""

from typing import Annotated
from uuid import UUID

from fastapi import Path, Response

from kernel.auth import TOWN, Role
from kernel.paging import OnePage, Page, fetch_page
from kernel.routing import InWork, allow, make_router
from services.credits.domain.campaigns import Outcome
from services.credits.routes.access import CONCERNED, only_own
from services.credits.routes.approvals import WAITS, answer_waiting
from services.credits.schemas.campaigns import PledgeBody, PledgeOut, PledgeWritten, WithdrawalBody
from services.credits.schemas.fields import Ref
from services.credits.store import campaigns as store
from services.credits.tables import pledge
from services.credits.use_cases import pledges as use_cases
from services.credits.use_cases.approvals import check_withdrawal
from services.credits.use_cases.safeguards import hold_allowance

router = make_router("credits")
CONTRIBUTORS = (*TOWN, Role.COMPANY, Role.VOLUNTEER)


@router.put(
    "/campaigns/{id}/pledges/refs/{ref}",
    responses={201: {"model": PledgeWritten, "description": "It was not there before."}},
    **allow("credits:write", *CONTRIBUTORS),
)
async def put_pledge(
    work: InWork, id: UUID, ref: Annotated[Ref, Path(description="Your own key for it.")], body: PledgeBody, response: Response
) -> PledgeWritten:
    """Promise hours under your own key: more adds to the pool, fewer takes back what it still holds, the same changes nothing."""
    await hold_allowance(work, id)
    found, outcome = await use_cases.pledge_hours(
        work, id, ref=ref, contributor_id=body.contributor_id, minutes=body.minutes, note=body.note
    )
    response.status_code = 201 if outcome == Outcome.CREATED else 200
    response.headers["ETag"] = f'"{found.version}"'
    row = await store.get_pledge_row(work, found.id)
    return PledgeWritten.model_validate({**row._mapping, "outcome": outcome})


@router.get("/campaigns/{id}/pledges", **allow("credits:read", *CONCERNED))
async def get_pledges(work: InWork, id: UUID, page: OnePage) -> Page[PledgeOut]:
    """List the pledges; contributors see their own."""
    await store.get_campaign(work, id)
    query = only_own(store.select_pledges().where(pledge.c.campaign_id == id), work.caller, pledge.c.contributor_id)
    return await fetch_page(work, query, by=pledge.c.id, page=page, shape=PledgeOut.of)


@router.post(
    "/pledges/{id}/withdrawals",
    status_code=201,
    response_model=PledgeOut,
    responses=WAITS,
    **allow("credits:write", *CONTRIBUTORS),
)
async def post_withdrawal(work: InWork, id: UUID, body: WithdrawalBody, response: Response) -> PledgeOut | Response:
    """Take back part of a pledge, as far as the pool holds it and no mission counts on it."""
    if (waiting := await check_withdrawal(work, id, minutes=body.minutes, reason=body.reason)) is not None:
        return answer_waiting(work, waiting)
    found = await use_cases.withdraw_pledge(work, id, minutes=body.minutes, reason=body.reason)
    response.headers["ETag"] = f'"{found.version}"'
    return PledgeOut.of(await store.get_pledge_row(work, id))

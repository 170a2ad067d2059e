"""Pledges of companies and citizens. Promises are taken many callers in one transaction (use_cases/combiner.py)."""

from dataclasses import asdict
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path, Request, Response

from kernel.auth import TOWN, Role
from kernel.paging import OnePage, Page, fetch_page
from kernel.routing import ByCaller, InWork, OwnWork, SharingRoute, allow, make_router
from services.credits.domain.campaigns import Outcome, Promise
from services.credits.routes.access import CONCERNED, only_own
from services.credits.routes.approvals import WAITS, answer_waiting
from services.credits.schemas.campaigns import PledgeBody, PledgeOut, PledgeWritten, WithdrawalBody
from services.credits.schemas.fields import Ref
from services.credits.store import campaigns as store
from services.credits.tables import pledge
from services.credits.use_cases import pledges as use_cases
from services.credits.use_cases.approvals import check_withdrawal
from services.credits.use_cases.combiner import Apart, Combiner
from services.credits.use_cases.pledges import Answer

router = make_router("credits")
together = make_router("credits", route_class=SharingRoute)
CONTRIBUTORS = (*TOWN, Role.COMPANY, Role.VOLUNTEER)


async def _promises(request: Request, work: OwnWork) -> Combiner[Promise, Answer] | Apart[Promise, Answer]:
    combiner: Combiner[Promise, Answer] = request.app.state.promises
    return combiner if work is None else Apart(work, use_cases.answer_promise)


Promises = Annotated[Combiner[Promise, Answer] | Apart[Promise, Answer], Depends(_promises)]


@together.put(
    "/campaigns/{id}/pledges/refs/{ref}",
    responses={201: {"model": PledgeWritten, "description": "It was not there before."}},
    **allow("credits:write", *CONTRIBUTORS),
)
async def put_pledge(
    caller: ByCaller,
    promises: Promises,
    *,
    id: UUID,
    ref: Annotated[Ref, Path(description="Your own key for it.")],
    body: PledgeBody,
    response: Response,
) -> PledgeWritten:
    """Promise hours under your own key: more adds to the pool, fewer takes back what it still holds, the same changes nothing."""
    answer = await promises.submit(caller, Promise(id, ref, body.contributor_id, body.minutes, body.note))
    response.status_code = 201 if answer.outcome == Outcome.CREATED else 200
    response.headers["ETag"] = f'"{answer.pledge.version}"'
    return PledgeWritten(
        **asdict(answer.pledge),
        contributor_name=answer.contributor_name,
        contributor_kind=answer.contributor_kind,
        outcome=answer.outcome,
    )


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

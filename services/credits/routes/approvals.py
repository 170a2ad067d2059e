"""What waits for a second person: proposed by one, decided by another."""

from typing import Any
from uuid import UUID

from fastapi.responses import JSONResponse

from kernel.auth import TOWN, Role
from kernel.paging import OnePage, Page, fetch_page
from kernel.routing import InWork, allow, make_router
from kernel.work import Work
from services.credits.domain.approvals import ApprovalRequest, ApprovalState, DecisionOutcome
from services.credits.schemas.approvals import ApprovalOut, DecisionBody, ProposalBody
from services.credits.schemas.fields import ReasonBody
from services.credits.store import approvals as store
from services.credits.tables import approval_request
from services.credits.use_cases import approvals as use_cases

router = make_router("credits")

# What a write route says of itself when it may wait for a second person.
WAITS: dict[int | str, dict[str, Any]] = {
    202: {"model": ApprovalOut, "description": "Nothing is done yet: it waits for a second person (`Location`)."}
}


def answer_waiting(work: Work, request: ApprovalRequest) -> JSONResponse:
    """202 with the request, and where to follow it."""
    shape = ApprovalOut.of(request, now=work.now).model_dump(mode="json")
    where = f"/v1/territories/{work.territory}/approvals/{request.id}"
    return JSONResponse(shape, status_code=202, headers={"location": where})


@router.get("/approvals", **allow("credits:read", *TOWN, Role.AUDITOR))
async def get_approvals(
    work: InWork, page: OnePage, *, campaign_id: UUID | None = None, state: ApprovalState | None = None
) -> Page[ApprovalOut]:
    """List what was proposed, the oldest first."""
    query = store.select_requests(now=work.now, campaign_id=campaign_id, state=state)
    return await fetch_page(
        work, query, by=approval_request.c.id, page=page, shape=lambda row: ApprovalOut.of(store.request_of(row), now=work.now)
    )


@router.get("/approvals/{id}", **allow("credits:read", *TOWN, Role.AUDITOR))
async def get_approval(work: InWork, id: UUID) -> ApprovalOut:
    """Read a request: what will be done, who proposed it and why, and what came of it."""
    return ApprovalOut.of(await store.get_request(work, id), now=work.now)


@router.post("/approvals", status_code=201, **allow("credits:write", Role.OFFICER))
async def post_approval(work: InWork, body: ProposalBody) -> ApprovalOut:
    """Ask for a second person, also where the campaign would let one alone do it."""
    request = await use_cases.propose_operation(work, body.wanted.operation(), reason=body.reason)
    return ApprovalOut.of(request, now=work.now)


@router.post("/approvals/{id}/decision", **allow("credits:write", Role.OFFICER))
async def post_decision(work: InWork, id: UUID, body: DecisionBody) -> ApprovalOut:
    """Approve or decline what another person proposed; an approval does it, checked against the ledger anew."""
    request = await use_cases.decide_request(work, id, outcome=DecisionOutcome(body.outcome), reason=body.reason)
    return ApprovalOut.of(request, now=work.now)


@router.post("/approvals/{id}/withdrawal", **allow("credits:write", *TOWN))
async def post_request_withdrawal(work: InWork, id: UUID, body: ReasonBody) -> ApprovalOut:
    """Take back what you proposed."""
    return ApprovalOut.of(await use_cases.withdraw_request(work, id, reason=body.reason), now=work.now)

"""Grants: computed, then signed by the officer."""

from uuid import UUID

from fastapi import Response

from kernel.auth import EVERYONE, TOWN, Role
from kernel.paging import OnePage, Page, fetch_page
from kernel.routing import InWork, allow, make_router
from kernel.work import Work
from services.credits.domain.approvals import SigningOfGrants
from services.credits.domain.grants import Adjustment, digest_computation
from services.credits.routes.approvals import WAITS, answer_waiting
from services.credits.schemas.grants import GrantLineOut, GrantOut, GrantProposalOut, GrantsOut, SignatureBody, SignatureOut
from services.credits.store import campaigns, registry
from services.credits.store import grants as store
from services.credits.tables import signed_grant
from services.credits.use_cases import grants as use_cases
from services.credits.use_cases.approvals import check_safeguards

router = make_router("credits")


async def _shape(work: Work, campaign_id: UUID, proposal_id: UUID) -> GrantProposalOut:
    campaign = await campaigns.get_campaign(work, campaign_id)
    row = await store.get_proposal_row(work, campaign_id, proposal_id)
    computed = await store.get_computation(work, campaign_id, proposal_id, campaign=campaign)
    actors = await registry.find_actors(work, [line.seat.association_id for line in computed.lines])
    names = {actor.id: actor.name for actor in actors.values()}
    lines = [GrantLineOut.of(line, computed=computed, name=names.get(line.seat.association_id)) for line in computed.lines]
    more = {
        "signed": await store.is_signed(work, proposal_id),
        "digest": digest_computation(computed, campaign_id=campaign_id, proposal_id=proposal_id),
        "signature": SignatureOut.of(await store.find_signature(work, proposal_id)),
        "lines": lines,
    }
    return GrantProposalOut.model_validate({**row._mapping, **more})


@router.post("/campaigns/{id}/grant-proposals", status_code=201, **allow("credits:write", *TOWN))
async def post_proposal(work: InWork, id: UUID) -> GrantProposalOut:
    """Compute every association's grant from panel and pool; kept with its inputs, nothing is posted."""
    return await _shape(work, id, await use_cases.propose_grants(work, id))


@router.get("/campaigns/{id}/grant-proposals/{proposal_id}", **allow("credits:read", *EVERYONE))
async def get_proposal(work: InWork, id: UUID, proposal_id: UUID) -> GrantProposalOut:
    """Read a computation: each figure with its inputs and a sentence that explains it."""
    return await _shape(work, id, proposal_id)


@router.post(
    "/campaigns/{id}/grants",
    status_code=201,
    response_model=GrantsOut,
    responses=WAITS,
    **allow("credits:write", Role.OFFICER),
)
async def post_grants(work: InWork, id: UUID, body: SignatureBody) -> GrantsOut | Response:
    """Sign a proposal, adjusted where a reason is given: all grants are posted together, or wait for a second officer."""
    await use_cases.require_computation(work, id, body.proposal_id, digest=body.digest)
    adjustments = tuple(Adjustment(item.association_id, item.minutes, item.reason) for item in body.adjustments)
    signing = SigningOfGrants(body.proposal_id, adjustments, body.expires_on)
    if (waiting := await check_safeguards(work, signing, reason=body.reason)) is not None:
        return answer_waiting(work, waiting)
    await use_cases.sign_grants(work, id, proposal_id=body.proposal_id, adjustments=adjustments, expires_on=body.expires_on)
    signature = await store.find_signature(work, body.proposal_id)
    return GrantsOut.of(body.proposal_id, await store.list_grants(work, body.proposal_id), signature=signature)


@router.get("/campaigns/{id}/grants", **allow("credits:read", *EVERYONE))
async def get_grants(work: InWork, id: UUID, page: OnePage) -> Page[GrantOut]:
    """List the signed grants."""
    await campaigns.get_campaign(work, id)
    return await fetch_page(work, store.select_grants(id), by=signed_grant.c.id, page=page, shape=GrantOut.of)

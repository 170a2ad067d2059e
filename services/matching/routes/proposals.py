"""Candidates and proposals over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from kernel.auth import TOWN, Role
from kernel.routing import InWork, allow, make_router
from services.matching.routes.shared import set_etag
from services.matching.schemas.missions import MissionOut
from services.matching.schemas.proposals import (
    CandidateOut,
    CandidatesOut,
    NeedCandidateOut,
    NeedCandidatesOut,
    ProposalBody,
    ProposalsBody,
    ProposalsOut,
    ProposedOut,
    UnfitOut,
    UnservedOut,
    explain,
)
from services.matching.store.weights import get_weights, read_weights
from services.matching.use_cases import candidates
from services.matching.use_cases import proposals as use_cases

router = make_router("proposals")
Limit = Annotated[int, Query(ge=1, le=200)]


@router.get("/needs/{need_id}/candidates", **allow("matching:read", Role.ASSOCIATION, *TOWN))
async def list_candidates(work: InWork, need_id: UUID, limit: Limit = 50) -> CandidatesOut:
    """List the open offers that fit a need best, with score and reasons, and some that do not, with why not."""
    found = await candidates.list_candidates(work, need_id, limit=limit)
    return CandidatesOut(
        need_id=need_id,
        explanation=explain(found.surroundings.weights),
        candidates=[CandidateOut.of(fit) for fit in found.fitting],
        unfit=[UnfitOut.of(fit) for fit in found.misses[:limit]],
        unfit_offers=len(found.misses),
    )


@router.get("/offers/{offer_id}/candidates", **allow("matching:read", Role.VOLUNTEER, *TOWN))
async def list_needs_for(work: InWork, offer_id: UUID, limit: Limit = 50) -> NeedCandidatesOut:
    """List the open needs that an offer fits best, with score and reasons."""
    found = await candidates.list_needs_for(work, offer_id, limit=limit)
    return NeedCandidatesOut(
        offer_id=offer_id,
        explanation=explain(found.surroundings.weights),
        candidates=[NeedCandidateOut.of(fit) for fit in found.fitting],
    )


@router.post("/needs/{need_id}/proposals", status_code=201, **allow("matching:write", Role.ASSOCIATION, Role.VOLUNTEER, *TOWN))
async def propose_mission(work: InWork, need_id: UUID, response: Response, body: ProposalBody | None = None) -> MissionOut:
    """Propose a mission for a need: with the named offer, or with the best one."""
    mission = await use_cases.propose_mission(work, need_id, offer_id=body.offer_id if body else None)
    set_etag(response, mission.version)
    return MissionOut.of(mission, await read_weights(work, mission.weights_version))


@router.post("/proposals", **allow("matching:write", Role.OPERATOR))
async def propose_missions(work: InWork, body: ProposalsBody | None = None) -> ProposalsOut:
    """Propose missions for every open need that has none; says for the others why nothing fits."""
    done = await use_cases.propose_missions(work, campaign_id=body.campaign_id if body else None)
    return ProposalsOut(
        explanation=explain((await get_weights(work)).weights),
        needs=done.needs,
        offers=done.offers,
        proposed=[ProposedOut.of(mission) for mission in done.missions],
        unserved=[UnservedOut.of(unserved) for unserved in done.unserved],
    )

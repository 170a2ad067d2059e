"""Allocation rounds over HTTP: the town's own."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response
from fastapi.responses import HTMLResponse

from kernel.auth import TOWN, Role
from kernel.paging import OnePage, Page, fetch_page
from kernel.routing import InWork, allow, make_router
from kernel.work import Work
from services.matching.domain.rounds import Round
from services.matching.engine.rounds.inputs import decode_inputs, decompress
from services.matching.routes.shared import set_etag
from services.matching.schemas.round_page import PageFacts, build_page
from services.matching.schemas.rounds import (
    ChoiceBody,
    ChoiceOut,
    ChoicesOut,
    ComparisonOut,
    ReleaseBody,
    RoundBody,
    RoundOut,
    RoundProposalOut,
    RoundUnservedOut,
    RoundWithHistoryOut,
    TermsBody,
    TrialBody,
)
from services.matching.schemas.shared import HistoryOut, ReasonBody, history_values
from services.matching.store import round_results, rounds
from services.matching.store.history import list_steps
from services.matching.store.known import find_campaign, list_actors
from services.matching.tables import allocation_round, allocation_round_event, round_proposal, round_unserved
from services.matching.use_cases import round_comparison as comparison
from services.matching.use_cases import round_release as release
from services.matching.use_cases import rounds as use_cases

router = make_router("rounds")
READERS = (*TOWN, Role.AUDITOR)
# The page brings all it needs, and may neither run nor fetch anything.
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@router.post("/rounds", status_code=201, **allow("matching:write", *TOWN))
async def ask_round(work: InWork, body: RoundBody, response: Response) -> RoundOut:
    """Ask for an allocation round: proposals for everything open in a campaign, together. It is computed at once, in turn."""
    asked = await use_cases.ask_round(work, body.campaign_id, _wish(body))
    set_etag(response, asked.version)
    return RoundOut.of(asked)


@router.get("/rounds", **allow("matching:read", *READERS))
async def list_rounds(
    work: InWork, page: OnePage, campaign_id: Annotated[UUID | None, Query(description="Only of this campaign.")] = None
) -> Page[RoundOut]:
    """List the rounds, the oldest first."""
    return await fetch_page(
        work,
        rounds.select_rounds(campaign_id),
        by=allocation_round.c.id,
        page=page,
        shape=lambda row: RoundOut.of(rounds.round_from(row)),
    )


@router.get("/rounds/{round_id}", **allow("matching:read", *READERS))
async def get_round(work: InWork, round_id: UUID, response: Response) -> RoundWithHistoryOut:
    """Read one round: its terms, how far it is, and once it is computed its figures."""
    found = await rounds.get_round(work, round_id)
    set_etag(response, found.version)
    shown = RoundWithHistoryOut.of(found, await _names(work, found))
    steps = history_values(await list_steps(work, allocation_round_event, round_id))
    return RoundWithHistoryOut(**dict(shown) | {"history": [HistoryOut.model_validate(step) for step in steps]})


@router.post("/rounds/{round_id}/stop", **allow("matching:write", *TOWN))
async def stop_round(work: InWork, round_id: UUID, body: ReasonBody) -> RoundOut:
    """Stop a round that waits or is computed. Nothing of it is kept."""
    return RoundOut.of(await use_cases.stop_round(work, round_id, body.reason))


@router.post("/rounds/{round_id}/again", status_code=201, **allow("matching:write", *TOWN))
async def ask_again(work: InWork, round_id: UUID, response: Response, body: TermsBody | None = None) -> RoundOut:
    """Ask for a new round with the terms and choices of this one, on what is open now."""
    asked = await use_cases.ask_again(work, round_id, _wish(body or TermsBody()))
    set_etag(response, asked.version)
    return RoundOut.of(asked)


@router.post("/rounds/{round_id}/trials", status_code=201, **allow("matching:write", *TOWN))
async def try_weights(work: InWork, round_id: UUID, body: TrialBody, response: Response) -> RoundOut:
    """Try other weights on a past round, before they are set: a round to compare with it, which is never released.

    It is computed from the past round's stored inputs (needs, offers, choices, seed, day) with the weights alone replaced.
    """
    trial = await use_cases.try_weights(work, round_id, body.weights(), note=body.note)
    set_etag(response, trial.version)
    return RoundOut.of(trial)


@router.get("/rounds/{round_id}/proposals", **allow("matching:read", *READERS))
async def list_proposals(work: InWork, round_id: UUID, page: OnePage) -> Page[RoundProposalOut]:
    """List what the round proposes, need by need, with points and reasons; once released, what became of each."""
    await rounds.get_round(work, round_id)
    query = round_results.select_proposals(round_id)
    return await fetch_page(work, query, by=round_proposal.c.id, page=page, shape=RoundProposalOut.of)


@router.get("/rounds/{round_id}/unserved", **allow("matching:read", *READERS))
async def list_unserved(work: InWork, round_id: UUID, page: OnePage) -> Page[RoundUnservedOut]:
    """List the needs that the round leaves unserved, wholly or in part, each with why."""
    await rounds.get_round(work, round_id)
    query = round_results.select_unserved(round_id)
    return await fetch_page(work, query, by=round_unserved.c.id, page=page, shape=RoundUnservedOut.of)


@router.get("/rounds/{round_id}/inputs", **allow("matching:read", *READERS))
async def get_inputs(work: InWork, round_id: UUID) -> Response:
    """The round's inputs as canonical JSON, byte by byte what its `inputs_digest` is of: for `metis round replay`."""
    return Response(decompress(await round_results.read_inputs(work, round_id)), media_type="application/json")


@router.get("/rounds/{round_id}/page", response_class=HTMLResponse, **allow("matching:read", *READERS))
async def show_page(work: InWork, round_id: UUID) -> HTMLResponse:
    """The computed round as one French page, whole in itself: map, bars, price of fairness, proposals, unserved needs, rules."""
    found = await rounds.get_round(work, round_id)
    inputs = decode_inputs(decompress(await round_results.read_inputs(work, round_id)))
    campaign = await find_campaign(work, found.campaign_id)
    page = build_page(
        PageFacts(
            round=found,
            campaign_title=campaign.title if campaign else "",
            inputs=inputs,
            proposals=await round_results.list_rows(work, round_results.select_proposals(round_id), by=round_proposal.c.id),
            unserved=await round_results.list_rows(work, round_results.select_unserved(round_id), by=round_unserved.c.id),
            choices=await rounds.list_choices(work, round_id),
            actors=await list_actors(work, {need.association_id for need in inputs.needs}),
        )
    )
    return HTMLResponse(page, headers={"content-security-policy": PAGE_POLICY, "referrer-policy": "no-referrer"})


@router.get("/rounds/{round_id}/choices", **allow("matching:read", *READERS))
async def list_choices(work: InWork, round_id: UUID) -> ChoicesOut:
    """List the pairs that were pinned or excluded."""
    await rounds.get_round(work, round_id)
    return ChoicesOut.of(await rounds.list_choices(work, round_id))


@router.put("/rounds/{round_id}/choices/{need_id}/{offer_id}", **allow("matching:write", *TOWN))
async def choose_pair(work: InWork, round_id: UUID, need_id: UUID, offer_id: UUID, body: ChoiceBody) -> ChoiceOut:
    """Pin a pair (it must be proposed) or exclude it (it must not be), for the round that waits or for the next one."""
    return ChoiceOut.of(await use_cases.choose_pair(work, round_id, need_id, offer_id, kind=body.kind, reason=body.reason))


@router.delete("/rounds/{round_id}/choices/{need_id}/{offer_id}", status_code=204, **allow("matching:write", *TOWN))
async def unchoose_pair(work: InWork, round_id: UUID, need_id: UUID, offer_id: UUID, body: ReasonBody) -> Response:
    """Take a choice back, with the reason."""
    await use_cases.unchoose_pair(work, round_id, need_id, offer_id, reason=body.reason)
    return Response(status_code=204)


@router.get("/rounds/{round_id}/comparison", **allow("matching:read", *READERS))
async def compare_rounds(
    work: InWork, round_id: UUID, with_: Annotated[UUID, Query(alias="with", description="The other round.")]
) -> ComparisonOut:
    """Compare this round with another of its campaign: added, removed and changed proposals, and both rounds' figures."""
    found = await comparison.compare_rounds(work, round_id, other_id=with_)
    return ComparisonOut.of(found, await _names(work, found.one, found.other))


@router.post("/rounds/{round_id}/release", **allow("matching:write", *TOWN))
async def release_round(work: InWork, round_id: UUID, body: ReleaseBody | None = None) -> RoundOut:
    """Release a computed round: its missions are proposed, all in one go; what does not hold any more is left out with why."""
    released = await release.release_round(work, round_id, note=body.note if body else None)
    return RoundOut.of(released, await _names(work, released))


def _wish(body: TermsBody) -> use_cases.RoundWish:
    return use_cases.RoundWish(**{name: getattr(body, name) for name in TermsBody.model_fields})


async def _names(work: Work, *found: Round) -> dict[UUID, str | None]:
    shares = [share for one in found for share in (one.result or {}).get("shares", [])]
    known = await list_actors(work, {UUID(share["association_id"]) for share in shares})
    return {id: actor.name for id, actor in known.items()}

"""Missions are proposed: for one need, or for all open needs together."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from kernel.auth import Role
from kernel.errors import Forbidden
from kernel.events.matching import MissionProposed
from kernel.ids import new_id
from kernel.work import Work
from services.matching.domain.missions import Mission
from services.matching.domain.needs import Need
from services.matching.domain.offers import decide_contributor
from services.matching.domain.refusals import DoesNotFit, NeedIsBusy, NothingFits, TooManyAtOnce, WrongState
from services.matching.domain.shared import check_campaign
from services.matching.domain.states import Deed, MissionState, NeedState, Step
from services.matching.engine.assignment import Unserved, explain, propose
from services.matching.engine.explaining.freezing import Origin, freeze
from services.matching.engine.fit import Fit, assess
from services.matching.engine.gates import ObstacleKind
from services.matching.engine.reasons import describe_obstacle, describe_venue, explain_parts, list_reasons
from services.matching.engine.sentences import write_week
from services.matching.engine.surroundings import Surroundings
from services.matching.store.known import find_campaign, lock_name
from services.matching.store.missions import has_live_or_served_mission, insert_mission
from services.matching.store.needs import lock_need, lock_unserved_needs
from services.matching.store.offers import list_candidates, lock_offer
from services.matching.use_cases.candidates import find_best_offers, find_misses, look_around
from services.matching.use_cases.needs import may_act_for

# A round serves more of them better, fairer, and lets a person look first (docs/adr/0015).
MOST_NEEDS_AT_ONCE = 200
TRIED = 5  # best offers, before nothing fits: each may be changed by somebody while it is chosen


@dataclass(frozen=True)
class Proposed:
    """What a proposal for all open needs came to."""

    missions: tuple[Mission, ...]
    unserved: tuple[Unserved, ...]
    needs: int
    offers: int


async def propose_mission(work: Work, need_id: UUID, *, offer_id: UUID | None) -> Mission:
    """Propose the named offer, or the best one. A person who names an offer may try again what was declined before."""
    await take_turn(work)
    need = await lock_need(work, need_id)
    await _check_may_propose(work, need, offer_id=offer_id)
    check_campaign(await find_campaign(work, need.campaign_id))
    if need.state is not NeedState.OPEN:
        raise WrongState(f"It is {need.state}; missions are proposed for open needs.", state=need.state.value)
    if await has_live_or_served_mission(work, need.id):
        raise NeedIsBusy("A mission is already proposed for this need; decline or cancel it first.")
    surroundings = await look_around(work, [need])
    if offer_id is None:
        best = await _choose_best(work, need, surroundings)
        return await _save_proposal(work, best, surroundings, origin=Origin.BEST)
    fit = await _hold_fit(work, need, offer_id, surroundings)
    if fit is None:
        raise DoesNotFit("This offer is not open, or its volunteer is not an active member.", obstacles=[])
    fit = fit.without(ObstacleKind.TURNED_DOWN)
    if not fit.fits:
        sentences = [describe_obstacle(fit, kind) for kind in fit.obstacles]
        raise DoesNotFit(f"This offer does not fit: {' ; '.join(sentences)}.", obstacles=sentences)
    return await _save_proposal(work, fit, surroundings, origin=Origin.NAMED)


async def _choose_best(work: Work, need: Need, surroundings: Surroundings) -> Fit:
    """The best offer, held until the commit; one that somebody changed since it was found may fit no longer."""
    for found in await find_best_offers(work, need, surroundings, limit=TRIED):
        fit = await _hold_fit(work, need, found.candidate.offer.id, surroundings)
        if fit is not None and fit.fits:
            return fit
    misses = await find_misses(work, need, surroundings)
    why = explain(misses, offers=len(misses))
    raise NothingFits(f"Nothing fits: {' ; '.join(why)}.", why=list(why), offers=len(misses))


async def _hold_fit(work: Work, need: Need, offer_id: UUID, surroundings: Surroundings) -> Fit | None:
    """The fit of one offer as it is now, held until the commit; none where it is not open to be proposed."""
    candidates = await list_candidates(work, only=offer_id, lock=True)
    return assess(need, candidates[0], surroundings) if candidates else None


async def propose_missions(work: Work, *, campaign_id: UUID | None) -> Proposed:
    """Propose for every open need without a live mission; each need gets one mission at most, no offer more than it has."""
    await take_turn(work)
    if campaign_id is not None:
        check_campaign(await find_campaign(work, campaign_id))
    needs = await lock_unserved_needs(work, campaign_id=campaign_id)
    if len(needs) > MOST_NEEDS_AT_ONCE:
        raise TooManyAtOnce(
            f"{len(needs)} needs are open; {MOST_NEEDS_AT_ONCE} at most are proposed at once. Ask for a round (POST /rounds).",
            needs=len(needs),
        )
    candidates = await list_candidates(work, lock=True)
    surroundings = await look_around(work, needs)
    # In a thread: a large town takes seconds, and other requests go on meanwhile.
    plan = await asyncio.to_thread(propose, needs, candidates, surroundings)
    missions = [await _save_proposal(work, fit, surroundings, origin=Origin.TOGETHER) for fit in plan.proposals]
    return Proposed(tuple(missions), plan.unserved, len(needs), len(candidates))


async def take_turn(work: Work) -> None:
    """One proposal at a time in a territory: only proposals take an offer's minutes, so none can be taken twice."""
    await lock_name(work, "proposing")


async def _check_may_propose(work: Work, need: Need, *, offer_id: UUID | None) -> None:
    """The town and the need's association may; a volunteer may with an own offer."""
    if may_act_for(work, need):
        return
    if Role.VOLUNTEER in work.caller.roles and offer_id is not None:
        offer = await lock_offer(work, offer_id)
        work.caller.require_member(offer.volunteer_id)
        return
    raise Forbidden("Propose for your own association's need, or name an offer of your own (`offer_id`).")


async def _save_proposal(work: Work, fit: Fit, surroundings: Surroundings, *, origin: Origin) -> Mission:
    mission = build_mission(fit, origin=origin)
    await insert_mission(work, mission, Step(None, MissionState.PROPOSED, Deed.CREATE, work.caller.identity))
    publish_proposal(work, mission, fit, surroundings)
    return mission


def publish_proposal(work: Work, mission: Mission, fit: Fit, surroundings: Surroundings) -> None:
    event = MissionProposed(
        mission_id=mission.id,
        need_id=mission.need_id,
        offer_id=mission.offer_id,
        campaign_id=mission.campaign_id,
        association_id=mission.association_id,
        volunteer_id=mission.volunteer_id,
        contributor_id=mission.contributor_id,
        company_id=mission.company_id,
        title=mission.title,
        minutes=mission.minutes,
        reasons=list(mission.reasons),
        description=fit.need.facts.description,
        place=describe_venue(fit, surroundings.communes),
        calendar=write_week(fit.common_week),
        starts_on=mission.starts_on,
    )
    work.publish(event, subject=mission.id)


def build_mission(fit: Fit, *, origin: Origin, round: Mapping[str, object] | None = None) -> Mission:
    """`round`: of which round, and how it was asked for, if it is one's."""
    need, offer = fit.need, fit.candidate.offer
    contributor_id, company_id = decide_contributor(offer, employer_id=fit.candidate.employer_id)
    return Mission(
        id=new_id(),
        need_id=need.id,
        offer_id=offer.id,
        campaign_id=need.campaign_id,
        association_id=need.association_id,
        volunteer_id=offer.volunteer_id,
        contributor_id=contributor_id,
        company_id=company_id,
        title=need.facts.title,
        minutes=need.facts.minutes,
        starts_on=fit.first_day,
        ends_on=fit.last_day,
        score=fit.score,
        parts=explain_parts(fit),
        reasons=tuple(list_reasons(fit)),
        weights_version=fit.weights_version,
        explanation=freeze(fit, origin=origin, round=round),
    )

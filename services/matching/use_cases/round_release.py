"""Release a round: all its missions are proposed in one transaction, or none is.

What changed since the round was computed is looked at again by the same gates: what does not hold any more is left out
with its reason, and told. Locks in their order: proposing, round, campaign, needs, offers.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from kernel.work import Work
from services.matching.domain.missions import Mission
from services.matching.domain.needs import Need
from services.matching.domain.offers import Candidate
from services.matching.domain.refusals import PinNotComputed
from services.matching.domain.rounds import Choice, ChoiceKind, Means, Round, RoundProposal, decide_release
from services.matching.domain.shared import check_campaign
from services.matching.domain.states import NeedState
from services.matching.engine.explaining.freezing import Origin
from services.matching.engine.fit import Fit, assess
from services.matching.engine.gates import ObstacleKind
from services.matching.engine.reasons import describe_obstacle
from services.matching.engine.rounds.inputs import decode_inputs, decompress
from services.matching.engine.rounds.pairs import assess_pair
from services.matching.engine.sentences import write_hours
from services.matching.engine.surroundings import Surroundings
from services.matching.store import rounds as store
from services.matching.store.known import find_campaign
from services.matching.store.minutes import measure_means
from services.matching.store.missions import insert_proposed
from services.matching.store.needs import lock_needs
from services.matching.store.offers import list_candidates
from services.matching.store.round_results import Released, insert_released, list_proposals, read_inputs
from services.matching.use_cases.candidates import look_around
from services.matching.use_cases.proposals import build_mission, publish_proposal, take_turn

_NEED_STATES = {
    NeedState.COVERED: "le besoin est couvert depuis",
    NeedState.FULFILLED: "le besoin est satisfait depuis",
    NeedState.WITHDRAWN: "le besoin a été retiré depuis",
    NeedState.EXPIRED: "la date de fin du besoin est passée",
}


@dataclass
class _Now:
    """Everything as it is at the release, and what the missions of this release have taken of it so far."""

    needs: Mapping[UUID, tuple[Need, bool]]
    candidates: Mapping[UUID, Candidate]
    surroundings: Surroundings
    means: Means
    excluded: Mapping[tuple[UUID, UUID], str]
    taken_of_offer: Counter[UUID] = field(default_factory=Counter)
    taken_of_credit: Counter[UUID] = field(default_factory=Counter)
    taken_of_promise: Counter[UUID] = field(default_factory=Counter)

    def judge(self, proposal: RoundProposal) -> Fit | str:
        """The fit as of now, or why the proposal does not hold any more: a French sentence."""
        if (reason := self.excluded.get((proposal.need_id, proposal.offer_id))) is not None:
            return f"paire écartée : {reason}"
        need, served = self.needs[proposal.need_id]
        if need.state is not NeedState.OPEN:
            return _NEED_STATES.get(need.state, "le besoin n'est plus ouvert")
        if served:
            return "une mission est déjà proposée pour ce besoin"
        candidate = self.candidates.get(proposal.offer_id)
        if candidate is None:
            return "l'offre n'est plus ouverte, ou sa personne bénévole n'est plus active"
        free = candidate.remaining_minutes - self.taken_of_offer[proposal.offer_id]
        fit = assess(need, replace(candidate, remaining_minutes=free), self.surroundings)
        if proposal.pinned:
            fit = fit.without(ObstacleKind.TURNED_DOWN)
        if fit.obstacles:
            return " ; ".join(describe_obstacle(fit, kind) for kind in fit.obstacles)
        return self._judge_means(proposal, need.facts.minutes) or fit

    def _judge_means(self, proposal: RoundProposal, minutes: int) -> str | None:
        credit, promise = self.means.credit_of(proposal.association_id), self.means.promise_of(proposal.contributor_id)
        if credit is not None and (left := max(0, credit - self.taken_of_credit[proposal.association_id])) < minutes:
            return f"le crédit de l'association n'y suffit plus : {write_hours(left)} pour {write_hours(minutes)}"
        if promise is not None and (left := max(0, promise - self.taken_of_promise[proposal.contributor_id])) < minutes:
            return f"la promesse du contributeur n'y suffit plus : {write_hours(left)} pour {write_hours(minutes)}"
        return None

    def take(self, proposal: RoundProposal, minutes: int) -> None:
        self.taken_of_offer[proposal.offer_id] += minutes
        self.taken_of_credit[proposal.association_id] += minutes
        self.taken_of_promise[proposal.contributor_id] += minutes


async def release_round(work: Work, round_id: UUID, *, note: str | None) -> Round:
    """Propose the round's missions. Raises RoundIsOver, RoundIsAView, WrongState, PinNotComputed, CampaignNotOpen."""
    await take_turn(work)
    found = await store.lock_round(work, round_id)
    released, step = decide_release(found, who=work.caller.identity, note=note)
    check_campaign(await find_campaign(work, found.campaign_id, hold=True))
    choices = await store.list_choices(work, round_id)
    proposals = await list_proposals(work, round_id)
    _check_pins(choices, proposals)
    now = await _look(work, found, proposals, choices)
    # In a thread: other requests go on meanwhile.
    held, outcome = await asyncio.to_thread(_judge_all, found, proposals, now, await read_inputs(work, round_id))
    missions = [mission for mission, _ in held]
    await insert_proposed(work, missions)
    for mission, fit in held:
        publish_proposal(work, mission, fit, now.surroundings)
    await insert_released(work, round_id, outcome)
    told = {
        "at": work.now.isoformat(),
        "by": work.caller.identity,
        "missions": len(missions),
        "left_out": len(outcome) - len(missions),
    }
    released = replace(released, released=told)
    await store.save_round(work, released, step)
    return released


def _check_pins(choices: Sequence[Choice], proposals: Sequence[RoundProposal]) -> None:
    """Whoever pins a pair wants it in: a round that does not hold it is not what they want to send."""
    held = {(one.need_id, one.offer_id) for one in proposals}
    lacking = [one for one in choices if one.kind is ChoiceKind.PIN and (one.need_id, one.offer_id) not in held]
    if lacking:
        pairs = ", ".join(f"{one.need_id}/{one.offer_id}" for one in lacking)
        raise PinNotComputed(
            f"Pinned since it was computed: {pairs}. Ask for it again (POST /rounds/…/again), or take the pin away.",
            choices=[{"need_id": str(one.need_id), "offer_id": str(one.offer_id)} for one in lacking],
        )


async def _look(work: Work, found: Round, proposals: Sequence[RoundProposal], choices: Sequence[Choice]) -> _Now:
    needs = await lock_needs(work, {one.need_id for one in proposals})
    candidates = await list_candidates(work, only={one.offer_id for one in proposals}, lock=True)
    open_needs = [need for need, _ in needs.values()]
    return _Now(
        needs=needs,
        candidates={candidate.offer.id: candidate for candidate in candidates},
        surroundings=await look_around(work, open_needs, weights_version=found.terms.weights_version),
        means=await measure_means(work, found.campaign_id),
        excluded={(one.need_id, one.offer_id): one.reason for one in choices if one.kind is ChoiceKind.EXCLUDE},
    )


class _Then:
    """The round as it was computed: the fits that decided, read from its stored inputs."""

    def __init__(self, stored_inputs: bytes) -> None:
        self._inputs = decode_inputs(decompress(stored_inputs))
        self._needs = {need.id: need for need in self._inputs.needs}
        self._candidates = {candidate.offer.id: candidate for candidate in self._inputs.candidates}

    def fit_of(self, proposal: RoundProposal) -> Fit:
        need, candidate = self._needs[proposal.need_id], self._candidates[proposal.offer_id]
        return assess_pair(need, candidate, self._inputs, pinned=proposal.pinned)


def _judge_all(
    found: Round, proposals: Sequence[RoundProposal], now: _Now, stored_inputs: bytes
) -> tuple[list[tuple[Mission, Fit]], list[Released]]:
    held, outcome, then = [], [], _Then(stored_inputs)
    for proposal in proposals:
        fit = now.judge(proposal)
        if isinstance(fit, str):
            outcome.append(Released(proposal.id, left_out=fit))
            continue
        mission = _build(found, proposal, fit, then)
        now.take(proposal, mission.minutes)
        held.append((mission, fit))
        outcome.append(Released(proposal.id, mission_id=mission.id))
    return held, outcome


def _build(found: Round, proposal: RoundProposal, fit: Fit, then: _Then) -> Mission:
    """The mission, its score and its record with the measures that decided; with those of now where need or offer were
    edited since. The days are those that are left."""
    told = fit
    if (fit.need.version, fit.candidate.offer.version) == (proposal.need_version, proposal.offer_version):
        decided = then.fit_of(proposal)
        told = replace(
            fit,
            candidate=replace(decided.candidate, offer=fit.candidate.offer, employer_id=fit.candidate.employer_id),
            first_day=decided.first_day,
            last_day=decided.last_day,
            common_week=decided.common_week,
            measures=decided.measures,
        )
    mission = build_mission(told, origin=Origin.ROUND, round=_tell(found, proposal))
    return replace(mission, starts_on=fit.first_day, ends_on=fit.last_day)


def _tell(found: Round, proposal: RoundProposal) -> dict[str, object]:
    """What the record of the mission says of its round."""
    return {
        "id": found.id,
        "fairness_permille": found.terms.fairness_permille,
        "seed": found.terms.seed,
        "inputs_digest": found.inputs_digest,
        "proposals_digest": found.proposals_digest,
        "asked_at": found.asked_at,
        "pinned": proposal.pinned,
    }

"""One round, from its inputs to its proposals. Imports numpy and the solvers: for a process of its own."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from time import perf_counter
from typing import Any
from uuid import UUID

from services.matching.domain.offers import Candidate, decide_contributor
from services.matching.domain.rounds import LEAST_PART_MINUTES, RoundProposal, RoundUnserved
from services.matching.engine.allocation.fairness import FairnessRow, fairness_table
from services.matching.engine.allocation.faults import BadRoundInput, InfeasiblePins, SolverFailed
from services.matching.engine.allocation.model import (
    Association,
    Company,
    Exclusion,
    Hurdle,
    Method,
    NeedRow,
    Pair,
    Pin,
    RoundInput,
    RoundParameters,
    RoundResult,
    UnservedNeed,
    Volunteer,
    build_round_input,
)
from services.matching.engine.allocation.rounds import allocate
from services.matching.engine.assignment import WHY_NOT
from services.matching.engine.gates import ObstacleKind
from services.matching.engine.reasons import explain_parts, list_reasons
from services.matching.engine.rounds.faults import RoundCannotBe
from services.matching.engine.rounds.greedy import serve_greedily
from services.matching.engine.rounds.inputs import CampaignInputs
from services.matching.engine.rounds.pairs import OnProgress, ScoredPairs, assess_pair, check_pins, score_pairs
from services.matching.engine.sentences import count, write_hours

# Above, the table of sliders is made by flow and repair: seven exact rounds would take minutes.
EXACT_TABLE_NEEDS = 150
_NO_ID = UUID(int=0)


@dataclass(frozen=True)
class Computed:
    """`proposals` and `unserved` sorted by need, without ids of their own (`_NO_ID`). `facts`: figures to be stored."""

    proposals: tuple[RoundProposal, ...]
    unserved: tuple[RoundUnserved, ...]
    proposals_digest: str
    facts: Mapping[str, Any]


def compute_round(inputs: CampaignInputs, *, on_progress: OnProgress = lambda *_: None, compare: bool = True) -> Computed:
    """The round's proposals, and with `compare` what others would have given. Raises RoundCannotBe."""
    seconds: dict[str, float] = {}
    started = perf_counter()
    check_pins(inputs)
    scored = score_pairs(inputs, on_progress=on_progress)
    seconds["score"] = perf_counter() - started
    data = build_tables(inputs, scored)
    parameters = build_parameters(inputs)
    result = _allocate(data, parameters, on_progress)
    seconds |= result.seconds
    facts = _tell_facts(inputs, scored, result)
    if compare:
        started = perf_counter()
        facts |= _compare(data, parameters, result, on_progress)
        seconds["compare"] = perf_counter() - started
    facts["seconds"] = {phase: round(spent, 4) for phase, spent in seconds.items()}
    on_progress("tell", 0, 0)
    return Computed(_tell_proposals(inputs, result), _tell_unserved(inputs, scored, result), result.proposals_digest, facts)


def build_parameters(inputs: CampaignInputs) -> RoundParameters:
    terms = inputs.terms
    return RoundParameters(seed=terms.seed, fairness=terms.fairness_permille / 1000, served_points=terms.served_points)


def build_tables(inputs: CampaignInputs, scored: ScoredPairs) -> RoundInput:
    """Volunteers of the tables are offers. A contributor (company or citizen) bounds them where its promise is known; an
    association's target is what it asks for, as far as its credit reaches."""
    contributors = {one.offer.id: decide_contributor(one.offer, employer_id=one.employer_id)[0] for one in inputs.candidates}
    known = inputs.means.known
    companies = {id: inputs.means.promise_of(id) or 0 for id in contributors.values()} if known else {}
    asked: dict[UUID, int] = {}
    for need in inputs.needs:
        asked[need.association_id] = asked.get(need.association_id, 0) + need.facts.minutes
    credit = {id: inputs.means.credit_of(id) if known else None for id in asked}
    return build_round_input(
        companies=[Company(str(id), minutes) for id, minutes in companies.items()],
        volunteers=[
            Volunteer(str(one.offer.id), max(0, one.remaining_minutes), str(contributors[one.offer.id]) if known else None)
            for one in inputs.candidates
        ],
        associations=[
            Association(str(id), minutes if (may := credit[id]) is None else may, minutes if may is None else min(may, minutes))
            for id, minutes in asked.items()
        ],
        needs=[
            NeedRow(
                str(need.id), str(need.association_id), need.facts.minutes, None if inputs.terms.whole else LEAST_PART_MINUTES
            )
            for need in inputs.needs
        ],
        pairs=[Pair(str(need_id), str(offer_id), points) for need_id, offer_id, points in scored.pairs],
        pins=[Pin(str(need_id), str(offer_id)) for need_id, offer_id in sorted(inputs.pins)],
        exclusions=[Exclusion(str(need_id), str(offer_id)) for need_id, offer_id in sorted(inputs.exclusions)],
    )


def _allocate(data: RoundInput, parameters: RoundParameters, on_progress: OnProgress) -> RoundResult:
    try:
        return allocate(data, parameters, on_progress=on_progress)
    except InfeasiblePins as error:
        told = " ; ".join(error.conflicts)
        raise RoundCannotBe(
            f"Les paires imposées ne tiennent pas ensemble ({told}). Retirez-en, ou ajoutez du crédit ou des heures, puis "
            "refaites le calcul."
        ) from error
    except (BadRoundInput, SolverFailed) as error:
        raise RoundCannotBe(f"Le calcul n'est pas possible avec ces données : {error}. Signalez-le.") from error


def _tell_facts(inputs: CampaignInputs, scored: ScoredPairs, result: RoundResult) -> dict[str, Any]:
    known = inputs.means.known
    shares = [
        {
            "association_id": share.association_id,
            "credit_minutes": share.credit_minutes if known else None,
            "target_minutes": share.target_minutes,
            "asked_minutes": share.asked_minutes,
            "served_minutes": share.served_minutes,
            "reachable": share.reachable,
        }
        for share in result.shares
    ]
    return {
        "needs": len(inputs.needs),
        "offers": len(inputs.candidates),
        "pairs": len(scored.pairs),
        "pairs_left_out": scored.left_out,
        "figures": asdict(result.figures),
        "shares": shares,
        "method": str(result.method),
        "solver": result.solver,
        "tables_digest": result.inputs_digest,
        "replayable": result.replayable,
        "notes": list(result.notes),
        "means_known": known,
        "referential_version": inputs.surroundings.referential.version,
    }


def _compare(data: RoundInput, parameters: RoundParameters, result: RoundResult, on_progress: OnProgress) -> dict[str, Any]:
    """The price of fairness by slider, and what the plain way would have given."""
    on_progress("compare", 0, 0)
    exact = result.method is not Method.SLOTS or len(data.need_ids) <= EXACT_TABLE_NEEDS
    chosen = parameters if exact else replace(parameters, method=Method.REPAIR)
    rows = fairness_table(data, chosen, on_progress=on_progress)
    greedy = serve_greedily(data)
    best = rows[0].score + _score_pins(data, result)
    return {
        "fairness_method": str(result.method if exact else Method.REPAIR),
        "fairness": [_round_row(row) for row in rows],
        "greedy": asdict(greedy) | {"gap": round((best - greedy.score) / best, 6) if best else 0.0},
    }


def _score_pins(data: RoundInput, result: RoundResult) -> int:
    return sum(one.minutes * one.points for one in result.proposals if one.pinned)


def _round_row(row: FairnessRow) -> dict[str, Any]:
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in asdict(row).items()}


def _tell_proposals(inputs: CampaignInputs, result: RoundResult) -> tuple[RoundProposal, ...]:
    needs = {str(need.id): need for need in inputs.needs}
    candidates: dict[str, Candidate] = {str(candidate.offer.id): candidate for candidate in inputs.candidates}
    told = []
    for one in result.proposals:
        need, candidate = needs[one.need_id], candidates[one.volunteer_id]
        fit = assess_pair(need, candidate, inputs, pinned=one.pinned)
        told.append(
            RoundProposal(
                id=_NO_ID,
                need_id=need.id,
                offer_id=candidate.offer.id,
                association_id=need.association_id,
                contributor_id=decide_contributor(candidate.offer, employer_id=candidate.employer_id)[0],
                need_version=need.version,
                offer_version=candidate.offer.version,
                minutes=one.minutes,
                points=one.points,
                parts=explain_parts(fit),
                reasons=tuple(list_reasons(fit)),
                pinned=one.pinned,
            )
        )
    return tuple(told)


def _tell_unserved(inputs: CampaignInputs, scored: ScoredPairs, result: RoundResult) -> tuple[RoundUnserved, ...]:
    needs = {str(need.id): need for need in inputs.needs}
    told = []
    for one in result.unserved:
        need = needs[one.need_id]
        credit = inputs.means.credit_of(need.association_id)
        why = (*_say_hurdles(one, credit=credit), *_say_obstacles(scored.obstacles[need.id], offers=len(inputs.candidates)))
        told.append(RoundUnserved(_NO_ID, need.id, need.association_id, one.missing_minutes, scored.fitting[need.id], why))
    return tuple(told)


_HURDLES = {
    Hurdle.COMPANY_SPENT: "ce que leur contributeur a promis est épuisé",
    Hurdle.VOLUNTEER_TAKEN: "d'autres besoins ont pris leurs heures",
    Hurdle.TOO_SMALL_A_PART: "il ne reste du besoin qu'une part trop petite",
    Hurdle.WORTH_LESS: "servir d'autres besoins l'emportait, en points ou en équité",
}


def _say_hurdles(one: UnservedNeed, *, credit: int | None) -> Iterable[str]:
    """What held up the offers that fit: the association's credit, or their minutes."""
    hurdles = dict(one.hurdles)
    if hurdles.pop(Hurdle.CREDIT_SPENT, 0):
        held = "" if credit is None else f" ({write_hours(credit)} à dépenser, pour tous ses besoins)"
        yield f"le crédit de l'association n'y suffit plus{held}"
    for hurdle, number in sorted(hurdles.items(), key=lambda item: -item[1]):
        yield f"{count(number, 'offre convient', 'offres conviennent')}, mais {_HURDLES[hurdle]}"


def _say_obstacles(obstacles: Mapping[ObstacleKind, int], *, offers: int) -> Iterable[str]:
    """How many offers each gate blocked first; those without a common skill last."""
    if not offers:
        yield "aucune offre ouverte"
    for kind, number in sorted(obstacles.items(), key=lambda item: (item[0] is ObstacleKind.SKILLS, -item[1], item[0])):
        yield f"{count(number, 'offre')} : {WHY_NOT[kind]}"

"""Which offers can serve which needs of a round, and with how many points: the engine's own gates and score."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from uuid import UUID

from services.matching.domain.needs import Need
from services.matching.domain.offers import Candidate
from services.matching.domain.rounds import LEAST_PART_MINUTES, RoundTerms
from services.matching.engine.comparison import find_key, list_near_keys
from services.matching.engine.fit import Fit, assess
from services.matching.engine.gates import ObstacleKind
from services.matching.engine.reasons import describe_obstacle
from services.matching.engine.rounds.faults import RoundCannotBe
from services.matching.engine.rounds.inputs import CampaignInputs

OnProgress = Callable[[str, int, int], None]
"""Called with a phase's name, how much of it is done, and of how much (0: unknown)."""
_TOLD_EVERY = 20  # needs


@dataclass
class ScoredPairs:
    """`pairs`: (need, offer, points). `obstacles`: by need how many offers each gate blocked first; `fitting`: how many
    fitted; `left_out`: fitting pairs beyond the best so many of their need."""

    pairs: list[tuple[UUID, UUID, int]] = field(default_factory=list)
    obstacles: dict[UUID, Counter[ObstacleKind]] = field(default_factory=dict)
    fitting: dict[UUID, int] = field(default_factory=dict)
    left_out: int = 0


def score_pairs(inputs: CampaignInputs, *, on_progress: OnProgress) -> ScoredPairs:
    """All pairs that pass the gates, each need's best `most_candidates`. Raises RoundCannotBe for pins that do not pass."""
    by_key = _index_offers(inputs)
    pinned = defaultdict(set)
    for need_id, offer_id in inputs.pins:
        pinned[need_id].add(offer_id)
    scored = ScoredPairs()
    for number, need in enumerate(inputs.needs):
        if number % _TOLD_EVERY == 0:
            on_progress("score", number, len(inputs.needs))
        _score_need(need, inputs, _find_sharing(need, inputs, by_key), pinned[need.id], scored)
    return scored


def assess_pair(need: Need, candidate: Candidate, inputs: CampaignInputs, *, pinned: bool) -> Fit:
    """The fit as this round sees it: a person who pins may try again what was turned down, and a view shares needs."""
    fit = assess(need, candidate, inputs.surroundings)
    if pinned:
        fit = fit.without(ObstacleKind.TURNED_DOWN)
    if not inputs.terms.whole and candidate.remaining_minutes >= min(LEAST_PART_MINUTES, need.facts.minutes):
        fit = fit.without(ObstacleKind.MINUTES)
    return fit


def check_pins(inputs: CampaignInputs) -> None:
    """Raises RoundCannotBe with every pin that cannot hold, each with its gate."""
    needs = {need.id: need for need in inputs.needs}
    candidates = {candidate.offer.id: candidate for candidate in inputs.candidates}
    faults = []
    for need_id, offer_id in sorted(inputs.pins):
        named = f"Paire imposée, besoin {need_id} et offre {offer_id} : "
        if need_id not in needs:
            faults.append(f"{named}ce besoin n'est pas (ou plus) ouvert et sans mission.")
        elif offer_id not in candidates:
            faults.append(f"{named}cette offre n'est pas (ou plus) ouverte, ou n'a plus d'heures.")
        else:
            fit = assess_pair(needs[need_id], candidates[offer_id], inputs, pinned=True)
            faults += [f"{named}{describe_obstacle(fit, kind)}." for kind in fit.obstacles]
    if faults:
        raise RoundCannotBe(" ".join(faults) + " Retirez ces choix, ou corrigez besoin et offre, puis refaites le calcul.")


def _index_offers(inputs: CampaignInputs) -> dict[str, dict[UUID, Candidate]]:
    by_key: dict[str, dict[UUID, Candidate]] = defaultdict(dict)
    for candidate in inputs.candidates:
        for skill in candidate.offer.facts.skills:
            by_key[find_key(skill, inputs.surroundings.referential)][candidate.offer.id] = candidate
    return by_key


def _find_sharing(need: Need, inputs: CampaignInputs, by_key: dict[str, dict[UUID, Candidate]]) -> dict[UUID, Candidate]:
    """The offers with a wanted skill, or one near it: all others fail on skills."""
    around = inputs.surroundings
    sharing: dict[UUID, Candidate] = {}
    for skill in need.facts.skills:
        key = find_key(skill, around.referential)
        for wanted in (key, *list_near_keys(key, around.referential, from_percent=around.weights.near_from_percent)):
            sharing |= by_key.get(wanted, {})
    return sharing


def _score_need(
    need: Need, inputs: CampaignInputs, sharing: dict[UUID, Candidate], pinned: Collection[UUID], scored: ScoredPairs
) -> None:
    obstacles: Counter[ObstacleKind] = Counter()
    fitting: list[tuple[int, UUID]] = []
    for offer_id, candidate in sharing.items():
        fit = assess_pair(need, candidate, inputs, pinned=offer_id in pinned)
        if fit.fits:
            fitting.append((fit.score, offer_id))
        else:
            obstacles[fit.obstacles[0]] += 1
    obstacles[ObstacleKind.SKILLS] += len(inputs.candidates) - len(sharing)
    scored.obstacles[need.id], scored.fitting[need.id] = +obstacles, len(fitting)
    best = _keep_best(need, fitting, pinned, inputs.terms)
    scored.left_out += len(fitting) - len(best)
    scored.pairs += [(need.id, offer_id, points) for points, offer_id in best]


def _keep_best(
    need: Need, fitting: list[tuple[int, UUID]], pinned: Collection[UUID], terms: RoundTerms
) -> list[tuple[int, UUID]]:
    """Pinned ones, then the most points; between equals a draw by the seed, not the age of the offer."""
    if len(fitting) <= terms.most_candidates:
        return sorted(fitting, key=lambda one: one[1])
    ranked = sorted(fitting, key=lambda one: (one[1] not in pinned, -one[0], draw(f"{terms.seed}:{need.id}:{one[1]}"), one[1]))
    return sorted(ranked[: terms.most_candidates], key=lambda one: one[1])


def draw(text: str) -> bytes:
    """Anybody with the ids and the seed gets the same."""
    return hashlib.blake2b(text.encode(), digest_size=8).digest()

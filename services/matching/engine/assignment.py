"""Which offer to propose for which need, for all open needs together.

A simple good assignment: needs with the fewest fitting offers choose first; each takes the offer of the best score that
still has the minutes, counting the missions its volunteer was just given; then needs left without are helped by moving
one chosen mission to another offer. Exact optimality (a min-cost flow) can replace `propose` behind the same signature.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from services.matching.domain.needs import Need
from services.matching.domain.offers import Candidate
from services.matching.engine.comparison import find_key, list_near_keys
from services.matching.engine.fit import Fit, assess
from services.matching.engine.gates import ObstacleKind
from services.matching.engine.sentences import count
from services.matching.engine.surroundings import Surroundings

WHY_NOT = {
    ObstacleKind.SKILLS: "aucune compétence commune",
    ObstacleKind.DATES: "aucun jour commun à venir",
    ObstacleKind.WEEK: "aucun moment de la semaine en commun",
    ObstacleKind.DISTANCE: "trop loin",
    ObstacleKind.MODE: "l'un à distance seulement, l'autre sur place",
    ObstacleKind.LANGUAGE: "une langue demandée manque",
    ObstacleKind.MINUTES: "pas assez d'heures libres",
    ObstacleKind.PANEL: "l'association n'est pas au panel de la campagne",
    ObstacleKind.SETTING: "autre cadre que demandé (professionnel, personnel)",
    ObstacleKind.MINORS: "honorabilité non contrôlée, avec des mineurs",
    ObstacleKind.CHARTER: "charte non signée",
    ObstacleKind.OWN_ASSOCIATION: "agit déjà pour cette association",
    ObstacleKind.CONFLICT: "a déclaré un lien avec cette association",
    ObstacleKind.TURNED_DOWN: "déjà déclinée ou annulée pour ce besoin",
}


@dataclass(frozen=True)
class Unserved:
    """A need for which nothing is proposed, with the reasons: French sentences, the nearest miss first."""

    need: Need
    why: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """At most one fit for each need; all fits of an offer together need no more minutes than it has."""

    proposals: tuple[Fit, ...]
    unserved: tuple[Unserved, ...]


@dataclass
class _Choice:
    """What has been chosen so far, and what that leaves of each offer."""

    chosen: dict[UUID, Fit] = field(default_factory=dict)
    taken_minutes: Counter[UUID] = field(default_factory=Counter)
    given_missions: Counter[UUID] = field(default_factory=Counter)

    def has_room(self, fit: Fit, *, freed_minutes: int = 0) -> bool:
        offer_id = fit.candidate.offer.id
        free = fit.candidate.remaining_minutes - self.taken_minutes[offer_id] + freed_minutes
        return free >= fit.need.facts.minutes

    def as_of_now(self, fit: Fit) -> Fit:
        """The fit with the missions that its volunteer was just given."""
        return fit.with_missions(fit.candidate.missions + self.given_missions[fit.candidate.offer.volunteer_id])

    def best(self, fits: Iterable[Fit], *, except_offer: UUID | None = None) -> Fit | None:
        open_fits = (self.as_of_now(fit) for fit in fits if fit.candidate.offer.id != except_offer and self.has_room(fit))
        return min(open_fits, key=rank_key, default=None)

    def add(self, fit: Fit) -> None:
        self.chosen[fit.need.id] = fit
        self.taken_minutes[fit.candidate.offer.id] += fit.need.facts.minutes
        self.given_missions[fit.candidate.offer.volunteer_id] += 1

    def remove(self, need_id: UUID) -> Fit:
        fit = self.chosen.pop(need_id)
        self.taken_minutes[fit.candidate.offer.id] -= fit.need.facts.minutes
        self.given_missions[fit.candidate.offer.volunteer_id] -= 1
        return fit


def propose(needs: Sequence[Need], candidates: Sequence[Candidate], surroundings: Surroundings) -> Plan:
    """The missions to propose. The same needs and offers give the same plan, in whatever order they come."""
    assessed = _assess_all(needs, candidates, surroundings)
    options = {need_id: [fit for fit in fits if fit.fits] for need_id, fits in assessed.items()}
    choice = _Choice()
    waiting: list[UUID] = []
    for need_id in sorted(options, key=lambda key: (len(options[key]), key)):
        best = choice.best(options[need_id])
        if best is not None:
            choice.add(best)
        else:
            waiting.append(need_id)
    for need_id in waiting:
        _serve_by_moving(need_id, options, choice)
    unserved = [
        Unserved(need, explain(assessed[need.id], offers=len(candidates))) for need in needs if need.id not in choice.chosen
    ]
    return Plan(
        tuple(choice.chosen[need_id] for need_id in sorted(choice.chosen)),
        tuple(sorted(unserved, key=lambda item: item.need.id)),
    )


def rank(need: Need, candidates: Sequence[Candidate], surroundings: Surroundings) -> tuple[list[Fit], list[Fit]]:
    """All offers for one need: those that fit, best first; then those that do not, fewest obstacles first."""
    fits = [assess(need, candidate, surroundings) for candidate in candidates]
    fitting = sorted((fit for fit in fits if fit.fits), key=rank_key)
    unfit = sorted((fit for fit in fits if not fit.fits), key=lambda fit: (len(fit.obstacles), fit.candidate.offer.id))
    return fitting, unfit


def rank_key(fit: Fit) -> tuple[int, int, UUID]:
    """Best score first; then the offer with the least time to spare, so that long offers stay for long needs."""
    return (-fit.score, fit.candidate.remaining_minutes, fit.candidate.offer.id)


def _assess_all(needs: Sequence[Need], candidates: Sequence[Candidate], surroundings: Surroundings) -> dict[UUID, list[Fit]]:
    """For each need the offers with a wanted skill or one near it; the index spares looking at all the others."""
    referential, from_percent = surroundings.referential, surroundings.weights.near_from_percent
    by_skill: dict[str, dict[UUID, Candidate]] = defaultdict(dict)
    for candidate in candidates:
        for skill in candidate.offer.facts.skills:
            by_skill[find_key(skill, referential)][candidate.offer.id] = candidate
    assessed = {}
    for need in needs:
        sharing: dict[UUID, Candidate] = {}
        for skill in need.facts.skills:
            key = find_key(skill, referential)
            for wanted in (key, *list_near_keys(key, referential, from_percent=from_percent)):
                sharing |= by_skill.get(wanted, {})
        assessed[need.id] = [assess(need, candidate, surroundings) for candidate in sharing.values()]
    return assessed


def _serve_by_moving(need_id: UUID, options: dict[UUID, list[Fit]], choice: _Choice) -> None:
    """Find an offer whose minutes come free when one of its chosen needs takes another offer instead."""
    for fit in sorted(options[need_id], key=rank_key):
        offer_id = fit.candidate.offer.id
        for other_id in sorted(key for key, chosen in choice.chosen.items() if chosen.candidate.offer.id == offer_id):
            if not choice.has_room(fit, freed_minutes=choice.chosen[other_id].need.facts.minutes):
                continue
            alternative = choice.best(options[other_id], except_offer=offer_id)
            if alternative is None:
                continue
            choice.remove(other_id)
            moved = choice.best(options[other_id], except_offer=offer_id)
            assert moved is not None, "removing a mission frees minutes, it takes none"
            choice.add(moved)
            choice.add(choice.as_of_now(fit))
            return


def explain(fits: Sequence[Fit], *, offers: int) -> tuple[str, ...]:
    """Why nothing was proposed: how many offers failed on what, each at its first obstacle."""
    if not offers:
        return ("aucune offre ouverte",)
    sentences = []
    served_elsewhere = sum(fit.fits for fit in fits)
    if served_elsewhere:
        number = count(served_elsewhere, "offre convient", "offres conviennent")
        sentences.append(f"{number}, mais d'autres besoins ont pris leurs heures")
    reasons = Counter(fit.obstacles[0] for fit in fits if not fit.fits)
    reasons[ObstacleKind.SKILLS] += offers - len(fits)
    for kind, number_of_offers in sorted(reasons.items(), key=lambda item: (item[0] is ObstacleKind.SKILLS, -item[1])):
        if number_of_offers:
            sentences.append(f"{count(number_of_offers, 'offre')} : {WHY_NOT[kind]}")
    return tuple(sentences)

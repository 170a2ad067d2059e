"""Does this offer fit this need, and how well? The gates are in `gates`, the points in `score`, the words in `reasons`."""

from dataclasses import dataclass, replace
from datetime import date

from services.matching.domain.missions import ScorePart
from services.matching.domain.needs import Need, Unmet
from services.matching.domain.offers import Candidate
from services.matching.domain.week import days_mask, week_mask
from services.matching.engine.comparison import SkillComparison, compare_skills
from services.matching.engine.gates import ObstacleKind, list_obstacles
from services.matching.engine.places import Place, judge_place
from services.matching.engine.referential import Referential
from services.matching.engine.score import Measures, score_parts
from services.matching.engine.surroundings import Surroundings
from services.matching.engine.weights import Weights

__all__ = ["Fit", "ObstacleKind", "Surroundings", "assess"]


@dataclass(frozen=True)
class Fit:
    """One need and one offer, side by side. With any obstacle they do not fit.

    `first_day` to `last_day` are the common days from today on (none when the first is after the last); `common_week` is the
    mask of the parts of the week that both have in them.
    """

    need: Need
    candidate: Candidate
    skills: SkillComparison
    place: Place
    first_day: date
    last_day: date
    common_week: int
    measures: Measures
    weights: Weights
    weights_version: int | None
    referential: Referential
    obstacles: tuple[ObstacleKind, ...]

    @property
    def fits(self) -> bool:
        return not self.obstacles

    @property
    def parts(self) -> tuple[ScorePart, ...]:
        """The score, criterion by criterion; its sum is 0 to 100."""
        return score_parts(self.measures, self.weights)

    @property
    def score(self) -> int:
        return sum(part.points for part in self.parts)

    def with_missions(self, missions: int) -> "Fit":
        """The same fit for a volunteer who has got other missions in the meantime."""
        if missions == self.measures.missions:
            return self
        return replace(self, measures=replace(self.measures, missions=missions))

    def without(self, kind: ObstacleKind) -> "Fit":
        """The same fit with one kind of obstacle overlooked: a person has decided so."""
        return replace(self, obstacles=tuple(obstacle for obstacle in self.obstacles if obstacle is not kind))


def assess(need: Need, candidate: Candidate, surroundings: Surroundings) -> Fit:
    """Measure everything, and keep every obstacle, so that a person sees all of them at once."""
    asked, given = need.facts, candidate.offer.facts
    first = max(asked.starts_on, given.available_from, surroundings.today)
    last = min(asked.ends_on, given.available_until)
    common_days = max(0, (last - first).days + 1)
    common_week = week_mask(asked.week) & week_mask(given.week) & days_mask(first, last)
    weights = surroundings.weights
    skills = compare_skills(asked.skills, given.skills, surroundings.referential, near_from_percent=weights.near_from_percent)
    place = judge_place(asked, given, surroundings.communes)
    unmet = surroundings.unmet.get((need.campaign_id, need.association_id), Unmet(0, 0))
    measures = Measures(
        wanted_skills=max(1, skills.wanted),
        met_sixths=skills.met_sixths,
        near_sixths=skills.near_sixths,
        metres=place.reached_metres,
        remote=asked.remote and given.remote,
        common_days=common_days,
        wanted_days=max(1, (asked.ends_on - max(asked.starts_on, surroundings.today)).days + 1),
        common_parts=common_week.bit_count() if asked.week else 1,
        wanted_parts=max(1, week_mask(asked.week).bit_count()) if asked.week else 1,
        asked_minutes=asked.minutes,
        free_minutes=max(1, candidate.remaining_minutes),
        shared_missions=surroundings.worked_together.get((candidate.offer.volunteer_id, need.association_id), 0),
        missions=candidate.missions,
        unmet_minutes=unmet.unmet_minutes,
        needed_minutes=unmet.needed_minutes,
    )
    obstacles = list_obstacles(
        need, candidate, surroundings, skills=skills, place=place, common_days=common_days, common_week=common_week
    )
    return Fit(
        need,
        candidate,
        skills,
        place,
        first,
        last,
        common_week,
        measures,
        weights,
        surroundings.weights_version,
        surroundings.referential,
        obstacles,
    )

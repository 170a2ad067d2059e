"""Does this offer fit this need, and how well? The words for it are in `reasons`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from uuid import UUID

from services.matching.domain.missions import ScorePart
from services.matching.domain.needs import Need
from services.matching.domain.offers import Candidate
from services.matching.domain.shared import Commune
from services.matching.engine.places import Place, PlaceKind, judge_place
from services.matching.engine.rules import DATES, LOAD, MAXIMUM_POINTS, PLACE, SKILLS
from services.matching.engine.skills import SkillComparison, compare_skills


class ObstacleKind(StrEnum):
    SKILLS = "skills"
    DATES = "dates"
    PLACE = "place"
    MINUTES = "minutes"
    OWN_ASSOCIATION = "own_association"
    TURNED_DOWN = "turned_down"


@dataclass(frozen=True)
class Surroundings:
    """What a fit depends on beside need and offer. `turned_down`: pairs whose mission was declined or cancelled."""

    today: date
    communes: Mapping[str, Commune]
    turned_down: frozenset[tuple[UUID, UUID]] = frozenset()


@dataclass(frozen=True)
class Fit:
    """One need and one offer, side by side. With any obstacle they do not fit.

    `first_day` to `last_day` are the common days from today on (none when the first is after the last), out of the
    need's `wanted_days`; `live_missions` are those of the volunteer.
    """

    need: Need
    candidate: Candidate
    skills: SkillComparison
    place: Place
    first_day: date
    last_day: date
    wanted_days: int
    live_missions: int
    obstacles: tuple[ObstacleKind, ...]

    @property
    def fits(self) -> bool:
        return not self.obstacles

    @property
    def common_days(self) -> int:
        return max(0, (self.last_day - self.first_day).days + 1)

    @property
    def parts(self) -> tuple[ScorePart, ...]:
        """The score, part by part; its sum is 0 to 100."""
        return (
            _part(SKILLS, self.skills.share),
            _part(PLACE, self.place.share),
            _part(DATES, self.common_days / max(1, self.wanted_days)),
            _part(LOAD, 1 / (1 + self.live_missions)),
        )

    @property
    def score(self) -> int:
        return sum(part.points for part in self.parts)

    def with_load(self, live_missions: int) -> "Fit":
        """The same fit for a volunteer who has got other missions in the meantime."""
        return self if live_missions == self.live_missions else replace(self, live_missions=live_missions)

    def without(self, kind: ObstacleKind) -> "Fit":
        """The same fit with one kind of obstacle overlooked: a person has decided so."""
        return replace(self, obstacles=tuple(obstacle for obstacle in self.obstacles if obstacle is not kind))


def assess(need: Need, candidate: Candidate, surroundings: Surroundings) -> Fit:
    """Look at skills, dates, place and minutes; keep every obstacle, so that a person sees all of them at once."""
    asked, given = need.facts, candidate.offer.facts
    first = max(asked.starts_on, given.available_from, surroundings.today)
    last = min(asked.ends_on, given.available_until)
    skills = compare_skills(asked.skills, given.skills)
    place = judge_place(asked, given, surroundings.communes)
    stands_in_the_way = {
        ObstacleKind.SKILLS: not skills.shared,
        ObstacleKind.DATES: first > last,
        ObstacleKind.PLACE: place.kind not in {PlaceKind.SAME, PlaceKind.NEAR, PlaceKind.REMOTE},
        ObstacleKind.MINUTES: candidate.remaining_minutes < asked.minutes,
        ObstacleKind.OWN_ASSOCIATION: candidate.employer_id == need.association_id,
        ObstacleKind.TURNED_DOWN: (need.id, candidate.offer.id) in surroundings.turned_down,
    }
    return Fit(
        need=need,
        candidate=candidate,
        skills=skills,
        place=place,
        first_day=first,
        last_day=last,
        wanted_days=(asked.ends_on - max(asked.starts_on, surroundings.today)).days + 1,
        live_missions=candidate.live_missions,
        obstacles=tuple(kind for kind, stands in stands_in_the_way.items() if stands),
    )


def _part(name: str, share: float) -> ScorePart:
    """Points for a share of the maximum, rounded half up."""
    maximum = MAXIMUM_POINTS[name]
    return ScorePart(name, min(maximum, int(maximum * share + 0.5)), maximum)

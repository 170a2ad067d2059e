"""What makes a mission between a need and an offer impossible, whatever else speaks for it. Gates never score.

Each gate is a question that has the answer yes or no from data that people entered; all that block are kept, so that a
person sees them at once (`reasons.describe_obstacle` says each in a French sentence).
"""

from enum import StrEnum

from services.matching.domain.needs import Need
from services.matching.domain.offers import Candidate
from services.matching.engine.comparison import SkillComparison
from services.matching.engine.places import REACHED, Place, PlaceKind
from services.matching.engine.surroundings import Surroundings


class ObstacleKind(StrEnum):
    """The gates, in the order in which a blocked offer is explained."""

    SKILLS = "skills"  # nothing wanted is offered, nor anything near to it
    DATES = "dates"  # no common day to come
    WEEK = "week"  # no common part of the week in the common days
    DISTANCE = "distance"  # beyond the offer's radius, or a commune that nobody knows
    MODE = "mode"  # one side only at a distance, the other only on the spot
    LANGUAGE = "language"  # the volunteer lacks a language that is needed
    MINUTES = "minutes"  # fewer free than asked
    PANEL = "panel"  # the association is not on its campaign's panel
    SETTING = "setting"  # professional skill wanted, personal one offered, or the reverse
    MINORS = "minors"  # with minors, and the town has not checked the volunteer's honorability
    CHARTER = "charter"  # the charter is asked for, and not signed
    OWN_ASSOCIATION = "own_association"  # the volunteer acts for the association (registry: board, employees)
    CONFLICT = "conflict"  # the volunteer has declared ties with it
    TURNED_DOWN = "turned_down"  # proposed before, then declined or cancelled


_MODE_KINDS = frozenset({PlaceKind.NEED_IS_REMOTE, PlaceKind.OFFER_IS_REMOTE})


def list_obstacles(
    need: Need,
    candidate: Candidate,
    surroundings: Surroundings,
    *,
    skills: SkillComparison,
    place: Place,
    common_days: int,
    common_week: int,
) -> tuple[ObstacleKind, ...]:
    """The gates that block, in their order. `common_week` is the mask of the parts of the week that both have."""
    asked, offer = need.facts, candidate.offer
    given = offer.facts
    panel = surroundings.panels.get(need.campaign_id)
    blocks = {
        ObstacleKind.SKILLS: not skills.shared and not skills.near,
        ObstacleKind.DATES: common_days == 0,
        ObstacleKind.WEEK: common_days > 0 and common_week == 0,
        ObstacleKind.DISTANCE: place.kind not in REACHED | _MODE_KINDS | {PlaceKind.REMOTE},
        ObstacleKind.MODE: place.kind in _MODE_KINDS,
        ObstacleKind.LANGUAGE: not set(asked.languages) <= set(given.languages),
        ObstacleKind.MINUTES: candidate.remaining_minutes < asked.minutes,
        ObstacleKind.PANEL: panel is not None and need.association_id not in panel,
        ObstacleKind.SETTING: asked.setting is not None and asked.setting is not given.setting,
        ObstacleKind.MINORS: asked.with_minors and given.honorability_checked_on is None,
        ObstacleKind.CHARTER: asked.charter_required and not given.charter_signed,
        ObstacleKind.OWN_ASSOCIATION: candidate.employer_id == need.association_id,
        ObstacleKind.CONFLICT: need.association_id in given.excluded_associations,
        ObstacleKind.TURNED_DOWN: (need.id, offer.id) in surroundings.turned_down,
    }
    return tuple(kind for kind, stands in blocks.items() if stands)

"""How much each criterion of the score counts (engine/weights.py has their bounds, engine/score.py what they do)."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Weights:
    """The greatest number of points of each criterion, whole; then what the criteria measure against.

    `far_km`: from here on, nearness gives no points. `remote_percent`: the share of distance's points for work at a distance.
    `near_from_percent`: a near skill counts from this share of the referential on. `continuity_missions`: that many missions
    served together give all points for continuity. `newcomer_missions`: with that many missions one is no newcomer any more.
    """

    skills: int = 50
    near: int = 25
    distance: int = 12
    availability: int = 12
    minutes: int = 6
    continuity: int = 6
    newcomer: int = 6
    unmet: int = 8
    far_km: int = 25
    remote_percent: int = 60
    near_from_percent: int = 30
    continuity_missions: int = 2
    newcomer_missions: int = 3

    def of(self, criterion: str) -> int:
        """The greatest number of points of a criterion."""
        points: int = getattr(self, criterion)
        return points


DEFAULT_WEIGHTS = Weights()


@dataclass(frozen=True)
class WeightsVersion:
    """Weights that were in force from `set_at` on. Version 0 are the software's defaults, which nobody here has set."""

    version: int = 0
    weights: Weights = DEFAULT_WEIGHTS
    set_at: datetime | None = None
    set_by: str | None = None
    reason: str | None = None

"""The score: a sum of whole points, one part a criterion. The reference that every faster copy must equal.

All that enters are the whole numbers of `Measures`: no name, age, sex, origin, address or other trait of a person. Every part
is `weight × numerator // denominator` of numbers that are never negative: **rounded down to the whole point**, never up. The
score is the sum of the parts, exactly; between 0 and 100. With w the territory's `Weights`:

| criterion | points |
|---|---|
| skills | `w.skills * met_sixths // (6 * wanted_skills)` |
| near | `w.near * near_sixths // (600 * wanted_skills)` |
| distance | the greater of: on the spot (`metres >= 0`) `w.distance * max(0, far - metres) // far` with `far = 1000 * w.far_km`; at a distance (`remote`) `w.distance * w.remote_percent // 100`; neither: 0 |
| availability | `w.availability * common_days * common_parts // (wanted_days * wanted_parts)` |
| minutes | `w.minutes * asked_minutes // free_minutes`, at most `w.minutes` |
| continuity | `w.continuity * min(shared_missions, w.continuity_missions) // w.continuity_missions` |
| newcomer | `w.newcomer * max(0, w.newcomer_missions - missions) // w.newcomer_missions` |
| unmet | `w.unmet * unmet_minutes // needed_minutes`, or `w.unmet` where nothing is known (`needed_minutes` 0) |

The score says how well a pair fits; whether it is possible at all, the gates say (gates.py). A pair that a gate blocks may
be measured nonetheless: every denominator is at least 1 then, too (`measure_fit` in fit.py).
"""  # noqa: E501 - a table's row is a line

from dataclasses import dataclass

from services.matching.domain.missions import ScorePart
from services.matching.engine.weights import (
    AVAILABILITY,
    CONTINUITY,
    DISTANCE,
    MINUTES,
    NEAR,
    NEWCOMER,
    SKILLS,
    UNMET,
    Weights,
)

SIXTHS = 6  # of a wished skill: every share offered/wanted of the levels 1 to 3 is a whole number of them


@dataclass(frozen=True)
class Measures:
    """What the score is made of, all whole numbers.

    wanted_skills   different skills that the need asks for; at least 1
    met_sixths      over the wanted skills that the offer has: `6 * min(offered level, wanted level) // wanted level`, summed
    near_sixths     over the others: the best near skill's share in percent (0 below `near_from_percent`) times the same sixths,
                    by its level, summed
    metres          between the two places, where they can meet within the offer's radius; else -1
    remote          both sides accept work at a distance
    common_days     days that both have, from today on; wanted_days: those of the need from today on, at least 1
    common_parts    parts of the week that both have; wanted_parts: those that the need names. 1 and 1 where it names none
    asked_minutes   the need's; free_minutes: what missions have left of the offer, at least 1
    shared_missions closed missions of this volunteer for this association that were never disputed
    missions        all missions of the volunteer that live or were served
    unmet_minutes   of needed_minutes, the association's in this campaign (open, covered, fulfilled): those nobody serves
    """

    wanted_skills: int
    met_sixths: int
    near_sixths: int
    metres: int
    remote: bool
    common_days: int
    wanted_days: int
    common_parts: int
    wanted_parts: int
    asked_minutes: int
    free_minutes: int
    shared_missions: int
    missions: int
    unmet_minutes: int
    needed_minutes: int


def score_parts(measures: Measures, weights: Weights) -> tuple[ScorePart, ...]:
    """The points of each criterion, in the order of `CRITERIA`; see the module's table."""
    m, w = measures, weights
    points = {
        SKILLS: w.skills * m.met_sixths // (SIXTHS * m.wanted_skills),
        NEAR: w.near * m.near_sixths // (100 * SIXTHS * m.wanted_skills),
        DISTANCE: score_place(m.metres, remote=m.remote, weights=w),
        AVAILABILITY: w.availability * m.common_days * m.common_parts // (m.wanted_days * m.wanted_parts),
        MINUTES: min(w.minutes, w.minutes * m.asked_minutes // m.free_minutes),
        CONTINUITY: w.continuity * min(m.shared_missions, w.continuity_missions) // w.continuity_missions,
        NEWCOMER: w.newcomer * max(0, w.newcomer_missions - m.missions) // w.newcomer_missions,
        UNMET: w.unmet * m.unmet_minutes // m.needed_minutes if m.needed_minutes else w.unmet,
    }
    return tuple(ScorePart(name, number, w.of(name)) for name, number in points.items())


def score_place(metres: int, *, remote: bool, weights: Weights) -> int:
    """Points for distance: on the spot or at a distance, whichever gives more."""
    far_metres = 1000 * weights.far_km
    on_the_spot = weights.distance * max(0, far_metres - metres) // far_metres if metres >= 0 else 0
    at_a_distance = weights.distance * weights.remote_percent // 100 if remote else 0
    return max(on_the_spot, at_a_distance)

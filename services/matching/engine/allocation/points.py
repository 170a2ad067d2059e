"""The score of `engine.score`, for many pairs at once: the same whole numbers, criterion by criterion.

A test asserts equality with the scalar reference for any measures; change both together.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.matching.engine.allocation.model import Ints
from services.matching.engine.score import SIXTHS
from services.matching.engine.weights import Weights

ANY_WEEK = (1 << 21) - 1
_DAY = 0b111


@dataclass(frozen=True)
class PairMeasures:
    """`engine.score.Measures`, each number an array by pair. int32 is wide enough for all of them."""

    wanted_skills: Ints
    met_sixths: Ints
    near_sixths: Ints
    metres: Ints
    remote: Ints
    common_days: Ints
    wanted_days: Ints
    common_parts: Ints
    wanted_parts: Ints
    asked_minutes: Ints
    free_minutes: Ints
    shared_missions: Ints
    missions: Ints
    unmet_minutes: Ints
    needed_minutes: Ints


def score_pairs(m: PairMeasures, w: Weights) -> Ints:
    """Points by pair, 0 to 100, as int16."""
    points = w.skills * m.met_sixths // (SIXTHS * m.wanted_skills)
    points += w.near * m.near_sixths // (100 * SIXTHS * m.wanted_skills)
    points += score_places(m.metres, m.remote, w)
    points += w.availability * m.common_days * m.common_parts // (m.wanted_days * m.wanted_parts)
    points += np.minimum(w.minutes, w.minutes * m.asked_minutes // m.free_minutes)
    points += w.continuity * np.minimum(m.shared_missions, w.continuity_missions) // w.continuity_missions
    points += w.newcomer * np.maximum(0, w.newcomer_missions - m.missions) // w.newcomer_missions
    points += np.where(m.needed_minutes > 0, w.unmet * m.unmet_minutes // np.maximum(m.needed_minutes, 1), w.unmet)
    total: Ints = points.astype(np.int16)
    return total


def score_places(metres: Ints, remote: Ints, w: Weights) -> Ints:
    far_metres = 1000 * w.far_km
    on_the_spot = np.where(metres >= 0, w.distance * np.maximum(0, far_metres - metres) // far_metres, 0)
    return np.where(remote, np.maximum(on_the_spot, w.distance * w.remote_percent // 100), on_the_spot)


def compare_skills(
    wanted: Ints, wanted_levels: Ints, offered: Ints, offered_levels: Ints, near_percents: npt.NDArray[np.uint8]
) -> tuple[Ints, Ints]:
    """(met sixths, near sixths) by pair. Columns as in `tables`; `near_percents[wanted skill, offered skill]`, 0: not near."""
    met = np.zeros(len(wanted), dtype=np.int32)
    near = np.zeros(len(wanted), dtype=np.int32)
    for column in range(wanted.shape[1]):
        asked = np.flatnonzero(wanted[:, column] >= 0)
        skill, level = wanted[asked, column], wanted_levels[asked, column]
        same = np.zeros(len(asked), dtype=np.int16)
        best = np.zeros(len(asked), dtype=np.int16)
        for other in range(offered.shape[1]):
            has = offered[asked, other]
            some = np.flatnonzero(has >= 0)
            has, wish = has[some], skill[some]
            sixths = _SIXTHS_BY_LEVELS[offered_levels[asked[some], other], level[some]]
            same[some] = np.maximum(same[some], np.where(has == wish, sixths, 0))
            best[some] = np.maximum(best[some], near_percents[wish, has] * sixths)
        met[asked] += same
        near[asked] += np.where(same == 0, best, 0)
    return met, near


def mask_days(first: Ints, last: Ints) -> Ints:
    """`domain.week.days_mask` by pair, for ordinals of days; none where the first is after the last."""
    length = np.clip(last - first + 1, 0, 7)
    masks: Ints = _DAYS[(first + 6) % 7, length]  # ordinal 1 was a Monday
    return masks


def count_bits(masks: Ints) -> Ints:
    counts: Ints = np.bitwise_count(masks).astype(np.int32)
    return counts


def _tabulate_sixths() -> Ints:
    table = np.zeros((4, 4), dtype=np.int16)
    for offered in range(1, 4):
        for level in range(1, 4):
            table[offered, level] = SIXTHS * min(offered, level) // level
    return table


def _tabulate_days() -> Ints:
    return np.array(
        [[sum(_DAY << 3 * ((start + day) % 7) for day in range(length)) for length in range(8)] for start in range(7)],
        dtype=np.int32,
    )


_SIXTHS_BY_LEVELS = _tabulate_sixths()
_DAYS = _tabulate_days()

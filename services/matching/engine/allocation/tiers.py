"""Fairness between associations: steep first slices of each one's target.

The reward of a minute falls, slice by slice, as its association fills: a sum of such rewards is concave, so an exact
min-cost flow stays exact, and one more minute goes to who has less unless points speak more strongly against it. The
slider s sets how strongly: over a whole target the reward falls by `highest value of a pair x s / (1 - s)`.
"""

from dataclasses import dataclass

import numpy as np

from services.matching.engine.allocation.model import Ints
from services.matching.engine.allocation.problem import Problem

STEEPEST_PERMILLE = 999  # the slider where leximin is approached by slices alone


@dataclass(frozen=True)
class Tiers:
    """What each association may still be served, cut into tiers: `minutes` wide, each minute rewarded with `reward`.

    `floor`: minutes that each association gets whatever it costs; not part of the tiers.
    """

    association: Ints
    minutes: Ints
    reward: Ints
    floor: Ints


def build_plain_tiers(problem: Problem) -> Tiers:
    """One tier each, its whole credit, without reward."""
    every = np.arange(problem.association_count)
    nothing = np.zeros(len(every), dtype=np.int64)
    return Tiers(every, problem.credit, nothing, nothing)


def build_fair_tiers(problem: Problem, *, permille: int, slices: int, highest_value: int, floor: Ints | None = None) -> Tiers:
    """`slices` tiers up to the target, then one without reward; pinned minutes and floors fill the first ones."""
    permille = min(permille, STEEPEST_PERMILLE)
    falls_by = max(1, highest_value) * permille
    floor = np.zeros(problem.association_count, dtype=np.int64) if floor is None else floor
    filled = problem.credit_spent + floor
    ends = problem.credit_spent + problem.credit
    every = np.arange(problem.association_count)
    parts = []
    for number in range(slices + 1):
        bottom = problem.target * number // slices
        top = problem.target * (number + 1) // slices if number < slices else np.maximum(ends, bottom)
        width = np.minimum(top, ends) - np.maximum(bottom, filled)
        reward = falls_by * (slices - number) // (slices * (1_000 - permille))
        open_ones = width > 0
        parts.append((every[open_ones], width[open_ones], np.full(int(open_ones.sum()), reward, dtype=np.int64)))
    association, minutes, rewards = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Tiers(association, minutes, rewards, floor)


def cap_tiers(problem: Problem, *, floor: Ints, ceiling: Ints) -> Tiers:
    """Each association gets its floor, and at most its ceiling (both of unpinned minutes)."""
    every = np.arange(problem.association_count)
    return Tiers(every, ceiling - floor, np.zeros(len(every), dtype=np.int64), floor)


def measure_rewards(problem: Problem, tiers: Tiers, served: Ints) -> int:
    """The rewards of `served` minutes an association (unpinned): its tiers filled in the order of their reward."""
    order = np.lexsort((-tiers.reward, tiers.association))
    association, minutes, reward = tiers.association[order], tiers.minutes[order], tiers.reward[order]
    before = np.cumsum(minutes) - minutes
    starts = np.searchsorted(association, np.arange(problem.association_count))
    first = before[np.minimum(starts[association], len(before) - 1)] if len(before) else before
    left = (served - tiers.floor)[association] - (before - first)
    return int((np.clip(left, 0, minutes) * reward).sum())

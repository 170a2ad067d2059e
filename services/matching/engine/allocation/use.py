"""What an allocation draws on every limit."""

from dataclasses import dataclass

import numpy as np

from services.matching.engine.allocation.model import NO_COMPANY, Ints
from services.matching.engine.allocation.problem import Problem


@dataclass(frozen=True)
class Use:
    """Minutes by row of each table, pins apart."""

    company: Ints
    volunteer: Ints
    need: Ints
    association: Ints


def measure_use(problem: Problem, minutes: Ints) -> Use:
    """`minutes` by pair."""
    employer = problem.volunteer_company[problem.pair_volunteer]
    hired = employer != NO_COMPANY
    return Use(
        company=_sum(employer[hired], minutes[hired], len(problem.company_minutes)),
        volunteer=_sum(problem.pair_volunteer, minutes, len(problem.volunteer_minutes)),
        need=_sum(problem.pair_need, minutes, problem.need_count),
        association=_sum(problem.need_association[problem.pair_need], minutes, problem.association_count),
    )


def _sum(rows: Ints, amounts: Ints, count: int) -> Ints:
    """Exact: sums stay far below 2^53."""
    return np.bincount(rows, weights=amounts, minlength=count).astype(np.int64)

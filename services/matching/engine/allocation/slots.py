"""Needs that one volunteer takes whole (or in parts of a least size): a small integer program, solved by HiGHS.

maximise   sum value x minutes + rewards of the associations' tiers
so that    every pair is taken or not; a taken pair carries at least the need's smallest part;
           nobody gives, receives or spends more minutes than they have.
"""

from dataclasses import dataclass

import numpy as np
import scipy
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_matrix

from services.matching.engine.allocation.faults import SolverFailed
from services.matching.engine.allocation.model import NO_COMPANY, Ints, RoundParameters
from services.matching.engine.allocation.problem import Problem
from services.matching.engine.allocation.tiers import Tiers

SOLVER = f"HiGHS of SciPy {scipy.__version__}"
_TIME_LIMIT = 1  # milp's status where iterations, nodes or seconds ran out


@dataclass(frozen=True)
class Slots:
    """`minutes` by pair; `bound`: no choice of slots is worth more; `in_time`: the clock did not end the search."""

    minutes: Ints
    bound: int
    in_time: bool


def solve_slots(problem: Problem, tiers: Tiers, values: Ints, parameters: RoundParameters) -> Slots | None:
    """The best slots to a relative gap of `parameters.gap`; None where nothing was found within the limits.

    Columns: taken (0 or 1) for each pair, minutes for each pair of a divisible need, minutes of each tier.
    """
    pairs, tier_count = len(values), len(tiers.minutes)
    if not pairs:
        return Slots(np.zeros(0, dtype=np.int64), 0, True)
    loose = np.flatnonzero(problem.need_slice[problem.pair_need] < problem.need_minutes[problem.pair_need])
    weight = problem.need_minutes[problem.pair_need].copy()
    weight[loose] = 0
    carrying = _Carrying(weight, loose, tier_count)
    gain = np.concatenate([weight * values, values[loose], tiers.reward]).astype(float)
    upper = np.concatenate([np.ones(pairs), problem.pair_limit[loose], tiers.minutes]).astype(float)
    whole = np.concatenate([np.ones(pairs + len(loose)), np.zeros(tier_count)])
    options = {"mip_rel_gap": parameters.gap, "node_limit": parameters.node_limit, "time_limit": parameters.time_limit_seconds}
    result = milp(
        -gain, integrality=whole, bounds=Bounds(0, upper), constraints=_constrain(problem, tiers, carrying), options=options
    )
    if result.x is None:
        if result.status == _TIME_LIMIT:
            return None
        raise SolverFailed(f"{SOLVER}: {result.message}")
    minutes = np.round(result.x[:pairs]).astype(np.int64) * weight
    minutes[loose] = np.round(result.x[pairs : pairs + len(loose)]).astype(np.int64)
    in_time = result.status != _TIME_LIMIT or "ime limit" not in str(result.message)
    return Slots(minutes, int(np.floor(-result.mip_dual_bound + 1e-6)), in_time)


@dataclass(frozen=True)
class _Carrying:
    """How minutes are written in columns: `weight` times "taken", plus the minutes column of the pairs in `loose`."""

    weight: Ints
    loose: Ints
    tier_count: int

    @property
    def columns(self) -> int:
        return len(self.weight) + len(self.loose) + self.tier_count

    def sum_by(self, rows: Ints, count: int) -> coo_matrix:
        """Minutes summed into `count` rows; pairs of row -1 count nowhere."""
        row = np.concatenate([rows, rows[self.loose]])
        column = np.arange(len(row))
        amount = np.concatenate([self.weight, np.ones(len(self.loose))])
        kept = (row >= 0) & (amount > 0)
        return coo_matrix((amount[kept], (row[kept], column[kept])), shape=(count, self.columns)).tocsr()


def _constrain(problem: Problem, tiers: Tiers, carrying: _Carrying) -> list[LinearConstraint]:
    employer = problem.volunteer_company[problem.pair_volunteer]
    limits = [
        (problem.pair_volunteer, problem.volunteer_minutes),
        (np.where(employer == NO_COMPANY, -1, employer), problem.company_minutes),
        (problem.pair_need, problem.need_minutes),
    ]
    constraints = [
        LinearConstraint(carrying.sum_by(rows, len(limit)), -np.inf, limit.astype(float)) for rows, limit in limits if len(limit)
    ]
    served = carrying.sum_by(problem.need_association[problem.pair_need], problem.association_count)
    first = carrying.columns - carrying.tier_count
    column = first + np.arange(carrying.tier_count)
    shape = (problem.association_count, carrying.columns)
    tiers_of = coo_matrix((np.ones(carrying.tier_count), (tiers.association, column)), shape=shape).tocsr()
    constraints.append(LinearConstraint(served - tiers_of, tiers.floor.astype(float), tiers.floor.astype(float)))
    if len(carrying.loose):
        constraints += _bound_parts(problem, carrying)
    return constraints


def _bound_parts(problem: Problem, carrying: _Carrying) -> list[LinearConstraint]:
    """slice x taken <= minutes <= limit x taken."""
    loose, count = carrying.loose, len(carrying.loose)
    rows, minutes_column = np.arange(count), len(carrying.weight) + np.arange(count)
    shape = (count, carrying.columns)
    minutes = coo_matrix((np.ones(count), (rows, minutes_column)), shape=shape).tocsr()
    most = coo_matrix((problem.pair_limit[loose], (rows, loose)), shape=shape).tocsr()
    least = coo_matrix((problem.need_slice[problem.pair_need[loose]], (rows, loose)), shape=shape).tocsr()
    return [LinearConstraint(minutes - most, -np.inf, 0), LinearConstraint(minutes - least, 0, np.inf)]

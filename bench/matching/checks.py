"""What an exact flow is held against: greedy, which takes the best pair left, and a linear program, which must agree."""

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_matrix

from services.matching.engine.allocation.model import NO_COMPANY, Ints
from services.matching.engine.allocation.problem import Problem
from services.matching.engine.allocation.tiers import Tiers


def allocate_greedily(problem: Problem) -> Ints:
    """Minutes by pair: best points first, then by draw, each as many minutes as all limits leave."""
    order = np.lexsort((problem.pair_draw, -problem.pair_points)).tolist()
    need_of, volunteer_of = problem.pair_need.tolist(), problem.pair_volunteer.tolist()
    company_of, association_of = problem.volunteer_company.tolist(), problem.need_association.tolist()
    need, volunteer = problem.need_minutes.tolist(), problem.volunteer_minutes.tolist()
    company, credit = problem.company_minutes.tolist(), problem.credit.tolist()
    minutes = np.zeros(len(order), dtype=np.int64)
    for pair in order:
        row, who = need_of[pair], volunteer_of[pair]
        amount = min(need[row], volunteer[who], credit[association_of[row]])
        employer = company_of[who]
        if employer != NO_COMPANY:
            amount = min(amount, company[employer])
            company[employer] -= amount
        need[row] -= amount
        volunteer[who] -= amount
        credit[association_of[row]] -= amount
        minutes[pair] = amount
    return minutes


def solve_linear_program(problem: Problem, tiers: Tiers, values: Ints) -> float:
    """The optimum of the same round by HiGHS, by rows of limits instead of a network; floors are not supported."""
    pairs, tier_count = len(values), len(tiers.minutes)
    employer = problem.volunteer_company[problem.pair_volunteer]
    hired = np.flatnonzero(employer != NO_COMPANY)
    blocks = [
        (problem.pair_volunteer, np.arange(pairs), problem.volunteer_minutes),
        (employer[hired], hired, problem.company_minutes),
        (problem.pair_need, np.arange(pairs), problem.need_minutes),
    ]
    rows, columns, limits, first = [], [], [], 0
    for row, column, limit in blocks:
        rows.append(row + first)
        columns.append(column)
        limits.append(limit)
        first += len(limit)
    row, column = np.concatenate(rows), np.concatenate(columns)
    within = coo_matrix((np.ones(len(row)), (row, column)), shape=(first, pairs + tier_count)).tocsr()
    served = (problem.need_association[problem.pair_need], np.arange(pairs), np.ones(pairs))
    filled = (tiers.association, pairs + np.arange(tier_count), -np.ones(tier_count))
    row, column, sign = (np.concatenate(column) for column in zip(served, filled, strict=True))
    balance = coo_matrix((sign, (row, column)), shape=(problem.association_count, pairs + tier_count)).tocsr()
    result = linprog(
        -np.concatenate([values, tiers.reward]).astype(float),
        A_ub=within,
        b_ub=np.concatenate(limits),
        A_eq=balance,
        b_eq=np.zeros(problem.association_count),
        bounds=np.column_stack([np.zeros(pairs + tier_count), np.concatenate([problem.pair_limit, tiers.minutes])]),
        method="highs",
    )
    assert result.status == 0, result.message
    return -float(result.fun)

"""Leximin: the worst-served first, then the next, exactly."""

import numpy as np
import pytest
from hypothesis import given
from scipy.optimize import linprog

from services.matching.engine.allocation.leximin import find_best_worst_fill, is_reachable, solve_leximin
from services.matching.engine.allocation.model import (
    Association,
    Company,
    Ints,
    NeedRow,
    Pair,
    RoundInput,
    RoundParameters,
    Volunteer,
    build_round_input,
)
from services.matching.engine.allocation.problem import Problem
from services.matching.engine.allocation.rounds import allocate
from tests.matching.allocation.rounds import frugal, prepare, small_rounds


def leximin_by_linear_programs(problem: Problem) -> list[float]:
    """Minutes by association: raise the lowest level, fix who can go no further, go on (the textbook's way)."""
    wants = np.flatnonzero((problem.target > 0) & (problem.credit > 0)).tolist()
    fixed: dict[int, float] = {}
    while len(fixed) < len(wants):
        level = -_optimum(problem, fixed, wants, None, 0.0)
        for row in [row for row in wants if row not in fixed]:
            most = -_optimum(problem, fixed, wants, row, level)
            if most <= level + 1e-7:
                fixed[row] = level
    return [fixed.get(row, 0.0) * float(problem.target[row]) for row in range(problem.association_count)]


def _optimum(problem: Problem, fixed: dict[int, float], wants: list[int], goal: int | None, level: float) -> float:
    """Minus the highest common level (goal None), or minus the highest fill of one with the others at `level`."""
    pairs = len(problem.pair_need)
    rows, limits = [], []

    def limit(mask: Ints, amount: float, of_level: float = 0.0) -> None:
        rows.append(np.concatenate([mask.astype(float), [of_level]]))
        limits.append(amount)

    association = problem.need_association[problem.pair_need]
    for who, amount in enumerate(problem.volunteer_minutes):
        limit(problem.pair_volunteer == who, amount)
    for company, amount in enumerate(problem.company_minutes):
        limit(problem.volunteer_company[problem.pair_volunteer] == company, amount)
    for need, amount in enumerate(problem.need_minutes):
        limit(problem.pair_need == need, amount)
    for row in range(problem.association_count):
        limit(association == row, problem.credit[row])
    for row in wants:
        mine = (association == row) / float(problem.target[row])
        if row in fixed:
            limit(-mine, -fixed[row] + 1e-9)
        elif goal is None:
            limit(-mine, 0.0, 1.0)
        elif row != goal:
            limit(-mine, -level + 1e-9)
    gain = np.zeros(pairs + 1)
    if goal is None:
        gain[-1] = -1
    else:
        gain[:pairs] = (association == goal) / -float(problem.target[goal])
    bounds = [(0, float(most)) for most in problem.pair_limit] + [(0, 1e6)]
    result = linprog(gain, A_ub=np.array(rows), b_ub=np.array(limits), bounds=bounds, method="highs")
    assert result.status == 0
    return float(result.fun)


class TestSolveLeximin:
    @frugal
    @given(small_rounds())
    def test_agrees_with_linear_programs(self, data: RoundInput) -> None:
        problem = prepare(data)
        exact = leximin_by_linear_programs(problem)
        found = solve_leximin(problem)
        for row, minutes in enumerate(exact):
            assert found.floor[row] - 0.01 <= minutes <= found.ceiling[row] + 0.01
            assert found.ceiling[row] - found.floor[row] <= 2

    def test_a_bottleneck_does_not_hold_down_the_others(self) -> None:
        """b and c share 90 minutes; a has little reach, and what it cannot use is theirs."""
        data = build_round_input(
            volunteers=[Volunteer("u", 10), Volunteer("v", 90)],
            associations=[Association("a", 100), Association("b", 100), Association("c", 50)],
            needs=[NeedRow("na", "a", 100, 1), NeedRow("nb", "b", 100, 1), NeedRow("nc", "c", 50, 1)],
            pairs=[Pair("na", "u", 1), Pair("nb", "v", 90), Pair("nc", "v", 10)],
        )
        result = allocate(data, RoundParameters(fairness=1))
        assert [share.served_minutes for share in result.shares] == [10, 60, 30]
        assert result.figures.worst_fill == pytest.approx(0.1)
        assert result.figures.best_worst_fill == pytest.approx(0.1)

    def test_companies_bind_too(self) -> None:
        data = build_round_input(
            companies=[Company("c", 30)],
            volunteers=[Volunteer("u", 100, "c"), Volunteer("v", 100, "c")],
            associations=[Association("a", 100), Association("b", 200)],
            needs=[NeedRow("na", "a", 100, 1), NeedRow("nb", "b", 200, 1)],
            pairs=[Pair("na", "u", 50), Pair("nb", "v", 1)],
        )
        assert [share.served_minutes for share in allocate(data, RoundParameters(fairness=1)).shares] == [10, 20]

    @frugal
    @given(small_rounds())
    def test_serves_as_many_minutes_as_can_flow(self, data: RoundInput) -> None:
        free = allocate(data, RoundParameters(fairness=0, served_points=1_000))
        fair = allocate(data, RoundParameters(fairness=1))
        targets = {share.association_id for share in fair.shares if share.target_minutes}
        served = sum(share.served_minutes for share in free.shares if share.association_id in targets)
        assert fair.figures.served_minutes >= served - len(fair.shares)


class TestFindBestWorstFill:
    @frugal
    @given(small_rounds())
    def test_is_the_first_level_of_the_leximin(self, data: RoundInput) -> None:
        problem = prepare(data)
        assert find_best_worst_fill(problem) == pytest.approx(solve_leximin(problem).worst_fill, abs=1e-3)

    @frugal
    @given(small_rounds())
    def test_large_rounds_state_it_beside_what_steep_slices_reach(self, data: RoundInput) -> None:
        figures = allocate(data, RoundParameters(fairness=1, leximin_pairs_limit=0)).figures
        assert figures.best_worst_fill is not None
        measured = (prepare(data).target > 0) & is_reachable(prepare(data))
        assert not measured.any() or figures.worst_fill <= figures.best_worst_fill + 1e-3

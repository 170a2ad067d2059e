"""The flow is the exact optimum, with and without fairness."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.matching.checks import allocate_greedily, solve_linear_program
from services.matching.engine.allocation.flow import solve_flow
from services.matching.engine.allocation.model import (
    Association,
    NeedRow,
    Pair,
    RoundInput,
    RoundParameters,
    Volunteer,
    build_round_input,
)
from services.matching.engine.allocation.rounds import allocate
from services.matching.engine.allocation.tiers import build_fair_tiers, build_plain_tiers, measure_rewards
from services.matching.engine.allocation.use import measure_use
from tests.matching.allocation.rounds import assert_limits_hold, frugal, prepare, small_rounds


class TestSolveFlow:
    @frugal
    @given(small_rounds())
    def test_agrees_with_linear_programming(self, data: RoundInput) -> None:
        problem = prepare(data)
        tiers = build_plain_tiers(problem)
        flow = solve_flow(problem, tiers, problem.pair_points)
        optimum = solve_linear_program(problem, tiers, problem.pair_points) if len(problem.pair_points) else 0
        assert flow.value == pytest.approx(optimum, abs=1e-6)

    @frugal
    @given(small_rounds(), st.integers(1, 999), st.integers(1, 25))
    def test_agrees_with_linear_programming_under_fairness(self, data: RoundInput, permille: int, slices: int) -> None:
        problem = prepare(data)
        tiers = build_fair_tiers(problem, permille=permille, slices=slices, highest_value=100)
        flow = solve_flow(problem, tiers, problem.pair_points)
        found = flow.value + measure_rewards(problem, tiers, measure_use(problem, flow.minutes).association)
        assert found == pytest.approx(solve_linear_program(problem, tiers, problem.pair_points), rel=1e-9, abs=1e-6)

    @frugal
    @given(small_rounds())
    def test_is_never_worse_than_greedy(self, data: RoundInput) -> None:
        problem = prepare(data)
        flow = solve_flow(problem, build_plain_tiers(problem), problem.pair_points)
        assert flow.value >= int((allocate_greedily(problem) * problem.pair_points).sum())

    def test_serves_more_minutes_among_equal_scores(self) -> None:
        data = build_round_input(
            volunteers=[Volunteer("v", 60)],
            associations=[Association("a", 60)],
            needs=[NeedRow("n", "a", 60, 1)],
            pairs=[Pair("n", "v", 0)],
        )
        assert [item.minutes for item in allocate(data).proposals] == [60]

    def test_the_seed_decides_between_equals_and_spares_the_others(self) -> None:
        data = build_round_input(
            volunteers=[Volunteer("v", 60)],
            associations=[Association("a", 600)],
            needs=[NeedRow(f"n{number}", "a", 60) for number in range(10)],
            pairs=[Pair(f"n{number}", "v", 50) for number in range(10)],
        )
        chosen = {allocate(data, RoundParameters(seed=str(seed))).proposals[0].need_id for seed in range(40)}
        assert len(chosen) >= 6

    def test_scales_of_points_do_not_change_what_is_best(self) -> None:
        data = build_round_input(
            volunteers=[Volunteer("v", 60), Volunteer("w", 60)],
            associations=[Association("a", 120)],
            needs=[NeedRow("n", "a", 60, 1), NeedRow("m", "a", 60, 1)],
            pairs=[Pair("n", "v", 99_999), Pair("n", "w", 100_000), Pair("m", "w", 100_000)],
        )
        assert {(item.need_id, item.volunteer_id) for item in allocate(data).proposals} == {("n", "v"), ("m", "w")}


class TestAllocateDivisible:
    @frugal
    @given(small_rounds(), st.sampled_from([0.0, 0.3, 0.9, 1.0]))
    def test_breaks_no_limit(self, data: RoundInput, fairness: float) -> None:
        assert_limits_hold(data, allocate(data, RoundParameters(fairness=fairness)))

    @frugal
    @given(small_rounds())
    def test_states_a_price_against_slider_zero(self, data: RoundInput) -> None:
        free = allocate(data, RoundParameters(fairness=0))
        fair = allocate(data, RoundParameters(fairness=0.8))
        assert fair.figures.price_score is not None
        assert (
            fair.figures.price_score == pytest.approx(1 - fair.figures.score / max(1, free.figures.score))
            or not free.figures.score
        )
        assert fair.figures.price_score >= 0
        assert fair.figures.gap == 0

    def test_fairness_lifts_the_worst_served(self) -> None:
        data = build_round_input(
            volunteers=[Volunteer("v", 120)],
            associations=[Association("rich", 120), Association("poor", 120)],
            needs=[NeedRow("n", "rich", 120, 1), NeedRow("m", "poor", 120, 1)],
            pairs=[Pair("n", "v", 90), Pair("m", "v", 60)],
        )
        fills = [allocate(data, RoundParameters(fairness=slider)).figures.worst_fill for slider in (0.0, 0.5, 1.0)]
        assert fills[0] == 0
        assert 0 < fills[1] <= fills[2] == 0.5

    def test_pinned_minutes_fill_the_first_slices(self) -> None:
        data = build_round_input(
            volunteers=[Volunteer("v", 60)],
            associations=[Association("a", 60, 60)],
            needs=[NeedRow("n", "a", 60, 1)],
            pairs=[Pair("n", "v", 50)],
        )
        problem = replace(prepare(data), credit=np.array([20]), credit_spent=np.array([40]))
        tiers = build_fair_tiers(problem, permille=500, slices=3, highest_value=90)
        assert tiers.minutes.tolist() == [20]
        assert tiers.reward.tolist() == [30]

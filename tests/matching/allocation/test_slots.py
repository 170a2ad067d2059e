"""Needs that one volunteer takes whole, or in parts of a least size."""

from hypothesis import given
from hypothesis import strategies as st

from services.matching.engine.allocation.model import Method, RoundInput, RoundParameters
from services.matching.engine.allocation.rounds import allocate
from tests.matching.allocation.rounds import ANY_PART, WHOLE, assert_limits_hold, best_whole_score, frugal, small_rounds

whole_rounds = small_rounds(slice_minutes=(WHOLE,))
mixed_rounds = small_rounds(slice_minutes=(WHOLE, ANY_PART, 30))


class TestAllocateSlots:
    @frugal
    @given(whole_rounds)
    def test_comes_within_one_percent_of_trying_everything(self, data: RoundInput) -> None:
        result = allocate(data, RoundParameters(fairness=0))
        best = best_whole_score(data)
        assert result.method is Method.FLOW or result.method is Method.SLOTS
        assert best * 0.99 <= result.figures.score <= best
        assert result.figures.bound >= best
        assert result.figures.gap <= 0.01

    @frugal
    @given(mixed_rounds, st.sampled_from([0.0, 0.5, 1.0]))
    def test_breaks_no_limit_and_cuts_no_part_too_small(self, data: RoundInput, fairness: float) -> None:
        result = allocate(data, RoundParameters(fairness=fairness))
        assert_limits_hold(data, result)
        assert result.figures.gap <= 0.01
        assert result.replayable

    @frugal
    @given(whole_rounds)
    def test_serves_each_need_by_one_volunteer(self, data: RoundInput) -> None:
        needs = [item.need_id for item in allocate(data).proposals]
        assert len(needs) == len(set(needs))


class TestRepair:
    @frugal
    @given(mixed_rounds, st.sampled_from([0.0, 0.5]))
    def test_breaks_no_limit_and_states_a_true_bound(self, data: RoundInput, fairness: float) -> None:
        repaired = allocate(data, RoundParameters(fairness=fairness, method=Method.REPAIR))
        assert_limits_hold(data, repaired)
        exact = allocate(data, RoundParameters(fairness=fairness, method=Method.SLOTS, gap=1e-9))
        assert repaired.figures.objective <= exact.figures.bound <= repaired.figures.bound
        assert repaired.figures.gap >= 0

    @frugal
    @given(small_rounds(slice_minutes=(WHOLE,), needs=5))
    def test_leaves_no_need_that_could_simply_be_served(self, data: RoundInput) -> None:
        result = allocate(data, RoundParameters(fairness=0, method=Method.REPAIR, repair_passes=20))
        for need in result.unserved:
            for held in need.nearest:
                assert held.hurdle in {"credit_spent", "company_spent", "volunteer_taken"}

"""The computation of grants: exact, never more than the pool, the same for everybody."""

from fractions import Fraction
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import BadInput
from services.credits.domain.campaigns import Rules
from services.credits.domain.grants import Adjustment, PanelSeat, compute_grants, decide_grants, explain_grant
from tests.builders.credits import make_rules, make_seat

rules_of_any_town = st.builds(
    make_rules,
    step_minutes=st.integers(1, 120),
    compensation_permille=st.integers(1, 2000),
    hour_value_cents=st.integers(100, 20_000),
)
seats_of_any_panel = st.lists(
    st.builds(
        PanelSeat,
        association_id=st.integers(1, 2**64).map(lambda number: UUID(int=number)),
        subsidy_before_cents=st.integers(0, 5_000_000),
        subsidy_after_cents=st.integers(0, 5_000_000),
        already_granted_minutes=st.integers(0, 5_000),
    ),
    max_size=12,
    unique_by=lambda seat: seat.association_id,
)
pools = st.integers(0, 60_000)


class TestComputeGrants:
    def test_follows_the_formula(self) -> None:
        # (9 600 − 8 000) € × 0.6 ÷ 45 € × 60 = 1 280 min, down to 1 275.
        seat = PanelSeat(UUID(int=1), 960_000, 800_000)
        rules = make_rules(compensation_permille=600, hour_value_cents=4500)
        (line,) = compute_grants([seat], rules=rules, pool_minutes=10_000).lines
        assert (line.exact_minutes, line.entitled_minutes, line.computed_minutes) == (Fraction(1280), 1275, 1275)

    def test_compensates_no_rise(self) -> None:
        (line,) = compute_grants([PanelSeat(UUID(int=1), 100, 200)], rules=make_rules(), pool_minutes=600).lines
        assert line.computed_minutes == 0

    def test_cuts_every_grant_in_the_same_proportion(self) -> None:
        seats = [make_seat(cut_cents=cents) for cents in (60_000, 30_000, 30_000)]
        computed = compute_grants(seats, rules=make_rules(), pool_minutes=600)
        assert sorted(line.computed_minutes for line in computed.lines) == [150, 150, 300]

    def test_gives_the_remainder_to_the_largest_remainder(self) -> None:
        # Due 5, 3 and 1 steps for a pool of 4: shares 2 2/9, 1 3/9, 4/9; the last step goes to the smallest association.
        seats = [make_seat(cut_cents=minutes * 100, association_id=UUID(int=i)) for i, minutes in enumerate((75, 45, 15))]
        computed = compute_grants(seats, rules=make_rules(), pool_minutes=60)
        assert [line.computed_minutes for line in computed.lines] == [30, 15, 15]
        assert [line.extra_step for line in computed.lines] == [False, False, True]

    def test_grants_later_only_what_is_still_due(self) -> None:
        (line,) = compute_grants(
            [make_seat(cut_cents=60_000, already_granted_minutes=450)], rules=make_rules(), pool_minutes=900
        ).lines
        assert (line.due_minutes, line.computed_minutes) == (150, 150)

    @given(seats=seats_of_any_panel, rules=rules_of_any_town, pool_minutes=pools)
    def test_never_grants_more_than_pool_or_due(self, seats: list[PanelSeat], rules: Rules, pool_minutes: int) -> None:
        computed = compute_grants(seats, rules=rules, pool_minutes=pool_minutes)
        assert computed.computed_minutes <= pool_minutes
        assert all(0 <= line.computed_minutes <= line.due_minutes <= line.entitled_minutes for line in computed.lines)

    @given(seats=seats_of_any_panel, rules=rules_of_any_town, pool_minutes=pools)
    def test_grants_whole_steps(self, seats: list[PanelSeat], rules: Rules, pool_minutes: int) -> None:
        for line in compute_grants(seats, rules=rules, pool_minutes=pool_minutes).lines:
            assert line.computed_minutes % rules.step_minutes == 0
            assert 0 <= line.exact_minutes - line.entitled_minutes < rules.step_minutes

    @given(seats=seats_of_any_panel, rules=rules_of_any_town, pool_minutes=pools)
    def test_uses_the_pool_as_far_as_whole_steps_can(self, seats: list[PanelSeat], rules: Rules, pool_minutes: int) -> None:
        computed = compute_grants(seats, rules=rules, pool_minutes=pool_minutes)
        available = pool_minutes // rules.step_minutes * rules.step_minutes
        assert computed.computed_minutes == min(available, computed.due_minutes)

    @given(seats=seats_of_any_panel, rules=rules_of_any_town, pool_minutes=pools)
    def test_stays_within_a_step_of_the_proportion(self, seats: list[PanelSeat], rules: Rules, pool_minutes: int) -> None:
        computed = compute_grants(seats, rules=rules, pool_minutes=pool_minutes)
        available = min(pool_minutes // rules.step_minutes * rules.step_minutes, computed.due_minutes)
        for line in computed.lines:
            exact = Fraction(line.due_minutes * available, computed.due_minutes or 1)
            assert abs(line.computed_minutes - exact) < rules.step_minutes

    @given(seats=seats_of_any_panel, rules=rules_of_any_town, pool_minutes=pools)
    def test_gives_no_less_for_more_due(self, seats: list[PanelSeat], rules: Rules, pool_minutes: int) -> None:
        lines = sorted(compute_grants(seats, rules=rules, pool_minutes=pool_minutes).lines, key=lambda line: line.due_minutes)
        for smaller, larger in pairwise(lines):
            if smaller.due_minutes < larger.due_minutes:
                assert smaller.computed_minutes <= larger.computed_minutes

    @given(cut=st.integers(0, 5_000_000), more=st.integers(0, 5_000_000), rules=rules_of_any_town)
    def test_grants_no_less_for_a_deeper_cut(self, cut: int, more: int, rules: Rules) -> None:
        def entitled(cents: int) -> int:
            return compute_grants([make_seat(cut_cents=cents)], rules=rules, pool_minutes=10**9).computed_minutes

        assert entitled(cut) <= entitled(cut + more)

    @given(seats=seats_of_any_panel, rules=rules_of_any_town, pool_minutes=pools, more=st.integers(0, 5_000))
    def test_grants_no_less_in_all_from_a_larger_pool(
        self, seats: list[PanelSeat], rules: Rules, pool_minutes: int, more: int
    ) -> None:
        small = compute_grants(seats, rules=rules, pool_minutes=pool_minutes)
        large = compute_grants(seats, rules=rules, pool_minutes=pool_minutes + more)
        assert small.computed_minutes <= large.computed_minutes

    @given(seats=seats_of_any_panel, rules=rules_of_any_town, pool_minutes=pools, data=st.data())
    def test_does_not_depend_on_the_order(
        self, seats: list[PanelSeat], rules: Rules, pool_minutes: int, data: st.DataObject
    ) -> None:
        shuffled = data.draw(st.permutations(seats))
        assert compute_grants(seats, rules=rules, pool_minutes=pool_minutes) == compute_grants(
            shuffled, rules=rules, pool_minutes=pool_minutes
        )


class TestDecideGrants:
    computed = {UUID(int=1): 600, UUID(int=2): 300}  # noqa: RUF012

    def test_keeps_what_is_not_adjusted(self) -> None:
        decisions = decide_grants(self.computed, [Adjustment(UUID(int=2), 450, "Public prioritaire")], step_minutes=15)
        assert [(decision.minutes, decision.adjustment_reason) for decision in decisions] == [
            (600, None),
            (450, "Public prioritaire"),
        ]

    def test_refuses_a_stranger(self) -> None:
        with pytest.raises(BadInput, match="/adjustments/0/association_id"):
            decide_grants(self.computed, [Adjustment(UUID(int=3), 15, "Oubliée")], step_minutes=15)

    def test_refuses_a_part_of_a_step(self) -> None:
        with pytest.raises(BadInput, match="multiple"):
            decide_grants(self.computed, [Adjustment(UUID(int=1), 20, "Arrondi")], step_minutes=15)

    def test_refuses_two_adjustments_of_one(self) -> None:
        twice = [Adjustment(UUID(int=1), 15, "Une fois"), Adjustment(UUID(int=1), 30, "Deux fois")]
        with pytest.raises(BadInput, match="twice"):
            decide_grants(self.computed, twice, step_minutes=15)


class TestExplainGrant:
    def test_says_the_formula_with_its_figures(self) -> None:
        rules = make_rules(compensation_permille=600, hour_value_cents=4500)
        computed = compute_grants([PanelSeat(UUID(int=1), 960_000, 800_000)], rules=rules, pool_minutes=600)
        text = explain_grant(computed.lines[0], rules=rules, is_cut=computed.is_cut).replace("\u202f", " ")
        assert text == (
            "(9 600,00 € − 8 000,00 €) × 0,6 ÷ 45,00 € × 60 = 1 280 min, arrondi au pas de 15 min : 1 275 min"
            " ; enveloppe insuffisante, réduction proportionnelle : 600 min."
        )

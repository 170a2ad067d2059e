"""A round as a whole: replayed, pinned, stopped, accounted for."""

import multiprocessing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.matching.engine.allocation.fairness import fairness_table, share_pool
from services.matching.engine.allocation.faults import BadRoundInput, InfeasiblePins, RoundStopped
from services.matching.engine.allocation.model import (
    Association,
    Company,
    Exclusion,
    Hurdle,
    Method,
    NeedRow,
    Pair,
    Pin,
    Proposal,
    RoundInput,
    RoundParameters,
    Volunteer,
    build_round_input,
)
from services.matching.engine.allocation.rounds import allocate, run_round
from tests.matching.allocation.rounds import ANY_PART, WHOLE, assert_limits_hold, frugal, shuffle, small_rounds


def make_round(**changes: Any) -> RoundInput:
    """Two associations, three needs, three volunteers, one company."""
    rows: dict[str, Any] = {
        "companies": [Company("c", 240)],
        "volunteers": [Volunteer("u", 120, "c"), Volunteer("v", 120, "c"), Volunteer("w", 60)],
        "associations": [Association("a", 240), Association("b", 120)],
        "needs": [NeedRow("l", "a", 120), NeedRow("m", "a", 120), NeedRow("n", "b", 60)],
        "pairs": [
            Pair("l", "u", 80),
            Pair("l", "v", 70),
            Pair("m", "u", 75),
            Pair("m", "v", 20),
            Pair("n", "w", 50),
            Pair("n", "v", 60),
        ],
    }
    return build_round_input(**(rows | changes))


def matches(proposals: tuple[Proposal, ...]) -> set[tuple[str, str]]:
    return {(item.need_id, item.volunteer_id) for item in proposals}


class TestReplay:
    @frugal
    @given(small_rounds(slice_minutes=(WHOLE, ANY_PART, 30)), st.integers(0, 1_000), st.sampled_from([0.0, 0.5, 1.0]))
    def test_rows_may_come_in_any_order(self, data: RoundInput, seed: int, fairness: float) -> None:
        parameters = RoundParameters(fairness=fairness)
        assert allocate(shuffle(data, seed), parameters) == allocate(data, parameters)

    def test_another_process_finds_the_same(self) -> None:
        data, parameters = make_round(), RoundParameters(fairness=0.7)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            elsewhere = pool.apply(run_round, (data, parameters))
        assert elsewhere == run_round(data, parameters)

    @pytest.mark.parametrize(
        "other",
        [
            make_round(companies=[Company("c", 241)]),
            make_round(needs=[NeedRow("l", "a", 120), NeedRow("m", "b", 120), NeedRow("n", "b", 60)]),
            replace(make_round(), pins=(Pin("l", "u"),)),
            replace(make_round(), exclusions=(Exclusion("l", "u"),)),
            make_round(volunteers=[Volunteer("u", 120), Volunteer("v", 120, "c"), Volunteer("w", 60)]),
        ],
    )
    def test_the_digest_tells_other_inputs(self, other: RoundInput) -> None:
        assert allocate(other).inputs_digest != allocate(make_round()).inputs_digest

    def test_the_digest_tells_other_parameters(self) -> None:
        digests = {
            allocate(make_round(), RoundParameters(**changes)).inputs_digest for changes in ({}, {"seed": "x"}, {"fairness": 0.1})
        }
        assert len(digests) == 3


class TestPins:
    def test_a_pin_holds_whatever_it_costs(self) -> None:
        data = replace(make_round(), pins=(Pin("m", "v"),))
        assert ("m", "u") in matches(allocate(make_round(), RoundParameters(fairness=0)).proposals)
        result = allocate(data, RoundParameters(fairness=0))
        assert {("l", "u"), ("m", "v")} <= matches(result.proposals)
        assert [item.pinned for item in result.proposals if item.need_id == "m"] == [True]
        assert_limits_hold(data, result)

    def test_an_excluded_pair_is_not_proposed(self) -> None:
        result = allocate(replace(make_round(), exclusions=(Exclusion("n", "v"), Exclusion("n", "w"))))
        assert "n" not in {item.need_id for item in result.proposals}
        assert [need.candidates for need in result.unserved if need.need_id == "n"] == [0]

    def test_a_pinned_part_leaves_the_rest_open(self) -> None:
        data = make_round(needs=[NeedRow("l", "a", 120, 30), NeedRow("m", "a", 120), NeedRow("n", "b", 60)])
        result = allocate(replace(data, pins=(Pin("l", "v", 30),)), RoundParameters(fairness=0))
        assert {(item.volunteer_id, item.minutes) for item in result.proposals if item.need_id == "l"} >= {("v", 30)}
        assert_limits_hold(data, result)

    @pytest.mark.parametrize(
        ("pins", "said"),
        [
            ((Pin("l", "u"), Pin("m", "u")), "volunteer u has 120 minutes, its pins take 240"),
            ((Pin("l", "u"), Pin("l", "v")), "need l asks 120 minutes, its pins take 240"),
            ((Pin("l", "w"),), "this is no pair of the round"),
            ((Pin("x", "u"),), "this is no pair of the round"),
            ((Pin("l", "u"), Pin("l", "u")), "pinned twice"),
            ((Pin("l", "u", 60),), "takes no part below 120"),
        ],
    )
    def test_pins_that_cannot_hold_are_named(self, pins: tuple[Pin, ...], said: str) -> None:
        with pytest.raises(InfeasiblePins, match=said) as refusal:
            allocate(replace(make_round(), pins=pins))
        assert len(refusal.value.conflicts) == 1

    def test_every_broken_limit_is_named(self) -> None:
        data = make_round(companies=[Company("c", 200)], associations=[Association("a", 200), Association("b", 120)])
        with pytest.raises(InfeasiblePins) as refusal:
            allocate(replace(data, pins=(Pin("l", "u"), Pin("m", "v"))))
        assert refusal.value.conflicts == (
            "association a has a credit of 200 minutes, its pins take 240",
            "company c has promised 200 minutes, its pins take 240",
        )

    def test_a_pair_both_pinned_and_excluded_is_refused(self) -> None:
        data = replace(make_round(), pins=(Pin("l", "u"),), exclusions=(Exclusion("l", "u"),))
        with pytest.raises(InfeasiblePins):
            allocate(data)


class TestStop:
    def test_stops_between_phases(self) -> None:
        phases: list[str] = []
        with pytest.raises(RoundStopped, match="solve"):
            allocate(
                make_round(),
                on_progress=lambda phase, done, total: phases.append(phase),
                should_stop=lambda: "check" in phases,
            )
        assert phases == ["check"]

    def test_a_child_process_tells_how_far_it_is(self) -> None:
        context = multiprocessing.get_context("spawn")
        listening, telling = context.Pipe(duplex=False)
        child = context.Process(target=run_round, args=(make_round(), RoundParameters(), telling))
        child.start()
        assert listening.poll(100)
        assert listening.recv() == ("check", 0, 0)
        child.kill()
        child.join()

    def test_progress_names_the_phases(self) -> None:
        phases: list[str] = []
        allocate(make_round(), on_progress=lambda phase, done, total: phases.append(phase))
        assert list(dict.fromkeys(phases)) == ["check", "solve", "repair", "price", "account"]


class TestAccounts:
    def test_says_where_the_minutes_went(self) -> None:
        data = make_round(
            companies=[],
            volunteers=[Volunteer("u", 120)],
            needs=[NeedRow("l", "a", 120), NeedRow("m", "a", 120)],
            pairs=[Pair("l", "u", 80), Pair("m", "u", 75)],
        )
        (unserved,) = allocate(data, RoundParameters(fairness=0)).unserved
        assert unserved.need_id == "m"
        assert unserved.hurdles == {Hurdle.VOLUNTEER_TAKEN: 1}
        assert unserved.nearest[0].gone_to == (("l", 120),)

    @pytest.mark.parametrize(
        ("changes", "hurdle"),
        [
            ({"associations": [Association("a", 130), Association("b", 120)]}, Hurdle.CREDIT_SPENT),
            ({"companies": [Company("c", 130)]}, Hurdle.COMPANY_SPENT),
        ],
    )
    def test_names_the_limit_that_held_a_pair_up(self, changes: dict[str, Any], hurdle: Hurdle) -> None:
        pairs = [Pair("l", "u", 80), Pair("m", "v", 75)]
        result = allocate(make_round(pairs=pairs, **changes), RoundParameters(fairness=0))
        assert {need.need_id: need.hurdles for need in result.unserved}["m"] == {hurdle: 1}

    @frugal
    @given(small_rounds(slice_minutes=(WHOLE, ANY_PART)))
    def test_served_and_missing_add_up(self, data: RoundInput) -> None:
        result = allocate(data)
        missing = sum(need.missing_minutes for need in result.unserved)
        assert missing + result.figures.served_minutes == result.figures.asked_minutes
        assert result.figures.served_minutes == sum(item.minutes for item in result.proposals)
        assert all(sum(need.hurdles.values()) == need.candidates for need in result.unserved)


class TestFairnessTable:
    @frugal
    @given(small_rounds())
    def test_each_row_is_that_slider_s_round(self, data: RoundInput) -> None:
        sliders = (0.0, 0.5, 1.0)
        for row, slider in zip(fairness_table(data, sliders=sliders), sliders, strict=True):
            figures = allocate(data, RoundParameters(fairness=slider)).figures
            assert (row.score, row.served_minutes) == (figures.score, figures.served_minutes)
            assert row.price_score == pytest.approx(figures.price_score)

    @frugal
    @given(st.integers(0, 500), st.lists(st.integers(0, 100), min_size=1, max_size=6))
    def test_a_shared_pool_is_shared_out(self, pool: int, credits: list[int]) -> None:
        shares = share_pool(pool, np.array(credits))
        assert shares.sum() == min(pool, sum(credits))
        assert (shares <= np.array(credits)).all()


class TestCheckRoundInput:
    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"volunteers": [Volunteer("u", -1, "c"), Volunteer("v", 1), Volunteer("w", 1)]}, "volunteer 'u' has minutes -1"),
            ({"needs": [NeedRow("l", "a", 0), NeedRow("m", "a", 1), NeedRow("n", "b", 1)]}, "need 'l' has minutes 0"),
            ({"pairs": [Pair("l", "u", 1), Pair("l", "u", 2)]}, "pair of need 'l' and volunteer 'u' has two rows"),
            ({"pairs": [Pair("l", "u", -5)]}, "pair points must be 0 to"),
            ({"companies": [Company("c", 1), Company("c", 1)]}, "company 'c' has two rows"),
        ],
    )
    def test_names_table_row_and_cure(self, changes: dict[str, Any], said: str) -> None:
        with pytest.raises(BadRoundInput, match=said):
            allocate(make_round(**changes))

    def test_refuses_a_name_without_a_row(self) -> None:
        with pytest.raises(BadRoundInput, match="volunteer 'x' is named and has no row"):
            make_round(pairs=[Pair("l", "x", 1)])

    @pytest.mark.parametrize("changes", [{"fairness": 1.1}, {"slices": 0}, {"gap": 0.0}, {"served_points": -1}])
    def test_refuses_parameters_out_of_range(self, changes: dict[str, Any]) -> None:
        with pytest.raises(BadRoundInput, match=next(iter(changes))):
            allocate(make_round(), RoundParameters(**changes))

    def test_refuses_to_cut_needs_that_take_no_part(self) -> None:
        with pytest.raises(BadRoundInput, match="some needs take no part"):
            allocate(make_round(), RoundParameters(method=Method.FLOW))

"""The score: whole points that add up, and the weights that a territory may give them."""

from dataclasses import asdict, fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import BadInput
from services.matching.engine.score import Measures, score_parts
from services.matching.engine.weights import ADDED_UP, BOUNDS, CRITERIA, DEFAULT_WEIGHTS, TOTAL_POINTS, Weights, check_weights

PERFECT = Measures(
    wanted_skills=2,
    met_sixths=12,
    near_sixths=0,
    metres=0,
    remote=False,
    common_days=30,
    wanted_days=30,
    common_parts=1,
    wanted_parts=1,
    asked_minutes=360,
    free_minutes=360,
    shared_missions=2,
    missions=0,
    unmet_minutes=360,
    needed_minutes=360,
)


def points(weights: Weights = DEFAULT_WEIGHTS, **changes: Any) -> dict[str, int]:
    return {part.name: part.points for part in score_parts(replace(PERFECT, **changes), weights)}


@st.composite
def some_weights(draw: st.DrawFn) -> Weights:
    """Any weights that a territory may set."""
    values = {name: draw(st.integers(*BOUNDS[name])) for name in BOUNDS}
    others = [name for name in ADDED_UP if name != "skills"]
    while sum(values[name] for name in others) > TOTAL_POINTS - BOUNDS["skills"][0]:
        largest = max(others, key=lambda name: values[name])
        values[largest] //= 2
    values["skills"] = TOTAL_POINTS - sum(values[name] for name in others)
    while values["skills"] > BOUNDS["skills"][1]:
        values["skills"], values["distance"] = values["skills"] - 1, values["distance"] + 1
    values["near"] = min(values["near"], values["skills"])
    return Weights(**values)


@st.composite
def some_measures(draw: st.DrawFn) -> Measures:
    """Whatever `assess` may measure: also of pairs that a gate blocks."""
    wanted = draw(st.integers(1, 20))
    exact = draw(st.integers(0, wanted))
    days, parts, needed = draw(st.integers(1, 400)), draw(st.integers(1, 21)), draw(st.integers(0, 10**6))
    return Measures(
        wanted_skills=wanted,
        met_sixths=draw(st.integers(0, 6 * exact)),
        near_sixths=draw(st.integers(0, 600 * (wanted - exact))),
        metres=draw(st.integers(-1, 500_000)),
        remote=draw(st.booleans()),
        common_days=draw(st.integers(0, days)),
        wanted_days=days,
        common_parts=draw(st.integers(0, parts)),
        wanted_parts=parts,
        asked_minutes=draw(st.integers(1, 120_000)),
        free_minutes=draw(st.integers(1, 120_000)),
        shared_missions=draw(st.integers(0, 30)),
        missions=draw(st.integers(0, 30)),
        unmet_minutes=draw(st.integers(0, needed)),
        needed_minutes=needed,
    )


class TestScoreParts:
    def test_a_perfect_pair_has_all_points(self) -> None:
        assert points() == {name: 0 if name == "near" else DEFAULT_WEIGHTS.of(name) for name in CRITERIA}
        assert sum(points().values()) == TOTAL_POINTS

    @given(some_measures(), some_weights())
    def test_each_part_is_a_whole_number_within_its_maximum_and_the_sum_within_100(
        self, measures: Measures, weights: Weights
    ) -> None:
        check_weights(weights)
        parts = score_parts(measures, weights)
        assert [part.name for part in parts] == list(CRITERIA)
        assert all(isinstance(part.points, int) and 0 <= part.points <= part.maximum == weights.of(part.name) for part in parts)
        assert 0 <= sum(part.points for part in parts) <= TOTAL_POINTS

    def test_rounds_down(self) -> None:
        assert points(met_sixths=11)["skills"] == 45  # 45.83
        assert points(met_sixths=4)["skills"] == 16  # 16.67
        assert points(common_days=29)["availability"] == 11  # 11.6
        assert points(met_sixths=0, near_sixths=599)["near"] == 12  # 12.48

    def test_near_skills_count_for_their_share_and_level(self) -> None:
        assert points(met_sixths=6, near_sixths=60 * 6) == points() | {"skills": 25, "near": 7}
        assert points(met_sixths=6, near_sixths=60 * 3)["near"] == 3

    @pytest.mark.parametrize(
        ("metres", "remote", "expected"),
        [(0, False, 12), (1, False, 11), (1570, False, 11), (12_500, False, 6), (25_000, False, 0), (90_000, False, 0),
         (-1, False, 0), (-1, True, 7), (0, True, 12), (20_000, True, 7)],
    )  # fmt: skip
    def test_distance(self, metres: int, remote: bool, expected: int) -> None:
        assert points(metres=metres, remote=remote)["distance"] == expected

    def test_availability_is_the_share_of_days_times_that_of_the_week(self) -> None:
        assert points(common_days=15)["availability"] == 6
        assert points(common_days=15, common_parts=1, wanted_parts=3)["availability"] == 2

    def test_an_offer_that_is_used_up_fits_best(self) -> None:
        assert [points(free_minutes=free)["minutes"] for free in (360, 600, 720, 3600, 60)] == [6, 3, 3, 0, 6]

    def test_continuity_grows_to_its_full_points(self) -> None:
        assert [points(shared_missions=number)["continuity"] for number in (0, 1, 2, 9)] == [0, 3, 6, 6]

    def test_newcomers_chance_shrinks_with_each_mission(self) -> None:
        assert [points(missions=number)["newcomer"] for number in (0, 1, 2, 3, 9)] == [6, 4, 2, 0, 0]

    def test_an_association_that_waits_for_more_has_more(self) -> None:
        assert [points(unmet_minutes=minutes)["unmet"] for minutes in (360, 180, 0)] == [8, 4, 0]
        assert points(unmet_minutes=0, needed_minutes=0)["unmet"] == 8


class TestCheckWeights:
    def test_the_defaults_are_within_the_bounds_and_make_100(self) -> None:
        check_weights(DEFAULT_WEIGHTS)
        assert set(BOUNDS) == {field.name for field in fields(Weights)} == set(asdict(DEFAULT_WEIGHTS))

    @pytest.mark.parametrize(
        ("changes", "pointer"),
        [
            ({"skills": 20, "distance": 40}, "/skills"),
            ({"skills": 51}, "/skills"),
            ({"near": 51}, "/near"),
            ({"far_km": 0}, "/far_km"),
            ({"newcomer_missions": 0}, "/newcomer_missions"),
        ],
    )
    def test_names_the_field_and_the_cure(self, changes: dict[str, int], pointer: str) -> None:
        with pytest.raises(BadInput) as caught:
            check_weights(replace(DEFAULT_WEIGHTS, **changes))
        assert pointer in [fault.pointer for fault in caught.value.fields]

    def test_says_how_far_the_sum_is_off(self) -> None:
        with pytest.raises(BadInput, match="add up to 103, 3 too many; lower one"):
            check_weights(replace(DEFAULT_WEIGHTS, distance=15))

"""Gates and points for many pairs are those of the scalar engine, number by number."""

from datetime import date, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.matching.domain.needs import Unmet
from services.matching.domain.shared import Commune, Setting, Skill
from services.matching.domain.week import WeekPart, days_mask, list_parts
from services.matching.engine.allocation.gates import Market, judge_pairs
from services.matching.engine.allocation.model import Ints
from services.matching.engine.allocation.points import PairMeasures, compare_skills, mask_days, score_pairs
from services.matching.engine.allocation.tables import NO_SKILL, NOWHERE, Demand, KnownPairs, Places, Supply
from services.matching.engine.comparison import compare_skills as compare_one
from services.matching.engine.fit import assess
from services.matching.engine.places import measure_metres
from services.matching.engine.score import Measures, score_parts
from services.matching.engine.weights import DEFAULT_WEIGHTS, Weights
from tests.builders.matching import make_candidate, make_need, make_referential, make_surroundings
from tests.matching.allocation.rounds import frugal
from tests.matching.test_score import some_measures, some_weights

CODES = [f"s{number}" for number in range(6)]
NEAR = {"s0": {"s1": 0.5, "s2": 0.8}, "s1": {"s0": 0.5}, "s3": {"s4": 0.35}, "s5": {"s2": 0.3, "s3": 0.6}}
LANGUAGES = ["fr", "en", "ar"]
TOWNS = [("92071", 48.776, 2.29628), ("92014", 48.78006, 2.31673), ("92002", 48.75075, 2.29764), ("78646", 48.8014, 2.1301)]
DAY = date(2026, 10, 1)


REFERENTIAL = make_referential({code: code for code in CODES}, near=NEAR)


def near_percents() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    table = np.zeros((len(CODES), len(CODES)), dtype=np.uint8)
    for code, near in REFERENTIAL.near_percents.items():
        for other, percent in near.items():
            table[CODES.index(code), CODES.index(other)] = percent
    return table


def as_arrays(measures: list[Measures]) -> PairMeasures:
    return PairMeasures(**{name: np.array([getattr(m, name) for m in measures]) for name in PairMeasures.__dataclass_fields__})


class TestScorePairs:
    @frugal
    @given(st.lists(some_measures(), min_size=1, max_size=20), some_weights())
    def test_equals_the_scalar_score(self, measures: list[Measures], weights: Weights) -> None:
        scores = [sum(part.points for part in score_parts(one, weights)) for one in measures]
        assert score_pairs(as_arrays(measures), weights).tolist() == scores


skill_lists = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 3)), min_size=1, max_size=4, unique_by=lambda skill: skill[0])


class TestCompareSkills:
    @frugal
    @given(skill_lists, skill_lists)
    def test_equals_the_scalar_comparison(self, wanted: list[tuple[int, int]], offered: list[tuple[int, int]]) -> None:
        one = compare_one(_skills(wanted), _skills(offered), REFERENTIAL, near_from_percent=30)
        met, near = compare_skills(*_columns([wanted]), *_columns([offered]), near_percents())
        assert (met[0], near[0]) == (one.met_sixths, one.near_sixths)


class TestMaskDays:
    @frugal
    @given(st.dates(date(2026, 1, 1), date(2027, 1, 1)), st.integers(-2, 9))
    def test_equals_the_scalar_mask(self, first: date, days: int) -> None:
        last = first + timedelta(days=days)
        assert mask_days(np.array([first.toordinal()]), np.array([last.toordinal()]))[0] == days_mask(first, last)


class TestMeasureMetres:
    @frugal
    @given(st.floats(-60, 60), st.floats(-179, 179), st.floats(-60, 60), st.floats(-179, 179))
    def test_is_the_scalar_distance_to_the_metre(self, north: float, east: float, other_north: float, other_east: float) -> None:
        places = Places(np.array([north, other_north]), np.array([east, other_east]))
        scalar = measure_metres(Commune("a", north, east), Commune("b", other_north, other_east))
        assert places.measure_metres(np.array([0]), np.array([1]))[0] == pytest.approx(scalar, abs=1)


@st.composite
def sides(draw: st.DrawFn) -> dict[str, Any]:
    starts = DAY + timedelta(days=draw(st.integers(0, 20)))
    return {
        "town": draw(st.sampled_from([None, 0, 1, 2, 3])),
        "remote": draw(st.booleans()),
        "minutes": draw(st.integers(1, 10)) * 30,
        "starts": starts,
        "ends": starts + timedelta(days=draw(st.integers(7, 30))),
        "week": draw(st.sampled_from([0, 0, 0b111, 0b101010101, (1 << 21) - 1, 1 << 20])),
        "languages": draw(st.sets(st.sampled_from(LANGUAGES))),
        "skills": draw(skill_lists),
        "radius": draw(st.sampled_from([0, 1, 3, 5, 30])),
        "setting": draw(st.sampled_from([None, Setting.PERSONAL, Setting.PROFESSIONAL])),
        "flag": draw(st.booleans()),
        "missions": draw(st.integers(0, 4)),
    }


class TestJudgePairs:
    @frugal
    @given(st.lists(sides(), min_size=1, max_size=4), st.lists(sides(), min_size=1, max_size=6), st.data())
    def test_passes_and_scores_what_the_scalar_engine_does(
        self, asked: list[dict[str, Any]], given_: list[dict[str, Any]], data: st.DataObject
    ) -> None:
        pairs = [(need, offer) for need in range(len(asked)) for offer in range(len(given_))]
        barred = data.draw(st.sets(st.sampled_from(pairs)))
        together = data.draw(st.dictionaries(st.sampled_from(pairs), st.integers(1, 3)))
        unmet = data.draw(st.lists(st.integers(0, 600), min_size=len(asked), max_size=len(asked)))
        market = _market(asked, given_, barred, together, unmet)
        found = judge_pairs(market, *(np.array(column, dtype=np.int32) for column in zip(*pairs, strict=True)))
        scores = dict(zip(zip(found.need.tolist(), found.offer.tolist(), strict=True), found.points.tolist(), strict=True))
        assert scores == _judge_one_by_one(asked, given_, barred, together, unmet)


def _judge_one_by_one(
    asked: list[dict[str, Any]],
    given_: list[dict[str, Any]],
    barred: set[tuple[int, int]],
    together: dict[tuple[int, int], int],
    unmet: list[int],
) -> dict[tuple[int, int], int]:
    needs = [
        make_need(
            id=UUID(int=row + 1),
            association_id=UUID(int=100 + row),
            skills=_skills(side["skills"]),
            minutes=side["minutes"],
            starts_on=side["starts"],
            ends_on=side["ends"],
            commune=_insee(side),
            remote=side["remote"],
            week=tuple(_week(side)),
            languages=tuple(sorted(side["languages"])),
            setting=side["setting"],
            with_minors=side["flag"],
        )
        for row, side in enumerate(asked)
    ]
    offers = [
        make_candidate(
            id=UUID(int=1_000 + row),
            volunteer_id=UUID(int=2_000 + row),
            missions=side["missions"],
            skills=_skills(side["skills"]),
            minutes=side["minutes"],
            available_from=side["starts"],
            available_until=side["ends"],
            commune=_insee(side),
            remote=side["remote"],
            radius_km=side["radius"],
            week=tuple(_week(side)),
            languages=tuple(sorted(side["languages"])),
            setting=side["setting"] or Setting.PERSONAL,
            honorability_checked_on=DAY if side["flag"] else None,
        )
        for row, side in enumerate(given_)
    ]
    surroundings = make_surroundings(
        today=DAY,
        communes={insee: Commune(insee, lat, lng) for insee, lat, lng in TOWNS},
        referential=REFERENTIAL,
        turned_down=frozenset((UUID(int=need + 1), UUID(int=1_000 + offer)) for need, offer in barred),
        worked_together={(UUID(int=2_000 + offer), UUID(int=100 + need)): count for (need, offer), count in together.items()},
        unmet={(need.campaign_id, need.association_id): Unmet(unmet[row], 600) for row, need in enumerate(needs)},
    )
    scores = {}
    for row, need in enumerate(needs):
        for column, offer in enumerate(offers):
            fit = assess(need, offer, surroundings)
            if fit.fits:
                scores[row, column] = fit.score
    return scores


def _market(
    asked: list[dict[str, Any]],
    given_: list[dict[str, Any]],
    barred: set[tuple[int, int]],
    together: dict[tuple[int, int], int],
    unmet: list[int],
) -> Market:
    """Flags: 1 professional, 2 personal, 4 honorability checked."""
    settings_of = {None: 0, Setting.PROFESSIONAL: 1, Setting.PERSONAL: 2}
    need_skills, need_levels = _columns([side["skills"] for side in asked])
    offer_skills, offer_levels = _columns([side["skills"] for side in given_])
    demand = Demand(
        **_common(asked),
        least_minutes=_ints(side["minutes"] for side in asked),
        requires=_ints(settings_of[side["setting"]] + 4 * side["flag"] for side in asked),
        skills=need_skills,
        levels=need_levels,
        association=np.arange(len(asked)),
        unmet_minutes=np.array(unmet),
        needed_minutes=np.full(len(asked), 600),
    )
    supply = Supply(
        **_common(given_),
        radius_km=_ints(side["radius"] for side in given_),
        flags=_ints(settings_of[side["setting"] or Setting.PERSONAL] + 4 * side["flag"] for side in given_),
        skills=offer_skills,
        levels=offer_levels,
        missions=_ints(side["missions"] for side in given_),
    )
    known = KnownPairs(
        barred_need=_ints(need for need, _ in sorted(barred)),
        barred_offer=_ints(offer for _, offer in sorted(barred)),
        together_association=_ints(need for need, _ in sorted(together)),
        together_offer=_ints(offer for _, offer in sorted(together)),
        together_missions=_ints(together[pair] for pair in sorted(together)),
    )
    places = Places(np.array([town[1] for town in TOWNS]), np.array([town[2] for town in TOWNS]))
    return Market(demand, supply, places, known, near_percents(), DEFAULT_WEIGHTS)


def _common(side_rows: list[dict[str, Any]]) -> dict[str, Ints]:
    return {
        "place": _ints(NOWHERE if side["town"] is None else side["town"] for side in side_rows),
        "remote": np.array([side["remote"] for side in side_rows], dtype=bool),
        "minutes": _ints(side["minutes"] for side in side_rows),
        "starts": _ints(side["starts"].toordinal() for side in side_rows),
        "ends": _ints(side["ends"].toordinal() for side in side_rows),
        "week": _ints(side["week"] for side in side_rows),
        "languages": _ints(sum(1 << LANGUAGES.index(name) for name in side["languages"]) for side in side_rows),
    }


def _ints(values: Any) -> Ints:
    return np.array(list(values), dtype=np.int32)


def _insee(side: dict[str, Any]) -> str | None:
    return None if side["town"] is None else TOWNS[side["town"]][0]


def _week(side: dict[str, Any]) -> list[WeekPart]:
    return list_parts(side["week"]) if side["week"] else []


def _skills(skills: Any) -> tuple[Skill, ...]:
    return tuple(Skill(CODES[number], level) for number, level in skills)


def _columns(rows: Any, most: int = 4) -> tuple[Ints, Ints]:
    skills = [[number for number, _ in row] + [NO_SKILL] * (most - len(row)) for row in rows]
    levels = [[level for _, level in row] + [1] * (most - len(row)) for row in rows]
    return np.array(skills, dtype=np.int16), np.array(levels, dtype=np.uint8)

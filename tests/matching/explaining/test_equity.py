"""Rates, intervals, and what is not shown."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.ids import new_id
from services.matching.engine.explaining.equity import (
    LEAST_NEEDS,
    Equity,
    Observation,
    list_rows,
    measure_equity,
    measure_interval,
    render_equity,
)


def observe(number: int, *, proposed: int, fields: tuple[str, ...] = ("culture",)) -> list[Observation]:
    """So many needs of one association."""
    association_id = new_id()
    return [Observation(association_id, fields, 60, position < proposed, agreed=False) for position in range(number)]


def measure(*groups: list[Observation]) -> Equity:
    return measure_equity([one for group in groups for one in group], since=date(2026, 1, 1), until=date(2026, 6, 30))


class TestMeasureInterval:
    def test_as_published(self) -> None:
        """Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263, and 0 of 20."""
        assert [round(share, 4) for share in measure_interval(81, 263)] == [0.2553, 0.3662]
        assert [round(share, 4) for share in measure_interval(0, 20)] == [0.0, 0.1611]

    @given(st.integers(0, 500), st.integers(0, 500))
    def test_holds_the_rate(self, one: int, other: int) -> None:
        successes, trials = min(one, other), max(one, other)
        low, high = measure_interval(successes, trials)
        assert 0 <= low <= high <= 1
        assert trials == 0 or low <= successes / trials + 1e-12
        assert trials == 0 or successes / trials <= high + 1e-12


class TestMeasureEquity:
    def test_by_size_and_field(self) -> None:
        found = measure(
            observe(6, proposed=3),
            observe(5, proposed=5, fields=("sport", "culture")),
            *(observe(2, proposed=1) for _ in range(4)),
        )
        assert (found.all.needs, found.all.proposed) == (19, 12)
        assert {group.name: (group.needs, group.rate) for group in found.sizes} == {
            "1 besoin": (0, None), "2 à 4 besoins": (8, 0.5), "5 besoins ou plus": (11, pytest.approx(8 / 11)),
        }  # fmt: skip
        assert {group.name: group.needs for group in found.fields} == {"culture": 19, "sport": 5}

    def test_small_groups_are_hidden_and_cannot_be_told_from_the_total(self) -> None:
        found = measure(observe(1, proposed=1), observe(6, proposed=3), *(observe(2, proposed=1) for _ in range(4)))
        assert {group.name: group.hidden for group in found.sizes} == {
            "1 besoin": True, "2 à 4 besoins": False, "5 besoins ou plus": True,
        }  # fmt: skip
        assert all(group.proposed is None for group in found.sizes if group.hidden)
        rare = measure(observe(9, proposed=3), observe(LEAST_NEEDS - 1, proposed=1, fields=("mobilité",)))
        assert {group.name: group.hidden for group in rare.fields} == {"culture": False, "mobilité": True}

    def test_the_page_escapes_and_has_every_figure(self) -> None:
        page = render_equity(measure(observe(8, proposed=4, fields=("<script>alert(1)</script>",))), town='Ville <"&>')
        assert "<script" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert "50 %" in page
        assert 'lang="fr"' in page
        assert "http" not in page

    def test_rows_for_a_spreadsheet(self) -> None:
        rows = list(list_rows(measure(observe(8, proposed=4))))
        assert rows[0] == ("total", "tous", 8, 1, 4, 0, 480, 0.5, 0.2152, 0.7848)

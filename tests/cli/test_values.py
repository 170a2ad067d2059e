"""Cells: what is accepted, and that every refusal says its cure."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.importer import values
from cli.importer.codes import ACTOR_KINDS, EXPIRIES, FIELDS_OF_ACTION, MEMBER_ROLES, SETTINGS
from cli.importer.values import BadCell
from services.credits.domain.campaigns import ExpiryRule
from services.matching.domain.shared import Setting
from services.registry.domain.records import ActorKind, FieldOfAction, MemberRole


class TestMinutes:
    @pytest.mark.parametrize(
        ("cell", "minutes"),
        [("10", 600), ("14,5", 870), ("14.25", 855), ("7 h 30", 450), ("2h", 120), ("0h45", 45), ("1 200", 72000)],
    )
    def test_reads_hours_as_people_write_them(self, cell: str, minutes: int) -> None:
        assert values.minutes(cell) == minutes

    @pytest.mark.parametrize("cell", ["0", "-3", "dix", "0,001", "nan", "1e9", "1e99999999999", "inf", "--", "7 h 3x"])
    def test_refuses_what_is_no_duration(self, cell: str) -> None:
        with pytest.raises(BadCell) as refusal:
            values.minutes(cell)
        assert refusal.value.cure


class TestCents:
    @pytest.mark.parametrize(("cell", "cents"), [("9600.00", 960000), ("1 250,5", 125050), ("0", 0), ("12 €", 1200)])
    def test_reads_euros(self, cell: str, cents: int) -> None:
        assert values.cents(cell) == cents

    @pytest.mark.parametrize("cell", ["12.345", "-1", "beaucoup", "1e13"])
    def test_refuses_fractions_of_a_cent(self, cell: str) -> None:
        with pytest.raises(BadCell):
            values.cents(cell)


class TestDay:
    def test_shifts_iso_and_french_dates_alike(self) -> None:
        assert values.day(10)("2026-11-22") == values.day(10)("22/11/2026") == "2026-12-02"

    @pytest.mark.parametrize("cell", ["31/02/2026", "2026-13-01", "hier", "22-11-2026", "9999-12-31"])
    def test_refuses_days_that_do_not_exist(self, cell: str) -> None:
        with pytest.raises(BadCell, match="date"):
            values.day(1)(cell)


class TestPermille:
    @pytest.mark.parametrize(("cell", "permille"), [("0.60", 600), ("0,605", 605), ("60 %", 600), ("60,5%", 605), ("1", 1000)])
    def test_reads_a_share_exactly(self, cell: str, permille: int) -> None:
        assert values.permille(cell) == permille

    @pytest.mark.parametrize("cell", ["0", "1,2", "-0.1", "soixante", "0.6005"])
    def test_refuses_what_is_no_share(self, cell: str) -> None:
        with pytest.raises(BadCell):
            values.permille(cell)


class TestOneOf:
    def test_accepts_french_words_accents_and_the_api_codes(self) -> None:
        kind = values.one_of(ACTOR_KINDS)
        assert [kind(word) for word in ("Entreprise", "coopérative", "tiers lieu", "company")] == [
            "company", "cooperative", "third_place", "company",
        ]  # fmt: skip

    def test_names_the_choices(self) -> None:
        with pytest.raises(BadCell) as refusal:
            values.one_of(ACTOR_KINDS)("club")
        assert "tiers_lieu" in refusal.value.cure

    @pytest.mark.parametrize(
        ("table", "codes"),
        [
            (ACTOR_KINDS, ActorKind),
            (FIELDS_OF_ACTION, FieldOfAction),
            (MEMBER_ROLES, MemberRole),
            (EXPIRIES, ExpiryRule),
            (SETTINGS, Setting),
        ],
    )
    def test_every_code_of_the_api_has_a_french_word(self, table: dict[str, str], codes: Any) -> None:
        assert set(table.values()) == {str(code) for code in codes}


class TestSkill:
    def test_reads_label_and_level(self) -> None:
        assert values.skill("comptabilité:3") == ("comptabilité", 3)
        assert values.skill("lecture") == ("lecture", None)

    @pytest.mark.parametrize("cell", ["comptabilité:9", ":2", "x:y"])
    def test_refuses_unknown_levels(self, cell: str) -> None:
        with pytest.raises(BadCell):
            values.skill(cell)


READERS: list[Callable[[str], Any]] = [
    values.minutes, values.cents, values.day(3), values.permille, values.insee, values.ref, values.boolean, values.skill,
    values.whole(1, 60), values.degrees(90), values.one_of(ACTOR_KINDS), values.many(values.insee), values.text(longest=10),
]  # fmt: skip


class TestEveryReader:
    @given(cell=st.text(min_size=1), index=st.integers(0, len(READERS) - 1))
    def test_gives_a_value_or_a_cure_and_never_another_error(self, cell: str, index: int) -> None:
        try:
            READERS[index](cell)
        except BadCell as refusal:
            said = (refusal.problem, refusal.cure)
        else:
            said = ("a value", "nothing")
        assert all(said)


class TestThresholdMinutes:
    @pytest.mark.parametrize(("cell", "expected"), [("0", 0), ("10", 600), ("14 h 30", 870)])
    def test_reads_hours_from_zero_on(self, cell: str, expected: int) -> None:
        assert values.threshold_minutes(cell) == expected

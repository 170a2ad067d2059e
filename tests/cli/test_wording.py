"""Figures on a terminal, as French readers write them."""

import pytest

from cli.wording import counted, day, euros, hours


@pytest.mark.parametrize(
    ("minutes", "text"),
    [(0, "0 h"), (45, "45 min"), (60, "1 h"), (135, "2 h 15"), (-60, "−1 h"), (-75, "−1 h 15"), (60_000, "1 000 h")],
)
def test_hours_are_said_as_people_say_them(minutes: int, text: str) -> None:
    assert hours(minutes) == text


@pytest.mark.parametrize(("cents", "text"), [(0, "0 €"), (125_000, "1 250 €"), (1_205, "12,05 €"), (-50, "−0,50 €")])
def test_euros_bear_cents_where_there_are_any(cents: int, text: str) -> None:
    assert euros(cents) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 mission proposée"), (1, "1 mission proposée"), (2, "2 missions proposées"), (1_500, "1 500 missions proposées")]
)  # fmt: skip
def test_words_agree_with_their_number(number: int, text: str) -> None:
    assert counted(number, "mission proposée") == text


@pytest.mark.parametrize(
    ("text", "said"), [("2026-11-22", "22/11/2026"), ("2026-11-22T23:30:00Z", "23/11/2026"), ("", "—"), (None, "—")]
)
def test_a_day_is_the_towns(text: str | None, said: str) -> None:
    assert day(text) == said

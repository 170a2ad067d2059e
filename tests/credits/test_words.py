"""Amounts in French words: known spellings, and an inverse that reads back every number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.credits.domain.words import GREATEST, amount_words, number_words

KNOWN = {
    0: "zéro", 1: "un", 10: "dix", 16: "seize", 17: "dix-sept", 20: "vingt", 21: "vingt et un", 22: "vingt-deux",
    31: "trente et un", 61: "soixante et un", 69: "soixante-neuf", 70: "soixante-dix", 71: "soixante et onze",
    72: "soixante-douze", 79: "soixante-dix-neuf", 80: "quatre-vingts", 81: "quatre-vingt-un", 90: "quatre-vingt-dix",
    91: "quatre-vingt-onze", 99: "quatre-vingt-dix-neuf", 100: "cent", 101: "cent un", 180: "cent quatre-vingts",
    200: "deux cents", 201: "deux cent un", 280: "deux cent quatre-vingts", 1000: "mille", 1001: "mille un",
    1100: "mille cent", 2000: "deux mille", 71_000: "soixante et onze mille", 80_000: "quatre-vingt mille",
    81_200: "quatre-vingt-un mille deux cents", 200_000: "deux cent mille", 280_000: "deux cent quatre-vingt mille",
    1_000_000: "un million", 2_000_000: "deux millions", 80_000_000: "quatre-vingts millions",
    200_000_000: "deux cents millions", 1_000_001: "un million un", 1_000_000_000: "un milliard",
}  # fmt: skip

_VALUES = {
    word: number
    for number, word in enumerate(
        "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize".split()  # noqa: SIM905
    )
} | {"vingt": 20, "vingts": 20, "trente": 30, "quarante": 40, "cinquante": 50, "soixante": 60}
_NOUNS = {"million": 10**6, "millions": 10**6, "milliard": 10**9, "milliards": 10**9}


def read_number(words: str) -> int:
    """The inverse, written from the grammar rather than from the code: quatre-vingt multiplies, the rest adds."""
    total = part = group = 0
    for word in words.replace("-", " ").split():
        if word == "et":
            continue
        if word in _NOUNS:
            total, part, group = total + (part + group) * _NOUNS[word], 0, 0
        elif word == "mille":
            part, group = part + (group or 1) * 1000, 0
        elif word in {"cent", "cents"}:
            group = (group or 1) * 100
        elif word in {"vingt", "vingts"} and group % 100 == 4:
            group += 76
        else:
            group += _VALUES[word]
    return total + part + group


class TestNumberWords:
    @pytest.mark.parametrize(("number", "words"), KNOWN.items())
    def test_spells_as_the_grammars_do(self, number: int, words: str) -> None:
        assert number_words(number) == words

    def test_every_number_below_ten_thousand_reads_back(self) -> None:
        assert all(read_number(number_words(number)) == number for number in range(10_000))

    @given(st.integers(0, GREATEST))
    def test_any_number_reads_back(self, number: int) -> None:
        assert read_number(number_words(number)) == number

    @given(st.integers(0, GREATEST))
    def test_plurals_stand_only_where_nothing_but_a_noun_follows(self, number: int) -> None:
        words = number_words(number).split()
        for word, after in zip(words, [*words[1:], ""], strict=True):
            if word.endswith(("vingts", "cents")):
                assert after in {"", *_NOUNS}
            assert not word.startswith("milles")

    @pytest.mark.parametrize("number", [-1, GREATEST + 1])
    def test_refuses_what_it_cannot_write(self, number: int) -> None:
        with pytest.raises(ValueError, match="not written in words"):
            number_words(number)


class TestAmountWords:
    @pytest.mark.parametrize(
        ("cents", "words"),
        [
            (0, "zéro euro"),
            (1, "un centime"),
            (50, "cinquante centimes"),
            (100, "un euro"),
            (101, "un euro et un centime"),
            (200, "deux euros"),
            (120_050, "mille deux cents euros et cinquante centimes"),
            (8_000, "quatre-vingts euros"),
            (100_000_000, "un million d'euros"),
            (200_000_000, "deux millions d'euros"),
            (200_000_100, "deux millions un euros"),
            (100_000_000_000, "un milliard d'euros"),
        ],
    )
    def test_says_euros_and_cents(self, cents: int, words: str) -> None:
        assert amount_words(cents) == words

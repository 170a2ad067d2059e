"""Letters: each event, each audience, each language."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifications.domain.announcements import RULES, Rule
from services.notifications.letters import LOCALES, NO_BREAK, day, hours, one_line, write_letter
from services.notifications.use_cases.announcements import Names
from tests.builders.notifications import make_event

KNOWN = Names("Sceaux", "Tenir les comptes", "Pilote 2026", "Lire ensemble", "Victor", "Calcul & Cie", "Calcul & Cie")
CASES = [(rule, you, locale) for rule in RULES for you in rule.audiences for locale in LOCALES]


def _write(rule: Rule, you: str, locale: str, names: Names = KNOWN) -> tuple[str, str]:
    event = make_event(rule.event_type, **(rule.when or {}))
    letter = write_letter(
        rule.event_type, locale=locale, event=event, you=you, person="Odile", names=names, category=rule.category
    )
    return letter.subject, letter.body


@pytest.mark.parametrize(("rule", "you", "locale"), CASES, ids=lambda value: str(getattr(value, "event_type", value)))
class TestWriteLetter:
    def test_has_a_subject_a_text_and_a_next_step(self, rule: Rule, you: str, locale: str) -> None:
        subject, body = _write(rule, you, locale)
        assert 5 < len(subject) <= 120 and "\n" not in subject
        assert ("La suite" if locale == "fr" else "Next step:") in body
        assert ("Bonjour" if locale == "fr" else "Hello") in body and "Sceaux" in body
        for trace_of_a_template in ("{{", "{%", "None", "Undefined", "  \n", "\n\n\n"):
            assert trace_of_a_template not in subject + body

    def test_reads_well_while_names_are_unknown(self, rule: Rule, you: str, locale: str) -> None:
        subject, body = _write(rule, you, locale, Names("Sceaux"))
        assert "« »" not in subject + body.replace(NO_BREAK, " ") and "“”" not in subject + body
        assert " ." not in body and "( " not in body


class TestSettlementRefused:
    @pytest.mark.parametrize(
        ("locale", "cure"), [("fr", "faites accepter la convention"), ("en", "have the convention accepted")]
    )
    def test_without_a_convention_says_what_to_do(self, locale: str, cure: str) -> None:
        rule = next(rule for rule in RULES if rule.event_type == "credits.settlement_refused.v1")
        event = make_event(rule.event_type, code="convention-missing")
        letter = write_letter(
            rule.event_type, locale=locale, event=event, you="association", person="Odile", names=KNOWN, category=rule.category
        )
        assert cure in letter.body and "convention" in letter.subject


class TestOtherLocale:
    def test_falls_back_to_french(self) -> None:
        rule = RULES[0]
        assert _write(rule, rule.audiences[0], "br") == _write(rule, rule.audiences[0], "fr")


class TestHours:
    @pytest.mark.parametrize(
        ("minutes", "french", "english"),
        [
            (0, "0 min", "0 min"),
            (45, "45 min", "45 min"),
            (60, "1 h", "1 h"),
            (90, "1 h 30", "1 h 30 min"),
            (-605, "-10 h 05", "-10 h 05 min"),
        ],
    )
    def test_reads_as_people_write(self, minutes: int, french: str, english: str) -> None:
        assert (hours(minutes, "fr").replace(NO_BREAK, " "), hours(minutes, "en").replace(NO_BREAK, " ")) == (french, english)


class TestDay:
    def test_reads_as_people_write(self) -> None:
        assert day(date(2026, 3, 1), "fr").replace(NO_BREAK, " ") == "1er mars 2026"
        assert day(date(2026, 8, 12), "en").replace(NO_BREAK, " ") == "12 August 2026"


class TestOneLine:
    @given(st.text())
    def test_can_end_no_header(self, text: str) -> None:
        line = one_line(text)
        assert len(line) <= 180 and len(line.splitlines()) <= 1
        assert not any(ord(character) < 32 for character in line)

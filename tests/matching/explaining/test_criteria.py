"""Why this score: parts that add up, and calculations that give what they say."""

import re
from dataclasses import fields

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.matching.domain.shared import Skill
from services.matching.domain.weights import Weights
from services.matching.engine.explaining.criteria import INPUTS, list_criteria
from services.matching.engine.explaining.evidence import find_words
from services.matching.engine.explaining.freezing import Origin, freeze
from services.matching.engine.fit import assess
from services.matching.engine.reasons import explain_parts
from services.matching.engine.score import Measures
from services.matching.engine.weights import CRITERIA
from tests.builders.matching import make_candidate, make_need, make_referential, make_surroundings

REFERENTIAL = make_referential(
    {"compta": "comptabilité", "paie": "paie"},
    near={"compta": {"paie": 0.5}},
    synonyms={"compta": ["tenir les comptes", "factures à classer"]},
)


def evaluate(calculation: str) -> int:
    """“50 × 12 ÷ (6 × 2) = 50” says how it comes to its last figure; every division rounds down."""
    term, figure = calculation.rsplit(" = ", 1) if " = " in calculation else (calculation, calculation)
    assert re.fullmatch(r"[0-9 ×÷()]+", term)
    value = eval(term.replace("×", "*").replace("÷", "//"))
    assert value == int(figure)
    return int(figure)


class TestListCriteria:
    @given(
        weights=st.builds(Weights, near=st.integers(0, 30), distance=st.integers(0, 40), remote_percent=st.integers(0, 100)),
        minutes=st.integers(1, 900),
        free=st.integers(1, 900),
        missions=st.integers(0, 5),
        levels=st.lists(st.integers(1, 3), min_size=2, max_size=2),
        skill=st.sampled_from(["comptabilité", "paie", "tennis"]),
        remote=st.booleans(),
        radius_km=st.integers(1, 9),
    )
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def test_points_add_up_and_calculations_hold(
        self,
        weights: Weights,
        minutes: int,
        free: int,
        missions: int,
        levels: list[int],
        skill: str,
        remote: bool,
        radius_km: int,
    ) -> None:
        need = make_need(skills=(Skill("comptabilité", levels[0]),), minutes=minutes, remote=remote, commune="92002")
        candidate = make_candidate(
            skills=(Skill(skill, levels[1]),), remaining_minutes=free, missions=missions, remote=remote, radius_km=radius_km
        )
        fit = assess(need, candidate, make_surroundings(referential=REFERENTIAL, weights=weights))
        criteria = list_criteria(explain_parts(fit), freeze(fit, origin=Origin.BEST))
        assert sum(criterion.points for criterion in criteria) == fit.score
        assert [criterion.name for criterion in criteria] == list(CRITERIA)
        assert [evaluate(criterion.calculation) for criterion in criteria] == [part.points for part in fit.parts]

    def test_nothing_but_the_closed_list_enters_a_score(self) -> None:
        """No name, sex, age, origin, address, health or opinion: whoever adds a measure changes this list, in the open."""
        entering = {name for names in INPUTS.values() for name in names}
        assert entering == {field.name for field in fields(Measures)} == {
            "wanted_skills", "met_sixths", "near_sixths", "metres", "remote", "common_days", "wanted_days", "common_parts",
            "wanted_parts", "asked_minutes", "free_minutes", "shared_missions", "missions", "unmet_minutes", "needed_minutes",
        }  # fmt: skip

    def test_the_words_that_speak_for_a_skill(self) -> None:
        fit = assess(
            make_need(skills=(Skill("comptabilité"),)),
            make_candidate(skills=(Skill("comptabilité"),)),
            make_surroundings(referential=REFERENTIAL),
        )
        skills = list_criteria(explain_parts(fit), freeze(fit, origin=Origin.BEST))[0]
        assert [(words["side"], words["where"], words["words"]) for words in skills.words] == [
            ("need", "description", "factures à classer"), ("offer", "description", "comptabilité"),
        ]  # fmt: skip

    def test_of_a_mission_of_before(self) -> None:
        fit = assess(make_need(), make_candidate(), make_surroundings())
        criteria = list_criteria(fit.parts, None)
        assert [criterion.calculation for criterion in criteria] == [""] * len(CRITERIA)


class TestFindWords:
    def test_whatever_accents_and_case(self) -> None:
        texts = {"title": "TENIR LES COMPTES", "description": "de la comptabilite, et l'été la Comptabilité"}
        found = find_words(texts, [Skill("comptabilité")], REFERENTIAL)
        assert [words.words for words in found] == ["TENIR LES COMPTES", "comptabilite", "Comptabilité"]
        assert all(texts[words.where][words.start : words.end] == words.words for words in found)

    def test_never_half_a_word(self) -> None:
        assert find_words({"title": "Impaie, paiement"}, [Skill("paie")], REFERENTIAL) == ()

"""The referential with what a territory adds to it, without a database."""

import tomllib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.errors import BadInput
from kernel.ids import new_id
from services.matching.domain.confirming import confirm_skills, find_kept
from services.matching.domain.shared import Skill, SkillSource
from services.matching.domain.vocabulary import LocalSkill, LocalSkillFacts, SkillWord, WordKind
from services.matching.engine.comparison import find_key
from services.matching.engine.referential import load_referential
from services.matching.engine.skills import normalise_label
from services.matching.engine.suggesting import suggest
from services.matching.engine.unknown_labels import merge_unknown
from services.matching.engine.vocabulary import Vocabulary, make_slug
from services.matching.engine.vocabulary_export import export_toml
from tests.builders.matching import NOW, make_referential

BASE = make_referential({"ruche": "Ruche", "jardin": "Jardin"}, synonyms={"ruche": ["apiculture"]})


def make_word(phrase: str, *, code: str = "ruche", kind: WordKind = WordKind.SYNONYM) -> SkillWord:
    return SkillWord(new_id(), code, kind, phrase, normalise_label(phrase), "Dit ainsi.", "x", NOW)


def make_local(code: str = "92071:escargots", **facts: Any) -> LocalSkill:
    written = {"name_fr": "Escargots", "name_en": "Snails", "definition": "D.", "parent": "essai"} | facts
    return LocalSkill(new_id(), code, LocalSkillFacts(**written), "Voulu.", "x", NOW)


class TestVocabulary:
    def test_without_additions_it_is_the_referential_itself(self) -> None:
        bare = Vocabulary(BASE)
        assert bare.referential is BASE
        assert bare.version == "essai"

    def test_words_name_their_skill(self) -> None:
        vocabulary = Vocabulary(BASE, (make_word("Maison d'abeilles"),), revision=3)
        assert vocabulary.referential.find_code("MAISON D’ABEILLES") == "ruche"
        assert vocabulary.version == "essai+3"
        assert BASE.find_code("maison d'abeilles") is None

    def test_a_release_that_uses_the_same_words_holds(self) -> None:
        taken = make_word("Apiculture", code="jardin")
        vocabulary = Vocabulary(BASE, (taken,), revision=1)
        assert vocabulary.overruled_by(taken) == "ruche"
        assert vocabulary.referential.find_code("apiculture") == "ruche"
        assert vocabulary.additions == ()

    def test_a_word_that_the_release_has_taken_up_for_the_same_skill_is_not_overruled(self) -> None:
        assert Vocabulary(BASE, (make_word("Apiculture"),)).overruled_by(make_word("Apiculture")) is None

    def test_of_two_skills_of_one_name_the_referentials_is_found(self) -> None:
        local = make_local(name_fr="Ruche")
        assert Vocabulary(BASE, (), (local,), 1).referential.find_code("ruche") == "ruche"

    def test_an_own_skill_is_near_both_ways_and_named_by_its_words(self) -> None:
        local = make_local(near={"jardin": 40})
        words = (make_word("Escargots", code=local.code, kind=WordKind.NAME), make_word("gris", code=local.code))
        known = Vocabulary(BASE, words, (local,), 1).referential
        assert find_key(Skill("Gris"), known) == local.code
        assert known.near_percents["jardin"] == {local.code: 40}
        assert known.near_percents[local.code] == {"jardin": 40}

    def test_a_word_of_a_skill_that_is_gone_names_nothing(self) -> None:
        assert Vocabulary(BASE, (make_word("x1", code="disparu"),), revision=1).referential.find_code("x1") is None


class TestMakeSlug:
    @pytest.mark.parametrize(
        ("name", "slug"),
        [("Élevage d’escargots", "elevage-d-escargots"), ("C++ & C#", "c-plus-plus-c-sharp"), ("Œuvre", "oeuvre"), ("养", "")],
    )
    def test_is_ascii(self, name: str, slug: str) -> None:
        assert make_slug(name) == slug

    @given(st.text(max_size=100))
    def test_is_always_a_code_or_empty(self, name: str) -> None:
        slug = make_slug(name)
        assert slug == "" or all(word.isascii() and word.isalnum() and word == word.lower() for word in slug.split("-"))


class TestExport:
    @settings(max_examples=50)
    @given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60), min_size=1, max_size=4))
    def test_whatever_is_written_comes_back(self, texts: list[str]) -> None:
        local = make_local(name_fr=texts[0], definition=texts[-1], asks=tuple(texts), near={"92071:autre": 30, "jardin": 25})
        words = tuple(make_word(text, code=local.code) for text in texts)
        content = tomllib.loads(export_toml(Vocabulary(BASE, words, (local,), 1), territory="92071"))
        (entry,) = content["skill"]
        assert (entry["code"], entry["name"]["fr"], entry["definition"]) == ("escargots", texts[0], texts[-1])
        assert (entry["asks"], entry["synonyms"]) == (texts, texts)
        assert entry["near"] == {"autre": 0.3, "jardin": 0.25}

    def test_says_what_is_missing(self) -> None:
        assert "À compléter avant d'entrer au référentiel : asks, gives, titles." in export_toml(
            Vocabulary(BASE, (), (make_local(),), 1), territory="92071"
        )


class TestSuggest:
    @settings(max_examples=30, deadline=None)
    @given(
        title=st.text(max_size=60),
        before=st.text(max_size=30),
        behind=st.text(max_size=30),
    )
    def test_evidence_is_quoted_from_where_it_stands(self, title: str, before: str, behind: str) -> None:
        text = {"title": title, "description": f"{before} compost collectif {behind}"}
        for one in suggest(text["title"], text["description"], kind="need", vocabulary=Vocabulary(load_referential())):
            for quote in one.evidence:
                assert text[quote.field][quote.start : quote.end] == quote.words

    def test_of_an_own_skill_has_its_name(self) -> None:
        local = make_local(parent="environnement")
        words = (make_word("parc à escargots", code=local.code),)
        vocabulary = Vocabulary(load_referential(), words, (local,), 1)
        (first, *_) = suggest("Un parc à escargots", "", kind="need", vocabulary=vocabulary)
        assert (first.code, first.name_fr) == (local.code, "Escargots")


class TestConfirmSkills:
    LATER = datetime(2026, 12, 1, tzinfo=UTC)
    STANDING = Skill("Ruche", 2, "ruche", source=SkillSource.TYPED, confirmed_by="a", confirmed_at=NOW)

    @pytest.mark.parametrize(
        ("written", "kept"),
        [
            (Skill("Ruche", 2), True),
            (Skill("Ruche", 2, "ruche"), True),
            (Skill("", 2, "ruche"), True),
            (Skill("Ruche", 3), False),
            (Skill("ruche", 2), False),
            (Skill("Ruche", 2, "jardin"), False),
            (Skill("Ruche", 2, "ruche", source=SkillSource.SUGGESTED), False),
        ],
    )
    def test_keeps_what_stood_there(self, written: Skill, kept: bool) -> None:
        assert find_kept([written], [self.STANDING]) == ({0: self.STANDING} if kept else {})

    def test_signs_what_is_new(self) -> None:
        (signed,) = confirm_skills(
            {4: Skill("x", evidence=("UN  mot",))}, text="Encore un mot.", default=SkillSource.TYPED, who="b", now=self.LATER
        ).values()
        assert (signed.source, signed.confirmed_by, signed.confirmed_at) == (SkillSource.TYPED, "b", self.LATER)

    def test_names_every_false_quote(self) -> None:
        skills = {1: Skill("x", evidence=("un", "zwei")), 3: Skill("y", evidence=("drei",))}
        with pytest.raises(BadInput) as refused:
            confirm_skills(skills, text="un", default=SkillSource.TYPED, who="b", now=NOW)
        assert [fault.pointer for fault in refused.value.fields] == ["/skills/1/evidence/1", "/skills/3/evidence/0"]


class TestMergeUnknown:
    def test_counts_one_label_however_it_is_written(self) -> None:
        needs = [("Miel", 2, NOW), ("MIEL !", 1, NOW), ("Ruche", 9, NOW)]
        offers = [("miel", 4, NOW), ("jardins", 8, NOW)]
        found = merge_unknown(needs, offers, Vocabulary(BASE), limit=5)
        assert [(one.label, one.needs, one.offers) for one in found] == [("jardins", 0, 8), ("Miel", 3, 4)]
        assert found[0].nearest == ("jardin",)

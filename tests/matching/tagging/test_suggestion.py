"""What a text says of skills: the right ones first, shown in the text, whatever the spelling."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.matching.engine.referential import load_referential
from services.matching.engine.tagging.evidence import Match
from services.matching.engine.tagging.profile import Addition, Profiler
from services.matching.engine.tagging.suggestion import Tag, make_profiler, suggest_skills, tag_reading
from services.matching.engine.text.words import strip_accents

PLAIN = {
    "comptabilite": ("Tenir les comptes", "Saisie des écritures, rapprochement bancaire et clôture de l'exercice"),
    "plomberie": ("Fuite sous l'évier", "Un robinet à changer et un siphon à déboucher"),
    "fle": ("Cours de français langue étrangère", "Des débutants complets, niveau A1, qui viennent d'arriver"),
    "reparation-velo": ("Réparer des vélos", "Freins, dérailleurs et crevaisons avec les enfants"),
    "paie": ("Bulletins de salaire", "Établir les fiches de paie et la DSN de nos deux salariés"),
    "compostage": ("Compost de l'immeuble", "Il sent mauvais, que mettre dans le composteur ?"),
}
texts = st.text(max_size=200)


def tag(profiler: Profiler, title: str, description: str = "") -> tuple[Tag, ...]:
    return tag_reading(profiler, profiler.read(title, description))


class TestSuggestSkills:
    @pytest.mark.parametrize("code", sorted(PLAIN))
    def test_finds_what_is_said_plainly(self, by_words: Profiler, code: str) -> None:
        assert tag(by_words, *PLAIN[code])[0].code == code

    @pytest.mark.parametrize("code", sorted(PLAIN))
    def test_reads_texts_without_accents_in_capitals(self, by_words: Profiler, code: str) -> None:
        title, description = (strip_accents(text).upper() for text in PLAIN[code])
        assert tag(by_words, title, description)[0].code == code

    def test_forgives_typos(self, by_words: Profiler) -> None:
        assert tag(by_words, "fuitte sous levier", "un robinnet a changé, le sifon est bouché")[0].code == "plomberie"
        assert tag(by_words, "bultins de paye", "cotisatons et fiches de sallaire")[0].code == "paie"

    def test_names_several_skills_of_one_text(self, by_words: Profiler) -> None:
        found = {
            one.code for one in tag(by_words, "Besoins", "Des photos du tournoi ; un graphiste pour l'affiche ; un arbitre.")
        }
        assert {"arbitrage", "photographie", "affiches-tracts"} <= found

    def test_takes_no_short_stem_for_a_word(self, by_words: Profiler) -> None:
        assert "sports-raquette" not in {one.code for one in tag(by_words, "Fête", "Tenir les comptes et la buvette")}

    @pytest.mark.parametrize("sentences", [True, False])
    def test_gives_three_to_five_the_likeliest_first(self, *, sentences: bool) -> None:
        found = suggest_skills(*PLAIN["paie"], kind="need", sentences=sentences)
        assert 3 <= len(found) <= 5
        assert [one.share for one in found] == sorted((one.share for one in found), reverse=True)
        assert sum(one.share for one in found) <= 1.001
        assert len({one.code for one in found}) == len(found)

    @pytest.mark.parametrize("text", ["", "   ", "🙂🙂", "xqzt wvpk", "....", "12 34"])
    def test_says_nothing_of_nothing(self, by_words: Profiler, text: str) -> None:
        assert tag(by_words, text, text) == ()

    def test_gives_the_same_answer_twice(self, by_words: Profiler) -> None:
        assert tag(by_words, *PLAIN["fle"]) == tag(by_words, *PLAIN["fle"])

    @given(title=texts, description=texts)
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_never_breaks_and_always_points_into_the_text(self, by_words: Profiler, title: str, description: str) -> None:
        text = f"{title}\n{description}"
        for one in tag(by_words, title, description):
            assert 0 <= one.share <= 1
            for evidence in one.evidence:
                assert text[evidence.start : evidence.end] == evidence.words

    def test_understands_other_words_with_a_sentence_model(self, by_all: Profiler) -> None:
        found = tag(by_all, "Plus personne n'entend rien", "Au dernier gala les haut-parleurs hurlaient et la scène était noire")
        assert found[0].code == "regie-son-lumiere"


class TestFalseFriends:
    def test_law_of_work_is_no_painting_job(self, by_words: Profiler) -> None:
        law = [one.code for one in tag(by_words, "Droit du travail", "Rupture d'un contrat de travail, avis d'un juriste")]
        paint = [one.code for one in tag(by_words, "Travaux de peinture", "Repeindre les murs et le plafond de la salle")]
        assert law[0] == "droit-du-travail"
        assert "peinture-batiment" not in law
        assert paint[0] == "peinture-batiment"
        assert "droit-du-travail" not in paint

    def test_a_conductor_of_works_leads_no_choir(self, by_words: Profiler) -> None:
        assert "chorale" not in [one.code for one in tag(by_words, "Chef de chantier", "Suivre les artisans et réceptionner")][:1]


class TestEvidence:
    def test_says_which_words_named_the_skill(self, by_words: Profiler) -> None:
        found = tag(by_words, "Un expert", "J'établis des fiches de paie sous Silae.")[0]
        assert found.code == "paie"
        assert {evidence.words for evidence in found.evidence} & {"fiches de paie", "paie", "Silae"}
        assert found.evidence[0].match in {Match.NAME, Match.SYNONYM, Match.TITLE, Match.TOOL}

    def test_every_tag_that_counts_shows_some(self, by_words: Profiler) -> None:
        for title, description in PLAIN.values():
            assert tag(by_words, title, description)[0].evidence

    def test_shows_the_clause_that_means_it(self, by_all: Profiler) -> None:
        found = tag(by_all, "Des gens dorment dehors", "Ils grelottent. Nous avons des duvets.")
        shown = [evidence for one in found for evidence in one.evidence if evidence.match is Match.MEANING]
        assert shown
        assert all(evidence.matched and evidence.words for evidence in shown)


class TestAdditions:
    def test_an_officers_word_holds_at_once(self, by_words: Profiler) -> None:
        text = ("Besoin d'un zinzolin", "pour samedi")
        assert all(one.code != "peinture-batiment" for one in tag(by_words, *text))
        own = (Addition("peinture-batiment", "zinzolin"),)
        assert suggest_skills(*text, kind="need", additions=own, sentences=False)[0].code == "peinture-batiment"

    def test_a_territorys_own_skill_is_suggested_under_its_label(self) -> None:
        own = (Addition("rempailleur-local", "cannage", "Rempaillage de chaises"),)
        found = suggest_skills("Cannage", "de six chaises", kind="offer", additions=own, sentences=False)
        assert (found[0].code, found[0].label) == ("rempailleur-local", "Rempaillage de chaises")
        assert found[0].evidence[0].words == "Cannage"

    def test_change_nothing_where_they_do_not_occur(self, by_words: Profiler) -> None:
        profiler = make_profiler(load_referential(), additions=(Addition("fle", "zinzolin"),), sentences=False)
        before, after = tag(by_words, *PLAIN["paie"]), tag(profiler, *PLAIN["paie"])
        assert before == after

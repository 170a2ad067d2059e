from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.matching.engine.text.words import STOPWORDS, normalise, stem, stems, strip_accents, tidy, tokenise

TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60)
FRENCH = st.text(alphabet="abcdefghijklmnopqrstuvwxyzéèêàùçôîûœ '-/()·.ABCÉ", max_size=60)


class TestNormalise:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("Chargé·e de l’accueil", "charge de accueil"),
            ("ŒUVRE d'art", "oeuvre art"),
            ("C++ et C#", "c++ et c#"),
            ("Développement .NET", "developpement .net"),
            ("« l'Élagage »", "elagage"),
            ("aujourd'hui", "aujourd hui"),
            ("mise‑en‑page", "mise en page"),
        ],
    )
    def test_leaves_bare_words(self, text: str, words: str) -> None:
        assert normalise(text) == words

    @given(TEXTS)
    def test_takes_anything_and_is_stable(self, text: str) -> None:
        assert normalise(text) == normalise(text)
        assert all(part.isascii() for part in normalise(text).split())

    @given(FRENCH)
    def test_heeds_neither_accents_nor_case(self, text: str) -> None:
        assert normalise(text.upper().lower()) == normalise(text.lower())

    @given(FRENCH)
    def test_of_bare_words_changes_nothing_more(self, text: str) -> None:
        bare = " ".join(word for word in normalise(text).split() if word.isalpha() and len(word) > 1)
        assert normalise(bare) == bare


class TestTidy:
    def test_keeps_what_a_sentence_model_reads(self) -> None:
        assert tidy("  Agent / Agente  d’accueil (H/F) ") == "Agent d'accueil"

    @given(TEXTS)
    def test_has_no_double_spaces(self, text: str) -> None:
        assert "  " not in tidy(text)


class TestTokenise:
    def test_drops_words_without_meaning(self) -> None:
        assert tokenise("Aider à la mise en place du site de l'association") == ["aider", "mise", "place", "site", "association"]

    def test_keeps_them_where_there_is_nothing_else(self) -> None:
        assert tokenise("de la") == ["de", "la"]

    def test_writes_abbreviations_in_full(self) -> None:
        assert tokenise("resp. compta") == ["responsable", "comptabilite"]

    def test_keeps_what_turns_a_meaning_round(self) -> None:
        assert "sans" in tokenise("sans permis")

    def test_the_words_dropped_are_spelled_as_they_are_compared(self) -> None:
        assert all(word == strip_accents(word) for word in STOPWORDS)


class TestStem:
    @pytest.mark.parametrize(
        "family",
        [
            ("enseigner", "enseignant", "enseignante", "enseignement"),
            ("vendeur", "vendeuse", "vendeuses"),
            ("comptable", "comptabilité", "comptables"),
            ("conducteur", "conductrice", "conductrices"),
            ("ouvrier", "ouvrière", "ouvriers"),
            ("assisté", "assistée", "assistes"),
            ("créatif", "creative", "créatives"),
        ],
    )
    def test_joins_a_family(self, family: tuple[str, ...]) -> None:
        assert len({stem(word) for word in family}) == 1

    @pytest.mark.parametrize(("one", "other"), [("droit", "travaux"), ("peinture", "pointure"), ("comptable", "compteur")])
    def test_keeps_strangers_apart(self, one: str, other: str) -> None:
        assert stem(one) != stem(other)

    @given(st.text(alphabet="abcdeéèghilmnoprstuvx", min_size=1, max_size=20))
    def test_does_not_heed_accents(self, word: str) -> None:
        assert stem(word) == stem(strip_accents(word))
        assert stem(word)

    def test_is_the_same_in_every_thread(self) -> None:
        words = ["enseignement", "conductrices", "comptabilité", "jardinage"] * 50
        alone = [stem.__wrapped__(word) for word in words]
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(stem.__wrapped__, words)) == alone


class TestStems:
    def test_of_a_title_in_both_genders_are_those_of_one(self) -> None:
        assert stems("Vendeur / Vendeuse en boulangerie") == stems("vendeur en boulangerie")

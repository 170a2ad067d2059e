import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.matching.engine.text.measures import RankingMeasures
from services.matching.engine.text.retriever import Retriever, rank
from tests.matching.text.models import make_model

TITLES = [
    "vendeur en boulangerie/vendeuse en boulangerie",
    "vendeur en boulangerie",
    "vendeuse en boulangerie",
    "Vendeurs",
    "boulanger",
    "professeur de piano",
    "gardien d'immeuble",
    *(f"conducteur de machine {number}" for number in range(30)),
]
WORDS = st.lists(st.sampled_from(["vendeur", "boulanger", "piano", "site", "jardin", "é", "l'", "/", "(H/F)", "2"]), max_size=5)


def ranking(question: str, corpus: list[str] = TITLES) -> list[str]:
    return [corpus[place] for place in np.argsort(-rank([question], corpus)[0], kind="stable")]


class TestRank:
    def test_puts_the_same_title_first_as_it_is_spelled(self) -> None:
        assert ranking("Vendeur / Vendeuse en boulangerie")[0] == TITLES[0]
        assert ranking("vendeuse en boulangerie")[0] == TITLES[2]

    @pytest.mark.parametrize(
        "question", ["profeseur piano", "PROFESSEURE DE PIANO (H/F)", "prof. de piano", "professeur·e de pianos"]
    )
    def test_forgives_typos_case_gender_and_number(self, question: str) -> None:
        assert ranking(question)[0] == "professeur de piano"

    def test_prefers_a_title_to_its_family(self) -> None:
        corpus = ["Vendeurs", "vendeur", *TITLES[7:]]
        assert ranking("vendeur", corpus)[0] == "vendeur"

    def test_lists_something_new_before_a_copy_of_what_it_has(self) -> None:
        corpus = ["agent d'accueil", "agente d'accueil", "agent d'accueil", "agent d'accueil téléphonique", *TITLES[7:]]
        assert ranking("agent accueil téléphone", corpus)[0] == "agent d'accueil téléphonique"
        first = ranking("agent d'accueil", [*corpus[:3], "agent d'un accueil nouveau", *TITLES[7:]])[:3]
        assert first[0] == "agent d'accueil"

    def test_finds_by_meaning_with_a_model(self) -> None:
        model, _ = make_model()
        corpus = ["tresorerie", "potager", "bambin", *(f"mot{number}" for number in range(9))]
        assert rank(["horticulture"], corpus, models=[model])[0].argmax() == 1

    @given(st.lists(WORDS.map(" ".join), max_size=4), st.lists(WORDS.map(" ".join), max_size=6))
    @settings(max_examples=40, deadline=None)
    def test_takes_anything_and_repeats_itself(self, questions: list[str], corpus: list[str]) -> None:
        scores = rank(questions, corpus)
        assert scores.shape == (len(questions), len(corpus))
        assert np.isfinite(scores).all()
        assert np.array_equal(scores, rank(questions, corpus))


class TestBatches:
    def test_are_the_scores_in_parts(self) -> None:
        questions = [f"vendeur {number}" for number in range(300)]
        retriever = Retriever(TITLES, questions_too=questions)
        parts = list(retriever.batches(questions))
        assert [first for first, _ in parts] == [0, 256]
        assert np.allclose(np.concatenate([scores for _, scores in parts]), retriever.scores(questions), atol=1e-6)


class TestRankingMeasures:
    def test_counts_the_first_right_answer(self) -> None:
        measures = RankingMeasures()
        assert measures.add(np.array([0.1, 0.9, 0.5]), {0, 2}) == 2
        assert measures.add(np.array([0.1, 0.9, 0.5]), {1}) == 1
        assert measures.mrr == pytest.approx(0.75)
        assert measures.hit_at(1) == 0.5
        assert measures.hit_at(2) == 1

    def test_breaks_ties_by_the_corpus_order(self) -> None:
        measures = RankingMeasures()
        assert measures.add(np.array([0.5, 0.5, 0.5]), {2}) == 3

    def test_of_nothing_is_nothing(self) -> None:
        assert RankingMeasures().mrr == 0
        assert RankingMeasures().hit_at(10) == 0

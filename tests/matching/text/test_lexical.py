import numpy as np
import pytest

from services.matching.engine.text.coverage import CoverageIndex
from services.matching.engine.text.lexical import LexicalIndex
from tests.matching.text.models import make_model

DOCUMENTS = ["Comptable", "Jardinier paysagiste", "Animateur d'ateliers pour enfants", "Peinture en bâtiment"]


class TestLexicalIndex:
    @pytest.mark.parametrize(("question", "nearest"), [("comptabilité", 0), ("jardinière", 1), ("ateliers d'enfant", 2)])
    def test_finds_by_stems(self, question: str, nearest: int) -> None:
        assert LexicalIndex(DOCUMENTS).stem_scores([question]).argmax() == nearest

    @pytest.mark.parametrize(("question", "nearest"), [("contable", 0), ("jardiner paisagiste", 1), ("batimant", 3)])
    def test_finds_by_letters_in_spite_of_typos(self, question: str, nearest: int) -> None:
        assert LexicalIndex(DOCUMENTS).gram_scores([question]).argmax() == nearest

    def test_is_one_for_the_same_and_zero_for_strangers(self) -> None:
        scores = LexicalIndex(DOCUMENTS).scores(["comptables", "zzz"])
        assert scores[0, 0] > 0.9
        assert not scores[1].any()

    @pytest.mark.parametrize("documents", [[], ["!", "?"]])
    def test_of_nothing_finds_nothing(self, documents: list[str]) -> None:
        assert not LexicalIndex(documents).scores(["comptable"]).any()
        assert LexicalIndex(documents).scores(["comptable"]).shape == (1, len(documents))
        assert LexicalIndex(DOCUMENTS).scores([]).shape == (0, 4)


class TestCoverageIndex:
    def test_is_one_where_each_covers_the_other(self) -> None:
        scores = CoverageIndex(DOCUMENTS).scores(["paysagiste jardinière", "rien de tel"])
        assert scores[0, 1] == pytest.approx(1)
        assert scores[0, [0, 3]].max() < 0.3

    def test_heeds_what_the_document_says_beyond(self) -> None:
        index = CoverageIndex(["accueil", "accueil des enfants malades à l'hôpital"])
        narrow, wide = index.scores(["accueil"])[0]
        assert narrow > wide > 0

    def test_knows_words_near_in_meaning_with_a_model(self) -> None:
        model, _ = make_model()
        documents = ["potager", "tresorerie", "bambin", "internet", *(f"mot{number}" for number in range(8))]
        assert not CoverageIndex(documents).scores(["horticulture"])[0, 0]
        assert CoverageIndex(documents, model=model).scores(["horticulture"])[0].argmax() == 0

    @pytest.mark.parametrize("documents", [[], [""], ["!"]])
    def test_of_nothing_finds_nothing(self, documents: list[str]) -> None:
        scores = CoverageIndex(documents).scores(["comptable", ""])
        assert scores.shape == (2, len(documents))
        assert np.isfinite(scores).all()

import numpy as np

from services.matching.engine.text.encoder import MeaningSpace, unit_rows
from services.matching.engine.text.meaning import MeaningIndex
from tests.matching.text.models import make_model


def make_vectors(number: int, *, dimension: int = 16) -> np.ndarray:
    """All in one direction, as sentence models give them."""
    chance = np.random.default_rng(7)
    return unit_rows(chance.normal(size=(number, dimension)) + 4)


class TestMeaningSpace:
    def test_puts_strangers_about_zero(self) -> None:
        vectors = make_vectors(400)
        raw, placed = vectors @ vectors.T, MeaningSpace.fit(vectors).place(vectors)
        strangers = ~np.eye(len(vectors), dtype=bool)
        assert raw[strangers].mean() > 0.8
        assert abs((placed @ placed.T)[strangers].mean()) < 0.02

    def test_of_few_only_centres(self) -> None:
        vectors = make_vectors(20)
        assert np.array_equal(MeaningSpace.fit(vectors).map, np.eye(16))

    def test_of_hardly_any_changes_nothing(self) -> None:
        for number in (0, 1, 3):
            vectors = make_vectors(number).reshape(-1, 16)
            assert np.allclose(MeaningSpace.fit(vectors).place(vectors), vectors, atol=1e-6)


class TestMeaningIndex:
    def test_finds_what_shares_no_word(self) -> None:
        model, _ = make_model()
        scores = MeaningIndex(["tresorerie", "potager", "bambin"], model).scores(["jardin"])
        assert scores.shape == (1, 3)
        assert scores.argmax() == 1

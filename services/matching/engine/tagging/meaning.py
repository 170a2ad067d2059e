"""A classifier of meaning: which skills' phrases a sentence model places near a text, whatever words they use."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.matching.engine.text.encoder import MeaningSpace, Vectors

Scores = npt.NDArray[np.float32]

_NEAREST = 5  # phrases of a skill whose mean similarity is the skill's: one alone may be chance
_SHRINKAGE = 4.0
_BYTE = 127.0


@dataclass(frozen=True)
class MeaningClassifier:
    """Of the model `model_name`: a text's vector less `mean`, times `map`, is a point of the space in which row i of `points`
    (bytes; unit rows times 127) is the phrase `phrase_numbers[i]`, of the skill `skills[i]`. Rows are in the order of skills,
    and every skill has some. `spread`: the usual deviation of a text's scores, which they are divided by.
    """

    model_name: str
    mean: Vectors
    map: Vectors
    points: npt.NDArray[np.int8]
    phrase_numbers: npt.NDArray[np.int32]
    skills: npt.NDArray[np.int16]
    spread: float

    def place(self, vectors: Vectors) -> Vectors:
        """(texts, dimension) of the sentence model to unit rows of this space."""
        placed = (vectors - self.mean) @ self.map
        return np.asarray(placed / np.maximum(np.linalg.norm(placed, axis=1, keepdims=True), 1e-9), dtype=np.float32)

    def score(self, placed: Vectors) -> Scores:
        """(texts, skills): mean similarity of the nearest phrases, in units of the usual spread."""
        similarities = self.compare(placed)
        starts = np.flatnonzero(np.diff(self.skills, prepend=-1))
        ends = np.append(starts[1:], len(self.skills))
        columns = [_mean_of_nearest(similarities[:, start:end]) for start, end in zip(starts, ends, strict=True)]
        return np.asarray(np.stack(columns, axis=1) / self.spread, dtype=np.float32)

    def compare(self, placed: Vectors) -> Scores:
        """(texts, phrases): cosines."""
        return np.asarray(placed @ (self.points.T.astype(np.float32) / _BYTE), dtype=np.float32)

    def find_nearest(self, placed: Vectors, skill: int) -> tuple[int, float]:
        """Of one text (dimension,) and one skill: the number of the nearest phrase, and its cosine."""
        rows = np.flatnonzero(self.skills == skill)
        similarities = (self.points[rows].astype(np.float32) / _BYTE) @ placed
        best = int(similarities.argmax())
        return int(self.phrase_numbers[rows[best]]), float(similarities[best])


def train_meaning(
    model_name: str, vectors: Vectors, *, phrase_numbers: Sequence[int], skills: Sequence[int], dimension: int
) -> MeaningClassifier:
    """`vectors`: of the phrases, in the order of skills. `dimension`: of the space that is kept."""
    space = MeaningSpace.fit(vectors, shrinkage=_SHRINKAGE)
    placed = space.place(vectors)
    _, directions = np.linalg.eigh(placed.T @ placed)
    directions = directions[:, ::-1][:, :dimension]
    # The sign of an eigenvector is the linear algebra library's choice; here it is the file's.
    directions = directions * np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])])
    # What is written must be what is used: the rounding of the file is part of the training.
    mapping = (space.map @ directions).astype(np.float16).astype(np.float32)
    mean = space.mean.astype(np.float16).astype(np.float32)
    points = (vectors - mean) @ mapping
    points /= np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-9)
    trained = MeaningClassifier(
        model_name=model_name,
        mean=mean,
        map=mapping,
        points=np.rint(points * _BYTE).astype(np.int8),
        phrase_numbers=np.array(phrase_numbers, dtype=np.int32),
        skills=np.array(skills, dtype=np.int16),
        spread=1.0,
    )
    sample = trained.score(trained.place(vectors[:: max(1, len(vectors) // 500)]))
    return MeaningClassifier(**{**vars(trained), "spread": float(sample.std(axis=1).mean())})


def _mean_of_nearest(similarities: Scores) -> Scores:
    number = min(_NEAREST, similarities.shape[1])
    nearest = np.partition(similarities, -number, axis=1)[:, -number:]
    return np.asarray(nearest.mean(axis=1), dtype=np.float32)

"""A classifier of meaning: which skills' phrases a sentence model places near a text, whatever words they use.

Vectors are first turned into the space that tells skills apart: little of what varies within a skill (length, tone, who
speaks), much of what varies between skills (linear discriminant analysis, Fisher, 1936). A text is then near a skill as it is
near the middle of the skill's phrases, and near the few that are nearest to it, evenly.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

from services.matching.engine.text.encoder import Vectors

Scores = npt.NDArray[np.float32]

_NEAREST = 8  # phrases of a skill whose mean similarity counts: one alone may be chance
_SHRINKAGE = 0.3  # of the mean variance within skills, added to each direction's
_BYTE = 127.0


@dataclass(frozen=True)
class MeaningClassifier:
    """Of the model `model_name`: a text's vector less `mean`, times `map`, is a point of the space in which row i of `points`
    (bytes; unit rows times 127) is the phrase `phrase_numbers[i]`, of the skill `skills[i]`. Rows are in the order of skills,
    and every skill has some. `spreads`: the usual deviations of a text's two scores (middle, nearest), which they are divided by.
    """

    model_name: str
    mean: Vectors
    map: Vectors
    points: npt.NDArray[np.int8]
    phrase_numbers: npt.NDArray[np.int32]
    skills: npt.NDArray[np.int16]
    spreads: tuple[float, float]

    def place(self, vectors: Vectors) -> Vectors:
        """(texts, dimension) of the sentence model to unit rows of this space."""
        return _unit_rows(np.asarray((vectors - self.mean) @ self.map, dtype=np.float32))

    def score(self, placed: Vectors) -> Scores:
        """(texts, skills): the mean of both nearnesses, in units of their usual spread."""
        middle, nearest = self.compare(placed)
        return np.asarray((middle / self.spreads[0] + nearest / self.spreads[1]) / 2, dtype=np.float32)

    def compare(self, placed: Vectors) -> tuple[Scores, Scores]:
        """(texts, skills) twice: the cosine with the middle of each skill's phrases, and the mean of those nearest."""
        points = self.points.astype(np.float32) / _BYTE
        similarities = placed @ points.T
        starts = np.flatnonzero(np.diff(self.skills, prepend=-1))
        ends = np.append(starts[1:], len(self.skills))
        parts = [slice(start, end) for start, end in zip(starts, ends, strict=True)]
        middles = _unit_rows(np.stack([points[part].mean(axis=0) for part in parts]))
        nearest = np.stack([_mean_of_nearest(similarities[:, part]) for part in parts], axis=1)
        return np.asarray(placed @ middles.T, dtype=np.float32), np.asarray(nearest, dtype=np.float32)

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
    mean, mapping = _tell_apart(vectors, np.array(skills), dimension=dimension)
    # What is written must be what is used: the rounding of the file is part of the training.
    mean, mapping = (array.astype(np.float16).astype(np.float32) for array in (mean, mapping))
    trained = MeaningClassifier(
        model_name=model_name,
        mean=mean,
        map=mapping,
        points=np.rint(_unit_rows(np.asarray((vectors - mean) @ mapping, dtype=np.float32)) * _BYTE).astype(np.int8),
        phrase_numbers=np.array(phrase_numbers, dtype=np.int32),
        skills=np.array(skills, dtype=np.int16),
        spreads=(1.0, 1.0),
    )
    middle, nearest = trained.compare(trained.place(vectors[:: max(1, len(vectors) // 500)]))
    return replace(trained, spreads=(float(middle.std(axis=1).mean()), float(nearest.std(axis=1).mean())))


def _tell_apart(vectors: Vectors, skills: npt.NDArray[np.int_], *, dimension: int) -> tuple[Vectors, Vectors]:
    """The mean, and the map to the `dimension` directions that differ most between skills for what they differ within."""
    mean = vectors.mean(axis=0)
    centred = vectors - mean
    middles = np.stack([centred[skills == skill].mean(axis=0) for skill in np.unique(skills)])
    rest = centred - middles[np.searchsorted(np.unique(skills), skills)]
    within, between = rest.T @ rest / len(rest), middles.T @ middles / len(middles)
    width = within.shape[0]
    strengths, directions = eigh(between, within + _SHRINKAGE * np.trace(within) / width * np.eye(width))
    strengths, directions = strengths[::-1][:dimension], directions[:, ::-1][:, :dimension]
    # The sign of an eigenvector is the linear algebra library's choice; here it is the file's.
    directions = directions * np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])])
    mapping = directions * np.maximum(strengths, 1e-9) ** 0.25
    return np.asarray(mean, dtype=np.float32), np.asarray(mapping / np.abs(mapping).max(), dtype=np.float32)


def _mean_of_nearest(similarities: Scores) -> Scores:
    number = min(_NEAREST, similarities.shape[1])
    nearest = np.partition(similarities, -number, axis=1)[:, -number:]
    return np.asarray(nearest.mean(axis=1), dtype=np.float32)


def _unit_rows(rows: npt.NDArray[np.float32]) -> Vectors:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9), dtype=np.float32)

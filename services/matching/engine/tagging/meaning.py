"""A classifier of meaning: which skills' phrases a sentence model places near a text, whatever words they use.

Vectors are first turned into the space that tells skills apart: little of what varies within a skill (length, tone, who
speaks), much of what varies between skills (linear discriminant analysis, Fisher, 1936). A text is then near a skill as it is
near the middle of the skill's phrases. That is better than nearness to single phrases, and needs a thousandth of the room.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

from services.matching.engine.text.encoder import Vectors, unit_rows

Scores = npt.NDArray[np.float32]

_SHRINKAGE = 0.5  # of the mean variance within skills, added to each direction's


@dataclass(frozen=True)
class MeaningClassifier:
    """Of the model `model_name`: a text's vector less `mean`, times `map`, made a unit row, is a point of the space; row i of
    `middles` (unit rows) is the skill i. `spread`: the usual deviation of a text's cosines, which they are divided by.
    """

    model_name: str
    mean: Vectors
    map: Vectors
    middles: Vectors
    spread: float

    def place(self, vectors: Vectors) -> Vectors:
        """(texts, dimension) of the sentence model to unit rows of this space."""
        return unit_rows((vectors - self.mean) @ self.map)

    def score(self, placed: Vectors) -> Scores:
        """(texts, skills): cosines in units of their usual spread."""
        return np.asarray(placed @ self.middles.T / self.spread, dtype=np.float32)


def train_meaning(model_name: str, vectors: Vectors, skills: Sequence[int], *, dimension: int) -> MeaningClassifier:
    """`vectors`: of the phrases; `skills`: of each the number of its skill, all from 0 on; `dimension`: of the space kept."""
    numbers = np.array(skills)
    mean, mapping = _tell_apart(vectors, numbers, dimension=dimension)
    # What is written must be what is used: the rounding of the file is part of the training.
    mean, mapping = (array.astype(np.float16).astype(np.float32) for array in (mean, mapping))
    trained = MeaningClassifier(model_name, mean, mapping, np.zeros((0, mapping.shape[1]), dtype=np.float32), 1.0)
    placed = trained.place(vectors)
    middles = unit_rows(np.stack([placed[numbers == skill].mean(axis=0) for skill in range(numbers.max() + 1)]))
    trained = replace(trained, middles=middles.astype(np.float16).astype(np.float32))
    return replace(trained, spread=float(trained.score(placed).std(axis=1).mean()))


def _tell_apart(vectors: Vectors, skills: npt.NDArray[np.int_], *, dimension: int) -> tuple[Vectors, Vectors]:
    """The mean, and the map to the `dimension` directions that differ most between skills for what they differ within."""
    mean = vectors.mean(axis=0)
    centred = vectors - mean
    middles = np.stack([centred[skills == skill].mean(axis=0) for skill in range(skills.max() + 1)])
    rest = centred - middles[skills]
    within, between = rest.T @ rest / len(rest), middles.T @ middles / len(middles)
    width = within.shape[0]
    strengths, directions = eigh(between, within + _SHRINKAGE * np.trace(within) / width * np.eye(width))
    strengths, directions = strengths[::-1][:dimension], directions[:, ::-1][:, :dimension]
    # The sign of an eigenvector is the linear algebra library's choice; here it is the file's.
    directions = directions * np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])])
    mapping = directions * np.maximum(strengths, 1e-9) ** 0.25
    return np.asarray(mean, dtype=np.float32), np.asarray(mapping / np.abs(mapping).max(), dtype=np.float32)

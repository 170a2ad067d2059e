"""A classifier of words: which skills' phrases use a text's stems and letters (multinomial naive Bayes over TF-IDF).

Learnt in one pass over the phrases, and a sum at use: every word's share in a result can be told, which `evidence` does.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log

import numpy as np
import numpy.typing as npt

from services.matching.engine.tagging.features import Weights, count_features, is_stem, weigh_features

Scores = npt.NDArray[np.float32]

_SMOOTHING = 0.01
_SMALLEST_GRAM_NUMBER = 2  # letters of a single phrase say nothing


@dataclass(frozen=True)
class LexicalClassifier:
    """`features` with their `rarity`; of the i-th, `columns[starts[i]:starts[i+1]]` are the skills whose phrases have it and
    `gains` how much it speaks for each, above `floor`, which it counts for a skill whose phrases do not have it.
    """

    features: tuple[str, ...]
    rarity: npt.NDArray[np.float32]
    starts: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int16]
    gains: npt.NDArray[np.float32]
    floor: npt.NDArray[np.float32]
    _place: dict[str, int] = field(init=False, repr=False, compare=False)
    _rarity_of: dict[str, float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_place", {name: place for place, name in enumerate(self.features)})
        object.__setattr__(self, "_rarity_of", dict(zip(self.features, self.rarity.tolist(), strict=True)))

    def weigh(self, text: str) -> Weights:
        """The features that are known, with their weights in this text."""
        return weigh_features(text, self._rarity_of)

    def rarity_of(self, feature: str) -> float:
        """1 for what every phrase has, up to about 10; 0 for what none has."""
        return self._rarity_of.get(feature, 0.0)

    def score(self, weights: Weights) -> Scores:
        """(skills,): log-likelihoods, the highest 0; all 0 where nothing of the text is known."""
        total = self.floor * np.float32(sum(weights.values()))
        for name, weight in weights.items():
            columns, gains = self._row(name)
            total[columns] += np.float32(weight) * gains
        return np.asarray(total - total.max(), dtype=np.float32)

    def gains_of(self, feature: str) -> Scores:
        """(skills,): how much more a feature speaks for each skill than for the mean one; zeros if it is not known."""
        row = np.array(self.floor)
        if feature not in self._place:
            return np.zeros_like(row)
        columns, gains = self._row(feature)
        row[columns] += gains
        return np.asarray(row - row.mean(), dtype=np.float32)

    def _row(self, feature: str) -> tuple[npt.NDArray[np.int16], Scores]:
        place = self._place[feature]
        row = slice(int(self.starts[place]), int(self.starts[place + 1]))
        return self.columns[row], self.gains[row]


def train_lexical(texts: Sequence[str], skills: Sequence[int], *, skill_count: int) -> LexicalClassifier:
    """`skills`: of each text the number of its skill."""
    rarity = _measure_rarity(texts)
    features = tuple(sorted(rarity))
    place = {name: number for number, name in enumerate(features)}
    mass: list[dict[int, float]] = [{} for _ in features]
    totals = np.full(skill_count, _SMOOTHING * len(features))
    for text, skill in zip(texts, skills, strict=True):
        for name, weight in weigh_features(text, rarity).items():
            row = mass[place[name]]
            row[skill] = row.get(skill, 0.0) + weight
            totals[skill] += weight
    rows = [sorted(row.items()) for row in mass]
    return LexicalClassifier(
        features=features,
        rarity=np.array([rarity[name] for name in features], dtype=np.float32),
        starts=np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64),
        columns=np.array([skill for row in rows for skill, _ in row], dtype=np.int16),
        gains=np.array([log(1 + weight / _SMOOTHING) for row in rows for _, weight in row], dtype=np.float32),
        floor=(np.log(_SMOOTHING) - np.log(totals)).astype(np.float32),
    )


def _measure_rarity(texts: Sequence[str]) -> dict[str, float]:
    """Inverse document frequency, smoothed (as scikit-learn's)."""
    number: Counter[str] = Counter()
    for text in texts:
        for counts in count_features(text):
            number.update(counts.keys())
    known = (name for name, times in number.items() if is_stem(name) or times >= _SMALLEST_GRAM_NUMBER)
    return {name: log((1 + len(texts)) / (1 + number[name])) + 1 for name in known}

"""A classifier of words: which skills' phrases use a text's stems and letters (multinomial naive Bayes over TF-IDF).

Some eighty phrases a skill are few: whether a word stands in one of them is half chance. So each skill also counts, for a
share, what the skills near it use, what its group uses, and what everybody uses (interpolation as of Jelinek and Mercer, 1980,
along the referential's own nearness). When there were twenty, on phrases left out of the training, this took the right skill
from 31 % to 40 % for associations' and from 57 % to 61 % for volunteers' words (bench/matching/tagging.py).

Learnt in one pass, and a sum at use: every word's share in a result can be told, which `evidence` does.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log

import numpy as np
import numpy.typing as npt

from services.matching.engine.tagging.features import Weights, count_features, is_stem, weigh_features

Scores = npt.NDArray[np.float32]

_FLOOR = 0.001
_NEAR, _GROUP, _ALL = 0.2, 0.3, 1.0
_SMALLEST_GRAM_NUMBER = 2  # letters of a single phrase say nothing


def mix_skills(nearness: npt.NDArray[np.float32], groups: Sequence[str]) -> Scores:
    """(skills, skills): how much of what each skill (row) uses is counted for every skill (column).

    `nearness`: of each two, 0 to 1; `groups`: of each skill.
    """
    number = len(groups)
    same = np.array([[one == other for other in groups] for one in groups], dtype=np.float32)
    mixed = _NEAR * (nearness - np.diag(np.diag(nearness))) + _GROUP * same / same.sum(axis=1, keepdims=True) + _ALL / number
    return np.asarray(np.eye(number) + mixed, dtype=np.float32).T


@dataclass(frozen=True)
class LexicalClassifier:
    """`features` with their `rarity`; of the i-th, `columns[starts[i]:starts[i+1]]` are the skills whose phrases have it and
    `mass` its weight in them, summed. `mixing` as of `mix_skills`; `totals`: of each skill all its mass, mixed.
    """

    features: tuple[str, ...]
    rarity: Scores
    starts: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int16]
    mass: Scores
    totals: Scores
    mixing: Scores
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
        total = np.array(list(weights.values()), dtype=np.float32) @ self.log_rates(list(weights))
        return np.asarray(total - total.max(), dtype=np.float32)

    def gains_of(self, feature: str) -> Scores:
        """(skills,): how much more a known feature speaks for each skill than for the mean one."""
        row = self.log_rates([feature])[0]
        return np.asarray(row - row.mean(), dtype=np.float32)

    def log_rates(self, features: Sequence[str]) -> Scores:
        """(features, skills): the logarithm of how often each known feature stands in each skill's phrases, mixed."""
        used = np.zeros((len(features), len(self.totals)), dtype=np.float32)
        for row, name in zip(used, features, strict=True):
            place = self._place[name]
            entries = slice(int(self.starts[place]), int(self.starts[place + 1]))
            row[self.columns[entries]] = self.mass[entries]
        return np.asarray(np.log(used @ self.mixing + _FLOOR) - np.log(self.totals), dtype=np.float32)


def train_lexical(texts: Sequence[str], skills: Sequence[int], *, mixing: Scores) -> LexicalClassifier:
    """`skills`: of each text the number of its skill."""
    rarity = _measure_rarity(texts)
    features = tuple(sorted(rarity))
    place = {name: number for number, name in enumerate(features)}
    mass: list[dict[int, float]] = [{} for _ in features]
    sums = np.zeros(len(mixing))
    for text, skill in zip(texts, skills, strict=True):
        for name, weight in weigh_features(text, rarity).items():
            row = mass[place[name]]
            row[skill] = row.get(skill, 0.0) + weight
            sums[skill] += weight
    rows = [sorted(row.items()) for row in mass]
    return LexicalClassifier(
        features=features,
        rarity=np.array([rarity[name] for name in features], dtype=np.float32),
        starts=np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64),
        columns=np.array([skill for row in rows for skill, _ in row], dtype=np.int16),
        mass=np.array([weight for row in rows for _, weight in row], dtype=np.float32),
        totals=(sums @ mixing + _FLOOR * len(features)).astype(np.float32),
        mixing=mixing,
    )


def list_features(texts: Sequence[str]) -> tuple[str, ...]:
    """The features that training on these texts would know."""
    return tuple(sorted(_measure_rarity(texts)))


def _measure_rarity(texts: Sequence[str]) -> dict[str, float]:
    """Inverse document frequency, smoothed (as scikit-learn's)."""
    number: Counter[str] = Counter()
    for text in texts:
        for counts in count_features(text):
            number.update(counts.keys())
    known = (name for name, times in number.items() if is_stem(name) or times >= _SMALLEST_GRAM_NUMBER)
    return {name: log((1 + len(texts)) / (1 + number[name])) + 1 for name in known}

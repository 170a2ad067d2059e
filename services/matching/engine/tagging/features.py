"""What a text shows: the stems of its words, and letters within its words (which survive typos and missing accents)."""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from math import log, sqrt

from services.matching.engine.tagging.tokens import family_of
from services.matching.engine.text.words import tokenise

# Raised with every change of what a text shows: a model of other features is refused.
FEATURES_VERSION = 3
_GRAMS = (3, 4, 5)
_LETTERS_WEIGHT = 0.5  # beside the stems' 1
_STEM_MARK = "="  # no letter: a stem is told from the same letters within a word

Weights = dict[str, float]


def count_features(text: str) -> tuple[Counter[str], Counter[str]]:
    """Stems and letter n-grams of a text, each with its number."""
    words = tokenise(text)
    stems = Counter(map(_feature_of, words))
    grams: Counter[str] = Counter()
    for word in words:
        grams.update(_grams(word))
    return stems, grams


def list_stem_features(text: str) -> list[str]:
    """The features of a text that are stems, one for each word."""
    return [_feature_of(word) for word in tokenise(text)]


def weigh_features(text: str, rarity: Mapping[str, float]) -> Weights:
    """Known features with their weights (1 + log of their number, times their rarity); of length 1, letters of half."""
    weights: Weights = {}
    for counts, share in zip(count_features(text), (1.0, _LETTERS_WEIGHT), strict=True):
        block = {name: (1 + log(number)) * rarity[name] for name, number in counts.items() if name in rarity}
        length = sqrt(sum(weight * weight for weight in block.values()))
        weights |= {name: share * weight / length for name, weight in block.items()}
    return weights


def _feature_of(word: str) -> str:
    return _STEM_MARK + family_of(word)


def is_stem(feature: str) -> bool:
    return feature.startswith(_STEM_MARK)


@lru_cache(maxsize=65536)
def _grams(word: str) -> tuple[str, ...]:
    return tuple(_cut(f" {word} "))


def _cut(padded: str) -> Iterator[str]:
    """As scikit-learn's `char_wb`: a word shorter than the n-gram counts once, whole."""
    for length in _GRAMS:
        if len(padded) <= length:
            yield padded
            return
        for start in range(len(padded) - length + 1):
            yield padded[start : start + length]

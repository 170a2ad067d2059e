"""A sentence model for tests: it knows a few synonyms, and counts what it was asked."""

from collections.abc import Sequence

import numpy as np

from services.matching.engine.text.encoder import SentenceModel

MEANINGS = ("jardin", "compte", "enfant", "site")
SYNONYMS = {"potager": "jardin", "horticulture": "jardin", "tresorerie": "compte", "bambin": "enfant", "internet": "site"}


class Asked(list[list[str]]):
    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.append(list(texts))
        return np.array([[1.0 + sum(SYNONYMS.get(w, w) == m for w in text.split()) * 4 for m in MEANINGS] for text in texts])


def make_model() -> tuple[SentenceModel, Asked]:
    asked = Asked()
    return SentenceModel("use", asked.encode, dimension=len(MEANINGS)), asked

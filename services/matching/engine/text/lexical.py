"""Texts that share words, or parts of words."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import TfidfVectorizer

from services.matching.engine.text.words import stems, tokenise

Scores = npt.NDArray[np.float32]


class LexicalIndex:
    """Documents that can be asked, by stems and by character n-grams (TF-IDF, cosine: 0 to 1).

    Stems forgive inflection, gender and derivation; n-grams forgive typos and join compounds (“disc-jockey”, “discjockey”).
    `also`: further texts that tell rare words from common ones, as the questions themselves when they come many at once.
    """

    def __init__(self, documents: Sequence[str], *, also: Iterable[str] = ()) -> None:
        self._stems = TfidfVectorizer(analyzer=_distinct_stems, dtype=np.float32)
        self._grams = TfidfVectorizer(
            preprocessor=_words, analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, dtype=np.float32
        )
        sample = [*documents, *also]
        self._by_stems = _fit(self._stems, documents, sample)
        self._by_grams = _fit(self._grams, documents, sample)
        self.size = len(documents)

    def stem_scores(self, questions: Sequence[str]) -> Scores:
        """(questions, documents): 1 for the same stems, 0 for none in common."""
        return self._compare(self._stems, self._by_stems, questions)

    def gram_scores(self, questions: Sequence[str]) -> Scores:
        """(questions, documents): 1 for the same n-grams of two to five letters within words."""
        return self._compare(self._grams, self._by_grams, questions)

    def scores(self, questions: Sequence[str]) -> Scores:
        """The mean of both."""
        return (self.stem_scores(questions) + self.gram_scores(questions)) * np.float32(0.5)

    def _compare(self, vectorizer: TfidfVectorizer, documents: object, questions: Sequence[str]) -> Scores:
        if documents is None or not questions:
            return np.zeros((len(questions), self.size), dtype=np.float32)
        shared: Scores = (vectorizer.transform(questions) @ documents.T).toarray()  # type: ignore[attr-defined]
        return shared


def _fit(vectorizer: TfidfVectorizer, documents: Sequence[str], sample: Sequence[str]) -> object:
    """The documents' rows; None where no text has a word (scikit-learn refuses an empty vocabulary)."""
    if not any(_words(text) for text in sample):
        return None
    vectorizer.fit(sample)
    return vectorizer.transform(documents) if documents else None


def _distinct_stems(text: str) -> list[str]:
    # A title that says a word twice (a pair of genders that was not recognised) means it once.
    return list(dict.fromkeys(stems(text)))


def _words(text: str) -> str:
    return " ".join(tokenise(text))

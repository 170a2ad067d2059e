"""The texts of a corpus, ranked by their nearness to a question: shared words, near words and shared meaning together.

Weights were chosen on halves of two labelled sets (job titles, skill phrases) and reported on the other halves; see
`bench/matching/links.py`.
"""

import re
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import TfidfVectorizer

from services.matching.engine.text.coverage import CoverageIndex
from services.matching.engine.text.encoder import SentenceModel
from services.matching.engine.text.lexical import LexicalIndex, Scores
from services.matching.engine.text.meaning import MeaningIndex
from services.matching.engine.text.words import stems, strip_accents, tidy

# What words say and what sentence models say, by how much each model has shown to know.
_COVERAGE, _GRAMS = 0.3, 0.1
_MEANING = {"use": 0.3, "e5": 0.6}
# Between entries that say the same, small things decide: spelling, number, and that something new is shown first.
_SURFACE, _NUMBER, _COPY = 0.05, 0.2, 0.1
# A plural entry names a family among entries that do not, as in a list of job titles; where a tenth of them are plurals,
# as among skills, it says nothing.
_FEW_PLURALS = 0.1
_BATCH = 256


class Retriever:
    """A corpus that can be asked. `questions_too`: questions known beforehand; they help to tell rare words from common.

    Entries with the same stems are one text to it, scored once. `models`: none, one or more; they add up.
    """

    def __init__(self, corpus: Sequence[str], *, questions_too: Sequence[str] = (), models: Sequence[SentenceModel] = ()) -> None:
        keys = [" ".join(sorted(set(stems(text)))) or text for text in corpus]
        _, firsts, self._text_of = np.unique(np.array(keys, dtype=object), return_index=True, return_inverse=True)
        texts = [corpus[first] for first in firsts]
        self._copies = _Copies(self._text_of)
        self._surface = _Surface(corpus)
        self._lexical = LexicalIndex(texts, also=questions_too)
        self._coverage = CoverageIndex(texts, also=questions_too, model=models[0] if models else None)
        self._meanings = [(_MEANING.get(model.name, 0.5), MeaningIndex(texts, model)) for model in models]
        self.size = len(corpus)

    def scores(self, questions: Sequence[str]) -> Scores:
        """(questions, corpus): the higher, the nearer; comparable within a question."""
        if not self.size or not questions:
            return np.zeros((len(questions), self.size), dtype=np.float32)
        text_scores = _COVERAGE * self._coverage.scores(questions) + _GRAMS * self._lexical.gram_scores(questions)
        for weight, meaning in self._meanings:
            text_scores += weight * meaning.scores(questions)
        scores = text_scores[:, self._text_of] + self._surface.scores(questions)
        self._copies.put_behind(scores)
        return np.asarray(scores, dtype=np.float32)

    def batches(self, questions: Sequence[str]) -> Iterator[tuple[int, Scores]]:
        """The scores of 256 questions at a time, with the number of the first: a whole matrix may not fit in memory."""
        for first in range(0, len(questions), _BATCH):
            yield first, self.scores(questions[first : first + _BATCH])


def rank(questions: Sequence[str], corpus: Sequence[str], *, models: Sequence[SentenceModel] = ()) -> Scores:
    """(questions, corpus) scores of a corpus that is asked once."""
    return Retriever(corpus, questions_too=questions, models=models).scores(questions)


class _Surface:
    """What is lost in stems and still tells entries apart: letters, both genders, and a family's plural (“Avocats”) where
    one was asked for (“avocat”)."""

    def __init__(self, corpus: Sequence[str]) -> None:
        self._letters = TfidfVectorizer(
            preprocessor=_spelled, analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True, use_idf=False, dtype=np.float32
        )
        self._rows = self._letters.fit_transform(corpus) if any(text.strip() for text in corpus) else None
        self._plural = _heads_plural(corpus)
        self._penalty = np.float32(_NUMBER * max(0.0, 1 - self._plural.sum() / (_FEW_PLURALS * max(1, len(corpus)))))

    def scores(self, questions: Sequence[str]) -> Scores:
        other_number = _heads_plural(questions)[:, None] != self._plural[None, :]
        scores: Scores = -self._penalty * other_number
        if self._rows is not None:
            scores += _SURFACE * (self._letters.transform(questions) @ self._rows.T).toarray()
        return scores


class _Copies:
    """Entries with one and the same text: the best stays, each further one comes a little later, so that a list of ten
    shows more than three titles in three spellings each."""

    def __init__(self, text_of: npt.NDArray[np.int64]) -> None:
        self._several = np.flatnonzero(np.bincount(text_of)[text_of] > 1) if len(text_of) else np.zeros(0, dtype=np.int64)
        self._text_of = text_of[self._several]

    def put_behind(self, scores: Scores) -> None:
        """Changes `scores` in place."""
        if not len(self._several):
            return
        for row in scores:
            # By text, then from the best: the place of each within its text.
            order = np.lexsort((-row[self._several], self._text_of))
            texts = self._text_of[order]
            starts = np.flatnonzero(np.diff(texts, prepend=-1))
            places = np.arange(len(texts)) - np.repeat(starts, np.diff(starts, append=len(texts)))
            row[self._several[order]] -= _COPY * places


def _spelled(text: str) -> str:
    return re.sub(r"\s*/\s*", " / ", text.replace("’", "'")).lower()


def _heads_plural(texts: Sequence[str]) -> npt.NDArray[np.bool_]:
    return np.array([_is_plural(strip_accents(tidy(text)).partition(" ")[0]) for text in texts], dtype=np.bool_)


def _is_plural(word: str) -> bool:
    return len(word) > 3 and word.endswith(("s", "aux")) and not word.endswith(("ss", "us", "is", "as", "ous"))

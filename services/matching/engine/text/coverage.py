"""How much of a question a document covers, and the other way round, word by word, near words counting in part.

A late interaction: every word of one side looks for its nearest on the other (as SoftTFIDF, Cohen, Ravikumar and
Fienberg, 2003, does with spelling). Words are near by stem, by letters (typos, compounds, derivations) and, with a
sentence model, by meaning (“vendeur” and “marchand”).
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from services.matching.engine.text.encoder import MeaningSpace, SentenceModel
from services.matching.engine.text.lexical import Scores
from services.matching.engine.text.words import stem, tokenise

# Below this, words are strangers: letters that happen to agree must not add up.
_NEAR = 0.3
# The same meaning in other letters is never as sure as the same stem.
_MEANING = 0.85


class CoverageIndex:
    """Documents that can be asked how much of a question they cover, each word weighing what its rarity says."""

    def __init__(self, documents: Sequence[str], *, also: Iterable[str] = (), model: SentenceModel | None = None) -> None:
        words = [sorted(set(tokenise(text))) for text in documents]
        self._vocabulary = sorted({word for found in words for word in found})
        self._column = {word: column for column, word in enumerate(self._vocabulary)}
        self._rarity = _Rarity([*words, *(tokenise(text) for text in also)])
        self._nearness = _WordNearness(self._vocabulary, model) if self._vocabulary else None
        self.size = len(documents)
        self._prepare(words)

    def scores(self, questions: Sequence[str]) -> Scores:
        """(questions, documents), 0 to 1: the geometric mean of the shares of either side that the other covers."""
        asked = [sorted(set(tokenise(text))) for text in questions]
        words = sorted({word for found in asked for word in found})
        if not words or self._nearness is None:
            return np.zeros((len(questions), self.size), dtype=np.float32)
        near = self._nearness.compare(words)
        rows = np.stack([self._best_per_document(near[number]) for number in range(len(words))])
        number_of = {word: number for number, word in enumerate(words)}
        scores = np.zeros((len(questions), self.size), dtype=np.float32)
        for question, found in enumerate(asked):
            if not found:
                continue
            numbers = [number_of[word] for word in found]
            weights = self._rarity.weigh(found)
            of_question = weights @ rows[numbers] / weights.sum()
            of_document = self._weighted @ near[numbers].max(axis=0) / self._weights
            scores[question] = np.sqrt(of_question * of_document)
        return scores

    def _prepare(self, words: list[list[str]]) -> None:
        columns = np.array([self._column[word] for found in words for word in found], dtype=np.int64)
        starts = np.cumsum([0, *(len(found) for found in words)])
        rarities = self._rarity.weigh(self._vocabulary)[columns] if len(columns) else np.zeros(0, dtype=np.float32)
        shape = (len(words), len(self._vocabulary))
        self._weighted = sparse.csr_matrix((rarities, columns, starts), shape=shape)
        self._weights = np.maximum(np.asarray(self._weighted.sum(axis=1)).ravel(), 1e-9)
        self._holders = self._weighted.tocsc()

    def _best_per_document(self, nearness: Scores) -> Scores:
        """For one word of the question: its nearest word's nearness in every document."""
        best = np.zeros(self.size, dtype=np.float32)
        columns = np.flatnonzero(nearness)
        # From the farthest to the nearest: what is written last stays.
        for column in columns[np.argsort(nearness[columns], kind="stable")]:
            first, last = self._holders.indptr[column : column + 2]
            best[self._holders.indices[first:last]] = nearness[column]
        return best


class _Rarity:
    """The inverse document frequency of a word's stem; a stem never seen is as rare as can be."""

    def __init__(self, texts: Sequence[Iterable[str]]) -> None:
        self._texts = len(texts)
        self._seen: dict[str, int] = {}
        for words in texts:
            for found in {stem(word) for word in words}:
                self._seen[found] = self._seen.get(found, 0) + 1

    def weigh(self, words: Sequence[str]) -> npt.NDArray[np.float32]:
        seen = np.array([self._seen.get(stem(word), 0) for word in words])
        return np.log(1 + self._texts / (1 + seen)).astype(np.float32)


class _WordNearness:
    """0 to 1 for pairs of words: 1 for the same stem."""

    def __init__(self, vocabulary: Sequence[str], model: SentenceModel | None) -> None:
        self._stems = np.array([stem(word) for word in vocabulary])
        self._grams = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, dtype=np.float32)
        self._by_grams = self._grams.fit_transform(vocabulary)
        self._model = model
        if model is not None:
            vectors = model.embed(vocabulary)
            self._space = MeaningSpace.centre(vectors)
            self._by_meaning = self._space.place(vectors)

    def compare(self, words: Sequence[str]) -> Scores:
        """(words, vocabulary)."""
        near: Scores = (self._grams.transform(words) @ self._by_grams.T).toarray()
        if self._model is not None:
            meaning = self._space.place(self._model.embed(words)) @ self._by_meaning.T
            np.maximum(near, _MEANING * meaning, out=near)
        near[near < _NEAR] = 0
        near[np.array([stem(word) for word in words])[:, None] == self._stems] = 1
        return near

"""Texts that mean much the same."""

from collections.abc import Sequence

from services.matching.engine.text.encoder import MeaningSpace, SentenceModel
from services.matching.engine.text.lexical import Scores


class MeaningIndex:
    """Documents that can be asked by meaning, in the space that they themselves span."""

    def __init__(self, documents: Sequence[str], model: SentenceModel) -> None:
        self._model = model
        vectors = model.embed(documents)
        self._space = MeaningSpace.fit(vectors)
        self._placed = self._space.place(vectors)

    def scores(self, questions: Sequence[str]) -> Scores:
        """(questions, documents), -1 to 1; unrelated texts are about 0."""
        near: Scores = self._space.place(self._model.embed(questions)) @ self._placed.T
        return near

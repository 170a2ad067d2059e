"""How good a ranking is, in the measures of the field (as trec_eval defines them)."""

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from services.matching.engine.text.lexical import Scores


@dataclass
class RankingMeasures:
    """Counted a question at a time. Only questions with something relevant count; ties are broken by the corpus's order."""

    ranks: list[int] = field(default_factory=list)

    def add(self, scores: Scores, relevant: Collection[int]) -> int:
        """`scores`: of the whole corpus for one question. Returns the rank, from 1, of the first relevant entry."""
        order = np.argsort(-scores, kind="stable")
        rank = int(np.flatnonzero(np.isin(order, list(relevant)))[0]) + 1
        self.ranks.append(rank)
        return rank

    def hit_at(self, places: int) -> float:
        """The share of questions with a relevant entry among the first `places`."""
        return sum(rank <= places for rank in self.ranks) / max(1, len(self.ranks))

    @property
    def mrr(self) -> float:
        """Mean over questions of 1 / rank of the first relevant entry in the whole ranking (trec_eval's recip_rank)."""
        return sum(1 / rank for rank in self.ranks) / max(1, len(self.ranks))

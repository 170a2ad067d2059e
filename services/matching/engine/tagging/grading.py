"""How good rankings are against graded judgments, 0 to 3 (as trec_eval defines the measures; gain 2^grade - 1)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.matching.engine.text.lexical import Scores

Grades = npt.NDArray[np.int8]

_RELEVANT = 2
_DEPTH, _RECALL_DEPTH, _HIT_DEPTH = 10, 5, 3


@dataclass(frozen=True)
class Grading:
    """Of one question. What has no meaning there is None: without a grade above 0, or without one of 2 or more."""

    ndcg: float | None
    recall: float | None
    hit_first: bool | None
    hit_three: bool | None


def grade_rankings(scores: Scores, grades: Grades) -> list[Grading]:
    """(questions, corpus) each; what was not judged is 0 in `grades`. Ties keep the corpus's order."""
    return [_grade(row, of_row) for row, of_row in zip(scores, grades, strict=True)]


def sum_up(gradings: Sequence[Grading]) -> dict[str, float]:
    """Means over the questions for which a measure has a meaning; 0 where there is none."""
    return {
        "ndcg@10": _mean([grading.ndcg for grading in gradings]),
        "recall@5": _mean([grading.recall for grading in gradings]),
        "hit@1": _mean([grading.hit_first for grading in gradings]),
        "hit@3": _mean([grading.hit_three for grading in gradings]),
    }


def _grade(scores: Scores, grades: Grades) -> Grading:
    order = np.argsort(-scores, kind="stable")
    gains = (2.0**grades - 1).astype(np.float64)
    ideal = _discounted(np.sort(gains)[::-1])
    relevant = grades[order] >= _RELEVANT
    number = int(relevant.sum())
    return Grading(
        ndcg=_discounted(gains[order]) / ideal if ideal > 0 else None,
        recall=float(relevant[:_RECALL_DEPTH].sum()) / number if number else None,
        hit_first=bool(relevant[0]) if number else None,
        hit_three=bool(relevant[:_HIT_DEPTH].any()) if number else None,
    )


def _discounted(gains: "npt.NDArray[np.float64]") -> float:
    first = gains[:_DEPTH]
    return float((first / np.log2(np.arange(2, len(first) + 2))).sum())


def _mean(values: Sequence[float | bool | None]) -> float:
    known = [float(value) for value in values if value is not None]
    return round(sum(known) / len(known), 4) if known else 0.0

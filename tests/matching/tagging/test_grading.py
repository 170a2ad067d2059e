"""The measures, against figures worked out by hand."""

from collections.abc import Sequence

import numpy as np
import pytest

from services.matching.engine.tagging.grading import grade_rankings, sum_up


def figures(scores: Sequence[Sequence[float]], grades: Sequence[Sequence[int]]) -> dict[str, float]:
    return sum_up(grade_rankings(np.array(scores, dtype=np.float32), np.array(grades, dtype=np.int8)))


class TestSumUp:
    def test_is_one_for_the_ideal_order(self) -> None:
        assert set(figures([[3, 2, 1, 0]], [[3, 2, 1, 0]]).values()) == {1.0}

    def test_discounts_by_rank_with_gain_two_to_the_grade(self) -> None:
        # A 3 at rank 2 instead of 1: (7 / log2(3)) / 7.
        assert figures([[1, 2]], [[3, 0]])["ndcg@10"] == pytest.approx(1 / np.log2(3), abs=1e-4)

    def test_recall_counts_grades_of_two_and_more_among_five(self) -> None:
        scores = [[9, 8, 7, 6, 5, 4]]
        assert figures(scores, [[1, 1, 1, 1, 2, 2]])["recall@5"] == 0.5

    def test_hits_ask_for_a_grade_of_two(self) -> None:
        found = figures([[3, 2, 1]], [[1, 2, 0]])
        assert (found["hit@1"], found["hit@3"]) == (0, 1)

    def test_questions_without_anything_relevant_do_not_count(self) -> None:
        found = figures([[1, 0], [1, 0]], [[3, 0], [0, 0]])
        assert (found["ndcg@10"], found["hit@1"]) == (1, 1)

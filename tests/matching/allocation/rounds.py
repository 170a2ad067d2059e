"""Small random rounds, the checks that every allocation must pass, and slower ways to the same optimum."""

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from services.matching.engine.allocation.model import (
    Association,
    Company,
    NeedRow,
    Pair,
    RoundInput,
    RoundParameters,
    RoundResult,
    Volunteer,
    build_round_input,
)
from services.matching.engine.allocation.problem import Problem, build_problem

WHOLE, ANY_PART = None, 1
frugal = settings(deadline=None, max_examples=40)  # solvers take their time on a busy machine


@st.composite
def small_rounds(
    draw: st.DrawFn, *, slice_minutes: tuple[int | None, ...] = (ANY_PART,), needs: int = 5, volunteers: int = 5
) -> RoundInput:
    """A handful of everything, with limits that bind."""
    amounts = st.integers(1, 8).map(lambda quarters: 15 * quarters)
    companies = [Company(f"c{n}", draw(amounts)) for n in range(draw(st.integers(0, 2)))]
    employers = st.sampled_from([None, *(company.id for company in companies)])
    people = [Volunteer(f"v{n}", draw(amounts), draw(employers)) for n in range(draw(st.integers(1, volunteers)))]
    associations = [Association(f"a{n}", draw(amounts) * 2, draw(st.none() | amounts)) for n in range(draw(st.integers(1, 3)))]
    association = st.sampled_from([one.id for one in associations])
    rows = [
        NeedRow(f"n{n}", draw(association), draw(amounts), draw(st.sampled_from(slice_minutes)))
        for n in range(draw(st.integers(1, needs)))
    ]
    keys = draw(st.sets(st.tuples(st.sampled_from(rows), st.sampled_from(people)), min_size=1, max_size=12))
    pairs = [
        Pair(need.id, who.id, draw(st.integers(0, 100))) for need, who in sorted(keys, key=lambda key: (key[0].id, key[1].id))
    ]
    return build_round_input(companies=companies, volunteers=people, associations=associations, needs=rows, pairs=pairs)


def prepare(data: RoundInput) -> Problem:
    return build_problem(data, RoundParameters())


def shuffle(data: RoundInput, seed: int) -> RoundInput:
    """The same round, every table's rows in another order."""
    random = np.random.default_rng(seed)
    company, volunteer, association, need = (
        random.permutation(len(ids)) for ids in (data.company_ids, data.volunteer_ids, data.association_ids, data.need_ids)
    )
    pair = random.permutation(len(data.pair_need))
    employer = data.volunteer_company[volunteer]
    return replace(
        data,
        company_ids=[data.company_ids[row] for row in company],
        company_minutes=data.company_minutes[company],
        volunteer_ids=[data.volunteer_ids[row] for row in volunteer],
        volunteer_minutes=data.volunteer_minutes[volunteer],
        volunteer_company=np.array([-1 if row < 0 else np.argsort(company)[row] for row in employer], dtype=np.int64),
        association_ids=[data.association_ids[row] for row in association],
        association_credit=data.association_credit[association],
        association_target=data.association_target[association],
        need_ids=[data.need_ids[row] for row in need],
        need_association=np.argsort(association)[data.need_association[need]],
        need_minutes=data.need_minutes[need],
        need_slice=data.need_slice[need],
        pair_need=np.argsort(need)[data.pair_need[pair]],
        pair_volunteer=np.argsort(volunteer)[data.pair_volunteer[pair]],
        pair_points=data.pair_points[pair],
        pins=tuple(reversed(data.pins)),
        exclusions=tuple(reversed(data.exclusions)),
    )


def assert_limits_hold(data: RoundInput, result: RoundResult) -> None:
    """No limit is broken, and no part is smaller than its need allows."""
    need_row = {key: row for row, key in enumerate(data.need_ids)}
    volunteer_row = {key: row for row, key in enumerate(data.volunteer_ids)}
    pairs = set(zip(data.pair_need.tolist(), data.pair_volunteer.tolist(), strict=True))
    by_need: Counter[int] = Counter()
    by_volunteer: Counter[int] = Counter()
    by_association: Counter[int] = Counter()
    by_company: Counter[int] = Counter()
    for item in result.proposals:
        need, volunteer = need_row[item.need_id], volunteer_row[item.volunteer_id]
        assert (need, volunteer) in pairs
        assert item.minutes >= min(int(data.need_slice[need]), int(data.need_minutes[need]))
        by_need[need] += item.minutes
        by_volunteer[volunteer] += item.minutes
        by_association[int(data.need_association[need])] += item.minutes
        if data.volunteer_company[volunteer] >= 0:
            by_company[int(data.volunteer_company[volunteer])] += item.minutes
    for used, limits in (
        (by_need, data.need_minutes),
        (by_volunteer, data.volunteer_minutes),
        (by_association, data.association_credit),
        (by_company, data.company_minutes),
    ):
        assert all(minutes <= limits[row] for row, minutes in used.items())


def best_whole_score(data: RoundInput) -> int:
    """The highest score with one volunteer a need, by trying everything."""
    problem = prepare(data)
    options: list[list[int]] = [[-1] for _ in range(problem.need_count)]
    for pair in np.flatnonzero(problem.pair_limit >= problem.need_minutes[problem.pair_need]).tolist():
        options[int(problem.pair_need[pair])].append(pair)
    return max(_score_choice(problem, choice) for choice in itertools.product(*options))


def _score_choice(problem: Problem, choice: tuple[int, ...]) -> int:
    """-1 where a limit breaks."""
    volunteer, company = problem.volunteer_minutes.copy(), problem.company_minutes.copy()
    credit, score = problem.credit.copy(), 0
    for pair in (pair for pair in choice if pair >= 0):
        need, who = problem.pair_need[pair], problem.pair_volunteer[pair]
        minutes = int(problem.need_minutes[need])
        volunteer[who] -= minutes
        credit[problem.need_association[need]] -= minutes
        if problem.volunteer_company[who] >= 0:
            company[problem.volunteer_company[who]] -= minutes
        score += minutes * int(problem.pair_points[pair])
    broken = any(column.min(initial=0) < 0 for column in (volunteer, company, credit))
    return -1 if broken else score

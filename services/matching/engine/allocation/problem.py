"""A round in canonical order, exclusions left out and pins taken off every limit: what the solvers see."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from services.matching.engine.allocation.canonical import draw_ids, draw_pairs, order_by_draw
from services.matching.engine.allocation.checks import check_round_input
from services.matching.engine.allocation.faults import BadRoundInput
from services.matching.engine.allocation.model import NO_COMPANY, Ints, RoundInput, RoundParameters


@dataclass(frozen=True)
class Pinned:
    """A pin with its minutes settled; `need` and `volunteer` are rows of the problem."""

    need: int
    volunteer: int
    minutes: int
    points: int


@dataclass(frozen=True)
class Problem:
    """Columns in canonical order. Minutes are what pins leave. Pairs are sorted by need, then volunteer.

    `*_row`: the row of the RoundInput behind each row here. `credit_spent`: minutes pinned, by association.
    `need_slice` is never above what the need asks, pins included. Volunteers and companies without a pair are left out.
    """

    company_row: Ints
    need_row: Ints
    volunteer_row: Ints
    association_row: Ints
    company_minutes: Ints
    volunteer_minutes: Ints
    volunteer_company: Ints
    credit: Ints
    target: Ints
    credit_spent: Ints
    need_association: Ints
    need_minutes: Ints
    need_slice: Ints
    pair_need: Ints
    pair_volunteer: Ints
    pair_points: Ints
    pair_draw: Ints
    pinned: tuple[Pinned, ...]

    @property
    def pair_limit(self) -> Ints:
        """The most minutes that each pair can carry."""
        return np.minimum(self.need_minutes[self.pair_need], self.volunteer_minutes[self.pair_volunteer])

    @property
    def need_count(self) -> int:
        return len(self.need_minutes)

    @property
    def association_count(self) -> int:
        return len(self.credit)

    def keep_pairs(self, kept: Ints) -> "Problem":
        """The same with only some of the pairs; `kept`: a mask."""
        columns = ("pair_need", "pair_volunteer", "pair_points", "pair_draw")
        return replace(self, **{name: getattr(self, name)[kept] for name in columns})

    @property
    def is_divisible(self) -> bool:
        """Every need takes any part from anybody: the flow alone is the optimum."""
        return bool(np.all(self.need_slice <= 1))


def build_problem(data: RoundInput, parameters: RoundParameters) -> Problem:
    """Pins are not taken off yet (`pins.take_pins`). Raises BadRoundInput for tables that contradict themselves."""
    check_round_input(data)
    seed = parameters.seed
    used = np.zeros(len(data.volunteer_ids), dtype=bool)
    used[data.pair_volunteer] = True
    volunteer_draws = draw_ids("volunteer", data.volunteer_ids, seed=seed)
    volunteer_row = order_by_draw("volunteer", data.volunteer_ids, volunteer_draws)
    volunteer_row = volunteer_row[used[volunteer_row]]
    need_draws = draw_ids("need", data.need_ids, seed=seed)
    need_row = order_by_draw("need", data.need_ids, need_draws)
    association_row = _order("association", data.association_ids, seed)
    company_row = _order("company", data.company_ids, seed)
    need_place, volunteer_place = _places(need_row, len(need_draws)), _places(volunteer_row, len(volunteer_draws))
    pair_need, pair_volunteer = need_place[data.pair_need], volunteer_place[data.pair_volunteer]
    kept = _keep_pairs(data, pair_need, pair_volunteer)
    pair_need, pair_volunteer = pair_need[kept], pair_volunteer[kept]
    employer = data.volunteer_company[volunteer_row].astype(np.int64)
    hired = np.flatnonzero(employer != NO_COMPANY)
    employer[hired] = _places(company_row, len(company_row))[employer[hired]]
    problem = Problem(
        company_row=company_row,
        need_row=need_row,
        volunteer_row=volunteer_row,
        association_row=association_row,
        company_minutes=data.company_minutes[company_row].astype(np.int64),
        volunteer_minutes=data.volunteer_minutes[volunteer_row].astype(np.int64),
        volunteer_company=employer,
        credit=data.association_credit[association_row].astype(np.int64),
        target=data.association_target[association_row].astype(np.int64),
        credit_spent=np.zeros(len(association_row), dtype=np.int64),
        need_association=_places(association_row, len(association_row))[data.need_association[need_row]],
        need_minutes=data.need_minutes[need_row].astype(np.int64),
        need_slice=np.minimum(data.need_slice, data.need_minutes)[need_row].astype(np.int64),
        pair_need=pair_need,
        pair_volunteer=pair_volunteer,
        pair_points=data.pair_points[kept].astype(np.int64),
        pair_draw=draw_pairs(need_draws[data.pair_need[kept]], volunteer_draws[data.pair_volunteer[kept]]),
        pinned=(),
    )
    return problem.keep_pairs(problem.pair_limit >= problem.need_slice[problem.pair_need])


def _order(table: str, ids: Sequence[str], seed: str) -> Ints:
    return order_by_draw(table, ids, draw_ids(table, ids, seed=seed))


def _places(rows: Ints, count: int) -> Ints:
    """For each row number its place in `rows`; -1 for those left out."""
    places = np.full(count, -1, dtype=np.int32)
    places[rows] = np.arange(len(rows), dtype=np.int32)
    return places


def _keep_pairs(data: RoundInput, pair_need: Ints, pair_volunteer: Ints) -> Ints:
    """Row numbers of the pairs that are not excluded, sorted by need and volunteer."""
    key = pair_need.astype(np.int64) * max(1, len(data.volunteer_ids)) + pair_volunteer
    order: Ints = np.argsort(key, kind="stable")
    ordered = key[order]
    twice = np.flatnonzero(ordered[1:] == ordered[:-1])
    if len(twice):
        row = int(order[twice[0]])
        need, volunteer = data.need_ids[data.pair_need[row]], data.volunteer_ids[data.pair_volunteer[row]]
        raise BadRoundInput(f"pair of need {need!r} and volunteer {volunteer!r} has two rows; leave one")
    excluded = {(pair.need_id, pair.volunteer_id) for pair in data.exclusions}
    if not excluded:
        return order
    wanted = [
        (data.need_ids[need], data.volunteer_ids[volunteer]) not in excluded
        for need, volunteer in zip(data.pair_need[order].tolist(), data.pair_volunteer[order].tolist(), strict=True)
    ]
    kept: Ints = order[np.array(wanted, dtype=bool)]
    return kept

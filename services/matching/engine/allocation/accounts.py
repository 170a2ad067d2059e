"""What came of a round: proposals, shares, and for every minute not served what held it up."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from services.matching.engine.allocation.leximin import is_reachable
from services.matching.engine.allocation.model import (
    NO_COMPANY,
    AssociationShare,
    HeldUp,
    Hurdle,
    Ints,
    Proposal,
    RoundInput,
    UnservedNeed,
)
from services.matching.engine.allocation.problem import Problem
from services.matching.engine.allocation.use import Use, measure_use

NEAREST = 5  # pairs told of each unserved need; all are counted


def list_proposals(problem: Problem, data: RoundInput, minutes: Ints) -> tuple[Proposal, ...]:
    """Sorted by need and volunteer; pins among them. A pinned pair gets no more than its pin."""
    taken = np.flatnonzero(minutes)
    needs = problem.need_row[problem.pair_need[taken]].tolist()
    volunteers = problem.volunteer_row[problem.pair_volunteer[taken]].tolist()
    rows = zip(needs, volunteers, minutes[taken].tolist(), problem.pair_points[taken].tolist(), strict=True)
    proposals = [Proposal(data.need_ids[need], data.volunteer_ids[who], amount, points) for need, who, amount, points in rows]
    for pin in problem.pinned:
        need, who = data.need_ids[problem.need_row[pin.need]], data.volunteer_ids[problem.volunteer_row[pin.volunteer]]
        proposals.append(Proposal(need, who, pin.minutes, pin.points, pinned=True))
    return tuple(sorted(proposals, key=lambda item: (item.need_id, item.volunteer_id)))


def list_shares(problem: Problem, data: RoundInput, use: Use) -> tuple[AssociationShare, ...]:
    """Sorted by association."""
    asked = np.bincount(data.need_association, weights=data.need_minutes, minlength=len(data.association_ids))
    reachable = is_reachable(problem)
    shares = [
        AssociationShare(
            association_id=data.association_ids[row],
            credit_minutes=int(problem.credit[place] + problem.credit_spent[place]),
            target_minutes=int(problem.target[place]),
            asked_minutes=int(asked[row]),
            served_minutes=int(use.association[place] + problem.credit_spent[place]),
            reachable=bool(reachable[place]),
        )
        for place, row in enumerate(problem.association_row.tolist())
    ]
    return tuple(sorted(shares, key=lambda share: share.association_id))


def list_unserved(problem: Problem, data: RoundInput, minutes: Ints) -> tuple[UnservedNeed, ...]:
    """Needs with minutes missing, sorted by id, each with what held up the volunteers who fit it."""
    use = measure_use(problem, minutes)
    missing = problem.need_minutes - use.need
    short = np.flatnonzero(missing > 0)
    hurdles = _find_hurdles(problem, minutes, use)
    starts = np.searchsorted(problem.pair_need, np.arange(problem.need_count + 1))
    gone = _list_uses(problem, data, minutes)

    def tell(pair: int) -> HeldUp:
        volunteer = int(problem.pair_volunteer[pair])
        return HeldUp(
            volunteer_id=data.volunteer_ids[problem.volunteer_row[volunteer]],
            points=int(problem.pair_points[pair]),
            hurdle=_ORDER[hurdles[pair]],
            free_minutes=int(problem.volunteer_minutes[volunteer] - use.volunteer[volunteer]),
            gone_to=tuple(sorted(gone.get(volunteer, ()))),
        )

    unserved = []
    for need in short.tolist():
        pairs = np.arange(starts[need], starts[need + 1])
        best = pairs[np.argsort(-problem.pair_points[pairs], kind="stable")][:NEAREST]
        unserved.append(
            UnservedNeed(
                need_id=data.need_ids[problem.need_row[need]],
                missing_minutes=int(missing[need]),
                candidates=len(pairs),
                hurdles=dict(sorted(Counter(_ORDER[code] for code in hurdles[pairs].tolist()).items())),
                nearest=tuple(tell(int(pair)) for pair in best),
            )
        )
    return tuple(sorted(unserved, key=lambda item: item.need_id))


_ORDER: Sequence[Hurdle] = tuple(Hurdle)


def _find_hurdles(problem: Problem, minutes: Ints, use: Use) -> Ints:
    """By pair the number of the first hurdle: limits that leave less than the need's smallest part, then what is worth less."""
    least = np.maximum(1, np.minimum(problem.need_slice, problem.need_minutes - use.need))[problem.pair_need]
    credit_left = (problem.credit - use.association)[problem.need_association[problem.pair_need]]
    volunteer_left = (problem.volunteer_minutes - use.volunteer)[problem.pair_volunteer]
    employer = problem.volunteer_company[problem.pair_volunteer]
    company_left = np.full(len(employer), np.iinfo(np.int64).max)
    hired = employer != NO_COMPANY
    company_left[hired] = (problem.company_minutes - use.company)[employer[hired]]
    remaining = (problem.need_minutes - use.need)[problem.pair_need]
    conditions = [
        credit_left < least,
        company_left < least,
        volunteer_left < least,
        (remaining < problem.need_slice[problem.pair_need]) & (minutes == 0),
    ]
    return np.select(conditions, list(range(len(conditions))), default=len(conditions))


def _list_uses(problem: Problem, data: RoundInput, minutes: Ints) -> dict[int, list[tuple[str, int]]]:
    """For each volunteer (problem's row) the needs that took minutes, pins among them."""
    gone: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for pair in np.flatnonzero(minutes).tolist():
        need = data.need_ids[problem.need_row[problem.pair_need[pair]]]
        gone[int(problem.pair_volunteer[pair])].append((need, int(minutes[pair])))
    for pin in problem.pinned:
        gone[pin.volunteer].append((data.need_ids[problem.need_row[pin.need]], pin.minutes))
    return gone

"""Which pairs enter a round of a whole region: for each need the best 30 to 50 offers, without scoring all in reach.

For a chunk of needs at a time: (1) look up the lists of offers that have two of the wanted skills, one of them, or (where
those are few) one near to them, cell by cell in reach; (2) draw a bounded number of them, nearer cells more densely;
(3) pass them through the gates and score them exactly; (4) keep the best. The draw is a stride with a start from the
need's own hash, so neighbours with the same wish look at different people; and an offer that many needs have chosen
already loses a few points in the choice (never in the score), so that popular volunteers do not crowd out the others and
the flow has whom to choose from. Needs come in the order of their draws: the same round gives the same pairs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from services.matching.engine.allocation.canonical import Draws, draw_pairs
from services.matching.engine.allocation.gates import Market, ScoredPairs, judge_pairs
from services.matching.engine.allocation.index import AFAR, Lists, OfferIndex, build_index
from services.matching.engine.allocation.model import Ints
from services.matching.engine.allocation.tables import NOWHERE

_NEARER = 1.5  # 1 draws evenly over all in reach; more draws nearer cells more densely


@dataclass(frozen=True)
class CandidateLimits:
    """`kept`: pairs a need at most. `looked_at`: offers a need at most before gates. `few`: below so many offers with a wanted
    skill, near skills are looked up, too. `usual_choices`: needs that may choose an offer before each further one costs
    `crowding_points`, up to `most_crowding`. `chunk`: needs at a time."""

    kept: int = 40
    looked_at: int = 400
    few: int = 200
    usual_choices: int = 4
    crowding_points: int = 2
    most_crowding: int = 40
    chunk: int = 2_000


def find_candidates(
    market: Market,
    *,
    need_draws: Draws,
    offer_draws: Draws,
    limits: CandidateLimits | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> ScoredPairs:
    """Scored pairs, sorted by chunk. `need_draws`, `offer_draws`: `canonical.draw_ids` of the rows."""
    limits = limits or CandidateLimits()
    index = build_index(market.supply, market.places, market.demand.place, skill_count=len(market.near_percents))
    order = np.argsort(need_draws, kind="stable")
    choices = np.zeros(len(market.supply), dtype=np.int32)
    found = []
    for start in range(0, len(order), limits.chunk):
        on_progress(start, len(order))
        needs = order[start : start + limits.chunk]
        row, offer = _look_up(index, market, needs, need_draws[needs], limits)
        scored = judge_pairs(market, needs[row].astype(np.int32), offer)
        draw = draw_pairs(need_draws[scored.need], offer_draws[scored.offer])
        kept = _choose(scored, draw, choices, limits)
        np.add.at(choices, kept.offer, 1)
        found.append(kept)
    return ScoredPairs(
        np.concatenate([part.need for part in found]),
        np.concatenate([part.offer for part in found]),
        np.concatenate([part.points for part in found]),
    )


def _choose(scored: ScoredPairs, draw: Ints, choices: Ints, limits: CandidateLimits) -> ScoredPairs:
    """The best of each need, by points less crowding, then by draw."""
    crowding = limits.crowding_points * np.maximum(0, choices[scored.offer] - limits.usual_choices)
    worth = scored.points.astype(np.int64) - np.minimum(crowding, limits.most_crowding)
    key = (scored.need.astype(np.int64) << 20) + ((512 - worth) << 10) + draw
    order = np.argsort(key, kind="stable")
    need = scored.need[order]
    first = np.flatnonzero(np.concatenate([[True], need[1:] != need[:-1]])) if len(need) else np.zeros(0, dtype=np.int64)
    rank = np.arange(len(need)) - np.repeat(first, np.diff(np.concatenate([first, [len(need)]])))
    kept = order[rank < limits.kept]
    return ScoredPairs(scored.need[kept], scored.offer[kept], scored.points[kept])


def _look_up(index: OfferIndex, market: Market, needs: Ints, draws: Draws, limits: CandidateLimits) -> tuple[Ints, Ints]:
    """(row in `needs`, offer), each pair once: what is looked at before gates."""
    cells, steps, owner = _reach(index, market, needs)
    skills = market.demand.skills[needs]
    pairs = _SegmentList()
    for one in range(skills.shape[1]):
        for other in range(one):
            low, high = np.minimum(skills[:, one], skills[:, other]), np.maximum(skills[:, one], skills[:, other])
            _add_segments(
                pairs,
                index.double,
                np.where(low >= 0, low.astype(np.int64) * index.skill_count + high, -1),
                cells,
                steps,
                owner,
                index.skill_count**2,
            )
    rows, offers = [], []
    drawn = pairs.draw(len(needs), np.full(len(needs), limits.looked_at // 2), draws)
    rows.append(drawn[0])
    offers.append(index.double.offers[drawn[1]])
    quota = limits.looked_at - np.bincount(drawn[0], minlength=len(needs))
    singles = _SegmentList()
    for one in range(skills.shape[1]):
        _add_segments(singles, index.single, skills[:, one].astype(np.int64), cells, steps, owner, index.skill_count)
    drawn = singles.draw(len(needs), quota, draws)
    rows.append(drawn[0])
    offers.append(index.single.offers[drawn[1]])
    taken = np.bincount(drawn[0], minlength=len(needs))
    poor = taken < limits.few
    if poor.any():
        near = _SegmentList()
        mine = poor[owner]
        for one in range(skills.shape[1]):
            for skill in _list_near(market, skills[:, one]).T:
                _add_segments(near, index.single, skill, cells[mine], steps[mine], owner[mine], index.skill_count)
        drawn = near.draw(len(needs), np.where(poor, limits.few - taken, 0), draws)
        rows.append(drawn[0])
        offers.append(index.single.offers[drawn[1]])
    key = np.sort(np.concatenate(rows).astype(np.int64) * len(market.supply) + np.concatenate(offers))
    key = key[np.concatenate([[True], key[1:] != key[:-1]])] if len(key) else key
    row, offer = np.divmod(key, len(market.supply))
    return row, offer.astype(np.int32)


def _reach(index: OfferIndex, market: Market, needs: Ints) -> tuple[Ints, Ints, Ints]:
    """(cell, radius step, row in `needs`) for all cells in reach of each need, nearest first, AFAR last."""
    place, remote = market.demand.place[needs], market.demand.remote[needs]
    cell = np.where(place != NOWHERE, index.grid.cell_of_place[np.maximum(place, 0)], AFAR)
    count = index.near_start[cell + 1] - index.near_start[cell]
    owner = np.repeat(np.arange(len(needs)), count)
    at = np.repeat(index.near_start[cell] - np.cumsum(count) + count, count) + np.arange(int(count.sum()))
    afar = np.flatnonzero(remote)
    cells = np.concatenate([index.near_cell[at], np.full(len(afar), AFAR, dtype=np.int32)])
    steps = np.concatenate([index.near_step[at], np.zeros(len(afar), dtype=np.int8)])
    owner = np.concatenate([owner, afar])
    order = np.argsort(owner, kind="stable")
    return cells[order], steps[order], owner[order]


def _list_near(market: Market, skills: Ints) -> Ints:
    """(needs, most near skills): the skills near each wanted one, -1 where there are fewer."""
    table = market.near_percents
    most = int((table > 0).sum(axis=1).max(initial=0))
    best = np.argsort(-table.astype(np.int16), axis=1, kind="stable")[:, :most]
    best = np.where(np.take_along_axis(table, best, axis=1) > 0, best, -1)
    return np.where(skills[:, None] >= 0, best[np.maximum(skills, 0)], -1)


class _SegmentList:
    """Stretches of lists, each looked up for one need. `ring`: lower is nearer, within a need."""

    def __init__(self) -> None:
        self.owner: list[Ints] = []
        self.ring: list[Ints] = []
        self.start: list[Ints] = []
        self.length: list[Ints] = []

    def draw(self, needs: int, quota: Ints, draws: Draws) -> tuple[Ints, Ints]:
        """(need, position in the lists' offers): all of a need's stretches, or `quota` of them spread over all."""
        if not self.owner:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        owner, start, length = (np.concatenate(column) for column in (self.owner, self.start, self.length))
        order = np.lexsort((np.concatenate(self.ring), owner))
        owner, start, length = owner[order], start[order], length[order]
        total = np.bincount(owner, length, minlength=needs).astype(np.int64)
        count = np.minimum(total, quota)
        row = np.repeat(np.arange(needs), count)
        number = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
        shift = (draws >> np.uint64(11)).astype(np.float64) / float(1 << 53)
        share = ((number + shift[row]) / count[row]) ** _NEARER
        spread = np.minimum((share * total[row]).astype(np.int64), total[row] - 1)
        wanted = np.where(count[row] == total[row], number, spread) + np.repeat(np.cumsum(total) - total, count)
        ends = np.cumsum(length)
        segment = np.searchsorted(ends, wanted, side="right")
        return row, start[segment] + wanted - (ends - length)[segment]


def _add_segments(into: _SegmentList, lists: Lists, skill: Ints, cells: Ints, steps: Ints, owner: Ints, width: int) -> None:
    wanted = skill[owner]
    asked = np.flatnonzero(wanted >= 0)
    number = lists.find(cells[asked].astype(np.int64) * width + wanted[asked])
    length = lists.within[number, steps[asked]]
    some = np.flatnonzero(length)
    into.owner.append(owner[asked[some]])
    into.ring.append(asked[some])
    into.start.append(lists.start[number[some]])
    into.length.append(length[some])

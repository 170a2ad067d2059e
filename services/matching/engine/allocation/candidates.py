"""Which pairs enter a round of a whole region: for each need the best 30 to 50 offers, without scoring all in reach.

For a chunk of needs at a time: (1) look up the lists of offers that have two of the wanted skills, one of them, or (where
those are few) one near to them, cell by cell in reach; (2) draw a bounded number of them, nearer cells more densely;
(3) pass them through the gates and score them exactly; (4) keep the best. The draw is a stride with a start from the
need's own hash, so neighbours with the same wish look at different people; and an offer that many needs have chosen
already loses a few points in the choice (never in the score), so that popular volunteers do not crowd out the others and
the flow has whom to choose from. Needs come in the order of their draws: the same round gives the same pairs.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from services.matching.engine.allocation.canonical import Draws, draw_pairs
from services.matching.engine.allocation.gates import Market, ScoredPairs, judge_pairs
from services.matching.engine.allocation.index import OfferIndex, build_index, number_two
from services.matching.engine.allocation.model import Ints
from services.matching.engine.allocation.stretches import Stretches, find_reach

_AT_ONCE = 2  # chunks, each in a thread. Fixed, whatever the machine: chunks at once do not see each other's choices
_DRAW_BITS = 30  # enough that no two pairs of a need are equal


@dataclass(frozen=True)
class CandidateLimits:
    """`kept`: pairs a need at most. `looked_at`: offers a need at most before gates. `few`: below so many offers with a wanted
    skill, near skills are looked up, too. `usual_choices`: needs that may choose an offer before each further one costs
    `crowding_points`, up to `most_crowding`. Needs are taken in `chunks` of 100
    to `largest_chunk`: in smaller ones, choices are seen sooner."""

    kept: int = 40
    looked_at: int = 400
    few: int = 200
    usual_choices: int = 3
    crowding_points: int = 4
    most_crowding: int = 40
    chunks: int = 40
    largest_chunk: int = 2_000


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
    skills = len(market.near_percents)
    index = build_index(market.supply, market.places, market.demand.place, draws=offer_draws, skill_count=skills)
    order = np.argsort(need_draws, kind="stable")
    choices = np.zeros(len(market.supply), dtype=np.int32)
    size = min(limits.largest_chunk, max(100, len(order) // limits.chunks))
    chunks = [order[start : start + size] for start in range(0, len(order), size)]

    def find(needs: Ints) -> ScoredPairs:
        row, offer = _look_up(index, market, needs, need_draws[needs], limits)
        scored = judge_pairs(market, needs[row].astype(np.int32), offer)
        draw = draw_pairs(need_draws[scored.need], offer_draws[scored.offer], bits=_DRAW_BITS)
        return _choose(scored, draw, choices, limits)

    found: list[ScoredPairs] = []
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for start in range(0, len(chunks), _AT_ONCE):
            on_progress(start * size, len(order))
            together = list(threads.map(find, chunks[start : start + _AT_ONCE]))
            for part in together:
                np.add.at(choices, part.offer, 1)
            found += together
    return ScoredPairs(
        np.concatenate([part.need for part in found]),
        np.concatenate([part.offer for part in found]),
        np.concatenate([part.points for part in found]),
    )


def _choose(scored: ScoredPairs, draw: Ints, choices: Ints, limits: CandidateLimits) -> ScoredPairs:
    """The best of each need, by points less crowding, then by draw."""
    crowding = limits.crowding_points * np.maximum(0, choices[scored.offer] - limits.usual_choices)
    worth = scored.points.astype(np.int64) - np.minimum(crowding, limits.most_crowding)
    key = (scored.need.astype(np.int64) << (_DRAW_BITS + 10)) + ((512 - worth) << _DRAW_BITS) + draw
    order = np.argsort(key, kind="stable")
    need = scored.need[order]
    first = np.flatnonzero(np.concatenate([[True], need[1:] != need[:-1]])) if len(need) else np.zeros(0, dtype=np.int64)
    rank = np.arange(len(need)) - np.repeat(first, np.diff(np.concatenate([first, [len(need)]])))
    kept = order[rank < limits.kept]
    return ScoredPairs(scored.need[kept], scored.offer[kept], scored.points[kept])


def _look_up(index: OfferIndex, market: Market, needs: Ints, draws: Draws, limits: CandidateLimits) -> tuple[Ints, Ints]:
    """(row in `needs`, offer), each pair once: what is looked at before gates."""
    reach = find_reach(index, market.demand.place[needs], market.demand.remote[needs])
    skills = market.demand.skills[needs].astype(np.int64)
    both = Stretches(index.double, draws)
    for one, other in combinations(range(skills.shape[1]), 2):
        both.add(number_two(skills[:, one], skills[:, other], skill_count=index.skill_count), reach)
    rows, offers = both.draw(np.full(len(needs), limits.looked_at // 2))
    wanted = Stretches(index.single, draws)
    for one in range(skills.shape[1]):
        wanted.add(skills[:, one], reach)
    more_rows, more_offers = wanted.draw(limits.looked_at - np.bincount(rows, minlength=len(needs)))
    rows, offers = np.concatenate([rows, more_rows]), np.concatenate([offers, more_offers])
    missing = limits.few - np.bincount(more_rows, minlength=len(needs))
    if (missing > 0).any():
        poor = reach.keep(missing[reach.row] > 0)
        near = Stretches(index.single, draws)
        for one in range(skills.shape[1]):
            for skill in _list_near(market, skills[:, one]).T:
                near.add(skill, poor)
        more_rows, more_offers = near.draw(np.maximum(missing, 0))
        rows, offers = np.concatenate([rows, more_rows]), np.concatenate([offers, more_offers])
    # By offer, not by need: what is read of offers is then read in the order of memory.
    key = np.sort(offers.astype(np.int64) * len(needs) + rows)
    key = key[np.concatenate([[True], key[1:] != key[:-1]])] if len(key) else key
    offer, row = np.divmod(key, len(needs))
    return row, offer.astype(np.int32)


def _list_near(market: Market, skills: Ints) -> Ints:
    """(needs, most near skills): the skills near each wanted one, -1 where there are fewer."""
    table = market.near_percents
    most = int((table > 0).sum(axis=1).max(initial=0))
    best = np.argsort(-table.astype(np.int16), axis=1, kind="stable")[:, :most]
    best = np.where(np.take_along_axis(table, best, axis=1) > 0, best, -1)
    return np.where(skills[:, None] >= 0, best[np.maximum(skills, 0)], -1)

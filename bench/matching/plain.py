"""The plain way to the candidates of a round: score every pair in reach, in sparse batches, and keep the best.

For the needs of one cell at a time: the offers of all cells in reach (and those at a distance for needs at a distance),
a sparse product of what is wanted (near skills included) with what is offered, the gates and the score on every pair of
it, and the best `kept` of each need. The gates and the score are the engine's own, so only the search differs.
"""

import numpy as np
from scipy.sparse import csr_matrix

from services.matching.engine.allocation.canonical import Draws, draw_pairs
from services.matching.engine.allocation.gates import Market, ScoredPairs, judge_pairs
from services.matching.engine.allocation.model import Ints
from services.matching.engine.allocation.tables import NOWHERE

CELL_DEGREES = 0.25
BATCH_PAIRS = 4_000_000  # (needs x offers in reach) x share of common skills stays in memory


def find_all_candidates(market: Market, *, need_draws: Draws, offer_draws: Draws, kept: int | None = 40) -> ScoredPairs:
    """The `kept` best of all pairs that pass; None: all of them."""
    demand, supply = market.demand, market.supply
    wants, has = _wanted_matrix(market), _offered_matrix(market)
    found = []
    for needs, offers in _list_regions(market):
        if not len(needs) or not len(offers):
            continue
        offered = has[offers].T.tocsr()
        step = max(1, BATCH_PAIRS * 10 // len(offers))
        for start in range(0, len(needs), step):
            batch = needs[start : start + step]
            shared = (wants[batch] @ offered).tocoo()
            scored = judge_pairs(market, batch[shared.row].astype(np.int32), offers[shared.col].astype(np.int32))
            found.append(_keep_best(scored, need_draws, offer_draws, kept))
    merged = ScoredPairs(*(np.concatenate([getattr(part, name) for part in found]) for name in ("need", "offer", "points")))
    key = merged.need.astype(np.int64) * len(supply) + merged.offer
    once = np.unique(key, return_index=True)[1]  # on the spot and at a distance
    merged = ScoredPairs(merged.need[once], merged.offer[once], merged.points[once])
    assert len(demand) >= len(np.unique(merged.need))
    return _keep_best(merged, need_draws, offer_draws, kept)


def _list_regions(market: Market) -> list[tuple[Ints, Ints]]:
    """(needs, offers that may reach them): by square, and once for all work at a distance."""
    demand, supply, places = market.demand, market.supply, market.places
    radius_degrees = int(supply.radius_km.max()) / 111.2
    here = np.flatnonzero(supply.place != NOWHERE)
    here = here[np.argsort(places.latitude[supply.place[here]], kind="stable")]
    latitude = places.latitude[supply.place[here]]
    longitude = places.longitude[supply.place[here]]
    needs = np.flatnonzero(demand.place != NOWHERE)
    row = np.floor(places.latitude[demand.place[needs]] / CELL_DEGREES).astype(np.int64)
    column = np.floor(places.longitude[demand.place[needs]] / CELL_DEGREES).astype(np.int64)
    squares, square = np.unique(row * 10_000 + column, return_inverse=True)
    regions = []
    for number in range(len(squares)):
        mine = needs[square == number]
        lat, lng = places.latitude[demand.place[mine]], places.longitude[demand.place[mine]]
        low, high = np.searchsorted(latitude, [lat.min() - radius_degrees, lat.max() + radius_degrees])
        band = radius_degrees / np.cos(np.radians(lat.max()))
        close = (longitude[low:high] >= lng.min() - band) & (longitude[low:high] <= lng.max() + band)
        regions.append((mine, here[low:high][close]))
    regions.append((np.flatnonzero(demand.remote), np.flatnonzero(supply.remote)))
    return regions


def _wanted_matrix(market: Market) -> csr_matrix:
    """Needs by skills: 1 where an offer of that skill counts, as the skill wanted or near to it."""
    skills = market.demand.skills
    row, column = np.nonzero(skills >= 0)
    skill = skills[row, column]
    identity = np.eye(len(market.near_percents), dtype=bool)
    accepted = csr_matrix((market.near_percents > 0) | identity)[skill]
    expanded = accepted.tocoo()
    values = np.ones(len(expanded.row), dtype=np.int8)
    return csr_matrix((values, (row[expanded.row], expanded.col)), shape=(len(skills), len(market.near_percents)))


def _offered_matrix(market: Market) -> csr_matrix:
    skills = market.supply.skills
    row, column = np.nonzero(skills >= 0)
    shape = (len(skills), len(market.near_percents))
    return csr_matrix((np.ones(len(row), dtype=np.int8), (row, skills[row, column])), shape=shape)


def _keep_best(scored: ScoredPairs, need_draws: Draws, offer_draws: Draws, kept: int | None) -> ScoredPairs:
    if kept is None:
        return scored
    draw = draw_pairs(need_draws[scored.need], offer_draws[scored.offer])
    order = np.argsort((scored.need.astype(np.int64) << 20) + ((512 - scored.points.astype(np.int64)) << 10) + draw)
    need = scored.need[order]
    first = np.searchsorted(need, need)
    best = order[np.arange(len(need)) - first < kept]
    return ScoredPairs(scored.need[best], scored.offer[best], scored.points[best])

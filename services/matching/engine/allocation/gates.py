"""The gates of `engine.gates`, for many pairs at once, cheapest first; each leaves fewer pairs to the next."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.matching.engine.allocation.model import Ints
from services.matching.engine.allocation.points import ANY_WEEK, PairMeasures, compare_skills, count_bits, mask_days, score_pairs
from services.matching.engine.allocation.tables import NOWHERE, Demand, KnownPairs, Places, Supply
from services.matching.engine.weights import Weights


@dataclass(frozen=True)
class Market:
    """All that pairs are judged by.

    `near_percents[wanted, offered]`: as `Referential.near_percents`, 0 where a skill cannot stand in for another and below the
    weights' `near_from_percent`.
    """

    demand: Demand
    supply: Supply
    places: Places
    known: KnownPairs
    near_percents: npt.NDArray[np.uint8]
    weights: Weights


@dataclass(frozen=True)
class ScoredPairs:
    """Rows of Demand and Supply, and the points of each pair."""

    need: Ints
    offer: Ints
    points: Ints

    def __len__(self) -> int:
        return len(self.need)


def judge_pairs(market: Market, need: Ints, offer: Ints) -> ScoredPairs:
    """The pairs that pass all gates, with their points, in the order given."""
    need, offer = _pass_dates(market, need, offer)
    need, offer, metres, remote = _pass_places(market, need, offer)
    demand, supply = market.demand, market.supply
    met, near = compare_skills(
        demand.skills[need], demand.levels[need], supply.skills[offer], supply.levels[offer], market.near_percents
    )
    passed = np.flatnonzero((met + near > 0) & ~_is_barred(market, need, offer))
    need, offer, metres, remote = need[passed], offer[passed], metres[passed], remote[passed]
    first, last = np.maximum(demand.starts[need], supply.starts[offer]), np.minimum(demand.ends[need], supply.ends[offer])
    asked_week = demand.week[need]
    week = np.where(asked_week > 0, asked_week, ANY_WEEK) & _week_of(supply.week[offer]) & mask_days(first, last)
    measures = PairMeasures(
        wanted_skills=(demand.skills[need] >= 0).sum(axis=1, dtype=np.int32),
        met_sixths=met[passed],
        near_sixths=near[passed],
        metres=metres,
        remote=remote,
        common_days=last - first + 1,
        wanted_days=demand.ends[need] - demand.starts[need] + 1,
        common_parts=np.where(asked_week > 0, count_bits(week), 1),
        wanted_parts=np.where(asked_week > 0, count_bits(asked_week), 1),
        asked_minutes=demand.minutes[need].astype(np.int32),
        free_minutes=np.maximum(1, supply.minutes[offer].astype(np.int32)),
        shared_missions=_count_together(market, need, offer),
        missions=supply.missions[offer].astype(np.int32),
        unmet_minutes=demand.unmet_minutes[need].astype(np.int64),
        needed_minutes=demand.needed_minutes[need],
    )
    return ScoredPairs(need, offer, score_pairs(measures, market.weights))


def _pass_dates(market: Market, need: Ints, offer: Ints) -> tuple[Ints, Ints]:
    demand, supply = market.demand, market.supply
    passed = supply.minutes[offer] >= demand.least_minutes[need]
    passed &= np.maximum(demand.starts[need], supply.starts[offer]) <= np.minimum(demand.ends[need], supply.ends[offer])
    need, offer = need[passed], offer[passed]
    languages, requires = demand.languages[need], demand.requires[need]
    passed = (supply.languages[offer] & languages) == languages
    passed &= (supply.flags[offer] & requires) == requires
    first, last = np.maximum(demand.starts[need], supply.starts[offer]), np.minimum(demand.ends[need], supply.ends[offer])
    passed &= (_week_of(demand.week[need]) & _week_of(supply.week[offer]) & mask_days(first, last)) > 0
    return need[passed], offer[passed]


def _pass_places(market: Market, need: Ints, offer: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """(need, offer, metres where the radius reaches else -1, both at a distance)."""
    demand, supply = market.demand, market.supply
    here, there = demand.place[need], supply.place[offer]
    metres = market.places.measure_metres(np.maximum(here, 0), np.maximum(there, 0))
    reached = (here != NOWHERE) & (there != NOWHERE) & (metres <= 1000 * supply.radius_km[offer].astype(np.int32))
    remote = demand.remote[need] & supply.remote[offer]
    passed = np.flatnonzero(reached | remote)
    return need[passed], offer[passed], np.where(reached, metres, -1)[passed], remote[passed]


def _week_of(masks: Ints) -> Ints:
    return np.where(masks > 0, masks, ANY_WEEK)


def _is_barred(market: Market, need: Ints, offer: Ints) -> Ints:
    known, width = market.known, np.int64(len(market.supply))
    if not len(known.barred_need):
        return np.zeros(len(need), dtype=bool)
    barred = np.sort(known.barred_need.astype(np.int64) * width + known.barred_offer)
    pairs = need.astype(np.int64) * width + offer
    found: Ints = barred[np.minimum(np.searchsorted(barred, pairs), len(barred) - 1)] == pairs
    return found


def _count_together(market: Market, need: Ints, offer: Ints) -> Ints:
    known = market.known
    counts = np.zeros(len(need), dtype=np.int32)
    if not len(known.together_offer):
        return counts
    width = np.int64(len(market.supply))
    keys = known.together_association.astype(np.int64) * width + known.together_offer
    order = np.argsort(keys)
    wanted = market.demand.association[need].astype(np.int64) * width + offer
    at = np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)
    found = keys[order[at]] == wanted
    counts[found] = known.together_missions[order[at[found]]]
    return counts

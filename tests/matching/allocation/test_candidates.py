"""Candidates of a region: passed and scored exactly, bounded, the same whatever the order, and enough for the flow."""

from dataclasses import replace

import numpy as np
import pytest

from bench.matching.plain import find_all_candidates
from bench.matching.round import build_data
from bench.matching.territory import Region, make_region
from services.matching.engine.allocation.candidates import CandidateLimits, find_candidates
from services.matching.engine.allocation.flow import solve_flow
from services.matching.engine.allocation.gates import ScoredPairs, judge_pairs
from services.matching.engine.allocation.tables import KnownPairs
from services.matching.engine.allocation.tiers import build_plain_tiers
from tests.matching.allocation.rounds import prepare

UNLIMITED = CandidateLimits(kept=10**6, looked_at=10**6, few=10**6)


@pytest.fixture(scope="module")
def region() -> Region:
    return make_region(300, 1_500)


def find(region: Region, limits: CandidateLimits | None = None) -> ScoredPairs:
    need_draws, offer_draws = region.draw()
    return find_candidates(region.market, need_draws=need_draws, offer_draws=offer_draws, limits=limits)


def find_all(region: Region) -> ScoredPairs:
    """All needs with all offers, by the gates alone: no index, no cells."""
    needs, offers = len(region.need_ids), len(region.volunteer_ids)
    need, offer = np.divmod(np.arange(needs * offers, dtype=np.int64), offers)
    return judge_pairs(region.market, need.astype(np.int32), offer.astype(np.int32))


def as_dict(pairs: ScoredPairs) -> dict[tuple[int, int], int]:
    return dict(zip(zip(pairs.need.tolist(), pairs.offer.tolist(), strict=True), pairs.points.tolist(), strict=True))


def best_score(region: Region, pairs: ScoredPairs) -> int:
    problem = prepare(build_data(region, pairs))
    return solve_flow(problem, build_plain_tiers(problem), problem.pair_points).value


class TestFindCandidates:
    def test_without_limits_finds_every_pair_that_passes(self, region: Region) -> None:
        assert as_dict(find(region, UNLIMITED)) == as_dict(find_all(region))

    def test_keeps_no_more_than_asked_and_only_what_passes(self, region: Region) -> None:
        found = find(region, CandidateLimits(kept=7))
        everything = as_dict(find_all(region))
        assert np.bincount(found.need).max() == 7
        assert as_dict(found).items() <= everything.items()

    def test_no_need_goes_without_while_somebody_fits(self, region: Region) -> None:
        assert set(find(region).need.tolist()) == set(find_all(region).need.tolist())

    def test_rows_may_come_in_any_order(self, region: Region) -> None:
        """Pairs are named by ids, and places of the tables change."""
        other, need, offer = _shuffle(region)
        ours, theirs = as_dict(find(region)), as_dict(find(other))
        assert {(need[n], offer[v]): points for (n, v), points in theirs.items()} == ours

    def test_loses_little_against_all_pairs(self) -> None:
        region = make_region(600, 3_000)
        everything = best_score(region, find_all_candidates_of(region))
        assert best_score(region, find(region)) >= 0.99 * everything


class TestFindAllCandidates:
    def test_the_plain_way_finds_every_pair_that_passes(self, region: Region) -> None:
        assert as_dict(find_all_candidates_of(region)) == as_dict(find_all(region))


def find_all_candidates_of(region: Region) -> ScoredPairs:
    need_draws, offer_draws = region.draw()
    return find_all_candidates(region.market, need_draws=need_draws, offer_draws=offer_draws, kept=None)


def _shuffle(region: Region) -> tuple[Region, list[int], list[int]]:
    """The region with needs and offers in another order, and for each new row the old one."""
    random = np.random.default_rng(5)
    market = region.market
    need, offer = random.permutation(len(market.demand)), random.permutation(len(market.supply))
    demand = replace(market.demand, **{name: getattr(market.demand, name)[need] for name in market.demand.__dataclass_fields__})
    supply = replace(market.supply, **{name: getattr(market.supply, name)[offer] for name in market.supply.__dataclass_fields__})
    known = KnownPairs(
        barred_need=np.argsort(need)[market.known.barred_need],
        barred_offer=np.argsort(offer)[market.known.barred_offer],
        together_association=market.known.together_association,
        together_offer=np.argsort(offer)[market.known.together_offer],
        together_missions=market.known.together_missions,
    )
    shuffled = replace(
        region,
        market=replace(market, demand=demand, supply=supply, known=known),
        need_ids=[region.need_ids[row] for row in need],
        volunteer_ids=[region.volunteer_ids[row] for row in offer],
    )
    return shuffled, need.tolist(), offer.tolist()

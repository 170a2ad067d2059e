"""Valuations: the donor's own figures, never more minutes than were served, corrected by versions, shared by consent."""

import asyncio
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.auth import Caller, Role
from kernel.errors import Forbidden
from kernel.events.credits import MissionValued
from kernel.ids import new_id
from services.credits.domain.campaigns import Outcome
from services.credits.domain.document_errors import LawUnknown, MoreThanServed
from services.credits.domain.errors import BadInput, NotFound
from services.credits.domain.ledger import TransferKind
from services.credits.domain.patronage import compute_reduction, get_law, list_laws
from services.credits.domain.valuations import CostLine, make_valuation, require_served
from services.credits.store.ledger import list_of_mission
from services.credits.store.valuations import sum_served_minutes
from services.credits.use_cases.reversals import reverse_transfer
from services.credits.use_cases.valuations import say_consent, value_mission
from tests.builders.credits import Scene
from tests.builders.documents import (
    Pair,
    agree_mission,
    binding,
    make_cost,
    make_law,
    make_line,
    make_pair,
    of_company,
    serve_mission,
    value,
)
from tests.support.waiting import wait_until

MARCH = {"from_day": date(2026, 3, 1), "to_day": date(2026, 3, 31), "method": "", "today": date(2026, 4, 1)}


@pytest.fixture
async def pair(scene: Scene) -> Pair:
    return await make_pair(scene)


class TestLaw:
    def test_has_the_figures_of_2026_with_their_source(self) -> None:
        law = get_law(2026)
        assert law.employee_ceiling_cents(employees=1, months=1) == 3 * 400_500
        assert (law.rate_permille, law.upper_rate_permille, law.base_limit_cents) == (600, 400, 2_000_000)
        assert all("238 bis" in known.source for known in list_laws())

    def test_a_year_that_nobody_entered_is_refused(self) -> None:
        with pytest.raises(LawUnknown, match="2199"):
            get_law(2199)


class TestComputeReduction:
    @pytest.mark.parametrize(
        ("given_cents", "turnover_cents", "counted", "reduction"),
        [
            (1_000_000, 0, 1_000_000, 600_000),
            (3_000_000, 0, 2_000_000, 1_200_000),  # 20 000 € at most for a small turnover
            (3_000_000, 600_000_000, 3_000_000, 1_800_000),  # 5 per mille of 6 M€ is 30 000 €
            (300_000_000, 100_000_000_000, 300_000_000, 160_000_000),  # above 2 M€ the rate is 40 %
        ],
    )
    def test_follows_the_law(self, given_cents: int, turnover_cents: int, counted: int, reduction: int) -> None:
        computed = compute_reduction(make_law(), given_cents=given_cents, turnover_cents=turnover_cents)
        assert (computed.counted_cents, computed.reduction_cents) == (counted, reduction)
        assert computed.counted_cents + computed.carried_cents == given_cents


class TestCostLine:
    def test_is_minutes_at_an_hourly_cost(self) -> None:
        assert CostLine(90, 4_000).amount_cents == 6_000
        assert CostLine(1, 30).amount_cents == 1  # half a cent is rounded up
        assert CostLine(1, 29).amount_cents == 0

    def test_counts_up_to_the_ceiling_of_its_employees_and_months(self) -> None:
        law = make_law(monthly_ceiling_cents=1_000)
        assert CostLine(60, 10_000).retained_cents(law) == 3_000
        assert CostLine(60, 10_000, employees=2).retained_cents(law) == 6_000
        assert CostLine(60, 10_000, employees=2, months=2).retained_cents(law) == 10_000

    @given(
        st.lists(
            st.builds(CostLine, st.integers(1, 10**6), st.integers(0, 10**6), st.none(), st.integers(1, 9)),
            min_size=1,
            max_size=9,
        )
    )
    def test_a_valuation_is_the_sum_of_its_lines_as_shown(self, lines: list[CostLine]) -> None:
        law, valuation = make_law(), make_cost(*lines)
        content = valuation.lines_content(law)
        assert valuation.minutes == sum(line["minutes"] for line in content)
        assert valuation.amount_cents == sum(line["amount_cents"] for line in content)
        assert valuation.retained_cents(law) == sum(line["retained_cents"] for line in content) <= valuation.amount_cents


class TestMakeValuation:
    def test_refuses_a_period_that_is_none(self) -> None:
        with pytest.raises(BadInput, match="/to_day"):
            make_valuation(**MARCH | {"to_day": date(2026, 2, 1)}, lines=[make_line()])  # type: ignore[arg-type]
        with pytest.raises(BadInput, match="/to_day"):
            make_valuation(**MARCH | {"to_day": date(2026, 4, 2)}, lines=[make_line()])  # type: ignore[arg-type]

    def test_refuses_months_that_the_period_does_not_have(self) -> None:
        with pytest.raises(BadInput, match="/lines/1/months"):
            make_valuation(**MARCH, lines=[make_line(), make_line(months=2)])  # type: ignore[arg-type]

    def test_the_last_days_year_gives_the_ceiling(self) -> None:
        over_new_year = {"from_day": date(2025, 12, 1), "to_day": date(2026, 1, 31)}
        assert make_valuation(**MARCH | over_new_year, lines=[make_line(months=2)]).law_year == 2026  # type: ignore[arg-type]

    def test_never_more_than_served(self) -> None:
        require_served(60, served_minutes=60)
        with pytest.raises(MoreThanServed, match="1 minutes fewer"):
            require_served(61, served_minutes=60)


class TestValueMission:
    async def test_keeps_the_donors_figures(self, scene: Scene, pair: Pair) -> None:
        mission_id = await serve_mission(scene, pair)
        await value(scene, pair, mission_id, make_cost(make_line(minutes=60), make_line(minutes=30, hourly_cost_cents=6_000)))
        (kept,) = await scene.fetch("SELECT * FROM valuation")
        assert (kept["minutes"], kept["amount_cents"], kept["retained_cents"], kept["law_year"]) == (90, 7_000, 7_000, 2026)
        assert [told.minutes for told in await scene.published(MissionValued)] == [90]

    async def test_refuses_more_minutes_than_were_served(self, scene: Scene, pair: Pair) -> None:
        mission_id = await serve_mission(scene, pair)
        with pytest.raises(MoreThanServed) as refused:
            await value(scene, pair, mission_id, make_cost(make_line(minutes=91)))
        assert refused.value.members == {"valued_minutes": 91, "served_minutes": 90}

    async def test_refuses_a_mission_that_served_nothing_yet(self, scene: Scene, pair: Pair) -> None:
        agreed = await agree_mission(scene, pair)
        with pytest.raises(MoreThanServed):
            await value(scene, pair, agreed.mission_id)

    async def test_counts_net_of_reversals(self, scene: Scene, pair: Pair) -> None:
        mission_id = await serve_mission(scene, pair)
        async with scene.work() as work:
            (settled,) = await list_of_mission(work, mission_id, TransferKind.SETTLE)
            await reverse_transfer(work, settled.id, reason="Heures notées deux fois", minutes=30)
            assert await sum_served_minutes(work, mission_id) == 60
        with pytest.raises(MoreThanServed):
            await value(scene, pair, mission_id, make_cost(make_line(minutes=61)))
        await value(scene, pair, mission_id, make_cost(make_line(minutes=60)))

    async def test_waits_for_a_reversal_under_way(self, scene: Scene, pair: Pair) -> None:
        """What is being undone is not valued meanwhile."""
        mission_id = await serve_mission(scene, pair)
        async with scene.work() as work:
            (settled,) = await list_of_mission(work, mission_id, TransferKind.SETTLE)
            await reverse_transfer(work, settled.id, reason="Heures notées deux fois")
            valuing = asyncio.create_task(value(scene, pair, mission_id))
            await wait_until(lambda: _is_somebody_waiting(scene), what="the valuation to wait for the mission")
        with pytest.raises(MoreThanServed):
            await valuing

    async def test_the_same_changes_nothing_and_others_need_a_reason(self, scene: Scene, pair: Pair) -> None:
        mission_id = await serve_mission(scene, pair)
        await value(scene, pair, mission_id)
        async with scene.work(of_company(scene, pair)) as work:
            again = await value_mission(work, mission_id, make_cost(), share_with_town=False, reason=None)
            assert again is Outcome.UNCHANGED
        other = make_cost(make_line(hourly_cost_cents=4_500))
        with pytest.raises(BadInput, match="/reason"):
            await value(scene, pair, mission_id, other)
        await value(scene, pair, mission_id, other, reason="Charges de mars connues")
        rows = await scene.fetch("SELECT version, amount_cents, reason FROM valuation ORDER BY version")
        assert [tuple(row) for row in rows] == [(1, 6_000, None), (2, 6_750, "Charges de mars connues")]

    async def test_is_the_donors_alone(self, scene: Scene, pair: Pair) -> None:
        mission_id = await serve_mission(scene, pair)
        for caller in (
            scene.officer,
            binding(scene, pair.association_id, Role.ASSOCIATION),
            binding(scene, pair.company_id, Role.VOLUNTEER),
        ):
            async with scene.work(caller) as work:
                with pytest.raises(Forbidden):
                    await value_mission(work, mission_id, make_cost(), share_with_town=True, reason=None)

    async def test_a_citizen_values_their_own_time(self, scene: Scene, pair: Pair) -> None:
        citizen = new_id()
        await scene.pledge(600, contributor_id=citizen)
        mission_id = await serve_mission(scene, Pair(pair.association_id, citizen))
        async with scene.work(Caller(scene.territory, "volunteer", None, citizen, frozenset({Role.VOLUNTEER}))) as work:
            assert await value_mission(work, mission_id, make_cost(), share_with_town=True, reason=None) is Outcome.CREATED


class TestConsent:
    async def test_is_kept_with_each_change(self, scene: Scene, pair: Pair) -> None:
        mission_id = await serve_mission(scene, pair)
        await value(scene, pair, mission_id, share=True)
        for share, outcome in ((True, Outcome.UNCHANGED), (False, Outcome.CHANGED), (True, Outcome.CHANGED)):
            async with scene.work(of_company(scene, pair)) as work:
                assert await say_consent(work, mission_id, share_with_town=share) is outcome
        rows = await scene.fetch("SELECT share_with_town FROM valuation_consent ORDER BY version")
        assert [row["share_with_town"] for row in rows] == [True, False, True]
        assert len(await scene.fetch("SELECT * FROM valuation")) == 1

    async def test_of_nothing_is_not_found(self, scene: Scene, pair: Pair) -> None:
        mission_id = await serve_mission(scene, pair)
        async with scene.work(of_company(scene, pair)) as work:
            with pytest.raises(NotFound):
                await say_consent(work, mission_id, share_with_town=True)


async def _is_somebody_waiting(scene: Scene) -> bool:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    return bool((await scene.fetch(waiting))[0]["count"])

"""What-if: arithmetic that leaves no trace, and agrees with the computation that would be kept."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.credits.domain.campaigns import Rules
from services.credits.domain.errors import EmptyPanel
from services.credits.domain.grants import PanelSeat, compute_grants, digest_computation
from services.credits.domain.what_if import Outcome, Scenario, compare_scenarios
from services.credits.schemas.what_if import WhatIfOut, build_what_if_sheet
from services.credits.store import grants
from services.credits.use_cases.grants import propose_grants
from services.credits.use_cases.what_if import imagine_grants
from tests.builders.credits import Scene, make_rules, make_seat

panels = st.lists(
    st.builds(make_seat, cut_cents=st.integers(0, 500_000), already_granted_minutes=st.integers(0, 600)), min_size=1, max_size=25
)
rules_of_any_town = st.builds(
    make_rules,
    step_minutes=st.sampled_from([1, 5, 15, 30, 60]),
    compensation_permille=st.integers(1, 1500),
    hour_value_cents=st.integers(100, 20_000),
)


def compare(seats: list[PanelSeat], *scenarios: Scenario, rules: Rules | None = None, pool_minutes: int = 600) -> list[Outcome]:
    return compare_scenarios(
        seats, rules=rules or make_rules(), pool_minutes=pool_minutes, scenarios=scenarios, own_name="Les nôtres"
    )


class TestCompareScenarios:
    def test_tells_who_gains_who_loses_and_what_is_left(self) -> None:
        seats = [make_seat(cut_cents=cents) for cents in (60_000, 30_000)]
        own, half, rich = compare(
            seats, Scenario("Moitié", compensation_permille=500), Scenario("Riche", pool_minutes=2000), pool_minutes=600
        )
        assert [share.computed_minutes for share in own.shares] == [405, 195]
        assert [(share.computed_minutes, share.difference_minutes) for share in half.shares] == [(300, -105), (150, -45)]
        assert (half.gainers, half.losers, half.remaining_minutes) == (0, 2, 150)
        assert [share.difference_minutes for share in rich.shares] == [195, 105]
        assert (rich.gainers, rich.remaining_minutes, rich.computation.is_cut) == (2, 1100, False)

    def test_an_empty_pool_is_not_the_same_as_ones_own(self) -> None:
        own, none = compare([make_seat()], Scenario("Rien", pool_minutes=0))
        assert (own.computation.computed_minutes, none.computation.computed_minutes) == (600, 0)

    @given(seats=panels, rules=rules_of_any_town, pool=st.integers(0, 50_000), imagined=rules_of_any_town)
    def test_is_the_computation_that_the_other_rules_would_give(
        self, seats: list[PanelSeat], rules: Rules, pool: int, imagined: Rules
    ) -> None:
        scenario = Scenario("S", imagined.compensation_permille, imagined.hour_value_cents, imagined.step_minutes, pool)
        own, other = compare(seats, scenario, rules=rules, pool_minutes=pool)
        assert own.computation == compute_grants(seats, rules=rules, pool_minutes=pool)
        assert other.computation == compute_grants(seats, rules=imagined, pool_minutes=pool)
        difference = other.computation.computed_minutes - own.computation.computed_minutes
        assert sum(share.difference_minutes for share in other.shares) == difference


class TestLargestRemainder:
    """Against Hamilton's method written another way: who got a step more had no smaller remainder than who did not."""

    @given(seats=panels, rules=rules_of_any_town, pool=st.integers(0, 20_000))
    def test_is_exact_for_any_panel(self, seats: list[PanelSeat], rules: Rules, pool: int) -> None:
        computed = compute_grants(seats, rules=rules, pool_minutes=pool)
        steps = pool // rules.step_minutes
        due = [line.due_minutes // rules.step_minutes for line in computed.lines]
        granted = [line.computed_minutes // rules.step_minutes for line in computed.lines]
        assert sum(granted) == min(steps, sum(due))
        if sum(due) <= steps:
            assert granted == due
            return
        quotas = [Fraction(one * steps, sum(due)) for one in due]
        extra = [got - int(quota) for got, quota in zip(granted, quotas, strict=True)]
        assert set(extra) <= {0, 1}
        rounded_up = [quota % 1 for quota, one in zip(quotas, extra, strict=True) if one]
        rounded_down = [quota % 1 for quota, one in zip(quotas, extra, strict=True) if not one]
        assert not rounded_up or not rounded_down or min(rounded_up) >= max(rounded_down)

    @given(seats=panels, rules=rules_of_any_town, pool=st.integers(0, 20_000), data=st.data())
    def test_rows_in_another_order_have_the_same_digest(
        self, seats: list[PanelSeat], rules: Rules, pool: int, data: st.DataObject
    ) -> None:
        ids: dict[str, Any] = {"campaign_id": seats[0].association_id, "proposal_id": seats[0].association_id}
        shuffled = data.draw(st.permutations(seats))
        first, second = (compute_grants(rows, rules=rules, pool_minutes=pool) for rows in (seats, shuffled))
        assert digest_computation(first, **ids) == digest_computation(second, **ids)

    def test_every_figure_changes_the_digest(self) -> None:
        seat = make_seat(cut_cents=60_000)
        ids: dict[str, Any] = {"campaign_id": seat.association_id, "proposal_id": seat.association_id}
        other = PanelSeat(seat.association_id, 60_001, 1, 0)  # the same cut, and thus the same grant, from other figures
        computed = [
            compute_grants([one], rules=rules, pool_minutes=pool)
            for one in (seat, other)
            for rules in (make_rules(), make_rules(hour_value_cents=6001))
            for pool in (600, 601)
        ]
        assert len({digest_computation(one, **ids) for one in computed}) == len(computed)


class TestBuildWhatIfSheet:
    def test_opens_in_a_french_spreadsheet_and_runs_nothing(self) -> None:
        seat = PanelSeat(make_seat().association_id, 960_050, 0)
        found = WhatIfOut.of(compare([seat], Scenario("Rien", pool_minutes=0)), names={seat.association_id: "=1+1"})
        lines = build_what_if_sheet(found).removeprefix("\ufeff").split("\r\n")
        assert lines[0].endswith("Les nôtres : minutes;Les nôtres : ecart_minutes;Rien : minutes;Rien : ecart_minutes")
        assert lines[1] == f"{seat.association_id};'=1+1;9600,5;0;0;600;0;0;-600"
        assert lines[2:4] == [";Total;;;;600;0;0;-600", ";Reste dans l'enveloppe;;;;0;0;0;0"]


class TestImagineGrants:
    async def test_agrees_with_the_proposal_and_writes_nothing(self, scene: Scene) -> None:
        await scene.pledge(600)
        for entitled in (600, 300):
            await scene.admit(entitled_minutes=entitled)
        before = await scene.fetch("SELECT (SELECT count(*) FROM grant_proposal) + (SELECT count(*) FROM transfer) AS rows")
        async with scene.work() as work:
            own, other = await imagine_grants(
                work, scene.campaign_id, scenarios=[Scenario("Double", pool_minutes=1200)], afresh=False
            )
        after = await scene.fetch("SELECT (SELECT count(*) FROM grant_proposal) + (SELECT count(*) FROM transfer) AS rows")
        assert before == after
        assert (own.computation.computed_minutes, other.computation.computed_minutes) == (600, 900)
        async with scene.work() as work:
            proposal_id = await propose_grants(work, scene.campaign_id)
            assert (await grants.get_proposal_row(work, scene.campaign_id, proposal_id)).computed_minutes == 600

    async def test_afresh_forgets_what_was_granted(self, scene: Scene) -> None:
        await scene.pledge(600)
        await scene.admit(entitled_minutes=900)
        await scene.sign()
        half = [Scenario("Moitié", compensation_permille=500)]
        async with scene.work() as work:
            (own, _) = await imagine_grants(work, scene.campaign_id, scenarios=half, afresh=False)
            (own_afresh, other) = await imagine_grants(work, scene.campaign_id, scenarios=half, afresh=True)
        assert own.computation.computed_minutes == 0
        assert (own_afresh.computation.computed_minutes, other.computation.computed_minutes) == (600, 450)

    async def test_afresh_counts_what_was_promised_once(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600, promise=900)
        agreed = await scene.agree(association, contributor, 120)
        await scene.handle(scene.validated(agreed, 90))
        await scene.close()
        async with scene.work() as work:
            (own, _) = await imagine_grants(work, scene.campaign_id, scenarios=[Scenario("S")], afresh=True)
        assert (own.computation.pool_minutes, own.computation.computed_minutes) == (900, 600)

    async def test_refuses_an_empty_panel(self, scene: Scene) -> None:
        with pytest.raises(EmptyPanel):
            async with scene.work() as work:
                await imagine_grants(work, scene.campaign_id, scenarios=[Scenario("S")], afresh=False)

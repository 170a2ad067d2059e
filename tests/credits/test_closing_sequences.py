"""Random campaigns: the dry run says to the minute what the close then does, and every figure of the report adds up."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.credits.domain.campaigns import ExpiryRule
from services.credits.domain.closings import Step
from tests.builders import closings as close
from tests.builders.credits import Scene
from tests.credits.test_sequences import Player, minutes, some, which

pytestmark = pytest.mark.timeout(600)
# Missions end on 30 June, the campaign on 31 December.
moments = st.sampled_from([datetime(2026, *day, 9, tzinfo=UTC) for day in ((4, 1), (7, 10), (9, 1), (12, 28))] + [
    datetime(2027, 1, 15, 9, tzinfo=UTC)
])  # fmt: skip
operations = st.one_of(
    st.tuples(st.just("pledge"), which, minutes),
    st.tuples(st.just("withdraw"), st.integers(0, 9), minutes),
    st.tuples(st.just("grant"), which, minutes),
    st.tuples(st.just("agree"), which, which, minutes),
    st.tuples(st.just("agree"), which, which, minutes),
    st.tuples(st.just("cancel"), st.integers(0, 9)),
    st.tuples(st.just("validate"), st.integers(0, 9), minutes),
    st.tuples(st.just("reverse"), st.integers(0, 99)),
)


class TestAnyCampaign:
    @settings(some, max_examples=12)
    @given(rule=st.sampled_from(ExpiryRule), sequence=st.lists(operations, min_size=3, max_size=20), moment=moments)
    async def test_closes_as_the_dry_run_said(
        self, scene: Scene, rule: ExpiryRule, sequence: list[tuple[Any, ...]], moment: datetime
    ) -> None:
        player = await Player(scene).start(rule)
        for name, *arguments in sequence:
            await player.play(name, *arguments)
        scene.now = moment
        before = await close.contents(scene)
        _, plan, _ = await close.preview(scene)
        assert await close.contents(scene) == before
        report = await close.run_all(scene)
        planned = {(key.kind.value, key.holder_id, key.lot_id): minutes for key, minutes in plan.after.items() if minutes}
        assert await close.balances(scene) == planned
        facts = report.text.facts
        assert {one["association_id"]: one["expired_minutes"] + one["carried_over_minutes"] for one in facts["associations"]
                if one["expired_minutes"] + one["carried_over_minutes"]} == self.expired(plan)  # fmt: skip
        assert [one["mission_id"] for one in facts["surviving_holds"]] == [str(hold.mission_id) for hold in plan.surviving]
        await player.check()
        self.check_report(facts)
        await self.end_missions(player)

    def expired(self, plan: Any) -> dict[str, int]:
        return {str(holder): minutes for holder, minutes in plan.expired_by_association().items()}

    def check_report(self, facts: dict[str, Any]) -> None:
        """What came is spent, set aside or expired, for each association and in all; both sides served the same."""
        totals = Counter[str]()
        for one in facts["associations"]:
            came = one["granted_minutes"] + one["carried_in_minutes"]
            gone = one["served_minutes"] + one["expired_minutes"] + one["carried_over_minutes"]
            assert came == gone + one["held_minutes"] + one["credit_minutes"]
            assert one["credit_minutes"] == 0
        for one in facts["contributors"]:
            assert one["pledged_minutes"] - one["withdrawn_minutes"] == one["delivered_minutes"] + one["undelivered_minutes"]
            assert one["committed_minutes"] <= one["undelivered_minutes"]
        for row in (*facts["associations"], *facts["contributors"]):
            totals.update({name: value for name, value in row.items() if name.endswith("_minutes")})
        assert {name: value for name, value in facts["totals"].items() if name in totals} == dict(totals)
        assert totals["served_minutes"] == totals["delivered_minutes"]
        assert totals["committed_minutes"] == totals["held_minutes"]

    async def end_missions(self, player: Player) -> None:
        """The report is signed; missions that kept their hold are validated, and an addendum states it."""
        await close.sign(player.scene)
        facts = (await close.report_of(player.scene)).text.facts
        surviving = {one["mission_id"]: one["held_minutes"] for one in facts["surviving_holds"]}
        for agreed in player.missions:
            if str(agreed.mission_id) in surviving:
                await player.scene.handle(player.scene.validated(agreed, min(15, agreed.minutes)))
        if surviving:
            addendum = (await close.add(player.scene)).text.facts
            self.check_report(addendum)
            assert (addendum["surviving_holds"], addendum["totals"]["held_minutes"]) == ([], 0)
            assert {one["mission_id"] for one in addendum["movements"]} == set(surviving)
        assert (await close.closing_of(player.scene)).is_done(Step.SIGN)

"""Lots: each grant its own, the earliest expiring first; reservations over several, settlements in parts."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.clock import LOCAL_ZONE
from services.credits.domain.errors import TransferKeyReused
from services.credits.domain.holds import HoldState
from services.credits.domain.ledger import AccountKind
from services.credits.domain.lots import Lot, draw_minutes, end_of_day
from tests.builders.credits import Scene
from tests.builders.lots import (
    IN_JUNE,
    LATER,
    SOON,
    decide_one,
    fund_two_lots,
    list_transfers,
    make_lot,
    release_of,
    reservation,
    reverse,
    settlement_of,
)
from tests.support.books import check_books

pytestmark = pytest.mark.timeout(60)
MICROSECOND = timedelta(microseconds=1)

somewhen = st.integers(-30 * 24, 30 * 24).map(lambda hours: IN_JUNE + timedelta(hours=hours))
some_lots = st.lists(st.tuples(somewhen, st.integers(0, 600)), max_size=8)


def balances_of(lots: dict[Lot, int]) -> dict[Any, int]:
    return {lot.account(AccountKind.CREDIT): minutes for lot, minutes in lots.items()}


class TestDrawMinutes:
    def test_takes_the_earliest_expiring_first(self) -> None:
        late, early = make_lot(expires_at=LATER), make_lot(expires_at=SOON)
        drawn = draw_minutes([late, early], 90, balances=balances_of({late: 60, early: 60}), now=IN_JUNE)
        assert drawn == [(early, 60), (late, 30)]

    def test_skips_what_has_expired_and_what_is_empty(self) -> None:
        over, empty, live = make_lot(expires_at=IN_JUNE), make_lot(expires_at=SOON), make_lot(expires_at=LATER)
        drawn = draw_minutes([over, empty, live], 60, balances=balances_of({over: 60, empty: 0, live: 60}), now=IN_JUNE)
        assert drawn == [(live, 60)]

    def test_same_expiry_in_the_order_of_granting(self) -> None:
        first, second = make_lot(), make_lot()
        drawn = draw_minutes([second, first], 70, balances=balances_of({first: 60, second: 60}), now=IN_JUNE)
        assert drawn == [(first, 60), (second, 10)]

    @given(plan=some_lots, minutes=st.integers(0, 2000), now=somewhen)
    def test_gives_what_live_lots_have_and_no_more(self, plan: list[tuple[datetime, int]], minutes: int, now: datetime) -> None:
        lots = {make_lot(expires_at=expires_at): left for expires_at, left in plan}
        drawn = draw_minutes(lots, minutes, balances=balances_of(lots), now=now)
        live = {lot: left for lot, left in lots.items() if lot.expires_at > now}
        assert sum(taken for _, taken in drawn) == min(minutes, sum(live.values()))
        assert all(lot in live and 0 < taken <= lots[lot] for lot, taken in drawn)
        assert [lot.expires_at for lot, _ in drawn] == sorted(lot.expires_at for lot, _ in drawn)
        # Only the last one drawn may keep something; whatever expires before it is empty.
        used = dict(drawn)
        if drawn:
            assert all(used.get(lot, 0) == left for lot, left in live.items() if lot.expires_at < drawn[-1][0].expires_at)

    @given(plan=some_lots, minutes=st.integers(0, 2000), data=st.data())
    def test_whatever_order_they_come_in(self, plan: list[tuple[datetime, int]], minutes: int, data: st.DataObject) -> None:
        lots = {make_lot(expires_at=expires_at): left for expires_at, left in plan}
        shuffled = data.draw(st.permutations(list(lots)))
        balances = balances_of(lots)
        assert draw_minutes(shuffled, minutes, balances=balances, now=IN_JUNE) == draw_minutes(
            lots, minutes, balances=balances, now=IN_JUNE
        )


class TestEndOfDay:
    @pytest.mark.parametrize(
        ("day", "hours"),
        [(date(2026, 3, 28), 24), (date(2026, 3, 29), 23), (date(2026, 10, 24), 24), (date(2026, 10, 25), 25)],
    )
    def test_a_day_is_as_long_as_the_clocks_make_it(self, day: date, hours: int) -> None:
        ends = end_of_day(day, zone=LOCAL_ZONE)
        before = end_of_day(day - timedelta(days=1), zone=LOCAL_ZONE)
        assert ends.astimezone(UTC) - before.astimezone(UTC) == timedelta(hours=hours)
        assert (ends - MICROSECOND).date() == day


class TestReservation:
    async def test_each_grant_is_a_lot_to_the_campaigns_last_day(self, scene: Scene) -> None:
        await scene.pledge(1200)
        association = await scene.admit(entitled_minutes=300)
        await scene.sign()
        await scene.start()
        rows = await scene.fetch("SELECT * FROM lot")
        (grant,) = await scene.fetch("SELECT * FROM signed_grant")
        assert [(row["association_id"], row["minutes"], row["grant_id"]) for row in rows] == [(association, 300, grant["id"])]
        assert rows[0]["expires_at"] == end_of_day(date(2026, 12, 31), zone=LOCAL_ZONE)

    async def test_spans_two_lots_the_earliest_expiring_first(self, scene: Scene) -> None:
        funded = await fund_two_lots(scene)
        await funded.reserve(90)
        assert (await funded.left(), await funded.left("held")) == ([0, 30], [60, 30])
        await check_books(scene.fetch)

    async def test_a_release_goes_back_to_the_lots_it_came_from(self, scene: Scene) -> None:
        funded = await fund_two_lots(scene)
        first, second = await funded.reserve(45), await funded.reserve(60)
        await decide_one(scene, release_of(first))
        assert (await funded.left(), await funded.left("held")) == ([45, 15], [15, 45])
        await decide_one(scene, release_of(second))
        assert (await funded.left(), await funded.left("held")) == ([60, 60], [0, 0])
        await check_books(scene.fetch)

    async def test_refuses_more_than_all_live_lots_have(self, scene: Scene) -> None:
        funded = await fund_two_lots(scene)
        answer = await decide_one(scene, reservation(scene, funded.association, funded.contributor, 121))
        assert answer.refusal is not None
        assert (answer.refusal.code, answer.refusal.missing_minutes) == ("not-enough-credit", 1)

    async def test_at_once_draw_nothing_twice(self, scene: Scene) -> None:
        funded = await fund_two_lots(scene)
        commands = [reservation(scene, funded.association, funded.contributor, 30) for _ in range(8)]
        answers = await asyncio.gather(*(decide_one(scene, command) for command in commands))
        assert sorted(answer.refusal is None for answer in answers) == [False] * 4 + [True] * 4
        assert await funded.left("held") == [60, 60]
        await check_books(scene.fetch)


class TestSettlementInParts:
    async def test_serves_the_lots_in_the_order_of_drawing(self, scene: Scene) -> None:
        funded = await fund_two_lots(scene)
        mission = await funded.reserve(100)
        answer = await decide_one(scene, settlement_of(mission, 50, part="a"))
        assert answer.hold is not None
        assert (answer.hold.state, answer.hold.served_minutes, answer.hold.held_minutes) == (HoldState.HELD, 50, 50)
        assert await funded.left("held") == [10, 40]
        await decide_one(scene, settlement_of(mission, 30, part="b"))
        assert await funded.left("held") == [0, 20]
        last = await decide_one(scene, settlement_of(mission, 5))
        assert last.hold is not None
        assert (last.hold.state, last.hold.served_minutes) == (HoldState.SETTLED, 85)
        assert (await funded.left(), await funded.left("held")) == ([0, 35], [0, 0])
        assert await scene.balance(AccountKind.SERVED, funded.association) == 85
        assert await scene.balance(AccountKind.DELIVERED, funded.contributor) == -85
        await check_books(scene.fetch)

    async def test_a_part_that_takes_all_that_is_held_is_the_last(self, scene: Scene) -> None:
        funded = await fund_two_lots(scene)
        mission = await funded.reserve(60)
        await decide_one(scene, settlement_of(mission, 45, part="a"))
        answer = await decide_one(scene, settlement_of(mission, 15, part="b"))
        assert answer.hold is not None
        assert answer.hold.state is HoldState.SETTLED

    async def test_the_same_part_again_gives_the_same_answer(self, scene: Scene) -> None:
        funded = await fund_two_lots(scene)
        mission = await funded.reserve(90)
        first = await decide_one(scene, settlement_of(mission, 50, part="a"))
        before = await list_transfers(scene)
        again = await decide_one(scene, settlement_of(mission, 50, part="a"))
        assert (again.hold, again.refusal, again.is_new) == (first.hold, None, False)
        assert await list_transfers(scene) == before

    async def test_a_part_of_nothing_leaves_everything_as_it_is(self, scene: Scene) -> None:
        funded = await fund_two_lots(scene)
        mission = await funded.reserve(90)
        first = await decide_one(scene, settlement_of(mission, 50, part="a"))
        before = await scene.fetch("SELECT * FROM hold")
        scene.now += timedelta(hours=1)
        answer = await decide_one(scene, settlement_of(mission, 0, part="b"))
        assert (answer.hold, answer.refusal, answer.is_new) == (first.hold, None, False)
        assert await scene.fetch("SELECT * FROM hold") == before

    async def test_no_minutes_are_answered_alike_whatever_came_of_the_mission(self, scene: Scene) -> None:
        funded = await fund_two_lots(scene)
        mission = await funded.reserve(45)
        nothing, end = settlement_of(mission, 0, part="b"), settlement_of(mission, 0)
        await decide_one(scene, settlement_of(mission, 15, part="a"))
        await decide_one(scene, nothing)
        assert (await decide_one(scene, end)).is_new
        for state in (HoldState.SETTLED, HoldState.REVERSED):
            for said in (nothing, end):
                answer = await decide_one(scene, said)
                assert answer.hold is not None
                assert (answer.hold.state, answer.refusal, answer.is_new) == (state, None, False)
            if state is HoldState.SETTLED:
                for settled in await list_transfers(scene, "settle"):
                    await reverse(scene, settled)
        assert await scene.fetch("SELECT FROM refusal") == []

    async def test_the_same_part_of_other_minutes_is_refused(self, scene: Scene) -> None:
        funded = await fund_two_lots(scene)
        mission = await funded.reserve(90)
        await decide_one(scene, settlement_of(mission, 50, part="a"))
        with pytest.raises(TransferKeyReused):
            await decide_one(scene, settlement_of(mission, 40, part="a"))
        assert await scene.balance(AccountKind.SERVED, funded.association) == 50

    async def test_the_same_part_at_once_settles_once(self, scene: Scene) -> None:
        funded = await fund_two_lots(scene)
        mission = await funded.reserve(90)
        answers = await asyncio.gather(*(decide_one(scene, settlement_of(mission, 20, part="a")) for _ in range(6)))
        assert sum(answer.is_new for answer in answers) == 1
        assert await scene.balance(AccountKind.SERVED, funded.association) == 20

    async def test_refuses_more_than_is_still_held_and_keeps_the_refusal(self, scene: Scene) -> None:
        funded = await fund_two_lots(scene)
        mission = await funded.reserve(90)
        await decide_one(scene, settlement_of(mission, 50, part="a"))
        answer = await decide_one(scene, settlement_of(mission, 41, part="b"))
        assert answer.refusal is not None
        assert (answer.refusal.code, answer.refusal.missing_minutes) == ("more-than-held", 1)
        (row,) = await scene.fetch("SELECT subject, code, missing_minutes FROM refusal")
        assert tuple(row) == ("settlement", "more-than-held", 1)
        await check_books(scene.fetch)

    async def test_at_once_never_settle_more_than_is_held(self, scene: Scene) -> None:
        funded = await fund_two_lots(scene)
        mission = await funded.reserve(90)
        parts = [settlement_of(mission, 25, part=f"part-{number}") for number in range(8)]
        answers = await asyncio.gather(*(decide_one(scene, part) for part in parts))
        assert sum(answer.refusal is None for answer in answers) == 3
        assert await scene.balance(AccountKind.SERVED, funded.association) == 75
        await check_books(scene.fetch)

    async def test_a_cancellation_after_a_part_spares_what_was_served(self, scene: Scene) -> None:
        funded = await fund_two_lots(scene)
        mission = await funded.reserve(90)
        await decide_one(scene, settlement_of(mission, 50, part="a"))
        answer = await decide_one(scene, release_of(mission))
        assert answer.hold is not None
        assert (answer.hold.state, answer.hold.served_minutes) == (HoldState.SETTLED, 50)
        assert await funded.left() == [10, 60]
        await check_books(scene.fetch)

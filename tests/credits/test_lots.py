"""Lots: each grant its own with its expiry, the earliest first, unspendable the second it expires, carried over once."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.clock import LOCAL_ZONE
from kernel.events.credits import CreditExpired, CreditExpiring, CreditGranted
from services.credits.domain.campaigns import ExpiryRule
from services.credits.domain.errors import CampaignNotOpen, NothingCarried, TransferKeyReused
from services.credits.domain.holds import HoldState
from services.credits.domain.ledger import AccountKind
from services.credits.domain.lots import Lot, draw_minutes, end_of_day
from services.credits.use_cases.deadlines import close_ended_campaign, release_overdue_holds, send_expiry_notices
from tests.builders.credits import IN_SPRING, Scene
from tests.builders.lots import (
    carry_in,
    credit_of,
    days_after,
    decide_one,
    grant_lot,
    list_transfers,
    make_lot,
    open_next_campaign,
    release_of,
    reservation,
    reverse,
    settlement_of,
    sweep,
)
from tests.support.books import check_books

pytestmark = pytest.mark.timeout(60)
NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
SOON, LATER = datetime(2026, 6, 30, 22, 0, tzinfo=UTC), datetime(2026, 9, 30, 22, 0, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

somewhen = st.integers(-30 * 24, 30 * 24).map(lambda hours: NOW + timedelta(hours=hours))
some_lots = st.lists(st.tuples(somewhen, st.integers(0, 600)), max_size=8)


def balances_of(lots: dict[Lot, int]) -> dict[Any, int]:
    return {lot.account(AccountKind.CREDIT): minutes for lot, minutes in lots.items()}


class TestDrawMinutes:
    def test_takes_the_earliest_expiring_first(self) -> None:
        late, early = make_lot(expires_at=LATER), make_lot(expires_at=SOON)
        drawn = draw_minutes([late, early], 90, balances=balances_of({late: 60, early: 60}), now=NOW)
        assert drawn == [(early, 60), (late, 30)]

    def test_skips_what_has_expired_and_what_is_empty(self) -> None:
        over, empty, live = make_lot(expires_at=NOW), make_lot(expires_at=SOON), make_lot(expires_at=LATER)
        drawn = draw_minutes([over, empty, live], 60, balances=balances_of({over: 60, empty: 0, live: 60}), now=NOW)
        assert drawn == [(live, 60)]

    def test_same_expiry_in_the_order_of_granting(self) -> None:
        first, second = make_lot(), make_lot()
        drawn = draw_minutes([second, first], 70, balances=balances_of({first: 60, second: 60}), now=NOW)
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
        assert draw_minutes(shuffled, minutes, balances=balances, now=NOW) == draw_minutes(
            lots, minutes, balances=balances, now=NOW
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


class Funded:
    """One association with a lot that ends soon and one that ends later, and a contributor who promised enough."""

    def __init__(self, scene: Scene, association: UUID, contributor: UUID, soon: Lot, later: Lot) -> None:
        self.scene, self.association, self.contributor, self.soon, self.later = scene, association, contributor, soon, later

    async def reserve(self, minutes: int) -> Any:
        command = reservation(self.scene, self.association, self.contributor, minutes)
        answer = await decide_one(self.scene, command)
        assert answer.refusal is None
        return command

    async def left(self, kind: str = "credit") -> list[int]:
        return await credit_of(self.scene, [self.soon, self.later], kind)


async def fund(scene: Scene, *, soon: int = 60, later: int = 60, expires_at: datetime = SOON) -> Funded:
    scene.now = NOW
    contributor = await scene.pledge(6000)
    association = await scene.admit(entitled_minutes=0)
    # The later one first: the order of expiry counts, not that of granting.
    late = await grant_lot(scene, association, later, expires_at=LATER)
    early = await grant_lot(scene, association, soon, expires_at=expires_at)
    return Funded(scene, association, contributor, early, late)


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
        funded = await fund(scene)
        await funded.reserve(90)
        assert (await funded.left(), await funded.left("held")) == ([0, 30], [60, 30])
        await check_books(scene.fetch)

    async def test_a_release_goes_back_to_the_lots_it_came_from(self, scene: Scene) -> None:
        funded = await fund(scene)
        first, second = await funded.reserve(45), await funded.reserve(60)
        await decide_one(scene, release_of(first))
        assert (await funded.left(), await funded.left("held")) == ([45, 15], [15, 45])
        await decide_one(scene, release_of(second))
        assert (await funded.left(), await funded.left("held")) == ([60, 60], [0, 0])
        await check_books(scene.fetch)

    async def test_refuses_more_than_all_live_lots_have(self, scene: Scene) -> None:
        funded = await fund(scene)
        answer = await decide_one(scene, reservation(scene, funded.association, funded.contributor, 121))
        assert answer.refusal is not None
        assert (answer.refusal.code, answer.refusal.missing_minutes) == ("not-enough-credit", 1)

    async def test_at_once_draw_nothing_twice(self, scene: Scene) -> None:
        funded = await fund(scene)
        commands = [reservation(scene, funded.association, funded.contributor, 30) for _ in range(8)]
        answers = await asyncio.gather(*(decide_one(scene, command) for command in commands))
        assert sorted(answer.refusal is None for answer in answers) == [False] * 4 + [True] * 4
        assert await funded.left("held") == [60, 60]
        await check_books(scene.fetch)


class TestSettlementInParts:
    async def test_serves_the_lots_in_the_order_of_drawing(self, scene: Scene) -> None:
        funded = await fund(scene)
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
        funded = await fund(scene)
        mission = await funded.reserve(60)
        await decide_one(scene, settlement_of(mission, 45, part="a"))
        answer = await decide_one(scene, settlement_of(mission, 15, part="b"))
        assert answer.hold is not None
        assert answer.hold.state is HoldState.SETTLED

    async def test_the_same_part_again_gives_the_same_answer(self, scene: Scene) -> None:
        funded = await fund(scene)
        mission = await funded.reserve(90)
        first = await decide_one(scene, settlement_of(mission, 50, part="a"))
        before = await list_transfers(scene)
        again = await decide_one(scene, settlement_of(mission, 50, part="a"))
        assert (again.hold, again.refusal, again.is_new) == (first.hold, None, False)
        assert await list_transfers(scene) == before

    async def test_the_same_part_of_other_minutes_is_refused(self, scene: Scene) -> None:
        funded = await fund(scene)
        mission = await funded.reserve(90)
        await decide_one(scene, settlement_of(mission, 50, part="a"))
        with pytest.raises(TransferKeyReused):
            await decide_one(scene, settlement_of(mission, 40, part="a"))
        assert await scene.balance(AccountKind.SERVED, funded.association) == 50

    async def test_the_same_part_at_once_settles_once(self, scene: Scene) -> None:
        funded = await fund(scene)
        mission = await funded.reserve(90)
        answers = await asyncio.gather(*(decide_one(scene, settlement_of(mission, 20, part="a")) for _ in range(6)))
        assert sum(answer.is_new for answer in answers) == 1
        assert await scene.balance(AccountKind.SERVED, funded.association) == 20

    async def test_refuses_more_than_is_still_held_and_keeps_the_refusal(self, scene: Scene) -> None:
        funded = await fund(scene)
        mission = await funded.reserve(90)
        await decide_one(scene, settlement_of(mission, 50, part="a"))
        answer = await decide_one(scene, settlement_of(mission, 41, part="b"))
        assert answer.refusal is not None
        assert (answer.refusal.code, answer.refusal.missing_minutes) == ("more-than-held", 1)
        (row,) = await scene.fetch("SELECT subject, code, missing_minutes FROM refusal")
        assert tuple(row) == ("settlement", "more-than-held", 1)
        await check_books(scene.fetch)

    async def test_at_once_never_settle_more_than_is_held(self, scene: Scene) -> None:
        funded = await fund(scene)
        mission = await funded.reserve(90)
        parts = [settlement_of(mission, 25, part=f"part-{number}") for number in range(8)]
        answers = await asyncio.gather(*(decide_one(scene, part) for part in parts))
        assert sum(answer.refusal is None for answer in answers) == 3
        assert await scene.balance(AccountKind.SERVED, funded.association) == 75
        await check_books(scene.fetch)

    async def test_a_cancellation_after_a_part_spares_what_was_served(self, scene: Scene) -> None:
        funded = await fund(scene)
        mission = await funded.reserve(90)
        await decide_one(scene, settlement_of(mission, 50, part="a"))
        answer = await decide_one(scene, release_of(mission))
        assert answer.hold is not None
        assert (answer.hold.state, answer.hold.served_minutes) == (HoldState.SETTLED, 50)
        assert await funded.left() == [10, 60]
        await check_books(scene.fetch)


class TestExpiry:
    async def test_unspendable_the_instant_it_expires(self, scene: Scene) -> None:
        funded = await fund(scene)
        scene.now = SOON
        answer = await decide_one(scene, reservation(scene, funded.association, funded.contributor, 61))
        assert answer.refusal is not None
        assert answer.refusal.missing_minutes == 1
        await funded.reserve(60)
        assert await funded.left() == [60, 0]

    async def test_spendable_a_microsecond_before(self, scene: Scene) -> None:
        funded = await fund(scene)
        scene.now = SOON - MICROSECOND
        await funded.reserve(61)
        assert await funded.left() == [0, 59]

    @pytest.mark.parametrize(
        ("rule", "kind"),
        [
            (ExpiryRule.RETURN, AccountKind.POOL),
            (ExpiryRule.LAPSE, AccountKind.LAPSED),
            (ExpiryRule.CARRY_OVER, AccountKind.CARRIED),
        ],
    )
    async def test_the_sweep_books_it_once_by_the_rule(self, scene: Scene, rule: ExpiryRule, kind: AccountKind) -> None:
        await scene.start(expiry=rule)
        funded = await fund(scene)
        holder = funded.association if kind is AccountKind.CARRIED else None
        before = await scene.balance(kind, holder)
        scene.now = SOON - MICROSECOND
        assert await sweep(scene) == 0
        scene.now = SOON
        assert [await sweep(scene), await sweep(scene)] == [60, 0]
        assert await scene.balance(kind, holder) == before + 60
        assert await funded.left() == [0, 60]
        assert [event.minutes for event in await scene.published(CreditExpired)] == [60]
        await check_books(scene.fetch)

    async def test_sweeps_at_once_book_it_once(self, scene: Scene) -> None:
        funded = await fund(scene)
        scene.now = SOON
        assert sum(await asyncio.gather(*(sweep(scene) for _ in range(5)))) == 60
        assert await funded.left() == [0, 60]
        assert [event.minutes for event in await scene.published(CreditExpired)] == [60]

    async def test_a_reservation_at_the_sweep_gets_all_or_nothing(self, scene: Scene) -> None:
        funded = await fund(scene)
        scene.now = SOON
        mission = reservation(scene, funded.association, funded.contributor, 60)
        answer, expired = await asyncio.gather(decide_one(scene, mission), sweep(scene))
        assert (answer.refusal, expired) == (None, 60)
        assert (await funded.left(), await funded.left("held")) == ([0, 0], [0, 60])

    async def test_a_clock_set_back_neither_revives_nor_repeats_it(self, scene: Scene) -> None:
        funded = await fund(scene)
        scene.now = SOON
        assert await sweep(scene) == 60
        scene.now = SOON - timedelta(hours=1)
        assert await sweep(scene) == 0
        answer = await decide_one(scene, reservation(scene, funded.association, funded.contributor, 61))
        assert answer.refusal is not None
        scene.now = SOON
        assert await sweep(scene) == 0
        await check_books(scene.fetch)

    @pytest.mark.parametrize("day", [date(2026, 3, 29), date(2026, 10, 25)])
    async def test_days_on_which_the_clocks_change(self, scene: Scene, day: date) -> None:
        scene.now = datetime(2026, 3, 1, tzinfo=UTC)
        await scene.start(ends_on=day)
        association, contributor = await scene.fund(credit=120)
        midnight = end_of_day(day, zone=LOCAL_ZONE).astimezone(UTC)
        assert midnight.hour == {3: 22, 10: 23}[day.month]
        scene.now = midnight - MICROSECOND
        assert (await decide_one(scene, reservation(scene, association, contributor, 60))).refusal is None
        scene.now = midnight
        late = await decide_one(scene, reservation(scene, association, contributor, 15))
        assert late.refusal is not None
        assert late.refusal.code == "campaign-not-open"
        assert await sweep(scene) == 60
        async with scene.work() as work:
            await close_ended_campaign(work, scene.campaign_id)
        assert (await scene.fetch("SELECT state FROM campaign WHERE id = $1", scene.campaign_id))[0]["state"] == "closed"
        await check_books(scene.fetch)

    async def test_the_hour_that_comes_twice(self, scene: Scene) -> None:
        # At the end of summer time, 02:30 in Paris is there twice; a lot that ends between is judged by the instant.
        ends = datetime(2026, 10, 25, 1, 0, tzinfo=UTC)
        funded = await fund(scene, expires_at=ends)
        scene.now = datetime(2026, 10, 25, 2, 30, tzinfo=LOCAL_ZONE, fold=0).astimezone(UTC)
        assert scene.now < ends
        assert await sweep(scene) == 60  # the later lot, over since September
        assert await funded.left() == [60, 0]
        scene.now = datetime(2026, 10, 25, 2, 30, tzinfo=LOCAL_ZONE, fold=1).astimezone(UTC)
        assert await sweep(scene) == 60


class TestHoldThatOutlivesItsLot:
    async def test_keeps_its_minutes_until_they_are_served(self, scene: Scene) -> None:
        funded = await fund(scene)
        mission = await funded.reserve(90)
        scene.now = days_after(LATER, 1)
        assert await sweep(scene) == 30
        assert await funded.left("held") == [60, 30]
        answer = await decide_one(scene, settlement_of(mission, 90))
        assert answer.refusal is None
        assert await scene.balance(AccountKind.SERVED, funded.association) == 90
        await check_books(scene.fetch)

    @pytest.mark.parametrize(
        ("rule", "kind"),
        [
            (ExpiryRule.RETURN, AccountKind.POOL),
            (ExpiryRule.LAPSE, AccountKind.LAPSED),
            (ExpiryRule.CARRY_OVER, AccountKind.CARRIED),
        ],
    )
    async def test_what_is_given_back_goes_by_the_rule(self, scene: Scene, rule: ExpiryRule, kind: AccountKind) -> None:
        await scene.start(expiry=rule)
        funded = await fund(scene)
        mission = await funded.reserve(90)
        holder = funded.association if kind is AccountKind.CARRIED else None
        before = await scene.balance(kind, holder)
        scene.now = SOON
        await decide_one(scene, settlement_of(mission, 50))
        # Ten minutes of the lot that ended, thirty of the one that lives.
        assert await scene.balance(kind, holder) == before + 10
        assert (await funded.left(), await funded.left("held")) == ([0, 60], [0, 0])
        assert [event.minutes for event in await scene.published(CreditExpired)] == [10]
        assert await sweep(scene) == 0
        await check_books(scene.fetch)

    async def test_is_given_back_after_its_missions_own_end(self, scene: Scene) -> None:
        funded = await fund(scene)
        await funded.reserve(90)
        await scene.close()
        scene.now = datetime(2026, 12, 30, tzinfo=UTC)  # thirty days after the mission's end
        async with scene.work() as work:
            assert await release_overdue_holds(work, grace_days=30) == 0
        scene.now = days_after(scene.now, 1)
        async with scene.work() as work:
            assert await release_overdue_holds(work, grace_days=30) == 1
        assert (await funded.left(), await funded.left("held")) == ([0, 0], [0, 0])
        assert await scene.balance(AccountKind.POOL) == 6000
        await check_books(scene.fetch)

    async def test_what_a_reversal_gives_back_expires_at_once(self, scene: Scene) -> None:
        funded = await fund(scene)
        mission = await funded.reserve(60)
        for part, minutes in (("a", 25), ("b", 35)):
            await decide_one(scene, settlement_of(mission, minutes, part=part))
        scene.now = SOON
        for transfer_id in await list_transfers(scene, "deliver"):
            await reverse(scene, transfer_id)
        assert await funded.left() == [0, 60]
        assert sum(event.minutes for event in await scene.published(CreditExpired)) == 60
        assert await sweep(scene) == 0
        await check_books(scene.fetch)


class TestCarryCreditIn:
    async def play(self, scene: Scene) -> tuple[Funded, Any, UUID]:
        """Ninety of a hundred and twenty minutes unspent in a closed campaign; thirty still held."""
        await scene.start(expiry=ExpiryRule.CARRY_OVER)
        funded = await fund(scene)
        mission = await funded.reserve(30)
        await scene.close()
        return funded, mission, await open_next_campaign(scene)

    async def test_brings_it_as_a_lot_of_the_next_campaign(self, scene: Scene) -> None:
        funded, _, there = await self.play(scene)
        assert await carry_in(scene, into=there, origin=scene.campaign_id) == 90
        (lot,) = await scene.fetch("SELECT * FROM lot WHERE campaign_id = $1", there)
        assert (lot["association_id"], lot["minutes"], lot["grant_id"]) == (funded.association, 90, None)
        assert lot["carried_from"] == scene.campaign_id
        assert lot["expires_at"] == end_of_day(date(2027, 12, 31), zone=LOCAL_ZONE)
        assert [event.minutes for event in await scene.published(CreditGranted)] == [90]
        # Each campaign sums to zero by itself; together what one carried out the other carried in.
        await check_books(scene.fetch, [scene.campaign_id])
        await check_books(scene.fetch, [there])
        rows = await scene.fetch("SELECT sum(balance_minutes)::int AS minutes FROM account WHERE kind = 'carried'")
        assert rows[0]["minutes"] == 0

    async def test_a_second_time_brings_nothing(self, scene: Scene) -> None:
        _, _, there = await self.play(scene)
        await carry_in(scene, into=there, origin=scene.campaign_id)
        for into in (there, await open_next_campaign(scene)):
            with pytest.raises(NothingCarried):
                await carry_in(scene, into=into, origin=scene.campaign_id)

    async def test_at_once_into_two_campaigns_brings_it_once(self, scene: Scene) -> None:
        _, _, there = await self.play(scene)
        targets = [there, await open_next_campaign(scene), there]
        brought = await asyncio.gather(
            *(carry_in(scene, into=one, origin=scene.campaign_id) for one in targets), return_exceptions=True
        )
        assert sorted(map(str, brought))[0] == "90"
        assert sum(isinstance(one, NothingCarried) for one in brought) == 2
        await check_books(scene.fetch)

    async def test_what_is_released_later_can_be_brought_later(self, scene: Scene) -> None:
        _, mission, there = await self.play(scene)
        await carry_in(scene, into=there, origin=scene.campaign_id)
        await decide_one(scene, settlement_of(mission, 10))
        assert await carry_in(scene, into=there, origin=scene.campaign_id) == 20
        await check_books(scene.fetch)

    async def test_carried_on_through_three_campaigns(self, scene: Scene) -> None:
        funded, _, _ = await self.play(scene)
        second = await open_next_campaign(scene, expiry=ExpiryRule.CARRY_OVER)
        await carry_in(scene, into=second, origin=scene.campaign_id)
        first, scene.campaign_id = scene.campaign_id, second
        contributor = await scene.pledge(600)
        async with scene.work() as work:  # a seat, without a grant of its own
            await work.driver.execute(
                "INSERT INTO panel (territory, id, campaign_id, association_id, subsidy_before_cents, subsidy_after_cents)"
                " VALUES ($1, gen_random_uuid(), $2, $3, 0, 0)",
                scene.territory, second, funded.association,
            )  # fmt: skip
        mission = reservation(scene, funded.association, contributor, 40)
        assert (await decide_one(scene, mission)).refusal is None
        await decide_one(scene, settlement_of(mission, 40))
        await scene.close()
        third = await open_next_campaign(scene)
        assert await carry_in(scene, into=third, origin=second) == 50
        with pytest.raises(NothingCarried):
            await carry_in(scene, into=third, origin=first)
        for one in (first, second, third):
            await check_books(scene.fetch, [one])

    async def test_needs_a_campaign_that_is_open(self, scene: Scene) -> None:
        await self.play(scene)
        with pytest.raises(CampaignNotOpen):
            await carry_in(scene, into=scene.campaign_id, origin=scene.campaign_id)


class TestNotices:
    async def notices(self, scene: Scene, now: datetime) -> list[tuple[int, date, int]]:
        """What a sweep at this instant tells: minutes, the last day and the days left."""
        scene.now = now
        told = len(await scene.published(CreditExpiring))
        async with scene.work() as work:
            await send_expiry_notices(work)
        return [(one.minutes, one.expires_on, one.days_left) for one in (await scene.published(CreditExpiring))[told:]]

    async def test_each_lot_has_its_own(self, scene: Scene) -> None:
        await fund(scene)  # sixty minutes to the last of June, sixty to the last of September
        june, september = date(2026, 6, 30), date(2026, 9, 30)
        assert await self.notices(scene, datetime(2026, 5, 31, 12, 0, tzinfo=UTC)) == [(60, june, 30)]
        assert await self.notices(scene, datetime(2026, 6, 22, 12, 0, tzinfo=UTC)) == []
        assert await self.notices(scene, datetime(2026, 6, 23, 12, 0, tzinfo=UTC)) == [(60, june, 7)]
        assert await self.notices(scene, datetime(2026, 6, 24, 12, 0, tzinfo=UTC)) == []
        assert await self.notices(scene, datetime(2026, 8, 31, 12, 0, tzinfo=UTC)) == [(60, september, 30)]
        assert await self.notices(scene, datetime(2026, 9, 23, 12, 0, tzinfo=UTC)) == [(60, september, 7)]
        assert await self.notices(scene, LATER) == []

    async def test_lots_of_one_day_share_one(self, scene: Scene) -> None:
        funded = await fund(scene)
        await grant_lot(scene, funded.association, 30, expires_at=SOON)
        assert await self.notices(scene, datetime(2026, 6, 10, 12, 0, tzinfo=UTC)) == [(90, date(2026, 6, 30), 20)]

    async def test_a_clock_set_back_repeats_none(self, scene: Scene) -> None:
        await fund(scene)
        assert len(await self.notices(scene, datetime(2026, 6, 24, 12, 0, tzinfo=UTC))) == 1
        assert await self.notices(scene, datetime(2026, 6, 23, 12, 0, tzinfo=UTC)) == []
        assert len(await scene.fetch("SELECT FROM expiry_notice")) == 1

    @pytest.mark.parametrize("last_day", [date(2026, 4, 20), date(2026, 11, 10)])
    async def test_count_days_across_a_change_of_the_clocks(self, scene: Scene, last_day: date) -> None:
        scene.now = IN_SPRING - timedelta(days=60)
        await scene.start(ends_on=last_day)
        await scene.fund(credit=60)
        noon = datetime.combine(last_day, datetime.min.time(), LOCAL_ZONE).replace(hour=12)
        assert await self.notices(scene, (noon - timedelta(days=31)).astimezone(UTC)) == []
        assert await self.notices(scene, (noon - timedelta(days=30)).astimezone(UTC)) == [(60, last_day, 30)]
        assert await self.notices(scene, (noon - timedelta(days=7)).astimezone(UTC)) == [(60, last_day, 7)]

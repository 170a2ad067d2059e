"""Expiry: unspendable from the instant, booked once, by the campaign's rule; carried over once; told 30 and 7 days before."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from kernel.clock import LOCAL_ZONE
from kernel.events.credits import CreditExpired, CreditExpiring, CreditGranted
from services.credits.domain.campaigns import ExpiryRule
from services.credits.domain.errors import BadInput, CampaignNotOpen, NothingCarried
from services.credits.domain.ledger import AccountKind
from services.credits.domain.lots import end_of_day
from services.credits.use_cases.deadlines import close_ended_campaign, release_overdue_holds, send_expiry_notices
from services.credits.use_cases.missions import Reservation
from tests.builders.credits import IN_SPRING, Scene
from tests.builders.lots import (
    LATER,
    SOON,
    Funded,
    carry_in,
    days_after,
    decide_one,
    fund_two_lots,
    grant_lot,
    list_transfers,
    open_next_campaign,
    reservation,
    reverse,
    settlement_of,
    sweep,
)
from tests.support.books import check_books

pytestmark = pytest.mark.timeout(60)
MICROSECOND = timedelta(microseconds=1)


class TestExpiry:
    async def test_unspendable_the_instant_it_expires(self, scene: Scene) -> None:
        funded = await fund_two_lots(scene)
        scene.now = SOON
        answer = await decide_one(scene, reservation(scene, funded.association, funded.contributor, 61))
        assert answer.refusal is not None
        assert answer.refusal.missing_minutes == 1
        await funded.reserve(60)
        assert await funded.left() == [60, 0]

    async def test_spendable_a_microsecond_before(self, scene: Scene) -> None:
        funded = await fund_two_lots(scene)
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
        funded = await fund_two_lots(scene)
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
        funded = await fund_two_lots(scene)
        scene.now = SOON
        assert sum(await asyncio.gather(*(sweep(scene) for _ in range(5)))) == 60
        assert await funded.left() == [0, 60]
        assert [event.minutes for event in await scene.published(CreditExpired)] == [60]

    async def test_a_reservation_at_the_sweep_gets_all_or_nothing(self, scene: Scene) -> None:
        funded = await fund_two_lots(scene)
        scene.now = SOON
        mission = reservation(scene, funded.association, funded.contributor, 60)
        answer, expired = await asyncio.gather(decide_one(scene, mission), sweep(scene))
        assert (answer.refusal, expired) == (None, 60)
        assert (await funded.left(), await funded.left("held")) == ([0, 0], [0, 60])

    async def test_a_clock_set_back_neither_revives_nor_repeats_it(self, scene: Scene) -> None:
        funded = await fund_two_lots(scene)
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
        funded = await fund_two_lots(scene, expires_at=ends)
        scene.now = datetime(2026, 10, 25, 2, 30, tzinfo=LOCAL_ZONE, fold=0).astimezone(UTC)
        assert scene.now < ends
        assert await sweep(scene) == 60  # the later lot, over since September
        assert await funded.left() == [60, 0]
        scene.now = datetime(2026, 10, 25, 2, 30, tzinfo=LOCAL_ZONE, fold=1).astimezone(UTC)
        assert await sweep(scene) == 60


class TestHoldThatOutlivesItsLot:
    async def test_keeps_its_minutes_until_they_are_served(self, scene: Scene) -> None:
        funded = await fund_two_lots(scene)
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
        funded = await fund_two_lots(scene)
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
        funded = await fund_two_lots(scene)
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
        funded = await fund_two_lots(scene)
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
    async def play(self, scene: Scene) -> tuple[Funded, Reservation, UUID]:
        """Ninety of a hundred and twenty minutes unspent in a closed campaign; thirty still held."""
        await scene.start(expiry=ExpiryRule.CARRY_OVER)
        funded = await fund_two_lots(scene)
        mission = await funded.reserve(30)
        await scene.close()
        return funded, mission, await open_next_campaign(scene)

    async def test_refuses_a_campaign_of_its_own(self, scene: Scene) -> None:
        """What expired in a campaign would be spendable in it again."""
        with pytest.raises(BadInput, match="/from_campaign_id"):
            await carry_in(scene, into=scene.campaign_id, origin=scene.campaign_id)

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
        _, _, there = await self.play(scene)
        with pytest.raises(CampaignNotOpen):
            await carry_in(scene, into=scene.campaign_id, origin=there)


class TestNotices:
    async def notices(self, scene: Scene, now: datetime) -> list[tuple[int, date, int]]:
        """What a sweep at this instant tells: minutes, the last day and the days left."""
        scene.now = now
        told = len(await scene.published(CreditExpiring))
        async with scene.work() as work:
            await send_expiry_notices(work)
        return [(one.minutes, one.expires_on, one.days_left) for one in (await scene.published(CreditExpiring))[told:]]

    async def test_each_lot_has_its_own(self, scene: Scene) -> None:
        await fund_two_lots(scene)  # sixty minutes to the last of June, sixty to the last of September
        june, september = date(2026, 6, 30), date(2026, 9, 30)
        assert await self.notices(scene, datetime(2026, 5, 31, 12, 0, tzinfo=UTC)) == [(60, june, 30)]
        assert await self.notices(scene, datetime(2026, 6, 22, 12, 0, tzinfo=UTC)) == []
        assert await self.notices(scene, datetime(2026, 6, 23, 12, 0, tzinfo=UTC)) == [(60, june, 7)]
        assert await self.notices(scene, datetime(2026, 6, 24, 12, 0, tzinfo=UTC)) == []
        assert await self.notices(scene, datetime(2026, 8, 31, 12, 0, tzinfo=UTC)) == [(60, september, 30)]
        assert await self.notices(scene, datetime(2026, 9, 23, 12, 0, tzinfo=UTC)) == [(60, september, 7)]
        assert await self.notices(scene, LATER) == []

    async def test_lots_of_one_day_share_one(self, scene: Scene) -> None:
        funded = await fund_two_lots(scene)
        await grant_lot(scene, funded.association, 30, expires_at=SOON)
        assert await self.notices(scene, datetime(2026, 6, 10, 12, 0, tzinfo=UTC)) == [(90, date(2026, 6, 30), 20)]

    async def test_a_clock_set_back_repeats_none(self, scene: Scene) -> None:
        await fund_two_lots(scene)
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

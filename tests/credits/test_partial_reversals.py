"""Reversals in parts: up to the original and not a minute more, whoever asks at once, and never past a bound."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from services.credits.domain.errors import (
    AlreadyReversed,
    BadInput,
    NotEnoughCredit,
    NotReversible,
    PledgeCommitted,
    PledgeTooSmall,
    TransferKeyReused,
)
from services.credits.domain.holds import HoldState
from services.credits.domain.ledger import AccountKind, Transfer
from services.credits.domain.lots import Lot
from services.credits.store import ledger
from services.credits.use_cases.pledges import withdraw_pledge
from tests.builders.credits import Scene
from tests.builders.lots import credit_of, decide_one, grant_lot, list_transfers, reservation, reverse, settlement_of
from tests.support.books import check_books

pytestmark = pytest.mark.timeout(60)
SOON, LATER = datetime(2026, 6, 30, 22, 0, tzinfo=UTC), datetime(2026, 9, 30, 22, 0, tzinfo=UTC)


async def read(scene: Scene, transfer_id: UUID) -> Transfer:
    async with scene.work() as work:
        return await ledger.get_transfer(work, transfer_id)


async def only(scene: Scene, kind: str) -> UUID:
    (transfer_id,) = await list_transfers(scene, kind)
    return transfer_id


class TestInParts:
    async def test_add_up_to_the_original_and_no_further(self, scene: Scene) -> None:
        association, _ = await scene.fund(credit=600)
        grant = await only(scene, "grant")
        for minutes, left in ((1, 599), (299, 300), (300, 0)):
            reversal = await reverse(scene, grant, minutes)
            assert (reversal.reverses, reversal.minutes) == (grant, minutes)
            assert await scene.balance(AccountKind.CREDIT, association) == left
            assert (await read(scene, grant)).reversible_minutes == left
        with pytest.raises(AlreadyReversed):
            await reverse(scene, grant, 1)
        await check_books(scene.fetch)

    @pytest.mark.parametrize("minutes", [601, 0, -15])
    async def test_refuses_an_amount_that_cannot_be(self, scene: Scene, minutes: int) -> None:
        await scene.fund(credit=600)
        with pytest.raises(BadInput):
            await reverse(scene, await only(scene, "grant"), minutes)
        assert await list_transfers(scene, "reverse") == []

    async def test_the_rest_is_what_is_left(self, scene: Scene) -> None:
        await scene.fund(credit=600)
        grant = await only(scene, "grant")
        first = await reverse(scene, grant, 200)
        second = await reverse(scene, grant)
        assert (first.minutes, second.minutes) == (200, 400)
        assert (await read(scene, grant)).reversed_by == second.id

    async def test_a_bound_in_the_way_leaves_what_does_not_break_it(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        await scene.agree(association, contributor, 60)
        grant = await only(scene, "grant")
        with pytest.raises(NotEnoughCredit) as refused:
            await reverse(scene, grant, 541)
        assert refused.value.members["missing_minutes"] == 1
        await reverse(scene, grant, 540)
        assert await scene.balance(AccountKind.CREDIT, association) == 0
        await check_books(scene.fetch)

    async def test_at_once_never_exceed_the_original(self, scene: Scene) -> None:
        await scene.pledge(6000)  # more in the pool than the grant: its bound alone would not notice
        association, _ = await scene.fund(credit=600)
        await scene.admit(entitled_minutes=600)
        await scene.sign()
        grant, other = await list_transfers(scene, "grant")
        assert (await read(scene, grant)).target.holder_id == association
        asked = [reverse(scene, grant, 250) for _ in range(6)] + [reverse(scene, grant, 100) for _ in range(4)]
        results = await asyncio.gather(*asked, return_exceptions=True)
        done = [one.minutes for one in results if isinstance(one, Transfer)]
        assert done
        assert all(isinstance(one, Transfer | AlreadyReversed | TransferKeyReused | BadInput) for one in results), results
        assert (await read(scene, grant)).reversed_minutes == sum(done) <= 600
        assert (await read(scene, other)).reversed_minutes == 0
        await check_books(scene.fetch)


class TestPledgeInParts:
    async def test_takes_out_of_the_pool_what_is_still_free(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=300, promise=600)
        await scene.agree(association, contributor, 120)
        pledge = await only(scene, "pledge")
        with pytest.raises(PledgeCommitted):
            await reverse(scene, pledge, 481)
        await reverse(scene, pledge, 200)
        await reverse(scene, pledge, 100)
        with pytest.raises(NotEnoughCredit):  # three hundred are granted
            await reverse(scene, pledge, 1)
        await check_books(scene.fetch)

    async def test_and_a_withdrawal_share_what_the_pledge_is_worth(self, scene: Scene) -> None:
        contributor = await scene.pledge(600)
        await scene.pledge(6000, contributor_id=contributor)
        first, _ = await list_transfers(scene, "pledge")
        pledge = (await read(scene, first)).pledge_id
        assert pledge is not None
        await reverse(scene, first, 400)

        async def withdraw(minutes: int) -> None:
            async with scene.work() as work:
                await withdraw_pledge(work, pledge, minutes=minutes, reason="Retrait")

        with pytest.raises(PledgeTooSmall):
            await withdraw(201)
        await withdraw(150)
        with pytest.raises(PledgeTooSmall):
            await reverse(scene, first, 51)
        await reverse(scene, first, 50)
        assert await scene.balance(AccountKind.PROMISED, contributor) == -6000
        await check_books(scene.fetch)


class Settled:
    """A mission served in two parts out of two lots: 50 and 10 of the first, 30 of the second."""

    def __init__(self, scene: Scene, association: UUID, lots: list[Lot]) -> None:
        self.scene, self.association, self.lots = scene, association, lots

    async def state(self) -> Any:
        (row,) = await self.scene.fetch("SELECT state, served_minutes FROM hold")
        return row["state"], row["served_minutes"]

    async def credit(self) -> list[int]:
        return await credit_of(self.scene, self.lots)


async def settle(scene: Scene, *, final: bool = True) -> Settled:
    contributor = await scene.pledge(6000)
    association = await scene.admit(entitled_minutes=0)
    lots = [await grant_lot(scene, association, 60, expires_at=expires_at) for expires_at in (SOON, LATER)]
    mission = reservation(scene, association, contributor, 100)
    await decide_one(scene, mission)
    await decide_one(scene, settlement_of(mission, 50, part="a"))
    await decide_one(scene, settlement_of(mission, 40, part=None if final else "b"))
    return Settled(scene, association, lots)


class TestSettlementInParts:
    async def test_undoes_the_named_part_alone(self, scene: Scene) -> None:
        settled = await settle(scene)
        first, second = await list_transfers(scene, "deliver")
        reversal = await reverse(scene, first)
        assert (reversal.reverses, reversal.minutes) == (first, 50)
        assert (await read(scene, second)).reversed_minutes == 0
        assert (await settled.state(), await settled.credit()) == ((HoldState.SETTLED, 40), [50, 30])
        await check_books(scene.fetch)

    async def test_minutes_of_the_named_part(self, scene: Scene) -> None:
        settled = await settle(scene)
        first, _ = await list_transfers(scene, "deliver")
        reversal = await reverse(scene, first, 20)
        assert (reversal.reverses, reversal.minutes) == (first, 20)
        assert (await settled.state(), await settled.credit()) == ((HoldState.SETTLED, 70), [20, 30])
        with pytest.raises(BadInput):
            await reverse(scene, first, 31)
        await check_books(scene.fetch)

    async def test_goes_back_to_both_lots_the_last_drawn_first(self, scene: Scene) -> None:
        settled = await settle(scene)
        _, second = await list_transfers(scene, "deliver")
        await reverse(scene, second, 20)
        assert await settled.credit() == [0, 50]
        await reverse(scene, second, 20)
        assert (await settled.state(), await settled.credit()) == ((HoldState.SETTLED, 50), [10, 60])
        await check_books(scene.fetch)

    async def test_the_served_side_of_one_lot_alone(self, scene: Scene) -> None:
        settled = await settle(scene)
        _, of_first_lot, _ = await list_transfers(scene, "settle")
        reversal = await reverse(scene, of_first_lot)
        assert (reversal.reverses, reversal.minutes) == (of_first_lot, 10)
        assert await settled.credit() == [10, 30]
        _, second = await list_transfers(scene, "deliver")
        assert (await read(scene, second)).reversible_minutes == 30
        await check_books(scene.fetch)

    async def test_all_of_it_ends_the_mission_as_reversed(self, scene: Scene) -> None:
        settled = await settle(scene)
        for transfer_id in await list_transfers(scene, "deliver"):
            await reverse(scene, transfer_id)
        assert (await settled.state(), await settled.credit()) == ((HoldState.REVERSED, 0), [60, 60])
        for transfer_id in await list_transfers(scene, "settle"):
            with pytest.raises(AlreadyReversed):
                await reverse(scene, transfer_id)
        await check_books(scene.fetch)

    async def test_at_once_never_undo_more_than_was_served(self, scene: Scene) -> None:
        settled = await settle(scene)
        asked = [*await list_transfers(scene, "deliver"), *await list_transfers(scene, "settle")] * 3
        results = await asyncio.gather(*(reverse(scene, one, 15) for one in asked), return_exceptions=True)
        done = sum(one.minutes for one in results if isinstance(one, Transfer))
        assert all(isinstance(one, Transfer | AlreadyReversed | BadInput) for one in results), results
        assert await settled.state() == (HoldState.SETTLED, 90 - done)
        assert await scene.balance(AccountKind.SERVED, settled.association) == 90 - done
        await check_books(scene.fetch)

    async def test_waits_until_the_mission_is_over(self, scene: Scene) -> None:
        await settle(scene, final=False)
        first, _ = await list_transfers(scene, "deliver")
        with pytest.raises(NotReversible):
            await reverse(scene, first)
        with pytest.raises(NotReversible):  # nor is its reservation: part of it is served
            await reverse(scene, (await list_transfers(scene, "reserve"))[0])


class TestReservation:
    async def test_is_undone_as_a_whole_over_both_lots(self, scene: Scene) -> None:
        contributor = await scene.pledge(6000)
        association = await scene.admit(entitled_minutes=0)
        lots = [await grant_lot(scene, association, 60, expires_at=expires_at) for expires_at in (SOON, LATER)]
        await decide_one(scene, reservation(scene, association, contributor, 100))
        first, second = await list_transfers(scene, "reserve")
        with pytest.raises(NotReversible):
            await reverse(scene, first, 15)
        await reverse(scene, second)
        assert await credit_of(scene, lots) == [60, 60]
        with pytest.raises(AlreadyReversed):
            await reverse(scene, first)
        await check_books(scene.fetch)

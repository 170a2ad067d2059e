"""Reversals: the opposite transfer, linked both ways, once, never past a bound, and coherent with what it undoes."""

import asyncio

import pytest

from kernel.events.credits import CreditReleased, TransferReversed
from kernel.ids import new_id
from services.credits.domain.errors import (
    AlreadyReversed,
    NotEnoughCredit,
    NotFound,
    NotReversible,
    PledgeCommitted,
    PledgeTooSmall,
)
from services.credits.domain.ledger import AccountKind, Transfer
from services.credits.store import ledger
from services.credits.use_cases.reversals import reverse_transfer
from tests.builders.credits import Scene


async def find(scene: Scene, kind: str) -> Transfer:
    (row,) = await scene.fetch("SELECT id FROM transfer WHERE kind = $1", kind)
    async with scene.work() as work:
        return await ledger.get_transfer(work, row["id"])


async def reverse(scene: Scene, kind: str) -> Transfer:
    transfer = await find(scene, kind)
    async with scene.work() as work:
        return await reverse_transfer(work, transfer.id, reason="Erreur de saisie")


class TestReverseTransfer:
    async def test_moves_back_and_links_both_ways(self, scene: Scene) -> None:
        association, _ = await scene.fund(credit=600)
        reversal = await reverse(scene, "grant")
        grant = await find(scene, "grant")
        assert (reversal.reverses, grant.reversed_by) == (grant.id, reversal.id)
        assert (reversal.why, reversal.grant_id) == ("Erreur de saisie", grant.grant_id)
        assert await scene.balance(AccountKind.CREDIT, association) == 0
        assert await scene.balance(AccountKind.POOL) == 600
        assert [event.reversal_id for event in await scene.published(TransferReversed)] == [reversal.id]

    async def test_happens_once(self, scene: Scene) -> None:
        await scene.fund(credit=600)
        await reverse(scene, "grant")
        with pytest.raises(AlreadyReversed):
            await reverse(scene, "grant")

    async def test_happens_once_however_many_ask_at_once(self, scene: Scene) -> None:
        await scene.fund(credit=600)
        results = await asyncio.gather(*(reverse(scene, "grant") for _ in range(6)), return_exceptions=True)
        assert sum(isinstance(result, Transfer) for result in results) == 1
        assert sum(isinstance(result, AlreadyReversed) for result in results) == 5
        assert (await scene.books()).sum_minutes == 0

    async def test_refuses_where_it_would_break_a_bound(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        await scene.agree(association, contributor, 60)
        with pytest.raises(NotEnoughCredit) as refused:
            await reverse(scene, "grant")
        assert refused.value.members["missing_minutes"] == 60

    async def test_refuses_what_is_undone_otherwise(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 60)
        await scene.handle(scene.cancelled(agreed))
        await reverse(scene, "grant")
        for kind in ("release", "reverse"):
            with pytest.raises(NotReversible):
                await reverse(scene, kind)

    async def test_does_not_know_what_is_not_there(self, scene: Scene) -> None:
        with pytest.raises(NotFound):
            async with scene.work() as work:
                await reverse_transfer(work, new_id(), reason="Erreur de saisie")

    async def test_granted_again_after_a_reversal(self, scene: Scene) -> None:
        association, _ = await scene.fund(credit=600)
        await reverse(scene, "grant")
        await scene.sign()
        assert await scene.balance(AccountKind.CREDIT, association) == 600


class TestReversePledge:
    async def test_takes_it_out_of_the_pool(self, scene: Scene) -> None:
        contributor = await scene.pledge(600)
        await reverse(scene, "pledge")
        assert await scene.balance(AccountKind.PROMISED, contributor) == 0

    async def test_refuses_what_missions_count_on(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=300)
        await scene.agree(association, contributor, 120)
        (pledge,) = await scene.fetch("SELECT id FROM transfer WHERE kind = 'pledge'")
        await scene.pledge(600)
        with pytest.raises(PledgeCommitted):
            async with scene.work() as work:
                await reverse_transfer(work, pledge["id"], reason="Erreur de saisie")

    async def test_refuses_more_than_the_pledge_is_still_worth(self, scene: Scene) -> None:
        # The contributor's other pledge would cover it; this one would end below zero.
        contributor = await scene.pledge(600, ref="a")
        await scene.pledge(400, contributor_id=contributor, ref="a")
        (pledge,) = await scene.fetch("SELECT id FROM transfer WHERE kind = 'pledge'")
        await scene.pledge(600, contributor_id=contributor, ref="b")
        with pytest.raises(PledgeTooSmall):
            async with scene.work() as work:
                await reverse_transfer(work, pledge["id"], reason="Erreur de saisie")


class TestReverseReservation:
    async def test_gives_the_hold_back_for_good(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 60)
        await reverse(scene, "reserve")
        assert [event.minutes for event in await scene.published(CreditReleased)] == [60]
        await scene.handle(agreed)
        await scene.handle(scene.cancelled(agreed))
        assert await scene.balance(AccountKind.CREDIT, association) == 600

    async def test_refuses_a_settled_mission(self, scene: Scene) -> None:
        # Other missions' minutes stand on the held account: the bound alone would not notice.
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 60)
        await scene.handle(scene.validated(agreed, 60))
        with pytest.raises(NotReversible):
            await reverse(scene, "reserve")


class TestReverseSettlement:
    @pytest.mark.parametrize("kind", ["settle", "deliver"])
    async def test_undoes_served_and_delivered_together(self, scene: Scene, kind: str) -> None:
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 90)
        await scene.handle(scene.validated(agreed, 60))
        await reverse(scene, kind)
        assert (await scene.books()).by_kind == {
            "promised": -600, "delivered": 0, "pool": 0, "credit": 600, "held": 0, "served": 0, "lapsed": 0, "carried": 0,
        }  # fmt: skip
        assert len(await scene.published(TransferReversed)) == 2

    async def test_happens_once(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 90)
        await scene.handle(scene.validated(agreed, 60))
        await reverse(scene, "settle")
        with pytest.raises(AlreadyReversed):
            await reverse(scene, "deliver")
        await scene.handle(scene.validated(agreed, 60))
        assert await scene.balance(AccountKind.SERVED, association) == 0

    async def test_expires_at_once_after_the_closure(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 90)
        await scene.close()
        await scene.handle(scene.validated(agreed, 60))
        await reverse(scene, "settle")
        assert await scene.balance(AccountKind.POOL) == 600
        assert await scene.balance(AccountKind.CREDIT, association) == 0

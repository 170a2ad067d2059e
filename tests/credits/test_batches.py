"""What is decided together is decided as if one after the other: a batch changes no answer and no effect."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from kernel.events.credits import CreditReleased, CreditReserved
from services.credits.domain.errors import NoSuchMinutes, NotFound
from services.credits.domain.holds import HoldState
from services.credits.domain.ledger import AccountKind
from services.credits.store import ledger
from services.credits.use_cases.missions import Answer, Reservation, Settlement
from tests.builders.credits import Scene
from tests.builders.lots import decide, decide_one, grant_lot, open_next_campaign, release_of, reservation, settlement_of, sweep
from tests.support.books import check_books
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(60)


def fails(why: str) -> pytest.MarkDecorator:
    """Known to fail: once mended, the mark itself fails and goes."""
    return pytest.mark.xfail(strict=True, reason=why)


async def state_of(scene: Scene, mission_id: Any) -> str:
    (row,) = await scene.fetch("SELECT state FROM hold WHERE mission_id = $1", mission_id)
    return str(row["state"])


class TestOneMissionSeveralCommands:
    @fails("the last command's row stands for the first's: the cancellation is lost")
    async def test_a_cancellation_first_leaves_its_mark(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        mission = reservation(scene, association, contributor, 60)
        await decide(scene, release_of(mission), mission)
        assert await state_of(scene, mission.mission_id) == HoldState.CANCELLED
        assert await scene.balance(AccountKind.HELD, association) == 0

    @fails("the last command's row stands for the first's: nothing is reserved, nobody is told")
    async def test_reserved_and_cancelled(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        mission = reservation(scene, association, contributor, 60)
        reserved, released = await decide(scene, mission, release_of(mission))
        assert isinstance(reserved, Answer)
        assert isinstance(released, Answer)
        assert reserved.hold is not None
        assert released.hold is not None
        assert (reserved.hold.state, released.hold.state) == (HoldState.HELD, HoldState.RELEASED)
        assert len(await scene.published(CreditReserved)) == len(await scene.published(CreditReleased)) == 1
        await check_books(scene.fetch)

    @fails("the last command's row stands for the first's: the other's minutes are held")
    async def test_asked_twice_with_other_minutes_the_first_counts(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        first = reservation(scene, association, contributor, 60)
        second = reservation(scene, association, contributor, 90, mission_id=first.mission_id)
        await decide(scene, first, second)
        assert await scene.balance(AccountKind.HELD, association) == 60

    async def test_reserved_settled_in_parts_and_to_the_end(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        mission = reservation(scene, association, contributor, 90)
        parts = [settlement_of(mission, 30, part="a"), settlement_of(mission, 30, part="a"), settlement_of(mission, 15)]
        answers = await decide(scene, mission, *parts)
        assert [one.is_new for one in answers if isinstance(one, Answer)] == [True, True, False, True]
        assert await state_of(scene, mission.mission_id) == HoldState.SETTLED
        assert await scene.balance(AccountKind.SERVED, association) == 45
        await check_books(scene.fetch)


class TestOneMissionAfterAnother:
    @fails("what the batch gave back still counts as committed")
    async def test_what_a_release_gives_back_can_be_promised_anew(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=60)
        first, second = (reservation(scene, association, contributor, 60) for _ in range(2))
        await decide_one(scene, first)
        _, answer = await decide(scene, release_of(first), second)
        assert isinstance(answer, Answer)
        assert answer.refusal is None

    @fails("what the batch settled still counts as committed")
    async def test_what_a_settlement_ends_is_no_longer_counted_on(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=180, promise=120)
        await scene.pledge(600)
        await scene.sign()
        first, second = (reservation(scene, association, contributor, 60) for _ in range(2))
        await decide_one(scene, first)
        _, answer = await decide(scene, settlement_of(first, 60), second)
        assert isinstance(answer, Answer)
        assert answer.refusal is None

    async def test_the_second_finds_the_credit_gone(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=60, promise=600)
        answers = await decide(scene, *(reservation(scene, association, contributor, 60) for _ in range(2)))
        assert [one.refusal and one.refusal.code for one in answers if isinstance(one, Answer)] == [None, "not-enough-credit"]
        await check_books(scene.fetch)


class TestCommandThatIsWrong:
    @fails("the row of a refused amount stays behind as asked, with its minutes")
    async def test_moves_and_leaves_nothing(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        wrong = reservation(scene, association, contributor, 0)
        good = reservation(scene, association, contributor, 60)
        error, answer = await decide(scene, wrong, good)
        assert isinstance(error, NoSuchMinutes)
        assert isinstance(answer, Answer)
        assert await scene.fetch("SELECT FROM hold WHERE mission_id = $1", wrong.mission_id) == []
        right = reservation(scene, association, contributor, 45, mission_id=wrong.mission_id)
        assert (await decide_one(scene, right)).hold is not None
        assert await scene.balance(AccountKind.HELD, association) == 105

    async def test_a_settlement_that_names_another_campaign(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        mission = reservation(scene, association, contributor, 60)
        await decide_one(scene, mission)
        wrong = Settlement(mission.mission_id, await open_next_campaign(scene), 30)
        (answer,) = await decide(scene, wrong)
        assert isinstance(answer, NotFound)


class TestSettlementAfterTheEnd:
    """Minutes that were validated and cannot be paid any more are refused, never taken as paid."""

    @fails("taken as repeated, though these minutes were never settled")
    async def test_after_a_cancellation(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        mission = reservation(scene, association, contributor, 90)
        await decide(scene, mission, settlement_of(mission, 30, part="a"))
        await decide_one(scene, release_of(mission))
        answer = await decide_one(scene, settlement_of(mission, 45))
        assert answer.refusal is not None
        assert answer.refusal.code == "nothing-held"

    @fails("taken as repeated, though these minutes were never settled")
    async def test_after_parts_that_took_all(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        mission = reservation(scene, association, contributor, 90)
        await decide(scene, mission, settlement_of(mission, 90, part="a"))
        answer = await decide_one(scene, settlement_of(mission, 45))
        assert answer.refusal is not None


class TestLocks:
    async def test_a_sweep_and_a_batch_of_two_campaigns_never_stand_in_each_others_way(self, scene: Scene) -> None:
        """The sweep comes to the campaigns in the order of their ids, a batch to the accounts in the order of theirs."""
        scene.now = datetime(2026, 6, 1, tzinfo=UTC)
        first, first_id = await self.fund(scene, max)
        await scene.start()
        second, second_id = await self.fund(scene, min)
        assert first_id > second_id
        async with scene.work() as work:
            await ledger.lock_accounts(work, {(second.campaign_id, AccountKind.CREDIT, second.association_id)})
            batch = asyncio.create_task(decide(scene, first, second))
            await wait_until(lambda: self.count_waiting(scene, 1), what="the batch to wait")
            sweeping = asyncio.create_task(sweep(scene))
            await wait_until(lambda: self.count_waiting(scene, 2), what="the sweep to wait")
        answers, expired = await asyncio.gather(batch, sweeping)
        assert [isinstance(one, Answer) and one.refusal for one in answers] == [None, None]
        assert expired == 16 * 60
        await check_books(scene.fetch)

    async def fund(self, scene: Scene, choose: Callable[[list[UUID]], UUID]) -> tuple[Reservation, UUID]:
        """Eight associations with an expired and a live lot each; a mission of the one whose account is chosen."""
        contributor = await scene.pledge(60_000)
        accounts: dict[UUID, UUID] = {}
        for _ in range(8):
            association = await scene.admit(entitled_minutes=0)
            over = await grant_lot(scene, association, 60, expires_at=scene.now)
            await grant_lot(scene, association, 60, expires_at=datetime(2026, 9, 1, tzinfo=UTC))
            (row,) = await scene.fetch("SELECT id FROM account WHERE lot_id = $1", over.id)
            accounts[row["id"]] = association
        chosen = choose(list(accounts))
        return reservation(scene, accounts[chosen], contributor, 30), chosen

    async def count_waiting(self, scene: Scene, least: int) -> bool:
        (row,) = await scene.fetch(
            "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(row["n"] >= least)

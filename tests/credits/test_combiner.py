"""The combiner: whoever waits together is served together, and nobody suffers for another."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import date
from functools import partial
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import text

from kernel.auth import Caller, Role
from kernel.bus.transport import Outgoing
from kernel.database import Database, is_passing
from kernel.events.credits import CreditReserved, HoursPledged
from kernel.ids import new_id
from services.credits.domain.campaigns import Outcome, Promise
from services.credits.domain.errors import MissionUnknown
from services.credits.domain.ledger import AccountKind
from services.credits.store import ledger
from services.credits.use_cases.combiner import Combiner
from services.credits.use_cases.missions import Answer, Command, Reservation, decide_missions
from services.credits.use_cases.pledges import answer_promises, decide_promises
from tests.builders.credits import Scene
from tests.builders.lots import reservation, settlement_of
from tests.support.books import check_books
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(60)
# The combiner reads the real clock.
FAR = date(2126, 12, 31)


@pytest.fixture
def combiner(database: Database) -> Combiner[Command, Answer]:
    return Combiner(database, decide_missions)


class Funded:
    def __init__(self, scene: Scene, missions: list[Reservation]) -> None:
        self.scene, self.missions = scene, missions
        self.association = missions[0].association_id

    async def held(self) -> int:
        return await self.scene.balance(AccountKind.HELD, self.association)


async def fund(scene: Scene, *, count: int = 10, credit: int = 6000) -> Funded:
    """So many missions of a quarter of an hour each, not yet reserved."""
    await scene.start(ends_on=FAR)
    association, contributor = await scene.fund(credit=credit)
    return Funded(scene, [reservation(scene, association, contributor, 15) for _ in range(count)])


async def wait_for_lock(scene: Scene) -> int:
    """The backend of this database that waits for a lock."""

    async def find() -> int | None:
        rows = await scene.fetch(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' LIMIT 1"
        )
        return rows[0]["pid"] if rows else None

    return int(await wait_until(find, what="a batch that waits for the lock"))


def credit_of(funded: Funded) -> set[tuple[UUID, AccountKind, UUID]]:
    return {(funded.missions[0].campaign_id, AccountKind.CREDIT, funded.association)}


class TestBatch:
    async def test_serves_many_in_a_few_transactions(self, scene: Scene, combiner: Combiner[Command, Answer]) -> None:
        funded = await fund(scene, count=150)
        answers = await asyncio.gather(*(combiner.submit(scene.officer, one) for one in funded.missions))
        assert [one.hold.mission_id for one in answers if one.hold] == [one.mission_id for one in funded.missions]
        assert await funded.held() == 150 * 15
        (row,) = await scene.fetch("SELECT count(DISTINCT xmin::text) AS transactions FROM transfer WHERE kind = 'reserve'")
        assert row["transactions"] <= 3
        await check_books(scene.fetch, [scene.campaign_id])

    async def test_each_caller_bears_its_own_name(self, scene: Scene, combiner: Combiner[Command, Answer]) -> None:
        funded = await fund(scene, count=3)
        callers = [
            Caller(scene.territory, f"{scene.territory}.{name}", None, new_id(), frozenset({Role.OFFICER})) for name in "abc"
        ]
        await asyncio.gather(*(combiner.submit(*pair) for pair in zip(callers, funded.missions, strict=True)))
        rows = await scene.fetch("SELECT mission_id, who FROM transfer WHERE kind = 'reserve'")
        expected = {one.mission_id: caller.identity for one, caller in zip(funded.missions, callers, strict=True)}
        assert {row["mission_id"]: row["who"] for row in rows} == expected
        told = {one.data["mission_id"]: one.actorid for one in await scene.published() if one.type == CreditReserved.event_type}
        assert told == {str(mission): identity for mission, identity in expected.items()}


class TestTelling:
    async def test_what_a_batch_tells_need_not_be_read_back(
        self, scene: Scene, database: Database, combiner: Combiner[Command, Answer]
    ) -> None:
        funded = await fund(scene, count=3)
        sent: list[Outgoing] = []
        database.after_publish = sent.extend
        await asyncio.gather(*(combiner.submit(scene.officer, one) for one in funded.missions))
        waiting = await scene.fetch("SELECT sequence, event_id, subject, body FROM outbox ORDER BY sequence DESC LIMIT 3")
        assert [(one.sequence, one.event_id, one.subject, one.body) for one in sent] == [tuple(row) for row in waiting[::-1]]
        assert [one.subject for one in sent] == [str(one.mission_id) for one in funded.missions]

    async def test_what_follows_an_event_that_waits_is_read_back_in_order(
        self, scene: Scene, database: Database, combiner: Combiner[Command, Answer]
    ) -> None:
        funded = await fund(scene, count=1)
        sent: list[Outgoing] = []
        database.after_publish = sent.extend
        await combiner.submit(scene.officer, funded.missions[0])
        await combiner.submit(scene.officer, settlement_of(funded.missions[0], 15))
        assert [one.type for one in sent] == [CreditReserved.event_type]


class TestCommandAtFault:
    async def test_one_that_is_wrong_in_itself_fails_alone(self, scene: Scene, combiner: Combiner[Command, Answer]) -> None:
        funded = await fund(scene)
        wrong: list[Command] = [settlement_of(replace(one, mission_id=new_id()), 15) for one in funded.missions[:3]]
        commands = wrong + list(funded.missions)
        answers = await asyncio.gather(*(combiner.submit(scene.officer, one) for one in commands), return_exceptions=True)
        assert all(isinstance(one, MissionUnknown) for one in answers[: len(wrong)])
        assert all(isinstance(one, Answer) and one.refusal is None for one in answers[len(wrong) :])
        assert await funded.held() == 150

    async def test_one_that_breaks_the_batch_fails_alone(self, scene: Scene, combiner: Combiner[Command, Answer]) -> None:
        funded = await fund(scene)
        poison = replace(funded.missions[0], mission_id=new_id(), minutes=2**70)
        commands: list[Command] = [*funded.missions[:5], poison, *funded.missions[5:]]
        answers = await asyncio.gather(*(combiner.submit(scene.officer, one) for one in commands), return_exceptions=True)
        failed = [number for number, one in enumerate(answers) if isinstance(one, Exception)]
        assert failed == [5]
        assert await funded.held() == 150
        await check_books(scene.fetch, [scene.campaign_id])


class TestCallerThatLeaves:
    async def test_its_command_may_be_done_and_is_not_done_twice(self, scene: Scene, combiner: Combiner[Command, Answer]) -> None:
        funded = await fund(scene, count=2)
        async with scene.work() as work:
            await ledger.lock_accounts(work, credit_of(funded))
            leaving, staying = (asyncio.create_task(combiner.submit(scene.officer, one)) for one in funded.missions)
            await wait_for_lock(scene)
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
        assert (await staying).refusal is None
        again = await combiner.submit(scene.officer, funded.missions[0])
        assert (again.refusal, again.is_new) == (None, False)
        assert await funded.held() == 30


class TestDatabaseThatDies:
    async def test_callers_are_told_and_a_retry_has_one_effect(self, scene: Scene, combiner: Combiner[Command, Answer]) -> None:
        funded = await fund(scene)
        async with scene.work() as work:
            await ledger.lock_accounts(work, credit_of(funded))
            asked = [asyncio.create_task(combiner.submit(scene.officer, one)) for one in funded.missions]
            backend = await wait_for_lock(scene)
            await work.driver.execute("SELECT pg_terminate_backend($1)", backend)
            answers = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(one, Exception) and is_passing(one) for one in answers)
        assert await funded.held() == 0
        again = await asyncio.gather(*(combiner.submit(scene.officer, one) for one in funded.missions * 2))
        assert sum(one.is_new for one in again) == 10
        assert await funded.held() == 150
        await check_books(scene.fetch, [scene.campaign_id])

    async def test_killed_at_any_moment_nothing_is_lost_or_doubled(
        self, scene: Scene, make_database: Callable[..., Database], owner_url: Callable[[str], str]
    ) -> None:
        """The backends of both replicas die again and again while callers retry until they are answered."""
        funded = await fund(scene, count=600, credit=9000)
        replicas = [Combiner(make_database("credits", pool_size=2), decide_missions) for _ in range(2)]
        errors: list[Exception] = []

        async def insist(number: int, command: Reservation) -> Answer:
            while True:
                try:
                    return await replicas[number % 2].submit(scene.officer, command)
                except Exception as error:
                    if not is_passing(error):
                        raise
                    errors.append(error)
                    number += 1

        answers: list[Answer] = []
        killing = asyncio.create_task(keep_killing(owner_url("credits"), errors))
        try:
            while len(answers) < 600 and (len(errors) < 30 or len(answers) < 60):
                wave = funded.missions[len(answers) : len(answers) + 20]
                answers += await asyncio.gather(*(insist(number, one) for number, one in enumerate(wave)))
        finally:
            killing.cancel()
            await asyncio.gather(killing, return_exceptions=True)
        assert errors, "nothing was killed: this shows nothing"
        assert all(one.refusal is None for one in answers)
        assert await funded.held() == len(answers) * 15
        await check_books(scene.fetch, [scene.campaign_id])


async def keep_killing(owner_url: str, errors: list[Exception]) -> None:
    """End one backend that is at work, wait until somebody noticed, and so on."""
    owner = await asyncpg.connect(owner_url)
    try:
        while True:
            killed = await owner.fetchval(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid() AND state <> 'idle' LIMIT 1"
            )
            if killed:
                noticed = len(errors)
                with suppress(AssertionError):  # it may have been between two transactions
                    await wait_until(partial(_has_more_than, errors, noticed), seconds=0.5)
    finally:
        await owner.close()


def _has_more_than(errors: list[Exception], noticed: int) -> bool:
    return len(errors) > noticed


class TestTerritories:
    async def test_one_that_waits_holds_up_no_other(
        self, scene: Scene, database: Database, combiner: Combiner[Command, Answer]
    ) -> None:
        other = await Scene(database, "2A007").start()
        here, there = await fund(scene, count=3), await fund(other, count=3)
        async with scene.work() as work:
            await ledger.lock_accounts(work, credit_of(here))
            waiting = [asyncio.create_task(combiner.submit(scene.officer, one)) for one in here.missions]
            await wait_for_lock(scene)
            answers = await asyncio.gather(*(combiner.submit(other.officer, one) for one in there.missions))
            assert all(one.refusal is None for one in answers)
            assert not any(task.done() for task in waiting)
        assert all(one.refusal is None for one in await asyncio.gather(*waiting))
        assert (await here.held(), await there.held()) == (45, 45)


class TestPromises:
    async def test_one_that_waits_for_its_pledge_holds_up_no_new_one(self, scene: Scene, database: Database) -> None:
        promises = Combiner(database, answer_promises)
        contributor = new_id()
        said, new = (Promise(scene.campaign_id, ref, contributor, 60) for ref in ("said", "new"))
        await promises.submit(scene.officer, said)
        async with scene.work() as work:
            await work.connection.execute(text("SELECT FROM pledge WHERE ref = 'said' FOR UPDATE"))
            waiting = asyncio.create_task(promises.submit(scene.officer, replace(said, minutes=90)))
            other = asyncio.create_task(promises.submit(scene.officer, new))
            await wait_for_lock(scene)
            assert (await other).outcome is Outcome.CREATED
            assert not waiting.done()
        assert (await waiting).pledge.minutes == 90
        await check_books(scene.fetch, [scene.campaign_id])

    async def test_one_ref_at_two_replicas_at_once_is_one_pledge(
        self, scene: Scene, make_database: Callable[..., Database]
    ) -> None:
        replicas = [Combiner(make_database("credits", pool_size=3), decide_promises) for _ in range(2)]
        contributors = [new_id() for _ in range(4)]
        promises = [Promise(scene.campaign_id, f"ref-{number}", contributors[number % 4], 60) for number in range(20)]
        asked = [replicas[number % 2].submit(scene.officer, one) for number, one in enumerate(promises * 3)]
        answers = await asyncio.gather(*asked)
        assert sum(outcome is Outcome.CREATED for _, outcome in answers) == 20
        assert sum(outcome is Outcome.UNCHANGED for _, outcome in answers) == 40
        told = [event.pledge_id for event in await scene.published(HoursPledged)]
        assert sorted(told) == sorted({pledge.id for pledge, _ in answers})
        assert await scene.balance(AccountKind.POOL) == 20 * 60
        await check_books(scene.fetch, [scene.campaign_id])

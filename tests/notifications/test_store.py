"""What the database itself holds: territories kept apart, errands taken once, old things forgotten."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from kernel.auth import Caller
from kernel.clock import utc_now
from kernel.database import Database
from kernel.ids import new_id
from kernel.work import open_work
from services.notifications.domain.errands import ErrandKind
from services.notifications.jobs.announcements import Announcer
from services.notifications.jobs.forgetting import Forgetter
from services.notifications.settings import Settings
from services.notifications.store import errands
from services.notifications.store import webhooks as store
from services.notifications.tables import delivery, email, event_log, metadata, notice
from tests.builders.notifications import Town, make_event, make_settings, make_webhook

SHARED = {"territory", "errand", "outbox", "inbox", "retry", "dead_letter"}


class TestTerritories:
    async def test_every_table_about_somebody_is_bound_to_its_territory(self, town: Town) -> None:
        hook = make_webhook()
        async with open_work(town.database, Caller.system(town.territory)) as work:
            await store.insert_webhook(work, hook)
        await town.tell(town.propose())
        await Announcer().run(town.database)
        for table in metadata.tables.values():
            if table.name in SHARED:
                continue
            async with open_work(town.database, Caller.system("2A999")) as work:
                assert await work.connection.scalar(select(func.count()).select_from(table)) == 0, table.name
        async with open_work(town.database, Caller.system(town.territory)) as work:
            assert await work.connection.scalar(select(func.count()).select_from(email)) == 2

    async def test_errands_say_nothing_about_anybody(self) -> None:
        assert set(metadata.tables["errand"].c.keys()) == {"kind", "id", "territory", "lane", "due_at", "tries"}


class TestTakeErrands:
    @pytest.mark.parametrize("takers", [2, 5])
    async def test_no_two_takers_get_the_same(self, takers: int, database: Database, territory: str) -> None:
        lane, ids = new_id(), [new_id() for _ in range(100)]
        async with open_work(database, Caller.system(territory)) as work:
            await errands.put_errands(work, ErrandKind.DELIVERY, ids, lane=lane)

        async def take() -> list[object]:
            async with open_work(database, Caller.system("*")) as work:
                found = await errands.take_errands_by_lane(
                    work, ErrandKind.DELIVERY, each=15, busy={}, limit=50, lease=timedelta(minutes=1)
                )
                await asyncio.sleep(0)
                return [errand.id for errand in found]

        taken = [id for some in await asyncio.gather(*(take() for _ in range(takers))) for id in some]
        assert len(taken) == len(set(taken)) == 15 * takers
        assert set(taken) <= set(ids)

    async def test_each_lane_gets_its_share_less_what_is_busy(self, database: Database, territory: str) -> None:
        crowd, few, full = new_id(), new_id(), new_id()
        async with open_work(database, Caller.system(territory)) as work:
            for lane, count in ((crowd, 30), (few, 2), (full, 5)):
                await errands.put_errands(work, ErrandKind.DELIVERY, [new_id() for _ in range(count)], lane=lane)
        async with open_work(database, Caller.system("*")) as work:
            taken = await errands.take_errands_by_lane(
                work, ErrandKind.DELIVERY, each=4, busy={crowd: 1, full: 9}, limit=50, lease=timedelta(minutes=1)
            )
        lanes = [errand.lane for errand in taken]
        assert (lanes.count(crowd), lanes.count(few), lanes.count(full)) == (3, 2, 0)
        assert {errand.territory for errand in taken} == {territory}

    async def test_what_is_taken_is_not_due_until_its_lease_ends(self, database: Database, territory: str) -> None:
        async with open_work(database, Caller.system(territory)) as work:
            await errands.put_errands(work, ErrandKind.EMAIL, [new_id()])

        async def take(*, after: timedelta = timedelta()) -> list[int]:
            async with open_work(database, Caller.system("*"), now=utc_now() + after) as work:
                found = await errands.take_errands(work, ErrandKind.EMAIL, limit=9, lease=timedelta(minutes=5))
                return [errand.tries for errand in found]

        assert [await take(), await take(), await take(after=timedelta(minutes=6))] == [[1], [], [2]]

    async def test_a_dropped_errand_is_not_postponed_back_to_life(self, database: Database, territory: str) -> None:
        lane, id = new_id(), new_id()
        async with open_work(database, Caller.system(territory)) as work:
            await errands.put_errands(work, ErrandKind.DELIVERY, [id], lane=lane)
            await errands.drop_lane(work, lane)
            await errands.postpone_errands(work, ErrandKind.DELIVERY, [id], until=work.now)
        async with open_work(database, Caller.system("*"), now=utc_now() + timedelta(hours=1)) as work:
            assert await errands.take_errands(work, ErrandKind.DELIVERY, limit=9, lease=timedelta(minutes=5)) == []


class TestForget:
    async def test_deletes_what_was_kept_long_enough_and_no_more(self, town: Town, settings: Settings) -> None:
        async with open_work(town.database, Caller.system(town.territory)) as work:
            await store.insert_webhook(work, make_webhook(event_types=("*",)))
        await town.tell(town.propose())
        await town.tell(make_event("matching.offer_opened.v1"))
        await Announcer().run(town.database)

        async def counts() -> list[int | None]:
            async with open_work(town.database, Caller.system(town.territory)) as work:
                return [
                    await work.connection.scalar(select(func.count()).select_from(table))
                    for table in (event_log, delivery, email, notice)
                ]

        async def forget(days: int) -> None:
            chosen = make_settings(settings, event_log_days=30, message_days=365)
            await Forgetter(chosen, now=lambda: utc_now() + timedelta(days=days)).run(town.database)

        events = (await counts())[0]
        await forget(29)
        assert await counts() == [events, 1, 2, 2]
        await forget(31)
        assert await counts() == [0, 0, 2, 2]
        await forget(366)
        assert await counts() == [0, 0, 0, 0]

    async def test_knows_every_territory_that_was_heard_of(self, database: Database, settings: Settings) -> None:
        quiet = Town(database, "2B999")
        await quiet.tell(make_event("matching.offer_opened.v1"))
        await Forgetter(settings, now=lambda: utc_now() + timedelta(days=60)).run(database)
        async with open_work(database, Caller.system(quiet.territory)) as work:
            assert await work.connection.scalar(select(func.count()).select_from(event_log)) == 0

"""What the database itself holds, even where the code would forget it."""

from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from kernel.auth import Caller
from kernel.database import Database
from kernel.work import open_work
from services.matching.store.missions import insert_mission
from services.matching.store.needs import insert_need, lock_need
from services.matching.store.offers import insert_offer, list_candidates
from tests.builders.matching import make_mission, make_need, make_offer


@pytest.fixture
def database(make_database: Callable[[str], Database]) -> Database:
    return make_database("matching")


async def insert_duo(database: Database, territory: str) -> dict[str, Any]:
    """A need and an offer as rows; returns the ids a mission between them needs."""
    need, offer = make_need(), make_offer()
    async with open_work(database, Caller.system(territory)) as work:
        await insert_need(work, need)
        await insert_offer(work, offer)
    return {"need_id": need.id, "offer_id": offer.id}


class TestBounds:
    async def test_a_need_has_one_mission_that_lives(self, database: Database, territory: str) -> None:
        ids = await insert_duo(database, territory)
        async with open_work(database, Caller.system(territory)) as work:
            await insert_mission(work, make_mission(**ids))
        with pytest.raises(Exception, match="ux_mission_of_need"):
            async with open_work(database, Caller.system(territory)) as work:
                await insert_mission(work, make_mission(**ids))

    async def test_no_more_minutes_are_worked_than_agreed(self, database: Database, territory: str) -> None:
        ids = await insert_duo(database, territory)
        with pytest.raises(asyncpg.CheckViolationError) as refused:
            async with open_work(database, Caller.system(territory)) as work:
                await insert_mission(work, make_mission(worked_minutes=361, **ids))
        async with open_work(database, Caller.system(territory)) as work:
            broken = await work.driver.fetchval(
                "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = $1 AND conrelid = 'mission'::regclass",
                refused.value.constraint_name,
            )
        assert "worked_minutes <= minutes" in broken

    async def test_a_mission_belongs_to_a_need_and_an_offer_of_its_territory(self, database: Database, territory: str) -> None:
        ids = await insert_duo(database, "2A004")
        with pytest.raises(Exception, match="foreign key"):
            async with open_work(database, Caller.system(territory)) as work:
                await insert_mission(work, make_mission(**ids))


class TestTerritories:
    async def test_nothing_of_another_is_seen_or_written(self, database: Database, territory: str) -> None:
        ids = await insert_duo(database, territory)
        async with open_work(database, Caller.system("2A004")) as work:
            with pytest.raises(Exception, match="no need"):
                await lock_need(work, ids["need_id"])
            assert ids["offer_id"] not in {candidate.offer.id for candidate in await list_candidates(work)}
            assert await work.driver.execute("UPDATE need SET title = 'x' WHERE id = $1", ids["need_id"]) == "UPDATE 0"
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            async with open_work(database, Caller.system("2A004")) as work:
                await work.driver.execute("INSERT INTO commune VALUES ($1, '92071', 'Sceaux', 48.7, 2.3, now())", territory)

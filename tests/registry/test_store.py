"""What the database itself holds, whatever the code above does."""

from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from kernel.auth import Caller
from kernel.database import Database
from kernel.ids import new_id
from kernel.work import Work, open_work
from services.registry import store
from services.registry.domain.records import MemberRole
from services.registry.tables import metadata
from tests.builders.registry import make_actor, make_member

Insert = Callable[[Work], Any]


class TestUniqueness:
    @pytest.mark.parametrize("twin", [{"siren": "732829320"}, {"rna": "W922000123"}])
    async def test_the_database_holds_one_body_once(self, database: Database, territory: str, twin: dict[str, Any]) -> None:
        async with open_work(database, Caller.system(territory)) as work:
            await store.insert_actor(work, make_actor(ref="a", **twin))
        with pytest.raises(asyncpg.UniqueViolationError):
            async with open_work(database, Caller.system(territory)) as work:
                await store.insert_actor(work, make_actor(ref="b", **twin))

    async def test_a_siret_contains_its_siren(self, database: Database, territory: str) -> None:
        with pytest.raises(asyncpg.CheckViolationError):
            async with open_work(database, Caller.system(territory)) as work:
                await store.insert_actor(work, make_actor(siren="200057966", siret="73282932000074"))


class TestRoundTrip:
    async def test_an_actor_comes_back_as_it_went(self, database: Database, territory: str) -> None:
        saved = make_actor(
            siret="73282932000074", siren="732829320", email="a@exemple.test", unverified_identifiers={"rna": "illisible"}
        )
        async with open_work(database, Caller.system(territory)) as work:
            await store.insert_actor(work, saved)
            assert await store.get_actor(work, saved.id) == saved

    async def test_a_member_comes_back_as_they_went(self, database: Database, territory: str) -> None:
        saved = make_member(roles=(MemberRole.AUDITOR, MemberRole.VOLUNTEER))
        async with open_work(database, Caller.system(territory)) as work:
            await store.insert_member(work, saved)
            assert await store.get_member(work, saved.id) == saved


class TestTerritories:
    async def test_another_territory_sees_no_row_of_any_table(
        self, database: Database, territory: str, owner_url: Callable[[str], str]
    ) -> None:
        async with open_work(database, Caller.system(territory)) as work:
            await store.insert_actor(work, make_actor())
            await store.insert_member(work, make_member())
        async with open_work(database, Caller.system("97411")) as work:
            for name in ("territory", "commune", "actor", "member", "client"):
                rows = await work.driver.fetch(f"SELECT territory FROM {name} WHERE territory = $1", territory)
                assert rows == [], name

    async def test_a_member_cannot_act_for_another_territorys_actor(self, database: Database, territory: str) -> None:
        actor = make_actor()
        async with open_work(database, Caller.system(territory)) as work:
            await store.insert_actor(work, actor)
        async with open_work(database, Caller.system("97412")) as work:
            await work.driver.execute("INSERT INTO territory VALUES ('97412', 'Saint-Joseph', now()) ON CONFLICT DO NOTHING")
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            async with open_work(database, Caller.system("97412")) as work:
                await store.insert_member(work, make_member(ref=str(new_id()), actor_id=actor.id))


class TestMigrations:
    async def test_make_the_tables_that_the_code_declares(self, owner_url: Callable[[str], str], app: Any) -> None:
        connection = await asyncpg.connect(owner_url("registry"))
        rows = await connection.fetch(
            "SELECT table_name, column_name, is_nullable = 'YES' AS nullable FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name <> 'alembic_version'"
        )
        await connection.close()
        made = {(row["table_name"], row["column_name"]): row["nullable"] for row in rows}
        declared = {(table.name, column.name): column.nullable for table in metadata.sorted_tables for column in table.columns}
        assert made.keys() == declared.keys()
        own = {"territory", "commune", "actor", "member", "client"}
        differing = [key for key in made if key[0] in own and made[key] != declared[key]]
        assert differing == []

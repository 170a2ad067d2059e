"""Prepared statements against the same statements as SQLAlchemy's engine runs them."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import (
    ARRAY,
    Boolean,
    Column,
    Date,
    DateTime,
    Float,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
    any_,
    bindparam,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert

from kernel.auth import Caller
from kernel.database import Database
from kernel.ids import new_id
from kernel.statements import Prepared, write_row
from kernel.work import Work, open_work

TERRITORY = "92071"
thing = Table(
    "thing", MetaData(),
    Column("id", Uuid, primary_key=True),
    Column("name", Text),
    Column("number", Integer),
    Column("share", Float),
    Column("lasts", Boolean),
    Column("day", Date),
    Column("at", DateTime(timezone=True)),
    Column("words", ARRAY(Text)),
    Column("others", ARRAY(Uuid)),
    Column("facts", JSONB(none_as_null=True)),
)  # fmt: skip
_MAKE = """
CREATE TEMP TABLE thing (id uuid PRIMARY KEY, name text, number integer, share double precision, lasts boolean, day date,
  at timestamptz, words text[], others uuid[], facts jsonb) ON COMMIT DROP
"""
_INSERT = Prepared(insert(thing), columns=thing.c.keys())
_FIND = Prepared(select(thing).where(thing.c.id == bindparam("id")))


@pytest.fixture
async def work(postgres_url: str) -> AsyncIterator[Work]:
    database = Database(postgres_url, service="test", pool_size=1)
    async with open_work(database, Caller.system(TERRITORY)) as opened:
        await opened.driver.execute(_MAKE)
        yield opened
    await database.close()


def make_thing(**changes: Any) -> dict[str, Any]:
    facts = {
        "id": new_id(), "name": "Odile", "number": 3, "share": 0.5, "lasts": True, "day": date(2026, 11, 22),
        "at": datetime(2026, 11, 22, 12, tzinfo=UTC), "words": ["à", "b"], "others": [new_id()], "facts": {"é": [1, None]},
    }  # fmt: skip
    return facts | changes


class TestRun:
    async def test_every_type_reads_as_through_the_engine(self, work: Work) -> None:
        for values in (make_thing(), dict.fromkeys(thing.c.keys()) | {"id": new_id()}):
            await work.run(_INSERT, **values)
            direct = (await work.run(_FIND, id=values["id"])).one()
            through = (await work.connection.execute(select(thing).where(thing.c.id == values["id"]))).one()
            assert direct._asdict() == through._asdict() == values
            assert direct.words == values["words"]

    async def test_no_row_is_none_and_many_come_in_their_order(self, work: Work) -> None:
        assert (await work.run(_FIND, id=new_id())).first() is None
        made = sorted((make_thing(name=f"n{number}") for number in range(5)), key=lambda one: str(one["id"]))
        await work.run_many(_INSERT, made)
        names = Prepared(select(thing.c.name).where(thing.c.id == any_(bindparam("ids", type_=ARRAY(Uuid)))).order_by(thing.c.id))
        found = await work.run(names, ids=[one["id"] for one in made])
        assert found.scalars().all() == [one["name"] for one in made]

    async def test_values_of_the_statement_itself_stay(self, work: Work) -> None:
        kept, other = make_thing(name="kept"), make_thing(name="other")
        await work.run_many(_INSERT, [kept, other])
        rename = Prepared(update(thing).where(thing.c.name == "kept").values(name="held", number=bindparam("to")))
        await work.run(rename, to=7)
        row = (await work.run(_FIND, id=kept["id"])).one()
        assert (row.name, row.number) == ("held", 7)
        assert (await work.run(_FIND, id=other["id"])).one().name == "other"

    async def test_an_upsert_and_a_statement_within_a_statement(self, work: Work) -> None:
        made = make_thing()
        first = upsert(thing)
        save = Prepared(
            first.on_conflict_do_update(index_elements=["id"], set_={"name": first.excluded.name}), columns=["id", "name"]
        )
        for name in ("one", "two"):
            await work.run(save, id=made["id"], name=name)
        both = update(thing).where(thing.c.id == bindparam("of")).values(name=bindparam("name"))
        both = both.add_cte(insert(thing).values(id=bindparam("new_id"), name=bindparam("new_name")).cte("added"))
        added = new_id()
        await work.run(Prepared(both), of=made["id"], name="three", new_id=added, new_name="four")
        names = {row.id: row.name for row in await work.run(Prepared(select(thing)))}
        assert names == {made["id"]: "three", added: "four"}


class TestWriteRow:
    async def test_what_is_there_is_written_over_save_what_is_kept(self, work: Work) -> None:
        made = make_thing(name="first")
        save = write_row(thing, keeping=("number",))
        await work.run(save, **made)
        await work.run(save, **made | {"name": "second", "number": 9})
        row = (await work.run(_FIND, id=made["id"])).one()
        assert (row.name, row.number) == ("second", 3)

    async def test_only_a_newer_version_takes_the_place(self, work: Work) -> None:
        await work.driver.execute("CREATE TEMP TABLE told (id integer PRIMARY KEY, version integer, name text) ON COMMIT DROP")
        told = Table("told", MetaData(), Column("id", Integer), Column("version", Integer), Column("name", Text))
        save = write_row(told, key=("id",), if_newer=True)
        for version in (2, 1, 2, 3):
            await work.run(save, id=1, version=version, name=f"v{version}")
            expected = "v3" if version == 3 else "v2"
            assert (await work.run(Prepared(select(told.c.name)))).scalar_one() == expected


class TestValues:
    @given(st.sets(st.sampled_from(["id", "name", "more"])))
    def test_exactly_those_that_it_names_are_taken(self, given_names: set[str]) -> None:
        statement = Prepared(update(thing).where(thing.c.id == bindparam("of")).values(name=bindparam("name")))
        assert statement.names == {"of", "name"}
        if given_names != {"of", "name"}:
            with pytest.raises(TypeError, match="takes \\['name', 'of'\\]"):
                statement._arrange(dict.fromkeys(given_names))

    def test_a_text_that_depends_on_its_values_is_refused(self) -> None:
        with pytest.raises(ValueError, match="depends on its values"):
            Prepared(select(thing).where(thing.c.id.in_([UUID(int=1), UUID(int=2)])))

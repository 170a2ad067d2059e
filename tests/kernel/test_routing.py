"""A route: authorised, one transaction, one answer for each idempotency key; rows of one territory alone."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Annotated
from uuid import UUID

import asyncpg
import httpx2
import pytest
from fastapi import Body, FastAPI, Response
from pydantic import BaseModel
from sqlalchemy import Column, MetaData, Table, Text, Uuid, select

from kernel.auth import Role, TokenChecker
from kernel.database import Database
from kernel.errors import Refused
from kernel.ids import new_id
from kernel.migrate import create_database, database_name, url_for
from kernel.paging import OnePage, Page, fetch_page
from kernel.problems import install_problem_handlers
from kernel.routing import InWork, VersionToEdit, allow, check_version, make_router
from kernel.tables import KERNEL_DDL, secure
from kernel.work import Work
from tests.conftest import PASSWORD, PREFIX
from tests.support.clients import PUBLIC_KEYS, client_for, make_caller

note = Table("note", MetaData(), Column("id", Uuid, primary_key=True), Column("territory", Text), Column("text", Text))
DDL = KERNEL_DDL + "CREATE TABLE note (id uuid PRIMARY KEY, territory text NOT NULL, text text NOT NULL);" + secure("note")


class NoteOut(BaseModel):
    id: UUID
    text: str


async def keep(work: Work, error: Refused) -> None:
    await work.connection.execute(note.insert().values(id=new_id(), territory=work.territory, text=f"kept: {error.detail}"))


def make_note_app(database: Database) -> FastAPI:
    router = make_router("notes")

    @router.post("/notes", status_code=201, **allow("notes:write", Role.OFFICER))
    async def write_note(work: InWork, text: Annotated[str, Body(embed=True, max_length=20)], response: Response) -> NoteOut:
        made = NoteOut(id=new_id(), text=text)
        await work.connection.execute(note.insert().values(id=made.id, territory=work.territory, text=text))
        response.headers["ETag"] = '"1"'
        if text.startswith("refuse"):
            work.when_refused = keep if text == "refuse, and keep" else None
            raise Refused("Not this one.")
        if text == "break":
            raise ZeroDivisionError
        if text == "end my connection":
            await work.driver.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return made

    @router.get("/notes", **allow("notes:read", Role.OFFICER, Role.PARTNER))
    async def list_notes(work: InWork, page: OnePage) -> Page[NoteOut]:
        return await fetch_page(work, select(note), by=note.c.id, page=page, shape=lambda row: NoteOut(id=row.id, text=row.text))

    @router.patch("/notes/{id}", **allow("notes:write", Role.OFFICER))
    async def edit_note(work: InWork, id: UUID, version: VersionToEdit) -> None:
        check_version(3, version)

    app = FastAPI()
    app.state.database, app.state.token_checker = database, TokenChecker(PUBLIC_KEYS)
    install_problem_handlers(app)
    app.include_router(router)
    return app


@pytest.fixture
async def notes(postgres_url: str, territory: str) -> AsyncIterator[SimpleNamespace]:
    """An app of one table, and the client of its officer."""
    url = await create_database(postgres_url, service="probe", password=PASSWORD, prefix=PREFIX)
    owner = await asyncpg.connect(url_for(postgres_url, database=database_name("probe", prefix=PREFIX)))
    if not await owner.fetchval("SELECT to_regclass('note') IS NOT NULL"):
        await owner.execute(DDL)
    await owner.close()
    database = Database(url, service="probe", pool_size=8)
    app = make_note_app(database)
    caller = make_caller(territory, Role.OFFICER, scopes=frozenset({"notes:read", "notes:write"}))
    async with client_for(app, caller) as client:
        yield SimpleNamespace(app=app, client=client, database=database, caller=caller)
    await database.close()


async def count(client: httpx2.AsyncClient) -> int:
    return len((await client.get("/notes")).json()["items"])


class TestAllow:
    def test_a_route_that_does_not_say_who_may_call_it_cannot_be_built(self) -> None:
        async def open_to_all() -> None:
            """Nobody asked for this."""

        with pytest.raises(TypeError, match="allow"):
            make_router("x").add_api_route("/x", open_to_all)

    async def test_a_role_that_may_read_may_not_write(self, notes: SimpleNamespace, territory: str) -> None:
        partner = make_caller(territory, Role.PARTNER, scopes=frozenset({"notes:read", "notes:write"}))
        async with client_for(notes.app, partner) as client:
            assert (await client.get("/notes")).status_code == 200
            assert (await client.post("/notes", json={"text": "x"})).status_code == 403


class TestTransaction:
    async def test_a_refusal_leaves_nothing(self, notes: SimpleNamespace) -> None:
        refused = await notes.client.post("/notes", json={"text": "refuse"})
        assert (refused.status_code, refused.json()["type"].rpartition("/")[2]) == (409, "refused")
        assert await count(notes.client) == 0

    @pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}])
    async def test_of_a_refusal_stays_what_was_asked_for(self, notes: SimpleNamespace, headers: dict[str, str]) -> None:
        refused = await notes.client.post("/notes", json={"text": "refuse, and keep"}, headers=headers)
        assert refused.status_code == 409
        (left,) = (await notes.client.get("/notes")).json()["items"]
        assert left["text"] == "kept: Not this one."

    @pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}])
    async def test_whoever_loses_the_database_is_asked_to_come_again(
        self, notes: SimpleNamespace, headers: dict[str, str]
    ) -> None:
        lost = await notes.client.post("/notes", json={"text": "end my connection"}, headers=headers)
        assert (lost.status_code, lost.headers["retry-after"]) == (503, "2")
        assert await count(notes.client) == 0

    async def test_a_fault_of_ours_is_logged_once_and_leaves_nothing(
        self, notes: SimpleNamespace, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is answered, not raised as well: a server would log what is raised a second time."""
        failed = await notes.client.post("/notes", json={"text": "break"})
        assert failed.status_code == 500
        (logged,) = [record for record in caplog.records if record.levelname == "ERROR"]
        assert logged.exc_info
        assert logged.exc_info[0] is ZeroDivisionError
        assert await count(notes.client) == 0

    async def test_rows_of_another_territory_are_not_there(self, notes: SimpleNamespace) -> None:
        await notes.client.post("/notes", json={"text": "ours"})
        elsewhere = make_caller("2A004", Role.OFFICER, scopes=frozenset({"notes:read"}))
        async with client_for(notes.app, elsewhere) as client:
            assert await count(client) == 0

    async def test_a_row_cannot_be_written_for_another_territory(self, notes: SimpleNamespace, territory: str) -> None:
        async with notes.database.transaction(territory) as (_, driver):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await driver.execute("INSERT INTO note VALUES (gen_random_uuid(), '92071', 'theirs')")
            await driver.execute("ROLLBACK; BEGIN")

    async def test_without_a_territory_nothing_is_there(self, notes: SimpleNamespace) -> None:
        await notes.client.post("/notes", json={"text": "ours"})
        connection = await asyncpg.connect(notes.database.url)
        assert await connection.fetch("SELECT * FROM note") == []
        await connection.close()


class TestIdempotencyKey:
    async def test_the_same_request_gives_the_same_answer_once(self, notes: SimpleNamespace) -> None:
        first, second = [
            await notes.client.post("/notes", json={"text": "a"}, headers={"idempotency-key": "k"}) for _ in range(2)
        ]
        assert (first.status_code, first.json(), first.headers["etag"]) == (
            second.status_code,
            second.json(),
            second.headers["etag"],
        )
        assert second.headers["idempotent-replay"] == "true"
        assert await count(notes.client) == 1

    async def test_another_request_is_refused(self, notes: SimpleNamespace) -> None:
        await notes.client.post("/notes", json={"text": "a"}, headers={"idempotency-key": "k"})
        other = await notes.client.post("/notes", json={"text": "b"}, headers={"idempotency-key": "k"})
        assert (other.status_code, other.json()["type"].rpartition("/")[2]) == (422, "idempotency-key-reused")

    async def test_many_at_once_write_once(self, notes: SimpleNamespace) -> None:
        post = [notes.client.post("/notes", json={"text": "a"}, headers={"idempotency-key": "k"}) for _ in range(6)]
        assert len({answer.json()["id"] for answer in await asyncio.gather(*post)}) == 1
        assert await count(notes.client) == 1

    async def test_a_refused_request_may_be_tried_again_with_its_key(self, notes: SimpleNamespace) -> None:
        refused = await notes.client.post("/notes", json={"text": "refuse"}, headers={"idempotency-key": "k"})
        again = await notes.client.post("/notes", json={"text": "fine"}, headers={"idempotency-key": "k"})
        assert (refused.status_code, again.status_code) == (409, 201)

    @pytest.mark.parametrize("key", ["", "k" * 256])
    async def test_has_a_length_where_a_write_is_asked_and_is_nothing_to_a_reading(
        self, notes: SimpleNamespace, key: str
    ) -> None:
        refused = await notes.client.post("/notes", json={"text": "a"}, headers={"idempotency-key": key})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "header/Idempotency-Key")
        read = await notes.client.get("/notes", headers={"idempotency-key": key})
        assert (read.status_code, read.json()["items"]) == (200, [])


class TestPage:
    async def test_walks_all_rows_once_by_cursor(self, notes: SimpleNamespace) -> None:
        made = [(await notes.client.post("/notes", json={"text": str(n)})).json()["id"] for n in range(7)]
        seen: list[str] = []
        url = "/notes?limit=3"
        while url:
            answer = await notes.client.get(url)
            seen += [item["id"] for item in answer.json()["items"]]
            assert ("link" in answer.headers) == bool(answer.json()["next"])
            url = f"/notes?limit=3&cursor={answer.json()['next']}" if answer.json()["next"] else ""
        assert seen == made


class TestVersion:
    @pytest.mark.parametrize(("header", "status"), [(None, 428), ('"2"', 412), ('"3"', 200), ("x", 422), ('"²"', 422)])
    async def test_an_edit_names_the_version_it_edits(self, notes: SimpleNamespace, header: str | None, status: int) -> None:
        headers = [("if-match", header.encode())] if header else []
        answer = await notes.client.patch(f"/notes/{new_id()}", headers=headers)
        assert answer.status_code == status, answer.text


class TestBadInput:
    async def test_names_the_field_by_pointer(self, notes: SimpleNamespace) -> None:
        answer = await notes.client.post("/notes", json={"text": "x" * 30})
        assert answer.headers["content-type"] == "application/problem+json"
        assert [error["pointer"] for error in answer.json()["errors"]] == ["/text"]

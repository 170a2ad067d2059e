"""What a volunteer did, out of the ledger: their own missions alone, to the minute, for themself and the town alone."""

import csv
import io
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from kernel.auth import Role
from kernel.clock import local_date
from kernel.ids import new_id
from services.credits.domain.campaigns import ExpiryRule
from services.credits.domain.ledger import AccountKind
from services.credits.domain.statements import VOLUNTEER_ACCOUNTS, Basis, Period, Statement
from services.credits.store import ledger
from services.credits.store.volunteer_statements import get_volunteer_statement
from tests.builders.credits import IN_SPRING, Scene
from tests.credits.test_sequences import Player, operations, some
from tests.support.clients import client_for, make_caller
from tests.support.documents import pdf_text

HELD, SERVED = AccountKind.HELD, AccountKind.SERVED


@pytest.fixture
async def officer(app: FastAPI, territory: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_for(app, make_caller(territory, Role.OFFICER)) as client:
        yield client


async def read(scene: Scene, volunteer: UUID, period: Period | None = None, *, limit: int = 1000) -> Statement:
    """All pages, put together."""
    pages: list[Statement] = []
    async with scene.work() as work:
        while not pages or pages[-1].next:
            after = pages[-1].next if pages else None
            asked = period or Period()
            pages.append(await get_volunteer_statement(work, scene.campaign_id, volunteer, asked, after=after, limit=limit))
    assert len({tuple(page.opening.items()) for page in pages}) == 1
    assert len({tuple(page.closing.items()) for page in pages}) == 1
    lines = tuple(line for page in pages for line in page.lines)
    return Statement(pages[0].opening, lines, tuple(one for page in pages for one in page.after), pages[-1].closing)


class TestReconciles:
    @some
    @given(
        rule=st.sampled_from(ExpiryRule),
        sequence=st.lists(operations, min_size=4, max_size=25),
        limit=st.integers(1, 4),
        day=st.integers(-3, 5),
    )
    @pytest.mark.timeout(300)
    async def test_all_volunteers_of_a_random_campaign_did_what_was_served(
        self, scene: Scene, rule: ExpiryRule, sequence: list[tuple[Any, ...]], limit: int, day: int
    ) -> None:
        player = await Player(scene).start(rule)
        for name, *arguments in sequence:
            scene.now = IN_SPRING + timedelta(hours=(sum(a for a in arguments if isinstance(a, int)) % 97) - 48)
            await player.play(name, *arguments)
        volunteers = [new_id() for _ in range(3)]
        for number, agreed in enumerate(player.missions):
            await scene.tell_mission(agreed, volunteer_id=volunteers[number % 3])
        serving = volunteers[: len(player.missions)]
        async with scene.work() as work:
            booked = await ledger.sum_by_kind(work, scene.campaign_id)
        for basis in Basis:
            statements = [await read(scene, one, Period(basis), limit=limit) for one in serving]
            for kind in VOLUNTEER_ACCOUNTS:
                assert sum(statement.closing[kind] for statement in statements) == booked[kind]
            for one, statement in zip(serving, statements, strict=True):
                middle = IN_SPRING + timedelta(days=day)
                before = await read(scene, one, Period(basis, until=middle), limit=limit)
                since = await read(scene, one, Period(basis, since=middle), limit=limit)
                assert before.lines + since.lines == statement.lines
                assert (before.closing, since.closing) == (since.opening, statement.closing)
                self.adds_up(statement)

    def adds_up(self, statement: Statement) -> None:
        running = dict(statement.opening)
        for line, after in zip(statement.lines, statement.after, strict=True):
            running = {kind: minutes + line.moved.get(kind, 0) for kind, minutes in running.items()}
            assert after == running
        assert statement.closing == running


@pytest.fixture
async def employee(scene: Scene) -> UUID:
    """Serves two missions in their company's name; a colleague serves a third."""
    association, company = await scene.fund(credit=600)
    serves, colleague = new_id(), new_id()
    agreed = [await scene.agree(association, company, minutes) for minutes in (120, 60, 90)]
    for one, person, title in zip(
        agreed, (serves, serves, colleague), ("Tenir la caisse", "Refaire l'affiche", "Coder"), strict=True
    ):
        await scene.tell_mission(one, volunteer_id=person, title=title)
    await scene.handle(scene.validated(agreed[0], 90))
    await scene.handle(scene.validated(agreed[2], 90))
    return serves


class TestOnScreen:
    async def test_shows_an_employee_their_own_missions_alone(
        self, app: FastAPI, scene: Scene, territory: str, employee: UUID
    ) -> None:
        path = f"/campaigns/{scene.campaign_id}/volunteer-statements/{employee}"
        company = (await scene.fetch("SELECT DISTINCT contributor_id FROM hold"))[0]["contributor_id"]
        caller = make_caller(territory, Role.VOLUNTEER, actor_id=company, member_id=employee)
        async with client_for(app, caller) as client:
            statement = (await client.get(path)).json()
        assert statement["opening_minutes"] == {"held": 0, "served": 0}
        assert statement["closing_minutes"] == {"held": 60, "served": 90}
        assert [(line["kind"], line["mission_title"]) for line in statement["lines"]] == [
            ("reserve", "Tenir la caisse"),
            ("reserve", "Refaire l'affiche"),
            ("settle", "Tenir la caisse"),
            ("release", "Tenir la caisse"),
        ]
        assert {line["association_name"] for line in statement["lines"]} == {"Les Petits Ateliers"}
        assert statement["lines"][-1]["balances_minutes"] == {"held": 60, "served": 90}

    async def test_comes_in_pages_and_periods(self, officer: httpx2.AsyncClient, scene: Scene, employee: UUID) -> None:
        path = f"/campaigns/{scene.campaign_id}/volunteer-statements/{employee}"
        whole = (await officer.get(path)).json()
        lines: list[Any] = []
        page = await officer.get(f"{path}?limit=1")
        while True:
            lines += page.json()["lines"]
            assert page.json()["closing_minutes"] == whole["closing_minutes"]
            if "link" not in page.headers:
                break
            page = await officer.get(page.headers["link"].partition(">")[0].removeprefix("<").partition(scene.territory)[2])
        assert lines == whole["lines"]
        tomorrow = local_date(datetime.fromisoformat(lines[-1]["recorded_at"])) + timedelta(days=1)
        later = (await officer.get(f"{path}?since={tomorrow}")).json()
        assert (later["lines"], later["opening_minutes"]) == ([], whole["closing_minutes"])

    async def test_is_for_oneself_and_the_town(self, app: FastAPI, scene: Scene, territory: str, employee: UUID) -> None:
        path = f"/campaigns/{scene.campaign_id}/volunteer-statements/{employee}"
        row = (await scene.fetch("SELECT association_id, contributor_id FROM hold LIMIT 1"))[0]
        for caller, status in (
            (make_caller(territory, Role.OFFICER), 200),
            (make_caller(territory, Role.AUDITOR), 200),
            (make_caller(territory, Role.VOLUNTEER, actor_id=row["contributor_id"], member_id=new_id()), 403),
            (make_caller(territory, Role.COMPANY, actor_id=row["contributor_id"], member_id=new_id()), 403),
            (make_caller(territory, Role.COMPANY, actor_id=row["contributor_id"], member_id=employee), 200),
            (make_caller(territory, Role.ASSOCIATION, actor_id=row["association_id"], member_id=new_id()), 403),
            (make_caller(territory, Role.VOLUNTEER, actor_id=employee), 403),
            (make_caller(territory, Role.PARTNER), 403),
        ):
            async with client_for(app, caller) as client:
                for format in ("json", "csv"):
                    assert (await client.get(f"{path}?format={format}")).status_code == status, caller

    async def test_of_nobody_is_not_found(self, officer: httpx2.AsyncClient, scene: Scene, employee: UUID) -> None:
        path = f"/campaigns/{scene.campaign_id}/volunteer-statements/{new_id()}"
        assert [(await officer.get(f"{path}?format={one}")).status_code for one in ("json", "csv", "pdf")] == [404] * 3


class TestFiles:
    async def test_csv_has_every_line_with_mission_association_and_date(
        self, officer: httpx2.AsyncClient, scene: Scene, employee: UUID
    ) -> None:
        answer = await officer.get(f"/campaigns/{scene.campaign_id}/volunteer-statements/{employee}?format=csv")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/csv; charset=utf-8")
        assert "heures-" in answer.headers["content-disposition"]
        header, *rows = csv.reader(io.StringIO(answer.text.removeprefix("\ufeff")), delimiter=";")
        lines = [dict(zip(header, row, strict=True)) for row in rows]
        assert [line["Opération"] for line in lines] == [
            "Solde d'ouverture", "Réserve", "Réserve", "Heures faites", "Réserve rendue", "Solde de clôture",
        ]  # fmt: skip
        assert (lines[-1]["Réservé (minutes)"], lines[-1]["Fait (minutes)"]) == ("60", "90")
        served = lines[3]
        assert (served["Mission"], served["Association"], served["Heures"]) == ("Tenir la caisse", "Les Petits Ateliers", "1,5")
        assert served["Date d'effet"].startswith("01/04/2026")

    async def test_pdf_says_whose_hours_for_whom(self, officer: httpx2.AsyncClient, scene: Scene, employee: UUID) -> None:
        answer = await officer.get(f"/campaigns/{scene.campaign_id}/volunteer-statements/{employee}?format=pdf")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/pdf")
        text = pdf_text(answer.content)
        for said in (str(employee), "Tenir la caisse", "Refaire l'affiche", "Les Petits Ateliers", "1 h 30", "Heures faites"):
            assert said in text
        assert "Coder" not in text

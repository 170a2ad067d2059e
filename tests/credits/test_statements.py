"""Statements against the ledger: pages, the two times, a random campaign to the minute, and what a page costs."""

import csv
import io
import itertools
import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from bench.statements import ASSOCIATION, BEGAN, CAMPAIGN, CREDIT, HELD, STEP, fill_script
from kernel.auth import Caller, Role
from kernel.clock import LOCAL_ZONE
from kernel.ids import new_id
from services.credits.domain.campaigns import ExpiryRule
from services.credits.domain.ledger import AccountKind
from services.credits.domain.statements import (
    ASSOCIATION_ACCOUNTS,
    CONTRIBUTOR_ACCOUNTS,
    TOWN_ACCOUNTS,
    AsOf,
    Basis,
    Period,
    Scope,
    Statement,
)
from services.credits.routes.statements import MOST_LINES
from services.credits.store.statements import get_statement, list_balances_at
from services.credits.use_cases.expiries import expire_due_lots
from services.credits.use_cases.pledges import pledge_hours
from services.credits.use_cases.reversals import reverse_transfer
from tests.builders.credits import IN_SPRING, Scene
from tests.credits.test_sequences import Player, operations, some
from tests.support.clients import client_for, make_caller
from tests.support.documents import pdf_text


@pytest.fixture
async def officer(app: FastAPI, territory: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_for(app, make_caller(territory, Role.OFFICER)) as client:
        yield client


def short(transfer_id: UUID) -> str:
    """A transfer's number, as statements print it."""
    return str(transfer_id)[-8:]


def of_association(scene: Scene, holder: UUID) -> Scope:
    return Scope(scene.campaign_id, holder, ASSOCIATION_ACCOUNTS)


async def read(scene: Scene, scope: Scope, period: Period | None = None, *, limit: int = 1000) -> Statement:
    """All pages, put together; each page goes on where the one before ended."""
    pages: list[Statement] = []
    async with scene.work() as work:
        while not pages or pages[-1].next:
            after = pages[-1].next if pages else None
            pages.append(await get_statement(work, scope, period or Period(), after=after, limit=limit))
    lines = tuple(line for page in pages for line in page.lines)
    after_lines = tuple(balances for page in pages for balances in page.after)
    assert len({tuple(page.opening.items()) for page in pages}) == 1
    return Statement(pages[0].opening, lines, after_lines, pages[-1].closing)


async def sums(scene: Scene, holder: UUID | None, kinds: tuple[AccountKind, ...]) -> dict[AccountKind, int]:
    """The accounts' own balances, without any statement."""
    rows = await scene.fetch(
        "SELECT kind, sum(balance_minutes)::bigint AS minutes FROM account WHERE campaign_id = $1"
        " AND holder_id = coalesce($2, holder_id) GROUP BY kind",
        scene.campaign_id,
        holder,
    )
    return dict.fromkeys(kinds, 0) | {AccountKind(row["kind"]): row["minutes"] for row in rows if row["kind"] in kinds}


async def instants(scene: Scene) -> list[datetime]:
    rows = await scene.fetch(
        "SELECT recorded_at FROM transfer WHERE campaign_id = $1 ORDER BY recorded_at, id", scene.campaign_id
    )
    return [row["recorded_at"] for row in rows]


class TestReconciles:
    @some
    @given(
        rule=st.sampled_from(ExpiryRule),
        sequence=st.lists(operations, min_size=4, max_size=25),
        limit=st.integers(1, 7),
        cut=st.integers(0, 99),
    )
    @pytest.mark.timeout(300)
    async def test_a_random_campaign_to_the_minute(
        self, scene: Scene, rule: ExpiryRule, sequence: list[tuple[Any, ...]], limit: int, cut: int
    ) -> None:
        player = await Player(scene).start(rule)
        for name, *arguments in sequence:
            # Each deed at a time of its own, now and then long ago: the effective order is not the recorded one.
            scene.now = IN_SPRING + timedelta(hours=(sum(a for a in arguments if isinstance(a, int)) % 97) - 48)
            await player.play(name, *arguments)
        scopes = [of_association(scene, one) for one in player.associations]
        scopes += [Scope(scene.campaign_id, one, CONTRIBUTOR_ACCOUNTS) for one in player.contributors]
        scopes.append(Scope(scene.campaign_id, None, TOWN_ACCOUNTS))
        recorded = await instants(scene)
        middle = recorded[cut % len(recorded)]
        seen: set[UUID] = set()
        for scope in scopes:
            balances = await sums(scene, scope.holder_id, scope.kinds)
            statement = await read(scene, scope, limit=limit)
            assert statement.closing == balances
            assert set(statement.opening.values()) == {0}
            self.adds_up(statement)
            seen |= {line.transfer.id for line in statement.lines}
            before = await read(scene, scope, Period(until=middle), limit=limit)
            since = await read(scene, scope, Period(since=middle), limit=limit)
            assert before.closing == since.opening
            assert before.lines + since.lines == statement.lines
            assert since.closing == balances
            effective = await read(scene, scope, Period(Basis.EFFECTIVE), limit=limit)
            assert effective.closing == balances
            assert {line.transfer.id for line in effective.lines} == {line.transfer.id for line in statement.lines}
            self.adds_up(effective)
        assert len(seen) == len(recorded)

    def adds_up(self, statement: Statement) -> None:
        running = dict(statement.opening)
        for line, after in zip(statement.lines, statement.after, strict=True):
            running = {kind: minutes + line.moved.get(kind, 0) for kind, minutes in running.items()}
            assert after == running
        assert statement.closing == running

    async def test_the_campaigns_totals_are_zero_after_every_line(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        await scene.handle(scene.validated(await scene.agree(association, contributor, 120), 90))
        statement = await read(scene, Scope(scene.campaign_id, None, TOWN_ACCOUNTS))
        assert statement.lines
        assert all(sum(after.values()) == 0 for after in statement.after)


class TestTwoTimes:
    async def test_as_recorded_is_what_the_ledger_said_then(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 120)
        (reserved,) = [row for row in await self.transfers(scene) if row["kind"] == "reserve"]
        await scene.handle(scene.validated(agreed, 90))
        period = Period().up_to(AsOf(Basis.RECORDED, reserved["recorded_at"]))
        then = await read(scene, of_association(scene, association), period)
        assert then.closing == {AccountKind.CREDIT: 480, AccountKind.HELD: 120, AccountKind.SERVED: 0}
        just_before = Period().up_to(AsOf(Basis.RECORDED, reserved["recorded_at"] - timedelta(microseconds=1)))
        assert (await read(scene, of_association(scene, association), just_before)).closing[AccountKind.HELD] == 0

    async def test_a_late_validation_counts_where_it_took_effect(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 120)
        in_summer = datetime(2026, 7, 1, 9, tzinfo=UTC)
        scene.now = IN_SPRING + timedelta(days=2)
        await scene.handle(scene.validated(agreed, 90))
        scene.now = in_summer
        (settled,) = [row for row in await self.transfers(scene) if row["kind"] == "settle"]
        assert settled["effective_at"] == IN_SPRING + timedelta(days=2)
        then = Period().up_to(AsOf(Basis.EFFECTIVE, IN_SPRING + timedelta(days=1)))
        assert (await read(scene, of_association(scene, association), then)).closing[AccountKind.SERVED] == 0
        later = Period().up_to(AsOf(Basis.EFFECTIVE, IN_SPRING + timedelta(days=2)))
        assert (await read(scene, of_association(scene, association), later)).closing[AccountKind.SERVED] == 90

    async def test_a_reversal_undoes_from_its_own_time_on(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        scene.now = IN_SPRING + timedelta(days=5)
        await scene.handle(scene.validated(await scene.agree(association, contributor, 120), 90))
        (settled,) = [row for row in await self.transfers(scene) if row["kind"] == "settle"]
        # Written last, and in effect before: a backdated correction.
        scene.now = IN_SPRING + timedelta(days=3)
        async with scene.work() as work:
            await reverse_transfer(work, settled["id"], reason="Erreur de relevé")
        scope = of_association(scene, association)
        known = Period().up_to(AsOf(Basis.RECORDED, settled["recorded_at"]))
        assert (await read(scene, scope, known)).closing[AccountKind.SERVED] == 90
        assert (await read(scene, scope)).closing[AccountKind.SERVED] == 0
        effective = await read(scene, scope, Period(Basis.EFFECTIVE))
        assert effective.closing[AccountKind.SERVED] == 0
        # By effective time the correction comes first: that order has no bounds, and never had running balances.
        assert min(after[AccountKind.SERVED] for after in effective.after) == -90

    async def test_accounts_as_of_an_instant(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        scene.now = IN_SPRING + timedelta(days=5)
        await scene.agree(association, contributor, 120)
        path = f"/campaigns/{scene.campaign_id}/accounts"
        (reserved,) = [row for row in await self.transfers(scene) if row["kind"] == "reserve"]
        before = reserved["recorded_at"] - timedelta(microseconds=1)

        async def balances(**parameters: Any) -> dict[str, int]:
            asked = {"holder_id": str(association), **{name: at.isoformat() for name, at in parameters.items()}}
            answer = await officer.get(path, params=asked)
            assert answer.status_code == 200, answer.text
            return {item["kind"]: item["balance_minutes"] for item in answer.json()["items"]}

        assert await balances() == {"credit": 480, "held": 120}
        assert await balances(as_recorded_at=before) == {"credit": 600, "held": 0}
        assert await balances(as_recorded_at=reserved["recorded_at"]) == {"credit": 480, "held": 120}
        assert await balances(as_effective_at=scene.now - timedelta(seconds=1)) == {"credit": 600, "held": 0}
        assert await balances(as_effective_at=scene.now) == {"credit": 480, "held": 120}

    async def test_every_account_at_every_instant(self, scene: Scene) -> None:
        """Halving finds what counting finds."""
        association, contributor = await scene.fund(credit=6000)
        for minutes in range(15, 15 * 20, 15):
            await scene.agree(association, contributor, minutes)
        rows = await self.transfers(scene)
        accounts = [row["id"] for row in await scene.fetch("SELECT id FROM account")]
        async with scene.work() as work:
            for row in rows:
                found = await list_balances_at(work, scene.campaign_id, accounts, AsOf(Basis.RECORDED, row["recorded_at"]))
                counted = dict.fromkeys(accounts, 0)
                for other in rows:
                    if other["recorded_at"] <= row["recorded_at"]:
                        counted[other["from_account_id"]] -= other["minutes"]
                        counted[other["to_account_id"]] += other["minutes"]
                assert {account: balance for account, (_, balance) in found.items()} == counted

    async def test_refuses_unclear_questions(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        for path in (f"/campaigns/{scene.campaign_id}/statement", f"/campaigns/{scene.campaign_id}/accounts"):
            for asked, pointer in (
                ("as_recorded_at=2026-01-01T00:00:00Z&as_effective_at=2026-01-01T00:00:00Z", "query/as_effective_at"),
                ("as_recorded_at=2150-01-01T00:00:00Z", "query/as_recorded_at"),
                ("as_recorded_at=2026-01-01T00:00:00", "query/as_recorded_at"),
            ):
                answer = await officer.get(f"{path}?{asked}")
                assert (answer.status_code, answer.json()["errors"][0]["pointer"].lstrip("/")) == (422, pointer)

    async def transfers(self, scene: Scene) -> list[Any]:
        return await scene.fetch("SELECT * FROM transfer WHERE campaign_id = $1 ORDER BY recorded_at, id", scene.campaign_id)


class TestPages:
    async def test_follow_each_other_by_link(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        for _ in range(5):
            await scene.agree(association, contributor, 60)
        path = f"/campaigns/{scene.campaign_id}/statements/{association}"
        whole = (await officer.get(path)).json()
        assert whole["next"] is None
        lines: list[Any] = []
        page = await officer.get(f"{path}?limit=2")
        while True:
            lines += page.json()["lines"]
            assert page.json()["closing_minutes"] == whole["closing_minutes"]
            if "link" not in page.headers:
                break
            page = await officer.get(page.headers["link"].partition(">")[0].removeprefix("<").partition(scene.territory)[2])
        assert lines == whole["lines"]

    async def test_cost_what_their_lines_cost(self, scene: Scene, owner_url: Callable[[str], str]) -> None:
        """A page anywhere in a long statement reads its own lines and some looks to find them, and no more."""
        owner = await asyncpg.connect(owner_url("credits"))
        await owner.execute(fill_script(territory=scene.territory, transfers=20_000))
        await owner.close()
        of_one, of_all = Scope(CAMPAIGN, ASSOCIATION, ASSOCIATION_ACCOUNTS), Scope(CAMPAIGN, None, TOWN_ACCOUNTS)
        async with scene.work() as work:
            for scope, basis, place in itertools.product((of_one, of_all), Basis, (0, 9_000, 19_900)):
                after = BEGAN + place * STEP if place else None
                before = await self.rows_read(work.driver)
                page = await get_statement(work, scope, Period(basis), after=after, limit=5)
                assert [line.transfer.minutes for line in page.lines] == [15] * 5
                assert await self.rows_read(work.driver) - before < 250

    async def test_balances_in_effect_cost_what_is_out_of_step(self, scene: Scene, owner_url: Callable[[str], str]) -> None:
        owner = await asyncpg.connect(owner_url("credits"))
        await owner.execute(fill_script(territory=scene.territory, transfers=20_000))
        await owner.close()
        async with scene.work() as work:
            before = await self.rows_read(work.driver)
            found = await list_balances_at(work, CAMPAIGN, [CREDIT, HELD], AsOf(Basis.EFFECTIVE, BEGAN + 9_000 * STEP))
            # One of 101 is recorded one to five days late.
            assert found[CREDIT][0] > 9_000 + 20
            assert await self.rows_read(work.driver) - before < 250

    async def rows_read(self, driver: Any) -> int:
        """Rows of the ledger that this transaction fetched so far."""
        found: int = await driver.fetchval(
            "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_xact_user_tables"
            " WHERE relname IN ('transfer', 'entry')"
        )
        return found


class TestFiles:
    async def test_csv_opens_in_a_french_spreadsheet(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 120)
        await scene.handle(scene.validated(agreed, 90))
        second = await scene.agree(association, contributor, 60)
        await scene.handle(scene.cancelled(second, reason='=HYPERLINK("http://exemple.test")'))
        answer = await officer.get(f"/campaigns/{scene.campaign_id}/statements/{association}?format=csv")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.headers["content-disposition"].endswith('.csv"')
        assert answer.content.startswith(b"\xef\xbb\xbf")
        header, *rows = csv.reader(io.StringIO(answer.text.removeprefix("\ufeff")), delimiter=";")
        lines = [dict(zip(header, row, strict=True)) for row in rows]
        assert (lines[0]["Opération"], lines[-1]["Opération"]) == ("Solde d'ouverture", "Solde de clôture")
        credit, served = "Crédit disponible (minutes)", "Dépensé (minutes)"
        assert (lines[0][credit], lines[-1][credit], lines[-1][served]) == ("0", "510", "90")
        settled = next(line for line in lines if line["Opération"] == "Heures dépensées")
        assert (settled["Minutes"], settled["Heures"]) == ("90", "1,5")
        assert settled["Référence de la mission"] == str(agreed.mission_id)
        assert lines[-2]["Motif"].startswith("'=")

    async def test_pdf_says_whose_it_is_every_figure_and_every_mission(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        volunteer = new_id()
        for served, title in ((90, "Tenir la caisse"), (45, "Refaire l'affiche")):
            agreed = await scene.agree(association, contributor, 120)
            await scene.tell_mission(agreed, volunteer_id=volunteer, title=title)
            await scene.handle(scene.validated(agreed, served))
        base = f"/campaigns/{scene.campaign_id}"
        # Opening, then what was granted, set aside, served and given back, then closing: 10 h less 1 h 30 and 45 min.
        said = {
            f"statements/{association}": ("Les Petits Ateliers", str(association), "10 h", "7 h 45", "2 h 15", "45 min"),
            f"contributor-statements/{contributor}": ("Contributeur à titre personnel", str(contributor), "7 h 45", "2 h 15"),
            "statement": ("Toute la campagne", "Enveloppe", "7 h 45", "2 h 15"),
        }
        for path, words in said.items():
            answer = await officer.get(f"{base}/{path}?format=pdf&since=2026-01-01&until=2199-12-31")
            assert (answer.status_code, answer.headers["content-type"]) == (200, "application/pdf")
            text = pdf_text(answer.content)
            titles = ("Relevé de compte – Campagne", "Tenir la caisse", "Refaire l'affiche", "01/01/2026 – 31/12/2199")
            for word in (*titles, *words, "Solde d’ouverture", "Solde de clôture"):
                assert word in text, (path, word, text)

    async def test_pdf_names_who_brought_each_line_about(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        association, company = await scene.fund(credit=600)
        partner = await scene.record_actor(kind="company", name="Atelier Vert")
        agreed = await scene.agree(association, company, 120)
        await scene.tell_mission(agreed, volunteer_id=(volunteer := new_id()))
        async with scene.work(Caller(scene.territory, "atelier", partner, roles=frozenset({Role.COMPANY}))) as work:
            await pledge_hours(work, scene.campaign_id, ref="don", contributor_id=partner, minutes=45, note="")
        scene.now = datetime(2027, 2, 1, 9, 0, tzinfo=UTC)
        async with scene.work(Caller.system(scene.territory)) as work:
            await expire_due_lots(work)
        base = f"/campaigns/{scene.campaign_id}"
        granted = pdf_text((await officer.get(f"{base}/statements/{association}?format=pdf")).content)
        for said in (f"par {scene.officer.member_id}", "par Métis", str(volunteer)):
            assert said.replace(" ", "") in granted.replace(" ", ""), (said, granted)
        assert "Atelier Vert" in pdf_text((await officer.get(f"{base}/contributor-statements/{partner}?format=pdf")).content)
        whole = pdf_text((await officer.get(f"{base}/statement?format=pdf")).content)
        # A grant is about an association, a promise about who gave it.
        assert "Mission, ou titulaire" in whole
        assert re.search(r"Dotation n° [0-9a-f]{8} Les Petits Ateliers", whole), whole
        assert re.search(r"Promesse n° [0-9a-f]{8} Atelier Vert par Atelier Vert", whole), whole

    async def test_pdf_links_what_was_undone(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        association, _ = await scene.fund(credit=600)
        (grant,) = await scene.fetch("SELECT id, recorded_at FROM transfer WHERE kind = 'grant'")
        undone = []
        for minutes in (90, 510):
            scene.now += timedelta(days=1)
            async with scene.work() as work:
                undone.append((await reverse_transfer(work, grant["id"], reason="Une erreur", minutes=minutes)).id)
            path = f"/campaigns/{scene.campaign_id}/statements/{association}"
            text = pdf_text((await officer.get(path, params={"format": "pdf"})).content)
            said = "annulée" if len(undone) == 2 else "annulée en partie"
            assert f"n° {short(grant['id'])} {said} par {', '.join(f'n° {short(id)}' for id in undone)}" in text, text
            assert f"n° {short(undone[-1])} annule n° {short(grant['id'])}" in text
        as_it_stood = await officer.get(path, params={"format": "pdf", "as_recorded_at": grant["recorded_at"].isoformat()})
        assert "annulée" not in pdf_text(as_it_stood.content)

    async def test_pdf_says_both_dates_and_which_one_it_goes_by(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 120)
        scene.now += timedelta(days=1)
        await scene.handle(scene.validated(agreed, 90))
        path = f"/campaigns/{scene.campaign_id}/statements/{association}"
        text = pdf_text((await officer.get(path, params={"format": "pdf"})).content)
        effective, recorded = f"{scene.now:%d/%m/%Y}", [f"{at.astimezone(LOCAL_ZONE):%d/%m/%Y}" for at in await instants(scene)]
        assert "Ordre et période par date d’enregistrement" in text
        assert f"{effective} enregistrée le {recorded[-1]}" in text, text
        at = {"format": "pdf", "as_effective_at": scene.now.isoformat()}
        assert "Ordre et période par date d’effet" in pdf_text((await officer.get(path, params=at)).content)

    async def test_pdf_closes_with_the_accounts_own_balances(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        await scene.handle(scene.validated(await scene.agree(association, contributor, 120), 90))
        await scene.agree(association, contributor, 75)
        answer = await officer.get(f"/campaigns/{scene.campaign_id}/statements/{association}?format=pdf")
        closing = pdf_text(answer.content).partition("Solde de clôture ")[2]
        assert closing.startswith("7 h 15 1 h 15 1 h 30 "), closing

    async def test_never_leave_lines_out(
        self, officer: httpx2.AsyncClient, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        association, contributor = await scene.fund(credit=600)
        await scene.agree(association, contributor, 60)
        path = f"/campaigns/{scene.campaign_id}/statements/{association}?format=csv"
        monkeypatch.setitem(MOST_LINES, "csv", 2)
        assert (await officer.get(path)).status_code == 200
        monkeypatch.setitem(MOST_LINES, "csv", 1)
        refused = await officer.get(path)
        assert (refused.status_code, refused.json()["type"].rpartition("/")[2]) == (409, "statement-too-long")

    async def test_are_as_secret_as_the_screen(
        self,
        app: FastAPI,
        scene: Scene,
        territory: str,
    ) -> None:
        association, contributor = await scene.fund(credit=600)
        base = f"/campaigns/{scene.campaign_id}"
        async with client_for(app, make_caller(territory, Role.ASSOCIATION, actor_id=association)) as own:
            assert (await own.get(f"{base}/statements/{association}?format=csv")).status_code == 200
            assert (await own.get(f"{base}/statement?format=csv")).status_code == 403
            assert (await own.get(f"{base}/contributor-statements/{contributor}?format=pdf")).status_code == 403
        async with client_for(app, make_caller(territory, Role.VOLUNTEER, member_id=contributor)) as citizen:
            assert (await citizen.get(f"{base}/contributor-statements/{contributor}?format=pdf")).status_code == 200
        async with client_for(app, make_caller(territory, Role.COMPANY, actor_id=new_id())) as stranger:
            assert (await stranger.get(f"{base}/contributor-statements/{contributor}?format=csv")).status_code == 403

    async def test_an_employee_does_not_read_the_companys_books(self, app: FastAPI, scene: Scene, territory: str) -> None:
        association, company = await scene.fund(credit=600)
        await scene.agree(association, company, 60)
        base = f"/campaigns/{scene.campaign_id}"
        async with client_for(app, make_caller(territory, Role.COMPANY, actor_id=company, member_id=new_id())) as manager:
            assert (await manager.get(f"{base}/contributor-statements/{company}")).status_code == 200
            assert (await manager.get(f"{base}/holds")).json()["items"]
        async with client_for(app, make_caller(territory, Role.VOLUNTEER, actor_id=company, member_id=new_id())) as employee:
            assert (await employee.get(f"{base}/contributor-statements/{company}")).status_code == 403
            for path in ("holds", "transfers", "pledges", "refusals"):
                assert (await employee.get(f"{base}/{path}")).json()["items"] == []

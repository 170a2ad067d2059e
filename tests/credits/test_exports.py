"""What leaves the ledger: Beancount, open data, classes 86 and 87; each checked by its own rules."""

import csv
import io
import re
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx2
import pytest
from beancount import loader
from beancount.core import realization
from beancount.core.data import Open, Transaction
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from kernel.auth import Role
from kernel.events.matching import MissionProposed
from kernel.events.registry import ActorRecorded
from kernel.ids import new_id
from services.credits.domain.campaigns import ExpiryRule
from services.credits.domain.inkind import ServedMission, build_in_kind_entries, share_of_valuation
from services.credits.domain.ledger import AccountKind
from services.credits.domain.scdl import COLUMNS, euros, is_siret
from services.credits.schemas.beancount import beancount_account
from services.credits.use_cases.reversals import reverse_transfer
from tests.builders.credits import IN_SPRING, Scene
from tests.builders.documents import make_pair, serve_mission, value
from tests.credits.test_sequences import Player, operations, some
from tests.support.clients import client_for, make_caller

TOWN_SIRET = "21920071800019"  # of the right form and sum; nobody's on purpose


@pytest.fixture
async def officer(app: FastAPI, territory: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_for(app, make_caller(territory, Role.OFFICER)) as client:
        yield client


async def get_beancount(officer: httpx2.AsyncClient, scene: Scene, *, limit: int = 10_000) -> str:
    """All pages, one after the other."""
    answer = await officer.get(f"/campaigns/{scene.campaign_id}/beancount?limit={limit}")
    parts = []
    while True:
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("text/x-beancount")
        parts.append(answer.text)
        if "link" not in answer.headers:
            return "".join(parts)
        path = answer.headers["link"].partition(">")[0].removeprefix("<")
        answer = await officer.get(path.partition(scene.territory)[2])


def load(text: str) -> tuple[dict[str, int], list[Any], list[Any]]:
    """Beancount's own balances by account, its transactions, and its errors."""
    entries, errors, _ = loader.load_string(text)
    root = realization.realize(entries)  # type: ignore[no-untyped-call]
    balances = {
        account.account: int(position.units.number)
        for account in realization.iter_children(root)  # type: ignore[no-untyped-call]
        for position in account.balance
        if isinstance(position.units.number, Decimal)
    }
    return balances, [entry for entry in entries if isinstance(entry, Transaction)], errors


class TestBeancount:
    @some
    @given(rule=st.sampled_from(ExpiryRule), sequence=st.lists(operations, min_size=4, max_size=20), limit=st.integers(1, 30))
    @pytest.mark.timeout(300)
    async def test_agrees_with_the_ledger(
        self, officer: httpx2.AsyncClient, scene: Scene, rule: ExpiryRule, sequence: list[tuple[Any, ...]], limit: int
    ) -> None:
        player = await Player(scene).start(rule)
        for name, *arguments in sequence:
            await player.play(name, *arguments)
        balances, transactions, errors = load(await get_beancount(officer, scene, limit=limit))
        assert errors == []
        rows = await scene.fetch(
            "SELECT kind, holder_id, sum(balance_minutes)::bigint AS minutes FROM account WHERE campaign_id = $1 GROUP BY 1, 2",
            scene.campaign_id,
        )
        ours = {
            beancount_account(row["kind"], campaign_id=scene.campaign_id, holder_id=row["holder_id"]): row["minutes"]
            for row in rows
            if row["minutes"]
        }
        assert balances == ours
        transfers = await scene.fetch("SELECT id FROM transfer WHERE campaign_id = $1", scene.campaign_id)
        assert {entry.meta["id"] for entry in transactions} == {str(row["id"]) for row in transfers}
        await self.the_other_exports_agree(officer, scene, player)

    async def the_other_exports_agree(self, officer: httpx2.AsyncClient, scene: Scene, player: Player) -> None:
        """The same campaign: served minutes in classes 86 and 87, granted ones as open data (an hour stands for 60 €)."""
        base = f"/campaigns/{scene.campaign_id}"
        for association in player.associations:
            found = (await officer.get(f"{base}/statements/{association}/in-kind")).json()
            assert found["served_minutes"] == await scene.balance(AccountKind.SERVED, association)
            signs = {"862": 1, "864": 1, "871": -1, "875": -1}
            assert sum(signs[entry["account"]] * entry["minutes"] for entry in found["entries"]) == 0
        rows = (await officer.get(f"{base}/scdl?siret={TOWN_SIRET}")).json()["rows"]
        granted = await scene.fetch(
            "SELECT coalesce(sum(CASE WHEN transfer.reverses IS NULL THEN transfer.minutes ELSE -transfer.minutes END), 0)::bigint"
            " AS minutes FROM transfer LEFT JOIN transfer AS original ON original.id = transfer.reverses"
            " WHERE transfer.campaign_id = $1 AND coalesce(original.kind, transfer.kind) = 'grant'",
            scene.campaign_id,
        )
        assert sum(Decimal(row["montant"]) for row in rows) == granted[0]["minutes"]

    async def test_tells_who_why_and_what_belongs_together(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 120)
        await scene.handle(scene.validated(agreed, 90), actorid="la-presidente")
        second = await scene.agree(association, contributor, 60)
        await scene.handle(scene.cancelled(second, reason='Le local "B\\C"\nest fermé'))
        _, transactions, errors = load(await get_beancount(officer, scene))
        assert errors == []
        settled = next(entry for entry in transactions if entry.meta["kind"] == "settle")
        assert (settled.meta["who"], settled.payee) == ("la-presidente", "Heures dépensées")
        assert f"mission-{agreed.mission_id}" in settled.links
        assert any(entry.narration == 'Le local "B\\C" est fermé' for entry in transactions)

    @pytest.mark.parametrize(
        ("found", "altered"),
        [(r"  (Assets:Held\S+)  120 MIN", r"  \1  121 MIN"), (r"balance (Assets:Credit\S+) 480 MIN", r"balance \1 481 MIN")],
    )
    async def test_an_altered_file_fails(self, officer: httpx2.AsyncClient, scene: Scene, found: str, altered: str) -> None:
        association, contributor = await scene.fund(credit=600)
        await scene.agree(association, contributor, 120)
        text = await get_beancount(officer, scene)
        assert load(text)[2] == []
        changed = re.sub(found, altered, text, count=1)
        assert changed != text
        assert load(changed)[2] != []

    async def test_a_lost_transaction_fails(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        await scene.agree(association, contributor, 120)
        text = await get_beancount(officer, scene)
        start = text.index('* "Réserve"') - len("2026-04-01 ")
        lost = text[:start] + text[text.index("\n\n", start) :]
        assert load(lost)[2] != []

    async def test_as_of_an_earlier_record(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        await scene.agree(association, contributor, 120)
        rows = await scene.fetch("SELECT recorded_at FROM transfer WHERE kind = 'grant'")
        at = rows[0]["recorded_at"].isoformat().replace("+", "%2B")
        text = (await officer.get(f"/campaigns/{scene.campaign_id}/beancount?as_recorded_at={at}")).text
        balances, _, errors = load(text)
        assert errors == []
        credit = beancount_account("credit", campaign_id=scene.campaign_id, holder_id=association)
        assert balances[credit] == 600
        assert "Held" not in text

    async def test_of_nothing_is_a_file_without_errors(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        entries, errors, _ = loader.load_string(await get_beancount(officer, scene))
        assert errors == []
        assert not [entry for entry in entries if isinstance(entry, Open)]

    async def test_is_for_town_and_auditor(self, app: FastAPI, scene: Scene, territory: str) -> None:
        for role, status in ((Role.AUDITOR, 200), (Role.ASSOCIATION, 403), (Role.PARTNER, 403)):
            async with client_for(app, make_caller(territory, role)) as client:
                assert (await client.get(f"/campaigns/{scene.campaign_id}/beancount")).status_code == status


# ---- SCDL ----------------------------------------------------------------------------------------------------------

# The schema's own rules (schema.data.gouv.fr, scdl/subventions 2.1.1; field by field as its documentation says them, schema.md
# in github.com/betagouv/SCDL-Subvention-DataSubvention): name, and what a cell may hold.
SCDL_RULES = {
    "nomAttribuant": r".+",
    "idAttribuant": r"\d{14}",
    "dateConvention": r"\d{4}-\d{2}-\d{2}",
    "referenceDecision": r".*",
    "nomBeneficiaire": r".+",
    "idBeneficiaire": r"(\d{14})?",
    "rnaBeneficiaire": r"(W\d{9})?",
    "objet": r".{1,256}",
    "montant": r"\d+(\.\d+)?",
    "nature": "aide en numéraire|aide en nature|aide en numéraire;aide en nature|aide en nature;aide en numéraire",
    "conditionsVersement": r".{1,256}",
    "datesPeriodeVersement": r"[0-9]{4}-[0-9]{2}-[0-9]{2}(/[0-9]{4}-[0-9]{2}-[0-9]{2})?",
    "idRAE": r".{0,5}",
    "notificationUE": "oui|non",
    "pourcentageSubvention": r"0\.(0[1-9]|[1-9]\d?)\d*|1(\.0+)?",
    "dispositifAide": r".*",
}


async def know(scene: Scene, association: UUID, *, name: str, siret: str | None = None, rna: str | None = None) -> None:
    await scene.handle(
        ActorRecorded(
            actor_id=association,
            version=2,
            ref="a",
            kind="association",
            name=name,
            commune="92071",
            fields_of_action=["culture"],
            archived=False,
            siret=siret,
            rna=rna,
        )
    )


class TestScdl:
    async def test_holds_the_schemas_rules(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        await scene.pledge(6000)
        first, second, third = [await scene.admit(entitled_minutes=minutes) for minutes in (1275, 600, 600)]
        await scene.sign()
        await know(scene, first, name='Les "Petits", Ateliers', siret="12345678200010")
        await know(scene, second, name="Lire ensemble", rna="W921234567")
        await know(scene, third, name="Anciens de Corse", rna="W2A1234567")
        path = f"/campaigns/{scene.campaign_id}/scdl?siret={TOWN_SIRET}&name=Ville%20de%20Sceaux"
        answer = await officer.get(f"{path}&format=csv")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/csv; charset=utf-8")
        header, *rows = csv.reader(io.StringIO(answer.text))
        assert tuple(header) == COLUMNS == tuple(SCDL_RULES)
        for row in rows:
            for column, cell in zip(header, row, strict=True):
                assert re.fullmatch(SCDL_RULES[column], cell), (column, cell)
        aids = {row[4]: dict(zip(header, row, strict=True)) for row in rows}
        # With the scene's rules, an hour stands for 60 €: a minute for one.
        assert aids['Les "Petits", Ateliers']["montant"] == "1275.00"
        assert aids["Lire ensemble"]["nature"] == "aide en nature"
        assert aids["Lire ensemble"]["datesPeriodeVersement"] == "2026-01-01/2026-12-31"
        remarks = (await officer.get(path)).json()["remarks"]
        assert [remark.partition(" :")[0] for remark in remarks] == ["Anciens de Corse"]

    async def test_counts_what_the_ledger_still_grants(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        await scene.pledge(6000)
        kept, undone = [await scene.admit(entitled_minutes=600) for _ in range(2)]
        await scene.sign()
        rows = await scene.fetch(
            "SELECT transfer.id FROM transfer JOIN account ON account.id = to_account_id WHERE transfer.kind = 'grant'"
            " AND holder_id = $1",
            undone,
        )
        async with scene.work() as work:
            await reverse_transfer(work, rows[0]["id"], reason="Dotation signée par erreur")
        found = (await officer.get(f"/campaigns/{scene.campaign_id}/scdl?siret={TOWN_SIRET}")).json()["rows"]
        assert [row["montant"] for row in found] == ["600.00"]
        grant = await scene.fetch("SELECT id FROM signed_grant WHERE association_id = $1", kept)
        assert found[0]["referenceDecision"].endswith(str(grant[0]["id"]))

    async def test_names_a_wrong_siret(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        for wrong in ("", "123", "21920071800018", "2192007180001X"):
            answer = await officer.get(f"/campaigns/{scene.campaign_id}/scdl?siret={wrong}")
            assert (answer.status_code, answer.json()["errors"][0]["pointer"].rpartition("/")[2]) == (422, "siret")

    def test_rounds_to_the_cent(self) -> None:
        assert euros(1275, hour_value_cents=4500) == "956.25"
        assert euros(1, hour_value_cents=4510) == "0.75"
        assert euros(1, hour_value_cents=4530) == "0.76"
        assert is_siret(TOWN_SIRET)


# ---- Classes 86 and 87 ---------------------------------------------------------------------------------------------


def make_served(
    *, before: int = 0, until: int = 60, total: int = 60, by_organisation: bool = True, mission_id: UUID | None = None
) -> ServedMission:
    return ServedMission(
        mission_id or new_id(), "Refaire le site", None, new_id(), None, by_organisation, date(2026, 5, 4), before, until, total
    )


class TestInKindEntries:
    def test_a_companys_hours_are_a_service_and_a_citizens_are_voluntary_work(self) -> None:
        entries = list(build_in_kind_entries([make_served(), make_served(by_organisation=False)], valued_cents_by_mission={}))
        assert [entry.account for entry in entries] == ["862", "871", "864", "875"]

    def test_bear_no_amount_that_nobody_gave(self) -> None:
        for entry in build_in_kind_entries([make_served()], valued_cents_by_mission={}):
            assert (entry.debit_cents, entry.credit_cents, entry.minutes) == (None, None, 60)

    def test_balance_where_the_donor_gave_one(self) -> None:
        mission = make_served()
        debit, credit = build_in_kind_entries([mission], valued_cents_by_mission={mission.mission_id: 12_345})
        assert (debit.debit_cents, debit.credit_cents) == (12_345, None)
        assert (credit.debit_cents, credit.credit_cents) == (None, 12_345)

    def test_turn_round_for_what_was_undone(self) -> None:
        undone = make_served(before=60, until=0, total=0)
        entries = list(build_in_kind_entries([undone], valued_cents_by_mission={undone.mission_id: 100}))
        assert [(entry.account, entry.minutes, entry.debit_cents) for entry in entries] == [("871", 60, None), ("862", 60, None)]

    @given(cents=st.integers(0, 10**9), parts=st.lists(st.integers(0, 10**5), min_size=1, max_size=6))
    def test_of_several_years_add_up_to_the_cent(self, cents: int, parts: list[int]) -> None:
        total = sum(parts)
        shares, so_far = [], 0
        for part in parts:
            shares.append(share_of_valuation(make_served(before=so_far, until=so_far + part, total=total), cents))
            so_far += part
        assert sum(share or 0 for share in shares) == (cents if total else 0)


class TestInKind:
    async def test_comes_out_of_the_served_minutes(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        company = await scene.record_actor(kind="company", name="Pixelune")
        citizen = new_id()
        await scene.pledge(6000, contributor_id=company)
        await scene.pledge(6000, contributor_id=citizen)
        association = await scene.admit(entitled_minutes=6000)
        await scene.sign()
        first = await scene.agree(association, company, 120)
        proposed = MissionProposed(
            mission_id=first.mission_id,
            need_id=new_id(),
            offer_id=new_id(),
            campaign_id=scene.campaign_id,
            association_id=association,
            volunteer_id=new_id(),
            contributor_id=company,
            company_id=company,
            title="Refaire le site",
            minutes=120,
            reasons=[],
        )
        await scene.handle(proposed)
        await scene.handle(scene.validated(first, 90))
        scene.now = datetime(2027, 1, 10, tzinfo=UTC)
        await scene.handle(scene.validated(await self.agreed_before(scene, association, citizen), 45))
        path = f"/campaigns/{scene.campaign_id}/statements/{association}/in-kind"
        whole = (await officer.get(path)).json()
        assert (whole["served_minutes"], whole["unvalued_minutes"]) == (135, 135)
        assert [(entry["account"], entry["minutes"]) for entry in whole["entries"]] == [
            ("862", 90), ("871", 90), ("864", 45), ("875", 45),
        ]  # fmt: skip
        assert await scene.balance(AccountKind.SERVED, association) == whole["served_minutes"]
        in_2026 = await officer.get(f"{path}?since=2026-01-01&until=2026-12-31&format=csv")
        assert in_2026.content.startswith(b"\xef\xbb\xbf")
        rows = list(csv.DictReader(io.StringIO(in_2026.text.removeprefix("\ufeff")), delimiter=";"))
        assert [(row["Compte"], row["Débit"], row["Crédit"], row["Heures"]) for row in rows] == [
            ("862", "", "", "1,5"), ("871", "", "", "1,5"),
        ]  # fmt: skip
        assert rows[0]["Nom du contributeur"] == "Pixelune"
        assert rows[0]["Valorisation"] == "à demander"

    async def agreed_before(self, scene: Scene, association: UUID, citizen: UUID) -> Any:
        later, scene.now = scene.now, IN_SPRING + timedelta(days=1)
        agreed = await scene.agree(association, citizen, 60)
        scene.now = later
        return agreed

    async def test_amounts_are_the_donors_own_and_the_towns_where_shared(
        self, app: FastAPI, officer: httpx2.AsyncClient, scene: Scene, territory: str
    ) -> None:
        pair = await make_pair(scene)
        secret, shared, _ = [await serve_mission(scene, pair, minutes=90) for _ in range(3)]
        await value(scene, pair, secret)  # 90 minutes at 40 €
        await value(scene, pair, shared, share=True)
        path = f"/campaigns/{scene.campaign_id}/statements/{pair.association_id}/in-kind"

        async def amounts(client: httpx2.AsyncClient) -> tuple[int, int, int]:
            found = (await client.get(path)).json()
            debits = sum(entry["debit_cents"] or 0 for entry in found["entries"])
            return debits, sum(entry["credit_cents"] or 0 for entry in found["entries"]), found["unvalued_minutes"]

        async with client_for(app, make_caller(territory, Role.ASSOCIATION, actor_id=pair.association_id)) as own:
            assert await amounts(own) == (12_000, 12_000, 90)
        assert await amounts(officer) == (6_000, 6_000, 180)
        rows = await scene.fetch("SELECT id FROM transfer WHERE kind = 'settle' AND mission_id = $1", shared)
        async with scene.work() as work:
            await reverse_transfer(work, rows[0]["id"], reason="Erreur de relevé")
        assert await amounts(officer) == (0, 0, 180)

    async def test_is_the_associations_own(self, app: FastAPI, scene: Scene, territory: str) -> None:
        association, _ = await scene.fund(credit=600)
        path = f"/campaigns/{scene.campaign_id}/statements/{association}/in-kind"
        async with client_for(app, make_caller(territory, Role.ASSOCIATION, actor_id=association)) as own:
            assert (await own.get(path)).json()["entries"] == []
            assert (await own.get(f"{path}?since=2026-02-01&until=2026-01-01")).status_code == 422
        async with client_for(app, make_caller(territory, Role.ASSOCIATION, actor_id=new_id())) as stranger:
            assert (await stranger.get(path)).status_code == 403

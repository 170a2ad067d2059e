"""Conventions, valuations and receipts over HTTP: who sees and does what, the shapes, the files."""

import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from uuid import UUID

import httpx2
import pypdf
import pytest
from fastapi import FastAPI

from kernel.auth import Role
from kernel.clock import local_date, utc_now
from kernel.ids import new_id
from services.credits.domain.conventions import Side
from tests.builders.credits import Scene
from tests.builders.documents import (
    SIREN,
    Pair,
    agree_mission,
    conclude,
    issue,
    make_pair,
    receipted_mission,
    serve_mission,
    value,
)
from tests.support.clients import client_for, make_caller

PARTY = {
    "legal_form": "association loi de 1901",
    "address": "3 rue des Écoles, 92330 Sceaux",
    "representative_function": "présidente",
    "siren": SIREN,
}
TERMS = {"tasks": "Refaire le site", "calendar": "les mardis", "place": "au siège", "starts_on": "2026-04-07"}
VALUATION = {
    "from_day": "2026-03-01",
    "to_day": "2026-03-31",
    "lines": [{"minutes": 90, "hourly_cost_cents": 4000, "grade": "technicienne"}],
    "share_with_town": False,
}
Client = httpx2.AsyncClient
SignIn = Callable[..., Awaitable[Client]]


@pytest.fixture
def app(make_app: Callable[..., FastAPI]) -> FastAPI:
    return make_app("credits")


@pytest.fixture
async def pair(scene: Scene) -> Pair:
    return await make_pair(scene)


@pytest.fixture
async def sign_in(app: FastAPI, territory: str) -> AsyncIterator[SignIn]:
    """A function: a client of somebody in this territory."""
    async with AsyncExitStack() as stack:

        async def make(*roles: Role, actor_id: UUID | None = None, member_id: UUID | None = None) -> Client:
            caller = make_caller(territory, *roles, actor_id=actor_id, member_id=member_id)
            return await stack.enter_async_context(client_for(app, caller))

        yield make


@pytest.fixture
async def officer(sign_in: SignIn) -> Client:
    return await sign_in(Role.OFFICER)


@pytest.fixture
async def association(sign_in: SignIn, pair: Pair) -> Client:
    return await sign_in(Role.ASSOCIATION, actor_id=pair.association_id)


@pytest.fixture
async def company(sign_in: SignIn, pair: Pair) -> Client:
    return await sign_in(Role.COMPANY, actor_id=pair.company_id)


@pytest.fixture
async def stranger(sign_in: SignIn) -> Client:
    return await sign_in(Role.ASSOCIATION, Role.COMPANY, Role.VOLUNTEER, actor_id=new_id(), member_id=new_id())


def text_of(answer: httpx2.Response) -> str:
    """The words of a PDF, spaces evened out."""
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/pdf"), answer.text
    pages = pypdf.PdfReader(io.BytesIO(answer.content)).pages
    return " ".join(" ".join(page.extract_text().split()) for page in pages)


def code_of(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition("/")[2]


class TestParties:
    async def test_are_written_once_and_read_back(self, association: Client, pair: Pair) -> None:
        path = f"/parties/{pair.association_id}"
        changed = await association.put(path, json=PARTY | {"address": "5 rue Neuve"})
        assert (changed.status_code, changed.json()["outcome"], changed.headers["etag"]) == (200, "changed", '"2"')
        again = await association.put(path, json=PARTY | {"address": "5 rue Neuve"})
        assert again.json()["outcome"] == "unchanged"
        assert (await association.get(path)).json()["address"] == "5 rue Neuve"

    async def test_of_the_town_are_the_towns(self, officer: Client, association: Client) -> None:
        assert (await officer.put("/parties/town", json=PARTY | {"legal_form": "commune"})).status_code == 200
        assert (await association.get("/parties/town")).json()["legal_form"] == "commune"
        assert (await association.put("/parties/town", json=PARTY)).status_code == 403

    async def test_are_not_for_strangers(self, stranger: Client, officer: Client, pair: Pair) -> None:
        assert (await stranger.get(f"/parties/{pair.association_id}")).status_code == 403
        assert (await stranger.put(f"/parties/{pair.association_id}", json=PARTY)).status_code == 403
        assert (await officer.get(f"/parties/{new_id()}")).status_code == 404

    async def test_name_the_faulty_field(self, officer: Client) -> None:
        answer = await officer.put(f"/parties/{new_id()}", json=PARTY | {"siren": "123456789"})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/siren")


class TestConventions:
    async def test_from_the_first_draft_to_the_third_acceptance(
        self, scene: Scene, pair: Pair, officer: Client, association: Client, company: Client
    ) -> None:
        mission_id = (await agree_mission(scene, pair)).mission_id
        path = f"/conventions/{mission_id}"
        drafted = await association.put(path, json=TERMS)
        assert (drafted.status_code, drafted.json()["outcome"]) == (201, "created"), drafted.text
        assert (await company.put(path, json=TERMS)).json()["outcome"] == "unchanged"
        for client, side in ((association, "association"), (officer, "town"), (company, "contributor"), (company, "contributor")):
            accepted = await client.post(f"{path}/versions/1/acceptances", json={"side": side})
            assert accepted.status_code == 200, accepted.text
        assert accepted.json()["is_concluded"] is True
        found = (await officer.get(path)).json()
        assert (found["state"], found["concluded_version"], len(found["versions"])) == ("concluded", 1, 1)
        assert (await officer.get(f"{path}/versions/1")).json() == found["versions"][0]

    async def test_old_versions_stay_readable_as_paper(self, scene: Scene, pair: Pair, officer: Client) -> None:
        mission_id = (await agree_mission(scene, pair)).mission_id
        await conclude(scene, pair, mission_id)
        path = f"/conventions/{mission_id}"
        before = await officer.get(f"{path}/versions/1/pdf")
        assert (await officer.put(path, json=TERMS | {"planned_value_cents": 120_000})).json()["version"] == 2
        assert (await officer.get(f"{path}/versions/1/pdf")).content == before.content
        first, second = text_of(before), text_of(await officer.get(f"{path}/versions/2/pdf"))
        assert "Convention tripartite de mise à disposition de compétences" in first
        assert "Refonte du site" in first
        assert "Pixelune" in first
        assert "Convention conclue le 1er avril 2026" in first
        assert "aucune n’est estimée à sa place" in first.replace("'", "’")
        assert "mille deux cents euros" in second
        assert "Projet : cette version" in second

    async def test_missing_ones_are_found(self, scene: Scene, pair: Pair, officer: Client, association: Client) -> None:
        first, second, third = [(await agree_mission(scene, pair)).mission_id for _ in range(3)]
        await conclude(scene, pair, first)
        await conclude(scene, pair, second, sides=(Side.TOWN,))
        path = f"/campaigns/{scene.campaign_id}/conventions"
        for state, mission_id in (("concluded", first), ("awaiting", second), ("missing", third)):
            items = (await officer.get(f"{path}?state={state}")).json()["items"]
            assert [(item["mission_id"], item["state"]) for item in items] == [(str(mission_id), state)]
        assert len((await association.get(path)).json()["items"]) == 3

    async def test_are_for_their_sides(self, scene: Scene, pair: Pair, stranger: Client, officer: Client) -> None:
        mission_id = (await agree_mission(scene, pair)).mission_id
        await conclude(scene, pair, mission_id, sides=())
        path = f"/conventions/{mission_id}"
        for suffix in ("", "/versions/1", "/versions/1/pdf"):
            assert (await stranger.get(path + suffix)).status_code == 403
        assert (await stranger.put(path, json=TERMS)).status_code == 403
        assert (await stranger.get(f"/campaigns/{scene.campaign_id}/conventions")).json()["items"] == []
        accepted = await officer.post(f"{path}/versions/1/acceptances", json={"side": "association"})
        assert accepted.status_code == 403
        assert (await officer.get(f"{path}/versions/2/pdf")).status_code == 404
        assert (await officer.get(f"/conventions/{new_id()}")).status_code == 404

    async def test_who_serves_the_mission_reads_its_convention(self, scene: Scene, pair: Pair, sign_in: SignIn) -> None:
        mission_id = (await agree_mission(scene, pair)).mission_id
        await conclude(scene, pair, mission_id)
        (mission,) = await scene.fetch("SELECT volunteer_id FROM mission WHERE id = $1", mission_id)
        volunteer: Client = await sign_in(Role.VOLUNTEER, actor_id=pair.company_id, member_id=mission["volunteer_id"])
        assert (await volunteer.get(f"/conventions/{mission_id}")).json()["state"] == "concluded"


class TestValuations:
    async def test_are_the_donors(self, scene: Scene, pair: Pair, company: Client, association: Client) -> None:
        mission_id = await serve_mission(scene, pair)
        path = f"/valuations/{mission_id}"
        assert (await association.put(path, json=VALUATION)).status_code == 403
        assert (await company.get(path)).status_code == 404
        created = await company.put(path, json=VALUATION)
        assert (created.status_code, created.json()["outcome"]) == (201, "created"), created.text
        version = created.json()["versions"][0]
        assert (version["amount_cents"], version["lines"][0]["hourly_cost_cents"]) == (6000, 4000)
        assert (await company.put(path, json=VALUATION)).json()["outcome"] == "unchanged"
        more = await company.put(path, json=VALUATION | {"lines": [{"minutes": 91, "hourly_cost_cents": 1}], "reason": "Oubli"})
        assert code_of(more) == (409, "more-than-served")

    async def test_each_sees_what_concerns_them(
        self, scene: Scene, pair: Pair, officer: Client, association: Client, company: Client, stranger: Client
    ) -> None:
        mission_id = await serve_mission(scene, pair)
        await value(scene, pair, mission_id)
        path = f"/valuations/{mission_id}"

        async def seen(client: Client) -> tuple[int | None, int | None]:
            version = (await client.get(path)).json()["versions"][0]
            return version["amount_cents"], version["lines"][0]["hourly_cost_cents"] if version["lines"] else None

        assert [await seen(client) for client in (company, association, officer)] == [(6000, 4000), (6000, None), (None, None)]
        shared = await company.put(f"{path}/consent", json={"share_with_town": True})
        assert (shared.status_code, shared.json()["outcome"]) == (200, "changed")
        assert await seen(officer) == (6000, 4000)
        assert (await stranger.get(path)).status_code == 403
        listed = f"/campaigns/{scene.campaign_id}/valuations"
        assert [len((await client.get(listed)).json()["items"]) for client in (officer, association, stranger)] == [1, 1, 0]

    async def test_a_mission_without_one_has_no_figure(self, scene: Scene, pair: Pair, officer: Client) -> None:
        mission_id = await serve_mission(scene, pair)
        assert (await officer.get(f"/campaigns/{scene.campaign_id}/valuations")).json()["items"] == []
        assert (await officer.get(f"/valuations/{mission_id}")).status_code == 404

    async def test_the_law_is_published_with_its_source(self, stranger: Client) -> None:
        laws = {law["year"]: law for law in (await stranger.get("/patronage-laws")).json()["items"]}
        assert laws[2026]["monthly_ceiling_cents"] == 400_500
        assert "238 bis" in laws[2026]["source"]

    async def test_a_reduction_is_worked_out_for_the_donor_and_says_that_it_is_one(
        self, scene: Scene, pair: Pair, company: Client, association: Client
    ) -> None:
        await receipted_mission(scene, pair)
        path = f"/tax-reductions/{pair.company_id}?year=2026&turnover_cents=0"
        found = (await company.get(path)).json()
        assert (found["given_cents"], found["reduction_cents"], found["estimate"]) == (6000, 3600, True)
        assert (await association.get(path)).status_code == 403
        assert code_of(await company.get(path.replace("2026", "2100"))) == (409, "law-unknown")


class TestReceipts:
    async def test_are_issued_replaced_and_read(self, scene: Scene, pair: Pair, association: Client, company: Client) -> None:
        mission_id = await serve_mission(scene, pair)
        await value(scene, pair, mission_id)
        ids = {"beneficiary_id": str(pair.association_id), "donor_id": str(pair.company_id)}
        body = ids | {"mission_ids": [str(mission_id)], "certified": True}
        first = await association.post("/receipts", json=body)
        year = local_date(utc_now()).year
        assert (first.status_code, first.json()["number"], first.json()["amount_cents"]) == (201, 1, 6000), first.text
        assert code_of(await association.post("/receipts", json=body)) == (409, "already-receipted")
        second = await association.post(
            f"/receipts/{first.json()['id']}/replacement",
            json={"mission_ids": [str(mission_id)], "reason": "Adresse corrigée", "certified": True},
        )
        assert (second.status_code, second.json()["number"], second.json()["replaces"]) == (201, 2, first.json()["id"])
        old = (await company.get(f"/receipts/{first.json()['id']}")).json()
        assert (old["state"], old["replaced_by_label"]) == ("replaced", f"{year}-0002")
        assert "REMPLACÉ par le reçu n°" in text_of(await company.get(f"/receipts/{first.json()['id']}/pdf"))
        paper = text_of(await company.get(f"/receipts/{second.json()['id']}/pdf"))
        for words in (
            "2041-MEC-SD", f"{year}-0002", "Les Petits Ateliers", "Pixelune", SIREN, "Apprendre à lire à tout âge",
            "organisme d'intérêt général à caractère éducatif", "du 1er mars 2026 au 31 mars 2026", "60,00", "soixante euros",
            "Refonte du site", "1 h 30", "certifie sur l’honneur", "présidente", "Adresse corrigée", "Signature",
        ):  # fmt: skip
            assert words.replace("'", "’") in paper.replace("'", "’").replace("\u202f", " "), (words, paper)

    async def test_a_retry_issues_nothing_more(self, scene: Scene, pair: Pair, association: Client) -> None:
        mission_id = await serve_mission(scene, pair)
        await value(scene, pair, mission_id)
        ids = {"beneficiary_id": str(pair.association_id), "donor_id": str(pair.company_id)}
        body, key = ids | {"mission_ids": [str(mission_id)], "certified": True}, {"idempotency-key": "recu-1"}
        first, again = [await association.post("/receipts", json=body, headers=key) for _ in range(2)]
        assert (again.status_code, again.json()) == (201, first.json())

    async def test_need_the_beneficiarys_word(self, pair: Pair, association: Client) -> None:
        ids = {"beneficiary_id": str(pair.association_id), "donor_id": str(pair.company_id)}
        mission = str(new_id())
        unsaid = await association.post("/receipts", json=ids | {"mission_ids": [mission], "certified": False})
        assert (unsaid.status_code, unsaid.json()["errors"][0]["pointer"]) == (422, "/certified")
        twice = await association.post("/receipts", json=ids | {"mission_ids": [mission, mission], "certified": True})
        assert (twice.status_code, twice.json()["errors"][0]["pointer"]) == (422, "/mission_ids")

    async def test_the_town_sees_amounts_where_the_donor_shares_them(
        self, scene: Scene, pair: Pair, officer: Client, association: Client, company: Client, stranger: Client
    ) -> None:
        receipt_id, mission_id = await receipted_mission(scene, pair)
        path = f"/receipts/{receipt_id}"
        hidden = (await officer.get(path)).json()
        assert (hidden["minutes"], hidden["amount_cents"], hidden["content"]) == (90, None, None)
        assert (await officer.get(f"{path}/pdf")).status_code == 403
        assert (await officer.get("/receipt-declarations?year=2026")).json()["items"][0]["amount_cents"] is None
        await company.put(f"/valuations/{mission_id}/consent", json={"share_with_town": True})
        assert (await officer.get(path)).json()["amount_cents"] == 6000
        assert (await officer.get(f"{path}/pdf")).status_code == 200
        for client in (association, company):
            assert [item["id"] for item in (await client.get("/receipts?year=2026")).json()["items"]] == [str(receipt_id)]
        assert (await stranger.get("/receipts")).json()["items"] == []
        assert (await stranger.get(path)).status_code == (await stranger.get(f"{path}/pdf")).status_code == 403
        assert (await association.get(f"/receipts?donor_id={new_id()}")).json()["items"] == []
        assert (await association.get(f"/receipts?beneficiary_id={new_id()}")).json()["items"] == []

    async def test_may_be_cancelled(self, scene: Scene, pair: Pair, association: Client) -> None:
        receipt_id, _ = await receipted_mission(scene, pair)
        answer = await association.post(f"/receipts/{receipt_id}/cancellation", json={"reason": "Heures contre-passées"})
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
        again = await association.post(f"/receipts/{receipt_id}/cancellation", json={"reason": "Heures contre-passées"})
        assert code_of(again) == (409, "receipt-not-in-force")
        assert "ANNULÉ" in text_of(await association.get(f"/receipts/{receipt_id}/pdf"))


class TestDeclarations:
    async def test_as_json_and_csv(self, scene: Scene, pair: Pair, association: Client, stranger: Client) -> None:
        missions = [await serve_mission(scene, pair) for _ in range(2)]
        for mission_id in missions:
            await value(scene, pair, mission_id)
            await issue(scene, pair, mission_id)
        (item,) = (await association.get("/receipt-declarations?year=2026")).json()["items"]
        assert (item["receipts"], item["amount_cents"], item["replaced"]) == (2, 12_000, 0)
        answer = await association.get("/receipt-declarations/csv?year=2026")
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        header, row = answer.content.decode("utf-8-sig").splitlines()
        assert header.startswith("exercice;beneficiaire_id;beneficiaire;nombre_de_recus;montant_total_euros")
        assert row == f"2026;{pair.association_id};Les Petits Ateliers;2;120,00;0;0"
        assert (await stranger.get("/receipt-declarations?year=2026")).json()["items"] == []


class TestOtherTerritory:
    async def test_sees_nothing(self, app: FastAPI, scene: Scene, pair: Pair) -> None:
        receipt_id, mission_id = await receipted_mission(scene, pair)
        async with client_for(app, make_caller("2A007", Role.OFFICER, Role.AUDITOR)) as stranger:
            for path in (
                f"/receipts/{receipt_id}", f"/receipts/{receipt_id}/pdf", f"/valuations/{mission_id}", "/parties/town",
                f"/conventions/{mission_id}", f"/parties/{pair.company_id}", f"/campaigns/{scene.campaign_id}/conventions",
            ):  # fmt: skip
                assert (await stranger.get(path)).status_code == 404, path
            assert (await stranger.get("/receipts")).json()["items"] == []
            assert (await stranger.get("/receipt-declarations?year=2026")).json()["items"] == []

"""The credits service over HTTP: who may do what, the shapes, and a campaign from draft to statement."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI

from kernel.auth import Role
from kernel.database import Database
from kernel.ids import new_id
from tests.builders.credits import Scene
from tests.support.clients import client_for, make_caller

RULES = {
    "title": "Crédit d'expertises 2026",
    "starts_on": "2026-02-02",
    "ends_on": "2199-11-27",
    "operator_id": str(new_id()),
    "compensation_permille": 600,
    "hour_value_cents": 4500,
    "step_minutes": 15,
    "expiry": "return",
}
CAMPAIGN = RULES | {"conventions_required": False}


@pytest.fixture
async def officer(app: FastAPI, territory: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_for(app, make_caller(territory, Role.OFFICER)) as client:
        yield client


@pytest.fixture
async def scene(officer: httpx2.AsyncClient, database: Database, territory: str) -> Scene:
    """An open campaign made over HTTP; events come in through the scene."""
    found = Scene(database, territory)
    found.campaign_id = UUID(await write_campaign(officer))
    assert (await officer.post(f"/campaigns/{found.campaign_id}/opening")).status_code == 200
    return found


async def write_campaign(officer: httpx2.AsyncClient, ref: str = "sceaux-2026") -> str:
    answer = await officer.put(f"/campaigns/refs/{ref}", json=CAMPAIGN)
    assert answer.status_code == 201, answer.text
    campaign_id: str = answer.json()["id"]
    return campaign_id


async def fund(officer: httpx2.AsyncClient, scene: Scene) -> tuple[UUID, UUID]:
    """1 275 minutes of credit for an association, from a pledge of 1 500."""
    contributor, association = await scene.record_actor(kind="company", name="Pixelune"), await scene.record_actor()
    pledge = {"contributor_id": str(contributor), "minutes": 1500}
    base = f"/campaigns/{scene.campaign_id}"
    assert (await officer.put(f"{base}/pledges/refs/p1", json=pledge)).status_code == 201
    seat = {"subsidy_before_cents": 960_000, "subsidy_after_cents": 800_000}
    assert (await officer.put(f"{base}/panel/{association}", json=seat)).status_code == 201
    proposal = (await officer.post(f"{base}/grant-proposals")).json()
    signed = await officer.post(f"{base}/grants", json={"proposal_id": proposal["id"]})
    assert signed.status_code == 201, signed.text
    return association, contributor


class TestCampaigns:
    async def test_written_again_changes_nothing(self, officer: httpx2.AsyncClient) -> None:
        await write_campaign(officer)
        again = await officer.put("/campaigns/refs/sceaux-2026", json=CAMPAIGN)
        assert (again.status_code, again.json()["outcome"], again.headers["etag"]) == (200, "unchanged", '"1"')

    async def test_open_keeps_its_rules(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        changed = await officer.put("/campaigns/refs/sceaux-2026", json=CAMPAIGN | {"step_minutes": 30})
        assert (changed.status_code, changed.json()["type"].rpartition("/")[2]) == (409, "campaign-not-draft")

    async def test_asks_for_conventions_unless_told_otherwise_and_keeps_what_it_was_told(
        self, officer: httpx2.AsyncClient
    ) -> None:
        asks = [
            (await officer.put("/campaigns/refs/c", json=RULES | told)).json()["conventions_required"]
            for told in ({}, {"conventions_required": False}, {}, {"step_minutes": 30}, {"conventions_required": True}, {})
        ]
        assert asks == [True, False, False, False, True, True]

    async def test_names_the_faulty_field(self, officer: httpx2.AsyncClient) -> None:
        answer = await officer.put("/campaigns/refs/x", json=CAMPAIGN | {"ends_on": "2026-01-01"})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/ends_on")

    async def test_only_the_officer_opens_and_closes(self, app: FastAPI, officer: httpx2.AsyncClient, territory: str) -> None:
        campaign_id = await write_campaign(officer)
        async with client_for(app, make_caller(territory, Role.OPERATOR)) as operator:
            assert (await operator.post(f"/campaigns/{campaign_id}/opening")).status_code == 403
        assert (await officer.post(f"/campaigns/{campaign_id}/opening")).json()["state"] == "open"
        closed = await officer.post(f"/campaigns/{campaign_id}/closure", json={"reason": "Décision du conseil"})
        assert (closed.json()["state"], closed.json()["closure_reason"]) == ("closed", "Décision du conseil")

    async def test_lists_by_state(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        await write_campaign(officer, "hiver")
        assert [item["ref"] for item in (await officer.get("/campaigns?state=draft")).json()["items"]] == ["hiver"]
        assert [item["ref"] for item in (await officer.get("/campaigns?ref=sceaux-2026")).json()["items"]] == ["sceaux-2026"]

    async def test_another_territory_sees_nothing(self, app: FastAPI, scene: Scene) -> None:
        async with client_for(app, make_caller("2A007", Role.OFFICER)) as stranger:
            for path in ("", "/panel", "/pledges", "/grants", "/accounts", "/books", "/transfers", "/holds", "/refusals"):
                assert (await stranger.get(f"/campaigns/{scene.campaign_id}{path}")).status_code == 404


class TestGrants:
    async def test_explains_each_figure(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        association, _ = await fund(officer, scene)
        proposal = (await officer.post(f"/campaigns/{scene.campaign_id}/grant-proposals")).json()
        (line,) = proposal["lines"]
        assert (line["exact_minutes"], line["entitled_minutes"], line["already_granted_minutes"]) == ("1280", 1275, 1275)
        assert line["association_name"] == "Les Petits Ateliers"
        assert "÷ 45,00" in line["explanation"]
        read = await officer.get(f"/campaigns/{scene.campaign_id}/grant-proposals/{proposal['id']}")
        assert read.json() == proposal
        (grant,) = (await officer.get(f"/campaigns/{scene.campaign_id}/grants")).json()["items"]
        assert (grant["association_id"], grant["minutes"], grant["computed_minutes"]) == (str(association), 1275, 1275)
        assert grant["transfer_id"] is not None

    async def test_refuses_more_than_the_pool_by_name(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        association, _ = await fund(officer, scene)
        base = f"/campaigns/{scene.campaign_id}"
        proposal = (await officer.post(f"{base}/grant-proposals")).json()
        adjustment = {"association_id": str(association), "minutes": 1500, "reason": "Public prioritaire"}
        refused = await officer.post(f"{base}/grants", json={"proposal_id": proposal["id"], "adjustments": [adjustment]})
        problem = refused.json()
        assert (refused.status_code, problem["account"], problem["missing_minutes"]) == (409, f"pool/{scene.campaign_id}", 1275)
        assert "pledge more" in problem["help"]

    async def test_only_the_officer_signs(self, app: FastAPI, territory: str, scene: Scene) -> None:
        async with client_for(app, make_caller(territory, Role.OPERATOR)) as operator:
            signed = await operator.post(f"/campaigns/{scene.campaign_id}/grants", json={"proposal_id": str(new_id())})
        assert signed.status_code == 403

    async def test_same_idempotency_key_posts_once(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        contributor = str(await scene.record_actor(kind="company"))
        pledge = {"contributor_id": contributor, "minutes": 600}
        for _ in range(2):
            answer = await officer.put(
                f"/campaigns/{scene.campaign_id}/pledges/refs/p", json=pledge, headers={"idempotency-key": "k1"}
            )
            assert answer.status_code == 201
        books = (await officer.get(f"/campaigns/{scene.campaign_id}/books")).json()
        assert (books["transfers"], books["by_kind"]["pool"]) == (1, 600)


class TestPledges:
    async def test_a_company_sees_and_changes_its_own(
        self, app: FastAPI, officer: httpx2.AsyncClient, scene: Scene, territory: str
    ) -> None:
        _, contributor = await fund(officer, scene)
        other = await scene.record_actor(kind="company", name="Maraval")
        base = f"/campaigns/{scene.campaign_id}"
        async with client_for(app, make_caller(territory, Role.COMPANY, actor_id=other)) as company:
            mine = await company.put(f"{base}/pledges/refs/m1", json={"contributor_id": str(other), "minutes": 60})
            assert (mine.json()["contributor_name"], mine.json()["contributor_kind"]) == ("Maraval", "company")
            assert [item["ref"] for item in (await company.get(f"{base}/pledges")).json()["items"]] == ["m1"]
            theirs = await company.put(f"{base}/pledges/refs/p1", json={"contributor_id": str(contributor), "minutes": 60})
            assert theirs.status_code == 403
            back = await company.post(f"/pledges/{mine.json()['id']}/withdrawals", json={"minutes": 15, "reason": "Un congé"})
            assert (back.status_code, back.json()["minutes"]) == (201, 45)

    async def test_many_at_once_each_get_their_own_answer(
        self, app: FastAPI, officer: httpx2.AsyncClient, scene: Scene, territory: str
    ) -> None:
        """New ones, one that is there, one said by nobody who may, and one that is too low: taken together, answered apart."""
        _, contributor = await fund(officer, scene)  # 1 275 of its 1 500 minutes are granted
        base, citizen = f"/campaigns/{scene.campaign_id}/pledges/refs", await scene.record_citizen()
        async with client_for(app, make_caller(territory, Role.VOLUNTEER, member_id=citizen)) as volunteer:
            asked = [
                officer.put(f"{base}/new", json={"contributor_id": str(contributor), "minutes": 90, "note": "Régie"}),
                volunteer.put(f"{base}/mine", json={"contributor_id": str(citizen), "minutes": 60}),
                volunteer.put(f"{base}/theirs", json={"contributor_id": str(contributor), "minutes": 60}),
                officer.put(f"{base}/p1", json={"contributor_id": str(contributor), "minutes": 1500}),
                officer.put(f"{base}/p1", json={"contributor_id": str(contributor), "minutes": 60}),
            ]
            new, mine, theirs, same, lower = await asyncio.gather(*asked)
        assert (new.status_code, new.json()["contributor_name"], new.json()["note"]) == (201, "Pixelune", "Régie")
        listed = (await officer.get(f"/campaigns/{scene.campaign_id}/pledges")).json()["items"]
        assert new.json() in [one | {"outcome": "created"} for one in listed]
        assert (mine.status_code, mine.json()["contributor_name"], mine.json()["contributor_kind"]) == (201, None, "citizen")
        assert (theirs.status_code, theirs.json()["type"].rpartition("/")[2]) == (403, "forbidden")
        assert (same.status_code, same.json()["outcome"], same.headers["etag"]) == (200, "unchanged", '"1"')
        assert lower.status_code == 409
        (refusal,) = (await officer.get(f"/campaigns/{scene.campaign_id}/refusals")).json()["items"]
        assert (refusal["subject"], refusal["asked_minutes"]) == ("withdrawal", 1440)

    async def test_one_ref_at_once_is_one_pledge(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        pledge = {"contributor_id": str(await scene.record_actor(kind="company")), "minutes": 60}
        path = f"/campaigns/{scene.campaign_id}/pledges/refs/p"
        answers = await asyncio.gather(*(officer.put(path, json=pledge) for _ in range(8)))
        assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
        assert len({answer.json()["id"] for answer in answers}) == 1

    async def test_of_an_unknown_campaign_is_refused_alone(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        pledge = {"contributor_id": str(await scene.record_actor(kind="company")), "minutes": 60}
        paths = [f"/campaigns/{campaign}/pledges/refs/p" for campaign in (scene.campaign_id, new_id())]
        answers = await asyncio.gather(*(officer.put(path, json=pledge) for path in paths))
        assert [answer.status_code for answer in answers] == [201, 404]


class TestLedger:
    async def test_books_sum_to_zero(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        association, contributor = await fund(officer, scene)
        agreed = await scene.agree(association, contributor, 120)
        await scene.handle(scene.validated(agreed, 90))
        books = (await officer.get(f"/campaigns/{scene.campaign_id}/books")).json()
        assert (books["sum_minutes"], books["entries_sum_minutes"], books["accounts_out_of_step"]) == (0, 0, 0)
        assert books["by_kind"]["served"] == 90
        assert books["entries"] == 2 * books["transfers"]

    async def test_pages_transfers_and_reverses_one(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        await fund(officer, scene)
        base = f"/campaigns/{scene.campaign_id}"
        first = (await officer.get(f"{base}/transfers?limit=1")).json()
        (grant,) = (await officer.get(f"{base}/transfers?limit=1&cursor={first['next']}")).json()["items"]
        assert (grant["kind"], grant["from_account"]) == ("grant", f"pool/{scene.campaign_id}")
        reversal = await officer.post(f"/transfers/{grant['id']}/reversal", json={"reason": "Erreur de saisie"})
        assert (reversal.status_code, reversal.json()["reverses"]) == (201, grant["id"])
        (grant,) = (await officer.get(f"{base}/transfers?kind=grant")).json()["items"]
        assert grant["reversed_by"] == reversal.json()["id"]
        again = await officer.post(f"/transfers/{grant['id']}/reversal", json={"reason": "Erreur de saisie"})
        assert (again.status_code, again.json()["type"].rpartition("/")[2]) == (409, "already-reversed")

    async def test_holds_and_refusals_are_listed_with_their_mission(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        from kernel.events.matching import MissionProposed

        association, contributor = await fund(officer, scene)
        held = await scene.agree(association, contributor, 120)
        refused = await scene.agree(association, contributor, 6000)
        for mission in (held, refused):
            await scene.handle(
                MissionProposed(
                    mission_id=mission.mission_id, need_id=new_id(), offer_id=new_id(), campaign_id=scene.campaign_id,
                    association_id=association, volunteer_id=new_id(), contributor_id=contributor, company_id=None,
                    title="Refaire l'affiche du festival", minutes=120, reasons=[],
                )
            )  # fmt: skip
        base = f"/campaigns/{scene.campaign_id}"
        (hold,) = (await officer.get(f"{base}/holds?state=held")).json()["items"]
        assert (hold["mission_title"], hold["minutes"], hold["association_name"]) == (
            "Refaire l'affiche du festival", 120, "Les Petits Ateliers",
        )  # fmt: skip
        (refusal,) = (await officer.get(f"{base}/refusals")).json()["items"]
        assert (refusal["code"], refusal["missing_minutes"], refusal["subject"]) == ("not-enough-credit", 4845, "reservation")
        assert refusal["account"] == f"credit/{scene.campaign_id}/{refusal['association_id']}"

    async def test_refusals_of_what_is_done_by_hand_are_listed_to_whom_they_concern(
        self, app: FastAPI, officer: httpx2.AsyncClient, scene: Scene, territory: str
    ) -> None:
        _, contributor = await fund(officer, scene)
        base = f"/campaigns/{scene.campaign_id}"
        (pledge,) = (await officer.get(f"{base}/pledges")).json()["items"]
        asked = {"minutes": 1500, "reason": "L'entreprise déménage"}
        headers = {"Idempotency-Key": str(new_id())}
        answer = await officer.post(f"/pledges/{pledge['id']}/withdrawals", json=asked, headers=headers)
        assert (answer.status_code, answer.json()["missing_minutes"]) == (409, 1275)
        (refusal,) = (await officer.get(f"{base}/refusals")).json()["items"]
        assert (refusal["subject"], refusal["code"], refusal["asked_minutes"]) == ("withdrawal", "not-enough-credit", 1500)
        assert (refusal["reason"], refusal["contributor_id"]) == ("Enveloppe : il manque 21\u202fh\u202f15.", str(contributor))
        assert (refusal["mission_id"], refusal["association_id"]) == (None, None)
        assert refusal["account"] == f"pool/{scene.campaign_id}"
        for actor_id, many in ((contributor, 1), (new_id(), 0)):
            async with client_for(app, make_caller(territory, Role.COMPANY, actor_id=actor_id)) as company:
                assert len((await company.get(f"{base}/refusals")).json()["items"]) == many

    async def test_an_association_sees_its_own_accounts(
        self, app: FastAPI, officer: httpx2.AsyncClient, scene: Scene, territory: str
    ) -> None:
        association, contributor = await fund(officer, scene)
        await scene.agree(association, contributor, 120)
        base = f"/campaigns/{scene.campaign_id}"
        async with client_for(app, make_caller(territory, Role.ASSOCIATION, actor_id=association)) as client:
            accounts = {item["kind"]: item["balance_minutes"] for item in (await client.get(f"{base}/accounts")).json()["items"]}
            assert accounts == {"pool": 225, "credit": 1155, "held": 120}
            assert len((await client.get(f"{base}/holds")).json()["items"]) == 1
        async with client_for(app, make_caller(territory, Role.ASSOCIATION, actor_id=new_id())) as stranger:
            assert (await stranger.get(f"{base}/holds")).json()["items"] == []
            assert (await stranger.get(f"{base}/statements/{association}")).status_code == 403


class TestStatements:
    async def test_agree_with_the_ledger(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        association, contributor = await fund(officer, scene)
        first = await scene.agree(association, contributor, 120)
        await scene.handle(scene.validated(first, 90), actorid="la-presidente")
        second = await scene.agree(association, contributor, 60)
        await scene.handle(scene.cancelled(second, reason="Le local est fermé"))
        base = f"/campaigns/{scene.campaign_id}"
        statement = (await officer.get(f"{base}/statements/{association}")).json()
        assert statement["opening_minutes"] == {"credit": 0, "held": 0, "served": 0}
        assert [line["kind"] for line in statement["lines"]] == ["grant", "reserve", "settle", "release", "reserve", "release"]
        assert statement["lines"][2]["who"] == "la-presidente"
        assert statement["lines"][5]["why"] == "Le local est fermé"
        accounts = {item["kind"]: item["balance_minutes"] for item in await accounts_of(officer, base, association)}
        assert statement["closing_minutes"] == statement["lines"][-1]["balances_minutes"] == accounts
        assert accounts == {"credit": 1185, "held": 0, "served": 90}

    async def test_of_a_contributor(self, app: FastAPI, officer: httpx2.AsyncClient, scene: Scene, territory: str) -> None:
        association, contributor = await fund(officer, scene)
        agreed = await scene.agree(association, contributor, 120)
        await scene.handle(scene.validated(agreed, 90))
        path = f"/campaigns/{scene.campaign_id}/contributor-statements/{contributor}"
        async with client_for(app, make_caller(territory, Role.COMPANY, actor_id=contributor)) as company:
            statement = (await company.get(path)).json()
        assert [line["kind"] for line in statement["lines"]] == ["pledge", "deliver"]
        assert statement["closing_minutes"] == {"promised": -1410, "delivered": -90}
        assert statement["holder_name"] == "Pixelune"

    async def test_opens_with_what_came_before(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        association, _ = await fund(officer, scene)
        path = f"/campaigns/{scene.campaign_id}/statements/{association}"
        later = (await officer.get(f"{path}?since=2199-01-01")).json()
        assert (later["lines"], later["opening_minutes"]["credit"], later["closing_minutes"]["credit"]) == ([], 1275, 1275)
        assert (await officer.get(f"{path}?since=2026-02-01&until=2026-01-01")).status_code == 422

    async def test_of_nobody_is_not_found(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        for kind in ("statements", "contributor-statements"):
            assert (await officer.get(f"/campaigns/{scene.campaign_id}/{kind}/{new_id()}")).status_code == 404


async def accounts_of(officer: httpx2.AsyncClient, base: str, holder: UUID) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await officer.get(f"{base}/accounts?holder_id={holder}")).json()["items"]
    return items

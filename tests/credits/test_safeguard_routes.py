"""Four eyes, what-if and publications over HTTP: who may do what, what waits, and the files."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI

from kernel.auth import Role
from kernel.database import Database
from kernel.ids import new_id
from tests.builders.credits import Scene
from tests.support.clients import client_for, make_caller

CAMPAIGN = {
    "title": "Crédit d'expertises 2026",
    "starts_on": "2026-02-02",
    "ends_on": "2199-11-27",
    "operator_id": str(new_id()),
    "compensation_permille": 600,
    "hour_value_cents": 4500,
    "four_eyes_above_minutes": 600,
    "daily_limit_minutes": 2000,
}
REASON = {"reason": "Erreur de saisie"}
Sign = Callable[..., Awaitable[httpx2.AsyncClient]]


@pytest.fixture
def app(make_app: Callable[..., FastAPI]) -> FastAPI:
    return make_app("credits")


@pytest.fixture
async def sign_in(app: FastAPI, territory: str) -> AsyncIterator[Sign]:
    """A function: the client of somebody with a role; a person of their own unless one is given."""
    async with AsyncExitStack() as stack:

        async def open_client(role: Role, *, member_id: UUID | None = None, client_id: str | None = None) -> httpx2.AsyncClient:
            caller = make_caller(
                territory, role, member_id=member_id or new_id(), client_id=client_id or f"{territory}.{new_id()}"
            )
            return await stack.enter_async_context(client_for(app, caller))

        yield open_client


@pytest.fixture
async def officer(sign_in: Sign) -> httpx2.AsyncClient:
    return await sign_in(Role.OFFICER)


@pytest.fixture
async def scene(officer: httpx2.AsyncClient, database: Database, territory: str) -> Scene:
    """An open campaign with four eyes above ten hours, and a panel of one."""
    found = Scene(database, territory)
    written = await officer.put("/campaigns/refs/sceaux-2026", json=CAMPAIGN)
    found.campaign_id = UUID(written.json()["id"])
    assert (await officer.post(f"/campaigns/{found.campaign_id}/opening")).status_code == 200
    contributor, association = await found.record_actor(kind="company", name="Pixelune"), await found.record_actor()
    base = f"/campaigns/{found.campaign_id}"
    await officer.put(f"{base}/pledges/refs/p1", json={"contributor_id": str(contributor), "minutes": 1500})
    seat = {"subsidy_before_cents": 960_000, "subsidy_after_cents": 800_000}
    assert (await officer.put(f"{base}/panel/{association}", json=seat)).status_code == 201
    return found


async def propose(officer: httpx2.AsyncClient, scene: Scene) -> dict[str, object]:
    proposal: dict[str, object] = (await officer.post(f"/campaigns/{scene.campaign_id}/grant-proposals")).json()
    return proposal


async def sign(officer: httpx2.AsyncClient, scene: Scene, **more: object) -> httpx2.Response:
    proposal = await propose(officer, scene)
    return await officer.post(f"/campaigns/{scene.campaign_id}/grants", json={"proposal_id": proposal["id"], **more})


def code_of(answer: httpx2.Response) -> str:
    return str(answer.json()["type"]).rpartition("/")[2]


class TestCampaigns:
    async def test_safeguards_are_written_in_draft_only(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        found = (await officer.get(f"/campaigns/{scene.campaign_id}")).json()
        assert (found["four_eyes_above_minutes"], found["daily_limit_minutes"]) == (600, 2000)
        changed = await officer.put("/campaigns/refs/sceaux-2026", json=CAMPAIGN | {"four_eyes_above_minutes": None})
        assert (changed.status_code, code_of(changed)) == (409, "campaign-not-draft")
        draft = await officer.put("/campaigns/refs/hiver", json=CAMPAIGN)
        off = await officer.put("/campaigns/refs/hiver", json=CAMPAIGN | {"four_eyes_above_minutes": None})
        assert (draft.status_code, off.json()["outcome"], off.json()["four_eyes_above_minutes"]) == (201, "changed", None)


class TestApprovals:
    async def test_a_signature_waits_and_is_approved_by_another(
        self, sign_in: Sign, officer: httpx2.AsyncClient, scene: Scene
    ) -> None:
        waiting = await sign(officer, scene, reason="Dotations du printemps")
        request = waiting.json()
        assert (waiting.status_code, request["state"], request["minutes"], request["kind"]) == (202, "open", 1275, "grants")
        assert waiting.headers["location"].endswith(f"/approvals/{request['id']}")
        assert (await officer.get(f"/campaigns/{scene.campaign_id}/grants")).json()["items"] == []
        own = await officer.post(f"/approvals/{request['id']}/decision", json={"outcome": "approved", "reason": "Vu"})
        assert own.status_code == 422  # a reason is more than two letters
        body = {"outcome": "approved", "reason": "Vu et vérifié"}
        own = await officer.post(f"/approvals/{request['id']}/decision", json=body)
        assert (own.status_code, code_of(own)) == (409, "own-request")
        colleague = await sign_in(Role.OFFICER)
        decided = await colleague.post(f"/approvals/{request['id']}/decision", json=body)
        assert (decided.status_code, decided.json()["state"]) == (200, "approved")
        (grant,) = (await officer.get(f"/campaigns/{scene.campaign_id}/grants")).json()["items"]
        proposal = await officer.get(f"/campaigns/{scene.campaign_id}/grant-proposals/{grant['proposal_id']}")
        signature = proposal.json()["signature"]
        assert (signature["proposed_by"], signature["approval_id"]) == (request["proposed_by"], request["id"])
        assert signature["computation_digest"] == proposal.json()["digest"]
        again = await colleague.post(f"/approvals/{request['id']}/decision", json=body)
        assert (again.status_code, again.json()) == (200, decided.json())
        other = await (await sign_in(Role.OFFICER)).post(f"/approvals/{request['id']}/decision", json=body)
        assert (other.status_code, code_of(other)) == (409, "already-decided")

    async def test_below_the_threshold_it_is_done_at_once(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        (seat,) = (await officer.get(f"/campaigns/{scene.campaign_id}/panel")).json()["items"]
        adjustment = {"association_id": seat["association_id"], "minutes": 600, "reason": "Un début"}
        signed = await sign(officer, scene, adjustments=[adjustment])
        assert (signed.status_code, signed.json()["total_minutes"]) == (201, 600)
        assert signed.json()["signature"]["approval_id"] is None

    async def test_the_same_person_with_another_client_and_role_does_not_approve(self, sign_in: Sign, scene: Scene) -> None:
        person = new_id()
        desk = await sign_in(Role.OFFICER, member_id=person)
        tablet = await sign_in(Role.OFFICER, member_id=person)
        request = (await sign(desk, scene)).json()
        answer = await tablet.post(
            f"/approvals/{request['id']}/decision", json={"outcome": "approved", "reason": "Vu et vérifié"}
        )
        assert (answer.status_code, code_of(answer)) == (409, "own-request")

    async def test_only_officers_decide_and_only_the_town_reads(
        self, sign_in: Sign, officer: httpx2.AsyncClient, scene: Scene
    ) -> None:
        request = (await sign(officer, scene)).json()
        body = {"outcome": "approved", "reason": "Vu et vérifié"}
        for role in (Role.OPERATOR, Role.AUDITOR, Role.ASSOCIATION):
            client = await sign_in(role)
            assert (await client.post(f"/approvals/{request['id']}/decision", json=body)).status_code == 403
            assert (await client.get("/approvals")).status_code == (403 if role is Role.ASSOCIATION else 200)

    async def test_reversals_and_withdrawals_wait_too(self, sign_in: Sign, officer: httpx2.AsyncClient, scene: Scene) -> None:
        base = f"/campaigns/{scene.campaign_id}"
        (pledge,) = (await officer.get(f"{base}/pledges")).json()["items"]
        (transfer,) = (await officer.get(f"{base}/transfers")).json()["items"]
        reversal = await officer.post(f"/transfers/{transfer['id']}/reversal", json=REASON)
        back = await officer.post(f"/pledges/{pledge['id']}/withdrawals", json={"minutes": 601, **REASON})
        assert (reversal.status_code, back.status_code) == (202, 202)
        lower = {"contributor_id": pledge["contributor_id"], "minutes": 60}
        lowered = await officer.put(f"{base}/pledges/refs/p1", json=lower)
        assert (lowered.status_code, code_of(lowered)) == (409, "approval-needed")
        listed = (await officer.get(f"/approvals?campaign_id={scene.campaign_id}&state=open")).json()["items"]
        assert [item["kind"] for item in listed] == ["reversal", "withdrawal"]
        colleague = await sign_in(Role.OFFICER)
        body = {"outcome": "approved", "reason": "Vu et vérifié"}
        assert (await colleague.post(f"/approvals/{back.json()['id']}/decision", json=body)).status_code == 200
        assert (await officer.get(f"{base}/pledges")).json()["items"][0]["minutes"] == 899
        declined = await colleague.post(
            f"/approvals/{reversal.json()['id']}/decision", json={"outcome": "declined", "reason": "Déjà repris"}
        )
        assert declined.json()["decision"]["reason"] == "Déjà repris"
        assert (await officer.get("/approvals?state=open")).json()["items"] == []

    async def test_the_proposer_takes_it_back(self, sign_in: Sign, officer: httpx2.AsyncClient, scene: Scene) -> None:
        request = (await sign(officer, scene)).json()
        colleague = await sign_in(Role.OFFICER)
        other = await colleague.post(f"/approvals/{request['id']}/withdrawal", json=REASON)
        assert (other.status_code, code_of(other)) == (409, "not-own-request")
        own = await officer.post(f"/approvals/{request['id']}/withdrawal", json=REASON)
        assert (own.status_code, own.json()["state"]) == (200, "withdrawn")

    async def test_may_be_asked_for_below_the_threshold(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        (pledge,) = (await officer.get(f"/campaigns/{scene.campaign_id}/pledges")).json()["items"]
        wanted = {"kind": "withdrawal", "pledge_id": pledge["id"], "minutes": 1}
        asked = await officer.post("/approvals", json={"wanted": wanted, **REASON})
        assert (asked.status_code, asked.json()["operation"]) == (201, {"pledge_id": pledge["id"], "minutes": 1})

    async def test_a_retry_gets_the_same_request(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        proposal = await propose(officer, scene)
        body, key = {"proposal_id": proposal["id"]}, {"idempotency-key": "s1"}
        first, again = [await officer.post(f"/campaigns/{scene.campaign_id}/grants", json=body, headers=key) for _ in range(2)]
        assert (first.status_code, again.status_code, again.json()) == (202, 202, first.json())

    async def test_the_daily_limit_says_what_is_left(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        answers = []
        for number in range(4):  # contributors: of one of them the slices would be added up
            body = {"contributor_id": str(new_id()), "minutes": 600}
            pledge = (await officer.put(f"/campaigns/{scene.campaign_id}/pledges/refs/more-{number}", json=body)).json()
            answers.append(await officer.post(f"/pledges/{pledge['id']}/withdrawals", json={"minutes": 600, **REASON}))
        assert [answer.status_code for answer in answers] == [201, 201, 201, 409]
        assert (code_of(answers[3]), answers[3].json()["left_minutes"]) == ("daily-limit", 200)

    async def test_a_digest_of_another_computation_is_refused(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        refused = await sign(officer, scene, digest="0" * 64)
        assert (refused.status_code, code_of(refused)) == (409, "computation-of-another")
        proposal = await propose(officer, scene)
        body = {"proposal_id": proposal["id"], "digest": proposal["digest"]}
        assert (await officer.post(f"/campaigns/{scene.campaign_id}/grants", json=body)).status_code == 202


class TestGrants:
    async def test_a_grant_reversed_in_parts_is_one_row(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        (seat,) = (await officer.get(f"/campaigns/{scene.campaign_id}/panel")).json()["items"]
        adjustment = {"association_id": seat["association_id"], "minutes": 600, "reason": "Un début"}
        (grant,) = (await sign(officer, scene, adjustments=[adjustment])).json()["grants"]
        assert (grant["reversed_by"], grant["reversed_minutes"]) == (None, 0)
        parts = [
            (await officer.post(f"/transfers/{grant['transfer_id']}/reversal", json={"minutes": 15, **REASON})).json()
            for _ in range(2)
        ]
        (grant,) = (await officer.get(f"/campaigns/{scene.campaign_id}/grants")).json()["items"]
        assert (grant["reversed_by"], grant["reversed_minutes"]) == (parts[1]["id"], 30)


class TestWhatIf:
    async def test_compares_scenarios(self, sign_in: Sign, officer: httpx2.AsyncClient, scene: Scene) -> None:
        body = {
            "scenarios": [
                {"name": "Heure à 60 €", "hour_value_cents": 6000},
                {"name": "Enveloppe de 10 h", "pool_minutes": 600, "step_minutes": 60},
            ]
        }
        path = f"/campaigns/{scene.campaign_id}/what-if"
        found = (await officer.post(path, json=body)).json()
        assert [item["computed_minutes"] for item in found["scenarios"]] == [1275, 960, 600]
        assert [(item["gainers"], item["losers"]) for item in found["scenarios"]] == [(0, 0), (0, 1), (0, 1)]
        (row,) = found["rows"]
        assert [share["difference_minutes"] for share in row["shares"]] == [0, -315, -675]
        sheet = await officer.post(f"{path}?format=csv", json=body)
        assert sheet.headers["content-type"].startswith("text/csv")
        assert "Les Petits Ateliers;9600;8000;0;1275;0;960;-315;600;-675" in sheet.text
        association = await sign_in(Role.ASSOCIATION)
        assert (await association.post(path, json=body)).status_code == 403


class TestPublications:
    async def test_everybody_reads_what_the_officer_published(
        self, sign_in: Sign, officer: httpx2.AsyncClient, scene: Scene
    ) -> None:
        request = (await sign(officer, scene)).json()
        colleague = await sign_in(Role.OFFICER)
        await colleague.post(f"/approvals/{request['id']}/decision", json={"outcome": "approved", "reason": "Vu et vérifié"})
        base = f"/campaigns/{scene.campaign_id}/grant-publications"
        body = {"proposal_id": request["operation"]["proposal_id"], "contact": "le service de la vie associative"}
        published = await officer.post(base, json=body)
        assert (published.status_code, published.json()["number"]) == (201, 1)
        partner = await sign_in(Role.PARTNER)
        assert (await partner.post(base, json=body)).status_code == 403
        (summary,) = (await partner.get(base)).json()["items"]
        read = (await partner.get(f"{base}/{summary['id']}")).json()
        assert read == published.json()
        assert read["content"]["signature"]["by_two_persons"] is True
        sheet = await partner.get(f"{base}/{summary['id']}?format=csv")
        assert "Les Petits Ateliers" in sheet.text and "dotations-sceaux-2026-1.csv" in sheet.headers["content-disposition"]
        document = await partner.get(f"{base}/{summary['id']}?format=pdf")
        assert (document.headers["content-type"], document.content[:5]) == ("application/pdf", b"%PDF-")
        assert (await partner.get(f"{base}/{new_id()}")).status_code == 404

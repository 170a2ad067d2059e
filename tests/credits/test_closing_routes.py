"""The close of a campaign over HTTP: who may do and see what, the shapes, the report as data, sheet and document."""

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import date
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI

from kernel.auth import Role
from kernel.database import Database
from kernel.ids import new_id
from services.credits.domain.digests import canonical_json
from tests.builders.credits import Scene
from tests.support.clients import client_for, make_caller

STEPS = ("check", "notices", "expire", "release", "freeze")
# The service reads the real clock here: neither campaign nor mission ends before the test does.
LATER = date(2199, 12, 31)
WARNINGS = ["before-the-end", "hours-unvalidated", "notice-missing"]


@pytest.fixture
def app(make_app: Callable[..., FastAPI]) -> FastAPI:
    return make_app("credits")


class Town:
    """A campaign with a mission served and one that runs, and its people over HTTP."""

    def __init__(self, scene: Scene, association: UUID, contributor: UUID, people: dict[str, httpx2.AsyncClient]) -> None:
        self.scene = scene
        self.association = association
        self.contributor = contributor
        self.people = people
        self.officer = people["officer"]
        self.path = f"/campaigns/{scene.campaign_id}/closing"

    async def run_all(self) -> dict[str, Any]:
        """Every step, and the report as it awaits its signature."""
        assert (await self.officer.post(self.path, json={"reason": "Fin de campagne"})).status_code == 201
        for step in STEPS:
            answer = await self.officer.post(f"{self.path}/steps/{step}", json={"accept": WARNINGS})
            assert answer.status_code == 200, answer.text
        report: dict[str, Any] = (await self.officer.get(f"{self.path}/reports/0")).json()
        return report

    async def sign(self) -> dict[str, Any]:
        digest = (await self.run_all())["digest"]
        answer = await self.officer.post(f"{self.path}/reports/0/signature", json={"digest": digest})
        assert answer.status_code == 201, answer.text
        signed: dict[str, Any] = answer.json()
        return signed


@pytest.fixture
async def town(app: FastAPI, database: Database, territory: str) -> AsyncIterator[Town]:
    scene = await Scene(database, territory).start(ends_on=LATER)
    association, contributor = await scene.fund(credit=600, promise=900)
    served = await scene.agree(association, contributor, 150)
    await scene.handle(scene.validated(served, 120))
    await scene.handle(scene.agreed(association, contributor, 90).model_copy(update={"ends_on": LATER}))
    callers = {
        "officer": make_caller(territory, Role.OFFICER),
        "operator": make_caller(territory, Role.OPERATOR),
        "auditor": make_caller(territory, Role.AUDITOR),
        "association": make_caller(territory, Role.ASSOCIATION, actor_id=association),
        "other": make_caller(territory, Role.ASSOCIATION, actor_id=new_id()),
        "volunteer": make_caller(territory, Role.VOLUNTEER, member_id=contributor),
        "stranger": make_caller("2A007", Role.OFFICER),
    }
    async with AsyncExitStack() as clients:
        people = {name: await clients.enter_async_context(client_for(app, caller)) for name, caller in callers.items()}
        yield Town(scene, association, contributor, people)


class TestPreview:
    async def test_shows_what_goes_where(self, town: Town) -> None:
        found = (await town.officer.get(f"{town.path}/preview")).json()
        assert (found["outcome"], found["expired_minutes"]) == ("returned", 390)
        assert [(one["association_name"], one["minutes"]) for one in found["lots"]] == [("Les Petits Ateliers", 390)]
        (association,), (contributor,) = found["associations"], found["contributors"]
        assert [association[name] for name in ("credit_minutes", "expiring_minutes", "held_minutes", "served_minutes")] == [
            390,
            390,
            90,
            120,
        ]
        assert [contributor[name] for name in ("delivered_minutes", "undelivered_minutes", "committed_minutes")] == [120, 780, 90]
        assert sum(found["after_minutes"].values()) == sum(found["before_minutes"].values()) == 0
        assert (found["before_minutes"]["credit"], found["after_minutes"]["credit"]) == (390, 0)

    async def test_is_for_the_town_and_its_auditors(self, town: Town) -> None:
        statuses = {name: (await client.get(f"{town.path}/preview")).status_code for name, client in town.people.items()}
        assert statuses == {
            "officer": 200, "operator": 200, "auditor": 200, "association": 403, "other": 403, "volunteer": 403, "stranger": 404
        }  # fmt: skip


class TestSteps:
    async def test_only_the_officer_acts(self, town: Town) -> None:
        for name in ("operator", "auditor", "association"):
            assert (await town.people[name].post(town.path, json={"reason": "Fin"})).status_code == 403
            assert (await town.people[name].post(f"{town.path}/steps/check", json={})).status_code == 403
            assert (
                await town.people[name].post(f"{town.path}/reports/0/signature", json={"digest": "0" * 64})
            ).status_code == 403

    async def test_a_blocked_step_says_why_and_what_to_do_and_is_kept(self, town: Town) -> None:
        await town.officer.post(town.path, json={"reason": "Fin de campagne"})
        answer = await town.officer.post(f"{town.path}/steps/check", json={})
        found = answer.json()
        check = found["steps"][0]
        assert (answer.status_code, check["state"], check["in_the_way"]) == (200, "blocked", ["before-the-end"])
        assert "Attendez le lendemain du 31/12/2199" in found["next"]
        read = (await town.people["auditor"].get(town.path)).json()
        assert read["steps"][0]["state"] == "blocked"
        done = (await town.officer.post(f"{town.path}/steps/check", json={"accept": ["before-the-end"]})).json()
        assert (done["steps"][0]["state"], done["next_step"]) == ("done", "notices")

    async def test_a_key_repeats_the_answer(self, town: Town) -> None:
        headers = {"idempotency-key": "begin-once"}
        first = await town.officer.post(town.path, json={"reason": "Fin"}, headers=headers)
        again = await town.officer.post(town.path, json={"reason": "Fin"}, headers=headers)
        assert (again.status_code, again.json(), again.headers["idempotent-replay"]) == (201, first.json(), "true")

    async def test_refuses_a_step_out_of_turn_and_unknown_ones(self, town: Town) -> None:
        await town.officer.post(town.path, json={"reason": "Fin"})
        early = await town.officer.post(f"{town.path}/steps/freeze", json={})
        assert (early.status_code, early.json()["next_step"]) == (409, "check")
        assert (await town.officer.post(f"{town.path}/steps/dance", json={})).status_code == 422
        assert (await town.officer.post(f"{town.path}/steps/check", json={"accept": ["x; y"]})).status_code == 422

    async def test_what_has_not_begun_is_not_found(self, town: Town) -> None:
        assert (await town.officer.get(town.path)).status_code == 404
        assert (await town.officer.get(f"{town.path}/reports/0")).status_code == 404
        assert (await town.people["stranger"].post(town.path, json={"reason": "Fin"})).status_code == 404


class TestReport:
    async def test_anybody_can_compute_its_digest_again(self, town: Town) -> None:
        report = await town.run_all()
        assert hashlib.sha256(canonical_json(report["content"]).encode()).hexdigest() == report["digest"]

    async def test_is_signed_by_its_digest_and_stays(self, town: Town) -> None:
        signed = await town.sign()
        assert (signed["number"], signed["signed_by"]) == (0, make_caller(town.scene.territory, Role.OFFICER).identity)
        state = (await town.officer.get(town.path)).json()
        assert (state["next_step"], state["movements_since"], state["next"]) == (None, 0, "Rien : le rapport est signé.")

    async def test_another_digest_is_not_signed(self, town: Town) -> None:
        await town.run_all()
        answer = await town.officer.post(f"{town.path}/reports/0/signature", json={"digest": "0" * 64})
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (409, "digest-differs")

    async def test_comes_as_a_sheet(self, town: Town) -> None:
        await town.sign()
        answer = await town.people["auditor"].get(f"{town.path}/reports/0", params={"format": "csv"})
        assert answer.headers["content-type"].startswith("text/csv")
        rows = [line.split(";") for line in answer.text.removeprefix("\ufeff").splitlines()]
        found = {(row[1], row[4]): row[5:] for row in rows if row[1] in {"association", "total"}}
        assert found["association", "Fait"] == ["120", "2"]
        assert found["association", "Échu"] == ["390", "6,5"]
        assert found["total", "Promis"] == ["900", "15"]

    async def test_comes_as_a_document_before_and_after_the_signature(self, town: Town) -> None:
        await town.run_all()
        draft = await town.officer.get(f"{town.path}/reports/0", params={"format": "pdf"})
        assert (draft.headers["content-type"], draft.content[:5]) == ("application/pdf", b"%PDF-")
        digest = (await town.officer.get(f"{town.path}/reports/0")).json()["digest"]
        await town.officer.post(f"{town.path}/reports/0/signature", json={"digest": digest})
        signed = await town.officer.get(f"{town.path}/reports/0", params={"format": "pdf"})
        assert signed.content[:5] == b"%PDF-"
        assert b"pdfuaid" in signed.content
        again = await town.people["auditor"].get(f"{town.path}/reports/0", params={"format": "pdf"})
        assert again.content == signed.content
        assert signed.content != draft.content

    async def test_is_for_the_town_and_its_auditors(self, town: Town) -> None:
        await town.run_all()
        for name, status in {"operator": 200, "auditor": 200, "association": 403, "volunteer": 403, "stranger": 404}.items():
            assert (await town.people[name].get(f"{town.path}/reports/0")).status_code == status, name


class TestStatements:
    async def test_each_reads_its_own_part(self, town: Town) -> None:
        await town.run_all()
        found = {}
        for name in ("officer", "association", "other", "volunteer"):
            items = (await town.people[name].get(f"{town.path}/statements")).json()["items"]
            found[name] = {(one["part"], one["holder_id"]) for one in items}
        own, theirs = ("association", str(town.association)), ("contributor", str(town.contributor))
        assert found["officer"] == {own, theirs, ("campaign", str(town.scene.campaign_id))}
        assert (found["association"], found["other"], found["volunteer"]) == ({own}, set(), {theirs})


class TestAddenda:
    async def test_a_mission_that_ends_later_is_added(self, town: Town) -> None:
        await town.sign()
        (held,) = (await town.officer.get(f"/campaigns/{town.scene.campaign_id}/holds", params={"state": "held"})).json()["items"]
        agreed = town.scene.agreed(town.association, town.contributor, 90, mission_id=UUID(held["mission_id"]))
        await town.scene.handle(town.scene.validated(agreed, 90))
        assert (await town.officer.get(town.path)).json()["movements_since"] == 2
        added = (await town.officer.post(f"{town.path}/addenda")).json()
        assert (added["number"], added["signed_at"]) == (1, None)
        assert "additif 1" in (await town.officer.get(town.path)).json()["next"]
        signed = await town.officer.post(f"{town.path}/reports/1/signature", json={"digest": added["digest"]})
        assert signed.status_code == 201
        pdf = await town.officer.get(f"{town.path}/reports/1", params={"format": "pdf"})
        assert pdf.content[:5] == b"%PDF-"
        assert [one["number"] for one in (await town.officer.get(f"{town.path}/reports")).json()] == [0, 1]
        assert (await town.officer.post(f"{town.path}/addenda")).status_code == 409

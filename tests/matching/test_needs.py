"""Needs over HTTP, on a real PostgreSQL: a class per verb."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from kernel.auth import Role
from kernel.events.credits import CampaignClosed
from kernel.events.matching import MissionCancelled, NeedOpened, NeedWithdrawn
from kernel.ids import new_id
from tests.builders.matching import make_need_body
from tests.matching.conftest import MakeDuo, Published, Town, ask, make_actor_recorded


async def write(town: Town, **changes: Any) -> dict[str, Any]:
    return await ask(town.association, "/needs", make_need_body(town.campaign_id, **changes), status=201)


class TestWriteNeed:
    async def test_an_association_writes_for_itself(self, town: Town) -> None:
        need = await write(town)
        assert (need["state"], need["association_id"], need["version"]) == ("draft", str(town.association_id), 1)
        assert [(skill["label"], skill["level"]) for skill in need["skills"]] == [("comptabilité", 2), ("tableur", 1)]

    async def test_not_for_another(self, town: Town) -> None:
        await ask(town.association, "/needs", make_need_body(town.campaign_id, new_id()), status=403)

    async def test_the_town_writes_for_any_and_must_say_for_which(self, town: Town) -> None:
        await ask(town.officer, "/needs", make_need_body(town.campaign_id, town.association_id), status=201)
        problem = await ask(town.officer, "/needs", make_need_body(town.campaign_id), status=422)
        assert problem["errors"][0]["pointer"] == "/association_id"

    @pytest.mark.parametrize(
        ("changes", "pointer"),
        [
            ({"ends_on": "2025-12-31"}, "/ends_on"),
            ({"commune": None}, "/commune"),
            ({"commune": "92 071"}, "/commune"),
            ({"skills": []}, "/skills"),
            ({"skills": [{"label": "tableur", "level": 4}]}, "/skills/0/level"),
            ({"minutes": 0}, "/minutes"),
            ({"minutes": 10**12}, "/minutes"),
            ({"title": "a\x00b"}, "/title"),
            ({"starts_on": "0099-01-01"}, "/starts_on"),
            ({"hours": 3}, "/hours"),
        ],
    )
    async def test_names_the_faulty_field(self, town: Town, changes: dict[str, Any], pointer: str) -> None:
        problem = await ask(town.association, "/needs", make_need_body(town.campaign_id, **changes), status=422)
        assert [fault["pointer"] for fault in problem["errors"]] == [pointer]

    async def test_not_in_a_closed_campaign(self, town: Town) -> None:
        await town.tell(CampaignClosed(campaign_id=town.campaign_id, reason="Fin.", expired_minutes=0))
        problem = await ask(town.association, "/needs", make_need_body(town.campaign_id), status=409)
        assert problem["type"].endswith("campaign-not-open")

    async def test_volunteers_companies_and_partners_write_none(self, town: Town) -> None:
        for role in (Role.VOLUNTEER, Role.COMPANY, Role.PARTNER, Role.AUDITOR):
            client = await town.sign_in(role, actor_id=town.association_id)
            await ask(client, "/needs", make_need_body(town.campaign_id), status=403)


class TestPutNeed:
    async def test_creates_then_leaves_then_changes(self, town: Town) -> None:
        body = make_need_body(town.campaign_id, town.association_id)
        created = await ask(town.officer, "/needs/refs/besoin-1", body, status=201, method="PUT")
        assert (created["outcome"], created["ref"]) == ("created", "besoin-1")
        again = await ask(town.officer, "/needs/refs/besoin-1", body, method="PUT")
        assert (again["outcome"], again["id"], again["version"]) == ("unchanged", created["id"], 1)
        changed = await ask(town.officer, "/needs/refs/besoin-1", body | {"minutes": 90}, method="PUT")
        assert (changed["outcome"], changed["minutes"], changed["version"]) == ("changed", 90, 2)

    async def test_a_changed_open_need_keeps_its_state(self, town: Town) -> None:
        body = make_need_body(town.campaign_id, town.association_id)
        need = await ask(town.officer, "/needs/refs/b", body, status=201, method="PUT")
        await ask(town.operator, f"/needs/{need['id']}/qualification", {"note": "Vu."})
        await ask(town.operator, f"/needs/{need['id']}/opening")
        changed = await ask(town.officer, "/needs/refs/b", body | {"minutes": 90}, method="PUT")
        assert (changed["outcome"], changed["state"]) == ("changed", "open")
        await ask(town.officer, "/needs/refs/b", body | {"campaign_id": str(new_id())}, status=409, method="PUT")

    async def test_an_ended_need_stays_as_it_is(self, town: Town) -> None:
        body = make_need_body(town.campaign_id, town.association_id)
        need = await ask(town.officer, "/needs/refs/b", body, status=201, method="PUT")
        await ask(town.officer, f"/needs/{need['id']}/withdrawal", {"reason": "Plus besoin."})
        assert (await ask(town.officer, "/needs/refs/b", body, method="PUT"))["outcome"] == "unchanged"
        await ask(town.officer, "/needs/refs/b", body | {"minutes": 90}, status=409, method="PUT")

    async def test_two_at_once_create_one(self, town: Town) -> None:
        body = make_need_body(town.campaign_id, town.association_id)
        answers = await asyncio.gather(*[town.officer.put("/needs/refs/b", json=body) for _ in range(4)])
        assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
        assert len({answer.json()["id"] for answer in answers}) == 1

    async def test_is_the_towns(self, town: Town) -> None:
        await ask(town.association, "/needs/refs/b", make_need_body(town.campaign_id), status=403, method="PUT")
        await ask(town.officer, "/needs/refs/%20b", make_need_body(town.campaign_id), status=422, method="PUT")


class TestEditNeed:
    async def test_with_the_version_that_was_read(self, town: Town) -> None:
        need = await write(town)
        path = f"/needs/{need['id']}"
        assert (await town.association.patch(path, json={"minutes": 60})).status_code == 428
        stale = await town.association.patch(path, json={"minutes": 60}, headers={"if-match": '"7"'})
        assert stale.status_code == 412
        edited = await town.association.patch(path, json={"minutes": 60, "title": None}, headers={"if-match": '"1"'})
        assert edited.status_code == 200
        assert edited.headers["etag"] == '"2"'
        assert (edited.json()["minutes"], edited.json()["title"]) == (60, need["title"])

    async def test_null_takes_the_commune_away(self, town: Town) -> None:
        need = await write(town, remote=True)
        edited = await town.association.patch(f"/needs/{need['id']}", json={"commune": None}, headers={"if-match": '"1"'})
        assert edited.json()["commune"] is None
        back = await town.association.patch(f"/needs/{need['id']}", json={"remote": False}, headers={"if-match": '"2"'})
        assert back.status_code == 422

    async def test_what_is_qualified_is_the_towns_to_change(self, town: Town) -> None:
        need = await town.add_open_need()
        change: dict[str, Any] = {"json": {"minutes": 60}, "headers": {"if-match": f'"{need["version"]}"'}}
        assert (await town.association.patch(f"/needs/{need['id']}", **change)).status_code == 409
        assert (await town.operator.patch(f"/needs/{need['id']}", **change)).json()["state"] == "open"

    async def test_not_under_a_proposed_mission(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        change: dict[str, Any] = {"json": {"minutes": 60}, "headers": {"if-match": f'"{duo.need["version"]}"'}}
        refusal = await duo.town.operator.patch(f"/needs/{duo.need['id']}", **change)
        assert refusal.json()["type"].endswith("need-has-live-mission")


class TestOpenNeed:
    async def test_after_qualification_and_tells(self, town: Town, published: Published) -> None:
        need = await write(town)
        await ask(town.operator, f"/needs/{need['id']}/opening", status=409)
        qualified = await ask(town.operator, f"/needs/{need['id']}/qualification", {"note": "Vu avec Odile."})
        assert (qualified["state"], qualified["qualification_note"]) == ("qualified", "Vu avec Odile.")
        opened = await ask(town.operator, f"/needs/{need['id']}/opening")
        assert opened["state"] == "open"
        told = await published(NeedOpened)
        assert told == [
            {
                "type": "matching.need_opened.v1", "need_id": need["id"], "campaign_id": str(town.campaign_id),
                "association_id": str(town.association_id), "title": need["title"], "minutes": 360,
            }
        ]  # fmt: skip

    async def test_is_the_operators(self, town: Town) -> None:
        need = await write(town)
        for client in (town.association, town.officer):
            await ask(client, f"/needs/{need['id']}/qualification", {"note": "Vu."}, status=403)

    async def test_needs_an_open_campaign_and_a_known_association(self, town: Town) -> None:
        need = await ask(town.association, "/needs", make_need_body(new_id()), status=201)
        await ask(town.operator, f"/needs/{need['id']}/qualification", {"note": "Vu."})
        problem = await ask(town.operator, f"/needs/{need['id']}/opening", status=409)
        assert problem["type"].endswith("campaign-not-open")
        need = await write(town)
        await ask(town.operator, f"/needs/{need['id']}/qualification", {"note": "Vu."})
        await town.tell(make_actor_recorded(town.association_id, version=2, archived=True))
        problem = await ask(town.operator, f"/needs/{need['id']}/opening", status=409)
        assert problem["type"].endswith("not-known-yet")


class TestWithdrawNeed:
    async def test_with_reason_and_ends_the_proposal(self, make_duo: MakeDuo, published: Published) -> None:
        duo = await make_duo()
        path = f"/needs/{duo.need['id']}/withdrawal"
        await ask(duo.town.association, path, {"reason": ""}, status=422)
        _, stranger = await duo.town.add_association()
        await ask(stranger, path, {"reason": "Non."}, status=403)
        withdrawn = await ask(duo.town.association, path, {"reason": "Plus besoin."})
        assert withdrawn["state"] == "withdrawn"
        assert (await duo.read())["state"] == "cancelled"
        assert (await duo.read())["history"][-1]["reason"] == "Plus besoin."
        assert (await published(NeedWithdrawn))[0]["reason"] == "Plus besoin."
        assert len(await published(MissionCancelled)) == 1

    async def test_not_while_a_mission_is_agreed(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        await duo.agree()
        problem = await ask(duo.town.association, f"/needs/{duo.need['id']}/withdrawal", {"reason": "Non."}, status=409)
        assert "cancel the mission" in problem["detail"]


class TestReadNeeds:
    async def test_everybody_sees_open_needs_without_what_is_internal(self, town: Town) -> None:
        draft, opened = await write(town), await town.add_open_need()
        _, neighbour = await town.add_association()
        _, volunteer = await town.add_volunteer()
        partner = await town.sign_in(Role.PARTNER)
        for client in (neighbour, volunteer, partner):
            listed = (await ask(client, "/needs", method="GET"))["items"]
            assert [need["id"] for need in listed] == [opened["id"]]
            assert listed[0]["qualification_note"] is None
            await ask(client, f"/needs/{draft['id']}", method="GET", status=404)
            detail = await ask(client, f"/needs/{opened['id']}", method="GET")
            assert (detail["history"], detail["qualification_note"], detail["ref"]) == ([], None, None)

    async def test_an_association_sees_its_own_in_every_state(self, town: Town) -> None:
        draft, opened = await write(town), await town.add_open_need()
        listed = (await ask(town.association, "/needs", method="GET"))["items"]
        assert [need["id"] for need in listed] == [draft["id"], opened["id"]]
        auditor = await town.sign_in(Role.AUDITOR)
        detail = await ask(town.association, f"/needs/{opened['id']}", method="GET")
        assert await ask(auditor, f"/needs/{opened['id']}", method="GET") == detail
        assert [step["deed"] for step in detail["history"]] == ["create", "qualify", "open"]
        assert detail["qualification_note"] == "Vu ensemble."

    async def test_a_partner_that_bears_an_actor_still_sees_only_open_ones(self, town: Town) -> None:
        await write(town)
        partner = await town.sign_in(Role.PARTNER, actor_id=town.association_id)
        assert (await ask(partner, "/needs", method="GET"))["items"] == []

    async def test_volunteer_and_company_see_the_needs_of_their_missions(self, make_duo: MakeDuo) -> None:
        duo = await make_duo(professional=True)
        await duo.agree()
        assert duo.company
        for client in (duo.volunteer, duo.company):
            assert (await ask(client, f"/needs/{duo.need['id']}", method="GET"))["state"] == "covered"

    async def test_filters(self, town: Town) -> None:
        draft, opened = await write(town), await town.add_open_need()
        for query, expected in (("state=draft", draft), ("state=open", opened)):
            listed = (await ask(town.officer, f"/needs?{query}&association_id={town.association_id}", method="GET"))["items"]
            assert [need["id"] for need in listed] == [expected["id"]]
        assert (await ask(town.officer, f"/needs?association_id={uuid4()}", method="GET"))["items"] == []
        assert (await ask(town.officer, f"/needs?campaign_id={uuid4()}", method="GET"))["items"] == []

    async def test_another_territory_sees_and_changes_none(self, town: Town) -> None:
        opened = await town.add_open_need()
        stranger = await town.sign_in(Role.OFFICER, Role.OPERATOR, territory="2A004")
        await ask(stranger, f"/needs/{opened['id']}", method="GET", status=404)
        await ask(stranger, f"/needs/{opened['id']}/withdrawal", {"reason": "Non."}, status=404)
        await ask(stranger, f"/needs/{opened['id']}/proposals", status=404)

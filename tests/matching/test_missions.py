"""A mission over HTTP and over the bus, from the proposal to its ends, on a real PostgreSQL."""

import asyncio
from uuid import UUID

import pytest

from kernel.auth import Caller, Role
from kernel.events.envelope import Event
from kernel.events.matching import (
    MissionAccepted,
    MissionAgreed,
    MissionCancelled,
    MissionClosed,
    MissionDeclined,
    MissionProposed,
    MissionValidated,
    NeedFulfilled,
    NeedOpened,
    TimesheetReported,
)
from kernel.ids import new_id
from kernel.work import open_work
from tests.matching.conftest import MakeDuo, Published, ask, make_delivery
from tests.matching.steps import REASON, make_reserved, make_settled, make_sheet, report, reserve, validate, work_on


class TestTheWholeWay:
    async def test_a_citizens_mission_to_closed(self, make_duo: MakeDuo, published: Published) -> None:
        duo = await make_duo()
        assert duo.mission["contributor_id"] == duo.mission["volunteer_id"]
        await validate(duo)
        await duo.town.tell(make_settled(duo), subject=duo.mission["id"])
        mission = await duo.read()
        assert (mission["state"], mission["served_minutes"], mission["awaited"]) == ("closed", 300, [])
        assert [step["deed"] for step in mission["history"]] == [
            "create", "accept", "accept", "agree", "reserve", "start", "report", "validate", "close",
        ]  # fmt: skip
        assert all(step["who"] for step in mission["history"])
        assert [step["side"] for step in mission["history"]][1:4] == ["association", "volunteer", "volunteer"]
        assert (await duo.read_need())["state"] == "fulfilled"
        told = await published(subject=duo.mission["id"])
        expected: list[type[Event]] = [
            MissionProposed, MissionAccepted, MissionAccepted, MissionAgreed, TimesheetReported, MissionValidated, MissionClosed,
        ]  # fmt: skip
        assert [event["type"] for event in told] == [event.event_type for event in expected]
        assert told[3]["minutes"] == 360
        assert told[5]["served_minutes"] == told[6]["served_minutes"] == 300
        assert [event["mission_id"] for event in await published(NeedFulfilled, subject=duo.need["id"])] == [mission["id"]]

    async def test_a_professional_mission_is_the_companys(self, make_duo: MakeDuo, published: Published) -> None:
        duo = await make_duo(professional=True)
        assert duo.mission["contributor_id"] == duo.mission["company_id"] == str(duo.company_id)
        assert duo.mission["awaited"] == ["association", "company", "volunteer"]
        agreed = await duo.agree()
        assert agreed["state"] == "agreed"
        assert (await published(MissionAgreed))[0]["contributor_id"] == str(duo.company_id)

    async def test_every_answer_explains_the_algorithm(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        mission = await duo.read()
        assert "L. 311-3-1" in mission["explanation"]["law"]
        assert mission["explanation"]["ask_a_person"]
        assert sum(part["points"] for part in mission["parts"]) == mission["score"]
        assert mission["reasons"][0] == "2 compétences communes : comptabilité, tableur"

    async def test_what_is_left_of_the_offer(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()

        async def remaining() -> int:
            offer = await ask(duo.town.officer, f"/offers/{duo.offer['id']}", method="GET")
            return int(offer["remaining_minutes"])

        assert await remaining() == 600 - 360
        await validate(duo)
        await duo.town.tell(make_settled(duo))
        assert await remaining() == 600 - 300


class TestAcceptMission:
    async def test_only_the_two_sides_may(self, make_duo: MakeDuo) -> None:
        duo = await make_duo(professional=True)
        _, other_association = await duo.town.add_association()
        _, other_volunteer = await duo.town.add_volunteer(employer_id=duo.company_id)
        for stranger in (other_association, other_volunteer, duo.town.officer, duo.company):
            assert stranger
            await ask(stranger, f"{duo.path}/acceptance", status=403)
        await ask(duo.volunteer, f"{duo.path}/approval", status=403)
        other_company = await duo.town.sign_in(Role.COMPANY, actor_id=new_id())
        await ask(other_company, f"{duo.path}/approval", status=403)

    async def test_says_yes_once(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        await ask(duo.volunteer, f"{duo.path}/acceptance")
        problem = await ask(duo.volunteer, f"{duo.path}/acceptance", status=409)
        assert problem["type"].endswith("already-answered")

    async def test_covers_the_need(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        assert (await duo.read_need())["state"] == "open"
        await duo.agree()
        assert (await duo.read_need())["state"] == "covered"

    async def test_both_sides_at_once_agree_once(self, make_duo: MakeDuo, published: Published) -> None:
        duo = await make_duo()
        answers = await asyncio.gather(
            *[client.post(f"{duo.path}/acceptance") for client in (duo.volunteer, duo.town.association)]
        )
        assert [answer.status_code for answer in answers] == [200, 200]
        assert len(await published(MissionAgreed)) == 1


class TestDeclineMission:
    async def test_with_reason_side_and_person(self, make_duo: MakeDuo, published: Published) -> None:
        duo = await make_duo()
        await ask(duo.volunteer, f"{duo.path}/decline", {"reason": " "}, status=422)
        await ask(duo.volunteer, f"{duo.path}/decline", REASON)
        last = (await duo.read())["history"][-1]
        assert (last["after"], last["side"], last["reason"]) == ("declined", "volunteer", REASON["reason"])
        assert last["who"] == duo.mission["volunteer_id"]
        assert (await published(MissionDeclined))[0]["side"] == "volunteer"
        assert (await duo.read_need())["state"] == "open"

    async def test_is_too_late_after_the_agreement(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        await duo.agree()
        await ask(duo.volunteer, f"{duo.path}/decline", REASON, status=409)


class TestCancelMission:
    async def test_reopens_the_need_with_history(self, make_duo: MakeDuo, published: Published) -> None:
        duo = await make_duo()
        await reserve(duo)
        await ask(duo.town.association, f"{duo.path}/cancellation", REASON)
        assert (await duo.read())["state"] == "cancelled"
        need = await duo.read_need()
        assert need["state"] == "open"
        last = need["history"][-1]
        assert (last["before"], last["after"], last["deed"]) == ("covered", "open", "reopen")
        assert REASON["reason"] in last["reason"]
        assert (await published(MissionCancelled))[0]["reason"] == REASON["reason"]
        assert len(await published(NeedOpened)) == 2

    async def test_of_what_is_only_proposed_is_the_towns(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        await ask(duo.volunteer, f"{duo.path}/cancellation", REASON, status=409)
        await ask(duo.town.operator, f"{duo.path}/cancellation", REASON)

    async def test_of_disputed_hours_is_the_towns(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        await report(duo)
        await ask(duo.town.association, f"{duo.path}/dispute", REASON)
        await ask(duo.town.association, f"{duo.path}/cancellation", REASON, status=409)
        await ask(duo.town.operator, f"{duo.path}/cancellation", REASON)

    async def test_not_by_strangers_and_not_after_validation(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        await validate(duo)
        _, stranger = await duo.town.add_association()
        await ask(stranger, f"{duo.path}/cancellation", REASON, status=403)
        await ask(duo.town.association, f"{duo.path}/cancellation", REASON, status=409)


class TestTimesheets:
    async def test_never_exceed_the_agreement(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        await work_on(duo, 300)
        problem = await ask(duo.volunteer, f"{duo.path}/timesheets", make_sheet(61), status=409)
        assert problem["type"].endswith("agreed-minutes-exceeded")
        assert "new agreement" in problem["detail"]
        await ask(duo.volunteer, f"{duo.path}/timesheets", make_sheet(60, note="Fin."), status=201)

    async def test_two_at_once_never_exceed_it_either(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        await work_on(duo, 60)
        body = make_sheet(200)
        answers = await asyncio.gather(*[duo.volunteer.post(f"{duo.path}/timesheets", json=body) for _ in range(3)])
        assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
        assert (await duo.read())["worked_minutes"] == 260

    async def test_a_correction_replaces_and_both_are_kept(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        await report(duo, 300)
        await ask(duo.town.association, f"{duo.path}/dispute", {"reason": "Nous étions là 4 h."})
        listed = await ask(duo.town.association, f"{duo.path}/timesheets", method="GET")
        first = listed["items"][0]["id"]
        correction = make_sheet(240, replaces=first, note="Corrigé.")
        await ask(duo.volunteer, f"{duo.path}/timesheets", correction, status=201)
        await ask(duo.volunteer, f"{duo.path}/timesheets", correction, status=409)
        listed = await ask(duo.town.association, f"{duo.path}/timesheets", method="GET")
        assert [(item["minutes"], item["replaced"]) for item in listed["items"]] == [(300, True), (240, False)]
        await ask(duo.volunteer, f"{duo.path}/report", status=422)
        await ask(duo.volunteer, f"{duo.path}/report", {"reason": "Quatre heures, en effet."})
        validated = await ask(duo.town.association, f"{duo.path}/validation")
        assert validated["worked_minutes"] == 240

    async def test_replaces_only_its_own_missions_timesheets(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        await work_on(duo)
        body = make_sheet(10, replaces=str(new_id()))
        await ask(duo.volunteer, f"{duo.path}/timesheets", body, status=422)
        await ask(duo.volunteer, f"{duo.path}/timesheets", make_sheet(0), status=422)

    async def test_are_the_volunteers(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        await reserve(duo)
        _, other = await duo.town.add_volunteer()
        await ask(other, f"{duo.path}/start", status=403)
        await ask(duo.volunteer, f"{duo.path}/start")
        await ask(other, f"{duo.path}/timesheets", make_sheet(10), status=403)
        await ask(other, f"{duo.path}/timesheets", method="GET", status=404)
        await ask(duo.volunteer, f"{duo.path}/report", status=409)

    async def test_only_the_association_validates(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        await report(duo)
        _, stranger = await duo.town.add_association()
        await ask(stranger, f"{duo.path}/validation", status=403)
        await ask(duo.volunteer, f"{duo.path}/validation", status=403)


class TestReadMissions:
    async def test_each_side_sees_its_own(self, make_duo: MakeDuo) -> None:
        duo, other = await make_duo(professional=True), await make_duo()
        assert duo.company
        auditor = await duo.town.sign_in(Role.AUDITOR)
        expected = [
            (duo.volunteer, {duo.mission["id"]}),
            (duo.company, {duo.mission["id"]}),
            (other.volunteer, {other.mission["id"]}),
            (duo.town.association, {duo.mission["id"], other.mission["id"]}),
            (auditor, {duo.mission["id"], other.mission["id"]}),
        ]
        for client, missions in expected:
            listed = await ask(client, "/missions", method="GET")
            assert {item["id"] for item in listed["items"]} == missions
        await ask(other.volunteer, duo.path, method="GET", status=404)

    async def test_filters_and_pages(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        await make_duo()
        one = await ask(duo.town.officer, f"/missions?need_id={duo.need['id']}&state=proposed", method="GET")
        assert [item["id"] for item in one["items"]] == [duo.mission["id"]]
        assert (await ask(duo.town.officer, "/missions?state=closed", method="GET"))["items"] == []
        first = await duo.town.officer.get("/missions?limit=1")
        following = await ask(duo.town.officer, f"/missions?limit=1&cursor={first.json()['next']}", method="GET")
        assert following["items"][0]["id"] != first.json()["items"][0]["id"]
        assert 'rel="next"' in first.headers["link"]

    async def test_partners_see_none(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        partner = await duo.town.sign_in(Role.PARTNER)
        await ask(partner, "/missions", method="GET", status=403)

    async def test_another_territory_sees_none(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        stranger = await duo.town.sign_in(Role.OFFICER, territory="2A004")
        await ask(stranger, duo.path, method="GET", status=404)
        assert (await ask(stranger, "/missions", method="GET"))["items"] == []


class TestHistory:
    async def test_cannot_be_changed_or_deleted(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        for statement in ("UPDATE mission_event SET who = 'x'", "DELETE FROM mission_event"):
            with pytest.raises(Exception, match="history only grows"):
                async with open_work(duo.town.app.state.database, Caller.system(duo.town.territory)) as work:
                    await work.driver.execute(statement)

    async def test_a_step_names_the_message_that_caused_it(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        await duo.agree()
        message_id = new_id()
        await duo.town.deliver(make_delivery(make_reserved(duo), duo.town.territory, id=message_id))
        async with open_work(duo.town.app.state.database, Caller.system(duo.town.territory)) as work:
            cause = await work.driver.fetchval(
                "SELECT cause FROM mission_event WHERE subject_id = $1 AND deed = 'reserve'", UUID(duo.mission["id"])
            )
        assert cause == message_id

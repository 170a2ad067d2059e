"""Candidates and proposals over HTTP, on a real PostgreSQL."""

import asyncio

import pytest

from kernel.auth import Caller, Role
from kernel.events.credits import AssociationAdmitted
from kernel.events.matching import MissionProposed
from kernel.ids import new_id
from kernel.work import open_work
from services.matching.use_cases import proposals
from tests.builders.matching import ANTONY
from tests.matching.conftest import MakeDuo, Published, Town, ask, make_member_recorded


class TestListCandidates:
    async def test_with_score_and_reasons_and_why_not(self, town: Town, published: Published) -> None:
        need = await town.add_open_need()
        good, _ = await town.add_volunteer()
        best = await town.add_open_offer(good)
        far = await town.add_open_offer((await town.add_volunteer())[0], commune=ANTONY, radius_km=1)
        member_of_the_association, _ = await town.add_volunteer(employer_id=town.association_id)
        own = await town.add_open_offer(member_of_the_association)
        seen = await ask(town.association, f"/needs/{need['id']}/candidates", method="GET")
        assert [candidate["offer_id"] for candidate in seen["candidates"]] == [best["id"]]
        first = seen["candidates"][0]
        assert first["score"] == sum(part["points"] for part in first["parts"]) == 91
        assert first["reasons"][:2] == ["2 compétences communes : comptabilité, tableur", "dans la même commune : Sceaux"]
        assert {item["offer_id"]: [obstacle["kind"] for obstacle in item["obstacles"]] for item in seen["unfit"]} == {
            far["id"]: ["distance"], own["id"]: ["own_association"],
        }  # fmt: skip
        assert seen["explanation"]["rules"]
        assert await published(MissionProposed) == []

    async def test_are_the_associations_and_the_towns(self, town: Town) -> None:
        need = await town.add_open_need()
        _, stranger = await town.add_association()
        _, volunteer = await town.add_volunteer()
        partner = await town.sign_in(Role.PARTNER)
        for client in (stranger, volunteer, partner):
            await ask(client, f"/needs/{need['id']}/candidates", method="GET", status=403)

    async def test_leave_out_paused_offers_and_archived_people(self, town: Town) -> None:
        need = await town.add_open_need()
        one, volunteer = await town.add_volunteer()
        other, _ = await town.add_volunteer()
        paused, _ = await town.add_open_offer(one), await town.add_open_offer(other)
        await ask(volunteer, f"/offers/{paused['id']}/pause")
        await town.tell(make_member_recorded(other, version=2, archived=True))
        seen = await ask(town.officer, f"/needs/{need['id']}/candidates", method="GET")
        assert (seen["candidates"], seen["unfit_offers"]) == ([], 0)


class TestPanel:
    async def test_shuts_out_an_association_that_was_not_admitted(self, town: Town) -> None:
        need = await town.add_open_need()
        offer = await town.add_open_offer((await town.add_volunteer())[0])
        await town.tell(AssociationAdmitted(campaign_id=town.campaign_id, association_id=new_id()))
        seen = await ask(town.operator, f"/needs/{need['id']}/candidates", method="GET")
        assert seen["candidates"] == []
        assert [(item["offer_id"], item["obstacles"][0]["kind"]) for item in seen["unfit"]] == [(offer["id"], "panel")]
        problem = await ask(town.operator, f"/needs/{need['id']}/proposals", {"offer_id": offer["id"]}, status=409)
        assert problem["obstacles"] == ["l'association n'est pas au panel de la campagne"]
        await town.tell(AssociationAdmitted(campaign_id=town.campaign_id, association_id=town.association_id))
        await ask(town.operator, f"/needs/{need['id']}/proposals", {"offer_id": offer["id"]}, status=201)

    async def test_of_a_campaign_from_before_we_listened_shuts_nobody_out(self, town: Town) -> None:
        async with open_work(town.app.state.database, Caller.system(town.territory)) as work:
            await work.driver.execute("UPDATE campaign SET panel_heard = false")
        await town.tell(AssociationAdmitted(campaign_id=town.campaign_id, association_id=new_id()))
        need = await town.add_open_need()
        await town.add_open_offer((await town.add_volunteer())[0])
        await ask(town.operator, f"/needs/{need['id']}/proposals", status=201)


class TestProposeMission:
    async def test_the_best_offer(self, town: Town, published: Published) -> None:
        need = await town.add_open_need()
        await town.add_open_offer((await town.add_volunteer())[0], commune=ANTONY)
        best = await town.add_open_offer((await town.add_volunteer())[0])
        mission = await ask(town.association, f"/needs/{need['id']}/proposals", status=201)
        assert (mission["offer_id"], mission["minutes"], mission["state"]) == (best["id"], 360, "proposed")
        told = (await published(MissionProposed))[0]
        assert told["reasons"] == mission["reasons"]
        assert told["company_id"] is None
        # What a convention is written from.
        asked = (told["description"], told["place"], told["calendar"], told["starts_on"])
        assert asked == (need["description"], "Sceaux", "toute la semaine", mission["starts_on"])

    async def test_says_why_nothing_fits(self, town: Town) -> None:
        need = await town.add_open_need()
        problem = await ask(town.operator, f"/needs/{need['id']}/proposals", status=409)
        assert problem["type"].endswith("nothing-fits")
        assert problem["why"] == ["aucune offre ouverte"]
        offer = await town.add_open_offer((await town.add_volunteer())[0], minutes=60)
        problem = await ask(town.operator, f"/needs/{need['id']}/proposals", status=409)
        assert problem["why"] == ["1 offre : pas assez d'heures libres"]
        problem = await ask(town.operator, f"/needs/{need['id']}/proposals", {"offer_id": offer["id"]}, status=409)
        assert problem["obstacles"] == ["6 h demandées, 1 h offerte"]
        await ask(town.operator, f"/needs/{need['id']}/proposals", {"offer_id": str(new_id())}, status=409)

    async def test_one_live_mission_a_need(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        await duo.town.add_open_offer((await duo.town.add_volunteer())[0])
        problem = await ask(duo.town.operator, f"/needs/{duo.need['id']}/proposals", status=409)
        assert problem["type"].endswith("need-has-live-mission")

    async def test_a_volunteer_proposes_their_own_offer_only(self, town: Town) -> None:
        need = await town.add_open_need()
        volunteer_id, volunteer = await town.add_volunteer()
        offer = await town.add_open_offer(volunteer_id)
        _, other = await town.add_volunteer()
        await ask(other, f"/needs/{need['id']}/proposals", {"offer_id": offer["id"]}, status=403)
        await ask(volunteer, f"/needs/{need['id']}/proposals", status=403)
        await ask(volunteer, f"/needs/{need['id']}/proposals", {"offer_id": offer["id"]}, status=201)

    async def test_what_was_declined_comes_again_only_by_name(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        await ask(duo.volunteer, f"{duo.path}/decline", {"reason": "Pas cette fois."})
        problem = await ask(duo.town.operator, f"/needs/{duo.need['id']}/proposals", status=409)
        assert problem["why"] == ["1 offre : déjà déclinée ou annulée pour ce besoin"]
        again = await ask(duo.town.operator, f"/needs/{duo.need['id']}/proposals", {"offer_id": duo.offer["id"]}, status=201)
        assert again["score"] == 91

    async def test_only_for_open_needs(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        await ask(duo.town.association, f"/needs/{duo.need['id']}/withdrawal", {"reason": "Non."})
        await ask(duo.town.operator, f"/needs/{duo.need['id']}/proposals", status=409)

    async def test_two_at_once_take_an_offers_minutes_once(self, town: Town) -> None:
        needs = [await town.add_open_need() for _ in range(3)]
        offer = await town.add_open_offer((await town.add_volunteer())[0], minutes=720)
        answers = await asyncio.gather(
            *[town.operator.post(f"/needs/{need['id']}/proposals", json={"offer_id": offer["id"]}) for need in needs]
        )
        assert sorted(answer.status_code for answer in answers) == [201, 201, 409]


class TestProposeMissions:
    async def test_for_every_open_need_with_reasons_for_the_others(self, town: Town, published: Published) -> None:
        needs = [await town.add_open_need() for _ in range(3)]
        sewing = await town.add_open_need(skills=[{"label": "couture"}])
        for _ in range(2):
            await town.add_open_offer((await town.add_volunteer())[0])
        summary = await ask(town.operator, "/proposals")
        assert (summary["needs"], summary["offers"]) == (4, 2)
        assert len({item["need_id"] for item in summary["proposed"]}) == 2
        assert len({item["offer_id"] for item in summary["proposed"]}) == 2
        why = {item["need_id"]: item["why"] for item in summary["unserved"]}
        assert why.pop(sewing["id"]) == ["2 offres : aucune compétence commune"]
        assert list(why.values()) == [["2 offres conviennent, mais d'autres besoins ont pris leurs heures"]]
        assert set(why) <= {need["id"] for need in needs}
        assert summary["explanation"]["ask_a_person"]
        again = await ask(town.operator, "/proposals")
        assert (again["needs"], again["proposed"]) == (2, [])
        assert len(await published(MissionProposed)) == 2

    async def test_of_one_campaign(self, town: Town) -> None:
        await town.add_open_need()
        await town.add_open_offer((await town.add_volunteer())[0])
        await ask(town.operator, "/proposals", {"campaign_id": str(new_id())}, status=409)
        summary = await ask(town.operator, "/proposals", {"campaign_id": str(town.campaign_id)})
        assert len(summary["proposed"]) == 1

    async def test_too_many_are_for_a_round(self, town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(proposals, "MOST_NEEDS_AT_ONCE", 1)
        for _ in range(2):
            await town.add_open_need()
        problem = await ask(town.operator, "/proposals", status=409)
        assert problem["type"].endswith("too-many-at-once")
        assert "POST /rounds" in problem["detail"]

    async def test_is_the_operators(self, town: Town) -> None:
        for client in (town.association, town.officer):
            await ask(client, "/proposals", status=403)

    async def test_two_at_once_propose_once(self, town: Town, published: Published) -> None:
        for _ in range(3):
            await town.add_open_need()
            await town.add_open_offer((await town.add_volunteer())[0])
        await asyncio.gather(*[town.operator.post("/proposals") for _ in range(3)])
        assert len(await published(MissionProposed)) == 3

    async def test_the_same_key_gives_the_same_answer(self, town: Town) -> None:
        await town.add_open_need()
        await town.add_open_offer((await town.add_volunteer())[0])
        headers = {"idempotency-key": str(new_id())}
        first = await town.operator.post("/proposals", headers=headers)
        again = await town.operator.post("/proposals", headers=headers)
        assert first.json() == again.json()
        assert len(first.json()["proposed"]) == 1

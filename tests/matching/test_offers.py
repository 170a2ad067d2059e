"""Offers over HTTP, on a real PostgreSQL: a class per verb."""

from typing import Any

import pytest

from kernel.auth import Role
from kernel.events.matching import MissionCancelled, OfferOpened
from kernel.events.registry import CommuneRecorded
from kernel.ids import new_id
from services.matching.domain.shared import Skill
from services.matching.use_cases.facts import name_skills
from tests.builders.matching import make_offer_body, make_referential
from tests.matching.conftest import MakeDuo, Published, Town, ask, make_member_recorded


class TestWriteOffer:
    async def test_a_volunteer_writes_their_own(self, town: Town) -> None:
        volunteer_id, volunteer = await town.add_volunteer()
        offer = await ask(volunteer, "/offers", make_offer_body(), status=201)
        assert (offer["volunteer_id"], offer["state"], offer["remaining_minutes"]) == (str(volunteer_id), "draft", 600)

    async def test_not_for_another_person(self, town: Town) -> None:
        _, volunteer = await town.add_volunteer()
        await ask(volunteer, "/offers", make_offer_body(new_id()), status=403)
        problem = await ask(town.officer, "/offers", make_offer_body(), status=201)
        assert problem["volunteer_id"]

    @pytest.mark.parametrize(
        ("changes", "pointer"),
        [
            ({"available_until": "2025-12-31"}, "/available_until"),
            ({"commune": None}, "/commune"),
            ({"radius_km": -1}, "/radius_km"),
            ({"setting": "paid"}, "/setting"),
            ({"skills": [{"label": " "}]}, "/skills/0/label"),
        ],
    )
    async def test_names_the_faulty_field(self, town: Town, changes: dict[str, Any], pointer: str) -> None:
        _, volunteer = await town.add_volunteer()
        problem = await ask(volunteer, "/offers", make_offer_body(**changes), status=422)
        assert [fault["pointer"] for fault in problem["errors"]] == [pointer]

    async def test_of_an_unknown_commune_is_refused_with_the_cure(self, town: Town) -> None:
        _, volunteer = await town.add_volunteer()
        problem = await ask(volunteer, "/offers", make_offer_body(commune="92330"), status=422)
        (fault,) = problem["errors"]
        assert fault["pointer"] == "/commune"
        assert "not the postcode" in fault["detail"]

    async def test_in_a_commune_that_only_the_registry_knows(self, town: Town) -> None:
        await town.tell(CommuneRecorded(insee="92999", name="Ville nouvelle", latitude=48.7, longitude=2.3))
        _, volunteer = await town.add_volunteer()
        await ask(volunteer, "/offers", make_offer_body(commune="92999"), status=201)

    async def test_keeps_all_terms(self, town: Town) -> None:
        _, volunteer = await town.add_volunteer()
        terms: dict[str, Any] = {
            "languages": ["fr", "ar"], "week": ["monday_evening"], "excluded_associations": [str(new_id())],
            "point": {"latitude": 48.7764, "longitude": 2.2961},
        }  # fmt: skip
        offer = await ask(volunteer, "/offers", make_offer_body(**terms), status=201)
        assert {name: offer[name] for name in terms} == terms | {"point": {"latitude": 48.776, "longitude": 2.296}}
        edited = await volunteer.patch(f"/offers/{offer['id']}", json={"point": None, "week": []}, headers={"if-match": '"1"'})
        assert (edited.json()["point"], edited.json()["week"], edited.json()["languages"]) == (None, [], ["fr", "ar"])

    @pytest.mark.parametrize("fact", [{"honorability_checked_on": "2026-01-05"}, {"charter_signed": True}])
    async def test_what_the_town_establishes_only_the_town_writes(self, town: Town, fact: dict[str, Any]) -> None:
        volunteer_id, volunteer = await town.add_volunteer()
        problem = await ask(volunteer, "/offers", make_offer_body(**fact), status=422)
        assert [fault["pointer"] for fault in problem["errors"]] == [f"/{name}" for name in fact]
        offer = await ask(town.officer, "/offers", make_offer_body(volunteer_id, **fact), status=201)
        assert fact.items() <= offer.items()
        path, version = f"/offers/{offer['id']}", {"if-match": '"1"'}
        assert (await volunteer.patch(path, json=fact, headers=version)).status_code == 422
        kept = await volunteer.patch(path, json={"minutes": 90}, headers=version)
        assert fact.items() <= kept.json().items()

    async def test_an_unknown_skill_code_is_refused_a_label_alone_is_free_text(self, town: Town) -> None:
        _, volunteer = await town.add_volunteer()
        skills = [{"label": "tissage de lirettes bretonnes"}, {"label": "autre", "code": "pas-de-ce-code"}]
        problem = await ask(volunteer, "/offers", make_offer_body(skills=skills), status=422)
        assert [fault["pointer"] for fault in problem["errors"]] == ["/skills/1/code"]
        offer = await ask(volunteer, "/offers", make_offer_body(skills=skills[:1]), status=201)
        assert [(skill["label"], skill["code"]) for skill in offer["skills"]] == [("tissage de lirettes bretonnes", None)]


class TestNameSkills:
    def test_a_label_that_names_a_skill_gets_its_code_and_a_code_alone_its_name(self) -> None:
        referential = make_referential({"tableur": "Tableur"}, synonyms={"tableur": ["feuille de calcul"]})
        written = {
            0: Skill("Feuille de calcul", 2),
            1: Skill("poterie"),
            2: Skill("Mes tableaux", code="tableur"),
            3: Skill("", code="tableur"),
        }
        assert name_skills(written, referential) == {
            0: Skill("Feuille de calcul", 2, "tableur"),
            1: Skill("poterie"),
            2: Skill("Mes tableaux", 1, "tableur"),
            3: Skill("Tableur", 1, "tableur"),
        }


class TestPutOffer:
    async def test_creates_then_leaves_then_changes(self, town: Town) -> None:
        volunteer_id, _ = await town.add_volunteer()
        body = make_offer_body(volunteer_id)
        created = await ask(town.officer, "/offers/refs/offre-1", body, status=201, method="PUT")
        assert created["outcome"] == "created"
        assert (await ask(town.officer, "/offers/refs/offre-1", body, method="PUT"))["outcome"] == "unchanged"
        await ask(town.officer, f"/offers/{created['id']}/opening")
        changed = await ask(town.officer, "/offers/refs/offre-1", body | {"minutes": 90}, method="PUT")
        assert (changed["outcome"], changed["state"], changed["minutes"]) == ("changed", "open", 90)
        other = body | {"minutes": 90, "volunteer_id": str(new_id())}
        await ask(town.officer, "/offers/refs/offre-1", other, status=409, method="PUT")

    async def test_is_the_towns(self, town: Town) -> None:
        _, volunteer = await town.add_volunteer()
        await ask(volunteer, "/offers/refs/offre-1", make_offer_body(), status=403, method="PUT")


class TestEditOffer:
    async def test_never_below_what_missions_count_on(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        path, headers = f"/offers/{duo.offer['id']}", {"if-match": f'"{duo.offer["version"]}"'}
        refusal = await duo.volunteer.patch(path, json={"minutes": 359}, headers=headers)
        assert refusal.json()["promised_minutes"] == 360
        edited = await duo.volunteer.patch(path, json={"minutes": 360}, headers=headers)
        assert edited.json()["remaining_minutes"] == 0
        _, stranger = await duo.town.add_volunteer()
        assert (await stranger.patch(path, json={"minutes": 500}, headers=headers)).status_code == 403


class TestOpenOffer:
    async def test_tells_skills_and_minutes_and_no_person(self, town: Town, published: Published) -> None:
        volunteer_id, volunteer = await town.add_volunteer()
        offer = await town.add_open_offer(volunteer_id)
        told = await published(OfferOpened)
        assert told[0] | {"type": ""} == {
            "type": "", "offer_id": offer["id"], "minutes": 600, "skills": ["Comptabilité", "tableur"],
        }  # fmt: skip
        assert (await ask(volunteer, f"/offers/{offer['id']}/pause"))["state"] == "paused"
        assert (await ask(volunteer, f"/offers/{offer['id']}/opening"))["state"] == "open"
        detail = await ask(volunteer, f"/offers/{offer['id']}", method="GET")
        assert [step["deed"] for step in detail["history"]] == ["create", "open", "pause", "open"]

    async def test_waits_for_the_registry_to_tell_about_the_volunteer(self, town: Town) -> None:
        volunteer_id = new_id()
        offer = await ask(town.officer, "/offers", make_offer_body(volunteer_id), status=201)
        problem = await ask(town.officer, f"/offers/{offer['id']}/opening", status=409)
        assert problem["type"].endswith("not-known-yet")
        await town.tell(make_member_recorded(volunteer_id))
        await ask(town.officer, f"/offers/{offer['id']}/opening")

    async def test_is_the_volunteers(self, town: Town) -> None:
        volunteer_id, _ = await town.add_volunteer()
        offer = await ask(town.officer, "/offers", make_offer_body(volunteer_id), status=201)
        _, stranger = await town.add_volunteer()
        for verb in ("opening", "pause", "withdrawal"):
            await ask(stranger, f"/offers/{offer['id']}/{verb}", status=403)


class TestWithdrawOffer:
    async def test_ends_what_is_proposed(self, make_duo: MakeDuo, published: Published) -> None:
        duo = await make_duo()
        await ask(duo.volunteer, f"/offers/{duo.offer['id']}/withdrawal", {"reason": "Je déménage."})
        assert (await duo.read())["history"][-1]["reason"] == "Je déménage."
        assert len(await published(MissionCancelled)) == 1
        assert (await duo.read_need())["state"] == "open"

    async def test_leaves_what_is_agreed(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        await duo.agree()
        withdrawn = await ask(duo.volunteer, f"/offers/{duo.offer['id']}/withdrawal")
        assert withdrawn["state"] == "withdrawn"
        assert (await duo.read())["state"] == "agreed"


class TestReadOffers:
    async def test_each_sees_their_own(self, town: Town) -> None:
        company_id = new_id()
        company = await town.sign_in(Role.COMPANY, actor_id=company_id)
        employee_id, employee = await town.add_volunteer(employer_id=company_id)
        citizen_id, citizen = await town.add_volunteer()
        professional = await town.add_open_offer(employee_id, setting="professional")
        private = await town.add_open_offer(employee_id)
        other = await town.add_open_offer(citizen_id)
        expected = [
            (company, [professional]),
            (employee, [professional, private]),
            (citizen, [other]),
            (town.officer, [professional, private, other]),
        ]
        for client, offers in expected:
            listed = (await ask(client, "/offers", method="GET"))["items"]
            assert [offer["id"] for offer in listed] == [offer["id"] for offer in offers]
        await ask(company, f"/offers/{private['id']}", method="GET", status=404)
        listed = (await ask(town.officer, f"/offers?volunteer_id={citizen_id}&state=open", method="GET"))["items"]
        assert [offer["id"] for offer in listed] == [other["id"]]

    async def test_associations_and_partners_list_none(self, town: Town) -> None:
        partner = await town.sign_in(Role.PARTNER)
        for client in (town.association, partner):
            await ask(client, "/offers", method="GET", status=403)

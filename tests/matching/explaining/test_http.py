"""Explanations, records, rules and reports over HTTP, on a real PostgreSQL."""

from typing import Any

import asyncpg
import pytest

from kernel.auth import Caller, Role
from kernel.database import Database
from kernel.events.matching import MissionDeclined
from kernel.ids import new_id
from kernel.work import open_work
from services.matching.engine.explaining.record import digest
from tests.builders.matching import ANTONY
from tests.matching.conftest import Enter, MakeDuo, Published, Town, ask
from tests.matching.rounds import Rounds
from tests.support.clients import client_for, make_caller

HOSTILE = "<script>alert('x')</script>"
RECORD = {
    "format", "law", "complete", "note", "reader", "about", "contribution", "data", "parameters", "operations", "versions",
    "contact", "proposal_digest", "digest",
}  # fmt: skip


@pytest.fixture
async def rounds(town: Town, database: Database) -> Rounds:
    return Rounds(town, database)


async def read_page(client: Any, path: str) -> str:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    text: str = answer.text
    assert "<script" not in text
    assert "://" not in text
    return text


class TestWhy:
    async def test_adds_up_and_stays_as_it_was(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        why = await ask(duo.volunteer, f"{duo.path}/why", method="GET")
        assert sum(one["points"] for one in why["criteria"]) == why["score"] == duo.mission["score"]
        first = why["criteria"][0]
        assert first["calculation"] == "50 × 12 ÷ 12 = 50"
        assert {words["side"] for words in first["words"]} == {"offer"}
        assert why["proposed_with"]["origin"] == "named"
        # The offer says something else now; the mission keeps what it was proposed with.
        version = duo.offer["version"]
        edited = await duo.volunteer.patch(
            f"/offers/{duo.offer['id']}", json={"title": "Autre", "radius_km": 9}, headers={"if-match": f'"{version}"'}
        )
        assert edited.status_code == 200, edited.text
        assert await ask(duo.volunteer, f"{duo.path}/why", method="GET") == why

    async def test_the_association_does_not_read_the_offers_text(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        why = await ask(duo.town.association, f"{duo.path}/why", method="GET")
        assert all(words["side"] == "need" for one in why["criteria"] for words in one["words"])

    async def test_cannot_be_rewritten(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        database, territory = duo.town.app.state.database, duo.town.territory
        for change in ("explanation = '{}'", "score = score + 1", "parts = '[]'", "weights_version = 9"):
            with pytest.raises(asyncpg.RaiseError, match="is refused"):
                async with open_work(database, Caller.system(territory)) as work:
                    await work.driver.execute(f"UPDATE mission SET {change}")


class TestRecord:
    async def test_has_the_four_parts_of_the_article(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        await ask(duo.volunteer, f"{duo.path}/acceptance", {"criterion": "skills"})
        record = await ask(duo.volunteer, f"{duo.path}/record", method="GET")
        assert set(record) == RECORD
        assert (record["format"], record["complete"], record["reader"]) == ("metis-matching-record/1", True, "volunteer")
        assert record["contribution"]["degree"].startswith("Faible")
        assert [step["deed"] for step in record["contribution"]["human_decisions"]] == ["create", "accept"]
        assert {item["about"] for item in record["data"]} == {"need", "offer", "volunteer", "association", "pair"}
        assert all(item["source"] for item in record["data"])
        assert sum(one["points"] for one in record["parameters"]["criteria"]) == record["parameters"]["score"]
        assert all(one["why"] and one["calculation"] for one in record["parameters"]["criteria"])
        assert [operation["step"] for operation in record["operations"]] == ["skills", "gates", "score", "choice"]
        assert len(record["operations"][1]["gates"]) == 14
        assert None not in (record["versions"]["engine"], record["versions"]["referential"], record["versions"]["weights"])
        told = record.pop("digest")
        assert told == digest(record)

    async def test_is_of_the_sides_the_town_and_the_auditor_alone(self, make_duo: MakeDuo) -> None:
        duo = await make_duo(professional=True)
        assert duo.company is not None
        readers = {}
        auditor = await duo.town.sign_in(Role.AUDITOR)
        for client in (duo.volunteer, duo.company, duo.town.association, duo.town.officer, auditor):
            record = await ask(client, f"{duo.path}/record", method="GET")
            readers[record["reader"]] = record
        assert set(readers) == {"volunteer", "company", "association", "town"}
        assert len({record["proposal_digest"] for record in readers.values()}) == 1
        of_association = readers["association"]
        assert duo.offer["title"] not in str(of_association["data"])
        assert "rattachement" not in str(of_association["data"])
        _, other_volunteer = await duo.town.add_volunteer()
        _, other_association = await duo.town.add_association()
        for path in (f"{duo.path}/record", f"{duo.path}/record/page", f"{duo.path}/why"):
            for client in (other_volunteer, other_association):
                assert (await client.get(path)).status_code == 404
        partner = await duo.town.sign_in(Role.PARTNER)
        await ask(partner, f"{duo.path}/record", method="GET", status=403)

    async def test_of_another_town_is_not_there(self, make_duo: MakeDuo, sign_in: Enter) -> None:
        duo = await make_duo()
        stranger = await sign_in(Role.OFFICER, territory="99999", member_id=new_id())
        await ask(stranger, f"{duo.path}/record", method="GET", status=404)
        await ask(stranger, f"/needs/{duo.need['id']}/smallest-change", method="GET", status=404)

    async def test_page_escapes_what_people_wrote(self, make_duo: MakeDuo) -> None:
        duo = await make_duo(title=HOSTILE)
        text = await read_page(duo.volunteer, f"{duo.path}/record/page")
        assert "&lt;script&gt;" in text
        for heading in ("1. Degré et mode", "2. Données", "3. Paramètres", "4. Opérations"):
            assert heading in text

    async def test_of_a_mission_of_before_says_what_is_missing(self, make_duo: MakeDuo, owner_url: Any) -> None:
        duo = await make_duo()
        owner = await asyncpg.connect(owner_url("matching"))
        await owner.execute(
            "ALTER TABLE mission DISABLE TRIGGER mission_explanation_stays; ALTER TABLE mission NO FORCE ROW LEVEL SECURITY"
        )
        await owner.execute("UPDATE mission SET explanation = NULL WHERE id = $1", duo.mission["id"])
        await owner.execute(
            "ALTER TABLE mission ENABLE TRIGGER mission_explanation_stays; ALTER TABLE mission FORCE ROW LEVEL SECURITY"
        )
        await owner.close()
        record = await ask(duo.volunteer, f"{duo.path}/record", method="GET")
        assert (record["complete"], record["versions"]["engine"]) == (False, None)
        assert "avant" in record["note"]
        await read_page(duo.volunteer, f"{duo.path}/record/page")


class TestWhyNot:
    async def test_names_the_gates_and_what_would_lift_them(self, town: Town) -> None:
        need = await town.add_open_need()
        volunteer_id, volunteer = await town.add_volunteer()
        offer = await town.add_open_offer(volunteer_id, minutes=120)
        for client in (town.association, town.officer, volunteer):
            found = await ask(client, f"/needs/{need['id']}/why-not/{offer['id']}", method="GET")
            assert [gate["sentence"] for gate in found["gates"]] == ["6 h demandées, 2 h offertes"]
            assert found["smallest_change"]["sentence"] == "Avec 2 h au lieu de 6 h."
        _, other = await town.add_volunteer()
        await ask(other, f"/needs/{need['id']}/why-not/{offer['id']}", method="GET", status=404)

    async def test_where_the_minutes_went_and_who_was_preferred(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        town = duo.town
        second_id, second = await town.add_volunteer()
        lesser = await town.add_open_offer(second_id, commune=ANTONY)
        found = await ask(second, f"/needs/{duo.need['id']}/why-not/{lesser['id']}", method="GET")
        assert found["gates"] == []
        assert found["preferred"] == {
            "score": 91, "mission_id": None, "points": {part["name"]: part["points"] for part in duo.mission["parts"]},
        }  # fmt: skip
        assert str(found["score"]) in found["conclusion"]
        other_need = await town.add_open_need()
        told = await ask(duo.volunteer, f"/needs/{other_need['id']}/why-not/{duo.offer['id']}", method="GET")
        assert [(one["minutes"], one["mission_id"]) for one in told["taken"]] == [(360, duo.mission["id"])]
        assert told["gates"][0]["sentence"] == "6 h demandées, 10 h offertes dont 4 h encore libres"
        of_association = await ask(town.association, f"/needs/{other_need['id']}/why-not/{duo.offer['id']}", method="GET")
        assert [(one["minutes"], one["mission_id"]) for one in of_association["taken"]] == [(360, None)]


class TestSmallestChange:
    async def test_is_computed_over_the_open_offers(self, town: Town) -> None:
        need = await town.add_open_need()
        await town.add_open_offer((await town.add_volunteer())[0], minutes=180)
        await town.add_open_offer((await town.add_volunteer())[0], commune=ANTONY, radius_km=1, remote=True)
        found = await ask(town.association, f"/needs/{need['id']}/smallest-change", method="GET")
        assert [change["sentence"] for change in found["changes"]] == [
            "Si le rayon de l'offre était de 3 km au lieu de 1 km.",
            "Si le besoin était possible à distance.",
            "Avec 3 h au lieu de 6 h.",
        ]
        assert (found["offers"], found["complete"], found["fitting"]) == (2, True, 0)
        assert [change["changes"][0]["whose"] for change in found["changes"]] == ["volunteer", "association", "association"]
        _, stranger = await town.add_association()
        await ask(stranger, f"/needs/{need['id']}/smallest-change", method="GET", status=403)


class TestNeedRecord:
    async def test_says_why_nothing_is_proposed(self, town: Town) -> None:
        need = await town.add_open_need(title=HOSTILE)
        await town.add_open_offer((await town.add_volunteer())[0], minutes=180)
        record = await ask(town.association, f"/needs/{need['id']}/record", method="GET")
        assert set(record) == RECORD - {"complete", "reader", "proposal_digest"}
        assert record["operations"][1]["changes"] == [{"sentence": "Avec 3 h au lieu de 6 h.", "cost": 25}]
        assert {gate["kind"]: gate["offers"] for gate in record["operations"][0]["gates"]}["minutes"] == 1
        told = record.pop("digest")
        assert told == digest(record)
        text = await read_page(town.association, f"/needs/{need['id']}/record/page")
        assert "Avec 3 h au lieu de 6 h." in text
        _, stranger = await town.add_association()
        await ask(stranger, f"/needs/{need['id']}/record", method="GET", status=403)


class TestRounds:
    async def test_the_record_says_which_round_chose(self, rounds: Rounds) -> None:
        await rounds.grant()
        need = await rounds.town.add_open_need()
        offer = await rounds.add_offer()
        asked = await rounds.ask(fairness=0.5)
        await rounds.compute()
        await rounds.release(asked)
        missions = await ask(rounds.town.officer, f"/missions?need_id={need['id']}", method="GET")
        mission = missions["items"][0]
        assert mission["offer_id"] == offer["id"]
        record = await ask(rounds.town.association, f"/missions/{mission['id']}/record", method="GET")
        assert "calcul d'ensemble" in record["contribution"]["degree"]
        told = record["contribution"]["round"]
        assert (told["id"], told["fairness_permille"], told["pinned"]) == (asked["id"], 500, False)
        assert sum(one["points"] for one in record["parameters"]["criteria"]) == mission["score"]

    async def test_credit_that_does_not_suffice_is_said(self, rounds: Rounds) -> None:
        await rounds.grant(minutes=60)
        need = await rounds.town.add_open_need()
        offer = await rounds.add_offer(promise=120)
        short = "le crédit de l'association n'y suffit pas : 1 h pour 6 h"
        found = await ask(rounds.town.association, f"/needs/{need['id']}/smallest-change", method="GET")
        assert (found["fitting"], found["limits"]) == (1, [short])
        pair = await ask(rounds.town.officer, f"/needs/{need['id']}/why-not/{offer['id']}", method="GET")
        assert pair["limits"] == [short, "la promesse de la personne bénévole n'y suffit pas : 2 h pour 6 h"]
        assert pair["conclusion"].startswith("Les conditions sont remplies, mais le crédit")


class TestRules:
    async def test_are_those_in_force(self, town: Town, sign_in: Enter) -> None:
        visitor = await sign_in(Role.VISITOR)
        rules = await ask(visitor, "/matching/rules", method="GET")
        assert rules["versions"]["weights"] == 0
        weights = await ask(town.officer, "/weights", method="GET")
        changed = weights["weights"] | {"skills": 49, "minutes": 7, "reason": "Essai & <b>motif</b>"}
        answer = await town.officer.put("/weights", json=changed, headers={"if-match": '"0"'})
        assert answer.status_code == 200, answer.text
        rules = await ask(visitor, "/matching/rules", method="GET")
        assert (rules["versions"]["weights"], rules["criteria"][0]["points"]) == (1, 49)
        assert len(rules["gates"]) == 14
        text = await read_page(visitor, "/matching/rules/page")
        assert "Essai &amp; &lt;b&gt;motif&lt;/b&gt;" in text
        assert "L. 312-1-3" in text

    async def test_a_visitor_reads_nothing_else(self, town: Town, sign_in: Enter) -> None:
        visitor = await sign_in(Role.VISITOR)
        for path in ("/needs", "/missions", "/matching/equity", "/matching/feedback", "/weights"):
            await ask(visitor, path, method="GET", status=403)

    async def test_of_a_town_that_is_not_there(self, app: Any) -> None:
        async with client_for(app, make_caller("98765", Role.VISITOR)) as visitor:
            await ask(visitor, "/matching/rules", method="GET", status=404)


class TestFeedback:
    async def test_counts_by_criterion_beside_the_weights(self, make_duo: MakeDuo, published: Published) -> None:
        duo = await make_duo()
        await ask(duo.town.association, f"{duo.path}/acceptance")
        await ask(duo.volunteer, f"{duo.path}/decline", {"reason": "Trop loin pour moi.", "criterion": "distance"})
        found = await ask(duo.town.officer, "/matching/feedback", method="GET")
        (version,) = found["versions"]
        assert (version["proposed"], version["agreed"], version["declined"]) == (1, 0, 1)
        assert version["weights"]["skills"] == 50
        declined = {one["criterion"]: one for one in version["decline"]}
        assert (declined["distance"]["volunteer"], declined["distance"]["total"], declined[None]["total"]) == (1, 1, 0)
        assert {one["criterion"]: one["association"] for one in version["accept"]}[None] == 1
        assert (await published(MissionDeclined))[0]["criterion"] == "distance"
        history = (await duo.read())["history"]
        assert history[-1]["criterion"] == "distance"
        await ask(duo.volunteer, f"{duo.path}/decline", {"reason": "x", "criterion": "age"}, status=422)
        await ask(duo.town.association, "/matching/feedback", method="GET", status=403)


class TestEquity:
    async def test_by_size_and_field(self, town: Town) -> None:
        for _ in range(5):
            await town.add_open_need()
        await town.add_open_offer((await town.add_volunteer())[0])
        await ask(town.operator, "/proposals")
        found = await ask(town.officer, "/matching/equity", method="GET")
        assert (found["all"]["needs"], found["all"]["proposed"], found["all"]["rate"]) == (5, 1, 0.2)
        assert [(group["name"], group["needs"]) for group in found["fields"]] == [("culture", 5)]
        assert found["method"]
        table = await town.officer.get("/matching/equity", params={"format": "csv"})
        assert table.text.splitlines()[1].startswith("total;tous;5;1;1;0;1800;0.2;")
        assert "<svg" in await read_page(town.officer, "/matching/equity/page")
        await ask(town.association, "/matching/equity", method="GET", status=403)
        await ask(town.officer, "/matching/equity?since=2026-02-01&until=2026-01-01", method="GET", status=422)

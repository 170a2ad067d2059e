"""Skills, suggestions and confirmations over HTTP, on a real PostgreSQL."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI

from kernel.auth import Caller, Role
from kernel.database import Database
from kernel.ids import new_id
from kernel.work import open_work
from services.matching.engine.suggesting import Suggestion, suggest
from services.matching.use_cases import suggestions
from tests.builders.matching import make_need_body, make_offer_body
from tests.matching.conftest import Town, ask
from tests.support.clients import client_for, make_caller

TEXT = {
    "title": "Comptabilité à reprendre",
    "description": "La compta de l'asso, et un compost collectif derrière.",
    "kind": "need",
}


class TestListSkills:
    async def test_everybody_reads_the_referential(self, town: Town) -> None:
        for client in (town.association, await town.sign_in(Role.PARTNER), await town.sign_in(Role.VOLUNTEER)):
            listed = await ask(client, "/skills", method="GET")
            assert 150 <= len(listed["items"]) <= 300
        (skill,) = [one for one in listed["items"] if one["code"] == "compostage"]
        assert skill["name_fr"] == "Compostage"
        assert skill["group"] == {
            "code": "environnement",
            "name_fr": skill["group"]["name_fr"],
            "name_en": skill["group"]["name_en"],
        }
        assert all(set(near) == {"code", "name_fr", "percent"} for near in skill["near"])
        names = [one["name_fr"] for one in listed["items"]]
        assert len(set(names)) == len(names)

    @pytest.mark.parametrize("words", ["compost", "COMPOST collectif", "maitre composteur", "composting"])
    async def test_are_found_by_words(self, town: Town, words: str) -> None:
        (first, *_) = (await town.association.get("/skills", params={"q": words})).json()["items"]
        assert first["code"] == "compostage"

    async def test_words_that_occur_nowhere_find_nothing(self, town: Town) -> None:
        assert (await ask(town.association, "/skills?q=xylozorg", method="GET"))["items"] == []

    async def test_of_one_group(self, town: Town) -> None:
        listed = await ask(town.association, "/skills?group=sport", method="GET")
        assert {one["group"]["code"] for one in listed["items"]} == {"sport"}

    async def test_a_copy_is_confirmed_until_something_changes(self, town: Town) -> None:
        first = await town.association.get("/skills")
        seen = {"if-none-match": first.headers["etag"]}
        assert (await town.association.get("/skills", headers=seen)).status_code == 304
        assert (await town.association.get("/skills/compostage", headers=seen)).status_code == 304
        await ask(town.officer, "/skills/compostage/synonyms", {"phrase": "bac à vers", "reason": "Dit ainsi."}, status=201)
        changed = await town.association.get("/skills", headers=seen)
        assert (changed.status_code, changed.json()["version"]) == (200, f"{first.json()['version']}+1")

    async def test_read_one(self, town: Town) -> None:
        skill = await ask(town.association, "/skills/compostage", method="GET")
        assert skill["asks"]
        assert skill["false_friends"]
        problem = await ask(town.association, "/skills/pas-de-ce-code", method="GET", status=404)
        assert "GET /skills?q=" in problem["detail"]
        await ask(town.association, "/skills/Pas_un_code", method="GET", status=422)


class TestSuggest:
    async def test_each_with_its_evidence_where_it_stands(self, town: Town) -> None:
        answer = await ask(town.association, "/skill-suggestions", TEXT)
        codes = [one["code"] for one in answer["suggestions"]]
        assert codes[0] == "comptabilite"
        assert 3 <= len(codes) <= 5
        quotes = [quote for one in answer["suggestions"] for quote in one["evidence"]]
        assert quotes
        for quote in quotes:
            assert TEXT[quote["field"]][quote["start"] : quote["end"]] == quote["words"]
        assert {quote["field"] for quote in quotes} <= {"title", "description"}

    async def test_of_an_empty_or_odd_text(self, town: Town) -> None:
        for title in ("?", "🙂🙃", "a" * 200, "de la du"):
            assert (await ask(town.association, "/skill-suggestions", {"title": title}))["referential_version"]
        await ask(town.association, "/skill-suggestions", {"title": "x", "kind": "wish"}, status=422)

    async def test_for_a_need_and_an_offer_that_are_stored(self, town: Town) -> None:
        text = {"title": "Un compost collectif", "description": "🙂 pour la cour"}
        need = await ask(town.association, "/needs", make_need_body(town.campaign_id, **text), status=201)
        _, volunteer = await town.add_volunteer()
        offer = await ask(volunteer, "/offers", make_offer_body(**text), status=201)
        for client, path in ((town.association, f"/needs/{need['id']}"), (volunteer, f"/offers/{offer['id']}")):
            answer = await ask(client, f"{path}/skill-suggestions", method="GET")
            assert answer["suggestions"][0]["code"] == "compostage"
        _, stranger = await town.add_association()
        await ask(stranger, f"/needs/{need['id']}/skill-suggestions", method="GET", status=404)
        _, other = await town.add_volunteer()
        await ask(other, f"/offers/{offer['id']}/skill-suggestions", method="GET", status=404)

    async def test_changes_nothing(self, town: Town) -> None:
        need = await ask(town.association, "/needs", make_need_body(town.campaign_id, title="Un compost collectif"), status=201)
        await ask(town.association, f"/needs/{need['id']}/skill-suggestions", method="GET")
        read = await ask(town.association, f"/needs/{need['id']}", method="GET")
        assert (read["skills"], read["version"]) == (need["skills"], 1)

    async def test_keeps_no_text_whatever_key_came_with_it(self, town: Town, database: Database) -> None:
        answer = await town.association.post("/skill-suggestions", json=TEXT, headers={"idempotency-key": "k1"})
        assert answer.json()["suggestions"]
        async with open_work(database, Caller.system(town.territory)) as work:
            assert await work.driver.fetch("SELECT body FROM idempotency_key") == []


class Held:
    """A tagger that waits until it is let go, and counts how many wait in it at once."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.entered = threading.Semaphore(0)
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()

    def __call__(self, *texts: str, **_: Any) -> tuple[Suggestion, ...]:
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        self.entered.release()
        assert self.go.wait(30)
        with self._lock:
            self.at_once -= 1
        return ()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    tagger = Held()
    monkeypatch.setattr(suggestions, "suggest", tagger)
    return tagger


class TestManyTextsAtOnce:
    @pytest.mark.parametrize("keyed", [False, True])
    async def test_the_event_loop_and_the_database_stay_free(
        self, make_app: Callable[..., FastAPI], territory: str, held: Held, keyed: bool
    ) -> None:
        """More texts are being read than there are connections: other requests are served meanwhile."""
        app = make_app("matching", suggestion_threads=2)
        async with client_for(app, make_caller(territory, Role.OFFICER)) as client:
            headers = [{"idempotency-key": f"k{number}"} if keyed else {} for number in range(12)]
            asked = [client.post("/skill-suggestions", json={"title": "x"}, headers=own) for own in headers]
            reading = [asyncio.create_task(one) for one in asked]
            await asyncio.to_thread(held.entered.acquire)
            await asyncio.to_thread(held.entered.acquire)
            others = await asyncio.wait_for(asyncio.gather(*(client.get("/skills/compostage") for _ in range(10))), 10)
            assert [answer.status_code for answer in others] == [200] * 10
            assert not any(task.done() for task in reading)
            held.go.set()
            assert [answer.status_code for answer in await asyncio.gather(*reading)] == [200] * 12
            assert held.most_at_once == 2

    async def test_one_too_many_is_told_to_come_again(self, make_app: Callable[..., FastAPI], territory: str, held: Held) -> None:
        app = make_app("matching", suggestion_threads=1, most_waiting_suggestions=1)
        async with client_for(app, make_caller(territory, Role.OFFICER)) as client:
            first = asyncio.create_task(client.post("/skill-suggestions", json={"title": "x"}))
            await asyncio.to_thread(held.entered.acquire)
            refused = await client.post("/skill-suggestions", json={"title": "x"})
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            held.go.set()
            assert (await first).status_code == 200
            assert (await client.post("/skill-suggestions", json={"title": "x"})).status_code == 200

    async def test_reading_without_a_pause_leaves_the_loop_its_turn(self, town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
        """A tagger that never lets go of the processor ends only once the loop has turned a hundred times meanwhile."""
        turns = 0

        def read_on(title: str, description: str, **named: Any) -> tuple[Suggestion, ...]:
            begun, deadline = turns, time.monotonic() + 60
            while turns < begun + 100:
                assert time.monotonic() < deadline
                found = suggest(title, description, **named)
            return found

        monkeypatch.setattr(suggestions, "suggest", read_on)
        body = {"title": "Compost", "description": "Notre compost collectif et la compta. " * 130}
        reading = asyncio.gather(*(town.association.post("/skill-suggestions", json=body) for _ in range(4)))
        while not reading.done():
            turns += 1
            await asyncio.sleep(0)
        assert {answer.status_code for answer in await reading} == {200}


class TestConfirm:
    async def test_a_suggestion_is_confirmed_with_who_when_and_from_which_words(self, town: Town) -> None:
        need = await ask(town.association, "/needs", make_need_body(town.campaign_id, title="Un compost collectif"), status=201)
        suggested = await ask(town.association, f"/needs/{need['id']}/skill-suggestions", method="GET")
        first = suggested["suggestions"][0]
        skill = {"code": first["code"], "source": "suggested", "evidence": [quote["words"] for quote in first["evidence"]]}
        answer = await town.association.patch(f"/needs/{need['id']}", json={"skills": [skill]}, headers={"if-match": '"1"'})
        (confirmed,) = answer.json()["skills"]
        assert (confirmed["code"], confirmed["label"]) == ("compostage", "Compostage")
        assert (confirmed["source"], confirmed["evidence"]) == ("suggested", skill["evidence"])
        assert "compost collectif" in " ".join(confirmed["evidence"])
        assert confirmed["confirmed_by"] != need["association_id"]
        assert confirmed["confirmed_at"]

    async def test_what_was_confirmed_stays_its_confirmers(self, town: Town) -> None:
        need = await ask(town.association, "/needs", make_need_body(town.campaign_id), status=201)
        skills = [{"label": "comptabilité", "level": 2}, {"code": "compostage"}]
        answer = await town.officer.patch(
            f"/needs/{need['id']}", json={"skills": skills, "title": "Autre"}, headers={"if-match": '"1"'}
        )
        kept, new = answer.json()["skills"]
        assert kept == need["skills"][0]
        assert new["confirmed_by"] not in {None, kept["confirmed_by"]}
        retitled = await town.officer.patch(f"/needs/{need['id']}", json={"title": "Encore"}, headers={"if-match": '"2"'})
        assert retitled.json()["skills"] == [kept, new]

    async def test_another_level_is_confirmed_anew(self, town: Town) -> None:
        need = await ask(town.association, "/needs", make_need_body(town.campaign_id), status=201)
        skills = [{"label": "comptabilité", "level": 3}]
        answer = await town.officer.patch(f"/needs/{need['id']}", json={"skills": skills}, headers={"if-match": '"1"'})
        assert answer.json()["skills"][0]["confirmed_by"] != need["skills"][0]["confirmed_by"]

    async def test_evidence_that_the_text_does_not_hold_is_refused(self, town: Town) -> None:
        skills = [{"code": "compostage", "source": "suggested", "evidence": ["un compost"]}]
        problem = await ask(town.association, "/needs", make_need_body(town.campaign_id, skills=skills), status=422)
        assert [fault["pointer"] for fault in problem["errors"]] == ["/skills/0/evidence/0"]

    async def test_neither_label_nor_code_is_refused(self, town: Town) -> None:
        problem = await ask(town.association, "/needs", make_need_body(town.campaign_id, skills=[{"level": 2}]), status=422)
        assert [fault["pointer"] for fault in problem["errors"]] == ["/skills/0"]

    async def test_typed_by_a_person_imported_by_the_town(self, town: Town) -> None:
        typed = await ask(town.association, "/needs", make_need_body(town.campaign_id), status=201)
        assert {skill["source"] for skill in typed["skills"]} == {"typed"}
        body = make_need_body(town.campaign_id, town.association_id)
        imported = await ask(town.officer, "/needs/refs/b1", body, status=201, method="PUT")
        assert {skill["source"] for skill in imported["skills"]} == {"imported"}
        assert all(skill["confirmed_by"] and skill["confirmed_at"] for skill in imported["skills"])

    async def test_the_same_file_again_changes_nothing_though_words_have_come_since(self, town: Town) -> None:
        body = make_need_body(town.campaign_id, town.association_id, skills=[{"label": "bac à vers"}, {"label": "tableur"}])
        first = await ask(town.officer, "/needs/refs/b1", body, status=201, method="PUT")
        await ask(town.officer, "/skills/compostage/synonyms", {"phrase": "bac à vers", "reason": "Dit ainsi."}, status=201)
        again = await ask(town.officer, "/needs/refs/b1", body, method="PUT")
        assert (again["outcome"], again["skills"]) == ("unchanged", first["skills"])

    async def test_a_code_that_a_person_confirmed_survives_the_file(self, town: Town) -> None:
        body = make_offer_body((await town.add_volunteer())[0], skills=[{"label": "mes petits vers"}])
        offer = await ask(town.officer, "/offers/refs/o1", body, status=201, method="PUT")
        skills = [{"label": "mes petits vers", "code": "compostage"}]
        await town.officer.patch(f"/offers/{offer['id']}", json={"skills": skills}, headers={"if-match": '"1"'})
        again = await ask(town.officer, "/offers/refs/o1", body, method="PUT")
        assert (again["outcome"], again["skills"][0]["code"]) == ("unchanged", "compostage")

    async def test_who_confirmed_is_shown_to_those_who_see_the_history(self, town: Town) -> None:
        need = await town.add_open_need()
        assert all(skill["confirmed_by"] for skill in need["skills"])
        for client in (await town.sign_in(Role.PARTNER), (await town.add_association())[1]):
            seen = await ask(client, f"/needs/{need['id']}", method="GET")
            assert {skill["confirmed_by"] for skill in seen["skills"]} == {None}

    async def test_skills_of_before_are_read_as_they_are(self, town: Town, database: Database) -> None:
        need = await ask(town.association, "/needs", make_need_body(town.campaign_id), status=201)
        async with open_work(database, Caller.system(town.territory)) as work:
            old = '[{"label": "vieux libellé", "level": 2}]'
            await work.driver.execute("UPDATE need SET skills = $1 WHERE id = $2", old, need["id"])
        read = await ask(town.association, f"/needs/{need['id']}", method="GET")
        assert read["skills"] == [
            {
                "label": "vieux libellé",
                "level": 2,
                "code": None,
                "source": None,
                "evidence": [],
                "confirmed_by": None,
                "confirmed_at": None,
            }
        ]
        retitled = await town.association.patch(f"/needs/{need['id']}", json={"title": "Autre"}, headers={"if-match": '"1"'})
        assert retitled.json()["skills"] == read["skills"]

    async def test_what_nobody_has_confirmed_never_matches(self, town: Town) -> None:
        """Two texts about the same thing, whose people confirmed something else."""
        text = {"title": "Un compost collectif", "description": ""}
        volunteer_id, _ = await town.add_volunteer()
        need = await town.add_open_need(**text, skills=[{"code": "comptabilite"}])
        offer = await town.add_open_offer(volunteer_id, **text, skills=[{"code": "couture"}])
        for path in (f"/needs/{need['id']}", f"/offers/{offer['id']}"):
            suggested = await ask(town.officer, f"{path}/skill-suggestions", method="GET")
            assert suggested["suggestions"][0]["code"] == "compostage"
        found = await ask(town.operator, f"/needs/{need['id']}/candidates", method="GET")
        assert (found["candidates"], found["unfit_offers"]) == ([], 1)


class TestUnknownLabels:
    async def test_are_counted_over_needs_and_offers_however_they_are_written(self, town: Town) -> None:
        volunteer_id, _ = await town.add_volunteer()
        for label in ("Zorglub", "zorglub", "ZORGLUB !"):
            await ask(
                town.association,
                "/needs",
                make_need_body(town.campaign_id, skills=[{"label": label}, {"label": "tableur"}]),
                status=201,
            )
        await ask(town.officer, "/offers", make_offer_body(volunteer_id, skills=[{"label": "zorglub"}]), status=201)
        await ask(town.officer, "/offers", make_offer_body(volunteer_id, skills=[{"label": "compostaje"}]), status=201)
        first, second = (await ask(town.officer, "/skills/unknown-labels", method="GET"))["items"]
        assert (first["label"].casefold().strip(" !"), first["needs"], first["offers"]) == ("zorglub", 3, 1)
        assert (second["label"], second["nearest"][0]) == ("compostaje", "compostage")

    async def test_are_known_once_a_synonym_is_added(self, town: Town) -> None:
        await ask(town.association, "/needs", make_need_body(town.campaign_id, skills=[{"label": "zorglub"}]), status=201)
        await ask(town.officer, "/skills/compostage/synonyms", {"phrase": "Zorglub", "reason": "Vu."}, status=201)
        assert (await ask(town.officer, "/skills/unknown-labels", method="GET"))["items"] == []

    async def test_of_another_town_are_not_counted(self, town: Town) -> None:
        await ask(town.association, "/needs", make_need_body(town.campaign_id, skills=[{"label": "zorglub"}]), status=201)
        stranger = await town.sign_in(Role.OFFICER, territory="2A004", member_id=new_id())
        assert (await ask(stranger, "/skills/unknown-labels", method="GET"))["items"] == []
        await ask(town.association, "/skills/unknown-labels", method="GET", status=403)

    async def test_are_read_from_their_index(self, town: Town, database: Database) -> None:
        predicate = "jsonb_path_exists(skills, '$[*] ? (!exists (@.code) || @.code == null)'::jsonpath)"
        async with open_work(database, Caller.system(town.territory)) as work:
            await work.driver.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = on")
            plan = await work.driver.fetch(f"EXPLAIN SELECT skills FROM need WHERE {predicate}")
        assert "ix_need_uncoded" in "\n".join(row[0] for row in plan)

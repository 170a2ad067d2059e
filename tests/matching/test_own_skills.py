"""What a territory adds to the skills, over HTTP on a real PostgreSQL: synonyms and skills of its own."""

import asyncio
import tomllib
from typing import Any

import asyncpg
import pytest

from kernel.auth import Caller, Role
from kernel.database import Database
from kernel.ids import new_id
from kernel.work import open_work
from services.matching.domain.vocabulary import SkillWord, WordKind, start_own
from services.matching.store.vocabulary import insert_word
from services.matching.use_cases import searching
from tests.builders.matching import make_need_body
from tests.matching.conftest import Town, ask

WHY = "Trois associations l'écrivent ainsi."
SYNONYM = {"phrase": "tas de feuilles mortes", "reason": WHY}


def make_proposal(**changes: Any) -> dict[str, Any]:
    body = {
        "name_fr": "Élevage d'escargots",
        "name_en": "Snail farming",
        "definition": "Élever des escargots avec des enfants ou des habitants.",
        "parent": "environnement",
        "synonyms": ["héliciculture", "parc à escargots"],
        "near": {"compostage": 30},
        "reason": "Deux jardins partagés le demandent.",
    }
    return body | changes


async def add(town: Town, phrase: str, *, code: str = "compostage", status: int = 201) -> dict[str, Any]:
    return await ask(town.officer, f"/skills/{code}/synonyms", {"phrase": phrase, "reason": WHY}, status=status)


async def read_version(town: Town) -> str:
    version: str = (await ask(town.officer, "/skills?q=compostage", method="GET"))["version"]
    return version


class TestAddSynonym:
    async def test_names_the_skill_at_once_in_labels_and_suggestions(self, town: Town) -> None:
        text = {"title": "Notre zorglubage du samedi", "description": "", "kind": "need"}
        before = await ask(town.officer, "/skill-suggestions", text)
        assert "compostage" not in [one["code"] for one in before["suggestions"]]
        word = await add(town, "Zorglubage du samedi")
        assert (word["code"], word["state"], word["reason"], word["overruled_by"]) == ("compostage", "in_force", WHY, None)
        after = await ask(town.officer, "/skill-suggestions", text)
        (suggestion,) = [one for one in after["suggestions"] if one["code"] == "compostage"]
        assert "zorglubage du samedi" in [quote["words"] for quote in suggestion["evidence"]]
        assert after["referential_version"] != before["referential_version"]
        body = make_need_body(town.campaign_id, skills=[{"label": "ZORGLUBAGE DU SAMEDI !"}])
        need = await ask(town.association, "/needs", body, status=201)
        assert [skill["code"] for skill in need["skills"]] == ["compostage"]

    async def test_counts_for_labels_that_were_written_before(self, town: Town) -> None:
        skills = [{"label": "tas de feuilles mortes"}]
        volunteer_id, _ = await town.add_volunteer()
        need = await town.add_open_need(skills=skills)
        await town.add_open_offer(volunteer_id, skills=[{"code": "compostage"}])
        path = f"/needs/{need['id']}/candidates"
        assert (await ask(town.operator, path, method="GET"))["candidates"] == []
        await add(town, "tas de feuilles mortes")
        assert len((await ask(town.operator, path, method="GET"))["candidates"]) == 1

    async def test_the_job_finds_anew_what_a_transaction_leaves(
        self, town: Town, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(searching, "BATCH", 1)
        need = await town.add_open_need(skills=[{"code": "compostage"}])
        for _ in range(3):
            volunteer_id, _ = await town.add_volunteer()
            await town.add_open_offer(volunteer_id, skills=[{"label": "tas de feuilles mortes"}])
        await add(town, "tas de feuilles mortes")
        path = f"/needs/{need['id']}/candidates"
        assert len((await ask(town.operator, path, method="GET"))["candidates"]) == 1
        for expected in (1, 1, 0):
            async with open_work(database, Caller.system(town.territory)) as work:
                assert await searching.refresh_offers(work) == expected
        assert len((await ask(town.operator, path, method="GET"))["candidates"]) == 3

    async def test_bears_who_when_and_why(self, town: Town) -> None:
        word = await add(town, "tas de feuilles mortes")
        (listed,) = (await ask(town.officer, "/skills/compostage/synonyms", method="GET"))["items"]
        (step,) = listed["history"]
        assert (step["deed"], step["who"], step["reason"]) == ("create", word["added_by"], WHY)
        assert word["added_at"] == step["happened_at"]

    @pytest.mark.parametrize(
        ("code", "phrase", "kind", "of"),
        [
            ("compostage", "COMPOSTAGE !", "name", "compostage"),
            ("compostage", "Comptabilité", "name", "comptabilite"),
            ("compostage", "site-web", "code", "site-web"),
            ("compostage", "compost collectif", "synonym", "compostage"),
            ("site-web", "toile d’araignée", "false_friend", "site-web"),
        ],
    )
    async def test_words_that_are_taken_are_refused_with_what_they_clash_with(
        self, town: Town, code: str, phrase: str, kind: str, of: str
    ) -> None:
        problem = await add(town, phrase, code=code, status=409)
        assert problem["type"].endswith("skill-word-taken")
        assert (kind, of) in [(clash["kind"], clash["code"]) for clash in problem["clashes"]]
        assert problem["errors"][0]["pointer"] == "/phrase"

    @pytest.mark.parametrize("phrase", ["de la", "!!", "x"])
    async def test_words_that_say_nothing_are_refused(self, town: Town, phrase: str) -> None:
        problem = await add(town, phrase, status=422)
        assert [fault["pointer"] for fault in problem["errors"]] == ["/phrase"]

    async def test_for_a_skill_that_there_is_not(self, town: Town) -> None:
        problem = await add(town, "quelque chose", code="pas-de-ce-code", status=404)
        assert "GET /skills?q=" in problem["detail"]

    async def test_twice_at_once_is_added_once(self, town: Town) -> None:
        answers = await asyncio.gather(
            *(client.post("/skills/compostage/synonyms", json=SYNONYM) for client in [town.officer, town.operator] * 3)
        )
        assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409, 409]
        refused = next(answer.json() for answer in answers if answer.status_code == 409)
        assert refused["clashes"][0]["code"] == "compostage"
        listed = await ask(town.officer, "/skill-synonyms", method="GET")
        assert [word["phrase"] for word in listed["items"]] == [SYNONYM["phrase"]]

    async def test_a_request_repeated_with_its_key_is_answered_again(self, town: Town) -> None:
        first, again = [
            await town.officer.post("/skills/compostage/synonyms", json=SYNONYM, headers={"idempotency-key": "k1"}) for _ in "ab"
        ]
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json() == again.json()

    async def test_is_the_towns_to_do(self, town: Town) -> None:
        for client in (town.association, await town.sign_in(Role.PARTNER), await town.sign_in(Role.AUDITOR)):
            await ask(client, "/skills/compostage/synonyms", SYNONYM, status=403)

    async def test_the_database_holds_one_skill_a_phrase_whatever_the_code_does(self, town: Town, database: Database) -> None:
        await add(town, "tas de feuilles mortes")
        twin = SkillWord(
            new_id(), "jardinage", WordKind.SYNONYM, "x", "tas de feuilles mortes", WHY, "x", (await _now(database, town))
        )
        with pytest.raises(Exception, match="ux_skill_word_in_force"):
            async with open_work(database, Caller.system(town.territory)) as work:
                await insert_word(work, twin, start_own(who="x", reason=WHY))

    async def test_what_was_rolled_back_is_seen_nowhere(self, town: Town) -> None:
        version = await read_version(town)
        await add(town, "Comptabilité", status=409)
        assert await read_version(town) == version
        await add(town, "tas de feuilles mortes")
        skill = await ask(town.officer, "/skills/compostage", method="GET")
        assert [word["phrase"] for word in skill["own_synonyms"]] == ["tas de feuilles mortes"]


async def _now(database: Database, town: Town) -> Any:
    async with open_work(database, Caller.system(town.territory)) as work:
        return work.now


class TestWithdrawSynonym:
    async def test_frees_the_words_and_leaves_what_was_confirmed(self, town: Town) -> None:
        word = await add(town, "tas de feuilles mortes")
        body = make_need_body(town.campaign_id, skills=[{"label": "tas de feuilles mortes"}])
        need = await ask(town.association, "/needs", body, status=201)
        path = f"/skills/compostage/synonyms/{word['id']}/withdrawal"
        withdrawn = await ask(town.officer, path, {"reason": "Trop large."})
        assert (withdrawn["state"], withdrawn["version"]) == ("withdrawn", 2)
        kept = await ask(town.association, f"/needs/{need['id']}", method="GET")
        assert [skill["code"] for skill in kept["skills"]] == ["compostage"]
        again = await ask(town.association, "/needs", body, status=201)
        assert [skill["code"] for skill in again["skills"]] == [None]
        await add(town, "tas de feuilles mortes", code="jardinage")

    async def test_asks_for_a_reason_and_keeps_it(self, town: Town) -> None:
        word = await add(town, "tas de feuilles mortes")
        path = f"/skills/compostage/synonyms/{word['id']}/withdrawal"
        await ask(town.officer, path, {"reason": " "}, status=422)
        await ask(town.officer, path, {"reason": "Trop large."})
        (listed,) = (await ask(town.officer, "/skill-synonyms?state=withdrawn", method="GET"))["items"]
        assert [(step["deed"], step["reason"]) for step in listed["history"]] == [("create", WHY), ("withdraw", "Trop large.")]
        problem = await ask(town.officer, path, {"reason": "Encore."}, status=409)
        assert problem["type"].endswith("wrong-state")

    async def test_of_another_skill_or_unknown(self, town: Town) -> None:
        word = await add(town, "tas de feuilles mortes")
        for code, id in (("jardinage", word["id"]), ("compostage", str(new_id()))):
            await ask(town.officer, f"/skills/{code}/synonyms/{id}/withdrawal", {"reason": "Non."}, status=404)


class TestHistoryOfWords:
    async def test_only_grows(self, town: Town, database: Database) -> None:
        await add(town, "tas de feuilles mortes")
        for statement in ("UPDATE skill_word_event SET reason = ''", "DELETE FROM skill_word_event"):
            with pytest.raises(asyncpg.PostgresError, match=r"only grows|permission denied"):
                async with open_work(database, Caller.system(town.territory)) as work:
                    await work.driver.execute(statement)


class TestTwoTowns:
    async def test_see_nothing_of_each_other(self, town: Town) -> None:
        word = await add(town, "zorglubage du samedi")
        proposed = await ask(town.officer, "/skill-proposals", make_proposal(), status=201)
        stranger = await town.sign_in(Role.OFFICER, territory="2A004")
        skill = await ask(stranger, "/skills/compostage", method="GET")
        assert skill["own_synonyms"] == []
        await ask(stranger, f"/skills/{proposed['code']}", method="GET", status=404)
        await ask(stranger, f"/skill-proposals/{proposed['code']}", method="GET", status=404)
        assert (await ask(stranger, "/skill-synonyms", method="GET"))["items"] == []
        await ask(stranger, f"/skills/compostage/synonyms/{word['id']}/withdrawal", {"reason": "Non."}, status=404)
        text = {"title": "Notre zorglubage du samedi", "kind": "need"}
        codes = [one["code"] for one in (await ask(stranger, "/skill-suggestions", text))["suggestions"]]
        assert "compostage" not in codes

    async def test_may_use_the_same_words_for_different_skills(self, town: Town) -> None:
        await add(town, "mots en double")
        neighbour = await town.sign_in(Role.OFFICER, territory="2A006", member_id=new_id())
        body = {"phrase": "mots en double", "reason": WHY}
        await ask(neighbour, "/skills/jardinage/synonyms", body, status=201)


class TestProposeSkill:
    async def test_is_usable_at_once(self, town: Town) -> None:
        skill = await ask(town.officer, "/skill-proposals", make_proposal(), status=201)
        assert skill["code"] == f"{town.territory}:elevage-d-escargots"
        assert (skill["state"], skill["version"], skill["synonyms"]) == ("in_force", 1, ["héliciculture", "parc à escargots"])
        entry = await ask(town.association, f"/skills/{skill['code']}", method="GET")
        assert (entry["is_local"], entry["group"]["code"], entry["near"][0]["percent"]) == (True, "environnement", 30)
        text = {"title": "Un parc à escargots pour l'école", "kind": "need"}
        (first, *_) = (await ask(town.association, "/skill-suggestions", text))["suggestions"]
        assert (first["code"], first["name_fr"]) == (skill["code"], "Élevage d'escargots")
        body = make_need_body(town.campaign_id, skills=[{"code": skill["code"]}, {"label": "héliciculture"}])
        need = await ask(town.association, "/needs", body, status=201)
        assert [(one["label"], one["code"]) for one in need["skills"]] == [
            ("Élevage d'escargots", skill["code"]),
            ("héliciculture", skill["code"]),
        ]

    async def test_is_near_to_what_it_says_both_ways(self, town: Town) -> None:
        await ask(town.officer, "/skill-proposals", make_proposal(near={"compostage": 60}), status=201)
        volunteer_id, _ = await town.add_volunteer()
        need = await town.add_open_need(skills=[{"label": "héliciculture"}])
        await town.add_open_offer(volunteer_id, skills=[{"code": "compostage"}])
        found = await ask(town.operator, f"/needs/{need['id']}/candidates", method="GET")
        parts = {part["name"]: part["points"] for part in found["candidates"][0]["parts"]}
        assert (parts["skills"], parts["near"] > 0) == (0, True)

    @pytest.mark.parametrize(
        ("changes", "pointer", "of"),
        [
            ({"name_fr": "Compostâge"}, "/name_fr", "compostage"),
            ({"name_en": "Composting"}, "/name_en", "compostage"),
            ({"synonyms": ["héliciculture", "compost collectif"]}, "/synonyms/1", "compostage"),
            ({"name_fr": "Site web"}, "/name_fr", "site-web"),
        ],
    )
    async def test_clashes_are_refused_with_what_they_clash_with(
        self, town: Town, changes: dict[str, Any], pointer: str, of: str
    ) -> None:
        problem = await ask(town.officer, "/skill-proposals", make_proposal(**changes), status=409)
        assert (pointer, of) in [(clash["pointer"], clash["code"]) for clash in problem["clashes"]]

    async def test_twice_at_once_is_proposed_once(self, town: Town) -> None:
        answers = await asyncio.gather(*(town.officer.post("/skill-proposals", json=make_proposal()) for _ in range(4)))
        assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]

    @pytest.mark.parametrize(
        ("changes", "pointer"),
        [
            ({"parent": "mollusques"}, "/parent"),
            ({"near": {"pas-de-ce-code": 40}}, "/near/pas-de-ce-code"),
            ({"near": {"compostage": 95}}, "/near/compostage"),
            ({"synonyms": []}, "/synonyms"),
            ({"synonyms": ["Parc à escargots", "parc a escargots"]}, "/synonyms/1"),
            ({"name_fr": "养蜗牛"}, "/name_fr"),
            ({"reason": ""}, "/reason"),
        ],
    )
    async def test_names_the_faulty_field(self, town: Town, changes: dict[str, Any], pointer: str) -> None:
        problem = await ask(town.officer, "/skill-proposals", make_proposal(**changes), status=422)
        assert [fault["pointer"] for fault in problem["errors"]] == [pointer]

    async def test_is_the_towns_to_do(self, town: Town) -> None:
        await ask(town.association, "/skill-proposals", make_proposal(), status=403)


class TestEditProposal:
    async def edit(self, town: Town, code: str, body: dict[str, Any], *, version: int = 1) -> Any:
        return await town.officer.patch(f"/skill-proposals/{code}", json=body, headers={"if-match": f'"{version}"'})

    async def test_changes_what_is_named_and_keeps_why(self, town: Town) -> None:
        skill = await ask(town.officer, "/skill-proposals", make_proposal(), status=201)
        changes = {"name_fr": "Héliciculture douce", "asks": ["nos escargots s'échappent"], "reason": "Plus clair."}
        edited = await self.edit(town, skill["code"], changes)
        assert (edited.status_code, edited.headers["etag"]) == (200, '"2"')
        assert (edited.json()["code"], edited.json()["name_fr"]) == (skill["code"], "Héliciculture douce")
        detail = await ask(town.officer, f"/skill-proposals/{skill['code']}", method="GET")
        assert [(step["deed"], step["reason"]) for step in detail["history"]][1] == ("edit", "Plus clair.")
        body = make_need_body(town.campaign_id, skills=[{"label": "héliciculture douce"}, {"label": "Élevage d'escargots"}])
        need = await ask(town.association, "/needs", body, status=201)
        assert [one["code"] for one in need["skills"]] == [skill["code"], None]

    async def test_a_stale_version_is_refused(self, town: Town) -> None:
        skill = await ask(town.officer, "/skill-proposals", make_proposal(), status=201)
        body = {"definition": "Autrement dit.", "reason": "Mieux."}
        assert (await self.edit(town, skill["code"], body)).status_code == 200
        stale = await self.edit(town, skill["code"], body)
        assert (stale.status_code, stale.json()["current"]) == (412, 2)
        without = await town.officer.patch(f"/skill-proposals/{skill['code']}", json=body)
        assert without.status_code == 428

    async def test_a_name_that_is_taken_is_refused_and_nothing_changes(self, town: Town) -> None:
        skill = await ask(town.officer, "/skill-proposals", make_proposal(), status=201)
        refused = await self.edit(town, skill["code"], {"name_fr": "Compostage", "reason": "Non."})
        assert (refused.status_code, refused.json()["clashes"][0]["pointer"]) == (409, "/name_fr")
        kept = await ask(town.officer, f"/skill-proposals/{skill['code']}", method="GET")
        assert (kept["name_fr"], kept["version"]) == ("Élevage d'escargots", 1)


class TestWithdrawProposal:
    async def test_is_suggested_and_written_no_more_and_its_words_are_free(self, town: Town) -> None:
        skill = await ask(town.officer, "/skill-proposals", make_proposal(), status=201)
        code = skill["code"]
        skills = [{"code": code}]
        need = await ask(town.association, "/needs", make_need_body(town.campaign_id, skills=skills), status=201)
        path = f"/skill-proposals/{code}/withdrawal"
        withdrawn = await ask(town.officer, path, {"reason": "Le référentiel l'a."})
        assert (withdrawn["state"], withdrawn["synonyms"]) == ("withdrawn", [])
        problem = await ask(town.association, "/needs", make_need_body(town.campaign_id, skills=skills), status=422)
        assert [fault["pointer"] for fault in problem["errors"]] == ["/skills/0/code"]
        # Who has it keeps it, also when the rest is edited.
        edited = await town.association.patch(
            f"/needs/{need['id']}", json={"minutes": 90, "skills": skills}, headers={"if-match": '"1"'}
        )
        assert [one["code"] for one in edited.json()["skills"]] == [code]
        again = await ask(town.officer, "/skill-proposals", make_proposal(), status=201)
        assert again["code"] == f"{code}-2"
        await ask(town.officer, path, {"reason": "Encore."}, status=409)


class TestExport:
    async def test_is_a_file_of_the_referential(self, town: Town) -> None:
        complete = {"asks": ['nos "bêtes" s\'échappent\nla nuit'], "gives": ["j'élève des gris"], "titles": ["Héliciculteur"]}
        skill = await ask(
            town.officer, "/skill-proposals", make_proposal(**complete, reason='Un « "motif" »\nsur deux lignes'), status=201
        )
        await add(town, "tas de feuilles mortes")
        await add(town, "mollusques", code=skill["code"])
        response = await town.officer.get("/skill-proposals/export")
        assert response.headers["content-type"].startswith("application/toml")
        content = tomllib.loads(response.text)
        (entry,) = content["skill"]
        assert entry["code"] == "elevage-d-escargots"
        assert entry["synonyms"] == ["héliciculture", "parc à escargots", "mollusques"]
        assert (entry["asks"], entry["near"]) == (complete["asks"], {"compostage": 0.3})
        assert content["synonyms"] == [{"code": "compostage", "add": ["tas de feuilles mortes"]}]

    async def test_is_read_by_the_town_alone(self, town: Town) -> None:
        await ask(town.association, "/skill-proposals/export", method="GET", status=403)

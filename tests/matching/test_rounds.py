"""An allocation round over HTTP, from asked to released, on a real PostgreSQL and in a real computing process."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from kernel.auth import Caller, Role
from kernel.database import Database
from kernel.events.matching import MissionProposed
from kernel.ids import new_id
from kernel.work import open_work
from tests.matching.conftest import Published, Town, ask, make_actor_recorded
from tests.matching.rounds import REASON, Rounds


@pytest.fixture
async def rounds(town: Town, database: Database) -> Rounds:
    made = Rounds(town, database)
    await made.grant()
    return made


class TestLife:
    async def test_asked_computed_released(self, rounds: Rounds, published: Published) -> None:
        need, offer = await rounds.town.add_open_need(), await rounds.add_offer()
        sewing = await rounds.town.add_open_need(skills=[{"label": "couture"}])
        asked = await rounds.ask(note="Premier essai")
        assert (asked["state"], asked["attempt"], asked["result"]) == ("asked", 0, None)
        assert asked["terms"]["fairness"] == 0.5
        await rounds.compute()
        computed = await rounds.read(asked)
        assert computed["state"] == "computed", computed["failure"]
        result = computed["result"]
        assert (result["needs"], result["offers"], result["pairs"], result["means_known"]) == (2, 1, 1, True)
        assert result["figures"]["served_minutes"] == 360
        assert result["shares"][0]["name"] == "Lire ensemble"
        assert len(result["fairness"]) == 7
        assert result["greedy"]["served_minutes"] == 360
        assert await published(MissionProposed) == []
        [proposal] = await rounds.proposals(asked)
        assert (proposal["need_id"], proposal["offer_id"], proposal["minutes"]) == (need["id"], offer["id"], 360)
        assert proposal["points"] == sum(part["points"] for part in proposal["parts"])
        [unserved] = (await rounds.read(asked, "/unserved"))["items"]
        assert (unserved["need_id"], unserved["why"]) == (sewing["id"], ["1 offre : aucune compétence commune"])
        released = await rounds.release(asked)
        assert (released["state"], released["released"]["missions"], released["released"]["left_out"]) == ("released", 1, 0)
        [told] = await published(MissionProposed)
        [sent] = await rounds.proposals(asked)
        assert (told["mission_id"], told["need_id"]) == (sent["mission_id"], need["id"])
        mission = await ask(rounds.town.officer, f"/missions/{sent['mission_id']}", method="GET")
        assert (mission["score"], mission["reasons"]) == (proposal["points"], proposal["reasons"])
        history = (await rounds.read(asked))["history"]
        assert [step["deed"] for step in history] == ["create", "compute", "finish", "release"]
        assert history[-1]["reason"] == "Vu en commission."
        problem = await rounds.release(asked, status=409)
        assert problem["type"].endswith("round-released")

    async def test_the_same_key_gives_the_same_answer(self, rounds: Rounds, published: Published) -> None:
        await rounds.town.add_open_need()
        await rounds.add_offer()
        headers = {"idempotency-key": str(new_id())}
        body = {"campaign_id": str(rounds.town.campaign_id)}
        asked = [await rounds.town.operator.post("/rounds", json=body, headers=headers) for _ in range(2)]
        assert asked[0].json() == asked[1].json()
        await rounds.compute()
        path, key = f"/rounds/{asked[0].json()['id']}/release", {"idempotency-key": str(new_id())}
        released = [await rounds.town.officer.post(path, headers=key) for _ in range(2)]
        assert released[0].json() == released[1].json()
        assert (released[0].status_code, released[1].headers["idempotent-replay"]) == (200, "true")
        assert len(await published(MissionProposed)) == 1

    async def test_is_the_towns_alone(self, rounds: Rounds) -> None:
        asked = await rounds.ask()
        _, volunteer = await rounds.town.add_volunteer()
        for client in (rounds.town.association, volunteer, await rounds.town.sign_in(Role.PARTNER)):
            await ask(client, "/rounds", {"campaign_id": str(rounds.town.campaign_id)}, status=403)
            await ask(client, f"/rounds/{asked['id']}", method="GET", status=403)
        auditor = await rounds.town.sign_in(Role.AUDITOR)
        await ask(auditor, f"/rounds/{asked['id']}", method="GET")
        await ask(auditor, f"/rounds/{asked['id']}/stop", REASON, status=403)

    async def test_of_another_town_is_not_seen(self, rounds: Rounds) -> None:
        asked = await rounds.ask()
        stranger = await rounds.town.sign_in(Role.OFFICER, territory="2A004")
        for path in ("", "/proposals", "/unserved", "/choices", "/inputs", "/page"):
            await ask(stranger, f"/rounds/{asked['id']}{path}", method="GET", status=404)
        listed = await ask(stranger, "/rounds", method="GET")
        assert asked["id"] not in {one["id"] for one in listed["items"]}
        await ask(stranger, f"/rounds/{asked['id']}/release", status=404)

    async def test_only_of_an_open_campaign_with_terms_in_bounds(self, rounds: Rounds) -> None:
        await ask(rounds.town.officer, "/rounds", {"campaign_id": str(new_id())}, status=409)
        body = {"campaign_id": str(rounds.town.campaign_id)}
        problem = await ask(rounds.town.officer, "/rounds", body | {"fairness": 1.5}, status=422)
        assert problem["errors"][0]["pointer"] == "/fairness"
        problem = await ask(rounds.town.officer, "/rounds", body | {"weights_version": 7}, status=422)
        assert problem["errors"][0]["pointer"] == "/weights_version"

    async def test_one_at_a_time_in_a_campaign(self, rounds: Rounds) -> None:
        body = {"campaign_id": str(rounds.town.campaign_id)}
        answers = await asyncio.gather(*[rounds.town.officer.post("/rounds", json=body) for _ in range(4)])
        assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
        refused = next(answer for answer in answers if answer.status_code == 409).json()
        assert refused["type"].endswith("round-under-way")


class TestMeans:
    async def test_credit_and_promises_limit_a_round(self, rounds: Rounds) -> None:
        poor, _ = await rounds.town.add_association()
        await rounds.grant(poor, minutes=100)
        body = {"association_id": str(poor)}
        unpaid = await ask(rounds.town.officer, "/needs", {**await _body(rounds), **body}, status=201)
        for step in ("qualification", "opening"):
            await ask(rounds.town.operator, f"/needs/{unpaid['id']}/{step}", {"note": "Vu."} if step == "qualification" else None)
        paid = await rounds.town.add_open_need()
        await rounds.add_offer(promise=0)
        good = await rounds.add_offer()
        computed = await rounds.run()
        assert [(one["need_id"], one["offer_id"]) for one in await rounds.proposals(computed)] == [(paid["id"], good["id"])]
        [unserved] = (await rounds.read(computed, "/unserved"))["items"]
        assert unserved["need_id"] == unpaid["id"]
        assert unserved["why"][0] == "le crédit de l'association n'y suffit plus (1 h 40 à dépenser, pour tous ses besoins)"

    async def test_what_missions_take_is_not_given_again(self, rounds: Rounds) -> None:
        """360 of 600 minutes go to a first mission: a second need of 360 finds too little, whoever offers."""
        volunteer_id, _ = await rounds.town.add_volunteer()
        await rounds.pledge(volunteer_id, 600)
        first = await rounds.town.add_open_need()
        offer = await rounds.town.add_open_offer(volunteer_id)
        await ask(rounds.town.operator, f"/needs/{first['id']}/proposals", {"offer_id": offer["id"]}, status=201)
        await rounds.town.add_open_need()
        await rounds.town.add_open_offer(volunteer_id)
        computed = await rounds.run()
        [unserved] = (await rounds.read(computed, "/unserved"))["items"]
        assert unserved["why"][0] == "1 offre convient, mais ce que leur contributeur a promis est épuisé"

    async def test_of_a_campaign_of_before_nothing_is_known(self, rounds: Rounds) -> None:
        async with open_work(rounds.database, Caller.system(rounds.town.territory)) as work:
            await work.driver.execute("UPDATE listening SET since = now() + interval '1 day'")
        try:
            await rounds.town.add_open_need()
            await rounds.add_offer(promise=0)
            computed = await rounds.run()
        finally:
            async with open_work(rounds.database, Caller.system(rounds.town.territory)) as work:
                await work.driver.execute("UPDATE listening SET since = now() - interval '1 day'")
        assert (computed["result"]["means_known"], computed["result"]["shares"][0]["credit_minutes"]) == (False, None)
        assert computed["result"]["figures"]["needs_served"] == 1


async def _body(rounds: Rounds) -> dict[str, Any]:
    from tests.builders.matching import make_need_body

    return make_need_body(rounds.town.campaign_id)


class TestChoices:
    async def test_pins_and_exclusions_are_respected(self, rounds: Rounds) -> None:
        need = await rounds.town.add_open_need()
        best = await rounds.add_offer()
        second = await rounds.add_offer(skills=[{"label": "comptabilité", "level": 1}])
        first = await rounds.run(fairness=0, note="un")
        assert [one["offer_id"] for one in await rounds.proposals(first)] == [best["id"]]
        await rounds.choose(first, need, second, "pin")
        pinned = await ask(rounds.town.officer, f"/rounds/{first['id']}/again", {"note": "deux"}, status=201)
        assert (pinned["based_on"], pinned["terms"]["seed"]) == (first["id"], first["terms"]["seed"])
        await rounds.compute()
        [proposal] = await rounds.proposals(pinned)
        assert (proposal["offer_id"], proposal["pinned"]) == (second["id"], True)
        compared = await rounds.read(pinned, f"/comparison?with={first['id']}")
        [changed] = compared["changed"]
        assert [changed["one"][0]["offer_id"], changed["other"][0]["offer_id"]] == [second["id"], best["id"]]
        assert compared["one"]["result"]["figures"]["score"] < compared["other"]["result"]["figures"]["score"]
        await rounds.choose(pinned, need, second, "exclude")
        await rounds.choose(pinned, need, best, "exclude")
        none = await ask(rounds.town.officer, f"/rounds/{pinned['id']}/again", status=201)
        assert len((await rounds.read(none, "/choices"))["items"]) == 2
        await rounds.compute()
        assert await rounds.proposals(none) == []
        compared = await rounds.read(none, f"/comparison?with={first['id']}")
        assert [one["need_id"] for one in compared["removed"]] == [need["id"]]

    async def test_are_written_down_and_taken_back_with_a_reason(self, rounds: Rounds) -> None:
        need, offer = await rounds.town.add_open_need(), await rounds.add_offer()
        asked = await rounds.ask()
        await rounds.choose(asked, need, offer, "exclude")
        path = f"/rounds/{asked['id']}/choices/{need['id']}/{offer['id']}"
        response = await rounds.town.officer.request("DELETE", path, json={"reason": "Finalement si."})
        assert response.status_code == 204
        assert (await rounds.town.officer.request("DELETE", path, json=REASON)).status_code == 404
        history = (await rounds.read(asked))["history"]
        assert [step["deed"] for step in history] == ["create", "exclude", "unchoose"]
        assert history[-1]["reason"].endswith("Finalement si.")
        await rounds.choose(asked, need, {"id": new_id()}, "pin", status=404)
        await ask(rounds.town.officer, path, {"kind": "pin"}, status=422, method="PUT")

    async def test_a_pin_that_cannot_hold_says_why_in_french(self, rounds: Rounds) -> None:
        need, offer = await rounds.town.add_open_need(), await rounds.add_offer(minutes=60)
        asked = await rounds.ask()
        await rounds.choose(asked, need, offer, "pin")
        await rounds.compute()
        failed = await rounds.read(asked)
        assert failed["state"] == "failed"
        assert "6 h demandées, 1 h offerte" in failed["failure"]
        assert "Retirez ces choix" in failed["failure"]

    async def test_one_pin_a_need(self, rounds: Rounds) -> None:
        need, one, other = await rounds.town.add_open_need(), await rounds.add_offer(), await rounds.add_offer()
        asked = await rounds.ask()
        await rounds.choose(asked, need, one, "pin")
        await rounds.choose(asked, need, other, "pin", status=409)


class TestRelease:
    async def test_what_changed_since_is_left_out_with_why(self, rounds: Rounds, published: Published) -> None:
        kept, withdrawn, busy = [await rounds.town.add_open_need() for _ in range(3)]
        offers = [await rounds.add_offer() for _ in range(3)]
        computed = await rounds.run()
        by_need = {one["need_id"]: one for one in await rounds.proposals(computed)}
        await ask(rounds.town.association, f"/needs/{withdrawn['id']}/withdrawal", {"reason": "Réglé."})
        pause = by_need[busy["id"]]["offer_id"]
        await ask(rounds.town.officer, f"/offers/{pause}/pause")
        released = await rounds.release(computed)
        assert (released["released"]["missions"], released["released"]["left_out"]) == (1, 2)
        left_out = {one["need_id"]: one["left_out"] for one in await rounds.proposals(computed)}
        assert left_out == {
            kept["id"]: None,
            withdrawn["id"]: "le besoin a été retiré depuis",
            busy["id"]: "l'offre n'est plus ouverte, ou sa personne bénévole n'est plus active",
        }
        [told] = await published(MissionProposed)
        assert len(offers) == 3
        # What the association still lacks has changed since: the mission and its record keep what decided.
        mission = await ask(rounds.town.officer, f"/missions/{told['mission_id']}", method="GET")
        decided = by_need[kept["id"]]
        assert (mission["score"], mission["parts"]) == (decided["points"], decided["parts"])
        async with open_work(rounds.database, Caller.system(rounds.town.territory)) as work:
            record = await work.driver.fetchval(
                "SELECT explanation->>'score' FROM mission WHERE id = $1", UUID(told["mission_id"])
            )
        assert int(record) == decided["points"]

    async def test_an_exclusion_after_computing_is_kept_and_a_pin_asks_for_a_new_round(self, rounds: Rounds) -> None:
        need, offer = await rounds.town.add_open_need(), await rounds.add_offer()
        other = await rounds.add_offer(skills=[{"label": "comptabilité", "level": 1}])
        computed = await rounds.run()
        await rounds.choose(computed, need, other, "pin")
        problem = await rounds.release(computed, status=409)
        assert problem["type"].endswith("pin-not-computed")
        await rounds.choose(computed, need, other, "exclude")
        await rounds.choose(computed, need, offer, "exclude")
        released = await rounds.release(computed)
        assert released["released"]["missions"] == 0
        [proposal] = await rounds.proposals(computed)
        assert proposal["left_out"] == "paire écartée : Ils se connaissent déjà."

    async def test_two_officers_at_once_send_once(self, rounds: Rounds, published: Published) -> None:
        for _ in range(2):
            await rounds.town.add_open_need()
            await rounds.add_offer()
        computed = await rounds.run()
        path = f"/rounds/{computed['id']}/release"
        answers = await asyncio.gather(rounds.town.officer.post(path), rounds.town.operator.post(path))
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        assert len(await published(MissionProposed)) == 2

    async def test_a_need_withdrawn_at_the_same_moment_has_no_mission(self, rounds: Rounds) -> None:
        needs = [await rounds.town.add_open_need() for _ in range(3)]
        for _ in needs:
            await rounds.add_offer()
        computed = await rounds.run()
        path = f"/needs/{needs[0]['id']}/withdrawal"
        released, withdrawn = await asyncio.gather(
            rounds.town.officer.post(f"/rounds/{computed['id']}/release"),
            rounds.town.association.post(path, json={"reason": "Réglé."}),
        )
        assert (released.status_code, withdrawn.status_code) == (200, 200)
        missions = (await ask(rounds.town.officer, "/missions", method="GET"))["items"]
        states = {mission["need_id"]: mission["state"] for mission in missions}
        assert states.pop(needs[0]["id"], "cancelled") == "cancelled"
        assert sorted(states.values()) == ["proposed", "proposed"]

    async def test_a_view_is_never_sent(self, rounds: Rounds) -> None:
        await rounds.town.add_open_need(minutes=900)
        for _ in range(2):
            await rounds.add_offer(minutes=600)
        computed = await rounds.run(whole=False)
        assert sum(one["minutes"] for one in await rounds.proposals(computed)) == 900
        problem = await rounds.release(computed, status=409)
        assert problem["type"].endswith("round-is-a-view")

    async def test_only_what_was_computed(self, rounds: Rounds) -> None:
        asked = await rounds.ask()
        problem = await rounds.release(asked, status=409)
        assert problem["type"].endswith("wrong-state")


class TestPage:
    async def test_is_whole_in_itself_and_escapes_what_people_wrote(self, rounds: Rounds) -> None:
        hostile = "<script>alert(1)</script> \"' & </title>"
        association_id = rounds.town.association_id
        event = make_actor_recorded(association_id, version=2).model_copy(update={"name": hostile})
        await rounds.town.tell(event)
        await rounds.town.add_open_need(title=hostile)
        await rounds.town.add_open_need(title=f"{hostile} couture", skills=[{"label": hostile}])
        await rounds.add_offer(title=hostile, commune="92002")
        computed = await rounds.run(note=hostile)
        response = await rounds.town.officer.get(f"/rounds/{computed['id']}/page")
        assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "default-src 'none'" in response.headers["content-security-policy"]
        page = response.text
        assert "<script" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert not [
            word
            for word in ("http://", "https://", "src=", "@import", "url(")
            if word in page.replace("http://www.w3.org/2000/svg", "")
        ]
        for told in (
            'lang="fr"',
            "<main",
            'scope="col"',
            "Antony",
            "Le prix de l&#x27;équité",
            "L. 311-3-1",
            computed["inputs_digest"],
        ):
            assert told in page

    async def test_only_of_a_computed_round(self, rounds: Rounds) -> None:
        asked = await rounds.ask()
        await ask(rounds.town.officer, f"/rounds/{asked['id']}/page", method="GET", status=404)

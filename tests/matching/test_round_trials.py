"""Other weights tried on a past round: from its own inputs, with nothing else changed, and never sent."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from cli.rounds.replay import replay
from kernel.auth import Caller, Role
from kernel.database import Database
from kernel.events.credits import CampaignClosed
from kernel.events.matching import MissionProposed
from kernel.ids import new_id
from kernel.work import open_work
from services.matching.domain.rounds import Means, RoundTerms
from services.matching.domain.weights import DEFAULT_WEIGHTS
from services.matching.engine.rounds.inputs import CampaignInputs, digest_bytes, encode_inputs, freeze_inputs, try_weights
from tests.builders.matching import ANTONY, make_candidate, make_need, make_surroundings
from tests.matching.conftest import Published, Town, ask
from tests.matching.rounds import REASON, Rounds
from tests.matching.test_computing import held, is_gone, read_pid, until

SAME = asdict(DEFAULT_WEIGHTS)
# An offer nearby comes before one of just the hours that are needed.
NEARER = SAME | {"far_km": 5, "distance": 18, "minutes": 0}


@pytest.fixture
async def rounds(town: Town, database: Database) -> Rounds:
    """One need and two offers: `near` has many more hours than it needs, `fitting` comes from the next commune."""
    made = Rounds(town, database)
    await made.grant()
    return made


@pytest.fixture
async def need(rounds: Rounds) -> dict[str, Any]:
    return await rounds.town.add_open_need()


@pytest.fixture
async def near(rounds: Rounds) -> dict[str, Any]:
    return await rounds.add_offer(minutes=1200)


@pytest.fixture
async def fitting(rounds: Rounds) -> dict[str, Any]:
    return await rounds.add_offer(minutes=360, commune=ANTONY)


@pytest.fixture
async def origin(rounds: Rounds, need: dict[str, Any], near: dict[str, Any], fitting: dict[str, Any]) -> dict[str, Any]:
    computed = await rounds.run(fairness=0.3, seed="tirage public", note="Tour de mars")
    [proposal] = await rounds.proposals(computed)
    assert (proposal["need_id"], proposal["offer_id"]) == (need["id"], fitting["id"])
    return computed


async def try_on(
    rounds: Rounds, origin: dict[str, Any], weights: dict[str, Any], *, status: int = 201, **more: Any
) -> dict[str, Any]:
    return await ask(rounds.town.officer, f"/rounds/{origin['id']}/trials", weights | more, status=status)


async def run_trial(rounds: Rounds, origin: dict[str, Any], weights: dict[str, Any]) -> dict[str, Any]:
    asked = await try_on(rounds, origin, weights)
    await rounds.compute()
    return await rounds.read(asked)


async def read_inputs(rounds: Rounds, found: dict[str, Any]) -> bytes:
    return (await rounds.town.officer.get(f"/rounds/{found['id']}/inputs")).content


def without_weights(inputs: bytes) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(inputs)
    del content["weights"], content["weights_version"], content["terms"]["weights_version"]
    return content


class TestInputs:
    def test_of_a_trial_differ_in_the_weights_alone(self) -> None:
        frozen = freeze_inputs(
            CampaignInputs(
                campaign_id=new_id(),
                terms=RoundTerms(500, whole=True, seed="s", weights_version=4),
                needs=(make_need(),),
                candidates=(make_candidate(),),
                surroundings=make_surroundings(weights_version=4),
                means=Means(known=False),
            )
        )
        steep = DEFAULT_WEIGHTS.__class__(**NEARER)
        tried = encode_inputs(try_weights(frozen, steep))
        assert json.loads(tried)["weights"] == NEARER
        assert without_weights(tried) == without_weights(encode_inputs(frozen))


class TestTryWeights:
    async def test_the_same_weights_give_the_very_same_proposals(self, rounds: Rounds, origin: dict[str, Any]) -> None:
        trial = await run_trial(rounds, origin, SAME)
        assert (trial["state"], trial["trial_of"], trial["trial_weights"]) == ("computed", origin["id"], SAME)
        assert trial["terms"] == origin["terms"] | {"weights_version": None}
        assert trial["based_on"] is None
        assert trial["proposals_digest"] == origin["proposals_digest"]
        assert trial["inputs_digest"] != origin["inputs_digest"]
        compared = await rounds.read(trial, f"/comparison?with={origin['id']}")
        assert (compared["same"], compared["added"], compared["removed"], compared["changed"]) == (1, [], [], [])

    async def test_other_weights_change_who_is_proposed_and_nothing_else(
        self, rounds: Rounds, origin: dict[str, Any], near: dict[str, Any], fitting: dict[str, Any], published: Published
    ) -> None:
        trial = await run_trial(rounds, origin, NEARER)
        compared = await rounds.read(trial, f"/comparison?with={origin['id']}")
        [changed] = compared["changed"]
        assert (changed["one"][0]["offer_id"], changed["other"][0]["offer_id"]) == (near["id"], fitting["id"])
        assert compared["one"]["result"]["shares"][0]["name"] == "Lire ensemble"
        [proposal] = await rounds.proposals(trial)
        assert {part["name"]: part["maximum"] for part in proposal["parts"]}["distance"] == 18
        assert proposal["points"] == sum(part["points"] for part in proposal["parts"])
        inputs, of_origin = await read_inputs(rounds, trial), await read_inputs(rounds, origin)
        assert without_weights(inputs) == without_weights(of_origin)
        assert (json.loads(inputs)["weights"], json.loads(inputs)["weights_version"]) == (NEARER, None)
        assert (await ask(rounds.town.officer, "/weights", method="GET"))["version"] == 0
        assert await published(MissionProposed) == []

    async def test_what_changed_meanwhile_does_not_enter(
        self, rounds: Rounds, origin: dict[str, Any], need: dict[str, Any], fitting: dict[str, Any]
    ) -> None:
        """The need is gone, the offer paused, another need open: the trial is of the day of its origin."""
        await ask(rounds.town.association, f"/needs/{need['id']}/withdrawal", {"reason": "Réglé."})
        await ask(rounds.town.officer, f"/offers/{fitting['id']}/pause")
        await rounds.town.add_open_need()
        trial = await run_trial(rounds, origin, SAME)
        assert trial["proposals_digest"] == origin["proposals_digest"]
        assert [one["need_id"] for one in await rounds.proposals(trial)] == [need["id"]]

    async def test_of_a_released_round_of_a_campaign_that_is_over(self, rounds: Rounds, origin: dict[str, Any]) -> None:
        await rounds.release(origin)
        await rounds.town.tell(CampaignClosed(campaign_id=rounds.town.campaign_id, reason="Fin.", expired_minutes=0))
        trial = await run_trial(rounds, origin, SAME)
        assert trial["proposals_digest"] == origin["proposals_digest"]
        assert (await rounds.read(origin))["state"] == "released"

    async def test_keeps_the_choices_of_its_origin(
        self, rounds: Rounds, origin: dict[str, Any], need: dict[str, Any], near: dict[str, Any], fitting: dict[str, Any]
    ) -> None:
        """What was excluded when the origin was computed is excluded in the trial; what was chosen since is not."""
        await rounds.choose(origin, need, near, "exclude")
        again = await ask(rounds.town.officer, f"/rounds/{origin['id']}/again", status=201)
        await rounds.compute()
        await rounds.choose(again, need, fitting, "exclude")
        trial = await run_trial(rounds, again, NEARER)
        assert [one["offer_id"] for one in await rounds.proposals(trial)] == [fitting["id"]]

    async def test_is_proved_by_a_replay(self, rounds: Rounds, origin: dict[str, Any]) -> None:
        trial = await run_trial(rounds, origin, NEARER)
        inputs = await read_inputs(rounds, trial)
        assert digest_bytes(inputs) == trial["inputs_digest"]
        replayed = replay(trial, inputs)
        assert (replayed.differences, replayed.proposals_digest) == ((), trial["proposals_digest"])

    async def test_the_same_key_gives_the_same_trial(self, rounds: Rounds, origin: dict[str, Any]) -> None:
        path, key = f"/rounds/{origin['id']}/trials", {"idempotency-key": str(new_id())}
        asked = [await rounds.town.officer.post(path, json=NEARER, headers=key) for _ in range(2)]
        assert asked[0].json() == asked[1].json()
        assert (asked[0].status_code, asked[1].headers["idempotent-replay"]) == (201, "true")

    @pytest.mark.parametrize(
        ("changes", "pointer"), [({"distance": 13}, "/skills"), ({"near": 60}, "/near"), ({"far_km": 0}, "/far_km")]
    )
    async def test_names_the_faulty_weight(
        self, rounds: Rounds, origin: dict[str, Any], changes: dict[str, int], pointer: str
    ) -> None:
        problem = await try_on(rounds, origin, SAME | changes, status=422)
        assert [fault["pointer"] for fault in problem["errors"]] == [pointer]

    async def test_is_the_towns_alone(self, rounds: Rounds, origin: dict[str, Any]) -> None:
        path = f"/rounds/{origin['id']}/trials"
        _, volunteer = await rounds.town.add_volunteer()
        for client in (rounds.town.association, volunteer, await rounds.town.sign_in(Role.AUDITOR)):
            await ask(client, path, SAME, status=403)
        await ask(rounds.town.operator, path, SAME, status=201)

    async def test_another_town_neither_sees_nor_makes_one(self, rounds: Rounds, origin: dict[str, Any]) -> None:
        trial = await run_trial(rounds, origin, SAME)
        stranger = await rounds.town.sign_in(Role.OFFICER, territory="2A004")
        await ask(stranger, f"/rounds/{origin['id']}/trials", SAME, status=404)
        for path in ("", "/proposals", "/inputs", "/page", f"/comparison?with={origin['id']}"):
            await ask(stranger, f"/rounds/{trial['id']}{path}", method="GET", status=404)


class TestRefusals:
    async def test_only_of_a_round_that_was_computed(self, rounds: Rounds, origin: dict[str, Any]) -> None:
        asked = await rounds.ask()
        problem = await try_on(rounds, asked, SAME, status=409)
        assert problem["type"].endswith("wrong-state")
        assert "wait for it" in problem["detail"]
        await ask(rounds.town.officer, f"/rounds/{asked['id']}/stop", REASON)
        assert "never computed" in (await try_on(rounds, asked, SAME, status=409))["detail"]

    async def test_one_round_at_a_time_in_a_campaign(self, rounds: Rounds, origin: dict[str, Any]) -> None:
        path = f"/rounds/{origin['id']}/trials"
        answers = await asyncio.gather(*[rounds.town.officer.post(path, json=NEARER) for _ in range(3)])
        assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
        body = {"campaign_id": str(rounds.town.campaign_id)}
        problem = await ask(rounds.town.officer, "/rounds", body, status=409)
        assert problem["type"].endswith("round-under-way")

    async def test_a_trial_is_never_sent(self, rounds: Rounds, origin: dict[str, Any], published: Published) -> None:
        trial = await run_trial(rounds, origin, NEARER)
        problem = await rounds.release(trial, status=409)
        assert problem["type"].endswith("round-is-a-trial")
        assert "PUT /weights" in problem["detail"] and "POST /rounds" in problem["detail"]
        assert await published(MissionProposed) == []
        with pytest.raises(asyncpg.CheckViolationError, match="trial_stays"):
            async with open_work(rounds.database, Caller.system(rounds.town.territory)) as work:
                await work.driver.execute(
                    "UPDATE allocation_round SET state = 'released', released = '{}' WHERE id = $1", UUID(trial["id"])
                )

    async def test_a_trial_is_no_origin_and_takes_no_choices(
        self, rounds: Rounds, origin: dict[str, Any], need: dict[str, Any], near: dict[str, Any]
    ) -> None:
        trial = await run_trial(rounds, origin, NEARER)
        problem = await try_on(rounds, trial, SAME, status=409)
        assert (problem["type"].endswith("round-is-a-trial"), problem["trial_of"]) == (True, origin["id"])
        again = await ask(rounds.town.officer, f"/rounds/{trial['id']}/again", status=409)
        assert again["type"].endswith("round-is-a-trial")
        await rounds.choose(trial, need, near, "exclude", status=409)

    async def test_inputs_that_were_removed_are_told(
        self, rounds: Rounds, origin: dict[str, Any], owner_url: Callable[[str], str]
    ) -> None:
        async def remove() -> None:
            owner = await asyncpg.connect(owner_url("matching"))
            try:
                async with owner.transaction():
                    await owner.execute("ALTER TABLE round_inputs DISABLE TRIGGER USER")
                    await owner.execute("DELETE FROM round_inputs WHERE round_id = $1", UUID(origin["id"]))
                    await owner.execute("ALTER TABLE round_inputs ENABLE TRIGGER USER")
            finally:
                await owner.close()

        asked = await try_on(rounds, origin, SAME)
        await remove()
        await rounds.compute()
        failed = await rounds.read(asked)
        assert (failed["state"], "un tour plus récent" in failed["failure"]) == ("failed", True)
        problem = await try_on(rounds, origin, SAME, status=409)
        assert problem["type"].endswith("round-inputs-gone")
        assert "later round" in problem["detail"]


class TestComputing:
    async def test_in_a_process_of_its_own(self, rounds: Rounds, origin: dict[str, Any]) -> None:
        asked = await try_on(rounds, origin, SAME)
        await rounds.compute_in_process()
        trial = await rounds.read(asked)
        assert (trial["state"], trial["proposals_digest"]) == ("computed", origin["proposals_digest"])

    async def test_is_stopped_like_any_round(
        self, rounds: Rounds, origin: dict[str, Any], owner_url: Callable[[str], str]
    ) -> None:
        asked = await try_on(rounds, origin, NEARER)
        owner = await asyncpg.connect(owner_url("matching"))
        try:
            async with held(owner, "LOCK TABLE round_inputs IN ACCESS EXCLUSIVE MODE"):
                computing = asyncio.create_task(rounds.compute_in_process())
                pid = await until(lambda: read_pid(owner, asked["id"]))
                stopped = await ask(rounds.town.officer, f"/rounds/{asked['id']}/stop", REASON)
                await computing
                assert (stopped["state"], is_gone(pid)) == ("stopped", True)
        finally:
            await owner.close()
        assert (await rounds.read(origin))["state"] == "computed"


class TestShown:
    async def test_as_a_trial_in_the_list_and_on_the_page(self, rounds: Rounds, origin: dict[str, Any]) -> None:
        trial = await run_trial(rounds, origin, NEARER)
        listed = (await ask(rounds.town.officer, "/rounds", method="GET"))["items"]
        assert [(one["id"], one["trial_of"]) for one in listed] == [(origin["id"], None), (trial["id"], origin["id"])]
        page = (await rounds.town.officer.get(f"/rounds/{trial['id']}/page")).text
        for told in ("Essai de poids", "à l&#x27;essai, sans version", origin["id"], "Distance : jusqu&#x27;à 18 points"):
            assert told in page
        assert "à décider" not in page
        assert "Essai de poids" not in (await rounds.town.officer.get(f"/rounds/{origin['id']}/page")).text

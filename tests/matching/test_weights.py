"""The territory's own weights over HTTP: versions, bounds, and what a change would do before it does."""

from dataclasses import asdict
from typing import Any

import asyncpg
import pytest

from kernel.auth import Caller, Role
from kernel.ids import new_id
from kernel.work import open_work
from services.matching.domain.weights import DEFAULT_WEIGHTS
from tests.builders.matching import ANTONY
from tests.matching.conftest import MakeDuo, Town, ask

DEFAULTS = asdict(DEFAULT_WEIGHTS)
# Long offers stay for long needs: minutes first, distance hardly.
OTHERS = DEFAULTS | {"distance": 2, "minutes": 16}
REASON = "Les missions courtes manquent d'offres courtes."


async def put(town: Town, body: dict[str, Any], *, version: int, status: int = 200) -> dict[str, Any]:
    response = await town.officer.put("/weights", json=body | {"reason": REASON}, headers={"if-match": f'"{version}"'})
    assert response.status_code == status, response.text
    answer: dict[str, Any] = response.json()
    return answer


class TestReadWeights:
    async def test_are_the_softwares_until_the_town_sets_its_own(self, town: Town) -> None:
        partner = await town.sign_in(Role.PARTNER)
        seen = await ask(partner, "/weights", method="GET")
        assert (seen["version"], seen["weights"], seen["set_by"]) == (0, DEFAULTS, None)
        assert {bound["name"] for bound in seen["bounds"]} == set(DEFAULTS)
        assert {"name": "skills", "label": "Compétences", "least": 30, "greatest": 90} in seen["bounds"]


class TestSetWeights:
    async def test_adds_a_version_with_who_when_and_why(self, town: Town) -> None:
        done = await put(town, OTHERS, version=0)
        assert (done["version"], done["weights"], done["reason"]) == (1, OTHERS, REASON)
        assert done["set_by"]
        assert done["set_at"]
        assert [version["version"] for version in done["history"]] == [1, 0]
        await put(town, DEFAULTS, version=1)
        history = (await ask(town.officer, "/weights", method="GET"))["history"]
        assert [version["weights"] for version in history] == [DEFAULTS, OTHERS, DEFAULTS]

    async def test_not_over_somebody_elses_change(self, town: Town) -> None:
        await put(town, OTHERS, version=0)
        await put(town, DEFAULTS, version=0, status=412)
        problem = await town.officer.put("/weights", json=OTHERS | {"reason": REASON})
        assert problem.status_code == 428

    @pytest.mark.parametrize(
        ("changes", "pointer"),
        [({"distance": 13}, "/skills"), ({"near": 60}, "/near"), ({"far_km": 0}, "/far_km"), ({"reason": " "}, "/reason")],
    )
    async def test_names_the_faulty_field(self, town: Town, changes: dict[str, Any], pointer: str) -> None:
        response = await town.officer.put("/weights", json=DEFAULTS | {"reason": REASON} | changes, headers={"if-match": '"0"'})
        assert response.status_code == 422
        assert [fault["pointer"] for fault in response.json()["errors"]] == [pointer]

    async def test_changes_something(self, town: Town) -> None:
        await put(town, DEFAULTS, version=0, status=409)

    async def test_is_the_officers(self, town: Town) -> None:
        for client in (town.operator, town.association):
            response = await client.put("/weights", json=OTHERS | {"reason": REASON}, headers={"if-match": '"0"'})
            assert response.status_code == 403

    async def test_no_version_is_ever_changed(self, town: Town) -> None:
        await put(town, OTHERS, version=0)
        with pytest.raises(asyncpg.RaiseError, match="history only grows"):
            async with open_work(town.app.state.database, Caller.system(town.territory)) as work:
                await work.driver.execute("UPDATE weights SET reason = 'autre'")

    async def test_counts_from_the_next_proposal_on_and_stays_with_the_mission(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        await put(duo.town, OTHERS, version=0)
        before = await duo.read()
        assert (before["weights_version"], before["score"]) == (0, 91)
        assert "Distance : jusqu'à 12 points" in " ".join(before["explanation"]["rules"])
        need = await duo.town.add_open_need()
        await duo.town.add_open_offer((await duo.town.add_volunteer())[0])
        after = await ask(duo.town.operator, f"/needs/{need['id']}/proposals", status=201)
        assert after["weights_version"] == 1
        assert {part["name"]: part["maximum"] for part in after["parts"]}["distance"] == 2
        assert "Distance : jusqu'à 2 points" in " ".join(after["explanation"]["rules"])


class TestPreviewWeights:
    async def test_shows_which_tops_would_change_and_changes_nothing(self, town: Town) -> None:
        need = await town.add_open_need()
        near = await town.add_open_offer((await town.add_volunteer())[0], minutes=1200)
        fitting = await town.add_open_offer((await town.add_volunteer())[0], minutes=360, commune=ANTONY)
        seen = await ask(town.operator, "/weights/preview", OTHERS)
        assert (seen["compared"], seen["changed"]) == (1, 0)
        steep = DEFAULTS | {"far_km": 5, "distance": 18, "minutes": 0}
        seen = await ask(town.operator, "/weights/preview", steep)
        assert seen["changed"] == 1
        (change,) = seen["changes"]
        assert (change["need_id"], change["mission_id"]) == (need["id"], None)
        assert change["before"]["offer_id"] == fitting["id"]
        assert (change["after"]["offer_id"], change["after"]["title"]) == (near["id"], "Tenir des comptes")
        assert (await ask(town.officer, "/weights", method="GET"))["version"] == 0

    async def test_ranks_the_needs_of_the_last_missions_anew(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        await duo.town.add_open_offer((await duo.town.add_volunteer())[0])
        seen = await ask(duo.town.officer, "/weights/preview", OTHERS)
        assert (seen["compared"], seen["changed"]) == (1, 0)

    async def test_is_the_towns(self, town: Town) -> None:
        company = await town.sign_in(Role.COMPANY, actor_id=new_id(), member_id=new_id())
        for client in (town.association, company):
            await ask(client, "/weights/preview", OTHERS, status=403)

"""The whole platform while parts of it are away: people go on working, nothing is lost, nothing happens twice."""

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from cli.api import ApiError
from cli.http import make_client
from cli.stack import Stack, choose_ports, run_stack, settings_of
from cli.state import State
from tests.support.broker import Broker
from tests.support.town import Town, agree, found_town, open_campaign, propose_mission, reaches, work_and_validate
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(240)


async def state_of(town: Town, mission: str) -> str:
    return str((await town.officer.get(f"/missions/{mission}"))["state"])


async def books(town: Town) -> dict[str, Any]:
    answer: dict[str, Any] = await town.officer.get(f"/campaigns/{town.ids['campaign']}/books")
    return answer


class TestServiceStopped:
    async def test_matching_goes_on_while_credits_is_stopped(self, stack: Stack, town: Town) -> None:
        await open_campaign(town)
        mission = await propose_mission(town, minutes=120)
        credits = stack.children.all["credits"].pid
        os.kill(credits, signal.SIGSTOP)
        try:
            await agree(town, mission)
            assert await state_of(town, mission) == "agreed"
        finally:
            os.kill(credits, signal.SIGCONT)
        await reaches(town, mission, "reserved", seconds=60)
        await work_and_validate(town, mission, minutes=120)
        await reaches(town, mission, "closed", seconds=60)
        assert (await books(town))["sum_minutes"] == 0


class TestBrokerStopped:
    async def test_people_go_on_working_and_the_saga_ends_when_it_is_back(self, broker: Broker, town: Town) -> None:
        await open_campaign(town)
        mission = await propose_mission(town, minutes=120)
        await asyncio.to_thread(broker.stop)
        try:
            await agree(town, mission)
            assert await state_of(town, mission) == "agreed"
        finally:
            await asyncio.to_thread(broker.start)
        await reaches(town, mission, "reserved", seconds=90)
        assert (await books(town))["sum_minutes"] == 0


@contextlib.asynccontextmanager
async def connections_ending(stack: Stack, *, every_seconds: float) -> AsyncIterator[Counter[str]]:
    """All connections of one service after the other, in any order; how often it was each one's turn."""
    dice, ended = random.Random(14), Counter[str]()
    admin = await asyncpg.connect(stack.admin_url)

    async def end_them() -> None:
        while True:
            service = dice.choice(sorted(stack.database_urls))
            name = stack.database_urls[service].rpartition("/")[2]
            if await admin.fetchval("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1", name):
                ended[service] += 1
            await asyncio.sleep(every_seconds)

    task = asyncio.create_task(end_them())
    try:
        yield ended
    finally:
        task.cancel()
        await admin.close()


class TestConnectionsEnded:
    async def test_missions_are_settled_all_the_same(self, stack: Stack, town: Town) -> None:
        await open_campaign(town)
        async with connections_ending(stack, every_seconds=0.4) as ended:
            for number in range(4):
                mission = await propose_mission(town, minutes=60, name=f"panne-{number}")
                await agree(town, mission)
                await reaches(town, mission, "reserved", seconds=60)
                await work_and_validate(town, mission, minutes=60)
                await reaches(town, mission, "closed", seconds=60)
        assert {"registry", "matching", "credits", "notifications"} <= set(ended)
        found = await books(town)
        assert (found["sum_minutes"], found["accounts_out_of_step"], found["by_kind"]["served"]) == (0, 0, 240)


class TestProcessKilled:
    async def test_a_replica_takes_over_and_the_door_says_what_is_away(self, tmp_path: Path) -> None:
        """On the embedded transport, with a PostgreSQL of its own."""
        tmp_path.chmod(0o755)
        async with run_stack(State(tmp_path / "state")) as stack, make_client(stack.url) as http:
            secret = stack.secrets.instance_admin_secret
            town = await found_town(http, stack.url, "92071", admin_secret=secret)
            await open_campaign(town)
            mission = await propose_mission(town, minutes=120)
            port = choose_ports({"replica": 0})[0]["replica"]
            replica = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "kernel.web", "services.credits.app:make_service",
                env=os.environ | settings_of(stack, "credits") | {"METIS_PORT": str(port)},
            )  # fmt: skip
            try:
                os.kill(stack.children.all["credits"].pid, signal.SIGKILL)
                await agree(town, mission)
                await reaches(town, mission, "reserved", seconds=60)
                answer = await http.get(
                    f"/v1/territories/92071/campaigns/{town.ids['campaign']}/books",
                    headers={"authorization": f"Bearer {await town.officer.token()}"},
                )
                assert answer.status_code == 503
                assert "credits" in answer.json()["detail"]
                assert int(answer.headers["retry-after"]) > 0
                await work_and_validate(town, mission, minutes=120)
                await reaches(town, mission, "closed", seconds=60)
            finally:
                replica.terminate()
                # uvicorn drains, then ends by the signal it was sent.
                assert await asyncio.wait_for(replica.wait(), 30) in {0, -signal.SIGTERM}


class TestRubbish:
    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"title": "\\u0000"}', b"\xff\xfe", b'{"a":' * 2000])
    async def test_gets_a_problem_that_names_the_cure_and_changes_nothing(self, town: Town, body: bytes) -> None:
        before = await town.officer.everything("/actors")
        answer = await town.http.post(
            f"{town.url}/v1/territories/{town.territory}/actors",
            content=body,
            headers={"authorization": f"Bearer {await town.officer.token()}", "content-type": "application/json"},
        )
        assert answer.status_code in {400, 422}
        problem = answer.json()
        assert problem["detail"]
        assert all(error["pointer"] and error["detail"] for error in problem.get("errors", []))
        assert await town.officer.everything("/actors") == before

    async def test_a_key_used_for_another_request_is_refused(self, town: Town) -> None:
        body = {"kind": "association", "name": "Une", "commune": town.territory}
        made = await town.officer.post("/actors", body, key="k")
        assert await town.officer.post("/actors", body, key="k") == made
        with pytest.raises(ApiError) as refused:
            await town.officer.post("/actors", {**body, "name": "Autre"}, key="k")
        assert refused.value.code == "idempotency-key-reused"

    async def test_two_requests_with_one_key_at_once_make_one_thing(self, town: Town) -> None:
        body = {"kind": "association", "name": "Une seule", "commune": town.territory}
        answers = await asyncio.gather(*(town.officer.post("/actors", body, key="same") for _ in range(8)))
        assert len({answer["id"] for answer in answers}) == 1

        async def found() -> int:
            return len([actor for actor in await town.officer.everything("/actors") if actor["name"] == "Une seule"])

        assert await wait_until(found) == 1

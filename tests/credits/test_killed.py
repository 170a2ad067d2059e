"""A process that dies between its commit and its answer: whoever asks again gets the same answer and no second effect."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI

from kernel.auth import Caller, Role
from kernel.database import Database
from kernel.events.credits import PledgeWithdrawn
from kernel.ids import new_id
from services.credits.domain.campaigns import Safeguards
from services.credits.domain.ledger import AccountKind
from services.credits.use_cases.combiner import Combiner
from services.credits.use_cases.grants import propose_grants
from services.credits.use_cases.missions import Answer, Command, decide_missions
from tests.builders.credits import Scene
from tests.support.books import check_books
from tests.support.clients import PUBLIC_KEYS, client_at, client_for, make_caller
from tests.support.poster import build_commands, describe
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(90)
ROOT = Path(__file__).parent.parent.parent
# The poster reads the real clock.
FAR = date(2126, 12, 31)


def officer_of(scene: Scene) -> Caller:
    return make_caller(scene.territory, Role.OFFICER, member_id=scene.officer.member_id)


@asynccontextmanager
async def running(module: str, order: dict[str, Any]) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, cwd=ROOT, stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None
    process.stdin.write(json.dumps(order).encode() + b"\n")
    try:
        await process.stdin.drain()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()  # waits, and closes the pipes


@asynccontextmanager
async def posting(scene: Scene, url: str, missions: list[dict[str, Any]], *, hold_answers: bool) -> AsyncIterator[Process]:
    order = {"url": url, "territory": scene.territory, "missions": missions, "hold_answers": hold_answers}
    async with running("tests.support.poster", order) as process:
        yield process


async def ask_and_kill(scene: Scene, url: str, bus_url: str, method: str, path: str, *, kind: str, **sent: Any) -> None:
    """Ask a service that never answers, and kill it once a transfer of that kind is committed."""
    before = await count_transfers(scene, kind)
    order = {"url": url, "bus_url": bus_url, "public_keys": PUBLIC_KEYS}
    async with running("tests.support.service_process", order) as process:
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        async with client_at(f"http://127.0.0.1:{port}", officer_of(scene)) as client:
            asking = asyncio.create_task(client.request(method, path, **sent))

            async def is_committed() -> bool:
                return await count_transfers(scene, kind) > before

            await wait_until(is_committed, what="the commit")
            assert not asking.done()
            process.kill()
            with pytest.raises(httpx2.TransportError):
                await asking


async def make_missions(scene: Scene, *, count: int) -> list[dict[str, Any]]:
    await scene.start(ends_on=FAR)
    association, contributor = await scene.fund(credit=6000)
    own = {"campaign_id": str(scene.campaign_id), "association_id": str(association), "contributor_id": str(contributor)}
    return [{"mission_id": str(new_id()), **own, "minutes": 45, "served": 15} for _ in range(count)]


async def count_transfers(scene: Scene, kind: str) -> int:
    (row,) = await scene.fetch("SELECT count(*) AS n FROM transfer WHERE kind = $1", kind)
    return int(row["n"])


async def ask_again(database: Database, territory: str, commands: list[Command]) -> list[Answer]:
    combiner = Combiner(database, decide_missions)
    return [await combiner.submit(Caller.system(territory), command) for command in commands]


class TestKilledBetweenCommitAndAnswer:
    async def test_asked_again_it_is_the_same_answer_and_one_effect(
        self, scene: Scene, database: Database, service_url: Callable[[str], str]
    ) -> None:
        (mission,) = await make_missions(scene, count=1)
        async with posting(scene, service_url("credits"), [mission], hold_answers=True) as process:
            await wait_until(lambda: count_transfers(scene, "reserve"), what="the commit")
            process.kill()
            assert process.stdout is not None
            assert await process.stdout.read() == b""  # nobody was answered
        before = await scene.fetch("SELECT * FROM transfer ORDER BY id")
        (again,) = await ask_again(database, scene.territory, build_commands(mission)[:1])
        assert (again.refusal, again.is_new) == (None, False)
        assert await scene.fetch("SELECT * FROM transfer ORDER BY id") == before

    async def test_at_any_moment_of_a_long_run(self, scene: Scene, database: Database, service_url: Callable[[str], str]) -> None:
        missions = await make_missions(scene, count=60)
        async with posting(scene, service_url("credits"), missions, hold_answers=False) as process:

            async def has_settled() -> bool:
                return await count_transfers(scene, "settle") >= 10

            await wait_until(has_settled, what="some settlements")
            process.kill()
            assert process.stdout is not None
            told = (await process.stdout.read()).decode().splitlines()
        commands = [command for mission in missions for command in build_commands(mission)]
        reserved = await count_transfers(scene, "reserve")
        assert 0 < reserved < len(missions), "it was not killed on its way"
        answers = await ask_again(database, scene.territory, commands)
        # What it had answered is answered the same, and as known; so is at most the one that it died over.
        known = [answer.is_new for answer in answers].index(True)
        assert len(told) <= known <= len(told) + 1
        assert [describe(answer) for answer in answers[: len(told)]] == told
        assert all(answer.is_new for answer in answers[known:])
        assert await scene.balance(AccountKind.SERVED, UUID(missions[0]["association_id"])) == 60 * 30
        assert await count_transfers(scene, "reserve") == await count_transfers(scene, "release") == 60
        await check_books(scene.fetch, [scene.campaign_id])


class TestServiceKilledBetweenCommitAndAnswer:
    """Over HTTP, by whoever asks again of another replica."""

    @pytest.fixture
    async def pledge(self, scene: Scene) -> dict[str, Any]:
        await scene.start(ends_on=FAR)
        await scene.pledge(600, ref="heures")
        (row,) = await scene.fetch("SELECT id, contributor_id FROM pledge WHERE campaign_id = $1", scene.campaign_id)
        return dict(row)

    async def test_a_pledge_stands_once_under_its_ref(
        self, scene: Scene, app: FastAPI, service_url: Callable[[str], str], bus_url: str, pledge: dict[str, Any]
    ) -> None:
        path, body = f"/campaigns/{scene.campaign_id}/pledges/refs", {"contributor_id": str(pledge["contributor_id"])}
        said = {"suite": {**body, "minutes": 240}, "heures": {**body, "minutes": 900}}  # one that is new, and one said anew
        for ref, words in said.items():
            await ask_and_kill(scene, service_url("credits"), bus_url, "PUT", f"{path}/{ref}", kind="pledge", json=words)
        before = await scene.fetch("SELECT * FROM transfer ORDER BY id")
        assert sorted(row["minutes"] for row in before) == [240, 300, 600]
        async with client_for(app, officer_of(scene)) as client:
            for ref, words in said.items():
                again = await client.put(f"{path}/{ref}", json=words)
                assert (again.status_code, again.json()["outcome"]) == (200, "unchanged")
                assert again.json()["minutes"] == words["minutes"]
        assert await scene.fetch("SELECT * FROM transfer ORDER BY id") == before
        await check_books(scene.fetch, [scene.campaign_id])

    async def test_a_withdrawal_is_answered_as_it_would_have_been_under_its_key(
        self, scene: Scene, app: FastAPI, service_url: Callable[[str], str], bus_url: str, pledge: dict[str, Any]
    ) -> None:
        path, key = f"/pledges/{pledge['id']}/withdrawals", {"idempotency-key": str(new_id())}
        body = {"minutes": 90, "reason": "Un départ"}
        await ask_and_kill(scene, service_url("credits"), bus_url, "POST", path, kind="withdraw", json=body, headers=key)
        before = await scene.fetch("SELECT * FROM transfer ORDER BY id")
        async with client_for(app, officer_of(scene)) as client:
            for _ in range(2):
                again = await client.post(path, json=body, headers=key)
                assert (again.status_code, again.json()["minutes"]) == (201, 510)
                assert (again.headers["idempotent-replay"], again.headers["etag"]) == ("true", '"2"')
            other = await client.post(path, json=body | {"minutes": 60}, headers=key)
            assert other.status_code == 422
            assert other.json()["type"].endswith("idempotency-key-reused")
        assert await scene.fetch("SELECT * FROM transfer ORDER BY id") == before
        assert len(await scene.published(PledgeWithdrawn)) == 1
        await check_books(scene.fetch, [scene.campaign_id])

    @pytest.mark.parametrize("deed", ["signature", "reversal", "decision"])
    async def test_an_officers_deed_is_done_once_and_answered_the_same(
        self, scene: Scene, app: FastAPI, service_url: Callable[[str], str], bus_url: str, deed: str
    ) -> None:
        path, body, kind, status = await prepare(scene, app, deed)
        key = {"idempotency-key": str(new_id())}
        await ask_and_kill(scene, service_url("credits"), bus_url, "POST", path, kind=kind, json=body, headers=key)
        before = await scene.fetch("SELECT * FROM transfer ORDER BY id")
        assert [row["minutes"] for row in before if row["kind"] == kind] == [600]
        told = await scene.published()
        answers = []
        async with client_for(app, officer_of(scene)) as client:
            for _ in range(2):
                again = await client.post(path, json=body, headers=key)
                assert (again.status_code, again.headers["idempotent-replay"]) == (status, "true"), again.text
                answers.append(again.json())
        assert answers[0] == answers[1]
        assert await scene.fetch("SELECT * FROM transfer ORDER BY id") == before
        assert await scene.published() == told
        await check_books(scene.fetch, [scene.campaign_id])


async def prepare(scene: Scene, app: FastAPI, deed: str) -> tuple[str, dict[str, Any], str, int]:
    """A campaign in which an officer can do this once: path, body, the transfer's kind, and the answer's status."""
    above = 300 if deed == "decision" else None
    await scene.start(ends_on=FAR, safeguards=Safeguards(four_eyes_above_minutes=above))
    await scene.pledge(600)
    await scene.admit(entitled_minutes=600)
    base = f"/campaigns/{scene.campaign_id}"
    if deed == "reversal":
        await scene.sign()
        (grant,) = await scene.fetch("SELECT id FROM transfer WHERE kind = 'grant'")
        return f"/transfers/{grant['id']}/reversal", {"reason": "Une erreur"}, "reverse", 201
    async with scene.work() as work:
        body = {"proposal_id": str(await propose_grants(work, scene.campaign_id))}
    if deed == "signature":
        return f"{base}/grants", body, "grant", 201
    async with client_for(app, make_caller(scene.territory, Role.OFFICER, member_id=new_id())) as colleague:
        waiting = await colleague.post(f"{base}/grants", json=body | {"reason": "Dotations du printemps"})
    assert waiting.status_code == 202, waiting.text
    decision = {"outcome": "approved", "reason": "Vu et vérifié"}
    return f"/approvals/{waiting.json()['id']}/decision", decision, "grant", 200

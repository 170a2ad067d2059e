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

import pytest

from kernel.auth import Caller
from kernel.database import Database
from kernel.ids import new_id
from services.credits.domain.ledger import AccountKind
from services.credits.use_cases.combiner import Combiner
from services.credits.use_cases.missions import Answer, Command, decide_missions
from tests.builders.credits import Scene
from tests.support.books import check_books
from tests.support.poster import build_commands, describe
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(90)
ROOT = Path(__file__).parent.parent.parent
# The poster reads the real clock.
FAR = date(2126, 12, 31)


@asynccontextmanager
async def posting(scene: Scene, url: str, missions: list[dict[str, Any]], *, hold_answers: bool) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.poster", cwd=ROOT, stdin=PIPE, stdout=PIPE
    )
    assert process.stdin is not None
    order = {"url": url, "territory": scene.territory, "missions": missions, "hold_answers": hold_answers}
    process.stdin.write(json.dumps(order).encode() + b"\n")
    try:
        await process.stdin.drain()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()  # waits, and closes the pipes


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

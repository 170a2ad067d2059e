"""Jobs run in one process at a time; one that was overtaken shows nothing of them any more."""

import asyncio
import contextlib
from collections.abc import Callable

import asyncpg

from kernel.database import Database
from kernel.ids import new_id
from kernel.jobs import Job, run_job

KEY = "hashtextextended($1, 0)"
# The session that holds the lock of this database, if somebody waits for it.
LEADER = f"""
SELECT led.pid FROM pg_locks AS led JOIN pg_locks AS next USING (locktype, database, classid, objid, objsubid)
WHERE led.locktype = 'advisory' AND led.granted AND NOT next.granted
  AND (led.classid::bigint << 32 | led.objid::bigint) = {KEY}
"""


class TestRunJob:
    async def test_ends_when_a_library_swallowed_its_cancellation(self, make_database: Callable[..., Database]) -> None:
        runs = 0
        waiting, never = asyncio.Event(), asyncio.Event()

        async def run(database: Database) -> None:
            nonlocal runs
            runs += 1
            waiting.set()
            with contextlib.suppress(asyncio.CancelledError):  # as `asyncio.wait_for` does, if the answer comes with it
                await never.wait()

        task = asyncio.create_task(run_job(Job(f"test-{new_id()}", 0.05, run), make_database("credits")))
        await waiting.wait()
        task.cancel()
        await asyncio.wait([task], timeout=20)
        assert (task.cancelled(), runs) == (True, 1)

    async def test_who_is_overtaken_steps_down(
        self, make_database: Callable[..., Database], owner_url: Callable[[str], str]
    ) -> None:
        name = f"test-{new_id()}"
        ran, stepped_down = asyncio.Event(), asyncio.Event()

        async def run(database: Database) -> None:
            ran.set()

        job = Job(name, 0.05, run, step_down=stepped_down.set)
        task = asyncio.create_task(run_job(job, make_database("credits")))
        await ran.wait()
        other, owner = [await asyncpg.connect(owner_url("credits")) for _ in range(2)]
        overtaking = asyncio.create_task(other.execute(f"SELECT pg_advisory_lock({KEY})", f"job:{name}"))
        while (leader := await owner.fetchval(LEADER, f"job:{name}")) is None:
            pass
        assert not stepped_down.is_set()
        await owner.execute("SELECT pg_terminate_backend($1)", leader)  # as if its connection had been lost
        await overtaking
        await stepped_down.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        for connection in (other, owner):
            await connection.close()

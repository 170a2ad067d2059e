"""Services as processes of their own, forked from one nursery: ready, dying, stopped, and never left behind."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cli.console import CliError
from cli.http import HTTPError, make_client
from cli.nursery import STOP_SECONDS
from cli.processes import Child, Children
from cli.stack import choose_ports
from kernel.auth import make_key_pair
from tests.support.waiting import wait_until

READY, BROKEN = "tests.cli.tiny:make_app", "tests.cli.tiny:make_broken_app"


@pytest.fixture
async def children(tmp_path: Path) -> AsyncIterator[Children]:
    environment = {**os.environ, "METIS_INTERNAL_PUBLIC_KEYS": make_key_pair()[1], "METIS_HOST": "127.0.0.1"}
    nursery = Children(environment=environment, log=tmp_path / "nursery.log")
    await nursery.open()
    yield nursery
    await nursery.stop()


def spawn(children: Children, folder: Path, factory: str, *, name: str = "tiny", waits: bool = False) -> Child:
    port = choose_ports({name: 0})[0][name]
    child = Child(name, folder / f"{name}.log", f"http://127.0.0.1:{port}")
    children.spawn(child, factory, environment={"METIS_PORT": str(port)}, waits=waits)
    return child


class TestRun:
    async def test_returns_when_the_task_is_done_and_forgets_it(self, children: Children, tmp_path: Path) -> None:
        child = Child("task", tmp_path / "task.log")
        await children.run(child, "tests.cli.tiny:do_task", environment={"METIS_TASK": "well"})
        assert child.log.read_text() == "did well\n"
        assert children.all == {}

    async def test_a_failure_is_said_with_the_end_of_its_log(self, children: Children, tmp_path: Path) -> None:
        with pytest.raises(CliError, match="task") as failure:
            await children.run(Child("task", tmp_path / "task.log"), "tests.cli.tiny:fail_task", environment={})
        assert "no server there" in failure.value.detail


class TestStop:
    async def test_does_not_wait_for_what_is_not_born_yet(self, children: Children, tmp_path: Path) -> None:
        spawn(children, tmp_path, READY)
        await asyncio.wait_for(children.stop(), STOP_SECONDS / 2)


class TestSpawn:
    async def test_serves_once_the_gate_is_open_and_stops_cleanly(self, children: Children, tmp_path: Path) -> None:
        child = spawn(children, tmp_path, READY, waits=True)
        await wait_until(lambda: asyncio.sleep(0, child.pid), what="the child to be born")
        async with make_client() as http:
            with pytest.raises(HTTPError, match=child.address.rpartition(":")[2]):
                await http.get(f"{child.address}/health/ready")
        children.open_gate()
        await children.wait_ready()
        assert await children.stop() == []
        assert not child.alive

    async def test_a_child_that_cannot_start_is_said_with_the_end_of_its_log(self, children: Children, tmp_path: Path) -> None:
        spawn(children, tmp_path, BROKEN)
        with pytest.raises(CliError, match="tiny") as death:
            await children.wait_ready()
        assert "METIS_SOMETHING is missing" in death.value.detail
        assert "tiny.log" in death.value.cure

    async def test_a_death_is_said_at_once(self, children: Children, tmp_path: Path) -> None:
        child = spawn(children, tmp_path, READY)
        await children.wait_ready()
        watching = asyncio.create_task(children.watch())
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(CliError, match="SIGKILL"):
            await asyncio.wait_for(watching, 5)

    async def test_nothing_is_left_when_the_nursery_is_killed(self, children: Children, tmp_path: Path) -> None:
        child = spawn(children, tmp_path, READY)
        await children.wait_ready()
        assert children.nursery_pid is not None
        os.kill(children.nursery_pid, signal.SIGKILL)

        async def gone() -> bool:
            async with make_client() as http:
                try:
                    await http.get(f"{child.address}/health/ready")
                except HTTPError:
                    return True
            return False

        await wait_until(gone, what="the child to follow its nursery")


class TestChoosePorts:
    def test_gives_two_stacks_that_start_together_ports_of_their_own(self) -> None:
        port = choose_ports({"gateway": 0})[0]["gateway"]
        with ExitStack() as first, ExitStack() as second:
            mine, _ = choose_ports({"gateway": port}, held=first)
            theirs, remarks = choose_ports({"gateway": port}, held=second)
            assert mine["gateway"] == port != theirs["gateway"]
            assert str(port) in remarks[0]
        with ExitStack() as third:
            assert choose_ports({"gateway": port}, held=third)[0]["gateway"] == port

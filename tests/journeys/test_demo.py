"""The demo as a person runs it: played, played again from what is kept, and ended by Ctrl-C. One state for all, for it takes
half a minute to make."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from cli import embedded_postgres
from cli.databases import connect, each_territory
from cli.http import HTTPError, make_client
from cli.state import State
from tests.support.waiting import wait_until

PATIENCE_SECONDS = 180
pytestmark = pytest.mark.timeout(3 * PATIENCE_SECONDS)
# Of the platform's own accord, as time goes by.
SEALS = "credits.ledger_"
MISSIONS_OF = """
SELECT ref, (SELECT count(*) FROM mission WHERE mission.need_id = need.id) AS missions
FROM need WHERE ref = ANY($1)
"""


def start_demo(state: Path, output: Path, *options: str) -> "subprocess.Popen[bytes]":
    """In a group of its own: a terminal's Ctrl-C goes to all processes of one."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("METIS_")}
    command = [sys.executable, "-m", "cli.main", "demo", "--state", str(state), *options]
    with output.open("wb") as file:
        return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=bare, start_new_session=True)


@dataclass
class Played:
    """A demo that was played once."""

    state: State
    figures: dict[str, Any]
    left: dict[str, bytes]  # what the people and the partner received


def received(state: State) -> dict[str, bytes]:
    return {name: (state.path / name).read_bytes() for name in ("courriels.mbox", "partenaire.jsonl")}


@pytest.fixture(scope="module")
def played() -> Iterator[Played]:
    folder = Path(tempfile.mkdtemp(prefix="metis-demo-"))
    folder.chmod(0o755)  # as root, PostgreSQL runs as somebody else
    output = folder / "first.txt"
    process = start_demo(folder / "state", output, "--once")
    try:
        code = process.wait(PATIENCE_SECONDS)
        assert code == 0, output.read_text()
        state = State(folder / "state")
        yield Played(state, json.loads(output.read_text().splitlines()[-1]), received(state))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Again:
    """A second run, which serves."""

    process: "subprocess.Popen[bytes]"
    output: str
    url: str
    new_events: list[str]  # types


@pytest.fixture(scope="module")
async def again(played: Played) -> AsyncIterator[Again]:
    began = datetime.now(UTC)
    output = played.state.path.with_name("second.txt")
    process = start_demo(played.state.path, output)

    def serves() -> bool:
        assert process.poll() is None, output.read_text()
        return "Métis continue de servir" in output.read_text() and "Journaux :" in output.read_text()

    try:
        await wait_until(serves, seconds=PATIENCE_SECONDS, what="the demo to serve")
        yield Again(process, output.read_text(), played.state.gateway_url(), await events_since(played.state, began))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)


async def events_since(state: State, began: datetime) -> list[str]:
    connection = await connect("notifications", state)
    try:
        found = "SELECT type FROM event_log WHERE territory = $1 AND recorded_at >= $2"
        return [
            row[0] async for territory in each_territory(connection) for row in await connection.fetch(found, territory, began)
        ]
    finally:
        await connection.close()


async def answers(url: str) -> bool:
    try:
        async with make_client(url, timeout_seconds=5) as http:
            return (await http.get("/health/ready")).status_code == 200
    except HTTPError:
        return False


class TestSecondRun:
    async def test_starts_from_the_kept_state_and_does_nothing_twice(self, played: Played, again: Again) -> None:
        assert played.figures["ok"] is True
        assert played.figures["grants"] > 0
        assert again.output.count("rien n'est refait") == 2
        assert [kind for kind in again.new_events if not kind.startswith(SEALS)] == []
        assert received(played.state) == played.left
        assert f"{played.figures['emails']} courriels partis" in again.output
        assert f"{played.figures['webhooks_delivered']} webhooks livrés" in again.output
        assert "✗" not in again.output


class TestExamples:
    async def test_needs_that_nobody_fits_are_proposed_to_nobody(self, played: Played, again: Again) -> None:
        """As examples/README.md says: for their language, their hours, and their days and place."""
        lonely = {"besoin-interprete-arabe", "besoin-mesure-tandem", "besoin-accueil-espagnol"}
        connection = await connect("matching", played.state)
        try:
            await connection.execute("SELECT set_config('metis.territory', '92071', false)")
            found = {row["ref"]: row["missions"] for row in await connection.fetch(MISSIONS_OF, list(lonely))}
        finally:
            await connection.close()
        assert found == dict.fromkeys(lonely, 0)


class TestCtrlC:
    async def test_while_it_serves_stops_everything_and_exits_0(self, played: Played, again: Again) -> None:
        assert await answers(again.url)
        below = psutil.Process(again.process.pid).children(recursive=True)
        assert len(below) >= 5  # four services and the gateway
        os.killpg(again.process.pid, signal.SIGINT)
        assert again.process.wait(PATIENCE_SECONDS) == 0
        _, alive = psutil.wait_procs(below, timeout=10)
        assert alive == []
        assert embedded_postgres.find_running(played.state.postgres, password="") is None
        assert not await answers(again.url)

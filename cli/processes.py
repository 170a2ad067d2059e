"""The processes of the stack, each with a log of its own: started, watched, and stopped in order."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.console import CliError

LOG_LINES_SHOWN = 12
NEWS_BYTES = 1 << 20


@dataclass
class Child:
    """One process of the stack; `address` is where its health answers, if it serves."""

    name: str
    log: Path
    address: str = ""
    pid: int = 0
    exit_code: int | None = None

    @property
    def alive(self) -> bool:
        return self.exit_code is None

    def death(self) -> CliError:
        """What to say when it died."""
        code = self.exit_code or 0
        how = f"arrêté par le signal {signal.Signals(-code).name}" if code < 0 else f"terminé avec le code {code}"
        detail = explain_log(self.log)
        return CliError(f"Le processus « {self.name} » s'est {how}.", detail=detail, cure=f"Le journal complet : {self.log}")


class Children:
    """All processes of the stack, forked from one nursery (cli/nursery.py)."""

    def __init__(self, *, environment: Mapping[str, str], log: Path) -> None:
        self._environment = dict(environment)
        self._log = log
        self._nursery: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self.all: dict[str, Child] = {}
        self._news = asyncio.Event()

    async def open(self) -> None:
        """Start the nursery; it begins to import at once."""
        with self._log.open("ab") as errors:
            # Its own session keeps the terminal's Ctrl-C from reaching the children before we stop them.
            self._nursery = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "cli.nursery",
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=errors,
                env=self._environment, start_new_session=True, limit=NEWS_BYTES,
            )  # fmt: skip
        self._listening = asyncio.create_task(self._listen(), name="nursery")

    @property
    def nursery_pid(self) -> int | None:
        return self._nursery.pid if self._nursery else None

    def spawn(self, child: Child, factory: str, *, environment: Mapping[str, str], waits: bool = False) -> None:
        """Fork a process that serves `factory`; with `waits`, it imports at once and serves when the gate opens."""
        self._bear(child, environment, factory=factory, waits=waits)

    async def run(self, child: Child, task: str, *, environment: Mapping[str, str]) -> None:
        """Fork a process that calls `task` and ends. Raises CliError when it fails."""
        self._bear(child, environment, task=task)
        while child.alive:
            await self._news.wait()
            self._news.clear()
        if child.exit_code:
            self.raise_if_dead()
        del self.all[child.name]

    def open_gate(self) -> None:
        self._order(open_gate=True)

    def _bear(self, child: Child, environment: Mapping[str, str], **work: Any) -> None:
        self.all[child.name] = child
        self._order(name=child.name, log=str(child.log), environment=self._environment | dict(environment), **work)

    def _order(self, **order: Any) -> None:
        assert self._nursery is not None
        assert self._nursery.stdin is not None
        self._nursery.stdin.write(json.dumps(order).encode() + b"\n")

    async def _listen(self) -> None:
        assert self._nursery is not None
        assert self._nursery.stdout is not None
        while line := await self._nursery.stdout.readline():
            news = json.loads(line)
            if name := news.get("born"):
                self.all[name].pid = news["pid"]
            elif name := news.get("died"):
                self.all[name].exit_code = news["code"]
            self._news.set()
        code = await self._nursery.wait()
        for child in self.all.values():
            if child.alive:
                child.exit_code = code  # it goes with the nursery
        self._news.set()

    def raise_if_dead(self) -> None:
        """Raises CliError for the nursery, with which all go, or for a child that is no more."""
        if self._nursery is not None and self._nursery.returncode is not None:
            raise CliError(
                "Les services n'ont pas pu démarrer.", detail=explain_log(self._log), cure=f"Le journal complet : {self._log}"
            )
        for child in self.all.values():
            if not child.alive:
                raise child.death()

    async def watch(self) -> None:
        """Raise as soon as a child dies; never returns otherwise."""
        while True:
            self.raise_if_dead()
            await self._news.wait()
            self._news.clear()

    async def wait_ready(self, *, timeout_seconds: float = 90) -> None:
        """Return when every child says that it can do its work; raise at once when one dies."""
        from cli.http import make_client

        waiting = dict(self.all)
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        async with make_client(timeout_seconds=5) as client:
            while waiting:
                self.raise_if_dead()
                asked = await asyncio.gather(*(_ask_health(client, child.address) for child in waiting.values()))
                answers = dict(zip(waiting, asked, strict=True))
                waiting = {name: child for name, child in waiting.items() if answers[name] != "200"}
                if waiting and asyncio.get_running_loop().time() > deadline:
                    name, child = next(iter(waiting.items()))
                    raise CliError(
                        f"« {name} » n'est pas prêt après {timeout_seconds:.0f} s ({answers[name]}).",
                        detail=explain_log(child.log),
                        cure=f"Le journal complet : {child.log}",
                    )
                await asyncio.sleep(0.05)

    async def stop(self) -> list[str]:
        """End the nursery, which ends its children and kills who does not go in time. Returns the names of the killed."""
        living = [child for child in self.all.values() if child.alive]
        if self._nursery is not None:
            assert self._nursery.stdin is not None
            self._nursery.stdin.close()
            await self._nursery.wait()
        if self._listening is not None:
            await self._listening
        return [child.name for child in living if child.exit_code == -signal.SIGKILL]


async def _ask_health(client: Any, address: str) -> str:
    from cli.http import HTTPError

    try:
        answer = await client.get(f"{address}/health/ready")
    except HTTPError as error:
        return str(error)
    return "200" if answer.status_code == 200 else f"HTTP {answer.status_code} {answer.text[:300]}"


def explain_log(log: Path, *, count: int = LOG_LINES_SHOWN) -> str:
    """The end of a log, where the reason of a death stands; JSON lines are shown as their message."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 65536))
            lines = file.read().decode(errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return ""
    return "\n".join(_as_text(line) for line in lines)


def _as_text(line: str) -> str:
    try:
        entry = json.loads(line)
        return f"{entry['level']}: {entry['message']}" + (f"\n{entry['exception']}" if "exception" in entry else "")
    except (ValueError, KeyError, TypeError):
        return line

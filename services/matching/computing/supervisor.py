"""In the service: one round after the other, each computed by a process of its own (`__main__`).

The process gets one line with what it needs, and ends when its standard input does: a service that dies takes it along. What
it says comes back as lines on its standard output. Its outcome it keeps itself, in one transaction, and only while the round
still waits for this very attempt: a round that was stopped, or taken up by another service, is never overwritten.
"""

import asyncio
import contextlib
import json
import logging
import signal
import sys
from asyncio.subprocess import PIPE, Process
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from kernel.auth import EVERY_TERRITORY, Caller
from kernel.cancellation import raise_if_cancelled
from kernel.database import Database
from kernel.work import open_work
from services.matching.store.rounds import find_waiting, note_progress
from services.matching.use_cases import round_computing

log = logging.getLogger("metis.matching.rounds")
LOOK_SECONDS = 0.5  # between two looks whether the round is still wanted, with its progress written on the way
LONGEST_LINE_BYTES = 1 << 20
_ROOT = Path(__file__).parents[3]


async def compute_waiting(database: Database, *, limit_seconds: float) -> None:
    """Compute all rounds that wait, the oldest first."""
    while True:
        raise_if_cancelled()
        async with open_work(database, Caller.system(EVERY_TERRITORY)) as work:
            waiting = await find_waiting(work)
        if waiting is None:
            return
        round_id, territory = waiting
        async with open_work(database, Caller.system(territory)) as work:
            started = await round_computing.start_round(work, round_id)
        if started is not None:
            await _Computing(database, territory, round_id, started.attempt, limit_seconds).run()


@dataclass
class _Computing:
    """One attempt at one round, and what its process said last."""

    database: Database
    territory: str
    round_id: UUID
    attempt: int
    limit_seconds: float
    progress: dict[str, Any] = field(default_factory=dict)
    fault: str | None = None  # why it cannot be computed
    kept: bool = False  # the outcome is stored

    async def run(self) -> None:
        log.info("round %s: attempt %s", self.round_id, self.attempt)
        process = await _start()
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(self._order()).encode() + b"\n")
            wanted = await self._watch(process)
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
            await process.wait()
        if self.kept or not wanted:
            return
        async with open_work(self.database, self._caller) as work:
            if self.fault is not None:
                await round_computing.fail_round(work, self.round_id, self.fault, attempt=self.attempt)
            else:
                await round_computing.note_death(work, self.round_id, _explain_death(process), attempt=self.attempt)

    @property
    def _caller(self) -> Caller:
        return Caller.system(self.territory)

    def _order(self) -> dict[str, Any]:
        return {
            "database_url": self.database.url,
            "territory": self.territory,
            "round": str(self.round_id),
            "attempt": self.attempt,
        }

    async def _watch(self, process: Process) -> bool:
        """Until the process ends or took too long (true), or is not wanted any more (false)."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.limit_seconds
        listening = asyncio.create_task(self._listen(process), name="round:listen")
        try:
            while not (await asyncio.wait([listening], timeout=LOOK_SECONDS))[0]:
                if loop.time() > deadline:
                    minutes = f"{self.limit_seconds / 60:.0f} minutes"
                    self.fault = f"Le calcul a dépassé {minutes}. Prenez moins de candidats par besoin, puis recommencez."
                    return True
                progress = {**self.progress, "pid": process.pid}
                async with open_work(self.database, self._caller) as work:
                    if not await note_progress(work, self.round_id, attempt=self.attempt, progress=progress):
                        return False
            await process.wait()
        finally:
            listening.cancel()
        return True

    async def _listen(self, process: Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            said = json.loads(line)
            if "phase" in said:
                self.progress = said
            self.fault = said.get("fault", self.fault)
            self.kept = said.get("kept", self.kept)


async def _start() -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.matching.computing",
        stdin=PIPE, stdout=PIPE, cwd=_ROOT, limit=LONGEST_LINE_BYTES,
    )  # fmt: skip


def _explain_death(process: Process) -> str:
    code = process.returncode or 0
    if code < 0:
        hint = " (mémoire épuisée, ou arrêté à la main)" if -code == signal.SIGKILL else ""
        return f"Le processus de calcul a été arrêté par le signal {signal.Signals(-code).name}{hint}."
    return f"Le processus de calcul s'est terminé avec le code {code}, sans résultat."

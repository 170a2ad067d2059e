"""The process that computes one round: `python -m services.matching.computing`, its order on standard input.

It ends when its standard input does (whoever started it died), and then keeps nothing.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
import threading
import traceback
from time import monotonic
from typing import Any
from uuid import UUID

from kernel.database import Database
from services.matching.computing.attempt import compute_attempt
from services.matching.engine.rounds.faults import RoundCannotBe

PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
TOLD_EVERY_SECONDS = 0.1
NICENESS = 5  # requests come first
ABANDONED = 3


def main() -> int:
    _die_with_parent()
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    order = json.loads(sys.stdin.buffer.readline())
    _keep_output_to_ourselves()
    threading.Thread(target=_end_when_abandoned, daemon=True).start()
    try:
        asyncio.run(_compute(order))
    except RoundCannotBe as error:
        _say(fault=str(error))
    except Exception:
        traceback.print_exc()  # into the service's log; the supervisor sees the exit code
        return 1
    return 0


async def _compute(order: dict[str, Any]) -> None:
    database = Database(order["database_url"], service="matching", pool_size=1)
    try:
        await compute_attempt(database, order["territory"], UUID(order["round"]), attempt=order["attempt"], tell=_Teller())
        _say(kept=True)
    finally:
        await database.close()


class _Teller:
    """Progress, not more often than somebody could read it."""

    def __init__(self) -> None:
        self._phase = ""
        self._told = 0.0

    def __call__(self, phase: str, done: int, total: int) -> None:
        now = monotonic()
        if phase != self._phase or now - self._told >= TOLD_EVERY_SECONDS:
            self._phase, self._told = phase, now
            _say(phase=phase, done=done, total=total)


def _say(**news: Any) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        os.write(_SAID_TO[0], json.dumps(news).encode() + b"\n")


_SAID_TO = [1]


def _keep_output_to_ourselves() -> None:
    """What a solver may print goes to the log: the supervisor reads our lines alone."""
    _SAID_TO[0] = os.dup(1)
    os.dup2(2, 1)


def _end_when_abandoned() -> None:
    sys.stdin.buffer.read()
    os._exit(ABANDONED)


def _die_with_parent() -> None:
    """On Linux the kernel sees to it even while a solver holds the interpreter."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, int(signal.SIGKILL))


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # at once: taking apart all that was imported takes tenths of a second

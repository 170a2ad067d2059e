"""A process that has imported what all services need, and forks a process for each of them.

Importing takes each Python process seconds; forked from here the services start in tenths of a second and share
that memory. What they run is what `python -m kernel.web` runs. `metis` (cli.processes) writes orders to standard input, one
JSON object a line; births and deaths come back on standard output. When standard input ends, because metis stopped
or was killed, the nursery stops its children and ends: nothing is left behind.
"""

import contextlib
import importlib
import json
import os
import selectors
import signal
import sys
import time
from collections import deque
from typing import Any, NoReturn

from kernel import memory

STOP_SECONDS = 20
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
# What every service imports: the kernel, and through it SQLAlchemy, FastAPI, the drivers, OpenTelemetry. In steps of a few
# tenths of a second, for orders are read between them; the first is what a migration has in common with a service.
PRELOADED = (
    "kernel.tables",
    "kernel.database",
    "fastapi",
    "kernel.work",
    "kernel.web",
    "kernel.routing",
    "kernel.paging",
    "pydantic.v1",  # FastAPI asks it about every model
)


class Nursery:
    """The children by process id, and a gate at which those wait that were told to."""

    def __init__(self) -> None:
        self._to_import = deque(PRELOADED)
        self._held: list[dict[str, Any]] = []  # until everything is imported
        self._names: dict[int, str] = {}
        self._gate_out, self._gate_in = os.pipe()
        self._stopping = False

    def run(self) -> None:
        wake_out, wake_in = os.pipe()
        os.set_blocking(wake_in, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._note_stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is for metis, which then tells us
        signal.set_wakeup_fd(wake_in, warn_on_full_buffer=False)
        selector = selectors.DefaultSelector()
        selector.register(sys.stdin.buffer.raw, selectors.EVENT_READ)  # type: ignore[union-attr]
        selector.register(wake_out, selectors.EVENT_READ)
        pending = b""
        while not self._stopping:
            for key, _ in selector.select(0 if self._to_import else None):
                if key.fd == wake_out:
                    os.read(wake_out, 4096)
                    continue
                received = os.read(key.fd, 1 << 20)
                self._stopping = self._stopping or not received
                *lines, pending = (pending + received).split(b"\n")
                for line in lines:
                    self._obey(json.loads(line))
            self._report_deaths()
            self._import_next()
        self._stop_children()

    def _note_stop(self, *_: object) -> None:
        self._stopping = True

    def _obey(self, order: dict[str, Any]) -> None:
        if order.get("open_gate"):
            self._close_gate()
        elif "factory" in order and self._to_import:
            self._held.append(order)
        else:
            self._bear(order)

    def _import_next(self) -> None:
        """One module more; after the last, the services that were ordered are born."""
        if not self._to_import:
            return
        importlib.import_module(self._to_import.popleft())
        if not self._to_import:
            memory.settle()  # and shared: pages that the collector does not touch stay the children's and ours
            while self._held:
                self._bear(self._held.pop(0))

    def _bear(self, order: dict[str, Any]) -> None:
        pid = os.fork()
        if pid == 0:
            self._become(order)
        self._names[pid] = order["name"]
        _tell(born=order["name"], pid=pid)

    def _close_gate(self) -> None:
        """The gate is open when nobody holds this end any more."""
        if self._gate_in >= 0:
            os.close(self._gate_in)
            self._gate_in = -1

    def _become(self, order: dict[str, Any]) -> NoReturn:
        """In the child: its own session, log and environment, then the work itself."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        _die_with_parent()
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        self._close_gate()
        os.environ.clear()
        os.environ.update(order["environment"])
        if task := order.get("task"):
            _load(task)()
        else:
            _serve(order["factory"], gate=self._gate_out if order.get("waits") else None)
        sys.stdout.flush()
        os._exit(0)  # at once: taking apart all that was imported takes tenths of a second

    def _report_deaths(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                _tell(died=self._names.pop(pid), code=os.waitstatus_to_exitcode(status))

    def _stop_children(self) -> None:
        for pid in self._names:
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while self._names and time.monotonic() < deadline:
            self._report_deaths()
            time.sleep(0.02)
        for pid in self._names:
            os.kill(pid, signal.SIGKILL)
        while self._names:
            self._report_deaths()
            time.sleep(0.02)


def _load(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def _serve(factory: str, *, gate: int | None) -> None:
    """Import the app, wait at the gate if told to, and serve."""
    from kernel.settings import KernelSettings
    from kernel.web import serve

    make_app = _load(factory)
    if gate is not None:
        os.read(gate, 1)  # returns when the gate's other end is closed everywhere
    serve(make_app, KernelSettings())


def _die_with_parent() -> None:
    """On Linux, ask for SIGTERM when the nursery dies, even if it is killed."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, int(signal.SIGTERM))


def _tell(**news: Any) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        os.write(1, json.dumps(news).encode() + b"\n")


if __name__ == "__main__":
    Nursery().run()

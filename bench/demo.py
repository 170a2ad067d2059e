"""The demo once through: seconds from `make demo ONCE=1` to its last line, and the peak memory of all its processes.

Memory is the proportional set size (PSS) of the whole process tree, sampled ten times a second: pages that
processes share, PostgreSQL's buffers above all, count once. `python -m bench.demo` (see docs/performance.md).
"""

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

from bench.report import print_report

SAMPLE_SECONDS = 0.1
TARGET_SECONDS = 20
TARGET_MIB = 700


class Peak:
    """Samples the memory of a process and all that come from it, PostgreSQL included, until told to stop."""

    def __init__(self, process: "subprocess.Popen[str]", state: Path) -> None:
        self._root = psutil.Process(process.pid)
        self._state = state
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self.mib = 0.0
        self.processes = 0

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            total, count = 0, 0
            for process in self._all():
                with suppress(psutil.Error):
                    total += process.memory_full_info().pss
                    count += 1
            if total / 2**20 > self.mib:
                self.mib, self.processes = total / 2**20, count

    def _all(self) -> "set[psutil.Process]":
        found: set[psutil.Process] = set()
        with suppress(psutil.Error):
            found |= {self._root, *self._root.children(recursive=True)}
        # PostgreSQL runs in a session of its own; its pid file says where.
        with suppress(OSError, ValueError, IndexError, psutil.Error):
            postgres = psutil.Process(int((self._state / "postgres" / "postmaster.pid").read_text().split()[0]))
            found |= {postgres, *postgres.children(recursive=True)}
        return found


def run_demo(state: Path) -> tuple[dict[str, object], float, Peak]:
    """One run on this state directory: its last line, its seconds, its memory."""
    command = [str(Path(sys.executable).with_name("metis")), "demo", "--once", "--state", str(state)]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with Peak(process, state) as peak:
        output, _ = process.communicate()
    seconds = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f"the demo failed:\n{output[-3000:]}")
    return json.loads(output.strip().splitlines()[-1]), seconds, peak


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="metis-bench-"))
    folder.chmod(0o755)
    try:
        first, seconds, peak = run_demo(folder / "state")
        _, again_seconds, again_peak = run_demo(folder / "state")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print_report(
        "The demo, once through",
        ["", "first run", "second run (kept state)", "target"],
        [
            ["seconds", f"{seconds:.1f}", f"{again_seconds:.1f}", f"≤ {TARGET_SECONDS}"],
            ["peak MiB, all processes", f"{peak.mib:.0f}", f"{again_peak.mib:.0f}", f"≤ {TARGET_MIB}"],
            ["processes", str(peak.processes), str(again_peak.processes), ""],
            ["events", str(first["events"]), "", ""],
        ],
        {"seconds": round(seconds, 2), "peak_mib": round(peak.mib, 1), "again_seconds": round(again_seconds, 2)},
    )


if __name__ == "__main__":
    main()

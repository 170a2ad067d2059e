"""The demo once through: seconds from `make demo ONCE=1` to its last line, and the peak memory of all its processes.

Memory is the proportional set size (PSS) of the whole process tree, sampled four times a second: pages that
processes share, PostgreSQL's buffers above all, count once. Adding it up takes the kernel a good part of a core, so
it is done in a run of its own, whose seconds do not count. `python -m bench.demo` (see docs/performance.md).
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

from bench.report import print_report

SAMPLE_SECONDS = 0.25
RUNS = 3
ROOT = Path(__file__).parent.parent
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


def start_demo(state: Path) -> "subprocess.Popen[str]":
    command = ["make", "--no-print-directory", "demo", "ONCE=1", f"STATE={state}"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish_demo(process: "subprocess.Popen[str]") -> dict[str, object]:
    """Its last line."""
    output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"the demo failed:\n{output[-3000:]}")
    last: dict[str, object] = json.loads(output.strip().splitlines()[-1])
    return last


def time_demo(state: Path) -> float:
    began = time.perf_counter()
    finish_demo(start_demo(state))
    return time.perf_counter() - began


def weigh_demo(state: Path) -> tuple[dict[str, object], Peak]:
    process = start_demo(state)
    with Peak(process, state) as peak:
        return finish_demo(process), peak


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="metis-bench-"))
    folder.chmod(0o755)
    try:
        seconds = []
        for number in range(RUNS):
            seconds.append(time_demo(folder / str(number)))
            print(f"  {seconds[-1]:.1f} s", file=sys.stderr, flush=True)
        again_seconds = time_demo(folder / "0")
        facts, peak = weigh_demo(folder / "weighed")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    middle = statistics.median(seconds)
    print_report(
        "The demo, once through",
        ["", "measured", "target"],
        [
            [f"seconds, the median of {RUNS} first runs", f"{middle:.1f}", f"≤ {TARGET_SECONDS}"],
            ["seconds, from kept state", f"{again_seconds:.1f}", ""],
            ["peak MiB, all processes together", f"{peak.mib:.0f}", f"≤ {TARGET_MIB}"],
            ["processes", str(peak.processes), ""],
            ["events", str(facts["events"]), ""],
        ],
        {"seconds": round(middle, 2), "peak_mib": round(peak.mib, 1), "again_seconds": round(again_seconds, 2)},
    )


if __name__ == "__main__":
    main()

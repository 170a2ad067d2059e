"""How a long-running process collects its garbage, and how much memory a process has had."""

import gc
import resource
import sys
from pathlib import Path


def settle() -> None:
    """Call once, when everything is imported and built. What lives then lives to the end and need not be looked
    at again; and a transaction makes objects by the thousand, so look less often than CPython's first guess of
    seven hundred. A use case then costs a fifth less processor time (docs/performance.md)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def measure_peak_mib() -> float:
    """The most that this process has had at once. Of the process alone: on Linux `ru_maxrss` begins with what the one that
    started it had."""
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = (line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)

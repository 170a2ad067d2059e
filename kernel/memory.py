"""How a long-running process collects its garbage."""

import gc


def settle() -> None:
    """Call once, when everything is imported and built. What lives then lives to the end and need not be looked
    at again; and a transaction makes objects by the thousand, so look less often than CPython's first guess of
    seven hundred. A use case then costs a fifth less processor time (docs/performance.md)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)

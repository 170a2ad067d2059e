"""Time-ordered identifiers (UUIDv7, RFC 9562): B-trees stay dense and lists sort by age."""

import os
import threading
import time
from uuid import UUID

_lock = threading.Lock()
_last_tick = 0


def new_id() -> UUID:
    """A UUIDv7 that is greater than every one this process made before.

    The 48-bit millisecond and the 12 bits below it form one tick of about 244 ns; two calls within a
    tick take the next one, so ids made in one transaction keep their order.
    """
    global _last_tick  # noqa: PLW0603 - one order for the whole process is the point
    milliseconds, rest_nanoseconds = divmod(time.time_ns(), 1_000_000)
    tick = (milliseconds << 12) | ((rest_nanoseconds << 12) // 1_000_000)
    with _lock:
        tick = max(tick, _last_tick + 1)
        _last_tick = tick
    random_bits = int.from_bytes(os.urandom(8)) & ((1 << 62) - 1)
    value = ((tick >> 12) << 80) | (0x7 << 76) | ((tick & 0xFFF) << 64) | (0b10 << 62) | random_bits
    return UUID(int=value)

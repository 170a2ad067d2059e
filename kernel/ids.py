"""Time-ordered identifiers (UUIDv7, RFC 9562): B-trees stay dense and lists sort by age."""

import os
import threading
import time
from uuid import UUID

_lock = threading.Lock()
_last_tick = 0
_BELOW_VARIANT = (1 << 62) - 1


def new_id() -> UUID:
    """A UUIDv7 that is greater than every one this process made before.

    The 48-bit millisecond and the 12 bits below it form one tick of about 244 ns; two calls within a
    tick take the next one, so ids made in one transaction keep their order.
    """
    return new_ids(1)[0]


def new_ids(count: int) -> list[UUID]:
    """So many, in their order, for one look at the clock and one reading of randomness."""
    global _last_tick  # noqa: PLW0603 - one order for the whole process is the point
    milliseconds, rest_nanoseconds = divmod(time.time_ns(), 1_000_000)
    tick = (milliseconds << 12) | ((rest_nanoseconds << 12) // 1_000_000)
    with _lock:
        tick = max(tick, _last_tick + 1)
        _last_tick = tick + count - 1
    noise = os.urandom(8 * count)
    return [
        UUID(
            int=((tick + place) >> 12 << 80)
            | (0x7 << 76)
            | (((tick + place) & 0xFFF) << 64)
            | (0b10 << 62)
            | (int.from_bytes(noise[8 * place : 8 * place + 8]) & _BELOW_VARIANT)
        )
        for place in range(count)
    ]

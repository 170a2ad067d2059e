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
    tick = _take_ticks(1)
    return UUID(int=_value_of(tick, int.from_bytes(os.urandom(8))))


def new_ids(count: int) -> list[UUID]:
    """So many, in their order, for one look at the clock and one reading of randomness."""
    tick, noise = _take_ticks(count), os.urandom(8 * count)
    return [UUID(int=_value_of(tick + place, int.from_bytes(noise[8 * place : 8 * place + 8]))) for place in range(count)]


def _take_ticks(count: int) -> int:
    """The first of so many ticks that nobody has taken."""
    global _last_tick  # noqa: PLW0603 - one order for the whole process is the point
    milliseconds, rest_nanoseconds = divmod(time.time_ns(), 1_000_000)
    tick = (milliseconds << 12) | ((rest_nanoseconds << 12) // 1_000_000)
    with _lock:
        tick = max(tick, _last_tick + 1)
        _last_tick = tick + count - 1
    return tick


def _value_of(tick: int, noise: int) -> int:
    return ((tick >> 12) << 80) | (0x7 << 76) | ((tick & 0xFFF) << 64) | (0b10 << 62) | (noise & _BELOW_VARIANT)

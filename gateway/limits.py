"""How often one may ask: fixed windows of a minute, counted in memory.

Own code and not the `limits` library, because its memory storage starts a sweep over all its keys with
each hit: 11 microseconds a request with one client, 365 with two thousand (see gateway/README.md).
Each copy of the gateway counts for itself; a limit is there to stop a runaway, not to bill.
"""

import math

from kernel.clock import Clock
from kernel.errors import TooManyRequests

WINDOW_SECONDS = 60.0


class Window:
    """The requests of one client, or one address, in the current minute."""

    __slots__ = ("_policy", "_policy_name", "_used", "ends", "quota")

    def __init__(self, policy: str, *, quota: int) -> None:
        self.quota = quota
        self.ends = 0.0
        self._used = 0
        self._policy_name = policy.encode()
        self._policy = (b"ratelimit-policy", b'"%b";q=%d;w=%d' % (self._policy_name, quota, WINDOW_SECONDS))

    def take(self, now: float) -> bool:
        """Count one request; False when it is one too many."""
        if now >= self.ends:
            self.ends = now + WINDOW_SECONDS
            self._used = 0
        self._used += 1
        return self._used <= self.quota

    def refusal(self, now: float) -> TooManyRequests:
        """429 with the seconds to wait."""
        seconds = max(1, math.ceil(self.ends - now))
        return TooManyRequests(
            f"More than {self.quota} requests in a minute; wait {seconds} seconds.", headers={"retry-after": str(seconds)}
        )

    def is_spent(self, now: float) -> bool:
        """Whether the next request would be refused."""
        return now < self.ends and self._used >= self.quota

    def headers(self, now: float) -> list[tuple[bytes, bytes]]:
        """`RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10)."""
        left = max(0, self.quota - self._used)
        seconds = max(0, math.ceil(self.ends - now))
        return [self._policy, (b"ratelimit", b'"%b";r=%d;t=%d' % (self._policy_name, left, seconds))]


class Limiter:
    """One policy and a window for each of its keys; forgets the keys whose minute is over."""

    def __init__(self, policy: str, *, quota: int, clock: Clock, size: int = 10_000) -> None:
        self._policy = policy
        self._quota = quota
        self._clock = clock
        self._size = size
        self._windows: dict[str, Window] = {}

    def window(self, key: str) -> Window:
        window = self._windows.get(key)
        if window is None:
            if len(self._windows) >= self._size:
                self._forget()
            window = self._windows[key] = Window(self._policy, quota=self._quota)
        return window

    def _forget(self) -> None:
        now = self._clock().timestamp()
        self._windows = {key: window for key, window in self._windows.items() if window.ends > now}
        if len(self._windows) >= self._size:
            # All are live: a flood from very many addresses. Memory stays bounded, the count starts anew.
            self._windows.clear()

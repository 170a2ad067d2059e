"""Whether the gateway lives, and how the whole platform is."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import orjson

from gateway.upstream import Upstream, UpstreamFailed, UpstreamTooSlow

ASK_TIMEOUT_SECONDS = 1.5
KEEP_SECONDS = 1.0  # the door is public: however often one asks, the services are asked once a second


class WholeHealth:
    """Asks every service for its readiness: database, bus, outbox, dead letters, version."""

    def __init__(self, upstreams: Mapping[str, Upstream], *, version: str) -> None:
        self._upstreams = upstreams
        self._version = version
        self._lock = asyncio.Lock()
        self._asked = float("-inf")
        self._state: dict[str, Any] = {}

    async def read(self) -> dict[str, Any]:
        """`{"status": "ok" | "degraded", "version": …, "services": {name: its own answer}}`."""
        async with self._lock:
            if time.monotonic() - self._asked > KEEP_SECONDS:
                answers = await asyncio.gather(*map(_ask, self._upstreams.values()))
                services = dict(zip(self._upstreams, answers, strict=True))
                well = all(state.get("status") == "ok" for state in answers)
                self._state = {"status": "ok" if well else "degraded", "version": self._version, "services": services}
                self._asked = time.monotonic()
            return self._state


async def _ask(upstream: Upstream) -> dict[str, Any]:
    started = time.perf_counter()
    request = b"GET /health/ready HTTP/1.1\r\n" + upstream.host_line + b"\r\n"
    try:
        async with asyncio.timeout(ASK_TIMEOUT_SECONDS):
            answer = await upstream.ask(request, repeatable=True)
        if answer.stream:
            answer.stream.close()
        state: dict[str, Any] = orjson.loads(answer.body)
    except (UpstreamFailed, UpstreamTooSlow, TimeoutError) as error:
        # Without what follows the colon: the page is public, and addresses inside are nobody's business.
        reason = str(error).partition(":")[0] or f"no answer within {ASK_TIMEOUT_SECONDS:g} seconds"
        return {"status": "failing", "reason": reason}
    except orjson.JSONDecodeError:
        return {"status": "failing", "reason": f"answered {answer.status} without JSON"}
    return state | {"milliseconds": round((time.perf_counter() - started) * 1000, 1)}

"""The one place that chooses the HTTP client (httpx2, the maintained successor of httpx)."""

from collections.abc import Mapping

from httpx2 import AsyncClient, HTTPError, Limits, Response, Timeout

__all__ = ["AsyncClient", "HTTPError", "Response", "make_client"]

CONNECTIONS = 32


def make_client(base_url: str = "", *, headers: Mapping[str, str] | None = None, timeout_seconds: float = 30) -> AsyncClient:
    """A client with a bounded pool. It follows no proxy settings for loopback addresses and no redirects."""
    return AsyncClient(
        base_url=base_url,
        headers=dict(headers or {}),
        timeout=Timeout(timeout_seconds, connect=5),
        limits=Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
        trust_env=not base_url.startswith(("http://127.", "http://localhost", "http://[::1]")) and bool(base_url),
    )

"""Requests through the gateway, against nginx proxying to the same service in the same run.

The gateway checks the token, the scope, the role and the territory, counts limits, records a span and mints the
internal token; nginx only forwards (it gets a ready internal token). Two services stand behind them in turn: the
registry itself (`GET /actors/{id}`: token check, transaction, one query), which is the figure that counts, and one
that answers a constant (the harshest case for a proxy). wrk makes the load; rounds alternate.
`python -m bench.gateway` (see docs/performance.md).
"""

import asyncio
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from unittest import mock

import uvloop

from bench.programs import require
from bench.report import print_report
from cli.http import make_client
from cli.stack import Stack, choose_ports, run_stack
from cli.state import State
from kernel.auth import Caller, TokenSigner
from kernel.clock import utc_now
from tests.support.town import found_town

ROUNDS = 3
SECONDS = 6
CONNECTIONS = 32
TERRITORY = "92071"
NO_LIMITS = {"METIS_CLIENT_LIMIT_PER_MINUTE": "100000000", "METIS_ADDRESS_LIMIT_PER_MINUTE": "100000000"}


@dataclass(frozen=True)
class Load:
    """What wrk saw: requests a second, and the 99th percentile in milliseconds."""

    per_second: float
    p99_ms: float


def run_wrk(wrk: str, url: str, token: str, *, seconds: int = SECONDS) -> Load:
    command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-H", f"Authorization: Bearer {token}", url]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(f"wrk met errors at {url}:\n{output}")
    speed = re.search(r"Requests/sec:\s+([\d.]+)", output)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", output)
    assert speed
    assert p99
    return Load(float(speed[1]), float(p99[1]) * {"us": 0.001, "ms": 1, "s": 1000}[p99[2]])


def wait_for_port(port: int, process: "subprocess.Popen[bytes]", *, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} does not listen on {port}")


@contextmanager
def nginx_in_front(nginx: str, folder: Path, *, upstream_port: int, token: str) -> Iterator[int]:
    """nginx as a reverse proxy with keep-alive to the upstream; gives its port."""
    port = choose_ports({"nginx": 0})[0]["nginx"]
    config = folder / "nginx.conf"
    config.write_text(
        f"""
worker_processes 1; pid {folder}/nginx.pid; daemon off; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream service {{ server 127.0.0.1:{upstream_port}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://service; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Authorization "Bearer {token}";
    }}
  }}
}}
"""
    )
    process = subprocess.Popen([nginx, "-c", str(config), "-p", str(folder)], stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port, process)
        yield port
    finally:
        process.terminate()
        process.wait()


async def answer_constant(scope: dict[str, str], receive: object, send: object) -> None:
    """The lightest service there is: an ASGI app with one small JSON answer."""
    if scope["type"] == "http":
        headers = [(b"content-type", b"application/json"), (b"content-length", b"13")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b'{"items": []}'})  # type: ignore[operator]


@contextmanager
def constant_service() -> Iterator[int]:
    port = choose_ports({"constant": 0})[0]["constant"]
    program = (
        "import uvicorn; from bench.gateway import answer_constant as a; "
        f"uvicorn.run(a, host='127.0.0.1', port={port}, loop='uvloop', http='httptools', lifespan='off', access_log=False, "
        "log_level='warning')"
    )
    process = subprocess.Popen([sys.executable, "-c", program])
    try:
        wait_for_port(port, process)
        yield port
    finally:
        process.terminate()
        process.wait()


@contextmanager
def gateway_in_front(stack: Stack, *, registry_port: int) -> Iterator[int]:
    """A second gateway process of the same settings whose registry is another service."""
    port = choose_ports({"gateway": 0})[0]["gateway"]
    environment = os.environ | NO_LIMITS | {
        "METIS_PORT": str(port),
        "METIS_REGISTRY_URL": f"http://127.0.0.1:{registry_port}",
        "METIS_INTERNAL_PUBLIC_KEYS": stack.secrets.internal_public_keys,
        "METIS_INTERNAL_PRIVATE_KEY": stack.secrets.internal_private_key,
        "METIS_SPANS_FILE": str(stack.state.spans),
        "METIS_LOG_LEVEL": "warning",
    }  # fmt: skip
    process = subprocess.Popen([sys.executable, "-m", "kernel.web", "gateway.app:make_gateway"], env=environment)
    try:
        wait_for_port(port, process)
        yield port
    finally:
        process.terminate()
        process.wait()


def internal_token(stack: Stack) -> str:
    caller = Caller(TERRITORY, f"{TERRITORY}.bench", roles=frozenset({"officer"}), scopes=frozenset({"registry:read"}))
    return TokenSigner(stack.secrets.internal_private_key).sign(caller, now=utc_now(), lifetime=timedelta(hours=1))


async def measure(folder: Path) -> None:
    with mock.patch.dict(os.environ, NO_LIMITS):
        async with run_stack(State(folder / "state"), environment=NO_LIMITS) as stack:
            async with make_client(stack.url) as http:
                town = await found_town(http, stack.url, TERRITORY, admin_secret=stack.secrets.instance_admin_secret)
                token = await town.officer.token()
            path = f"/v1/territories/{TERRITORY}/actors/{town.ids['association']}"
            await asyncio.to_thread(_measure_both, stack, folder, path, token)


def _measure_both(stack: Stack, folder: Path, path: str, token: str) -> None:
    wrk, nginx = require("wrk", package="wrk"), require("nginx", package="nginx-light")
    inner = internal_token(stack)
    with nginx_in_front(nginx, folder, upstream_port=stack.ports["registry"], token=inner) as port:
        real = _rounds(wrk, f"{stack.url}{path}", f"http://127.0.0.1:{port}{path}", token)
    with (
        constant_service() as service,
        gateway_in_front(stack, registry_port=service) as gateway,
        nginx_in_front(nginx, folder, upstream_port=service, token=inner) as port,
    ):
        constant = _rounds(wrk, f"http://127.0.0.1:{gateway}{path}", f"http://127.0.0.1:{port}{path}", token)
    report(real, constant)


def _rounds(wrk: str, ours: str, theirs: str, token: str) -> list[tuple[Load, Load]]:
    for url in (ours, theirs):
        run_wrk(wrk, url, token, seconds=2)  # warm
    return [(run_wrk(wrk, ours, token), run_wrk(wrk, theirs, token)) for _ in range(ROUNDS)]


def report(real: list[tuple[Load, Load]], constant: list[tuple[Load, Load]]) -> None:
    rows: list[list[str]] = []
    result: dict[str, object] = {}
    for name, prefix, rounds in (("registry", "", real), ("constant answer", "constant_", constant)):
        ratio = statistics.median(a.per_second / b.per_second for a, b in rounds)
        p99_ratio = statistics.median(a.p99_ms / b.p99_ms for a, b in rounds)
        speeds = [statistics.median(side) for side in zip(*((a.per_second, b.per_second) for a, b in rounds), strict=True)]
        tails = [statistics.median(side) for side in zip(*((a.p99_ms, b.p99_ms) for a, b in rounds), strict=True)]
        rows.append([f"requests/s, {name}", f"{speeds[0]:,.0f}", f"{speeds[1]:,.0f}", f"{ratio:.2f}", "≥ 0.50"])
        rows.append([f"p99 ms, {name}", f"{tails[0]:.1f}", f"{tails[1]:.1f}", f"{p99_ratio:.2f}", "≤ 3"])
        result |= {
            f"{prefix}ratio": round(ratio, 3),
            f"{prefix}p99_ratio": round(p99_ratio, 3),
            f"{prefix}requests_per_second": round(speeds[0], 1),
            f"{prefix}nginx_requests_per_second": round(speeds[1], 1),
        }
    print_report(f"Gateway against nginx, {CONNECTIONS} connections", ["", "gateway", "nginx", "ratio", "target"], rows, result)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="metis-bench-") as name:
        Path(name).chmod(0o755)
        uvloop.run(measure(Path(name)))


if __name__ == "__main__":
    main()

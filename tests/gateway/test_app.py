"""The process: as `python -m kernel.web gateway.app:make_gateway` starts it."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

from gateway.app import Gateway
from kernel.auth import Role, make_key_pair
from tests.builders.gateway import make_access_token, make_settings
from tests.gateway.conftest import TERRITORY
from tests.support.clients import PRIVATE_KEY, PUBLIC_KEYS, make_caller
from tests.support.servers import FakeService, serve_app, unused_port
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]


class TestProcess:
    async def test_serves_and_records_and_ends_on_sigterm(self, tmp_path: Path) -> None:
        make_settings(tmp_path)
        port, spans_file = unused_port(), tmp_path / "spans.jsonl"
        service = FakeService()
        async with serve_app(service) as service_port:
            environment = {
                "PATH": os.environ["PATH"],
                "METIS_PORT": str(port),
                "METIS_OPENAPI_FILE": str(tmp_path / "openapi.json"),
                "METIS_MATCHING_URL": f"http://127.0.0.1:{service_port}",
                "METIS_INTERNAL_PUBLIC_KEYS": PUBLIC_KEYS,
                "METIS_INTERNAL_PRIVATE_KEY": PRIVATE_KEY,
                "METIS_SPANS_FILE": str(spans_file),
            }
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "kernel.web",
                "gateway.app:make_gateway",
                cwd=ROOT,
                env=environment,
                stderr=asyncio.subprocess.PIPE,
            )
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
                await wait_until(lambda: _lives(client), seconds=60, what="the gateway")
                token = make_access_token(make_caller(TERRITORY, Role.OFFICER))
                for _ in range(3):
                    answer = await client.get("/v1/territories/92071/needs", headers={"authorization": f"Bearer {token}"})
                    assert answer.status_code == 200
            process.send_signal(signal.SIGTERM)
            _, log = await asyncio.wait_for(process.communicate(), 30)
        lines = [orjson.loads(line) for line in log.splitlines()]
        assert {line["service"] for line in lines} == {"gateway"}
        assert not [line for line in lines if line["level"] == "error"]
        spans = [orjson.loads(line) for line in spans_file.read_bytes().splitlines()]
        assert [span["name"] for span in spans] == ["GET /v1/territories/{territory}/needs"] * 3
        assert process.returncode in {0, -signal.SIGTERM}


class TestStart:
    def test_refuses_a_private_key_that_is_not_the_public_ones(self, tmp_path: Path) -> None:
        private, _ = make_key_pair()
        with pytest.raises(SystemExit, match="METIS_INTERNAL_PRIVATE_KEY"):
            Gateway(make_settings(tmp_path, internal_private_key=private))

    def test_names_the_command_that_makes_a_missing_document(self, tmp_path: Path) -> None:
        settings = make_settings(tmp_path)
        settings.openapi_file.unlink()
        with pytest.raises(SystemExit, match="metis openapi"):
            Gateway(settings)

    def test_refuses_a_short_admin_secret(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="at least 32") as caught:
            make_settings(tmp_path, admin_client_secret="too-short-to-be-good")
        assert "too-short-to-be-good" not in str(caught.value)

    async def test_says_that_it_cannot_start(self, tmp_path: Path) -> None:
        gateway = Gateway(make_settings(tmp_path))
        gateway.start = _fail  # type: ignore[method-assign]
        told: list[dict[str, str]] = []

        async def receive() -> dict[str, str]:
            return {"type": "lifespan.startup"}

        async def send(message: Any) -> None:
            told.append(message)

        await gateway({"type": "lifespan"}, receive, send)
        assert told == [{"type": "lifespan.startup.failed", "message": "The gateway cannot start: no disk"}]

    async def test_takes_no_websocket(self, tmp_path: Path) -> None:
        told: list[dict[str, Any]] = []

        async def receive() -> dict[str, str]:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            told.append(message)

        await Gateway(make_settings(tmp_path))({"type": "websocket"}, receive, send)
        assert told == [{"type": "websocket.close", "code": 1008}]


def _fail() -> None:
    raise OSError("no disk")


async def _lives(client: httpx2.AsyncClient) -> bool:
    try:
        return (await client.get("/health/live")).status_code == 200
    except httpx2.ConnectError:
        return False

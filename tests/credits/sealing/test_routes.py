"""Seals over HTTP: everybody may read the heads, those who check may take the whole ledger and have it audited."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI

from cli.ledger_verify.command import verify
from kernel.auth import Caller, Role, make_key_pair
from kernel.database import Database
from services.credits.app import make_service
from services.credits.domain.sealing_errors import BadSealKey
from services.credits.sealing.job import NO_KEY
from services.credits.settings import Settings
from tests.builders.credits import Scene
from tests.builders.seals import make_sealer, play_everything
from tests.support.clients import PUBLIC_KEYS, client_for, make_caller


@pytest.fixture
def app(make_app: Callable[..., FastAPI]) -> FastAPI:
    return make_app("credits")


@pytest.fixture
async def sealed(scene: Scene, database: Database) -> Scene:
    await play_everything(scene)
    await make_sealer(block_rows=8).seal(database, scene.territory)
    return scene


def _caller(scene: Scene, *roles: Role) -> Caller:
    return make_caller(scene.territory, *roles)


class TestSeals:
    async def test_everybody_reads_the_heads(self, app: FastAPI, sealed: Scene) -> None:
        for role in (Role.PARTNER, Role.VOLUNTEER, Role.AUDITOR):
            async with client_for(app, _caller(sealed, role)) as client:
                head = (await client.get("/ledger/seals/head")).json()
                listed = (await client.get("/ledger/seals", params={"after": head["number"] - 1})).json()
                keys = (await client.get("/ledger/seals/keys")).json()["items"]
            assert listed == {"items": [head], "next": None}
            assert keys == [{"key_id": head["key_id"], "public_key": head["public_key"], "from_block": 1}]

    async def test_pages(self, app: FastAPI, sealed: Scene) -> None:
        async with client_for(app, _caller(sealed, Role.PARTNER)) as client:
            first = (await client.get("/ledger/seals", params={"limit": 2})).json()
            rest = (await client.get("/ledger/seals", params={"after": first["next"]})).json()["items"]
        chain = first["items"] + rest
        assert [block["number"] for block in chain] == list(range(1, len(chain) + 1))
        assert all(later["previous_hash"] == earlier["hash"] for earlier, later in itertools.pairwise(chain))

    async def test_nothing_sealed_says_why(self, app: FastAPI, scene: Scene) -> None:
        async with client_for(app, _caller(scene, Role.OFFICER)) as client:
            answer = await client.get("/ledger/seals/head")
        assert answer.status_code == 404 and "key" in answer.json()["detail"]


class TestBundle:
    async def test_pages_lead_to_a_bundle_that_verifies(self, app: FastAPI, sealed: Scene, tmp_path: Path) -> None:
        path = tmp_path / "bundle.ndjson"
        async with client_for(app, _caller(sealed, Role.AUDITOR)) as client:
            head = (await client.get("/ledger/seals/head")).json()["hash"]
            url: str | None = "/ledger/bundle"
            while url:
                page = await client.get(url)
                assert page.status_code == 200 and page.headers["content-type"] == "application/x-ndjson"
                path.write_bytes((path.read_bytes() if path.exists() else b"") + page.content)
                url = page.links["next"]["url"].partition(sealed.territory)[2] if "next" in page.links else None
        assert all(json.loads(line) for line in path.read_bytes().splitlines())
        report = verify(path)
        assert (report.findings, report.head_hash) == ([], head)

    @pytest.mark.parametrize("role", [Role.OPERATOR, Role.ASSOCIATION, Role.COMPANY, Role.VOLUNTEER, Role.PARTNER])
    async def test_is_not_for(self, app: FastAPI, sealed: Scene, role: Role) -> None:
        async with client_for(app, _caller(sealed, role)) as client:
            assert (await client.get("/ledger/bundle")).status_code == 403
            assert (await client.post("/ledger/audits")).status_code == 403


class TestAudits:
    async def test_on_demand_and_kept(self, app: FastAPI, sealed: Scene) -> None:
        async with client_for(app, _caller(sealed, Role.AUDITOR)) as client:
            done = await client.post("/ledger/audits")
            listed = await client.get("/ledger/audits")
        assert done.status_code == 201, done.text
        assert (done.json()["difference_count"], done.json()["differences"]) == (0, [])
        assert listed.json()["items"] == [done.json()]


class TestKey:
    async def test_without_one_the_health_says_so(self, app: FastAPI, sealed: Scene) -> None:
        async with client_for(app, _caller(sealed, Role.OFFICER)) as client:
            health = (await client.get("http://service/health/ready")).json()
        assert (health["status"], health["sealing"]) == ("ok", NO_KEY)

    async def test_with_one_it_names_it(self, make_app: Callable[..., FastAPI], sealed: Scene) -> None:
        app = make_app("credits", seal_private_key=make_key_pair()[0])
        async with client_for(app, _caller(sealed, Role.OFFICER)) as client:
            health = (await client.get("http://service/health/ready")).json()
        assert health["sealing"] == "on" and len(health["seal_key_id"]) == 16

    def test_from_a_file(self, tmp_path: Path, make_app: Callable[..., FastAPI]) -> None:
        (tmp_path / "seal.jwk").write_text(make_key_pair()[0])
        assert make_app("credits", seal_private_key_file=tmp_path / "seal.jwk")

    def test_a_bad_one_stops_the_start_and_is_not_shown(self) -> None:
        settings = Settings(database_url="postgresql://x/y", internal_public_keys=PUBLIC_KEYS, seal_private_key='{"d": "geheim"}')
        with pytest.raises(BadSealKey) as refused:
            make_service(settings)
        assert "geheim" not in str(refused.value)

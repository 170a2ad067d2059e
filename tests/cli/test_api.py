"""One OAuth client at the API: what it repeats, what it does not, and what it says when it gives up."""

import pytest

from cli import api
from cli.api import ApiError, Session
from cli.console import CliError
from cli.http import make_client
from tests.cli.conftest import Answer, Platform

PROBLEM = {
    "type": "https://metis.example/problems/bad-input", "title": "t", "status": 422, "detail": "siren: wrong", "trace": "abc",
    "errors": [{"pointer": "/siren", "detail": "wrong"}],
}  # fmt: skip


def make_session(http: object, platform: Platform) -> Session:
    return Session(http, platform.url, "92071", "92071.agent", "secret")  # type: ignore[arg-type]


class TestRequest:
    async def test_signs_in_once_and_keeps_the_token(self, platform: Platform) -> None:
        async with make_client() as http:
            session = make_session(http, platform)
            await session.get("/actors", limit=2)
            await session.put("/communes/92071", {"name": "Sceaux"})
        assert platform.sign_ins == 1
        assert platform.seen == [
            ("GET", "/v1/territories/92071/actors?limit=2", None),
            ("PUT", "/v1/territories/92071/communes/92071", {"name": "Sceaux"}),
        ]
        assert platform.headers[0]["authorization"] == "Bearer token-1"

    async def test_signs_in_again_when_the_token_was_withdrawn(self, platform: Platform) -> None:
        platform.answer = lambda *_: (401, {}) if platform.sign_ins == 1 else (200, {"ok": True})
        async with make_client() as http:
            assert await make_session(http, platform).get("/actors") == {"ok": True}

    @pytest.mark.parametrize("status", [429, 502, 503, 504])
    async def test_repeats_what_is_harmless_after_the_pause_asked_for(self, platform: Platform, status: int) -> None:
        def answer(method: str, path: str, body: object) -> Answer:
            return (status, {}, {"Retry-After": "0"}) if len(platform.seen) < 3 else (200, {"n": 1})

        platform.answer = answer
        async with make_client() as http:
            session = make_session(http, platform)
            assert await session.put("/actors/refs/a", {}) == {"n": 1}
            assert len(platform.seen) == 3
            platform.seen.clear()
            assert await session.post("/needs", {}, key="once") == {"n": 1}
        assert {headers.get("idempotency-key") for headers in platform.headers[3:]} == {"once"}

    async def test_does_not_repeat_a_write_without_a_key(self, platform: Platform) -> None:
        platform.answer = lambda *_: (503, {"detail": "away"})
        async with make_client() as http:
            with pytest.raises(ApiError) as refusal:
                await make_session(http, platform).post("/needs", {})
        assert (refusal.value.status, len(platform.seen)) == (503, 1)

    async def test_raises_the_problem_with_its_code_fields_and_trace(self, platform: Platform) -> None:
        platform.answer = lambda *_: (422, PROBLEM)
        async with make_client() as http:
            with pytest.raises(ApiError, match="trace abc") as refusal:
                await make_session(http, platform).put("/actors/refs/a", {})
        assert (refusal.value.code, refusal.value.fields[0]["pointer"]) == ("bad-input", "/siren")

    async def test_says_that_nobody_answers_and_the_cure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(api, "TRIES", 2)
        async with make_client() as http:
            with pytest.raises(CliError, match="ne répond pas") as refusal:
                await Session(http, "http://127.0.0.1:1", "92071", "92071.agent", "s").get("/actors")
        assert "metis doctor" in refusal.value.cure


class TestEvery:
    async def test_follows_the_pages(self, platform: Platform) -> None:
        def answer(method: str, path: str, body: object) -> Answer:
            return (
                (200, {"items": [{"n": 2}], "next": None}) if "cursor=c1" in path else (200, {"items": [{"n": 1}], "next": "c1"})
            )

        platform.answer = answer
        async with make_client() as http:
            assert [row["n"] for row in await make_session(http, platform).everything("/actors")] == [1, 2]

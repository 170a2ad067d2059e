"""The token endpoint, against RFC 6749."""

import base64
from typing import Any
from urllib.parse import quote_plus

import httpx2
import orjson
import pytest

from gateway.sessions import ACCESS_AUDIENCE
from kernel.auth import AUDIENCE, Role, TokenChecker
from kernel.clock import utc_now
from tests.builders.gateway import ADMIN_SECRET
from tests.gateway.conftest import Door, OpenDoor
from tests.support.clients import PUBLIC_KEYS
from tests.support.servers import FakeService, Received, send_raw, unused_port

CLIENT_ID = "92071.agenda"
SECRET = "s3cret-é+%"
FACTS: dict[str, Any] = {
    "territory": "92071",
    "client_id": CLIENT_ID,
    "actor_id": "01890000-0000-7000-8000-000000000001",
    "member_id": None,
    "roles": ["partner"],
    "scopes": ["matching:read", "registry:read"],
}
FORM = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": SECRET}


async def check_client(request: Received) -> FakeService:
    """The registry's side: `POST /v1/territories/{territory}/client-checks`."""
    asked = orjson.loads(request.body)
    if asked == {"client_id": CLIENT_ID, "client_secret": SECRET}:
        return FakeService(body=orjson.dumps(FACTS))
    return FakeService(status=401, body=b"{}")


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()).decode()}


async def ask(door: Door, form: dict[str, str] | None = None, **options: Any) -> httpx2.Response:
    door.registry.respond = door.registry.respond or check_client
    return await door.client.post("/oauth/token", data=FORM if form is None else form, **options)


class TestIssueToken:
    async def test_by_form(self, door: Door) -> None:
        answer = await ask(door)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["pragma"] == "no-cache"
        assert answer.headers["content-type"] == "application/json;charset=UTF-8"
        body = answer.json()
        assert (body["token_type"], body["expires_in"], body["scope"]) == ("Bearer", 3600, "matching:read registry:read")
        caller = TokenChecker(PUBLIC_KEYS, audience=ACCESS_AUDIENCE).check(body["access_token"], now=utc_now())
        assert (caller.territory, caller.client_id, str(caller.actor_id)) == ("92071", CLIENT_ID, FACTS["actor_id"])
        assert caller.roles == {"partner"}
        assert caller.scopes == {"matching:read", "registry:read"}

    async def test_by_basic_header(self, door: Door) -> None:
        answer = await ask(door, {"grant_type": "client_credentials"}, headers=basic(CLIENT_ID, SECRET))
        assert answer.status_code == 200

    async def test_the_token_opens_the_door(self, door: Door) -> None:
        token = (await ask(door)).json()["access_token"]
        assert (await door.call("GET", "/needs", token=token)).status_code == 200
        assert (await door.call("POST", "/needs", token=token, json={})).status_code == 403

    async def test_with_fewer_scopes_when_asked(self, door: Door) -> None:
        body = (await ask(door, FORM | {"scope": "registry:read"})).json()
        assert body["scope"] == "registry:read"
        caller = TokenChecker(PUBLIC_KEYS, audience=ACCESS_AUDIENCE).check(body["access_token"], now=utc_now())
        assert caller.scopes == {"registry:read"}

    async def test_parameters_it_does_not_know_are_ignored_and_empty_ones_are_absent(self, door: Door) -> None:
        answer = await ask(door, FORM | {"audience": "x", "scope": "", "resource": ""})
        assert answer.json()["scope"] == "matching:read registry:read"

    async def test_the_registry_is_asked_as_the_gateway_in_that_territory_alone(self, door: Door) -> None:
        await ask(door)
        seen = door.registry.last
        assert (seen.method, seen.raw_path) == ("POST", b"/v1/territories/92071/client-checks")
        caller = TokenChecker(PUBLIC_KEYS, audience=AUDIENCE).check((seen.header("authorization") or "")[7:], now=utc_now())
        assert (caller.territory, *caller.roles, *caller.scopes) == ("92071", "gateway", "clients:check")

    async def test_a_territory_cannot_hand_out_the_platforms_own_roles(self, door: Door) -> None:
        async def claim(request: Received) -> FakeService:
            roles = ["officer", "instance_admin", "gateway", "system"]
            return FakeService(
                body=orjson.dumps(FACTS | {"territory": "*", "roles": roles, "scopes": ["registry:read", "clients:check"]})
            )

        door.registry.respond = claim
        token = (await ask(door)).json()["access_token"]
        caller = TokenChecker(PUBLIC_KEYS, audience=ACCESS_AUDIENCE).check(token, now=utc_now())
        assert (caller.territory, *caller.roles, *caller.scopes) == ("92071", "officer", "registry:read")


class TestInstanceAdmin:
    async def test_gets_every_scope_for_every_territory(self, door: Door) -> None:
        answer = await ask(door, {"grant_type": "client_credentials"}, headers=basic("instance-admin", ADMIN_SECRET))
        caller = TokenChecker(PUBLIC_KEYS, audience=ACCESS_AUDIENCE).check(answer.json()["access_token"], now=utc_now())
        assert (caller.territory, *caller.roles) == ("*", Role.INSTANCE_ADMIN)
        assert caller.scopes == {"registry:read", "registry:write", "instance:admin", "matching:read", "matching:write"}
        assert door.registry.received == []

    async def test_another_secret_is_refused(self, door: Door) -> None:
        answer = await ask(door, {"grant_type": "client_credentials"}, headers=basic("instance-admin", ADMIN_SECRET + "x"))
        assert answer.status_code == 401

    async def test_without_a_secret_in_the_settings_there_is_none(self, open_door: OpenDoor) -> None:
        async with open_door(admin_client_secret=None) as door:
            for secret in ("None", "x"):
                answer = await ask(door, {"grant_type": "client_credentials"}, headers=basic("instance-admin", secret))
                assert answer.status_code == 401


class TestRefuse:
    @pytest.mark.parametrize(
        ("form", "headers", "status", "error"),
        [
            ({"grant_type": "client_credentials"}, {}, 401, "invalid_client"),
            (FORM | {"client_secret": "wrong"}, {}, 401, "invalid_client"),
            (FORM | {"client_id": "92014.agenda"}, {}, 401, "invalid_client"),
            (FORM | {"client_id": "agenda"}, {}, 401, "invalid_client"),
            (FORM | {"client_id": "../92071.agenda"}, {}, 401, "invalid_client"),
            (FORM | {"client_id": "92071/x.agenda"}, {}, 401, "invalid_client"),
            (FORM | {"client_id": "*.agenda"}, {}, 401, "invalid_client"),
            (FORM | {"client_secret": "x" * 301}, {}, 401, "invalid_client"),
            ({"grant_type": "client_credentials"}, {"authorization": "Basic !!!"}, 401, "invalid_client"),
            ({"grant_type": "client_credentials"}, {"authorization": "Basic bm9jb2xvbg=="}, 401, "invalid_client"),
            ({"grant_type": "client_credentials"}, {"authorization": "Basic /////w=="}, 401, "invalid_client"),
            ({"grant_type": "client_credentials"}, {"authorization": "Bearer x"}, 401, "invalid_client"),
            (FORM, basic(CLIENT_ID, SECRET), 400, "invalid_request"),
            ({"grant_type": "client_credentials", "client_id": "other"}, basic(CLIENT_ID, SECRET), 400, "invalid_request"),
            ({"client_id": CLIENT_ID, "client_secret": SECRET}, {}, 400, "invalid_request"),
            (FORM | {"grant_type": ""}, {}, 400, "invalid_request"),
            (FORM | {"grant_type": "password"}, {}, 400, "unsupported_grant_type"),
            (FORM | {"grant_type": "authorization_code"}, {}, 400, "unsupported_grant_type"),
            (FORM | {"scope": "registry:write"}, {}, 400, "invalid_scope"),
            (FORM | {"scope": "registry:read instance:admin"}, {}, 400, "invalid_scope"),
            (FORM | {"scope": "nothing"}, {}, 400, "invalid_scope"),
            (FORM | {"scope": "registry:read  matching:read"}, {}, 400, "invalid_scope"),
            (FORM | {"scope": 'a"b'}, {}, 400, "invalid_scope"),
            (FORM | {"scope": "é"}, {}, 400, "invalid_scope"),
        ],
    )
    async def test_in_the_words_of_the_standard(
        self, open_door: OpenDoor, form: dict[str, str], headers: dict[str, str], status: int, error: str
    ) -> None:
        async with open_door() as door:
            answer = await ask(door, form, headers=headers)
            assert (answer.status_code, answer.json()["error"]) == (status, error)
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["content-type"] == "application/json"
            assert ("www-authenticate" in answer.headers) is (status == 401)
            description = answer.json()["error_description"]
            assert all(" " <= letter <= "~" and letter not in '"\\' for letter in description)

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            ("application/json", b'{"grant_type":"client_credentials"}'),
            ("", b"grant_type=client_credentials"),
            ("application/x-www-form-urlencoded", b"grant_type=client_credentials&grant_type=client_credentials"),
            ("application/x-www-form-urlencoded", b"grant_type"),
            ("application/x-www-form-urlencoded", b"client_id=%ff&client_secret=x"),
            ("application/x-www-form-urlencoded", b"\xff=1"),
            ("application/x-www-form-urlencoded", b"a=" + b"x" * 20_000),
            ("application/x-www-form-urlencoded", b"&".join(b"a%d=1" % number for number in range(40))),
        ],
    )
    async def test_a_form_that_cannot_be_read(self, door: Door, content_type: str, body: bytes) -> None:
        answer = await door.client.post("/oauth/token", content=body, headers={"content-type": content_type})
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
        assert door.registry.received == []

    async def test_credentials_in_the_address_do_not_count(self, door: Door) -> None:
        query = "client_id=92071.agenda&client_secret=x&grant_type=client_credentials"
        answer = await ask(door, {"grant_type": "client_credentials"}, params=query)
        assert answer.json()["error"] == "invalid_client"

    async def test_other_methods(self, door: Door) -> None:
        answer = await door.client.get("/oauth/token")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")

    async def test_two_authorization_headers(self, door: Door) -> None:
        line = f"authorization: {basic(CLIENT_ID, SECRET)['authorization']}\r\n"
        body = "grant_type=client_credentials"
        request = (
            f"POST /oauth/token HTTP/1.1\r\nhost: x\r\n{line}{line}content-type: application/x-www-form-urlencoded\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n{body}"
        )
        assert b'"error":"invalid_request"' in await send_raw(door.port, request.encode())

    async def test_a_registry_that_is_down_is_503(self, open_door: OpenDoor) -> None:
        async with open_door(registry_url=f"http://127.0.0.1:{unused_port()}") as door:
            answer = await ask(door)
            assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
            assert answer.headers["retry-after"] == "2"

    @pytest.mark.parametrize("status", [403, 500, 503])
    async def test_a_registry_that_fails_is_503_and_not_a_wrong_secret(self, open_door: OpenDoor, status: int) -> None:
        async with open_door() as door:

            async def fail(request: Received) -> FakeService:
                return FakeService(status=status, body=b"{}")

            door.registry.respond = fail
            assert (await ask(door)).status_code == 503


class TestLimits:
    async def test_wrong_secrets_are_limited_for_client_and_address(self, open_door: OpenDoor) -> None:
        async with open_door(failed_sign_ins_per_minute=3) as door:
            for _ in range(3):
                assert (await ask(door, FORM | {"client_secret": "wrong"})).status_code == 401
            asked = len(door.registry.received)
            answer = await ask(door)  # even the right one now
            assert answer.status_code == 429
            assert 1 <= int(answer.headers["retry-after"]) <= 60
            assert answer.json()["error"] == "temporarily_unavailable"
            assert len(door.registry.received) == asked
            assert (await ask(door, FORM | {"client_id": "92071.other"})).status_code == 401

    async def test_right_secrets_are_not_counted_as_failures(self, open_door: OpenDoor) -> None:
        async with open_door(failed_sign_ins_per_minute=1) as door:
            for _ in range(3):
                assert (await ask(door)).status_code == 200

    async def test_token_requests_are_limited_for_an_address(self, open_door: OpenDoor) -> None:
        async with open_door(address_limit_per_minute=2) as door:
            assert [(await ask(door)).status_code for _ in range(3)] == [200, 200, 429]


class TestKeys:
    async def test_the_public_keys_and_nothing_else(self, door: Door) -> None:
        answer = await door.client.get("/oauth/jwks")
        assert answer.status_code == 200
        [key] = answer.json()["keys"]
        assert (key["kty"], key["crv"]) == ("OKP", "Ed25519")
        assert "d" not in key
        token = (await ask(door)).json()["access_token"]
        TokenChecker(answer.text, audience=ACCESS_AUDIENCE).check(token, now=utc_now())

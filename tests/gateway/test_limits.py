from datetime import UTC, datetime

from gateway.limits import Limiter, Window
from kernel.auth import Role
from tests.gateway.conftest import TERRITORY, OpenDoor
from tests.support.clients import make_caller


class TestWindow:
    def test_refuses_what_is_over_the_quota_until_the_minute_is_over(self) -> None:
        window = Window("client", quota=2)
        assert [window.take(now) for now in (0.0, 1.0, 2.0, 59.9)] == [True, True, False, False]
        assert window.refusal(2.5).headers == {"retry-after": "58"}
        assert window.take(60.0)

    def test_headers_say_what_is_left(self) -> None:
        window = Window("client", quota=5)
        window.take(0.0)
        assert dict(window.headers(10.0)) == {b"ratelimit-policy": b'"client";q=5;w=60', b"ratelimit": b'"client";r=4;t=50'}

    def test_is_spent_when_the_next_would_be_refused(self) -> None:
        window = Window("client", quota=1)
        assert not window.is_spent(0.0)
        window.take(0.0)
        assert window.is_spent(1.0)
        assert not window.is_spent(60.0)


class TestLimiter:
    def test_each_key_has_its_own_window(self) -> None:
        limiter = Limiter("client", quota=1, clock=lambda: datetime.fromtimestamp(0, UTC))
        assert limiter.window("a").take(0)
        assert limiter.window("b").take(0)
        assert not limiter.window("a").take(0)

    def test_forgets_the_keys_whose_minute_is_over(self) -> None:
        limiter = Limiter("client", quota=9, clock=lambda: datetime.fromtimestamp(100, UTC), size=3)
        for key, now in (("old", 0.0), ("a", 99.0), ("b", 99.0)):
            limiter.window(key).take(now)
        limiter.window("c")
        assert limiter._windows.keys() == {"a", "b", "c"}

    def test_stays_bounded_under_a_flood_of_keys(self) -> None:
        limiter = Limiter("client", quota=9, clock=lambda: datetime.fromtimestamp(0, UTC), size=3)
        for key in range(100):
            limiter.window(str(key)).take(0.0)
        assert len(limiter._windows) <= 3


class TestDoor:
    async def test_every_answer_says_what_is_left_and_429_when_to_come_back(self, open_door: OpenDoor) -> None:
        async with open_door(client_limit_per_minute=3) as door:
            answers = [await door.call("GET", "/needs") for _ in range(2)]
            answers.append(await door.call("PUT", "", json={}))  # a refusal counts, too
            answers.append(await door.call("GET", "/needs"))
            assert [answer.status_code for answer in answers] == [200, 200, 403, 429]
            assert [answer.headers["ratelimit"].split(";")[1] for answer in answers] == ["r=2", "r=1", "r=0", "r=0"]
            assert answers[0].headers["ratelimit-policy"] == '"client";q=3;w=60'
            assert 1 <= int(answers[3].headers["retry-after"]) <= 60
            assert answers[3].json()["type"].endswith("/too-many-requests")
            assert len(door.matching.received) == 2

    async def test_two_tokens_of_a_client_share_one_limit_and_two_clients_do_not(self, open_door: OpenDoor) -> None:
        async with open_door(client_limit_per_minute=1) as door:
            reader = make_caller(TERRITORY, Role.OFFICER, scopes=frozenset({"matching:read"}))
            assert (await door.call("GET", "/needs")).status_code == 200
            assert (await door.call("GET", "/needs", caller=reader)).status_code == 429
            assert (await door.call("GET", "/needs", caller=make_caller(TERRITORY, Role.PARTNER))).status_code == 200

    async def test_unknown_tokens_are_limited_by_address_without_touching_known_ones(self, open_door: OpenDoor) -> None:
        async with open_door(address_limit_per_minute=3) as door:
            caller = make_caller(TERRITORY, Role.OFFICER)
            assert (await door.call("GET", "/needs", caller=caller)).status_code == 200
            assert [(await door.call("GET", "/needs", token=f"wrong{n}")).status_code for n in range(3)] == [401, 401, 429]
            assert (await door.client.get("/openapi.json")).status_code == 429

    async def test_probes_are_never_limited(self, open_door: OpenDoor) -> None:
        async with open_door(address_limit_per_minute=1) as door:
            assert [(await door.client.get("/health/live")).status_code for _ in range(3)] == [200, 200, 200]

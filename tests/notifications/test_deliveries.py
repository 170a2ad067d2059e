"""Delivering events to a real HTTP endpoint, verified with another's library."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.abc import ResolveResult
from sqlalchemy import select

from cli.ports import find_free_port
from kernel.auth import Caller
from kernel.clock import utc_now
from kernel.database import Database
from kernel.ids import new_id
from kernel.work import open_work
from services.notifications.clients.partners import AddressRefused, PartnerClient, PublicResolver
from services.notifications.domain.errands import ErrandKind
from services.notifications.domain.webhooks import Try, Webhook, WebhookState, make_secret
from services.notifications.jobs.deliveries import DeliverySender
from services.notifications.settings import Settings
from services.notifications.store import webhooks as store
from services.notifications.tables import delivery, errand, webhook
from services.notifications.use_cases import webhooks
from tests.builders.notifications import Town, make_errand, make_event, make_settings, make_webhook
from tests.notifications.conftest import Partner, slow
from tests.support.waiting import wait_until

TYPE = "matching.mission_closed.v1"


async def subscribe(town: Town, url: str, **changes: Any) -> Webhook:
    made = make_webhook(url=url, created_at=utc_now(), **{"event_types": (TYPE,)} | changes)
    async with open_work(town.database, Caller.system(town.territory)) as work:
        await store.insert_webhook(work, made)
    return made


async def deliveries(town: Town, hook: Webhook) -> list[Any]:
    async with open_work(town.database, Caller.system(town.territory)) as work:
        query = store.list_deliveries(hook.id, state=None).order_by(delivery.c.id)
        return [store.delivery_from(row) for row in await work.connection.execute(query)]


async def read_again(town: Town, hook: Webhook) -> Webhook:
    async with open_work(town.database, Caller.system(town.territory)) as work:
        return await store.get_webhook(work, hook.id)


async def published(town: Town) -> list[dict[str, Any]]:
    async with open_work(town.database, Caller.system(town.territory)) as work:
        rows = await work.driver.fetch("SELECT body FROM outbox ORDER BY sequence")
    envelopes = [orjson.loads(row["body"]) for row in rows]
    return [one for one in envelopes if one["territory"] == town.territory]


Deliver = Callable[..., Coroutine[Any, Any, None]]


@pytest.fixture
def deliver(settings: Settings, town: Town) -> Deliver:
    """A function: deliver what is due, as if some seconds had passed."""

    async def run(*, after_seconds: float = 0, **changes: Any) -> None:
        now = lambda: utc_now() + timedelta(seconds=after_seconds)  # noqa: E731
        await DeliverySender(make_settings(settings, **changes), now=now, jitter=lambda: 1).run(town.database)

    return run


class TestDeliver:
    async def test_posts_the_event_as_it_was_published_and_signs_it(self, town: Town, partner: Partner, deliver: Deliver) -> None:
        hook = await subscribe(town, partner.url())
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        event_id = await town.tell(make_event(TYPE), traceparent=f"00-{trace}-00f067aa0ba902b7-01")
        await deliver()
        [got] = partner.received
        envelope = got.verify(hook.secret)
        assert (envelope["id"], envelope["type"], envelope["territory"]) == (str(event_id), TYPE, town.territory)
        assert got.headers["webhook-id"] == str(event_id)
        assert got.headers["Content-Type"] == "application/cloudevents+json; charset=utf-8"
        async with open_work(town.database, Caller.system(town.territory)) as work:
            assert got.body == await work.driver.fetchval("SELECT body FROM event_log WHERE event_id = $1", event_id)
        [one] = await deliveries(town, hook)
        assert (one.state, len(one.tries), one.tries[0]["status_code"], one.tries[0]["answer"]) == ("delivered", 1, 200, "merci")

    async def test_sends_what_was_subscribed_and_nothing_private(self, town: Town, partner: Partner, deliver: Deliver) -> None:
        await subscribe(town, partner.url("/some"))
        await subscribe(town, partner.url("/all"), event_types=("*",))
        for event_type in (TYPE, "matching.need_opened.v1", "registry.member_recorded.v1", "notifications.webhook_disabled.v1"):
            await town.tell(make_event(event_type))
        await deliver()
        types = {path: {orjson.loads(one.body)["type"] for one in partner.at(path)} for path in ("/some", "/all")}
        assert types == {"/some": {TYPE}, "/all": {TYPE, "matching.need_opened.v1"}}

    async def test_peoples_own_words_stay_inside(self, town: Town, partner: Partner, deliver: Deliver) -> None:
        kind = "matching.need_withdrawn.v1"
        await subscribe(town, partner.url(), event_types=(kind,))
        event = make_event(kind, reason="Madame Exemple est malade.")
        await town.tell(event)
        await deliver()
        [received] = partner.received
        sent = orjson.loads(received.body)["data"]
        assert sent == event.model_dump(mode="json") | {"reason": ""}

    async def test_a_webhook_hears_its_own_territory_alone(self, town: Town, partner: Partner, deliver: Deliver) -> None:
        other = Town(town.database, "2B033")
        hook = await subscribe(town, partner.url(), event_types=("*",))
        await other.tell(make_event(TYPE))
        await deliver()
        assert partner.received == [] and await deliveries(town, hook) == []

    async def test_an_event_heard_twice_is_sent_once(self, town: Town, partner: Partner, deliver: Deliver) -> None:
        await subscribe(town, partner.url())
        event, event_id = make_event(TYPE), new_id()
        for _ in range(2):
            await town.tell(event, id=event_id)
            await deliver()
        assert len(partner.received) == 1

    async def test_during_a_rotation_both_secrets_verify(self, town: Town, partner: Partner, deliver: Deliver) -> None:
        hook = await subscribe(town, partner.url())
        async with open_work(town.database, Caller.system(town.territory)) as work:
            rotated = await webhooks.rotate_secret(work, hook.id)
        await town.tell(make_event(TYPE))
        await deliver()
        for secret in (hook.secret, rotated.secret):
            assert partner.received[0].verify(secret)
        await town.tell(make_event(TYPE))
        await deliver(after_seconds=24 * 3600 + 60)
        assert len(partner.received[1].headers["webhook-signature"].split()) == 1

    async def test_a_partner_may_not_ask_for_much_time_or_memory(self, town: Town, partner: Partner, deliver: Deliver) -> None:
        async def endless(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            try:
                while True:
                    await response.write(b"x" * 65536)
            except ConnectionError:
                return response

        partner.answers = {"/endless": endless, "/slow": slow}
        hooks = [await subscribe(town, partner.url(path)) for path in ("/endless", "/slow")]
        await town.tell(make_event(TYPE))
        await deliver(webhook_timeout_seconds=1)
        [much], [late] = [await deliveries(town, hook) for hook in hooks]
        assert (much.state, len(much.tries[0]["answer"])) == ("delivered", 1024)
        assert (late.state, late.tries[0]["error"]) == ("waiting", "The endpoint did not answer in time")

    async def test_a_slow_partner_delays_no_other(self, town: Town, partner: Partner, deliver: Deliver) -> None:
        answering = asyncio.Event()

        async def never(_: web.Request) -> web.StreamResponse:
            await answering.wait()
            return web.Response()

        partner.answers["/slow"] = never
        lazy = await subscribe(town, partner.url("/slow"))
        await subscribe(town, partner.url("/fast"))
        for _ in range(12):
            await town.tell(make_event(TYPE))
        running = asyncio.create_task(deliver(webhook_parallel=6, webhook_parallel_each=3, webhook_timeout_seconds=60))
        await wait_until(lambda: len(partner.at("/fast")) == 12, what="the fast one, beside a slow one that never answers")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        answering.set()
        assert len(partner.at("/slow")) == 3
        assert {one.state for one in await deliveries(town, lazy)} == {"waiting"}

    async def test_two_senders_at_once_send_each_event_once(self, town: Town, partner: Partner, deliver: Deliver) -> None:
        await subscribe(town, partner.url())
        for _ in range(40):
            await town.tell(make_event(TYPE))
        await asyncio.gather(*(deliver() for _ in range(3)))
        ids = [one.headers["webhook-id"] for one in partner.received]
        assert len(ids) == len(set(ids)) == 40


class TestFailure:
    async def test_is_tried_again_with_growing_pauses_under_the_same_id(
        self, town: Town, partner: Partner, deliver: Deliver
    ) -> None:
        partner.answers["/hooks"] = 503
        hook = await subscribe(town, partner.url())
        await town.tell(make_event(TYPE))
        counts = []
        for after_seconds in (0, 3, 6, 20):
            await deliver(after_seconds=after_seconds)
            counts.append(len(partner.received))
        assert counts == [1, 1, 2, 2]  # delays of 5 s and 30 s
        partner.answers["/hooks"] = 200
        await deliver(after_seconds=40)
        assert len({one.headers["webhook-id"] for one in partner.received}) == 1
        assert len({one.headers["webhook-signature"] for one in partner.received}) > 1
        [one] = await deliveries(town, hook)
        assert (one.state, [made["status_code"] for made in one.tries]) == ("delivered", [503, 503, 200])
        assert (await read_again(town, hook)).failing_since is None

    async def test_nobody_there(self, town: Town, deliver: Deliver) -> None:
        hook = await subscribe(town, f"http://127.0.0.1:{find_free_port()}/")
        await town.tell(make_event(TYPE))
        await deliver()
        [one] = await deliveries(town, hook)
        assert (one.state, one.tries[0]["status_code"]) == ("waiting", None)
        assert "Connect" in one.tries[0]["error"]
        assert (await read_again(town, hook)).failing_since is not None

    async def test_a_redirect_is_not_followed(self, town: Town, partner: Partner, deliver: Deliver) -> None:
        async def elsewhere(_: web.Request) -> web.Response:
            raise web.HTTPTemporaryRedirect(partner.url("/secret"))

        partner.answers["/hooks"] = elsewhere
        hook = await subscribe(town, partner.url())
        await town.tell(make_event(TYPE))
        await deliver()
        assert partner.at("/secret") == []
        assert "redirects are not followed" in (await deliveries(town, hook))[0].tries[0]["error"]

    async def test_gone_switches_off_at_once(self, town: Town, partner: Partner, deliver: Deliver) -> None:
        partner.answers["/hooks"] = 410
        hook = await subscribe(town, partner.url())
        for _ in range(2):
            await town.tell(make_event(TYPE))
        await deliver(webhook_parallel_each=1)
        found = await read_again(town, hook)
        assert (found.state, found.version) == ("disabled", 2)
        assert len(partner.received) == 1
        [told] = await published(town)
        assert (told["type"], told["data"]["webhook_id"]) == ("notifications.webhook_disabled.v1", str(hook.id))

    async def test_spent_tries_switch_off_and_tell_once(self, town: Town, partner: Partner, deliver: Deliver) -> None:
        partner.answers["/hooks"] = 500
        hook = await subscribe(town, partner.url())
        for _ in range(3):
            await town.tell(make_event(TYPE))
        for after_seconds in (0, 10, 60):
            await deliver(after_seconds=after_seconds)
        found = await read_again(town, hook)
        assert found.state == "disabled" and "HTTP 500" in (found.disabled_reason or "")
        assert len(await published(town)) == 1

    async def test_one_event_that_is_always_refused_costs_that_event_alone(
        self, town: Town, partner: Partner, deliver: Deliver
    ) -> None:
        poison = new_id()

        async def refuse_one(request: web.Request) -> web.StreamResponse:
            return web.Response(status=400 if request.headers["webhook-id"] == str(poison) else 204)

        partner.answers["/hooks"] = refuse_one
        hook = await subscribe(town, partner.url())
        await town.tell(make_event(TYPE), id=poison)
        for after_seconds in (0, 10, 60):
            await town.tell(make_event(TYPE))
            await deliver(after_seconds=after_seconds)
        assert Counter(one.state for one in await deliveries(town, hook)) == {"failed": 1, "delivered": 3}
        assert (await read_again(town, hook)).state == "active"
        assert await published(town) == []

    async def test_a_day_without_success_switches_off(self, town: Town, partner: Partner, deliver: Deliver) -> None:
        partner.answers["/hooks"] = 500
        hook = await subscribe(town, partner.url(), failing_since=utc_now() - timedelta(hours=25))
        await town.tell(make_event(TYPE))
        await deliver()
        assert (await read_again(town, hook)).state == "disabled"

    async def test_a_try_that_ends_the_process_each_time_is_given_up(
        self, town: Town, partner: Partner, settings: Settings
    ) -> None:
        hook = await subscribe(town, partner.url())
        await town.tell(make_event(TYPE))
        for turn in range(4):
            sender = DeliverySender(settings, now=lambda turn=turn: utc_now() + timedelta(hours=turn), jitter=lambda: 1)  # type: ignore[misc]
            if turn < 3:
                await sender._take(town.database, Counter())
            else:
                await sender.run(town.database)
        assert partner.received == []
        assert "ended the process" in (await deliveries(town, hook))[0].tries[0]["error"]
        assert (await read_again(town, hook)).state == "disabled"


class TestActivate:
    async def test_sends_what_waited_failed_and_happened_meanwhile(self, town: Town, partner: Partner, deliver: Deliver) -> None:
        partner.answers["/hooks"] = 410
        hook = await subscribe(town, partner.url())
        for _ in range(2):
            await town.tell(make_event(TYPE))
        await deliver(webhook_parallel_each=1)
        await town.tell(make_event(TYPE))  # while it is off
        await deliver(after_seconds=7200)
        assert len(partner.received) == 1
        partner.answers["/hooks"] = 200
        async with open_work(town.database, Caller.system(town.territory)) as work:
            active = await webhooks.activate(work, hook.id)
        assert (active.state, active.disabled_reason, active.failing_since) == ("active", None, None)
        await deliver()
        assert {one.state for one in await deliveries(town, hook)} == {"delivered"}
        assert len(partner.received) == 4

    async def test_takes_up_more_than_a_statement_has_parameters(self, town: Town, partner: Partner) -> None:
        hook = await subscribe(town, partner.url(), state=WebhookState.DISABLED)
        async with open_work(town.database, Caller.system(town.territory)) as work:
            await work.driver.execute(
                "INSERT INTO delivery (territory, id, webhook_id, event_id, event_type, state, tries, created_at)"
                " SELECT $1, gen_random_uuid(), $2, gen_random_uuid(), $3, 'waiting', '[]', now() FROM generate_series(1, 33000)",
                town.territory, hook.id, TYPE,
            )  # fmt: skip
            await webhooks.activate(work, hook.id)
            assert await work.driver.fetchval("SELECT count(*) FROM errand WHERE lane = $1", hook.id) == 33000
            await webhooks.unsubscribe(work, hook.id)

    async def test_an_active_one_stays_as_it_is(self, town: Town, partner: Partner) -> None:
        hook = await subscribe(town, partner.url())
        async with open_work(town.database, Caller.system(town.territory)) as work:
            assert await webhooks.activate(work, hook.id) == await store.get_webhook(work, hook.id)


class TestUnsubscribe:
    async def test_nothing_more_is_sent_and_nothing_is_left(
        self, town: Town, partner: Partner, deliver: Deliver, database: Database
    ) -> None:
        hook = await subscribe(town, partner.url())
        await town.tell(make_event(TYPE))
        async with open_work(database, Caller.system(town.territory)) as work:
            await webhooks.unsubscribe(work, hook.id)
        await deliver()
        assert partner.received == []
        async with open_work(database, Caller.system(town.territory)) as work:
            for table in (webhook, delivery):
                assert (await work.connection.execute(select(table))).all() == []
            assert [row for row in await work.connection.execute(select(errand)) if row.kind == "delivery"] == []


class TestTryLog:
    async def test_keeps_the_last_thirty(self, town: Town, partner: Partner) -> None:
        hook = await subscribe(town, partner.url())
        await town.tell(make_event(TYPE))
        [one] = await deliveries(town, hook)
        attempt = Try(utc_now(), 200, 3, None, "ok")
        parcel = store.Parcel(replace(one, tries=tuple(attempt.as_json() for _ in range(30))), hook, b"{}")
        errand_taken = make_errand(ErrandKind.DELIVERY, one.id, territory=town.territory)
        async with open_work(town.database, Caller.system(town.territory)) as work:
            await webhooks.record_try(work, parcel, errand_taken, replace(attempt, answer="last"), delays_seconds=[1], jitter=1)
        [one] = await deliveries(town, hook)
        assert (len(one.tries), one.tries[-1]["answer"]) == (30, "last")


# ---- Addresses ------------------------------------------------------------------------------------------------------


def _resolving(*addresses: str) -> Any:
    async def resolve(host: str, port: int, family: Any) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host=one, port=port, family=family, proto=0, flags=0) for one in addresses]

    return resolve


class TestPublicResolver:
    async def test_passes_public_addresses_on(self) -> None:
        found = await PublicResolver(_resolving("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946")).resolve(
            "partner.example", 443
        )
        assert [one["host"] for one in found] == ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"]

    @pytest.mark.parametrize(
        "addresses",
        [("127.0.0.1",), ("10.0.0.7",), ("93.184.216.34", "192.168.0.1"), ("::1",), ("::ffff:10.0.0.1",), ("fe80::1%2",), ()],
    )
    async def test_refuses_when_any_is_not(self, addresses: tuple[str, ...]) -> None:
        with pytest.raises(AddressRefused):
            await PublicResolver(_resolving(*addresses)).resolve("partner.example", 443)


class TestPartnerClient:
    """Whatever a URL is made to look like, nothing reaches our own network."""

    @pytest.mark.parametrize(
        "host",
        [
            "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "127.0.0.1.", "localhost", "localhost.",
            "127%2e0%2e0%2e1", "１２７.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "[::]",
        ],
    )  # fmt: skip
    async def test_reaches_nothing_on_loopback(self, host: str, partner: Partner, settings: Settings) -> None:
        async with PartnerClient(make_settings(settings, webhook_allow_private=False)) as partners:
            attempt = await post(partners, f"http://{host}:{partner.port}/hooks")
        assert attempt.status_code is None and attempt.error
        assert partner.received == []

    async def test_connects_to_the_very_address_that_was_checked(self, partner: Partner, settings: Settings) -> None:
        asked = []

        async def rebinding(host: str, port: int, family: Any) -> list[ResolveResult]:
            asked.append(host)
            found: list[ResolveResult] = await _resolving("127.0.0.1" if len(asked) > 1 else "192.0.2.1")(host, port, family)
            return found

        closed = PublicResolver(rebinding)
        strict = make_settings(settings, webhook_allow_private=False)
        async with PartnerClient(strict, resolver=closed) as partners:
            for _ in range(2):
                attempt = await post(partners, f"http://partner.example:{partner.port}/")
                assert "does not lead to public addresses alone" in (attempt.error or "")
        assert partner.received == []

    async def test_an_answer_that_is_no_http_is_an_error_like_any_other(self, settings: Settings) -> None:
        async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"\x00\x01 hello\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(babble, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with PartnerClient(settings) as partners:
            attempt = await post(partners, f"http://127.0.0.1:{port}/")
        server.close()
        assert attempt.status_code is None and attempt.error and "\x00" not in attempt.error


async def post(partners: PartnerClient, url: str) -> Try:
    return await partners.post(url, body=b"{}", event_id=new_id(), timestamp=1, signature="v1,x", traceparent=None, now=utc_now())


def test_builders_make_secrets_that_libraries_read() -> None:
    assert make_webhook().secret == make_secret(b"s" * 32)

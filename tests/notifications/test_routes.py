"""The public routes: inbox, preferences, e-mails, webhooks."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from kernel.auth import Caller, Role
from kernel.events.notifications import WebhookDisabled
from kernel.ids import new_id
from kernel.work import open_work
from services.notifications.domain.people import Category
from services.notifications.jobs.announcements import Announcer
from services.notifications.jobs.deliveries import DeliverySender
from services.notifications.settings import Settings
from services.notifications.store import webhooks as store
from tests.builders.notifications import Town, make_event, make_webhook
from tests.notifications.conftest import Partner
from tests.support.clients import client_for, make_caller

Enter = Callable[..., Awaitable[httpx2.AsyncClient]]
TYPE = "matching.mission_closed.v1"
BODY = {"url": "https://partner.example/hooks", "event_types": [TYPE]}


@pytest.fixture
async def app(make_app: Callable[..., FastAPI]) -> FastAPI:
    return make_app("notifications")


@pytest.fixture
async def sign_in(app: FastAPI, territory: str) -> AsyncIterator[Enter]:
    """A function: an HTTP client with these roles."""
    async with AsyncExitStack() as stack:

        async def enter(*roles: Role, **named: Any) -> httpx2.AsyncClient:
            caller = make_caller(named.pop("territory", territory), *roles, **named)
            return await stack.enter_async_context(client_for(app, caller))

        yield enter


@pytest.fixture
async def partner_client(sign_in: Enter, territory: str) -> httpx2.AsyncClient:
    return await sign_in(Role.PARTNER, client_id=f"{territory}.up")


async def subscribe(client: httpx2.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await client.post("/webhooks", json=BODY | changes)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


class TestInbox:
    async def test_shows_a_person_their_own_notices(self, town: Town, sign_in: Enter) -> None:
        await town.tell(town.propose())
        await Announcer().run(town.database)
        victor = await sign_in(Role.VOLUNTEER, member_id=town.people["victor"])
        page = (await victor.get("/inbox")).json()
        assert [(one["event_type"], one["category"], one["read_at"]) for one in page["items"]] == [
            ("matching.mission_proposed.v1", "proposals", None)
        ]
        for other in ({"member_id": new_id()}, {}):
            nobody = await sign_in(Role.VOLUNTEER, client_id="other", **other)
            assert (await nobody.get("/inbox")).json()["items"] == []
            refused = await nobody.post(f"/inbox/{page['items'][0]['id']}/reading")
            assert refused.status_code == 404

    async def test_shows_a_program_the_notices_about_its_webhooks(
        self, town: Town, partner_client: httpx2.AsyncClient, territory: str
    ) -> None:
        hook = make_webhook(client_id=f"{territory}.up")
        async with open_work(town.database, Caller.system(territory)) as work:
            await store.insert_webhook(work, hook)
        await town.tell(WebhookDisabled(webhook_id=hook.id, url=hook.url, reason="Rien ne passe."))
        await Announcer().run(town.database)
        [one] = (await partner_client.get("/inbox")).json()["items"]
        assert "activation" in one["body"]

    async def test_unread_ones_only(self, town: Town, sign_in: Enter) -> None:
        for _ in range(2):
            await town.tell(town.propose())
        await Announcer().run(town.database)
        victor = await sign_in(Role.VOLUNTEER, member_id=town.people["victor"])
        first, second = (await victor.get("/inbox")).json()["items"]
        read = await victor.post(f"/inbox/{first['id']}/reading")
        again = await victor.post(f"/inbox/{first['id']}/reading")
        assert read.status_code == 200 and read.json()["read_at"] == again.json()["read_at"]
        assert [one["id"] for one in (await victor.get("/inbox?unread=true")).json()["items"]] == [second["id"]]


class TestPreferences:
    async def test_begin_with_everything_and_in_the_registrys_language(self, town: Town, sign_in: Enter) -> None:
        victor = await sign_in(Role.VOLUNTEER, member_id=town.people["victor"])
        found = (await victor.get("/preferences")).json()
        assert found["locale"] == "en"
        assert found["categories"] == {category: {"email": True, "inbox": True} for category in Category}

    async def test_are_replaced_as_a_whole(self, town: Town, sign_in: Enter) -> None:
        victor = await sign_in(Role.VOLUNTEER, member_id=town.people["victor"])
        for chosen in ({"proposals": {"email": False}}, {"credit": {"inbox": False, "email": False}}):
            answer = await victor.put("/preferences", json={"categories": chosen})
            assert answer.status_code == 200
        found = (await victor.get("/preferences")).json()["categories"]
        assert found["proposals"] == {"email": True, "inbox": True}
        assert found["credit"] == {"email": False, "inbox": False}

    async def test_hold_for_what_comes_next(self, town: Town, sign_in: Enter) -> None:
        victor = await sign_in(Role.VOLUNTEER, member_id=town.people["victor"])
        await victor.put("/preferences", json={"categories": {"proposals": {"email": False}}})
        await town.tell(town.propose())
        await Announcer().run(town.database)
        officer = await sign_in(Role.OFFICER)
        sent = (await officer.get(f"/emails?member_id={town.people['victor']}")).json()["items"]
        assert sent == [] and len((await victor.get("/inbox")).json()["items"]) == 1

    async def test_belong_to_a_person(self, sign_in: Enter) -> None:
        program = await sign_in(Role.ASSOCIATION, actor_id=new_id())
        for answer in (await program.get("/preferences"), await program.put("/preferences", json={"categories": {}})):
            assert answer.status_code == 403 and "member" in answer.json()["detail"]

    @pytest.mark.parametrize("categories", [{"gossip": {}}, {"credit": {"sms": True}}, None, []])
    async def test_refuses_what_it_does_not_know(self, categories: Any, sign_in: Enter) -> None:
        someone = await sign_in(Role.VOLUNTEER, member_id=new_id())
        assert (await someone.put("/preferences", json={"categories": categories})).status_code == 422


class TestEmails:
    async def test_are_shown_to_the_town_without_their_text(self, town: Town, sign_in: Enter) -> None:
        await town.tell(town.propose())
        await Announcer().run(town.database)
        operator = await sign_in(Role.OPERATOR)
        found = (await operator.get("/emails?state=waiting")).json()["items"]
        assert {one["member_id"] for one in found} == {str(town.people["victor"]), str(town.people["alix"])}
        assert all("body" not in one and "address" not in one for one in found)
        assert (await operator.get("/emails?state=sent")).json()["items"] == []

    @pytest.mark.parametrize("role", [Role.PARTNER, Role.VOLUNTEER, Role.ASSOCIATION, Role.COMPANY, Role.AUDITOR])
    async def test_are_the_towns_alone(self, role: Role, sign_in: Enter) -> None:
        assert (await (await sign_in(role)).get("/emails")).status_code == 403


class TestWebhooks:
    async def test_subscribing_answers_without_the_secret(self, partner_client: httpx2.AsyncClient, territory: str) -> None:
        answer = await partner_client.post("/webhooks", json=BODY | {"description": "Up Sceaux"})
        made = answer.json()
        assert (answer.status_code, answer.headers["etag"]) == (201, '"1"')
        assert answer.headers["location"].endswith(f"/webhooks/{made['id']}")
        assert (made["client_id"], made["state"], made["description"]) == (f"{territory}.up", "active", "Up Sceaux")
        assert "whsec_" not in answer.text
        shown = await partner_client.get(f"/webhooks/{made['id']}/secret")
        assert shown.json()["secret"].startswith("whsec_") and shown.json()["previous_secret"] is None
        assert shown.headers["cache-control"] == "no-store"

    async def test_the_same_key_makes_one_webhook(self, partner_client: httpx2.AsyncClient) -> None:
        answers = [await partner_client.post("/webhooks", json=BODY, headers={"Idempotency-Key": "one"}) for _ in range(2)]
        assert answers[0].json() == answers[1].json()
        assert len((await partner_client.get("/webhooks")).json()["items"]) == 1

    @pytest.mark.parametrize(
        ("changes", "pointer"),
        [
            ({"url": "http://partner.example/"}, "/url"),
            ({"url": "https://127.0.0.1/"}, "/url"),
            ({"url": "https://a.example/\u0000"}, "/url"),
            ({"url": ""}, "/url"),
            ({"url": "https://a.example/" + "x" * 2000}, "/url"),
            ({"event_types": []}, "/event_types"),
            ({"event_types": ["registry.member_recorded.v1"]}, "/event_types/0"),
            ({"event_types": ["notifications.webhook_disabled.v1"]}, "/event_types/0"),
            ({"event_types": ["made.up.v1"]}, "/event_types/0"),
            ({"secret": "mine"}, "/secret"),
        ],
    )
    async def test_refuses_and_names_the_field(
        self, changes: dict[str, Any], pointer: str, partner_client: httpx2.AsyncClient
    ) -> None:
        answer = await partner_client.post("/webhooks", json=BODY | changes)
        assert answer.status_code == 422
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]

    async def test_are_edited_by_version(self, partner_client: httpx2.AsyncClient) -> None:
        made = await subscribe(partner_client)
        path = f"/webhooks/{made['id']}"
        assert (await partner_client.patch(path, json={})).status_code == 428
        assert (await partner_client.patch(path, json={}, headers={"If-Match": '"7"'})).status_code == 412
        edit = {"url": "https://other.example/", "event_types": ["*"]}
        answer = await partner_client.patch(path, json=edit, headers={"If-Match": '"1"'})
        assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
        assert (answer.json()["url"], answer.json()["event_types"]) == ("https://other.example/", ["*"])
        private = await partner_client.patch(path, json={"url": "https://10.0.0.1/"}, headers={"If-Match": '"2"'})
        assert private.status_code == 422

    async def test_of_another_client_do_not_exist(
        self, partner_client: httpx2.AsyncClient, sign_in: Enter, territory: str
    ) -> None:
        made = await subscribe(partner_client)
        other = await sign_in(Role.PARTNER, client_id=f"{territory}.other")
        path = f"/webhooks/{made['id']}"
        calls = [
            other.get(path), other.get(f"{path}/secret"), other.get(f"{path}/deliveries"), other.delete(path),
            other.post(f"{path}/secret-rotation"), other.post(f"{path}/activation"),
            other.patch(path, json={}, headers={"If-Match": '"1"'}),
        ]  # fmt: skip
        assert [(await call).status_code for call in calls] == [404] * len(calls)
        assert (await other.get("/webhooks")).json()["items"] == []

    async def test_officers_see_all(self, partner_client: httpx2.AsyncClient, sign_in: Enter) -> None:
        made = await subscribe(partner_client)
        officer = await sign_in(Role.OFFICER)
        assert [one["id"] for one in (await officer.get("/webhooks")).json()["items"]] == [made["id"]]

    async def test_of_another_territory_do_not_exist(self, partner_client: httpx2.AsyncClient, sign_in: Enter) -> None:
        made = await subscribe(partner_client)
        elsewhere = await sign_in(Role.OFFICER, territory="2A004")
        assert (await elsewhere.get(f"/webhooks/{made['id']}")).status_code == 404

    @pytest.mark.parametrize("role", [Role.VOLUNTEER, Role.ASSOCIATION, Role.COMPANY, Role.OPERATOR, Role.AUDITOR])
    async def test_are_for_partners_and_officers(self, role: Role, sign_in: Enter) -> None:
        assert (await (await sign_in(role)).get("/webhooks")).status_code == 403

    async def test_rotation_shows_both_secrets_for_a_day(self, partner_client: httpx2.AsyncClient) -> None:
        made = await subscribe(partner_client)
        before = (await partner_client.get(f"/webhooks/{made['id']}/secret")).json()
        rotated = await partner_client.post(f"/webhooks/{made['id']}/secret-rotation")
        assert "whsec_" not in rotated.text and rotated.json()["previous_secret_until"]
        after = (await partner_client.get(f"/webhooks/{made['id']}/secret")).json()
        assert after["previous_secret"] == before["secret"] != after["secret"]

    async def test_deleting_leaves_nothing(self, partner_client: httpx2.AsyncClient) -> None:
        made = await subscribe(partner_client)
        assert (await partner_client.delete(f"/webhooks/{made['id']}")).status_code == 204
        assert (await partner_client.get(f"/webhooks/{made['id']}")).status_code == 404


class TestDeliveries:
    @pytest.fixture
    async def hook(self, town: Town, partner: Partner, territory: str) -> str:
        made = make_webhook(url=partner.url(), client_id=f"{territory}.up", event_types=(TYPE,))
        async with open_work(town.database, Caller.system(territory)) as work:
            await store.insert_webhook(work, made)
        await town.tell(make_event(TYPE))
        return str(made.id)

    async def test_show_every_try(
        self, hook: str, town: Town, partner: Partner, partner_client: httpx2.AsyncClient, settings: Settings
    ) -> None:
        partner.answers["/hooks"] = 404
        await DeliverySender(settings).run(town.database)
        [one] = (await partner_client.get(f"/webhooks/{hook}/deliveries?state=waiting")).json()["items"]
        assert [(made["status_code"], made["error"], made["answer"]) for made in one["tries"]] == [(404, "HTTP 404", "merci")]
        assert one["tries"][0]["duration_ms"] >= 0

    async def test_are_sent_again_on_demand_under_the_same_id(
        self, hook: str, town: Town, partner: Partner, partner_client: httpx2.AsyncClient, settings: Settings
    ) -> None:
        await DeliverySender(settings).run(town.database)
        [one] = (await partner_client.get(f"/webhooks/{hook}/deliveries")).json()["items"]
        assert one["state"] == "delivered"
        answer = await partner_client.post(f"/webhook-deliveries/{one['id']}/redelivery")
        assert (answer.status_code, answer.json()["state"]) == (202, "waiting")
        await DeliverySender(settings).run(town.database)
        assert [got.headers["webhook-id"] for got in partner.received] == [one["event_id"]] * 2
        assert partner.received[0].body == partner.received[1].body

    async def test_of_another_client_cannot_be_sent_again(
        self, hook: str, town: Town, sign_in: Enter, partner_client: httpx2.AsyncClient
    ) -> None:
        [one] = (await partner_client.get(f"/webhooks/{hook}/deliveries")).json()["items"]
        other = await sign_in(Role.PARTNER, client_id="other")
        assert (await other.post(f"/webhook-deliveries/{one['id']}/redelivery")).status_code == 404

    async def test_need_an_active_webhook_and_a_kept_event(
        self, hook: str, town: Town, partner_client: httpx2.AsyncClient, territory: str
    ) -> None:
        [one] = (await partner_client.get(f"/webhooks/{hook}/deliveries")).json()["items"]
        path = f"/webhook-deliveries/{one['id']}/redelivery"
        async with open_work(town.database, Caller.system(territory)) as work:
            await work.driver.execute("UPDATE webhook SET state = 'disabled'")
        refused = await partner_client.post(path)
        assert (refused.status_code, refused.json()["type"].rpartition("/")[2]) == (409, "webhook-is-off")
        assert (await partner_client.post(f"/webhooks/{hook}/activation")).json()["state"] == "active"
        async with open_work(town.database, Caller.system(territory)) as work:
            await work.driver.execute("DELETE FROM event_log")
        refused = await partner_client.post(path)
        assert (refused.status_code, refused.json()["type"].rpartition("/")[2]) == (409, "event-forgotten")


class TestDocument:
    def test_lists_the_public_events_and_no_private_one(self, app: FastAPI) -> None:
        schema = app.openapi()["components"]["schemas"]["WebhookBody"]["properties"]["event_types"]["items"]
        assert "*" in schema["enum"] and TYPE in schema["enum"]
        assert not {"registry.member_recorded.v1", "notifications.webhook_disabled.v1"} & set(schema["enum"])

    def test_every_route_has_a_summary(self, app: FastAPI) -> None:
        for path in app.openapi()["paths"].values():
            for operation in path.values():
                assert operation["summary"] and operation["description"]

"""Two towns in one instance: nothing of one is visible or writable with the other's token, through any route."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest

from cli.api import Session
from cli.http import Response, make_client
from cli.stack import Stack
from kernel.auth import EVERYONE
from tests.support.servers import FakeService, serve_app
from tests.support.town import (
    Town,
    agree,
    conclude_convention,
    found_town,
    open_campaign,
    propose_mission,
    reaches,
    receipt_mission,
    work_and_validate,
)
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)

DOCUMENT = json.loads((Path(__file__).parents[2] / "gateway" / "openapi.json").read_text())
PREFIX = "/v1/territories/{territory}"


def operations() -> Iterator[tuple[str, str]]:
    for path, item in DOCUMENT["paths"].items():
        for method in ("get", "put", "post", "patch", "delete"):
            if method in item:
                yield method.upper(), path


def path_to(town: Town, template: str) -> str:
    """The template with real ids of this town, as the name of the resource before each parameter tells."""
    names = {
        "actors": "association", "members": "manager", "campaigns": "campaign", "pledges": "pledge", "transfers": "transfer",
        "needs": "need", "offers": "offer", "missions": "mission", "inbox": "inbox", "webhooks": "webhook",
        "webhook-deliveries": "delivery", "panel": "association", "statements": "association",
        "contributor-statements": "company", "volunteer-statements": "employee", "grant-proposals": "proposal", "parties": "association", "conventions": "mission",
        "valuations": "mission", "receipts": "receipt", "tax-reductions": "company",
        "grant-publications": "publication", "approvals": "approval", "holds": "mission", "rounds": "round",
        "synonyms": "synonym",
    }  # fmt: skip
    parts = template.removeprefix(PREFIX).split("/")
    for index, part in enumerate(parts):
        if part.startswith("{"):
            literal = {
                "{ref}": "essai", "{insee}": town.territory, "{version}": "1", "{step}": "check", "{number}": "0",
                "{client_id}": f"{town.territory}.manager", "{need_id}": town.ids["need"], "{offer_id}": town.ids["offer"],
                "{code}": town.ids["skill"],
            }  # fmt: skip
            parts[index] = literal.get(part) or town.ids[names[parts[index - 1]]]
    return "/".join(parts)


async def live(town: Town, webhook_url: str) -> None:
    """Fill the town: one row at least behind every kind of route."""
    campaign = await open_campaign(town)
    webhook = await town.people["partner"].post("/webhooks", {"url": webhook_url, "event_types": ["*"]}, key="webhook")
    mission = await propose_mission(town)
    await agree(town, mission)
    await reaches(town, mission, "reserved")
    await conclude_convention(town, mission)
    await work_and_validate(town, mission, minutes=60)
    await reaches(town, mission, "closed")
    await receipt_mission(town, mission, minutes=60)
    town.ids["webhook"] = webhook["id"]
    town.ids["pledge"] = (await town.officer.everything(f"/campaigns/{campaign}/pledges"))[0]["id"]
    town.ids["transfer"] = (await town.officer.everything(f"/campaigns/{campaign}/transfers"))[0]["id"]
    proposal = await town.officer.post(f"/campaigns/{campaign}/grant-proposals", key=f"again-{campaign}")
    town.ids["proposal"] = proposal["id"]
    (granted, *_) = await town.officer.everything(f"/campaigns/{campaign}/grants")
    published = {"proposal_id": granted["proposal_id"]}
    town.ids["publication"] = (await town.officer.post(f"/campaigns/{campaign}/grant-publications", published, key="publish"))[
        "id"
    ]
    agent = await town.person("agent", ["officer"], member_id=town.ids["animator"])
    wanted = {"kind": "withdrawal", "pledge_id": town.ids["pledge"], "minutes": 60}
    town.ids["approval"] = (await agent.post("/approvals", {"wanted": wanted, "reason": "Un second regard"}, key="ask"))["id"]
    own_skill = {
        "name_fr": "Élevage d'escargots",
        "name_en": "Snail farming",
        "definition": "Élever des escargots.",
        "parent": "environnement",
        "synonyms": ["parc à escargots"],
        "reason": "On le demande ici.",
    }
    town.ids["skill"] = (await town.officer.post("/skill-proposals", own_skill, key="skill"))["code"]
    word = {"phrase": "héliciculture", "reason": "On le dit ici."}
    town.ids["synonym"] = (await town.officer.post(f"/skills/{town.ids['skill']}/synonyms", word, key="word"))["id"]
    town.ids["round"] = (await town.officer.post("/rounds", {"campaign_id": campaign}, key="round"))["id"]
    manager = town.people["manager"]
    town.ids["inbox"] = (await wait_until(lambda: manager.everything("/inbox"), what="a notice"))[0]["id"]
    path = f"/webhooks/{webhook['id']}/deliveries"
    town.ids["delivery"] = (await wait_until(lambda: town.people["partner"].everything(path), what="a delivery"))[0]["id"]


@pytest.fixture(scope="module")
def receivers() -> list[FakeService]:
    """The partners' endpoints, one for each town."""
    return [FakeService(), FakeService()]


@pytest.fixture(scope="module")
async def towns(stack: Stack, receivers: list[FakeService]) -> AsyncIterator[list[Town]]:
    """Two towns that lived the same campaign, each with a partner that hears everything."""
    made = []
    async with AsyncExitStack() as servers, make_client(stack.url) as http:
        for territory, receiver in zip(("92071", "92014"), receivers, strict=True):
            town = await found_town(http, stack.url, territory, admin_secret=stack.secrets.instance_admin_secret)
            port = await servers.enter_async_context(serve_app(receiver))
            await live(town, f"http://127.0.0.1:{port}/hook")
            # Somebody who may do everything at home.
            home = {"actor_id": town.ids["association"], "member_id": town.ids["manager"]}
            await town.person("everybody", [str(role) for role in EVERYONE], **home)
            made.append(town)
        yield made


async def call(session: Session, town: Town, method: str, template: str, *, territory: str) -> Response:
    token = await session.token()
    url = f"{session.url}/v1/territories/{territory}{path_to(town, template)}"
    headers = {"authorization": f"Bearer {token}", "if-match": '"1"'}
    return await session.http.request(method, url, headers=headers, json={} if method in {"POST", "PUT", "PATCH"} else None)


class TestEveryRoute:
    def test_the_walk_knows_every_route(self) -> None:
        assert len(list(operations())) > 80

    async def test_refuses_the_other_towns_token(self, towns: list[Town]) -> None:
        sceaux, bourg = towns
        for method, template in operations():
            answer = await call(bourg.people["everybody"], sceaux, method, template, territory=sceaux.territory)
            assert answer.status_code == 403, f"{method} {template}: {answer.status_code} {answer.text[:200]}"
            assert "territory" in answer.json()["detail"], f"{method} {template} refused for another reason: {answer.text}"

    async def test_shows_nothing_of_the_other_town_at_home(self, towns: list[Town]) -> None:
        """The other town's ids under one's own territory: not found, or an answer without a trace of the other."""
        sceaux, bourg = towns
        for method, template in operations():
            if method == "DELETE" or "{client_id}" in template or template == PREFIX:
                continue  # deeds on one's own town; the walk above covers them
            answer = await call(bourg.people["everybody"], sceaux, method, template, territory=bourg.territory)
            text, asked = answer.text, path_to(sceaux, template)
            leaked = [name for name, id in sceaux.ids.items() if id in text and id not in asked]
            assert not leaked, f"{method} {template} shows {leaked} of the other town"
            assert f"{sceaux.territory}.exemple" not in text
            assert answer.status_code < 500, f"{method} {template}: {answer.text[:300]}"
            if "{" in template.removeprefix(PREFIX) and "{ref}" not in template and "{insee}" not in template:
                assert answer.status_code in {400, 403, 404, 409, 412, 422}, (
                    f"{method} {template}: {answer.status_code} {answer.text[:200]}"
                )

    async def test_an_unsigned_or_forged_call_gets_nothing(self, towns: list[Town]) -> None:
        sceaux, _ = towns
        for method, template in operations():
            if "visitor" in DOCUMENT["paths"][template][method.lower()]["x-roles"]:
                continue  # what the law has published
            url = f"{sceaux.url}/v1/territories/{sceaux.territory}{path_to(sceaux, template)}"
            for headers in ({}, {"authorization": "Bearer x.y.z"}, {"x-territory": sceaux.territory, "x-roles": "officer"}):
                answer = await sceaux.http.request(method, url, headers=headers)
                assert answer.status_code == 401, f"{method} {template}: {answer.status_code}"


class TestEventsAndWebhooks:
    async def test_each_partner_hears_its_own_town_alone(self, towns: list[Town], receivers: list[FakeService]) -> None:
        for town, receiver in zip(towns, receivers, strict=True):
            await wait_until(partial(_heard, receiver, 10), what="webhooks")
            assert {json.loads(request.body)["territory"] for request in receiver.received} == {town.territory}

    async def test_no_personal_data_leaves_by_webhook(self, towns: list[Town], receivers: list[FakeService]) -> None:
        for receiver in receivers:
            text = b"".join(request.body for request in receiver.received)
            assert b"exemple.test" not in text
            assert b"Essai" not in text
            assert b"member_recorded" not in text


def _heard(receiver: FakeService, count: int) -> bool:
    return len(receiver.received) >= count

"""Two towns in one instance: nothing of one is visible or writable with the other's token, through any route."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from functools import partial
from urllib.parse import urlencode

import asyncpg
import pytest
from jsonschema import Draft202012Validator

from cli.api import Session
from cli.http import Response, make_client
from cli.migrate import SERVICES, owner_url
from cli.stack import Stack
from kernel.events import EVENT_TYPES
from tests.support.full_town import ids_of, live
from tests.support.openapi import (
    DOCUMENT,
    NAMED_BY_FIELD,
    PREFIX,
    IdOf,
    Request,
    Site,
    body_schema,
    build_path,
    build_requests,
    list_sites,
    operations,
)
from tests.support.servers import FakeService, serve_app
from tests.support.town import Town, found_town
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(300)

# Whom a service is told of by an id alone: it knows no names but those that its own town's registry tells, and takes any id
# for somebody of whom it has not heard yet. What it then keeps is its own town's, names nobody, and never comes to anything.
TAKEN_UNHEARD = {
    ("PUT", "/campaigns/refs/{ref}", "body:operator_id"),
    ("PUT", "/campaigns/{id}/panel/{association_id}", "path:association_id"),
    ("PUT", "/campaigns/{id}/pledges/refs/{ref}", "body:contributor_id"),
    ("PUT", "/parties/{actor_id}", "path:actor_id"),
    *(("POST", "/needs", f"body:{field}") for field in ("campaign_id", "association_id")),
    *(("PUT", "/needs/refs/{ref}", f"body:{field}") for field in ("campaign_id", "association_id")),
    *(("POST", "/offers", f"body:{field}") for field in ("volunteer_id", "excluded_associations")),
    *(("PUT", "/offers/refs/{ref}", f"body:{field}") for field in ("volunteer_id", "excluded_associations")),
    ("PATCH", "/offers/{offer_id}", "body:excluded_associations"),
}
# Written by the platform's own clockwork for every town, whoever calls meanwhile.
CLOCKWORK = frozenset({"idempotency_key", "seal_block", "published_head", "event_log", "delivery"})


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
            made.append(town)
        yield made


async def send(session: Session, request: Request, *, territory: str) -> Response:
    """As it is; what asks for the version that it edits, once more with that."""
    url = f"{session.url}/v1/territories/{territory}{request.path}?{urlencode(request.query)}"
    headers = {"authorization": f"Bearer {await session.token()}", "if-match": '"1"'}
    answer = await session.http.request(request.method, url, headers=headers, json=request.body)
    if answer.status_code == 412 and "current" in answer.json():
        headers["if-match"] = f'"{answer.json()["current"]}"'
        answer = await session.http.request(request.method, url, headers=headers, json=request.body)
    return answer


def mix(home: Town, other: Town, foreign: Site) -> IdOf:
    """The other town's row at one site, one's own at all others."""
    return lambda site: (other if site == foreign else home).ids[site.resource]


def walk(home: Town, other: Town) -> Iterator[tuple[str, str, Site | None, Request]]:
    """Every operation with the other's ids alone, and with each of them among one's own.

    Reads come first, before one's own town has been told any of these ids; holds come last: one that is refused is kept,
    under the mission's id that was given.
    """
    for method, template in sorted(operations(), key=lambda one: (one[0] != "GET", one[1].endswith("/holds"))):
        if template == PREFIX:
            continue  # deeds on one's own town
        for request in build_requests(method, template, ids_of(other)):
            yield method, template.removeprefix(PREFIX), None, request
        sites = list_sites(method, template)
        for site in sites if len(sites) > 1 else []:
            for request in build_requests(method, template, mix(home, other, site)):
                if other.ids[site.resource] in repr(request):  # not every alternative has this site
                    yield method, template.removeprefix(PREFIX), site, request


def find_traces(answer: str, town: Town, asked: str) -> list[str]:
    """What the answer shows of a town beside what was asked: ids, and the code that all its names bear."""
    shown = [name for name, id in town.ids.items() if id in answer and id not in asked]
    named = re.search(rf"(?<![0-9a-f]){town.territory}(?![0-9a-f])", answer) and town.territory not in asked
    return [*shown, town.territory] if named else shown


def find_faults(answer: Response) -> set[str]:
    """The fields that a 422 finds fault with."""
    if answer.status_code != 422:
        return set()
    pointers: list[str] = [fault["pointer"] for fault in answer.json()["errors"]]
    return {next(part for part in reversed(pointer.split("/")) if not part.isdigit()) for pointer in pointers}


async def read_digests(stack: Stack, territory: str) -> dict[str, str]:
    """One digest for each table of each service, of the town's rows as they are in the database."""
    digests = {}
    for service in SERVICES:
        connection = await asyncpg.connect(owner_url(stack.admin_url, service))
        columns = "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public' AND column_name = 'territory'"
        for (table,) in await connection.fetch(columns):
            if table not in CLOCKWORK:
                rows = f"SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM \"{table}\" t WHERE territory = $1"
                digests[f"{service}.{table}"] = await connection.fetchval(rows, territory)
        await connection.close()
    return digests


class TestEveryRoute:
    def test_the_walk_knows_every_route(self, towns: list[Town]) -> None:
        """And whatever it sends is what the document asks for, so that no answer ends at the request's shape."""
        sceaux, _ = towns
        assert len(list(operations())) > 190
        for method, template in operations():
            for request in build_requests(method, template, ids_of(sceaux)):
                if schema := body_schema(method, template):
                    Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(request.body)

    async def test_refuses_the_other_towns_token(self, stack: Stack, towns: list[Town]) -> None:
        sceaux, bourg = towns
        before = await read_digests(stack, sceaux.territory)
        for method, template in operations():
            for request in build_requests(method, template, ids_of(sceaux)):
                answer = await send(bourg.people["everybody"], request, territory=sceaux.territory)
                assert answer.status_code == 403, f"{method} {template}: {answer.status_code} {answer.text[:200]}"
                assert "territory" in answer.json()["detail"], f"{method} {template} refused for another reason: {answer.text}"
        assert await read_digests(stack, sceaux.territory) == before

    async def test_shows_and_changes_nothing_of_the_other_town_at_home(self, stack: Stack, towns: list[Town]) -> None:
        """The other town's ids under one's own territory, in path, query and body: not found, and not a trace of the other."""
        sceaux, bourg = towns
        before = await read_digests(stack, sceaux.territory)
        assert len([digest for digest in before.values() if digest]) > 40
        missed = 0
        for method, template, site, request in walk(bourg, sceaux):
            answer = await send(bourg.people["everybody"], request, territory=bourg.territory)
            said = f"{request} ({site}): {answer.status_code} {answer.text[:300]}"
            assert not find_traces(answer.text, sceaux, repr(request)), said
            assert answer.status_code < 500, said
            missed += answer.status_code == 404
            assert find_faults(answer) <= {*NAMED_BY_FIELD, "client_id"}, f"refused for another reason: {said}"
            if method != "GET" and list_sites(method, PREFIX + template):
                taken = {place for *route, place in TAKEN_UNHEARD if route == [method, template]}
                assert answer.status_code >= 400 or taken.intersection({site.place} if site else taken), said
        assert missed > 150
        after = await read_digests(stack, sceaux.territory)
        assert {table for table, digest in after.items() if digest != before[table]} == set()
        assert await sceaux.people["manager"].get("/inbox")  # its client was not withdrawn either

    @pytest.mark.parametrize(("path", "resource"), [("/needs", "campaign"), ("/needs", "association"), ("/offers", "employee")])
    async def test_a_draft_that_names_the_other_towns_rows_never_opens(self, towns: list[Town], path: str, resource: str) -> None:
        sceaux, bourg = towns
        everybody = bourg.people["everybody"]
        site = next(site for site in list_sites("POST", PREFIX + path) if site.resource == resource)
        (request,) = build_requests("POST", PREFIX + path, mix(bourg, sceaux, site))
        drafted = await send(everybody, request, territory=bourg.territory)
        assert drafted.status_code == 201, drafted.text
        own = f"{path}/{drafted.json()['id']}"
        if path == "/needs":
            await everybody.post(f"{own}/qualification", {"note": "Vu."})
        opened = await send(everybody, Request("POST", f"{own}/opening", {}), territory=bourg.territory)
        assert opened.status_code in {404, 409}, opened.text

    async def test_an_unsigned_or_forged_call_gets_nothing(self, towns: list[Town]) -> None:
        sceaux, _ = towns
        for method, template in operations():
            if "visitor" in DOCUMENT["paths"][template][method.lower()]["x-roles"]:
                continue  # what the law has published
            url = f"{sceaux.url}/v1/territories/{sceaux.territory}{build_path(template, ids_of(sceaux))}"
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
            assert inside_fields(receiver) <= {""}


def inside_fields(receiver: FakeService) -> set[str]:
    """What was sent of the fields that stay inside."""
    events = [json.loads(request.body) for request in receiver.received]
    return {event["data"][name] for event in events for name in EVENT_TYPES[event["type"]].inside}


def _heard(receiver: FakeService, count: int) -> bool:
    return len(receiver.received) >= count

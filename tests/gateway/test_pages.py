"""The gateway's own pages: health, metrics, the OpenAPI document and its page."""

import asyncio
import re
from html.parser import HTMLParser

import pytest

from gateway.docs import STYLE, render_docs
from gateway.openapi import merge_documents
from tests.builders.gateway import make_document
from tests.gateway.conftest import Door, OpenDoor
from tests.gateway.test_openapi import make_service_document
from tests.support.servers import FakeService, Received


class TestHealth:
    async def test_tells_of_each_service_and_503_when_one_is_down(self, door: Door) -> None:
        door.registry.body = door.matching.body = b'{"status":"ok","outbox":3,"dead_letters":0}'
        answer = await door.client.get("/health")
        assert answer.status_code == 503
        body = answer.json()
        assert (body["status"], body["version"]) == ("degraded", "1.0.0")
        assert list(body["services"]) == ["registry", "credits", "matching", "notifications"]
        assert body["services"]["matching"] | {"milliseconds": 0} == {
            "status": "ok",
            "outbox": 3,
            "dead_letters": 0,
            "milliseconds": 0,
        }
        assert body["services"]["credits"]["status"] == "failing"
        assert body["services"]["credits"]["reason"] == "credits cannot be reached"

    async def test_is_200_when_all_are_ready(self, open_door: OpenDoor) -> None:
        async with open_door() as first, open_door() as second:
            body = b'{"status":"ok"}'
            services = (first.registry, first.matching, second.registry, second.matching)
            for service in services:
                service.body = body
            urls = [_url_of(service, door) for door in (first, second) for service in (door.registry, door.matching)]
            names = ("registry_url", "matching_url", "credits_url", "notifications_url")
            async with open_door(**dict(zip(names, urls, strict=True))) as door:
                answer = await door.client.get("/health")
                assert (answer.status_code, answer.json()["status"]) == (200, "ok")

    async def test_asks_the_services_once_however_often_it_is_asked(self, door: Door) -> None:
        await asyncio.gather(*(door.client.get("/health") for _ in range(10)))
        assert len(door.registry.received) == 1

    async def test_one_that_answers_nonsense_or_too_late_is_failing(self, door: Door) -> None:
        async def wait(request: Received) -> FakeService | None:
            await asyncio.Event().wait()
            return None

        door.registry.body = b"<html>"
        door.matching.respond = wait
        services = (await door.client.get("/health")).json()["services"]
        assert services["registry"] == {"status": "failing", "reason": "answered 200 without JSON"}
        assert services["matching"]["reason"] == "no answer within 1.5 seconds"

    @pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
    async def test_the_gateway_itself_is_ready_without_any_service(self, door: Door, path: str) -> None:
        assert (await door.client.get(path)).json() == {"status": "ok"}


class TestMetrics:
    async def test_counts_requests_by_route_and_not_by_address(self, door: Door) -> None:
        await door.call("GET", "/needs/this-very-one")
        await door.client.get("/nowhere/at/all")
        text = (await door.client.get("/metrics")).text
        assert 'route="/v1/territories/{territory}/needs/{need_id}",service="gateway",status="200"' in text
        assert 'route="unmatched",service="gateway",status="404"' in text
        assert "this-very-one" not in text
        assert "nowhere" not in text


class TestDocument:
    async def test_is_given_with_an_etag(self, door: Door) -> None:
        answer = await door.client.get("/openapi.json")
        assert answer.json() == make_document()
        again = await door.client.get("/openapi.json", headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")

    async def test_is_compressed_for_who_can_read_it(self, door: Door) -> None:
        packed = await door.client.get("/openapi.json", headers={"accept-encoding": "gzip"})
        plain = await door.client.get("/openapi.json", headers={"accept-encoding": "identity"})
        assert packed.headers["content-encoding"] == "gzip"
        assert "content-encoding" not in plain.headers
        assert packed.json() == plain.json()

    async def test_head_has_no_body(self, door: Door) -> None:
        answer = await door.client.head("/openapi.json")
        assert (answer.status_code, answer.content) == (200, b"")


class TestDocs:
    async def test_is_a_page_that_loads_nothing(self, door: Door) -> None:
        answer = await door.client.get("/docs")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not re.search(r"<script|<img|<link|\son\w+=|\sstyle=|src=", answer.text)
        assert f"<style>{STYLE}</style>" in answer.text

    async def test_the_root_leads_to_it(self, door: Door) -> None:
        answer = await door.client.get("/")
        assert (answer.status_code, answer.headers["location"]) == (302, "/docs")

    def test_lists_every_operation_with_who_may_call_it(self) -> None:
        merged = merge_documents({tag: make_service_document(tag) for tag in ("registry", "matching")})
        page = render_docs(merged).decode()
        assert (
            page.count('Who may call it: scope <code>matching:write</code>; officer (<span lang="fr">agent de la commune</span>)')
            == 2
        )
        assert "List the boxes" in page
        assert '<h2 id="presentation">Présentation</h2>' in page
        assert 'href="#schema-Item"' in page
        assert 'id="schema-Item"' in page

    def test_is_well_formed_and_its_links_lead_somewhere(self) -> None:
        page = _Page(render_docs(merge_documents({"registry": make_service_document("registry")})).decode())
        assert page.open == []
        assert len(page.ids) == len(set(page.ids))
        assert page.links <= {*page.ids}
        assert page.levels[0] == 1
        assert all(later - earlier <= 1 for earlier, later in zip(page.levels, page.levels[1:], strict=False))

    def test_what_a_service_writes_is_text_and_not_markup(self) -> None:
        document = make_service_document("registry")
        document["paths"]["/v1/territories/{territory}/registry-boxes"]["get"]["summary"] = "<script>alert(1)</script>"
        assert b"<script" not in render_docs(merge_documents({"registry": document}))


class TestElsewhere:
    @pytest.mark.parametrize(
        "path", ["/favicon.ico", "/docs/", "/v1", "/v2/x", "/oauth", "/health/", "/metrics/x", "/%2e%2e/docs"]
    )
    async def test_nothing_is_there(self, door: Door, path: str) -> None:
        answer = await door.client.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"

    async def test_a_page_takes_no_post(self, door: Door) -> None:
        answer = await door.client.post("/docs")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def _url_of(service: FakeService, door: Door) -> str:
    return door.urls["registry_url" if service is door.registry else "matching_url"]


class _Page(HTMLParser):
    """Open tags, ids, links and heading levels of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: set[str] = set()
        self.levels: list[int] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "meta":
            self.open.append(tag)
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            elif name == "href" and value and value.startswith("#"):
                self.links.add(value[1:])
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

from typing import Any

import pytest

from gateway.errors import MethodNotAllowed
from gateway.router import RouteTable
from kernel.errors import NotFound
from tests.builders.gateway import BASE, make_document, make_operation

SERVICES = frozenset({"registry", "matching"})


@pytest.fixture
def table() -> RouteTable:
    return RouteTable(make_document(), services=SERVICES)


class TestFind:
    @pytest.mark.parametrize(
        ("method", "path", "template", "service"),
        [
            ("GET", b"/v1/territories/92071", BASE, "registry"),
            ("GET", b"/v1/territories/2A004/needs", f"{BASE}/needs", "matching"),
            ("GET", b"/v1/territories/92071/needs/refs", f"{BASE}/needs/{{need_id}}", "matching"),
            ("PUT", b"/v1/territories/92071/actors/refs/archival", f"{BASE}/actors/refs/{{ref}}", "registry"),
            ("POST", b"/v1/territories/92071/actors/x/archival", f"{BASE}/actors/{{actor_id}}/archival", "registry"),
        ],
    )
    def test_knows_every_declared_operation(
        self, table: RouteTable, method: str, path: bytes, template: str, service: str
    ) -> None:
        operation, territory = table.find(method, path)
        assert (operation.template, operation.service, operation.method) == (template, service, method)
        assert territory == path.split(b"/")[3].decode()

    @pytest.mark.parametrize(
        "path", [b"", b"/", b"/v1/territories/92071/actors", b"/v1/territories/9207/needs", b"/v1/territories/920711/needs"]
    )
    def test_nothing_else(self, table: RouteTable, path: bytes) -> None:
        with pytest.raises(NotFound):
            table.find("GET", path)

    def test_another_method_names_the_possible_ones(self, table: RouteTable) -> None:
        with pytest.raises(MethodNotAllowed) as caught:
            table.find("OPTIONS", b"/v1/territories/92071/needs")
        assert caught.value.headers == {"allow": "GET, POST"}


class TestCompile:
    @pytest.mark.parametrize(
        ("path", "operation"),
        [
            (f"{BASE}/x", {"responses": {}}),
            (f"{BASE}/x", {"x-service": "registry", "x-scope": "registry:read", "x-roles": []}),
            (f"{BASE}/x", {"x-service": "registry", "x-roles": ["officer"]}),
            (f"{BASE}/x", make_operation("payroll", "registry:read", "officer")),
            ("/v1/x", make_operation("registry", "registry:read", "officer")),
            ("/health", make_operation("registry", "registry:read", "officer")),
            (f"{BASE}/x/{{rest:path}}", make_operation("registry", "registry:read", "officer")),
            (f"{BASE}/x-{{id}}", make_operation("registry", "registry:read", "officer")),
        ],
    )
    def test_refuses_what_leaves_open_who_may_do_what(self, path: str, operation: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=":"):
            RouteTable({"paths": {path: {"get": operation}}}, services=SERVICES)

    def test_refuses_two_operations_of_one_address(self) -> None:
        paths = {f"{BASE}/x/{{{name}}}": {"get": make_operation("registry", "registry:read", "officer")} for name in ("a", "b")}
        with pytest.raises(ValueError, match="same address"):
            RouteTable({"paths": paths}, services=SERVICES)

    def test_collects_scopes_and_declared_headers(self, table: RouteTable) -> None:
        assert table.scopes == {"registry:read", "registry:write", "instance:admin", "matching:read", "matching:write"}
        assert table.forwarded_headers == {b"idempotency-key", b"if-match"}

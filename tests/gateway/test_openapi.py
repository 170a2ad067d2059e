import copy
from typing import Any

import pytest
from fastapi import FastAPI
from openapi_spec_validator import validate
from pydantic import create_model

from gateway.openapi import access_table, dump_document, merge_documents
from gateway.router import RouteTable
from kernel.auth import Role
from kernel.routing import VersionToEdit, allow, make_router

BASE = "/v1/territories/{territory}"


def make_service_document(tag: str, *, fields: dict[str, Any] | None = None) -> dict[str, Any]:
    """The document of a service as FastAPI writes it, with an `Item` of these fields."""
    item: Any = create_model("Item", **(fields or {"name": (str, ...)}))
    box: Any = create_model("Box", items=(list[item], ...))
    router = make_router(tag)

    @router.get(f"/{tag}-boxes", **allow(f"{tag}:read", Role.OFFICER, Role.PARTNER))
    async def list_boxes() -> box:
        """List the boxes."""
        raise NotImplementedError

    @router.post(f"/{tag}-boxes", status_code=201, **allow(f"{tag}:write", Role.OFFICER))
    async def write_box(body: item) -> box:
        """Write a box.

        All of it, at once.
        """
        raise NotImplementedError

    @router.patch(f"/{tag}-boxes/{{box_id}}", **allow(f"{tag}:write", Role.OFFICER))
    async def edit_box(box_id: str, version: VersionToEdit) -> None:
        """Edit a box."""

    app = FastAPI()
    app.include_router(router)

    @app.get("/health/ready")
    async def ready() -> None: ...

    return app.openapi()


class TestMergeDocuments:
    def test_is_one_valid_document(self) -> None:
        merged = merge_documents({tag: make_service_document(tag) for tag in ("registry", "matching")})
        validate(merged)
        assert merged["openapi"].startswith("3.1")
        assert list(merged["paths"]) == [
            f"{BASE}/{path}"
            for path in ("registry-boxes", "registry-boxes/{box_id}", "matching-boxes", "matching-boxes/{box_id}")
        ]
        french, english = merged["info"]["description"].split("\n\n")[:2]
        assert "crédits d'expertises" in french
        assert "credit of expertise" in english

    def test_each_operation_says_who_serves_it_and_who_may_call_it(self) -> None:
        merged = merge_documents({tag: make_service_document(tag) for tag in ("registry", "matching")})
        operation = merged["paths"][f"{BASE}/matching-boxes"]["get"]
        assert (operation["x-service"], operation["x-scope"], operation["x-roles"]) == (
            "matching",
            "matching:read",
            ["officer", "partner"],
        )
        assert operation["security"] == [{"oauth2": ["matching:read"]}]
        assert operation["tags"] == ["matching"]
        flow = merged["components"]["securitySchemes"]["oauth2"]["flows"]["clientCredentials"]
        assert flow["tokenUrl"] == "/oauth/token"
        assert list(flow["scopes"]) == ["matching:read", "matching:write", "registry:read", "registry:write"]

    def test_what_is_public_says_that_no_token_is_needed(self) -> None:
        router = make_router("rules")

        @router.get("/rules", **allow("matching:read", Role.OFFICER, Role.VISITOR))
        async def read_rules() -> None:
            """Read the rules."""

        app = FastAPI()
        app.include_router(router)
        merged = merge_documents({"matching": app.openapi()})
        assert merged["paths"][f"{BASE}/rules"]["get"]["security"] == [{"oauth2": ["matching:read"]}, {}]

    def test_the_gateway_can_be_compiled_from_it(self) -> None:
        merged = merge_documents({tag: make_service_document(tag) for tag in ("registry", "matching")})
        table = RouteTable(merged, services=frozenset({"registry", "matching"}))
        operation, _ = table.find("PATCH", b"/v1/territories/92071/matching-boxes/1")
        assert operation.service == "matching"
        assert table.forwarded_headers == {b"if-match", b"idempotency-key"}

    def test_components_that_mean_the_same_are_shared(self) -> None:
        merged = merge_documents({tag: make_service_document(tag) for tag in ("registry", "matching")})
        assert set(merged["components"]["schemas"]) == {"Box", "Item", "Problem"}

    def test_components_that_differ_bear_their_service_and_so_do_those_that_refer_to_them(self) -> None:
        other = make_service_document("matching", fields={"minutes": (int, ...)})
        merged = merge_documents({"registry": make_service_document("registry"), "matching": other})
        assert set(merged["components"]["schemas"]) == {"RegistryBox", "RegistryItem", "MatchingBox", "MatchingItem", "Problem"}
        body = merged["paths"][f"{BASE}/matching-boxes"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert body == {"$ref": "#/components/schemas/MatchingItem"}
        assert merged["components"]["schemas"]["MatchingBox"]["properties"]["items"]["items"] == {
            "$ref": "#/components/schemas/MatchingItem"
        }
        validate(merged)

    def test_operation_ids_are_short_and_distinct(self) -> None:
        merged = merge_documents({tag: make_service_document(tag) for tag in ("registry", "matching")})
        ids = [item[method]["operationId"] for item in merged["paths"].values() for method in item]
        assert ids == ["list_boxes", "write_box", "edit_box", "matching_list_boxes", "matching_write_box", "matching_edit_box"]

    def test_the_docstrings_first_line_is_the_summary(self) -> None:
        merged = merge_documents({"registry": make_service_document("registry")})
        operation = merged["paths"][f"{BASE}/registry-boxes"]["post"]
        assert operation["summary"] == "Write a box"
        assert operation["description"] == "All of it, at once."

    def test_what_is_internal_or_outside_v1_stays_out(self) -> None:
        document = make_service_document("registry")
        document["paths"][f"{BASE}/registry-boxes"]["get"]["x-internal"] = True
        document["components"]["schemas"]["Unused"] = {"type": "object"}
        merged = merge_documents({"registry": document})
        assert "get" not in merged["paths"][f"{BASE}/registry-boxes"]
        assert "/health/ready" not in merged["paths"]
        assert "Unused" not in merged["components"]["schemas"]

    def test_problems_are_written_once_and_the_gateways_own_are_added(self) -> None:
        merged = merge_documents({"registry": make_service_document("registry")})
        operation = merged["paths"][f"{BASE}/registry-boxes"]["post"]
        assert operation["responses"]["404"] == {"$ref": "#/components/responses/Problem404"}
        assert {"408", "413", "429", "503", "504"} <= operation["responses"].keys()
        assert "413" not in merged["paths"][f"{BASE}/registry-boxes"]["get"]["responses"]
        assert "Retry-After" in merged["components"]["responses"]["Problem429"]["headers"]

    def test_its_input_is_left_as_it_was(self) -> None:
        document = make_service_document("registry")
        before = copy.deepcopy(document)
        merge_documents({"registry": document})
        assert document == before

    def test_one_operation_in_two_services_is_refused(self) -> None:
        with pytest.raises(ValueError, match="served by registry and by matching"):
            merge_documents({"registry": make_service_document("registry"), "matching": make_service_document("registry")})

    def test_an_operation_without_access_rule_is_refused(self) -> None:
        document = make_service_document("registry")
        del document["paths"][f"{BASE}/registry-boxes"]["get"]["x-scope"]
        with pytest.raises(ValueError, match="does not say who may call it"):
            merge_documents({"registry": document})

    def test_is_written_the_same_way_every_time(self) -> None:
        one, other = (dump_document(merge_documents({"registry": make_service_document("registry")})) for _ in range(2))
        assert one == other
        assert "é" in one


class TestAccessTable:
    def test_lists_every_operation(self) -> None:
        merged = merge_documents({tag: make_service_document(tag) for tag in ("registry", "matching")})
        lines = access_table(merged).splitlines()
        assert lines[0] == "| Service | Method | Path | Scope | Roles |"
        assert lines[2] == f"| registry | GET | `{BASE}/registry-boxes` | `registry:read` | officer, partner |"
        assert len(lines) == 2 + 6

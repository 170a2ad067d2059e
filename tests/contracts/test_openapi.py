"""The OpenAPI document is valid, and the platform answers as it says: no 5xx, no undocumented answer."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from cli.http import make_client
from cli.stack import Stack
from kernel.auth import EVERYONE
from tests.support.town import found_town, open_campaign

DOCUMENT: dict[str, Any] = json.loads((Path(__file__).parents[2] / "gateway" / "openapi.json").read_text())
TERRITORY = "92002"
EXAMPLES = 12
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
async def everybody(stack: Stack) -> AsyncIterator[str]:
    """The token of somebody who holds every role, in a town with a campaign."""
    async with make_client(stack.url) as http:
        town = await found_town(http, stack.url, TERRITORY, admin_secret=stack.secrets.instance_admin_secret)
        await open_campaign(town)
        home = {"actor_id": town.ids["association"], "member_id": town.ids["manager"]}
        session = await town.person("everybody", [str(role) for role in EVERYONE], **home)
        yield await session.token()


SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = sorted((path, method) for path, item in DOCUMENT["paths"].items() for method in item if method != "parameters")


class TestDocument:
    def test_is_openapi_3_1(self) -> None:
        OpenAPIV31SpecValidator(DOCUMENT).validate()

    def test_says_who_may_call_each_route(self) -> None:
        for path, item in DOCUMENT["paths"].items():
            for method, operation in item.items():
                if method != "parameters":
                    assert operation["x-scope"], f"{method} {path}"
                    assert operation["x-roles"], f"{method} {path}"


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_answer_is_documented(stack: Stack, everybody: str, path: str, method: str) -> None:
    @given(case=SCHEMA[path][method].as_strategy())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def answers_as_documented(case: schemathesis.Case[Any]) -> None:
        case.path_parameters["territory"] = TERRITORY
        if "{client_id}" in path:
            case.path_parameters["client_id"] = f"{TERRITORY}.schemathesis"  # not the client that asks
        case.call_and_validate(base_url=stack.url, headers={"authorization": f"Bearer {everybody}"}, checks=CHECKS, timeout=60)

    answers_as_documented()

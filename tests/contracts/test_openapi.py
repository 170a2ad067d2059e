"""The OpenAPI document is valid, and the platform answers as it says: no 5xx, no undocumented answer."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from cli.http import make_client
from cli.stack import Stack
from tests.support.full_town import ids_of, live
from tests.support.openapi import DOCUMENT, Request, build_requests, find_path_ids, operations
from tests.support.servers import FakeService, serve_app
from tests.support.stack import find_logged
from tests.support.town import Town, found_town

TERRITORY = "92002"
EXAMPLES = 12
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
# What ends a row's life comes after everything that needs the row alive.
ENDINGS = ("archival", "closure", "closing", "cancellation", "withdrawal", "stop")
# Operations that answered 2xx at least once, and those that were tried.
answered: set[tuple[str, str]] = set()
tried: set[tuple[str, str]] = set()


@pytest.fixture(scope="module")
async def town(stack: Stack) -> AsyncIterator[Town]:
    """A town with a row behind every route."""
    async with make_client(stack.url) as http:
        made = await found_town(http, stack.url, TERRITORY, admin_secret=stack.secrets.instance_admin_secret)
        async with serve_app(FakeService()) as port:
            await live(made, f"http://127.0.0.1:{port}/hook")
        yield made


@pytest.fixture(scope="module")
async def everybody(town: Town) -> str:
    """The token of somebody who holds every role."""
    return await town.people["everybody"].token()


def when(operation: tuple[str, str]) -> tuple[bool, bool, str, str]:
    """Reads first, then writes, then endings."""
    method, path = operation
    return method != "GET", method == "DELETE" or path.endswith(ENDINGS), path, method


OPERATIONS = [(path, method.lower()) for method, path in sorted(operations(), key=when)]


class TestDocument:
    def test_is_openapi_3_1(self) -> None:
        OpenAPIV31SpecValidator(DOCUMENT).validate()

    def test_says_who_may_call_each_route(self) -> None:
        for path, item in DOCUMENT["paths"].items():
            for method, operation in item.items():
                if method != "parameters":
                    assert operation["x-scope"], f"{method} {path}"
                    assert operation["x-roles"], f"{method} {path}"

    def test_names_the_idempotency_key_where_an_answer_is_kept(self) -> None:
        kept = {
            (method, path)
            for path, item in DOCUMENT["paths"].items()
            for method, operation in item.items()
            if any(parameter.get("name") == "Idempotency-Key" for parameter in operation.get("parameters", []))
        }
        reading = ("post", "/v1/territories/{territory}/skill-suggestions")
        assert kept == {(method, path) for path, method in OPERATIONS if method != "get"} - {reading}


def call(case: schemathesis.Case[Any], stack: Stack, token: str) -> Any:
    """The answer, once it is found to be as documented."""
    case.path_parameters["territory"] = TERRITORY
    headers = {"authorization": f"Bearer {token}"}
    answer = case.call(base_url=stack.url, headers=headers, timeout=60)
    try:
        case.validate_response(answer, checks=CHECKS)
    except FailureGroup as error:
        for line in find_logged(stack, str(answer.json().get("trace", "no trace"))):
            error.add_note(line)
        raise
    if 200 <= answer.status_code < 300:
        answered.add((case.operation.path, case.operation.method))
    return answer


def make_case(path: str, method: str, request: Request, *, ids: dict[str, str], version: int) -> schemathesis.Case[Any]:
    body = {} if request.body is None else {"body": request.body, "media_type": "application/json"}
    made: schemathesis.Case[Any] = SCHEMA[path][method].Case(
        path_parameters=dict(ids), query=dict(request.query), headers={"if-match": f'"{version}"'}, **body
    )
    return made


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_answer_is_documented(stack: Stack, town: Town, everybody: str, path: str, method: str) -> None:
    """What a person would send first, about rows that are there; then anything, about these rows or about any."""
    tried.add((path, method))
    ids = find_path_ids(path, ids_of(town))
    for request in build_requests(method, path, ids_of(town)):
        answer = call(make_case(path, method, request, ids=ids, version=1), stack, everybody)
        if answer.status_code == 412 and "current" in answer.json():
            call(make_case(path, method, request, ids=ids, version=answer.json()["current"]), stack, everybody)

    @given(case=SCHEMA[path][method].as_strategy(), own=st.booleans())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def answers_as_documented(case: schemathesis.Case[Any], own: bool) -> None:
        if own:
            case.path_parameters.update(ids)
        elif "{client_id}" in path:
            case.path_parameters["client_id"] = f"{TERRITORY}.schemathesis"  # not the client that asks
        call(case, stack, everybody)

    answers_as_documented()


def test_most_operations_did_what_they_were_asked() -> None:
    """An answer that is always a refusal says little about the document."""
    if tried != set(OPERATIONS):
        pytest.skip("only some of the operations were tried")
    refused = sorted(f"{method} {path}" for path, method in tried - answered)
    reads = {one for one in tried if one[1] == "get"}
    assert len(answered & reads) > 0.9 * len(reads), refused
    # The others ask for a row in another state than the one that is there: a mission that is over is not begun again.
    assert len(answered - reads) > 0.5 * len(tried - reads), refused

"""Every operation of the committed document, at the door: who may not, does not get in."""

import functools
from typing import Any

import orjson
import pytest

from gateway.openapi import METHODS
from gateway.settings import DOCUMENT_FILE
from kernel.auth import Role
from tests.builders.gateway import make_access_token
from tests.gateway.conftest import TERRITORY, OpenDoor
from tests.support.clients import ALL_SCOPES, make_caller

RULES = "/v1/territories/{territory}/matching/rules"


@pytest.fixture
def document() -> dict[str, Any]:
    if not DOCUMENT_FILE.exists():
        pytest.skip("gateway/openapi.json is not there yet: `metis openapi` makes it")
    found: dict[str, Any] = orjson.loads(DOCUMENT_FILE.read_bytes())
    return found


async def test_refuses_the_wrong_territory_scope_and_role_and_the_nameless(open_door: OpenDoor, document: dict[str, Any]) -> None:
    token_of = functools.cache(make_access_token)
    async with open_door(document=document, address_limit_per_minute=100_000) as door:
        walked, public = 0, []
        for path, item in document["paths"].items():
            for method in METHODS:
                if method not in item:
                    continue
                scope, roles = item[method]["x-scope"], item[method]["x-roles"]
                others = sorted(set(Role) - set(roles))
                callers = {
                    "territory": make_caller("92014", *Role),
                    "scope": make_caller(TERRITORY, *Role, scopes=ALL_SCOPES - {scope}),
                    "role": make_caller(TERRITORY, *others),
                }
                url = path.replace("{territory}", TERRITORY).replace("{", "").replace("}", "")
                for missing, caller in callers.items():
                    headers = {"authorization": f"Bearer {token_of(caller)}"}
                    answer = await door.client.request(method, url, headers=headers)
                    assert answer.status_code == 403, f"{method} {path} lets in who lacks the {missing}"
                walked += 1
                if Role.VISITOR in roles:
                    public.append((method, path))  # what the law has published; see below
                    continue
                assert (await door.client.request(method, url)).status_code == 401
        assert walked > 50
        # Whoever opens another address to everybody says so here.
        assert set(public) <= {("get", f"{RULES}"), ("get", f"{RULES}/page")}
        assert door.registry.received == []
        assert door.matching.received == []

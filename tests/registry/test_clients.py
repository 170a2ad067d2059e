"""OAuth clients over HTTP: issued, checked by the gateway, withdrawn."""

from typing import Any
from uuid import uuid4

import httpx2
import pytest

from kernel.auth import Caller, Role
from kernel.database import Database
from kernel.work import open_work
from tests.builders.registry import make_actor_body, make_member_body
from tests.registry.conftest import Enter


async def issue(client: httpx2.AsyncClient, client_id: str, **body: Any) -> dict[str, Any]:
    response = await client.put(f"/clients/{client_id}", json={"name": "Agenda"} | body)
    assert response.status_code == 200, response.text
    issued: dict[str, Any] = response.json()
    return issued


@pytest.fixture
async def gateway(sign_in: Enter) -> httpx2.AsyncClient:
    return await sign_in(Role.GATEWAY, scopes=frozenset({"clients:check"}))


class TestIssueClient:
    async def test_the_gateway_learns_who_it_is(
        self, officer: httpx2.AsyncClient, gateway: httpx2.AsyncClient, territory: str
    ) -> None:
        actor = (await officer.post("/actors", json=make_actor_body())).json()
        member = (await officer.post("/members", json=make_member_body(actor_id=actor["id"]))).json()
        name = f"{territory}.lire"
        issued = await issue(officer, name, roles=["association"], actor_id=actor["id"], member_id=member["id"])
        checked = await gateway.post("/client-checks", json={"client_id": name, "client_secret": issued["client_secret"]})
        assert checked.status_code == 200
        assert checked.json() == {
            "territory": territory,
            "client_id": name,
            "actor_id": actor["id"],
            "member_id": member["id"],
            "roles": ["association"],
            "scopes": [
                "credits:read",
                "credits:write",
                "matching:read",
                "matching:write",
                "notifications:read",
                "notifications:write",
                "registry:read",
            ],
        }

    async def test_issuing_again_ends_the_old_secret(
        self, officer: httpx2.AsyncClient, gateway: httpx2.AsyncClient, territory: str
    ) -> None:
        name = f"{territory}.agenda"
        first, second = [await issue(officer, name, roles=["partner"]) for _ in range(2)]
        assert first["created_at"] == second["created_at"]
        statuses = [
            (await gateway.post("/client-checks", json={"client_id": name, "client_secret": made["client_secret"]})).status_code
            for made in (first, second)
        ]
        assert statuses == [401, 200]

    async def test_the_secret_is_kept_nowhere(self, officer: httpx2.AsyncClient, territory: str, database: Database) -> None:
        issued = await issue(officer, f"{territory}.agenda", roles=["partner"])
        listed = (await officer.get("/clients")).json()["items"]
        assert "client_secret" not in listed[0]
        async with open_work(database, Caller.system(territory)) as work:
            kept = await work.driver.fetchval("SELECT string_agg(client::text, '') FROM client")
        assert issued["client_secret"] not in kept

    async def test_an_answer_with_a_secret_is_never_stored_for_replay(
        self, officer: httpx2.AsyncClient, territory: str, database: Database
    ) -> None:
        body = {"name": "Agenda", "roles": ["partner"]}
        response = await officer.put(f"/clients/{territory}.agenda", json=body, headers={"idempotency-key": "k"})
        assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "header/Idempotency-Key")
        async with open_work(database, Caller.system(territory)) as work:
            assert await work.driver.fetchval("SELECT count(*) FROM idempotency_key") == 0
        issued = await officer.put(f"/clients/{territory}.agenda", json=body)
        assert issued.headers["cache-control"] == "no-store"

    async def test_scopes_stay_within_the_roles(self, officer: httpx2.AsyncClient, territory: str) -> None:
        issued = await issue(officer, f"{territory}.agenda", roles=["partner"], scopes=["registry:read"])
        assert issued["scopes"] == ["registry:read"]
        body = {"name": "Agenda", "roles": ["partner"], "scopes": ["registry:read", "credits:write"]}
        refused = await officer.put(f"/clients/{territory}.agenda", json=body)
        assert refused.status_code == 422
        assert "credits:write" in refused.json()["detail"]

    async def test_a_platform_spends_credit_only_when_the_officer_names_it(
        self, officer: httpx2.AsyncClient, territory: str
    ) -> None:
        assert "credits:reserve" not in (await issue(officer, f"{territory}.agenda", roles=["partner"]))["scopes"]
        named = await issue(officer, f"{territory}.agenda", roles=["partner"], scopes=["credits:read", "credits:reserve"])
        assert named["scopes"] == ["credits:read", "credits:reserve"]
        body = {"name": "Lire", "roles": ["volunteer"], "scopes": ["credits:reserve"]}
        assert (await officer.put(f"/clients/{territory}.lire", json=body)).status_code == 422

    @pytest.mark.parametrize("role", ["instance_admin", "gateway"])
    async def test_an_officer_makes_none_of_the_instance(
        self, officer: httpx2.AsyncClient, sign_in: Enter, territory: str, role: str
    ) -> None:
        name = f"{territory}.root"
        assert (await officer.put(f"/clients/{name}", json={"name": "Root", "roles": [role]})).status_code == 403
        admin = await sign_in(Role.INSTANCE_ADMIN)
        await issue(admin, name, roles=[role])
        # Nor does the officer get one by taking it over, or by taking it away.
        assert (await officer.put(f"/clients/{name}", json={"name": "Root", "roles": ["partner"]})).status_code == 403
        assert (await officer.delete(f"/clients/{name}")).status_code == 403

    async def test_nobody_signs_in_as_the_platform(self, sign_in: Enter, territory: str) -> None:
        admin = await sign_in(Role.INSTANCE_ADMIN)
        response = await admin.put(f"/clients/{territory}.x", json={"name": "X", "roles": ["system"]})
        assert response.status_code == 422

    async def test_its_name_shows_the_territory(self, officer: httpx2.AsyncClient) -> None:
        response = await officer.put("/clients/99999.agenda", json={"name": "Agenda", "roles": ["partner"]})
        assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "path/client_id")

    async def test_people_act_for_somebody_who_is_there(self, officer: httpx2.AsyncClient, territory: str) -> None:
        actor, other = [(await officer.post("/actors", json=make_actor_body())).json() for _ in range(2)]
        member = (await officer.post("/members", json=make_member_body(actor_id=actor["id"]))).json()
        faults = [
            ({}, "/actor_id"),
            ({"actor_id": str(uuid4())}, "/actor_id"),
            ({"member_id": str(uuid4())}, "/member_id"),
            ({"actor_id": other["id"], "member_id": member["id"]}, "/member_id"),
        ]
        for named, pointer in faults:
            body = {"name": "Lire", "roles": ["association"]} | named
            response = await officer.put(f"/clients/{territory}.lire", json=body)
            assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, pointer)

    async def test_an_operator_may_not(self, sign_in: Enter, territory: str) -> None:
        operator = await sign_in(Role.OPERATOR)
        response = await operator.put(f"/clients/{territory}.agenda", json={"name": "Agenda", "roles": ["partner"]})
        assert response.status_code == 403


class TestCheckClient:
    async def test_an_unknown_client_and_a_wrong_secret_read_the_same(
        self, officer: httpx2.AsyncClient, gateway: httpx2.AsyncClient, territory: str
    ) -> None:
        await issue(officer, f"{territory}.agenda", roles=["partner"])
        asked = [(f"{territory}.agenda", "wrong"), (f"{territory}.nobody", "wrong"), ("94002.agenda", "wrong"), ("é ☃", "é")]
        answers = [await gateway.post("/client-checks", json={"client_id": name, "client_secret": word}) for name, word in asked]
        assert {answer.status_code for answer in answers} == {401}
        assert len({answer.json()["detail"] for answer in answers}) == 1

    async def test_only_the_gateway_asks(self, officer: httpx2.AsyncClient) -> None:
        response = await officer.post("/client-checks", json={"client_id": "a", "client_secret": "b"})
        assert response.status_code == 403

    @pytest.mark.parametrize("archived", ["actors", "members"])
    async def test_the_client_of_an_archived_one_signs_in_no_more(
        self, officer: httpx2.AsyncClient, gateway: httpx2.AsyncClient, territory: str, archived: str
    ) -> None:
        actor = (await officer.post("/actors", json=make_actor_body())).json()
        member = (await officer.post("/members", json=make_member_body(actor_id=actor["id"]))).json()
        name = f"{territory}.lire"
        issued = await issue(officer, name, roles=["association"], actor_id=actor["id"], member_id=member["id"])
        credentials = {"client_id": name, "client_secret": issued["client_secret"]}
        assert (await gateway.post("/client-checks", json=credentials)).status_code == 200
        gone = {"actors": actor, "members": member}[archived]
        assert (await officer.post(f"/{archived}/{gone['id']}/archival", json={"reason": "partie"})).status_code == 200
        assert (await gateway.post("/client-checks", json=credentials)).status_code == 401

    async def test_it_is_not_in_the_public_document(self, app: Any) -> None:
        assert not [path for path in app.openapi()["paths"] if "client-checks" in path]


class TestWithdrawClient:
    async def test_it_signs_in_no_more(self, officer: httpx2.AsyncClient, gateway: httpx2.AsyncClient, territory: str) -> None:
        name = f"{territory}.agenda"
        issued = await issue(officer, name, roles=["partner"])
        assert (await officer.delete(f"/clients/{name}")).status_code == 204
        credentials = {"client_id": name, "client_secret": issued["client_secret"]}
        assert (await gateway.post("/client-checks", json=credentials)).status_code == 401
        assert (await officer.delete(f"/clients/{name}")).status_code == 404

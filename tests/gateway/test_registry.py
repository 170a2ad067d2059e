"""The gateway and the real registry: from the instance's admin to a partner's first request."""

from collections.abc import Callable

from fastapi import FastAPI

from gateway.openapi import merge_documents
from tests.builders.gateway import ADMIN_SECRET
from tests.gateway.conftest import OpenDoor
from tests.support.servers import serve_app


async def test_a_client_that_the_registry_issued_signs_in_until_it_is_withdrawn(
    open_door: OpenDoor, make_app: Callable[..., FastAPI], territory: str
) -> None:
    app = make_app("registry")
    document = merge_documents({"registry": app.openapi()})
    async with serve_app(app) as port, open_door(document=document, registry_url=f"http://127.0.0.1:{port}") as door:
        base = f"/v1/territories/{territory}"
        admin = await _sign_in(door.client, "instance-admin", ADMIN_SECRET)
        assert (await door.client.put(base, json={"name": "Sceaux"}, headers=admin)).status_code in {200, 201}
        facts = {"name": "Agenda", "roles": ["partner"], "scopes": ["registry:read"]}
        issued = (await door.client.put(f"{base}/clients/{territory}.agenda", json=facts, headers=admin)).json()
        partner = await _sign_in(door.client, issued["client_id"], issued["client_secret"])
        answer = await door.client.get(base, headers=partner)
        assert (answer.status_code, answer.json()["name"]) == (200, "Sceaux")
        assert (await door.client.get(f"{base}/members", headers=partner)).status_code == 403
        assert (await door.client.get("/v1/territories/92071", headers=partner)).status_code == 403
        wrong = await door.client.post("/oauth/token", data=_form(issued["client_id"], "wrong"))
        assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
        await door.client.delete(f"{base}/clients/{territory}.agenda", headers=admin)
        gone = await door.client.post("/oauth/token", data=_form(issued["client_id"], issued["client_secret"]))
        assert gone.status_code == 401


def _form(client_id: str, client_secret: str) -> dict[str, str]:
    return {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}


async def _sign_in(client, client_id: str, client_secret: str) -> dict[str, str]:  # type: ignore[no-untyped-def]
    answer = await client.post("/oauth/token", data=_form(client_id, client_secret))
    assert answer.status_code == 200, answer.text
    return {"authorization": f"Bearer {answer.json()['access_token']}"}

"""Builders for the gateway's tests: documents, settings, callers' tokens."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from gateway.sessions import ACCESS_AUDIENCE
from gateway.settings import GatewaySettings
from kernel.auth import Caller
from kernel.clock import utc_now
from kernel.routing import allow as allow_route
from tests.support.clients import PRIVATE_KEY, PUBLIC_KEYS, SIGNER

ADMIN_SECRET = "an-admin-secret-of-more-than-32-characters"
BASE = "/v1/territories/{territory}"


def allow(scope: str, *roles: str) -> dict[str, Any]:
    """What a route declares, as it stands in a service's document."""
    extra: dict[str, Any] = allow_route(scope, *roles)["openapi_extra"]  # type: ignore[arg-type]
    return extra


def make_operation(service: str, scope: str, *roles: str, **more: Any) -> dict[str, Any]:
    return {"x-service": service, "responses": {"200": {"description": "ok"}}, **allow(scope, *roles), **more}


def make_document() -> dict[str, Any]:
    """A small merged document with one of each kind of address."""
    version = {"name": "If-Match", "in": "header", "schema": {"type": "string"}}
    key = {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Métis", "version": "1.0.0"},
        "tags": [{"name": "registry"}, {"name": "matching"}],
        "paths": {
            BASE: {
                "get": make_operation("registry", "registry:read", "officer", "partner", "instance_admin"),
                "put": make_operation("registry", "instance:admin", "instance_admin"),
            },
            f"{BASE}/actors/refs/{{ref}}": {"put": make_operation("registry", "registry:write", "officer", parameters=[key])},
            f"{BASE}/actors/{{actor_id}}/archival": {"post": make_operation("registry", "registry:write", "officer")},
            f"{BASE}/needs": {
                "get": make_operation("matching", "matching:read", "officer", "association", "partner"),
                "post": make_operation("matching", "matching:write", "officer", "association", parameters=[key]),
            },
            f"{BASE}/matching/rules": {"get": make_operation("matching", "matching:read", "officer", "visitor")},
            f"{BASE}/needs/{{need_id}}": {
                "get": make_operation("matching", "matching:read", "officer", "association"),
                "patch": make_operation("matching", "matching:write", "officer", parameters=[version]),
                "delete": make_operation("matching", "matching:write", "officer"),
            },
        },
        "components": {},
    }


def make_settings(folder: Path, *, document: dict[str, Any] | None = None, **options: Any) -> GatewaySettings:
    file = folder / "openapi.json"
    file.write_bytes(orjson.dumps(document or make_document()))
    given: dict[str, Any] = {
        "internal_public_keys": PUBLIC_KEYS,
        "internal_private_key": PRIVATE_KEY,
        "admin_client_secret": ADMIN_SECRET,
        "openapi_file": file,
    }
    return GatewaySettings(**(given | options))


def make_access_token(
    caller: Caller, *, lifetime_seconds: int = 3600, now: datetime | None = None, audience: str = ACCESS_AUDIENCE
) -> str:
    return SIGNER.sign(caller, now=now or utc_now(), lifetime=timedelta(seconds=lifetime_seconds), audience=audience)

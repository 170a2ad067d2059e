"""Requests that the OpenAPI document allows, for every operation of it, with ids of one's choosing.

An id stands in the path, the query or the body. Its place is a `Site`: the test that builds a request says for each
site which row is meant, by the resource's name in `Town.ids`.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from kernel.clock import local_date, utc_now

DOCUMENT: dict[str, Any] = json.loads((Path(__file__).parents[2] / "gateway" / "openapi.json").read_text())
PREFIX = "/v1/territories/{territory}"
METHODS = ("get", "put", "post", "patch", "delete")

# Which row a path's parameter names: as it says itself, else as the word before it says.
NAMED_IN_PATH = {
    "{ref}": "ref", "{insee}": "commune", "{version}": "version", "{step}": "step", "{number}": "number",
    "{client_id}": "client", "{need_id}": "need", "{offer_id}": "offer", "{code}": "skill",
}  # fmt: skip
BEFORE_IN_PATH = {
    "actors": "association", "members": "manager", "campaigns": "campaign", "pledges": "pledge", "transfers": "transfer",
    "missions": "mission", "inbox": "inbox", "webhooks": "webhook", "webhook-deliveries": "delivery", "panel": "association",
    "statements": "association", "contributor-statements": "company", "volunteer-statements": "employee", "grant-proposals": "proposal", "parties": "association",
    "conventions": "mission", "valuations": "mission", "receipts": "receipt", "tax-reductions": "company",
    "grant-publications": "publication", "approvals": "approval", "holds": "mission", "rounds": "round", "synonyms": "synonym",
}  # fmt: skip
# Which row a field of a body or of a query names.
NAMED_BY_FIELD = {
    "actor_id": "association", "association_id": "association", "beneficiary_id": "association", "campaign_id": "campaign",
    "contributor_id": "company", "donor_id": "company", "excluded_associations": "association", "from_campaign_id": "campaign",
    "holder_id": "association", "member_id": "manager", "mission_id": "mission", "mission_ids": "mission", "need_id": "need",
    "offer_id": "offer", "operator_id": "operator", "pledge_id": "pledge", "proposal_id": "proposal", "replaces": "timesheet",
    "transfer_id": "transfer", "volunteer_id": "employee", "with": "round",
}  # fmt: skip
# No rows of a town: the same everywhere.
CONSTANTS = {"ref": "autre", "commune": "75056", "version": "1", "step": "check", "number": "0"}
# Optional by the schema's word; one of several that the service asks for.
SENT_ALWAYS = frozenset({"label", "commune"})
# Dates, in days from the day on which the request is made: a test run may go past midnight.
DAYS = {"starts_on": 0, "ends_on": 20, "available_from": 0, "available_until": 20, "worked_on": 0}
# What the schema alone would not make meaningful.
PLAIN = {
    "from_day": "2026-03-01", "to_day": "2026-03-31", "email": "quelqu.un@exemple.fr",
    "url": "https://partenaire.example/ici", "parent": "environnement", "commune": "75056", "siren": "732829320",
    "siret": "73282932000074", "digest": "0" * 64, "year": 2026, "minutes": 60, "skills": 75, "name_fr": "Pruniculture", "name_en": "Plum growing",
}  # fmt: skip


@dataclass(frozen=True)
class Site:
    """Where an id stands, e.g. `path:mission_id` or `body:adjustments.association_id`, and which row it names."""

    place: str
    resource: str


IdOf = Callable[[Site], str]


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    body: Any = None


def operations() -> Iterator[tuple[str, str]]:
    """Method and path template of every operation."""
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS:
            if method in item:
                yield method.upper(), path


def list_path_sites(template: str) -> dict[str, Site]:
    """The sites of the path behind the territory, by the parameter's name."""
    parts = template.removeprefix(PREFIX).split("/")
    return {
        part.strip("{}"): Site(f"path:{part.strip('{}')}", NAMED_IN_PATH.get(part) or BEFORE_IN_PATH[parts[index - 1]])
        for index, part in enumerate(parts)
        if part.startswith("{")
    }


def find_path_ids(template: str, id_of: IdOf) -> dict[str, str]:
    """The path's parameters behind the territory."""
    return {name: _id_at(site, id_of) for name, site in list_path_sites(template).items()}


def build_path(template: str, id_of: IdOf) -> str:
    return template.removeprefix(PREFIX).format(**find_path_ids(template, id_of))


def build_requests(method: str, template: str, id_of: IdOf) -> list[Request]:
    """One request for each alternative of the body (one without alternatives); every id that may be sent is sent."""
    operation = DOCUMENT["paths"][template][method.lower()]
    path = build_path(template, id_of)
    wanted = [one for one in operation.get("parameters", []) if one["in"] == "query" and _is_wanted(one)]
    query = {one["name"]: str(_build(one["schema"], f"query:{one['name']}", id_of, 0)) for one in wanted}
    schema = body_schema(method, template)
    if schema is None:
        return [Request(method, path, query)]
    return [Request(method, path, query, _build(schema, "body:", id_of, choice)) for choice in range(_count_choices(schema))]


def body_schema(method: str, template: str) -> dict[str, Any] | None:
    body = DOCUMENT["paths"][template][method.lower()].get("requestBody")
    return body and dict(body["content"]["application/json"]["schema"])


def list_sites(method: str, template: str) -> list[Site]:
    """Every place of a row's id in the operation's requests."""
    found: dict[Site, None] = {}

    def note(site: Site) -> str:
        found[site] = None
        return "00000000-0000-7000-8000-000000000000"

    build_requests(method, template, note)
    return list(found)


def _id_at(site: Site, id_of: IdOf) -> str:
    return CONSTANTS.get(site.resource) or id_of(site)


def _is_wanted(parameter: dict[str, Any]) -> bool:
    return parameter.get("required") or (_has_id(parameter["schema"]) and parameter["name"] != "cursor")


def _build(schema: dict[str, Any], place: str, id_of: IdOf, choice: int) -> Any:
    schema = _resolve(schema)
    if alternatives := _alternatives(schema):
        return _build(alternatives[choice % len(alternatives)], place, id_of, choice)
    field = place.replace(":", ".").rpartition(".")[2]
    if schema.get("format") == "uuid":
        return id_of(Site(place, NAMED_BY_FIELD[field]))
    if schema["type"] == "object":
        properties, inside = schema.get("properties", {}), place if place.endswith(":") else f"{place}."
        needed = SENT_ALWAYS.union(schema.get("required", []))
        sent = [name for name in properties if name in needed or _has_id(properties[name])]
        return {name: _build(properties[name], inside + name, id_of, choice) for name in sent}
    if schema["type"] == "array":
        return [_build(schema["items"], place, id_of, choice)]
    return _plain(schema, field)


def _plain(schema: dict[str, Any], field: str) -> Any:
    """A value without ids: what the schema fixes, else what the field's name asks for, else the smallest one."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if field in DAYS:
        return str(local_date(utc_now()) + timedelta(days=DAYS[field]))
    if field in PLAIN:
        return min(PLAIN[field], schema.get("maximum", PLAIN[field]))
    if schema["type"] in {"integer", "number"}:
        return int(max(schema.get("minimum", 1), 1))
    return False if schema["type"] == "boolean" else "prunier"


def _resolve(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def _alternatives(schema: dict[str, Any]) -> list[dict[str, Any]]:
    among = schema.get("anyOf") or schema.get("oneOf") or []
    return [one for one in among if one.get("type") != "null"]


def _parts(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [*_alternatives(schema), *schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]


def _has_id(schema: dict[str, Any]) -> bool:
    schema = _resolve(schema)
    return schema.get("format") == "uuid" or any(_has_id(part) for part in _parts(schema))


def _count_choices(schema: dict[str, Any]) -> int:
    schema = _resolve(schema)
    return max([len(_alternatives(schema)), 1, *(_count_choices(part) for part in _parts(schema))])

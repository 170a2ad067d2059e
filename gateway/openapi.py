"""One OpenAPI 3.1 document out of the services' own, and the table of who may call what.

`metis openapi` writes the result to gateway/openapi.json; the gateway reads that file and knows no service.
"""

import copy
import json
import re
from collections.abc import Mapping
from typing import Any

from kernel.auth import Role
from kernel.problems import MEDIA_TYPE, PROBLEM_SCHEMA

Document = dict[str, Any]
METHODS = ("get", "put", "post", "patch", "delete")
VERSION = "1.0.0"
_REF = re.compile(r"^#/components/([^/]+)/([^/]+)$")
_TAGS = {
    "registry": "Registre : territoires, communes, acteurs, membres, clients. Registry: who there is.",
    "credits": "Crédits d'expertises : campagnes, promesses, dotations, le grand livre. Credits: the campaign's ledger.",
    "matching": "Mise en relation : besoins, offres, missions, relevés d'heures. Matching: needs, offers and missions.",
    "notifications": "Notifications : courriels, boîte de réception, webhooks. Notifications: what went out.",
}
_DESCRIPTION = """\
Métis porte la « subvention METIS » d'une commune : les crédits d'expertises qui compensent en partie la baisse
d'une subvention, des promesses d'heures jusqu'aux relevés. Toutes les adresses sont sous `/v1/territories/{territory}`,
où `territory` est le code INSEE de la commune (par exemple `92071`). Un programme s'identifie par OAuth 2 (client
credentials) à `POST /oauth/token` et envoie le jeton reçu dans l'en-tête `Authorization`.

Métis runs a town's credit of expertise: hours of skilled volunteering that compensate part of a subsidy cut, from pledges
to timesheets. Every address is below `/v1/territories/{territory}`, where `territory` is the INSEE code of the commune (such as
`92071`). A program signs in with OAuth 2 client credentials at `POST /oauth/token` and sends the token it gets in the
`Authorization` header.

- Lists give one page: `items`, and `next`, the `cursor` of the page after (also in the `Link` header, RFC 8288).
- Writes take an `Idempotency-Key`: the same key and request give the same answer and happen once.
- Edits take `If-Match` with the `ETag` that was read.
- Errors are problem+json (RFC 9457): compare `type`, show `detail`; `errors` points at each faulty field.
- Each answer carries `RateLimit` and `RateLimit-Policy`; 429 adds `Retry-After`.
- `x-scope` and `x-roles` of each operation say who may call it: the token needs the scope, and one of the roles.
"""
# What the gateway itself may answer to any operation, and to those with a body.
_GATEWAY_STATUSES = {"429": "Too many requests", "503": "A part of the platform does not answer", "504": "No answer in time"}
_BODY_STATUSES = {"408": "The body did not arrive in time", "413": "The body is too large"}
_LIMIT_HEADERS = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}},
}


def merge_documents(documents: Mapping[str, Document]) -> Document:
    """One document for the whole public API, from one of FastAPI's for each service.

    Keeps what lives below /v1 and is not `x-internal`. Raises ValueError where two services claim one operation, or an
    operation does not say who may call it.
    """
    merged: Document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Métis",
            "version": VERSION,
            "description": _DESCRIPTION,
            "license": {"name": "EUPL-1.2", "identifier": "EUPL-1.2"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": service, "description": _TAGS.get(service, service)} for service in documents],
        "paths": {},
        "components": {"schemas": {"Problem": copy.deepcopy(PROBLEM_SCHEMA)}},
    }
    for service, document in _with_distinct_components(documents).items():
        for path, item in document.get("paths", {}).items():
            for method, operation in _public_operations(path, item).items():
                _add_operation(merged, _prepare(operation, service=service, path=path, method=method), path=path, method=method)
        _add_components(merged, document.get("components", {}))
    _name_operations(merged)
    _share_problems(merged)
    _drop_unused_components(merged)
    scopes = sorted({operation["x-scope"] for *_, operation in _operations(merged)})
    merged["components"]["securitySchemes"] = {"oauth2": _security_scheme(scopes)}
    return merged


def access_table(document: Document) -> str:
    """Who may call what, as a Markdown table sorted by service, path and method."""
    services = [tag["name"] for tag in document["tags"]]
    rows = sorted(_operations(document), key=lambda row: (services.index(row[2]["x-service"]), row[0], METHODS.index(row[1])))
    lines = ["| Service | Method | Path | Scope | Roles |", "|---|---|---|---|---|"]
    for path, method, operation in rows:
        roles = ", ".join(operation["x-roles"])
        lines.append(f"| {operation['x-service']} | {method.upper()} | `{path}` | `{operation['x-scope']}` | {roles} |")
    return "\n".join(lines) + "\n"


def _operations(document: Document) -> list[tuple[str, str, Document]]:
    return [(path, method, item[method]) for path, item in document["paths"].items() for method in METHODS if method in item]


def _public_operations(path: str, item: Document) -> Document:
    if not path.startswith("/v1/"):
        return {}
    shared = item.get("parameters", [])
    return {
        method: {**item[method], "parameters": [*shared, *item[method].get("parameters", [])]}
        for method in METHODS
        if method in item and not item[method].get("x-internal") and not item.get("x-internal")
    }


def _prepare(operation: Document, *, service: str, path: str, method: str) -> Document:
    scope, roles = operation.get("x-scope"), operation.get("x-roles")
    if not scope or not roles:
        raise ValueError(f"{service}: {method.upper()} {path} does not say who may call it (x-scope, x-roles)")
    security: list[Document] = [{"oauth2": [scope]}]
    if Role.VISITOR in roles:
        security.append({})  # no token is needed
    prepared = {**operation, "x-service": service, "tags": [service], "security": security}
    statuses = _GATEWAY_STATUSES | (_BODY_STATUSES if "requestBody" in operation else {})
    for status, description in statuses.items():
        content = {MEDIA_TYPE: {"schema": copy.deepcopy(PROBLEM_SCHEMA)}}
        prepared["responses"].setdefault(status, {"description": description, "content": content})
    if not prepared["parameters"]:
        del prepared["parameters"]
    return prepared


def _add_operation(merged: Document, operation: Document, *, path: str, method: str) -> None:
    item = merged["paths"].setdefault(path, {})
    if method in item:
        raise ValueError(f"{method.upper()} {path} is served by {item[method]['x-service']} and by {operation['x-service']}")
    item[method] = operation


def _add_components(merged: Document, components: Document) -> None:
    for section, members in components.items():
        if section != "securitySchemes":
            merged["components"].setdefault(section, {}).update(members)


def _security_scheme(scopes: list[str]) -> Document:
    return {
        "type": "oauth2",
        "description": "Client credentials (RFC 6749, section 4.4): HTTP Basic or form, answered with a Bearer token.",
        "flows": {
            "clientCredentials": {"tokenUrl": "/oauth/token", "scopes": {scope: _describe_scope(scope) for scope in scopes}}
        },
    }


def _describe_scope(scope: str) -> str:
    room, _, verb = scope.partition(":")
    return f"{verb} ({room})"


# Components of one name in two services: shared when they mean the same, else renamed.


def _with_distinct_components(documents: Mapping[str, Document]) -> dict[str, Document]:
    clashing = _find_clashes(documents)
    return {service: _rename(document, service=service, names=clashing) for service, document in documents.items()}


def _find_clashes(documents: Mapping[str, Document]) -> set[tuple[str, str]]:
    """The (section, name) pairs that mean different things in different services, or refer to such a pair."""
    meanings: dict[tuple[str, str], list[Document]] = {}
    for document in documents.values():
        for section, members in document.get("components", {}).items():
            for name, member in members.items():
                meanings.setdefault((section, name), []).append(member)
    shared = {pair: members for pair, members in meanings.items() if len(members) > 1}
    clashing = {pair for pair, members in shared.items() if any(member != members[0] for member in members)}
    if "Problem" in {name for section, name in meanings if section == "schemas"}:
        clashing.add(("schemas", "Problem"))  # the merged document has one of its own
    while more := {pair for pair, members in shared.items() if pair not in clashing and _refs(members[0]) & clashing}:
        clashing |= more
    return clashing


def _refs(node: Any) -> set[tuple[str, str]]:
    if isinstance(node, dict):
        found = _REF.match(node["$ref"]) if isinstance(node.get("$ref"), str) else None
        own = {(found[1], found[2])} if found else set()
        return own.union(*(_refs(value) for value in node.values()))
    if isinstance(node, list):
        return set().union(*(_refs(value) for value in node))
    return set()


def _rename(document: Document, *, service: str, names: set[tuple[str, str]]) -> Document:
    def new_name(section: str, name: str) -> str:
        return f"{service.capitalize()}{name}" if (section, name) in names else name

    def walk(node: Any) -> Any:
        if isinstance(node, dict):
            walked = {key: walk(value) for key, value in node.items()}
            if isinstance(node.get("$ref"), str) and (found := _REF.match(node["$ref"])):
                walked["$ref"] = f"#/components/{found[1]}/{new_name(found[1], found[2])}"
            return walked
        return [walk(value) for value in node] if isinstance(node, list) else node

    renamed: Document = walk(document)
    renamed["components"] = {
        section: {new_name(section, name): member for name, member in members.items()}
        for section, members in renamed.get("components", {}).items()
    }
    return renamed


# Making the whole readable


def _name_operations(merged: Document) -> None:
    """Short operation ids, which become method names in generated clients: `write_need`, not FastAPI's path-laden ones."""
    taken: set[str] = set()
    for path, method, operation in _operations(merged):
        suffix = re.sub(r"\W", "_", path) + "_" + method
        name = operation.get("operationId", "").removesuffix(suffix) or suffix.strip("_")
        _summarise(operation, name=name)
        if name in taken:
            name = f"{operation['x-service']}_{name}"
        if name in taken:
            raise ValueError(f"two operations of {operation['x-service']} are called {name}")
        taken.add(name)
        operation["operationId"] = name


def _summarise(operation: Document, *, name: str) -> None:
    """The first line of the docstring as summary, in place of the function's name, which is FastAPI's."""
    first, _, rest = operation.get("description", "").partition("\n")
    if first and operation.get("summary") in {None, name.replace("_", " ").title()}:
        operation["summary"] = first.strip().removesuffix(".")
        operation["description"] = rest.strip()
        if not operation["description"]:
            del operation["description"]


def _share_problems(merged: Document) -> None:
    """Each status's problem answer once, under components/responses."""
    shared: Document = merged["components"].setdefault("responses", {})
    for *_, operation in _operations(merged):
        for status, response in operation["responses"].items():
            if MEDIA_TYPE not in response.get("content", {}):
                continue
            response["content"] = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
            if status in {"429", "503"}:
                response["headers"] = _LIMIT_HEADERS
            name = f"Problem{status}"
            if shared.setdefault(name, response) == response:
                operation["responses"][status] = {"$ref": f"#/components/responses/{name}"}


def _drop_unused_components(merged: Document) -> None:
    """Leave out what only internal operations needed."""
    components: Document = merged["components"]
    used: set[tuple[str, str]] = set()
    waiting = _refs(merged["paths"])
    while waiting:
        used |= waiting
        waiting = set().union(*(_refs(components[section][name]) for section, name in waiting)) - used
    for section in list(components):
        components[section] = {name: components[section][name] for name in sorted(components[section]) if (section, name) in used}
        if not components[section]:
            del components[section]


def dump_document(document: Document) -> str:
    """The document as it is committed: stable order, one change a line."""
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"

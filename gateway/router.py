"""Which operation a request means: the routes of the merged OpenAPI document, and nothing else.

A path is matched on the bytes that came in, and those same bytes go to the service: what was checked is what is
served. Whatever could be read in two ways (encoded slashes, dot segments, empty segments) matches nothing.
"""

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from gateway.errors import MethodNotAllowed
from kernel.auth import Role
from kernel.errors import NotFound
from kernel.routing import TERRITORY_PATTERN

METHODS = ("get", "post", "put", "patch", "delete")
PREFIX = "/v1/territories/{territory}"
_TERRITORY_INDEX = 3  # "", "v1", "territories", "92071"
_PATH = re.compile(rb"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+")  # RFC 3986: non-empty segments of pchar
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_TERRITORY = re.compile(TERRITORY_PATTERN.strip("^$"), re.ASCII)
_CONTROL = re.compile(rb"[\x00-\x1f\x7f/\\]")


@dataclass(frozen=True, eq=False)
class Operation:
    """One method of one path: where it is served and who may call it."""

    service: str
    method: str
    template: str
    scope: str
    roles: frozenset[str]

    @property
    def is_public(self) -> bool:
        """Whether it answers also to who sends no token: what the law has published."""
        return Role.VISITOR in self.roles

    @property
    def name(self) -> str:
        """Its span's name."""
        return f"{self.method} {self.template}"


@dataclass
class _Node:
    literals: dict[bytes, "_Node"] = field(default_factory=dict)
    parameter: "_Node | None" = None
    operations: dict[str, Operation] = field(default_factory=dict)


class RouteTable:
    """Every operation of the public API. Raises ValueError for a document that leaves open who may do what."""

    def __init__(self, document: dict[str, Any], *, services: frozenset[str]) -> None:
        self._root = _Node()
        self.scopes: set[str] = set()
        self.forwarded_headers: set[bytes] = set()
        for template, item in document["paths"].items():
            for method in METHODS:
                if method in item:
                    self._add(_read_operation(template, method, item[method], services=services))
                    self._note_headers([*item.get("parameters", ()), *item[method].get("parameters", ())])

    def find(self, method: str, raw_path: bytes) -> tuple[Operation, str]:
        """The operation and the territory it is about. Raises NotFound, MethodNotAllowed."""
        if not _PATH.fullmatch(raw_path) or (b"%" in raw_path and not _is_plain(raw_path)):
            raise NotFound("This address is not one of the API's; GET /openapi.json lists them.")
        segments = raw_path.split(b"/")
        node: _Node | None = self._root
        for segment in segments[1:]:
            assert node is not None
            known = node.literals.get(segment)
            node = known or (node.parameter if segment not in {b".", b".."} else None)
            if node is None:
                raise NotFound("This address is not one of the API's; GET /openapi.json lists them.")
        assert node is not None
        operation = node.operations.get(method)
        if operation is None:
            raise _refuse_method(method, node)
        territory = segments[_TERRITORY_INDEX].decode("ascii")
        if not _TERRITORY.fullmatch(territory):
            raise NotFound(f"{territory} is not the INSEE code of a commune, such as 92071.")
        return operation, territory

    def _add(self, operation: Operation) -> None:
        node = self._root
        for segment in operation.template.split("/")[1:]:
            if segment.startswith("{"):
                node.parameter = node = node.parameter or _Node()
            else:
                node = node.literals.setdefault(segment.encode("ascii"), _Node())
        if operation.method in node.operations:
            raise ValueError(f"{operation.name} and {node.operations[operation.method].name} are the same address")
        node.operations[operation.method] = operation
        self.scopes.add(operation.scope)

    def _note_headers(self, parameters: list[dict[str, Any]]) -> None:
        self.forwarded_headers.update(
            parameter["name"].lower().encode("ascii") for parameter in parameters if parameter.get("in") == "header"
        )


def _read_operation(template: str, method: str, declared: dict[str, Any], *, services: frozenset[str]) -> Operation:
    place = f"{method.upper()} {template}"
    if template != PREFIX and not template.startswith(PREFIX + "/"):
        raise ValueError(f"{place}: every operation lives below {PREFIX}")
    if not all(re.fullmatch(r"\{[a-z_]+\}|[a-z0-9._-]+", segment) for segment in template.split("/")[1:]):
        raise ValueError(f"{place}: a segment is a plain word or one parameter")
    service, scope, roles = declared.get("x-service"), declared.get("x-scope"), declared.get("x-roles")
    if service not in services or not scope or not roles:
        raise ValueError(f"{place}: x-service, x-scope and x-roles must say who serves it and who may call it")
    return Operation(service, method.upper(), template, scope, frozenset(roles))


def _refuse_method(method: str, node: _Node) -> Exception:
    if not node.operations:
        return NotFound("This address is not one of the API's; GET /openapi.json lists them.")
    allowed = ", ".join(sorted(node.operations))
    return MethodNotAllowed(f"{method} is not possible here; possible: {allowed}.", headers={"allow": allowed})


def _is_plain(raw_path: bytes) -> bool:
    """Whether decoding changes only letters within segments: no new slash, dot segment, control or broken UTF-8."""
    if _BROKEN_ESCAPE.search(raw_path):
        return False
    for segment in raw_path.split(b"/")[1:]:
        decoded = unquote_to_bytes(segment)
        if _CONTROL.search(decoded) or decoded in {b".", b".."}:
            return False
        try:
            decoded.decode("utf-8")
        except UnicodeDecodeError:
            return False
    return True

"""The reference of the events, generated from `kernel.events` (`metis eventdocs`): JSON Schema, AsyncAPI, a table.

The files that are there are the published versions: a version may only gain optional fields, and generating refuses
anything else.
"""

import inspect
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cli.console import CliError

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "events"
SCHEMA_BASE = "https://metis.example/events/"
# Words that change what a schema accepts; titles and descriptions do not.
SHAPE_KEYWORDS = ("type", "format", "enum", "const", "items", "anyOf", "allOf", "oneOf", "$ref", "additionalProperties")


def build_documents() -> dict[str, str]:
    """Every generated file: name and content."""
    from kernel.events import EVENT_TYPES

    schemas = {name: build_schema(event) for name, event in sorted(EVENT_TYPES.items())}
    files = {f"{name}.schema.json": _json(schema) for name, schema in schemas.items()}
    files["asyncapi.json"] = _json(build_asyncapi(schemas))
    files["README.md"] = build_index(schemas)
    return files


def build_schema(event: Any) -> dict[str, Any]:
    """The JSON Schema (2020-12) of one event as it travels: a CloudEvent with our extension attributes."""
    data = event.model_json_schema(mode="serialization")
    definitions = data.pop("$defs", {})
    data.pop("title", None)
    data.pop("description", None)
    text = {"type": "string"}
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{SCHEMA_BASE}{event.event_type}",
        "title": event.__name__,
        "description": _sentence(event),
        "x-subject": _subject(event),
        "x-public": event.public,
        **({"x-inside": sorted(event.inside)} if event.inside else {}),
        "type": "object",
        "required": ["specversion", "id", "source", "type", "time", "subject", "territory", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {**text, "format": "uuid", "description": "Unique: handle each id once."},
            "source": {"const": f"/metis/{event.event_type.partition('.')[0]}"},
            "type": {"const": event.event_type},
            "time": {**text, "format": "date-time"},
            "subject": {**text, "description": f"{_subject(event)} Order is kept per subject."},
            "territory": {**text, "pattern": r"^(\d{2}|2[AB])\d{3}$", "description": "INSEE code of the commune."},
            "traceparent": {**text, "description": "W3C trace context of the deed."},
            "actorid": {**text, "description": "Who did it: an opaque id."},
            "datacontenttype": {"const": "application/json"},
            "data": data,
        },
    }
    return schema | ({"$defs": definitions} if definitions else {})


def _docstring(event: Any) -> str:
    return re.sub(r"\s+", " ", inspect.getdoc(event) or "")


def _sentence(event: Any) -> str:
    return _docstring(event).partition(" Subject:")[0]


def _subject(event: Any) -> str:
    subject = _docstring(event).partition("Subject: ")[2]
    if not subject:
        raise CliError(f"{event.__name__} does not say its subject.", cure="End its docstring with “Subject: ….”")
    return subject[0].upper() + subject[1:]


def build_asyncapi(schemas: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The AsyncAPI 3.0 document: one topic exchange, a message for each type, who sends what."""
    publishers: dict[str, list[str]] = {}
    for name in schemas:
        publishers.setdefault(name.partition(".")[0], []).append(name)
    messages = {name: _message(name, schema) for name, schema in schemas.items()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Métis events",
            "version": "1.0.0",
            "description": "Facts that the services tell each other, and (those tagged `public`) partners by webhook. "
            "CloudEvents 1.0 in JSON, structured mode. Delivery is at least once; order is kept per subject.",
            "license": {"name": "EUPL-1.2", "url": "https://eupl.eu/1.2/en/"},
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": {
            "events": {
                "address": "metis.events",
                "description": "A durable topic exchange; the routing key is the event's type.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in schemas},
                "bindings": {
                    "amqp": {
                        "is": "routingKey",
                        "exchange": {"name": "metis.events", "type": "topic", "durable": True},
                        "bindingVersion": "0.3.0",
                    }
                },
            }
        },
        "operations": {
            f"{publisher}.publish": {
                "action": "send",
                "summary": f"What {publisher} tells.",
                "channel": {"$ref": "#/channels/events"},
                "messages": [{"$ref": f"#/channels/events/messages/{name}"} for name in names],
            }
            for publisher, names in publishers.items()
        },
        "components": {"messages": messages},
    }


def _message(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "title": schema["title"],
        "summary": schema["description"],
        "contentType": "application/cloudevents+json",
        "tags": [{"name": name.partition(".")[0]}, {"name": "public" if schema["x-public"] else "internal"}],
        "payload": {"schemaFormat": "application/schema+json;version=draft-2020-12", "schema": {"$ref": f"./{name}.schema.json"}},
    }


def build_index(schemas: Mapping[str, dict[str, Any]]) -> str:
    """`docs/events/README.md`: one row for each type."""
    lines = [
        "# Events",
        "",
        "Generated by `metis eventdocs` from `kernel/events/`; do not edit. Every event is a CloudEvent 1.0 in JSON with the",
        "attributes `territory`, `traceparent` and `actorid`; the fields below are those of `data`. Public events reach",
        "partners by webhook.",
        "The whole as [AsyncAPI 3.0](asyncapi.json).",
        "",
        "| Type | Meaning | Subject | Publisher | Public | Fields of `data` |",
        "|---|---|---|---|---|---|",
    ]
    for name, schema in schemas.items():
        data = schema["properties"]["data"]
        required = data.get("required", [])
        inside = schema.get("x-inside", [])
        fields = ", ".join(
            f"`{field}`" + ("" if field in required else "?") + ("†" if field in inside else "")
            for field in data.get("properties", {})
        )
        public = "yes" if schema["x-public"] else "no"
        lines.append(
            f"| [`{name}`]({name}.schema.json) | {schema['description']} | {schema['x-subject']} | {name.partition('.')[0]} "
            f"| {public} | {fields} |"
        )
    legend = "A field with `?` is optional. One with † bears a person's own words: partners receive it empty."
    return "\n".join([*lines, "", legend, ""])


def find_breaks(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """How a schema of `data` breaks those who read the one before: anything but an optional field more."""
    old, new = before.get("properties", {}), after.get("properties", {})
    old_required, new_required = set(before.get("required", [])), set(after.get("required", []))
    breaks = [f"the field {name} is gone" for name in old if name not in new]
    breaks += [f"the new field {name} is required" for name in new if name not in old and name in new_required]
    for name in sorted(set(old) & set(new)):
        if _shape(old[name]) != _shape(new[name]):
            breaks.append(f"the field {name} has another type")
        elif (name in old_required) != (name in new_required):
            breaks.append(f"the field {name} is {'now' if name in new_required else 'no longer'} required")
    return breaks


def _shape(schema: Any) -> Any:
    """A schema without its words."""
    if isinstance(schema, dict):
        return {word: _shape(schema[word]) for word in SHAPE_KEYWORDS if word in schema}
    return [_shape(part) for part in schema] if isinstance(schema, list) else schema


def breaks_of(folder: Path, documents: Mapping[str, str]) -> list[str]:
    """Every break between the published files and what the code says now."""
    found = []
    for path in sorted(folder.glob("*.schema.json")):
        if path.name not in documents:
            found.append(f"{path.name}: the published version is no longer in the code")
            continue
        before, after = json.loads(path.read_text()), json.loads(documents[path.name])
        found += [f"{path.name}: {reason}" for reason in find_breaks(before["properties"]["data"], after["properties"]["data"])]
    return found


def write(*, check: bool, allow_breaks: bool, folder: Path = FOLDER) -> list[str]:
    """Generate, or with `check` only compare. Returns the files that changed; raises CliError for breaks or stale files."""
    documents = build_documents()
    breaks = breaks_of(folder, documents)
    if breaks and not allow_breaks:
        raise CliError(
            "A published event version would break those who read it.",
            detail="\n".join(breaks),
            cure="Publish a new version (….v2) beside the old one; --allow-breaks is for versions that nobody has seen yet.",
        )
    extra = [path.name for path in sorted(folder.glob("*.schema.json")) if path.name not in documents]
    stale = [name for name, content in documents.items() if not _is_current(folder / name, content)] + extra
    if check and stale:
        raise CliError("docs/events is stale.", detail="\n".join(stale), cure="Run `metis eventdocs` and commit the result.")
    folder.mkdir(parents=True, exist_ok=True)
    for name in stale:
        if name in documents:
            (folder / name).write_text(documents[name])
        else:
            (folder / name).unlink()
    return stale


def _is_current(path: Path, content: str) -> bool:
    return path.is_file() and path.read_text() == content


def _json(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

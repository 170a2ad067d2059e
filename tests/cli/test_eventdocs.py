"""The reference of the events: current, true to what travels, and only ever gaining optional fields."""

import copy
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from jsonschema import Draft202012Validator

from cli import eventdocs
from cli.console import CliError
from kernel.clock import utc_now
from kernel.events import EVENT_TYPES, credits
from kernel.events.envelope import encode_event

RELEASED = credits.CreditReleased.event_type


class TestWrite:
    def test_the_committed_files_are_current(self) -> None:
        assert eventdocs.write(check=True, allow_breaks=False) == []

    def test_refuses_to_break_a_published_version(self, tmp_path: Path) -> None:
        eventdocs.write(check=False, allow_breaks=False, folder=tmp_path)
        path = tmp_path / f"{RELEASED}.schema.json"
        published = json.loads(path.read_text())
        published["properties"]["data"]["properties"]["gone"] = {"type": "string"}
        path.write_text(json.dumps(published))
        with pytest.raises(CliError) as refusal:
            eventdocs.write(check=False, allow_breaks=False, folder=tmp_path)
        assert "the field gone is gone" in refusal.value.detail
        assert eventdocs.write(check=False, allow_breaks=True, folder=tmp_path) == [path.name]

    def test_says_what_is_stale(self, tmp_path: Path) -> None:
        eventdocs.write(check=False, allow_breaks=False, folder=tmp_path)
        (tmp_path / "README.md").write_text("old")
        with pytest.raises(CliError) as refusal:
            eventdocs.write(check=True, allow_breaks=False, folder=tmp_path)
        assert refusal.value.detail == "README.md"


class TestSchemas:
    def test_accept_an_event_as_it_travels_and_nothing_else(self) -> None:
        schema = json.loads(eventdocs.build_documents()[f"{RELEASED}.schema.json"])
        event = credits.CreditReleased(mission_id=uuid4(), campaign_id=uuid4(), association_id=uuid4(), minutes=60, reason="fin")
        sent = json.loads(
            encode_event(
                event,
                id=uuid4(),
                source="/metis/credits",
                time=utc_now(),
                subject="s",
                territory="92071",
                traceparent=None,
                actorid="x",
            )
        )
        validator = Draft202012Validator(schema)
        assert list(validator.iter_errors(sent)) == []
        assert list(validator.iter_errors(sent | {"type": "credits.other.v1"}))
        assert list(validator.iter_errors(sent | {"data": sent["data"] | {"minutes": "many"}}))

    def test_every_event_has_one_and_the_index_a_row(self) -> None:
        documents = eventdocs.build_documents()
        for name in EVENT_TYPES:
            assert f"{name}.schema.json" in documents
            assert f"[`{name}`]({name}.schema.json)" in documents["README.md"]
        asyncapi = json.loads(documents["asyncapi.json"])
        assert asyncapi["asyncapi"] == "3.0.0"
        assert set(asyncapi["components"]["messages"]) == set(EVENT_TYPES)


def make_schema(**changes: Any) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "properties": {"a": {"type": "string", "title": "A"}, "b": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
        "required": ["a"],
    }
    return copy.deepcopy(schema) | changes


class TestWords:
    # Written by the platform itself, or by the town for everybody.
    FOR_ALL = frozenset({
        ("credits.reservation_refused.v1", "reason"), ("credits.settlement_refused.v1", "reason"), ("credits.campaign_closed.v1", "reason"),
    })  # fmt: skip

    def test_no_public_event_gives_away_what_people_write(self) -> None:
        written = {
            (name, field)
            for name, event in EVENT_TYPES.items()
            for field in event.model_fields
            if event.public and field in {"reason", "reasons", "note", "comment", "text", "description"}
        }
        kept = {(name, field) for name, event in EVENT_TYPES.items() for field in event.inside}
        assert written - kept == self.FOR_ALL


class TestFindBreaks:
    def test_a_new_optional_field_and_other_words_are_safe(self) -> None:
        after = make_schema()
        after["properties"]["c"] = {"type": "string"}
        after["properties"]["a"] = {"type": "string", "title": "Another title", "description": "words"}
        assert eventdocs.find_breaks(make_schema(), after) == []

    @pytest.mark.parametrize(
        ("after", "said"),
        [
            (make_schema(properties={"a": {"type": "string"}}), "b is gone"),
            (make_schema(required=["a", "b"]), "b is now required"),
            (make_schema(required=[]), "a is no longer required"),
            (make_schema(properties={**make_schema()["properties"], "a": {"type": "integer"}}), "a has another type"),
            (make_schema(properties={**make_schema()["properties"], "c": {}}, required=["a", "c"]), "new field c is required"),
        ],
    )
    def test_names_every_break(self, after: dict[str, Any], said: str) -> None:
        (reason,) = eventdocs.find_breaks(make_schema(), after)
        assert said in reason

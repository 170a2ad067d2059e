"""The CloudEvents 1.0 envelope (JSON format) and the base of every event."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError


class Event(BaseModel):
    """A fact that happened. Consumers ignore fields they do not know."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    event_type: ClassVar[str]
    # Whether partners may receive it by webhook. Events with personal data stay inside.
    public: ClassVar[bool] = True
    # Fields with a person's own words: they stay inside, partners receive them empty.
    inside: ClassVar[frozenset[str]] = frozenset()


class MalformedEvent(ValueError):
    """Bytes that are no event of ours; trying again cannot help."""


class Envelope(BaseModel):
    """A CloudEvent with the extension attributes `territory`, `traceparent` and `actorid`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    specversion: str = "1.0"
    id: UUID
    source: str
    type: str
    time: datetime
    subject: str
    territory: str
    traceparent: str | None = None
    actorid: str | None = None
    data: dict[str, Any]
    _body: bytes = PrivateAttr(b"")

    @property
    def body(self) -> bytes:
        """The bytes it travelled in, unchanged: signatures and logs hold for these and no others."""
        return self._body or orjson.dumps(self.model_dump(mode="json", exclude_none=True))

    @classmethod
    def decode(cls, body: bytes) -> "Envelope":
        """Raises MalformedEvent, naming the attribute at fault."""
        try:
            envelope = cls.model_validate(orjson.loads(body))
            envelope._body = body
            return envelope
        except ValidationError as error:
            first = error.errors()[0]
            raise MalformedEvent(f"attribute {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        except ValueError as error:
            raise MalformedEvent(f"not JSON: {error}") from error


def body_for_partners(body: bytes, event: type[Event]) -> bytes:
    """The same event without people's own words: each field that stays inside is there, and empty."""
    if not event.inside:
        return body
    attributes = orjson.loads(body)
    attributes["data"] |= dict.fromkeys(event.inside & attributes["data"].keys(), "")
    return orjson.dumps(attributes)


def encode_event(
    event: Event, *, id: UUID, source: str, time: datetime, subject: str, territory: str, traceparent: str | None, actorid: str
) -> bytes:
    """The bytes that travel: one CloudEvent in JSON (`application/cloudevents+json`)."""
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": id,
        "source": source,
        "type": event.event_type,
        "time": time,
        "subject": subject,
        "territory": territory,
        "actorid": actorid,
        "datacontenttype": "application/json",
        "data": orjson.Fragment(event.model_dump_json()),
    }
    if traceparent:
        attributes["traceparent"] = traceparent
    return orjson.dumps(attributes)

"""The one door to the bus: what the relay and the consumer ask of a transport.

Two transports stand behind it, RabbitMQ (`rabbitmq.py`) and PostgreSQL (`postgres.py`); one suite of
tests (`tests/kernel/bus`) holds both to the same promises.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

EXCHANGE = "metis.events"
EVERYTHING = "#"


def queue_name(service: str) -> str:
    return f"metis.{service}"


def dead_queue_name(service: str) -> str:
    """Where RabbitMQ puts what it has delivered too often; it should stay empty (docs/adr/0002)."""
    return f"{queue_name(service)}.dead"


class TransportLost(Exception):
    """The broker went away, stalled, or cancelled the consumer: subscribe again. Nothing unacknowledged is lost."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An event on its way out of the outbox; `sequence` is its row's."""

    sequence: int
    event_id: UUID
    type: str
    subject: str
    body: bytes
    traceparent: str | None


@dataclass(frozen=True)
class Delivery:
    """An event that arrived. `redelivered`: somebody took it before and never answered."""

    body: bytes
    redelivered: bool
    tag: Any


class Subscription(Protocol):
    async def next_batch(self, limit: int) -> list[Delivery]:
        """Wait for at least one delivery; return those at hand, oldest first, about `limit`. Raises TransportLost."""
        ...

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Say that a whole batch is dealt with. Raises TransportLost."""
        ...


class Transport(Protocol):
    @property
    def system(self) -> str:
        """The `messaging.system` of spans: rabbitmq or postgresql."""
        ...

    @property
    def set_aside(self) -> int | None:
        """How many messages the broker itself has put aside for the subscribed service, as last seen: what was taken again
        and again and never answered. None where a broker does no such thing, or nobody has looked yet."""
        ...

    async def publish(self, messages: Sequence[Outgoing]) -> dict[UUID, str]:
        """Publish and wait for the confirms. Returns the failed ones with a reason each.

        A message reported as failed may arrive all the same; one that is not reported is safe with the broker.
        """
        ...

    def subscribe(self, service: str, patterns: Sequence[str]) -> AbstractAsyncContextManager[Subscription]:
        """Become the one active consumer of the service's queue (others wait); declares and binds it first."""
        ...

    async def close(self) -> None: ...

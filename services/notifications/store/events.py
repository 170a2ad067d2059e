"""The event log: every event as it travelled, for as long as it can be delivered again."""

from collections.abc import Collection, Sequence
from typing import NamedTuple
from uuid import UUID

from kernel.events.envelope import Envelope
from kernel.ids import new_id
from kernel.work import Work
from services.notifications.domain.errands import ErrandKind
from services.notifications.domain.webhooks import EVERYTHING, DeliveryState, WebhookState

# One statement, since it runs for every event of the platform.
_KEEP = """
WITH logged AS (
  INSERT INTO event_log (territory, event_id, type, subject, recorded_at, body) VALUES ($1, $2, $3, $4, $5, $6)
  ON CONFLICT DO NOTHING
), heard_of AS (
  INSERT INTO territory (territory) VALUES ($1) ON CONFLICT DO NOTHING
), announced AS (
  INSERT INTO errand (kind, id, territory, due_at) SELECT $7, $2, $1, $5 WHERE $8 ON CONFLICT DO NOTHING
)
SELECT id, state FROM webhook WHERE event_types && $9
"""
_QUEUE = """
WITH queued AS (
  INSERT INTO delivery (territory, id, webhook_id, event_id, event_type, state, traceparent, created_at)
  SELECT $1, hook.delivery_id, hook.id, $2, $3, $4, $5, $6 FROM unnest($7::uuid[], $8::uuid[]) AS hook (delivery_id, id)
  ON CONFLICT DO NOTHING RETURNING id, webhook_id
)
INSERT INTO errand (kind, id, territory, lane, due_at)
SELECT $9, id, $1, webhook_id, $6 FROM queued WHERE webhook_id = ANY($10::uuid[])
"""
_BODIES = "SELECT body FROM event_log WHERE event_id = ANY($1::uuid[]) ORDER BY event_id"


class Hook(NamedTuple):
    """A webhook that wants an event."""

    id: UUID
    state: str


async def keep_event(work: Work, envelope: Envelope, *, announced: bool, public: bool) -> list[Hook]:
    """Log the event and, if it is announced, ask for that; returns the webhooks that want it."""
    wanted = [envelope.type, EVERYTHING] if public else []
    rows = await work.driver.fetch(
        _KEEP, work.territory, envelope.id, envelope.type, envelope.subject, work.now, envelope.body,
        ErrandKind.ANNOUNCEMENT, announced, wanted,
    )  # fmt: skip
    return [Hook(*row) for row in rows]


async def find_event_body(work: Work, event_id: UUID) -> bytes | None:
    return next(iter(await list_event_bodies(work, [event_id])), None)


async def list_event_bodies(work: Work, event_ids: Collection[UUID]) -> list[bytes]:
    """Of those that are still kept, the oldest first."""
    return [row["body"] for row in await work.driver.fetch(_BODIES, event_ids)]


async def queue_deliveries(work: Work, envelope: Envelope, hooks: Sequence[Hook], *, traceparent: str | None) -> None:
    """One delivery for each webhook. One that is switched off keeps it until it is switched on again."""
    await work.driver.execute(
        _QUEUE, work.territory, envelope.id, envelope.type, DeliveryState.WAITING, traceparent, work.now,
        [new_id() for _ in hooks], [hook.id for hook in hooks],
        ErrandKind.DELIVERY, [hook.id for hook in hooks if hook.state == WebhookState.ACTIVE],
    )  # fmt: skip

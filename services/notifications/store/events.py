"""The event log: every event as it travelled, for as long as it can be delivered again."""

from collections.abc import Sequence
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Text, bindparam, false, insert, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as upsert

from kernel.events.envelope import Envelope
from kernel.ids import new_id
from kernel.work import Work
from services.notifications.domain.errands import ErrandKind
from services.notifications.domain.webhooks import EVERYTHING, DeliveryState, WebhookState
from services.notifications.store.errands import errand_row
from services.notifications.tables import delivery, errand, event_log, territory, webhook


async def keep_event(work: Work, envelope: Envelope, *, announced: bool, public: bool) -> Sequence[Any]:
    """Log the event and, if it is announced, ask for that; returns id and state of the webhooks that want it.

    One statement, built once, since it runs for every event of the platform.
    """
    facts = {
        "event_territory": work.territory,
        "event_id": envelope.id,
        "event_type": envelope.type,
        "event_subject": envelope.subject,
        "event_body": envelope.body,
        "heard_at": work.now,
    }
    wanted = {"wanted": [envelope.type, EVERYTHING]} if public else {}
    rows: Any = await work.connection.execute(_keeping(announced, public), facts | wanted)
    return list(rows)


@cache
def _keeping(announced: bool, public: bool) -> Select[Any]:
    values: dict[str, Any] = {
        "territory": bindparam("event_territory"),
        "event_id": bindparam("event_id"),
        "type": bindparam("event_type"),
        "subject": bindparam("event_subject"),
        "recorded_at": bindparam("heard_at"),
        "body": bindparam("event_body"),
    }
    effects = [
        upsert(event_log).values(values).on_conflict_do_nothing().cte("logged"),
        upsert(territory).values(territory=bindparam("event_territory")).on_conflict_do_nothing().cte("heard_of"),
    ]
    if announced:
        asked = upsert(errand).values(
            kind=ErrandKind.ANNOUNCEMENT.value,
            id=bindparam("event_id"),
            territory=bindparam("event_territory"),
            due_at=bindparam("heard_at"),
            tries=0,
        )
        effects.append(asked.on_conflict_do_nothing().cte("announced"))
    query = select(webhook.c.id, webhook.c.state)
    query = query.where(webhook.c.event_types.overlap(bindparam("wanted", type_=ARRAY(Text))) if public else false())
    for effect in effects:
        query = query.add_cte(effect)
    return query


async def find_event_body(work: Work, event_id: UUID) -> bytes | None:
    body: bytes | None = await work.connection.scalar(select(event_log.c.body).where(event_log.c.event_id == event_id))
    return body


async def queue_deliveries(work: Work, envelope: Envelope, webhooks: Sequence[Any], *, traceparent: str | None) -> None:
    """One delivery for each webhook. One that is switched off keeps it until it is switched on again."""
    made = {new_id(): hook for hook in webhooks}
    rows = [
        {
            "territory": work.territory,
            "id": delivery_id,
            "webhook_id": hook.id,
            "event_id": envelope.id,
            "event_type": envelope.type,
            "state": DeliveryState.WAITING,
            "tries": [],
            "traceparent": traceparent,
            "created_at": work.now,
        }
        for delivery_id, hook in made.items()
    ]
    await work.connection.execute(upsert(delivery).on_conflict_do_nothing(), rows)
    due = [
        errand_row(work, ErrandKind.DELIVERY, delivery_id, lane=hook.id)
        for delivery_id, hook in made.items()
        if hook.state == WebhookState.ACTIVE
    ]
    if due:
        await work.connection.execute(insert(errand), due)

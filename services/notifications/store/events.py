"""The event log: every event as it travelled, for as long as it can be delivered again."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import CTE, false, insert, select
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

    One statement, since it runs for every event of the platform.
    """
    query = select(webhook.c.id, webhook.c.state)
    query = query.where(webhook.c.event_types.overlap([envelope.type, EVERYTHING]) if public else false())
    for effect in _effects(work, envelope, announced=announced):
        query = query.add_cte(effect)
    return (await work.connection.execute(query)).all()


def _effects(work: Work, envelope: Envelope, *, announced: bool) -> list[CTE]:
    logged = upsert(event_log).values(
        territory=work.territory,
        event_id=envelope.id,
        type=envelope.type,
        subject=envelope.subject,
        recorded_at=work.now,
        body=envelope.body,
    )
    effects = [
        logged.on_conflict_do_nothing().cte("logged"),
        upsert(territory).values(territory=work.territory).on_conflict_do_nothing().cte("heard_of"),
    ]
    if announced:
        asked = upsert(errand).values(errand_row(work, ErrandKind.ANNOUNCEMENT, envelope.id))
        effects.append(asked.on_conflict_do_nothing().cte("announced"))
    return effects


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
    await work.connection.execute(upsert(delivery).values(rows).on_conflict_do_nothing())
    due = [
        errand_row(work, ErrandKind.DELIVERY, delivery_id, lane=hook.id)
        for delivery_id, hook in made.items()
        if hook.state == WebhookState.ACTIVE
    ]
    if due:
        await work.connection.execute(insert(errand).values(due))

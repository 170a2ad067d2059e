"""Webhooks and their deliveries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, bindparam, delete, insert, select, update

from kernel.auth import Caller
from kernel.errors import NotFound
from kernel.statements import Prepared
from kernel.work import Work
from services.notifications.domain.webhooks import Delivery, DeliveryState, Webhook, WebhookState
from services.notifications.tables import delivery, event_log, webhook


def list_webhooks(caller: Caller) -> Select[Any]:
    """A partner sees its own, the town sees all."""
    return select(webhook) if caller.is_town else select(webhook).where(webhook.c.client_id == caller.client_id)


async def get_webhook(work: Work, id: UUID) -> Webhook:
    return _found(await _one(work, list_webhooks(work.caller).where(webhook.c.id == id)))


async def find_webhook(work: Work, id: UUID) -> Webhook | None:
    row = await _one(work, select(webhook).where(webhook.c.id == id))
    return webhook_from(row) if row else None


async def lock_webhook(work: Work, id: UUID) -> Webhook:
    """The webhook, held until the commit; of another client it does not exist."""
    query = list_webhooks(work.caller).where(webhook.c.id == id).with_for_update(key_share=True)
    return _found(await _one(work, query))


def _found(row: Any) -> Webhook:
    if row is None:
        raise NotFound("There is no such webhook among those you may see.")
    return webhook_from(row)


async def _one(work: Work, query: Select[Any]) -> Any:
    return (await work.connection.execute(query)).one_or_none()


async def insert_webhook(work: Work, saved: Webhook) -> None:
    await work.connection.execute(insert(webhook).values(territory=work.territory, **_values(saved)))


async def save_webhook(work: Work, saved: Webhook) -> None:
    await work.connection.execute(update(webhook).where(webhook.c.id == saved.id).values(_values(saved)))


async def save_failing_since(work: Work, id: UUID, instant: datetime | None) -> None:
    """Begin or end a time of failure; a time that runs keeps its beginning."""
    change = update(webhook).where(webhook.c.id == id)
    if instant is not None:
        change = change.where(webhook.c.failing_since.is_(None))
    await work.connection.execute(change.values(failing_since=instant))


async def delete_webhook(work: Work, id: UUID) -> None:
    """Its deliveries go with it."""
    await work.connection.execute(delete(webhook).where(webhook.c.id == id))


def _values(saved: Webhook) -> dict[str, Any]:
    return {**vars(saved), "event_types": list(saved.event_types)}


def webhook_from(row: Any) -> Webhook:
    return Webhook(
        id=row.id,
        version=row.version,
        client_id=row.client_id,
        member_id=row.member_id,
        url=row.url,
        event_types=tuple(row.event_types),
        description=row.description,
        state=WebhookState(row.state),
        disabled_reason=row.disabled_reason,
        secret=row.secret,
        previous_secret=row.previous_secret,
        previous_secret_until=row.previous_secret_until,
        failing_since=row.failing_since,
        created_at=row.created_at,
    )


# ---- Deliveries -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parcel:
    """A delivery with all that its posting needs. No `body`: the event is no longer kept."""

    delivery: Delivery
    webhook: Webhook
    body: bytes | None


def list_deliveries(webhook_id: UUID, *, state: DeliveryState | None) -> Select[Any]:
    query = select(delivery).where(delivery.c.webhook_id == webhook_id)
    return query.where(delivery.c.state == state) if state is not None else query


async def has_delivered_since(work: Work, webhook_id: UUID, instant: datetime) -> bool:
    """Whether anything arrived there since then."""
    arrived = select(delivery.c.id).where(delivery.c.webhook_id == webhook_id, delivery.c.delivered_at >= instant)
    return await _one(work, arrived.limit(1)) is not None


async def get_delivery(work: Work, id: UUID) -> Delivery:
    row = await _one(work, select(delivery).where(delivery.c.id == id))
    if row is None:
        raise NotFound("There is no such delivery among those you may see.")
    return delivery_from(row)


_WAITING = {"state": DeliveryState.WAITING, "delivered_at": None}


async def save_undelivered_waiting(work: Work, webhook_id: UUID) -> list[UUID]:
    """Let what waits or failed for good begin anew, however much it is; returns which, the oldest first."""
    undelivered = (delivery.c.webhook_id == webhook_id, delivery.c.state != DeliveryState.DELIVERED)
    changed = await work.connection.execute(update(delivery).where(*undelivered).values(_WAITING).returning(delivery.c.id))
    return sorted(changed.scalars())


async def save_waiting(work: Work, id: UUID) -> None:
    """Let a delivery begin anew; its log of tries stays."""
    await work.connection.execute(update(delivery).where(delivery.c.id == id).values(_WAITING))


_DELIVERY = Prepared(select(delivery).where(delivery.c.id == bindparam("delivery_id")))
_HOOK_AND_BODY = Prepared(
    select(webhook, event_log.c.body)
    .outerjoin(event_log, and_(event_log.c.territory == webhook.c.territory, event_log.c.event_id == bindparam("event_id")))
    .where(webhook.c.id == bindparam("webhook_id"))
)
_SAVE_DELIVERY = Prepared(
    update(delivery).where(delivery.c.id == bindparam("delivery_id")), columns=["delivery_id", "state", "tries", "delivered_at"]
)


async def find_parcel(work: Work, delivery_id: UUID) -> Parcel | None:
    one = (await work.run(_DELIVERY, delivery_id=delivery_id)).one_or_none()
    if one is None:
        return None
    row = (await work.run(_HOOK_AND_BODY, webhook_id=one.webhook_id, event_id=one.event_id)).one_or_none()
    return None if row is None else Parcel(delivery_from(one), webhook_from(row), row.body)


async def save_delivery(
    work: Work, id: UUID, *, state: DeliveryState, tries: Sequence[dict[str, Any]], delivered_at: datetime | None
) -> None:
    await work.run(_SAVE_DELIVERY, delivery_id=id, state=state, tries=list(tries), delivered_at=delivered_at)


def delivery_from(row: Any) -> Delivery:
    return Delivery(
        id=row.id,
        webhook_id=row.webhook_id,
        event_id=row.event_id,
        event_type=row.event_type,
        state=DeliveryState(row.state),
        tries=tuple(row.tries),
        traceparent=row.traceparent,
        created_at=row.created_at,
        delivered_at=row.delivered_at,
    )


async def delete_events_before(work: Work, instant: datetime) -> None:
    """Forget old events and the deliveries of them."""
    await work.connection.execute(delete(delivery).where(delivery.c.created_at < instant))
    await work.connection.execute(delete(event_log).where(event_log.c.recorded_at < instant))

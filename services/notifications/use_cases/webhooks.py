"""What a partner does with its webhooks, and what becomes of deliveries."""

import os
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from kernel.events.notifications import WebhookDisabled
from kernel.ids import new_id
from kernel.routing import check_version
from kernel.work import Work
from services.notifications.domain.errands import Errand, ErrandKind, decide_next_try
from services.notifications.domain.webhooks import (
    ROTATION,
    SECRET_BYTES,
    TRIES_KEPT,
    Delivery,
    DeliveryState,
    EventForgotten,
    Try,
    Webhook,
    WebhookIsOff,
    WebhookState,
    check_url,
    decide_disabling,
    decide_state,
    first_tried_at,
    make_secret,
)
from services.notifications.store import errands, events
from services.notifications.store import webhooks as store
from services.notifications.store.webhooks import Parcel
from services.notifications.use_cases import bells


def _new_secret() -> str:
    return make_secret(os.urandom(SECRET_BYTES))


async def subscribe(work: Work, *, url: str, event_types: Sequence[str], description: str, allow_private: bool) -> Webhook:
    """A new webhook of the calling client. Raises BadInput for a URL that no delivery may go to."""
    check_url(url, allow_private=allow_private)
    webhook = Webhook(
        id=new_id(),
        version=1,
        client_id=work.caller.client_id,
        member_id=work.caller.member_id,
        url=url,
        event_types=tuple(dict.fromkeys(event_types)),
        description=description,
        state=WebhookState.ACTIVE,
        disabled_reason=None,
        secret=_new_secret(),
        previous_secret=None,
        previous_secret_until=None,
        failing_since=None,
        created_at=work.now,
    )
    await store.insert_webhook(work, webhook)
    return webhook


async def edit_webhook(
    work: Work,
    id: UUID,
    *,
    expected_version: int,
    url: str | None,
    event_types: Sequence[str] | None,
    description: str | None,
    allow_private: bool,
) -> Webhook:
    """Change what is given; None leaves a value as it is."""
    webhook = await store.lock_webhook(work, id)
    check_version(webhook.version, expected_version)
    if url is not None:
        check_url(url, allow_private=allow_private)
    edited = replace(
        webhook,
        version=webhook.version + 1,
        url=webhook.url if url is None else url,
        event_types=webhook.event_types if event_types is None else tuple(dict.fromkeys(event_types)),
        description=webhook.description if description is None else description,
    )
    await store.save_webhook(work, edited)
    return edited


async def unsubscribe(work: Work, id: UUID) -> None:
    """Delete a webhook with its deliveries, the waiting ones, too."""
    webhook = await store.lock_webhook(work, id)
    await errands.drop_lane(work, webhook.id)
    await store.delete_webhook(work, webhook.id)


async def rotate_secret(work: Work, id: UUID) -> Webhook:
    """A new secret from now on; the one before signs along for a day, so that the partner can change over."""
    webhook = await store.lock_webhook(work, id)
    rotated = replace(
        webhook,
        version=webhook.version + 1,
        secret=_new_secret(),
        previous_secret=webhook.secret,
        previous_secret_until=work.now + ROTATION,
    )
    await store.save_webhook(work, rotated)
    return rotated


async def activate(work: Work, id: UUID) -> Webhook:
    """Switch a webhook on again, and send what waited or failed. An active one stays as it is."""
    webhook = await store.lock_webhook(work, id)
    if webhook.is_active:
        return webhook
    active = replace(webhook, version=webhook.version + 1, state=WebhookState.ACTIVE, disabled_reason=None, failing_since=None)
    await store.save_webhook(work, active)
    ids = await store.save_undelivered_waiting(work, id)
    await errands.put_errands(work, ErrandKind.DELIVERY, ids, lane=id)
    bells.ring_soon(bells.deliveries_wait)
    return active


async def redeliver(work: Work, delivery_id: UUID) -> Delivery:
    """Send an event once more, under its old id. Raises WebhookIsOff, and EventForgotten after the log's time."""
    delivery = await store.get_delivery(work, delivery_id)
    webhook = await store.lock_webhook(work, delivery.webhook_id)
    if not webhook.is_active:
        raise WebhookIsOff(f"Switch it on first: POST /webhooks/{webhook.id}/activation.")
    if await events.find_event_body(work, delivery.event_id) is None:
        raise EventForgotten("Events are kept for some weeks only; read the present state over the API.")
    await store.save_waiting(work, delivery.id)
    await errands.put_errands(work, ErrandKind.DELIVERY, [delivery.id], lane=webhook.id)
    bells.ring_soon(bells.deliveries_wait)
    return replace(delivery, state=DeliveryState.WAITING, delivered_at=None)


async def record_try(
    work: Work, parcel: Parcel, errand: Errand, attempt: Try, *, delays_seconds: Sequence[float], jitter: float
) -> DeliveryState:
    """Write down a try and what follows: done, another one later, or the end of the webhook's activity."""
    next_try_at = decide_next_try(now=work.now, tries=errand.tries, delays_seconds=delays_seconds, jitter=jitter)
    state = decide_state(attempt, next_try_at=next_try_at)
    tries = [*parcel.delivery.tries, attempt.as_json()][-TRIES_KEPT:]
    delivered_at = work.now if state is DeliveryState.DELIVERED else None
    await store.save_delivery(work, parcel.delivery.id, state=state, tries=tries, delivered_at=delivered_at)
    if state is DeliveryState.WAITING and next_try_at is not None:
        await errands.postpone_errands(work, ErrandKind.DELIVERY, [parcel.delivery.id], until=next_try_at)
    else:
        await errands.finish_errands(work, ErrandKind.DELIVERY, [parcel.delivery.id])
    if attempt.succeeded:
        if parcel.webhook.failing_since is not None:
            await store.save_failing_since(work, parcel.webhook.id, None)
    else:
        await _record_failure(work, parcel, errand, attempt, state)
    return state


async def _record_failure(work: Work, parcel: Parcel, errand: Errand, attempt: Try, state: DeliveryState) -> None:
    webhook = parcel.webhook
    await store.save_failing_since(work, webhook.id, attempt.tried_at)
    since = first_tried_at(parcel.delivery, tries=errand.tries, attempt=attempt)
    others_arrive = state is DeliveryState.FAILED and await store.has_delivered_since(work, webhook.id, since)
    if reason := decide_disabling(webhook, attempt, state, others_arrive=others_arrive):
        await _disable(work, webhook.id, reason)


async def _disable(work: Work, id: UUID, reason: str) -> None:
    webhook = await store.lock_webhook(work, id)
    if not webhook.is_active:
        return
    disabled = replace(webhook, version=webhook.version + 1, state=WebhookState.DISABLED, disabled_reason=reason)
    await store.save_webhook(work, disabled)
    # What waits stays in the deliveries, without an errand, until the webhook is switched on again.
    await errands.drop_lane(work, id)
    work.publish(WebhookDisabled(webhook_id=id, url=webhook.url, reason=reason), subject=id)

"""The public routes of notifications."""

from typing import Annotated, cast
from uuid import UUID

from fastapi import Query, Request, Response

from kernel.auth import EVERYONE, PEOPLE, TOWN, Role
from kernel.paging import OnePage, Page, fetch_page
from kernel.routing import InWork, VersionToEdit, allow, make_router
from services.notifications.domain.messages import EmailState
from services.notifications.domain.people import decide_preferences
from services.notifications.domain.webhooks import DeliveryState, Webhook
from services.notifications.schemas import (
    DeliveryOut,
    EmailOut,
    NoticeOut,
    PreferencesBody,
    PreferencesOut,
    SecretOut,
    WebhookBody,
    WebhookEdit,
    WebhookOut,
)
from services.notifications.settings import Settings
from services.notifications.store import messages, people
from services.notifications.store import webhooks as store
from services.notifications.tables import delivery, email, notice, webhook
from services.notifications.use_cases import inbox, webhooks

router = make_router("notifications")
HOOKS = allow("webhooks:manage", Role.PARTNER, Role.OFFICER)


# ---- Inbox, preferences, e-mails ------------------------------------------------------------------------------------


@router.get("/inbox", **allow("notifications:read", *EVERYONE))
async def list_inbox(
    work: InWork, page: OnePage, unread: Annotated[bool, Query(description="Only what was not read yet.")] = False
) -> Page[NoticeOut]:
    """List the caller's notices, the oldest first."""
    query = messages.list_inbox(work.caller, unread=unread)
    return await fetch_page(work, query, by=notice.c.id, page=page, shape=lambda row: NoticeOut.of(messages.notice_from(row)))


@router.post("/inbox/{id}/reading", **allow("notifications:read", *EVERYONE))
async def read_notice(work: InWork, id: UUID) -> NoticeOut:
    """Mark a notice as read."""
    return NoticeOut.of(await inbox.read_notice(work, id))


@router.get("/preferences", **allow("notifications:read", *PEOPLE))
async def get_preferences(work: InWork) -> PreferencesOut:
    """Show which messages the caller gets, and how."""
    member_id = inbox.require_person(work)
    chosen = decide_preferences(await messages.list_preferences(work, member_id))
    return PreferencesOut.of(member_id, await people.find_member_locale(work, member_id), chosen)


@router.put("/preferences", **allow("notifications:write", *PEOPLE))
async def choose_preferences(work: InWork, body: PreferencesBody) -> PreferencesOut:
    """Choose which messages to get, and how."""
    chosen = await inbox.choose_preferences(work, body.preferences())
    member_id = inbox.require_person(work)
    return PreferencesOut.of(member_id, await people.find_member_locale(work, member_id), chosen)


@router.get("/emails", **allow("notifications:read", *TOWN))
async def list_emails(
    work: InWork, page: OnePage, state: EmailState | None = None, member_id: UUID | None = None, event_type: str | None = None
) -> Page[EmailOut]:
    """List the e-mails of the territory: to whom, about what, and whether they left."""
    query = messages.list_emails(state=state, member_id=member_id, event_type=event_type)
    return await fetch_page(work, query, by=email.c.id, page=page, shape=lambda row: EmailOut.of(messages.email_from(row)))


# ---- Webhooks -------------------------------------------------------------------------------------------------------


@router.post("/webhooks", status_code=201, **HOOKS)
async def subscribe(work: InWork, body: WebhookBody, request: Request, response: Response) -> WebhookOut:
    """Have events posted to a URL; its secret is at /webhooks/{id}/secret."""
    made = await webhooks.subscribe(
        work,
        url=body.url,
        event_types=body.event_types,
        description=body.description,
        allow_private=_settings(request).webhook_allow_private,
    )
    response.headers["Location"] = f"{request.url.path}/{made.id}"
    return _shape(made, response)


@router.get("/webhooks", **HOOKS)
async def list_webhooks(work: InWork, page: OnePage) -> Page[WebhookOut]:
    """List the caller's webhooks; officers see all."""
    query = store.list_webhooks(work.caller)
    return await fetch_page(work, query, by=webhook.c.id, page=page, shape=lambda row: WebhookOut.of(store.webhook_from(row)))


@router.get("/webhooks/{id}", **HOOKS)
async def get_webhook(work: InWork, id: UUID, response: Response) -> WebhookOut:
    """Show a webhook and whether it is switched on."""
    return _shape(await store.get_webhook(work, id), response)


@router.patch("/webhooks/{id}", **HOOKS)
async def edit_webhook(
    work: InWork, id: UUID, body: WebhookEdit, *, version: VersionToEdit, request: Request, response: Response
) -> WebhookOut:
    """Change a webhook's URL, events or description."""
    edited = await webhooks.edit_webhook(
        work,
        id,
        expected_version=version,
        url=body.url,
        event_types=body.event_types,
        description=body.description,
        allow_private=_settings(request).webhook_allow_private,
    )
    return _shape(edited, response)


@router.delete("/webhooks/{id}", status_code=204, **HOOKS)
async def unsubscribe(work: InWork, id: UUID) -> Response:
    """Delete a webhook with its deliveries."""
    await webhooks.unsubscribe(work, id)
    return Response(status_code=204)


@router.get("/webhooks/{id}/secret", **HOOKS)
async def get_secret(work: InWork, id: UUID, response: Response) -> SecretOut:
    """Show the secret that signs deliveries."""
    response.headers["Cache-Control"] = "no-store"
    return SecretOut.of(await store.get_webhook(work, id), work.now)


@router.post("/webhooks/{id}/secret-rotation", **HOOKS)
async def rotate_secret(work: InWork, id: UUID, response: Response) -> WebhookOut:
    """Make a new secret; the one before signs along for 24 hours."""
    return _shape(await webhooks.rotate_secret(work, id), response)


@router.post("/webhooks/{id}/activation", **HOOKS)
async def activate(work: InWork, id: UUID, response: Response) -> WebhookOut:
    """Switch a webhook on again, and send what waited."""
    return _shape(await webhooks.activate(work, id), response)


@router.get("/webhooks/{id}/deliveries", **HOOKS)
async def list_deliveries(work: InWork, id: UUID, page: OnePage, state: DeliveryState | None = None) -> Page[DeliveryOut]:
    """List a webhook's deliveries with every try and its answer."""
    await store.get_webhook(work, id)
    query = store.list_deliveries(id, state=state)
    return await fetch_page(work, query, by=delivery.c.id, page=page, shape=lambda row: DeliveryOut.of(store.delivery_from(row)))


@router.post("/webhook-deliveries/{id}/redelivery", status_code=202, **HOOKS)
async def redeliver(work: InWork, id: UUID) -> DeliveryOut:
    """Send an event once more, under its old id."""
    return DeliveryOut.of(await webhooks.redeliver(work, id))


def _settings(request: Request) -> Settings:
    return cast(Settings, request.app.state.settings)


def _shape(found: Webhook, response: Response) -> WebhookOut:
    response.headers["ETag"] = f'"{found.version}"'
    return WebhookOut.of(found)

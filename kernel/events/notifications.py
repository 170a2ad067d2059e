"""Facts that notifications tells."""

from typing import ClassVar
from uuid import UUID

from kernel.events.envelope import Event


class WebhookDisabled(Event):
    """A partner's endpoint failed for too long and is switched off. Subject: the webhook's id."""

    event_type: ClassVar[str] = "notifications.webhook_disabled.v1"
    public: ClassVar[bool] = False  # a partner's address is no other partner's business
    webhook_id: UUID
    url: str
    reason: str

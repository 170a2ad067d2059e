"""The HTTP shapes of notifications."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from kernel.events import EVENT_TYPES
from services.notifications.domain.messages import Email, EmailState, Notice
from services.notifications.domain.people import Category, Preference
from services.notifications.domain.webhooks import EVERYTHING, Delivery, DeliveryState, Webhook, WebhookState

NO_NUL = r"^[^\x00]*$"
PUBLIC_TYPES = sorted(name for name, event in EVENT_TYPES.items() if event.public)
CHOICES = [EVERYTHING, *PUBLIC_TYPES]


def _is_choice(value: str) -> str:
    if value not in CHOICES:
        raise ValueError(f"is no public event; choose among {', '.join(CHOICES)}")
    return value


Url = Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=NO_NUL)]
Description = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500, pattern=NO_NUL)]
EventType = Annotated[str, AfterValidator(_is_choice), Field(json_schema_extra={"enum": CHOICES})]
EventTypes = Annotated[list[EventType], Field(min_length=1, max_length=100, description="`*` stands for every public event.")]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


# ---- Inbox, preferences, e-mails ------------------------------------------------------------------------------------


class NoticeOut(BaseModel):
    id: UUID
    event_id: UUID
    event_type: str
    category: Category
    subject: str
    body: str
    created_at: datetime
    read_at: datetime | None

    @classmethod
    def of(cls, notice: Notice) -> Self:
        return cls.model_validate(notice, from_attributes=True)


class Channels(Body):
    email: bool = Field(True, description="Send e-mails of this category.")
    inbox: bool = Field(True, description="Put notices of this category into the inbox.")


class PreferencesBody(Body):
    categories: dict[Category, Channels] = Field(description="A category that is left out gets both channels.")

    def preferences(self) -> list[Preference]:
        return [Preference(category, channels.email, channels.inbox) for category, channels in self.categories.items()]


class PreferencesOut(BaseModel):
    member_id: UUID
    locale: str | None = Field(description="Language of the messages; changed in the registry.")
    categories: dict[Category, Channels]

    @classmethod
    def of(cls, member_id: UUID, locale: str | None, preferences: list[Preference]) -> Self:
        channels = {one.category: Channels(email=one.email, inbox=one.inbox) for one in preferences}
        return cls(member_id=member_id, locale=locale, categories=channels)


class EmailOut(BaseModel):
    """What was sent to whom, without its text: that is between the platform and the person."""

    id: UUID
    event_id: UUID
    event_type: str
    category: Category
    member_id: UUID
    locale: str
    subject: str
    state: EmailState
    tries: int
    reason: str | None = Field(description="Why the last try failed.")
    created_at: datetime
    sent_at: datetime | None

    @classmethod
    def of(cls, email: Email) -> Self:
        return cls.model_validate(email, from_attributes=True)


# ---- Webhooks -------------------------------------------------------------------------------------------------------


class WebhookBody(Body):
    url: Url = Field(
        description="Where events are posted to: https, a public address.", examples=["https://partner.example/metis"]
    )
    event_types: EventTypes
    description: Description = ""


class WebhookEdit(Body):
    url: Url | None = None
    event_types: EventTypes | None = None
    description: Description | None = None


class WebhookOut(BaseModel):
    id: UUID
    version: int
    client_id: str
    url: str
    event_types: list[str]
    description: str
    state: WebhookState
    disabled_reason: str | None
    previous_secret_until: datetime | None = Field(description="Until then deliveries bear two signatures.")
    failing_since: datetime | None = Field(description="Since then no delivery succeeded.")
    created_at: datetime

    @classmethod
    def of(cls, webhook: Webhook) -> Self:
        return cls.model_validate(webhook, from_attributes=True)


class SecretOut(BaseModel):
    secret: str = Field(description="Standard Webhooks secret (`whsec_` and base64).")
    previous_secret: str | None = Field(description="The one before, while it still signs along.")
    previous_secret_until: datetime | None

    @classmethod
    def of(cls, webhook: Webhook, now: datetime) -> Self:
        rotating = len(webhook.secrets_at(now)) > 1
        return cls(
            secret=webhook.secret,
            previous_secret=webhook.previous_secret if rotating else None,
            previous_secret_until=webhook.previous_secret_until if rotating else None,
        )


class TryOut(BaseModel):
    tried_at: datetime
    status_code: int | None = Field(description="None: nobody answered.")
    duration_ms: int
    error: str | None
    answer: str = Field(description="The first kilobyte of the answer.")


class DeliveryOut(BaseModel):
    id: UUID
    webhook_id: UUID
    event_id: UUID = Field(description="Sent as `webhook-id`, the same for every try.")
    event_type: str
    state: DeliveryState
    created_at: datetime
    delivered_at: datetime | None
    tries: list[TryOut] = Field(description="The oldest first; the last 30 are kept.")

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        facts: dict[str, Any] = {**vars(delivery), "tries": [TryOut.model_validate(one) for one in delivery.tries]}
        return cls.model_validate({name: value for name, value in facts.items() if name in cls.model_fields})

"""Webhooks of partners: where to, for what, signed how, and when one is switched off.

Signatures follow Standard Webhooks 1.0 (https://www.standardwebhooks.com).
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from kernel.errors import BadInput, Refused
from services.notifications.domain.addresses import is_public_address

EVERYTHING = "*"
SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix, not a secret
SECRET_BYTES = 32
ROTATION = timedelta(hours=24)
LASTING_FAILURE = timedelta(hours=24)
ANSWER_KEPT_BYTES = 1024
TRIES_KEPT = 30


class WebhookState(StrEnum):
    ACTIVE = "active"
    DISABLED = "disabled"


class DeliveryState(StrEnum):
    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"


class WebhookIsOff(Refused):
    code = "webhook-is-off"
    title = "The webhook is switched off"


class EventForgotten(Refused):
    code = "event-forgotten"
    title = "The event is no longer kept"


@dataclass(frozen=True)
class Webhook:
    """One subscription of one client."""

    id: UUID
    version: int
    client_id: str
    member_id: UUID | None
    url: str
    event_types: tuple[str, ...]
    description: str
    state: WebhookState
    disabled_reason: str | None
    secret: str
    previous_secret: str | None
    previous_secret_until: datetime | None
    failing_since: datetime | None
    created_at: datetime

    @property
    def is_active(self) -> bool:
        return self.state is WebhookState.ACTIVE

    def secrets_at(self, now: datetime) -> list[str]:
        """What signs a delivery now: the secret, and during a rotation the one before, too."""
        if self.previous_secret and self.previous_secret_until and now < self.previous_secret_until:
            return [self.secret, self.previous_secret]
        return [self.secret]


@dataclass(frozen=True)
class Try:
    """One try to deliver, and what came of it. No `status_code`: nobody answered."""

    tried_at: datetime
    status_code: int | None
    duration_ms: int
    error: str | None
    answer: str = ""

    @property
    def succeeded(self) -> bool:
        return self.status_code is not None and 200 <= self.status_code < 300

    @property
    def is_gone(self) -> bool:
        """The partner asks for no more (410 Gone)."""
        return self.status_code == 410

    def as_json(self) -> dict[str, Any]:
        return {
            "tried_at": self.tried_at.isoformat(),
            "status_code": self.status_code,
            "duration_ms": self.duration_ms,
            "error": self.error,
            "answer": self.answer,
        }


@dataclass(frozen=True)
class Delivery:
    """One event for one webhook."""

    id: UUID
    webhook_id: UUID
    event_id: UUID
    event_type: str
    state: DeliveryState
    tries: tuple[dict[str, Any], ...]
    traceparent: str | None
    created_at: datetime
    delivered_at: datetime | None


def make_secret(entropy: bytes) -> str:
    """A secret as partners' libraries read it."""
    if len(entropy) != SECRET_BYTES:
        raise ValueError(f"a secret takes {SECRET_BYTES} random bytes")
    return SECRET_PREFIX + base64.b64encode(entropy).decode()


def sign(secrets: Sequence[str], *, message_id: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` header: one `v1` signature for each secret, the partner accepts any."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return " ".join(
        "v1,"
        + base64.b64encode(hmac.digest(base64.b64decode(secret.removeprefix(SECRET_PREFIX)), signed, hashlib.sha256)).decode()
        for secret in secrets
    )


def check_url(url: str, *, allow_private: bool) -> None:
    """Refuse a URL that no delivery could go to. What its name resolves to is checked at each delivery."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise BadInput.at("/url", f"is no URL: {error}") from error
    if any(ord(character) <= 32 or ord(character) == 127 or character == "\\" for character in url):
        raise BadInput.at("/url", "must not hold spaces, backslashes or control characters; percent-encode them")
    if parts.scheme not in ({"https", "http"} if allow_private else {"https"}):
        raise BadInput.at("/url", "must begin with https://")
    if not host or len(host) > 253:
        raise BadInput.at("/url", "must name a host, e.g. https://partner.example/hooks")
    if parts.username is not None or parts.password is not None:
        raise BadInput.at("/url", "must not hold a user name or password; verify the signature instead")
    if parts.fragment:
        raise BadInput.at("/url", "must not hold a fragment (#…)")
    if not allow_private and _is_surely_private(host):
        raise BadInput.at("/url", "must lead to a public address; this one is private")


def _is_surely_private(host: str) -> bool:
    """Whether the host itself, unresolved, says that it is not public."""
    bare = host.rstrip(".")
    looks_like_address = ":" in bare or bare.rpartition(".")[2].isdigit() or bare.rpartition(".")[2].startswith("0x")
    if looks_like_address:
        return not is_public_address(bare)
    return "." not in bare or bare.endswith((".localhost", ".local", ".internal", ".home.arpa"))


def decide_state(attempt: Try, *, next_try_at: datetime | None) -> DeliveryState:
    """What a try makes of its delivery: delivered, or waiting for the next try, or failed when there is none."""
    if attempt.succeeded:
        return DeliveryState.DELIVERED
    return DeliveryState.WAITING if next_try_at is not None and not attempt.is_gone else DeliveryState.FAILED


def first_tried_at(delivery: Delivery, *, tries: int, attempt: Try) -> datetime:
    """When the `tries` tries began of which `attempt` is the last. Tries before those are of an earlier sending, which a
    redelivery took up again; of one that ended its process nothing is written."""
    earlier = delivery.tries[-(tries - 1) :] if tries > 1 else ()
    if earlier:
        return datetime.fromisoformat(earlier[0]["tried_at"])
    return attempt.tried_at if tries <= 1 else delivery.created_at


def decide_disabling(webhook: Webhook, attempt: Try, state: DeliveryState, *, others_arrive: bool) -> str | None:
    """The reason (French, for people) to switch the webhook off after a failed try, or None to keep it on.

    `others_arrive`: something was delivered to it since this delivery's first try. A partner that refuses one event only
    keeps all the others; that one stays failed in its deliveries.
    """
    if attempt.is_gone:
        return "Le partenaire a répondu « 410 Gone » : il ne veut plus rien recevoir."
    last = f"Dernière réponse : {attempt.error or 'aucune'}."
    if others_arrive:
        return None
    if state is DeliveryState.FAILED:
        return f"Un envoi a échoué à chacune de ses tentatives, et aucun autre n’a réussi depuis la première. {last}"
    if webhook.failing_since is not None and attempt.tried_at - webhook.failing_since >= LASTING_FAILURE:
        return f"Aucun envoi n’a réussi depuis 24 heures. {last}"
    return None

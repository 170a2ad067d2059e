"""What is told: letters, and the notices and e-mails made of them."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from services.notifications.domain.people import Category

# An e-mail that found no server for so long would surprise more than it helps.
STALE_AFTER = timedelta(hours=24)

_ATOM = r'[^\s\x00-\x1f\x7f-\x9f()<>\[\]:;@\\,."]+'
_ADDRESS = re.compile(rf"{_ATOM}(\.{_ATOM})*@{_ATOM}(\.{_ATOM})*")


def is_address(text: str) -> bool:
    """Whether a text is an e-mail address of the usual form (RFC 5322 dot-atoms, with letters of all scripts: RFC 6532).

    Quoted local parts and numeric domains, which the registry does not take either, are none.
    """
    return len(text) <= 254 and _ADDRESS.fullmatch(text) is not None


class EmailState(StrEnum):
    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True)
class Letter:
    """A text for one reader, in their language."""

    subject: str
    body: str


@dataclass(frozen=True)
class Notice:
    """A letter in the inbox of a member or, for what concerns a program, of a client."""

    id: UUID
    event_id: UUID
    event_type: str
    category: Category
    member_id: UUID | None
    client_id: str | None
    subject: str
    body: str
    created_at: datetime
    read_at: datetime | None = None


@dataclass(frozen=True)
class Email:
    """A letter on its way to an address."""

    id: UUID
    event_id: UUID
    event_type: str
    category: Category
    member_id: UUID
    name: str
    address: str
    locale: str
    subject: str
    body: str
    traceparent: str | None
    created_at: datetime
    state: EmailState = EmailState.WAITING
    tries: int = 0
    reason: str | None = None
    sent_at: datetime | None = None

    def is_stale(self, now: datetime) -> bool:
        """Whether it never had a try and waited too long for one."""
        return self.tries == 0 and now - self.created_at > STALE_AFTER

"""Errands: things to do at a time, tried again with growing pauses until they are done or given up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

JITTER = (0.8, 1.2)


class ErrandKind(StrEnum):
    ANNOUNCEMENT = "announcement"  # an event to tell people of; its id is the event's
    EMAIL = "email"
    DELIVERY = "delivery"  # an event to post to a webhook


@dataclass(frozen=True)
class Errand:
    """One thing to do, taken by a sender. `tries` counts the one under way."""

    kind: ErrandKind
    id: UUID
    territory: str
    tries: int
    lane: UUID | None = None


def decide_next_try(*, now: datetime, tries: int, delays_seconds: Sequence[float], jitter: float) -> datetime | None:
    """When to try again after `tries` tries, or None when all are spent.

    `jitter` (within `JITTER`) spreads what failed together, so that it does not come back together.
    """
    if not 1 <= tries <= len(delays_seconds):
        return None
    return now + timedelta(seconds=delays_seconds[tries - 1] * jitter)


def is_exhausted(tries: int, delays_seconds: Sequence[float]) -> bool:
    """Whether more tries began than there are to be had: each of the last ones ended the process that made it."""
    return tries > len(delays_seconds) + 1


ENDED_THE_PROCESS = "Each try ended the process before its result was known."

"""The one place that reads the time."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

Clock = Callable[[], datetime]

# The towns of metropolitan France share one zone; an overseas town is why this is a parameter below.
LOCAL_ZONE = ZoneInfo("Europe/Paris")


def utc_now() -> datetime:
    return datetime.now(UTC)


def local_date(instant: datetime, *, zone: ZoneInfo = LOCAL_ZONE) -> date:
    """The calendar day of an instant where the territory lives: days are local, instants are UTC."""
    return instant.astimezone(zone).date()

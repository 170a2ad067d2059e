"""Figures as people write them in French."""

from collections.abc import Sequence
from datetime import date

_MONTHS = (
    "janvier", "février", "mars", "avril", "mai", "juin",
    "juillet", "août", "septembre", "octobre", "novembre", "décembre",
)  # fmt: skip


def write_hours(minutes: int) -> str:
    """“6 h”, “1 h 30”, “45 min”."""
    hours, rest = divmod(minutes, 60)
    if not hours:
        return f"{rest} min"
    return f"{hours} h {rest:02d}" if rest else f"{hours} h"


def write_distance(distance_km: float) -> str:
    """“1,4 km”; whole kilometres from 10 km on."""
    return f"{distance_km:.0f} km" if distance_km >= 10 else f"{distance_km:.1f} km".replace(".", ",")


def write_day(day: date, *, with_year: bool = True) -> str:
    number = "1er" if day.day == 1 else str(day.day)
    return f"{number} {_MONTHS[day.month - 1]}" + (f" {day.year}" if with_year else "")


def write_period(first: date, last: date) -> str:
    """“le 3 mars 2026”, “du 1er mars au 14 avril 2026”."""
    if first == last:
        return f"le {write_day(first)}"
    return f"du {write_day(first, with_year=first.year != last.year)} au {write_day(last)}"


def count(number: int, singular: str, plural: str | None = None) -> str:
    """“1 compétence commune”, “2 compétences communes” (French: zero is singular)."""
    return f"{number} {singular if number < 2 else plural or singular + 's'}"


def enumerate_labels(labels: Sequence[str]) -> str:
    return ", ".join(labels)

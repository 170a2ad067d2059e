"""Figures as people write them in French."""

from collections.abc import Iterable, Sequence
from datetime import date

from services.matching.domain.week import WHOLE_WEEK

_MONTHS = (
    "janvier", "février", "mars", "avril", "mai", "juin",
    "juillet", "août", "septembre", "octobre", "novembre", "décembre",
)  # fmt: skip
_DAYS = ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche")
_PARTS = ("matin", "après-midi", "soir")
_LANGUAGES = {
    "ar": "arabe", "de": "allemand", "en": "anglais", "es": "espagnol", "fa": "persan", "fr": "français", "it": "italien",
    "nl": "néerlandais", "pl": "polonais", "pt": "portugais", "ro": "roumain", "ru": "russe", "tr": "turc", "uk": "ukrainien",
    "vi": "vietnamien", "wo": "wolof", "zh": "chinois",
}  # fmt: skip


def write_hours(minutes: int) -> str:
    """“6 h”, “1 h 30”, “45 min”."""
    hours, rest = divmod(minutes, 60)
    if not hours:
        return f"{rest} min"
    return f"{hours} h {rest:02d}" if rest else f"{hours} h"


def write_distance(distance_km: float) -> str:
    """“1,4 km”; whole kilometres from 10 km on."""
    return f"{distance_km:.0f} km" if distance_km >= 10 else f"{distance_km:.1f} km".replace(".", ",")


def write_period(first: date, last: date) -> str:
    """“le 3 mars 2026”, “du 3 au 9 mars 2026”, “du 1er mars au 14 avril 2026”; the parts both ends share are said once."""
    if first == last:
        return f"le {_write_day(first)} {_MONTHS[first.month - 1]} {first.year}"
    start = _write_day(first)
    if (first.year, first.month) != (last.year, last.month):
        start += f" {_MONTHS[first.month - 1]}"
    if first.year != last.year:
        start += f" {first.year}"
    return f"du {start} au {_write_day(last)} {_MONTHS[last.month - 1]} {last.year}"


def _write_day(day: date) -> str:
    return "1er" if day.day == 1 else str(day.day)


def count(number: int, singular: str, plural: str | None = None) -> str:
    """“1 compétence commune”, “2 compétences communes” (French: zero is singular)."""
    return f"{number} {singular if number < 2 else plural or singular + 's'}"


def enumerate_labels(labels: Sequence[str]) -> str:
    return ", ".join(labels)


def write_week(mask: int) -> str:
    """“lundi matin et soir, samedi”; a day named alone is the whole day."""
    if mask == WHOLE_WEEK:
        return "toute la semaine"
    days = []
    for number, day in enumerate(_DAYS):
        parts = [name for part, name in enumerate(_PARTS) if mask >> (3 * number + part) & 1]
        if parts:
            days.append(day if len(parts) == len(_PARTS) else f"{day} {' et '.join(parts)}")
    return ", ".join(days) or "aucun moment"


def write_languages(codes: Iterable[str]) -> str:
    """French names where we know them, else the codes."""
    return ", ".join(_LANGUAGES.get(code, code) for code in codes)

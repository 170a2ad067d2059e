"""Letters: what an event says to one reader, in their language (`templates/<locale>/<event>.txt`).

Each template extends its locale's `layout.txt` and fills the blocks `subject`, `body` and `next` (the clear next step).
"""

import re
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.notifications.domain.messages import Letter

LOCALES = ("fr", "en")
NO_BREAK = "\u00a0"
_MONTHS = {
    "fr": [
        "janvier",
        "février",
        "mars",
        "avril",
        "mai",
        "juin",
        "juillet",
        "août",
        "septembre",
        "octobre",
        "novembre",
        "décembre",
    ],
    "en": [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ],
}


def hours(minutes: int, locale: str) -> str:
    """Minutes as people read them: 90 -> « 1 h 30 », "1 h 30 min"."""
    whole, rest = divmod(abs(minutes), 60)
    tail = "" if locale == "fr" else f"{NO_BREAK}min"
    if not whole:
        text = f"{rest}{NO_BREAK}min"
    elif not rest:
        text = f"{whole}{NO_BREAK}h"
    else:
        text = f"{whole}{NO_BREAK}h{NO_BREAK}{rest:02d}{tail}"
    return f"-{text}" if minutes < 0 else text


def day(when: date, locale: str) -> str:
    """A day as people read it: « 1er mars 2026 », "1 March 2026"."""
    number = "1er" if when.day == 1 and locale == "fr" else str(when.day)
    return f"{number}{NO_BREAK}{_MONTHS[locale][when.month - 1]} {when.year}"


def one_line(text: str, *, length: int = 180) -> str:
    """A text without line breaks or control characters: nothing of it can end a header."""
    line = re.sub(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+", " ", text).strip()
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


@cache
def _environment(locale: str) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates" / locale),
        autoescape=False,  # noqa: S701 - plain text: nothing here is read as markup
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["hours"] = lambda minutes: hours(minutes, locale)
    environment.filters["day"] = lambda when: day(when, locale)
    return environment


def template_name(event_type: str) -> str:
    """`matching.mission_proposed.v1` -> `mission_proposed.txt`."""
    return event_type.split(".")[1] + ".txt"


def write_letter(event_type: str, *, locale: str, **facts: Any) -> Letter:
    """The letter for one reader. Facts: `event`, `you` (audience), `person`, `names`, `category`."""
    template = _environment(locale if locale in LOCALES else LOCALES[0]).get_template(template_name(event_type))
    subject = "".join(template.blocks["subject"](template.new_context(facts)))
    body = re.sub(r"\n{3,}", "\n\n", template.render(facts)).strip()
    return Letter(one_line(subject), body.replace("\x00", "") + "\n")

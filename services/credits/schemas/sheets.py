"""Tables for spreadsheets, and for machines.

For people: semicolons, decimal commas, days as 22/11/2026 and a byte order mark. A French Excel takes the semicolon as its
separator because the comma is its decimal sign; without the mark it reads UTF-8 as Windows-1252.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from fastapi import Response

from kernel.clock import LOCAL_ZONE

CSV = "text/csv"
# A cell that begins so is a formula to a spreadsheet; what people wrote must stay text (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def build_sheet(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table for a French spreadsheet; None is an empty cell, numbers stay numbers."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=";", lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return "\ufeff" + out.getvalue()


def build_plain_csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Commas, no mark: what machines read (RFC 4180)."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, str) and not isinstance(value, Number) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def day_text(instant: datetime) -> str:
    return f"{instant.astimezone(LOCAL_ZONE):%d/%m/%Y}"


def instant_text(instant: datetime) -> str:
    return f"{instant.astimezone(LOCAL_ZONE):%d/%m/%Y %H:%M:%S}"


class Number(str):
    """A number already written: its minus begins no formula."""

    __slots__ = ()


def hours_number(minutes: int) -> Number:
    """Decimal hours as a spreadsheet adds them up: 90 minutes are 1,5."""
    return Number(decimal_comma(minutes, 60))


def euros_number(cents: int) -> Number:
    return Number(decimal_comma(cents, 100))


def decimal_comma(value: int, unit: int) -> str:
    """value ÷ unit to the second decimal, half away from zero; 2,25."""
    whole, rest = divmod((abs(value) * 200 // unit + 1) // 2, 100)
    decimals = f"{rest:02d}".rstrip("0")
    return f"{'-' if value < 0 and (whole or rest) else ''}{whole}" + (f",{decimals}" if decimals else "")


def attachment(content: str | bytes, *, media_type: str, name: str) -> Response:
    """A file to keep, of that name."""
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    return Response(content, media_type=media_type, headers=headers)


def documented(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that can answer in these, too."""
    return {200: {"content": {media_type: {"schema": {"type": "string"}} for media_type in media_types}}}

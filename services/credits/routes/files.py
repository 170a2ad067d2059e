"""Answers that are files: PDF and CSV, with their media types in the OpenAPI document."""

import csv
import io
from collections.abc import Iterable, Sequence

from starlette.responses import Response

# What a spreadsheet would read as a formula is made text by an apostrophe before it.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class PdfResponse(Response):
    media_type = "application/pdf"


class CsvResponse(Response):
    media_type = "text/csv"
    charset = "utf-8"


def pdf_response(content: bytes, *, name: str) -> PdfResponse:
    return PdfResponse(content, headers={"content-disposition": f'inline; filename="{name}.pdf"'})


def csv_response(header: Sequence[str], rows: Iterable[Sequence[object]], *, name: str) -> CsvResponse:
    """As French spreadsheets open it: semicolons, UTF-8 with a byte order mark."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=";", lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return CsvResponse(text.getvalue().encode("utf-8-sig"), headers={"content-disposition": f'attachment; filename="{name}.csv"'})


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return "'" + text if text.startswith(_FORMULA) else text

"""Answers that are files: PDF and CSV, with their media types in the OpenAPI document."""

from collections.abc import Iterable, Sequence

from starlette.responses import Response

from services.credits.schemas.sheets import build_sheet


class PdfResponse(Response):
    media_type = "application/pdf"


class CsvResponse(Response):
    media_type = "text/csv"
    charset = "utf-8"


def pdf_response(content: bytes, *, name: str) -> PdfResponse:
    return PdfResponse(content, headers={"content-disposition": f'inline; filename="{name}.pdf"'})


def csv_response(header: Sequence[str], rows: Iterable[Sequence[object]], *, name: str) -> CsvResponse:
    """As French spreadsheets open it."""
    return CsvResponse(build_sheet(header, rows), headers={"content-disposition": f'attachment; filename="{name}.csv"'})

"""The public rules, the equity of proposals, and what people answered to them, over HTTP."""

import csv
import io
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import Query, Request
from fastapi.responses import HTMLResponse, Response

from kernel.auth import EVERYONE, TOWN, Role
from kernel.routing import InWork, allow, make_router
from services.matching.engine.explaining.equity import CSV_HEADER, list_rows, render_equity
from services.matching.engine.explaining.public_rules import render_rules
from services.matching.routes.explaining import PAGE, PAGE_HEADERS, find_contact
from services.matching.schemas.reports import NOTE, AnswersOut, EquityOut, FeedbackOut
from services.matching.use_cases import reports as use_cases

router = make_router("reports")
ANYBODY = (*EVERYONE, Role.VISITOR)  # the law has these rules published: no token is asked for
Since = Annotated[date | None, Query(description="First day; a year before `until` unless given.")]
Until = Annotated[date | None, Query(description="Last day; today unless given.")]


@router.get("/matching/rules", **allow("matching:read", *ANYBODY))
async def read_rules(work: InWork, request: Request) -> dict[str, Any]:
    """Read the rules of matching as they run here (CRPA art. L. 312-1-3). Public: no token is needed."""
    return await use_cases.read_rules(work, contact=find_contact(request))


@router.get("/matching/rules/page", **PAGE, **allow("matching:read", *ANYBODY))
async def show_rules(work: InWork, request: Request) -> HTMLResponse:
    """Show the rules of matching as a page in French. Public: no token is needed."""
    return HTMLResponse(render_rules(await use_cases.read_rules(work, contact=find_contact(request))), headers=PAGE_HEADERS)


@router.get(
    "/matching/equity",
    response_model=EquityOut,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
    **allow("matching:read", *TOWN, Role.AUDITOR),
)
async def read_equity(
    work: InWork, since: Since = None, until: Until = None, format: Annotated[Literal["json", "csv"], Query()] = "json"
) -> EquityOut | Response:
    """Read the rates of proposals by size and field of associations, with intervals; small groups are hidden."""
    equity, _ = await use_cases.read_equity(work, since=since, until=until)
    if format == "json":
        return EquityOut.of(equity)
    text = io.StringIO()
    writer = csv.writer(text, delimiter=";")
    writer.writerow(CSV_HEADER)
    writer.writerows([_guard(cell) for cell in row] for row in list_rows(equity))
    headers = {"content-disposition": 'attachment; filename="equite.csv"'}
    return Response(text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/matching/equity/page", **PAGE, **allow("matching:read", *TOWN, Role.AUDITOR))
async def show_equity(work: InWork, since: Since = None, until: Until = None) -> HTMLResponse:
    """Show the rates of proposals as a page in French, with bars and tables."""
    equity, town = await use_cases.read_equity(work, since=since, until=until)
    return HTMLResponse(render_equity(equity, town=town), headers=PAGE_HEADERS)


@router.get("/matching/feedback", **allow("matching:read", *TOWN, Role.AUDITOR))
async def read_feedback(work: InWork) -> FeedbackOut:
    """Read the yes and no to proposals, counted by criterion and side, beside the weights that made them."""
    return FeedbackOut(note=NOTE, versions=[AnswersOut.of(found) for found in await use_cases.read_feedback(work)])


def _guard(cell: object) -> object:
    """A text that a spreadsheet would take for a formula is made a text again."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in "=+-@\t\r" else cell

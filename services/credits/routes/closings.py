"""The close of a campaign, step by step, and its signed report."""

import asyncio
from typing import Annotated, Literal, cast
from uuid import UUID

from fastapi import Path, Query, Request, Response

from kernel.auth import TOWN, Role
from kernel.paging import OnePage, Page, fetch_page
from kernel.routing import InWork, allow, make_router
from kernel.work import Work
from services.credits.clients.typst import render_pdf
from services.credits.domain.closings import Closing, Step
from services.credits.routes.access import CONCERNED, only_own
from services.credits.schemas.closing_documents import build_report_document, build_report_sheet
from services.credits.schemas.closings import (
    ClosingOut,
    ClosingPreviewOut,
    ClosingStatementOut,
    ReportOut,
    ReportSummary,
    SignatureBody,
    StepBody,
)
from services.credits.schemas.fields import ReasonBody
from services.credits.schemas.sheets import CSV, attachment, documented
from services.credits.settings import Settings
from services.credits.store import campaigns, registry
from services.credits.store import closings as store
from services.credits.tables import closing_statement
from services.credits.use_cases import closing_reports, closings

router = make_router("credits")
PDF = "application/pdf"
Number = Annotated[int, Path(ge=0, le=10_000, description="0 is the report, those after it are addenda.")]


def _grace_days(request: Request) -> int:
    return cast(Settings, request.app.state.settings).hold_grace_days


async def _shape(work: Work, found: Closing) -> ClosingOut:
    reports = await store.list_reports(work, found.campaign_id)
    movements = await closing_reports.list_movements(work, reports[-1]) if reports else []
    return ClosingOut.of(found, reports=reports, movements=len(movements))


@router.get("/campaigns/{id}/closing/preview", **allow("credits:read", *TOWN, Role.AUDITOR))
async def get_preview(work: InWork, id: UUID, request: Request) -> ClosingPreviewOut:
    """See all that closing would do now, and what stands in its way. The transaction is read-only: nothing is written."""
    campaign, plan, findings = await closings.preview_closing(work, id, grace_days=_grace_days(request))
    holders = {key.holder_id for key in plan.before}
    names = {actor_id: actor.name for actor_id, actor in (await registry.find_actors(work, holders)).items()}
    return ClosingPreviewOut.of(campaign, plan, findings, names=names)


@router.post("/campaigns/{id}/closing", status_code=201, **allow("credits:write", Role.OFFICER))
async def post_closing(work: InWork, id: UUID, body: ReasonBody) -> ClosingOut:
    """Begin to close a campaign: nothing happens yet but that the steps may be run. Repeated, it changes nothing."""
    return await _shape(work, await closings.begin_closing(work, id, reason=body.reason))


@router.get("/campaigns/{id}/closing", **allow("credits:read", *TOWN, Role.AUDITOR))
async def get_closing(work: InWork, id: UUID) -> ClosingOut:
    """Read how far the close is: each step's state, by whom and when, what stands in the way, and what to do next."""
    await campaigns.get_campaign(work, id)
    return await _shape(work, await store.get_closing(work, id))


@router.post("/campaigns/{id}/closing/steps/{step}", **allow("credits:write", Role.OFFICER))
async def post_step(work: InWork, id: UUID, step: Step, body: StepBody, request: Request) -> ClosingOut:
    """Run a step; one that is done is not done again. A step that is blocked says why and what to do, and is run again then."""
    await campaigns.get_campaign(work, id)
    found = await closings.run_step(work, id, step, accept=body.accept, grace_days=_grace_days(request))
    return await _shape(work, found)


@router.get("/campaigns/{id}/closing/reports", **allow("credits:read", *TOWN, Role.AUDITOR))
async def get_reports(work: InWork, id: UUID) -> list[ReportSummary]:
    """List the report and its addenda with their digests and signatures."""
    await campaigns.get_campaign(work, id)
    return [ReportSummary.of(report) for report in await store.list_reports(work, id)]


@router.get(
    "/campaigns/{id}/closing/reports/{number}",
    response_model=ReportOut,
    responses=documented(CSV, PDF),
    **allow("credits:read", *TOWN, Role.AUDITOR),
)
async def get_report(
    work: InWork,
    id: UUID,
    number: Number,
    *,
    format: Annotated[Literal["json", "csv", "pdf"], Query(description="csv and pdf are for people.")] = "json",
) -> ReportOut | Response:
    """Read the report (0) or an addendum as it was drawn up: as data, as a sheet or as a document."""
    campaign = await campaigns.get_campaign(work, id)
    report = await store.get_report(work, id, number)
    name = f"cloture-{campaign.ref}-{number}".replace(":", "-")
    if format == "csv":
        return attachment(build_report_sheet(report), media_type=CSV, name=f"{name}.csv")
    if format == "pdf":
        made_at = report.signed_at or report.drawn_up_at
        pdf = await asyncio.to_thread(render_pdf, "closing_report.typ", build_report_document(report), made_at=made_at)
        return attachment(pdf, media_type=PDF, name=f"{name}.pdf")
    return ReportOut.of(report)


@router.post("/campaigns/{id}/closing/addenda", status_code=201, **allow("credits:write", Role.OFFICER))
async def post_addendum(work: InWork, id: UUID) -> ReportSummary:
    """Draw up an addendum: what moved since the last signed report, when a mission that kept its hold came to its end."""
    await campaigns.get_campaign(work, id)
    return ReportSummary.of(await closing_reports.draw_up_addendum(work, id))


@router.post("/campaigns/{id}/closing/reports/{number}/signature", status_code=201, **allow("credits:write", Role.OFFICER))
async def post_signature(work: InWork, id: UUID, number: Number, body: SignatureBody) -> ReportSummary:
    """Sign the report (0) or an addendum by the digest that you read; from then on it never changes."""
    await campaigns.get_campaign(work, id)
    await closings.sign_report(work, id, number, digest=body.digest)
    return ReportSummary.of(await store.get_report(work, id, number))


@router.get("/campaigns/{id}/closing/statements", **allow("credits:read", *CONCERNED))
async def get_statements(
    work: InWork,
    id: UUID,
    page: OnePage,
    *,
    number: Annotated[int, Query(ge=0, le=10_000, description="Of the report (0) or of an addendum.")] = 0,
) -> Page[ClosingStatementOut]:
    """List the frozen closing figures of associations and contributors; these see their own."""
    await campaigns.get_campaign(work, id)
    query = store.select_statements(id).where(closing_statement.c.number == number)
    query = only_own(query, work.caller, closing_statement.c.holder_id)
    return await fetch_page(work, query, by=closing_statement.c.id, page=page, shape=ClosingStatementOut.of)

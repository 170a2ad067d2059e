"""Receipts: issued, replaced and cancelled by the beneficiary; and its yearly declaration."""

import asyncio
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from sqlalchemy import Row

from kernel.auth import TOWN, Caller, Role
from kernel.errors import Forbidden
from kernel.paging import OnePage, Page, fetch_page
from kernel.routing import InWork, allow, make_router
from kernel.work import Work
from services.credits.clients.typst import render_pdf
from services.credits.domain.receipts import receipt_label
from services.credits.routes.access import sees_everything
from services.credits.routes.files import CsvResponse, PdfResponse, csv_response, pdf_response
from services.credits.schemas.documents import (
    DeclarationOut,
    DeclarationsOut,
    ReceiptBody,
    ReceiptOut,
    ReplacementBody,
    Year,
)
from services.credits.schemas.fields import ReasonBody
from services.credits.schemas.papers import receipt_page
from services.credits.store import receipts as store
from services.credits.tables import receipt
from services.credits.use_cases import receipts as use_cases
from services.credits.use_cases.parties import speaking_ids, speaks_for

router = make_router("credits")
READERS = (*TOWN, Role.AUDITOR, Role.ASSOCIATION, Role.COMPANY)
ISSUERS = (Role.ASSOCIATION,)
DeclaredYear = Annotated[Year, Query(description="Year in which the receipts were issued.")]
_HEADER = ("exercice", "beneficiaire_id", "beneficiaire", "nombre_de_recus", "montant_total_euros", "remplaces", "annules")


@router.post("/receipts", status_code=201, **allow("credits:write", *ISSUERS))
async def post_receipt(work: InWork, body: ReceiptBody) -> ReceiptOut:
    """Issue a receipt (2041-MEC-SD) to a donor for missions that it valued, each in one receipt alone."""
    issued = await use_cases.issue_receipt(
        work, beneficiary_id=body.beneficiary_id, donor_id=body.donor_id, mission_ids=body.mission_ids
    )
    return await _shape(work, issued)


@router.post("/receipts/{id}/replacement", status_code=201, **allow("credits:write", *ISSUERS))
async def post_replacement(work: InWork, id: UUID, body: ReplacementBody) -> ReceiptOut:
    """Correct a receipt by another one with its own number; the first stays, marked as replaced."""
    return await _shape(work, await use_cases.replace_receipt(work, id, mission_ids=body.mission_ids, reason=body.reason))


@router.post("/receipts/{id}/cancellation", **allow("credits:write", *ISSUERS))
async def post_cancellation(work: InWork, id: UUID, body: ReasonBody) -> ReceiptOut:
    """Take a receipt back without another in its place (its hours were undone); its number stays."""
    await use_cases.cancel_receipt(work, id, reason=body.reason)
    return await _shape(work, id)


@router.get("/receipts", **allow("credits:read", *READERS))
async def get_receipts(
    work: InWork,
    page: OnePage,
    *,
    beneficiary_id: UUID | None = None,
    donor_id: UUID | None = None,
    year: Annotated[Year | None, Query(description="Year of issue.")] = None,
) -> Page[ReceiptOut]:
    """List receipts given and received, replaced ones included; the town sees amounts where the donor shares them."""
    query = store.select_receipts()
    if not sees_everything(work.caller):
        ids = speaking_ids(work.caller)
        query = query.where(receipt.c.beneficiary_id.in_(ids) | receipt.c.donor_id.in_(ids))
    if beneficiary_id is not None:
        query = query.where(receipt.c.beneficiary_id == beneficiary_id)
    if donor_id is not None:
        query = query.where(receipt.c.donor_id == donor_id)
    if year is not None:
        query = query.where(receipt.c.year == year)
    return await fetch_page(
        work, query, by=receipt.c.id, page=page, shape=lambda row: ReceiptOut.of(row, figures=_sees_figures(work.caller, row))
    )


@router.get("/receipts/{id}", **allow("credits:read", *READERS))
async def get_receipt(work: InWork, id: UUID) -> ReceiptOut:
    """Read a receipt, and what became of it."""
    return await _shape(work, id)


@router.get("/receipts/{id}/pdf", response_class=PdfResponse, **allow("credits:read", *READERS))
async def get_receipt_pdf(work: InWork, id: UUID) -> PdfResponse:
    """Read a receipt as PDF (PDF/A-2a, PDF/UA-1); one that is replaced or cancelled bears the mark of it."""
    row = await _get_row(work, id)
    if not _sees_figures(work.caller, row):
        raise Forbidden("The donor does not share its valuations with the town; ask the beneficiary or the donor.")
    found = store.receipt_of(row)
    successor = receipt_label(row.successor_year, row.successor_number) if row.replaced_by else None
    page = receipt_page(found, successor_label=successor)
    content = await asyncio.to_thread(render_pdf, f"receipt-{found.template}.typ", page, made_at=found.issued_at)
    return pdf_response(content, name=f"recu-{found.label}")


@router.get("/receipt-declarations", **allow("credits:read", *TOWN, Role.AUDITOR, Role.ASSOCIATION))
async def get_declarations(work: InWork, *, year: DeclaredYear) -> DeclarationsOut:
    """Add up, by beneficiary, what its yearly declaration asks for (CGI art. 222 bis): number and amount of receipts."""
    return DeclarationsOut(year=year, items=await _list_declarations(work, year))


@router.get(
    "/receipt-declarations/csv", response_class=CsvResponse, **allow("credits:read", *TOWN, Role.AUDITOR, Role.ASSOCIATION)
)
async def get_declarations_csv(work: InWork, *, year: DeclaredYear) -> CsvResponse:
    """The same as CSV for spreadsheets: semicolons, decimal commas; empty where the amount is not shared."""
    rows = [
        (
            year,
            item.beneficiary_id,
            item.beneficiary_name,
            item.receipts,
            None if item.amount_cents is None else f"{item.amount_cents // 100},{item.amount_cents % 100:02d}",
            item.replaced,
            item.cancelled,
        )
        for item in await _list_declarations(work, year)
    ]
    return csv_response(_HEADER, rows, name=f"declaration-recus-{year}")


async def _list_declarations(work: Work, year: int) -> list[DeclarationOut]:
    caller, rows = work.caller, (await work.connection.execute(store.select_declarations(year))).all()
    shown = [row for row in rows if sees_everything(caller) or speaks_for(caller, row.beneficiary_id)]
    return [
        DeclarationOut(
            beneficiary_id=row.beneficiary_id,
            beneficiary_name=row.beneficiary_name,
            receipts=row.receipts,
            amount_cents=int(row.amount_cents) if row.shared_with_town or speaks_for(caller, row.beneficiary_id) else None,
            replaced=row.replaced,
            cancelled=row.cancelled,
        )
        for row in shown
    ]


async def _shape(work: Work, receipt_id: UUID) -> ReceiptOut:
    row = await _get_row(work, receipt_id)
    return ReceiptOut.of(row, figures=_sees_figures(work.caller, row))


async def _get_row(work: Work, receipt_id: UUID) -> Row[Any]:
    row = await store.get_receipt_row(work, receipt_id)
    caller = work.caller
    if not (sees_everything(caller) or speaks_for(caller, row.beneficiary_id) or speaks_for(caller, row.donor_id)):
        raise Forbidden("A receipt is read by who gave it, who received it, the town and its auditors.")
    return row


def _sees_figures(caller: Caller, row: Row[Any]) -> bool:
    return bool(row.shared_with_town) or speaks_for(caller, row.beneficiary_id) or speaks_for(caller, row.donor_id)

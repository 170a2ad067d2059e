"""Closings: the steps that were taken, the reports and statements they froze, and the signatures. Rows are only added."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Row, Select, func, select
from sqlalchemy.dialects.postgresql import insert

from kernel.ids import new_id
from kernel.work import Work
from services.credits.domain.closing_report import FrozenStatement, FrozenText, Report
from services.credits.domain.closings import Closing, Finding, Step, StepState, Try, Weight
from services.credits.domain.errors import NotFound
from services.credits.tables import closing, closing_report, closing_signature, closing_statement, closing_step


async def lock_closing(work: Work, campaign_id: UUID) -> None:
    """One person at a time closes a campaign: whoever comes second waits, then finds the step done.

    An advisory lock, because the runtime role may not change a closing's row, and a row lock asks for that right.
    """
    name = f"closing:{work.territory}:{campaign_id}"
    await work.connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


async def read_only(work: Work) -> None:
    """From here on the transaction sees one moment and PostgreSQL refuses it every write. Call it before any query."""
    await work.driver.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")


async def find_closing(work: Work, campaign_id: UUID) -> Closing | None:
    row = (await work.connection.execute(select(closing).where(closing.c.campaign_id == campaign_id))).first()
    if row is None:
        return None
    query = select(closing_step).where(closing_step.c.campaign_id == campaign_id).order_by(closing_step.c.number)
    tries = tuple(_try_of(step) for step in await work.connection.execute(query))
    return Closing(campaign_id, row.reason, row.begun_by, row.begun_at, tries)


async def get_closing(work: Work, campaign_id: UUID) -> Closing:
    found = await find_closing(work, campaign_id)
    if found is None:
        raise NotFound("The close of this campaign has not begun; POST /campaigns/{id}/closing begins it.")
    return found


async def add_closing(work: Work, campaign_id: UUID, *, reason: str) -> None:
    """Nothing when it has begun before."""
    values = {"territory": work.territory, "campaign_id": campaign_id, "reason": reason}
    statement = insert(closing).values(**values, begun_by=work.caller.identity, begun_at=work.now)
    await work.connection.execute(statement.on_conflict_do_nothing())


async def add_try(work: Work, campaign_id: UUID, one: Try) -> None:
    await work.connection.execute(
        insert(closing_step).values(
            territory=work.territory,
            campaign_id=campaign_id,
            number=one.number,
            step=one.step,
            state=one.state,
            figures=orjson.dumps(one.figures).decode(),
            findings=orjson.dumps([_finding_columns(finding) for finding in one.findings], default=str).decode(),
            accepted=orjson.dumps(one.accepted).decode(),
            recorded_by=one.by,
            recorded_at=one.at,
        )
    )


def _finding_columns(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "weight": finding.weight,
        "text": finding.text,
        "cure": finding.cure,
        "subject_id": finding.subject_id,
        "minutes": finding.minutes,
    }


def _try_of(row: Row[Any]) -> Try:
    findings = tuple(
        Finding(
            one["code"],
            Weight(one["weight"]),
            one["text"],
            one["cure"],
            UUID(one["subject_id"]) if one["subject_id"] else None,
            one["minutes"],
        )
        for one in orjson.loads(row.findings)
    )
    return Try(
        row.number,
        Step(row.step),
        StepState(row.state),
        orjson.loads(row.figures),
        findings,
        tuple(orjson.loads(row.accepted)),
        row.recorded_by,
        row.recorded_at,
    )


# ---- Reports and signatures ----------------------------------------------------------------------------------------


async def add_report(work: Work, report: Report, *, previous: Report | None, statements: Sequence[FrozenStatement]) -> None:
    await work.connection.execute(
        insert(closing_report).values(
            territory=work.territory,
            campaign_id=report.campaign_id,
            number=report.number,
            content=report.text.content,
            digest=report.text.digest,
            previous_number=previous.number if previous else None,
            previous_digest=previous.text.digest if previous else None,
            drawn_up_by=report.drawn_up_by,
            drawn_up_at=report.drawn_up_at,
        )
    )
    rows = [
        {
            "territory": work.territory,
            "id": new_id(),
            "campaign_id": report.campaign_id,
            "number": report.number,
            "part": one.part,
            "holder_id": one.holder_id,
            "content": one.text.content,
            "digest": one.text.digest,
        }
        for one in statements
    ]
    await work.connection.execute(insert(closing_statement), rows)


async def add_signature(work: Work, report: Report) -> None:
    await work.connection.execute(
        insert(closing_signature).values(
            territory=work.territory,
            campaign_id=report.campaign_id,
            number=report.number,
            digest=report.text.digest,
            signed_by=work.caller.identity,
            client_id=work.caller.client_id,
            signed_at=work.now,
        )
    )


def _select_reports(campaign_id: UUID) -> Select[Any]:
    joined = closing_report.outerjoin(
        closing_signature,
        (closing_signature.c.campaign_id == closing_report.c.campaign_id)
        & (closing_signature.c.number == closing_report.c.number),
    )
    return (
        select(closing_report, closing_signature.c.signed_by, closing_signature.c.signed_at)
        .select_from(joined)
        .where(closing_report.c.campaign_id == campaign_id)
        .order_by(closing_report.c.number)
    )


def _report_of(row: Row[Any]) -> Report:
    text = FrozenText(row.content, row.digest)
    return Report(row.campaign_id, row.number, text, row.drawn_up_by, row.drawn_up_at, row.signed_by, row.signed_at)


async def list_reports(work: Work, campaign_id: UUID) -> list[Report]:
    """The report and its addenda, in order."""
    return [_report_of(row) for row in await work.connection.execute(_select_reports(campaign_id))]


async def get_report(work: Work, campaign_id: UUID, number: int) -> Report:
    row = (await work.connection.execute(_select_reports(campaign_id).where(closing_report.c.number == number))).first()
    if row is None:
        raise NotFound(
            f"There is no report {number} yet: the step `freeze` draws up the report (number 0), and "
            "POST /campaigns/{id}/closing/addenda an addendum."
        )
    return _report_of(row)


def select_statements(campaign_id: UUID) -> Select[Any]:
    return select(closing_statement).where(closing_statement.c.campaign_id == campaign_id)


async def list_statements(work: Work, campaign_id: UUID, number: int) -> list[FrozenText]:
    query = select_statements(campaign_id).where(closing_statement.c.number == number)
    return [FrozenText(row.content, row.digest) for row in await work.connection.execute(query)]

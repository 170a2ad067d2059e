"""What a volunteer did: the hours of their own missions, also where they serve for their company."""

import asyncio
from uuid import UUID

from fastapi import Response

from kernel.auth import TOWN, Caller, Role
from kernel.routing import InWork, allow, make_router
from kernel.work import Work
from services.credits.clients.typst import render_pdf
from services.credits.domain.errors import Forbidden
from services.credits.domain.statements import VOLUNTEER_ACCOUNTS, Scope, Statement, association_of
from services.credits.routes.access import sees_everything
from services.credits.routes.statements import MOST_LINES, PDF, AskedView, Format, require_whole
from services.credits.schemas.ledger import Asked
from services.credits.schemas.sheets import CSV, attachment, documented
from services.credits.schemas.volunteer_statements import (
    VolunteerStatementOut,
    build_volunteer_document,
    build_volunteer_sheet,
)
from services.credits.store import campaigns, registry
from services.credits.store.volunteer_statements import get_volunteer_statement as get_statement

router = make_router("credits")


@router.get(
    "/campaigns/{id}/volunteer-statements/{volunteer_id}",
    response_model=VolunteerStatementOut,
    responses=documented(CSV, PDF),
    **allow("credits:read", *TOWN, Role.AUDITOR, Role.ASSOCIATION, Role.COMPANY, Role.VOLUNTEER),
)
async def get_volunteer_statement(
    work: InWork, id: UUID, volunteer_id: UUID, view: AskedView
) -> VolunteerStatementOut | Response:
    """The hours set aside for, and served in, the missions that this person does: each with mission, association and date."""
    _require_oneself(work.caller, volunteer_id)
    asked = Asked(
        campaign=await campaigns.get_campaign(work, id),
        scope=Scope(id, volunteer_id, VOLUNTEER_ACCOUNTS),
        holder_name=None,
        since=view.since,
        until=view.until,
        as_of=view.as_of,
    )
    if view.format is Format.JSON:
        statement = await get_statement(work, id, volunteer_id, asked.period, after=view.cursor, limit=view.limit)
        view.link(statement.next)
        return VolunteerStatementOut.of(statement, asked, names=await _names(work, statement))
    most = MOST_LINES[view.format]
    statement = require_whole(await get_statement(work, id, volunteer_id, asked.period, limit=most), most=most)
    names = await _names(work, statement)
    name = f"heures-{asked.campaign.ref}-{volunteer_id}"
    if view.format is Format.CSV:
        return attachment(build_volunteer_sheet(statement, names=names), media_type=CSV, name=f"{name}.csv")
    town = await registry.get_territory_name(work)
    document = build_volunteer_document(statement, asked, town=town, names=names)
    return attachment(await asyncio.to_thread(render_pdf, "statement.typ", document), media_type=PDF, name=f"{name}.pdf")


def _require_oneself(caller: Caller, volunteer_id: UUID) -> None:
    """Whom a person acts for does not matter: nobody reads a colleague's hours, nor a company those of its employees here."""
    if not sees_everything(caller) and caller.member_id != volunteer_id:
        raise Forbidden("You can read your own hours; the town can read those of others.")


async def _names(work: Work, statement: Statement) -> dict[UUID, str]:
    found = await registry.find_actors(work, {association_of(line.transfer) for line in statement.lines})
    return {id: actor.name for id, actor in found.items()}

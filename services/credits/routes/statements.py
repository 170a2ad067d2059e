"""Statements for an association, a contributor and the whole campaign, out of the ledger's own entries."""

import asyncio
from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Response
from starlette.requests import Request

from kernel.auth import TOWN, Role
from kernel.routing import InWork, allow, make_router
from kernel.work import Work
from services.credits.clients.typst import render_pdf
from services.credits.domain.errors import BadInput, NotFound, StatementTooLong
from services.credits.domain.statements import (
    ASSOCIATION_ACCOUNTS,
    CONTRIBUTOR_ACCOUNTS,
    TOWN_ACCOUNTS,
    Scope,
    Statement,
)
from services.credits.routes.access import require_own
from services.credits.routes.times import AtInstant
from services.credits.schemas.fields import Day, Instant
from services.credits.schemas.ledger import Asked, StatementOut
from services.credits.schemas.sheets import CSV, attachment, documented
from services.credits.schemas.statements import build_statement_document, build_statement_sheet, list_named
from services.credits.store import campaigns, registry
from services.credits.store.statements import get_statement

router = make_router("credits")
PDF = "application/pdf"
# A file is made in one piece, while somebody waits: some seconds for this many lines.
MOST_LINES = {"csv": 20_000, "pdf": 5_000}


class Format(StrEnum):
    JSON = "json"
    CSV = "csv"
    PDF = "pdf"


Since = Annotated[Day | None, Query(description="First day shown; what came before is the opening.")]
Until = Annotated[Day | None, Query(description="Last day shown.")]


class View:
    """What all statements can be asked for: days, one of the two times, a page, a format."""

    def __init__(
        self,
        *,
        request: Request,
        response: Response,
        at: AtInstant,
        since: Since = None,
        until: Until = None,
        format: Annotated[Format, Query(description="csv and pdf are whole, for people; json comes in pages.")] = Format.JSON,
        limit: Annotated[int, Query(ge=1, le=1000, description="Lines a page (json).")] = 200,
        cursor: Annotated[Instant | None, Query(description="`next` of the page before (json).")] = None,
    ) -> None:
        if since and until and until < since:
            raise BadInput.at("query/until", f"must not lie before since ({since.isoformat()})")
        self.request, self.response = request, response
        self.as_of, self.since, self.until = at, since, until
        self.format, self.limit, self.cursor = format, limit, cursor

    def link(self, following: datetime | None) -> None:
        """Tell where the next page is, if there is one."""
        if following is not None:
            url = self.request.url.include_query_params(cursor=following.isoformat(), limit=self.limit)
            self.response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'


AskedView = Annotated[View, Depends()]


@router.get(
    "/campaigns/{id}/statements/{association_id}",
    response_model=StatementOut,
    responses=documented(CSV, PDF),
    **allow("credits:read", *TOWN, Role.AUDITOR, Role.ASSOCIATION),
)
async def get_association_statement(work: InWork, id: UUID, association_id: UUID, view: AskedView) -> StatementOut | Response:
    """What an association was granted, set aside, spent, and what is left: every line with mission, person and reason."""
    require_own(work.caller, association_id)
    if not await campaigns.is_on_panel(work, id, association_id):
        raise NotFound(f"{association_id} is not on the panel of this campaign; GET /campaigns/{{id}}/panel lists it.")
    return await _answer(work, Scope(id, association_id, ASSOCIATION_ACCOUNTS), view)


@router.get(
    "/campaigns/{id}/contributor-statements/{contributor_id}",
    response_model=StatementOut,
    responses=documented(CSV, PDF),
    **allow("credits:read", *TOWN, Role.AUDITOR, Role.COMPANY, Role.VOLUNTEER),
)
async def get_contributor_statement(work: InWork, id: UUID, contributor_id: UUID, view: AskedView) -> StatementOut | Response:
    """What a company or a citizen promised, took back and delivered (balances are minus what is promised or delivered)."""
    require_own(work.caller, contributor_id)
    if not await campaigns.has_pledged(work, id, contributor_id):
        raise NotFound(f"{contributor_id} promised nothing to this campaign; GET /campaigns/{{id}}/pledges lists who did.")
    return await _answer(work, Scope(id, contributor_id, CONTRIBUTOR_ACCOUNTS), view)


@router.get(
    "/campaigns/{id}/statement",
    response_model=StatementOut,
    responses=documented(CSV, PDF),
    **allow("credits:read", *TOWN, Role.AUDITOR),
)
async def get_campaign_statement(work: InWork, id: UUID, view: AskedView) -> StatementOut | Response:
    """Every transfer of the campaign, with the totals of each kind of account after it: all of them sum to zero."""
    return await _answer(work, Scope(id, None, TOWN_ACCOUNTS), view)


async def _answer(work: Work, scope: Scope, view: View) -> StatementOut | Response:
    asked = Asked(
        campaign=await campaigns.get_campaign(work, scope.campaign_id),
        scope=scope,
        holder_name=await _name(work, scope.holder_id),
        since=view.since,
        until=view.until,
        as_of=view.as_of,
    )
    if view.format is Format.JSON:
        statement = await get_statement(work, scope, asked.period, after=view.cursor, limit=view.limit)
        view.link(statement.next)
        return StatementOut.of(statement, asked)
    most = MOST_LINES[view.format]
    statement = require_whole(await get_statement(work, scope, asked.period, limit=most), most=most)
    name = f"releve-{asked.campaign.ref}" + (f"-{scope.holder_id}" if scope.holder_id else "")
    if view.format is Format.CSV:
        return attachment(build_statement_sheet(statement, asked), media_type=CSV, name=f"{name}.csv")
    town = await registry.get_territory_name(work)
    names = {id: actor.name for id, actor in (await registry.find_actors(work, list_named(statement))).items()}
    document = build_statement_document(statement, asked, town=town, names=names)
    # Typesetting is work for a processor: in a thread, so that others are served meanwhile.
    pdf = await asyncio.to_thread(render_pdf, "statement.typ", document)
    return attachment(pdf, media_type=PDF, name=f"{name}.pdf")


async def _name(work: Work, holder_id: UUID | None) -> str | None:
    if holder_id is None:
        return None
    actor = (await registry.find_actors(work, [holder_id])).get(holder_id)
    return actor.name if actor else None


def require_whole(page: Statement, *, most: int) -> Statement:
    """All of it in one page. Raises StatementTooLong rather than leave lines out."""
    if page.next is not None:
        raise StatementTooLong(
            f"The statement has more than {most} lines; narrow it with since and until, or take another format."
        )
    return page

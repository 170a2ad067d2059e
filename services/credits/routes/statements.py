"""Statements for an association and for a contributor, out of the ledger's own entries."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Query

from kernel.auth import TOWN, Role
from kernel.clock import LOCAL_ZONE
from kernel.routing import InWork, allow, make_router
from kernel.work import Work
from services.credits.domain.errors import BadInput, NotFound
from services.credits.domain.ledger import AccountKind
from services.credits.domain.statements import ASSOCIATION_ACCOUNTS, CONTRIBUTOR_ACCOUNTS
from services.credits.routes.access import require_own
from services.credits.schemas.fields import Day
from services.credits.schemas.ledger import StatementOut
from services.credits.store import campaigns, registry
from services.credits.store.statements import get_statement

router = make_router("credits")
Since = Annotated[Day | None, Query(description="First day shown; what came before is the opening.")]
Until = Annotated[Day | None, Query(description="Last day shown.")]


@router.get("/campaigns/{id}/statements/{association_id}", **allow("credits:read", *TOWN, Role.AUDITOR, Role.ASSOCIATION))
async def get_association_statement(
    work: InWork, id: UUID, association_id: UUID, *, since: Since = None, until: Until = None
) -> StatementOut:
    """What an association was granted, set aside, spent, and what is left: every line with mission, person and reason."""
    require_own(work.caller, association_id)
    if not await campaigns.is_on_panel(work, id, association_id):
        raise NotFound(f"{association_id} is not on the panel of this campaign; GET /campaigns/{{id}}/panel lists it.")
    return await _shape(work, id, association_id, ASSOCIATION_ACCOUNTS, since=since, until=until)


@router.get(
    "/campaigns/{id}/contributor-statements/{contributor_id}",
    **allow("credits:read", *TOWN, Role.AUDITOR, Role.COMPANY, Role.VOLUNTEER),
)
async def get_contributor_statement(
    work: InWork, id: UUID, contributor_id: UUID, *, since: Since = None, until: Until = None
) -> StatementOut:
    """What a company or a citizen promised, took back and delivered (balances are minus what is promised or delivered)."""
    require_own(work.caller, contributor_id)
    if not await campaigns.has_pledged(work, id, contributor_id):
        raise NotFound(f"{contributor_id} promised nothing to this campaign; GET /campaigns/{{id}}/pledges lists who did.")
    return await _shape(work, id, contributor_id, CONTRIBUTOR_ACCOUNTS, since=since, until=until)


async def _shape(
    work: Work, campaign_id: UUID, holder_id: UUID, kinds: Sequence[AccountKind], *, since: date | None, until: date | None
) -> StatementOut:
    if since and until and until < since:
        raise BadInput.at("query/until", f"must not lie before since ({since.isoformat()})")
    campaign = await campaigns.get_campaign(work, campaign_id)
    actor = (await registry.find_actors(work, [holder_id])).get(holder_id)
    statement = await get_statement(
        work,
        campaign_id,
        holder_id,
        kinds,
        since=_midnight(since) if since else None,
        until=_midnight(until + timedelta(days=1)) if until else None,
    )
    name = actor.name if actor else None
    return StatementOut.of(statement, campaign=campaign, holder_id=holder_id, name=name, since=since, until=until)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, LOCAL_ZONE)

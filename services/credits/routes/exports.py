"""What leaves the ledger for other people's software: accounting entries, open data, Beancount."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from fastapi import Query, Response
from starlette.requests import Request

from kernel.auth import EVERYONE, TOWN, Role
from kernel.clock import local_date
from kernel.routing import InWork, allow, make_router
from services.credits.domain.errors import BadInput, NotFound
from services.credits.domain.inkind import build_in_kind_entries
from services.credits.domain.scdl import Giver, is_siret
from services.credits.domain.statements import TOWN_ACCOUNTS, AsOf, Basis, Period, Scope, decide_as_of
from services.credits.routes.access import require_own
from services.credits.routes.times import RecordedAt
from services.credits.schemas import beancount
from services.credits.schemas.exports import InKindEntryOut, InKindOut, ScdlOut, build_in_kind_sheet
from services.credits.schemas.fields import Day, Instant, Line
from services.credits.schemas.ledger import midnight
from services.credits.schemas.sheets import CSV, attachment, documented
from services.credits.store import campaigns, registry
from services.credits.store import exports as store
from services.credits.store.ledger import get_present
from services.credits.store.statements import get_statement
from services.credits.use_cases.parties import speaks_for

router = make_router("credits")


class TableFormat(StrEnum):
    JSON = "json"
    CSV = "csv"


AsTable = Annotated[TableFormat, Query(description="csv is a file to keep.")]


@router.get(
    "/campaigns/{id}/statements/{association_id}/in-kind",
    response_model=InKindOut,
    responses=documented(CSV),
    **allow("credits:read", *TOWN, Role.AUDITOR, Role.ASSOCIATION),
)
async def get_in_kind(
    work: InWork,
    id: UUID,
    association_id: UUID,
    *,
    since: Annotated[Day | None, Query(description="First day of the financial year.")] = None,
    until: Annotated[Day | None, Query(description="Last day of it.")] = None,
    format: AsTable = TableFormat.JSON,
) -> InKindOut | Response:
    """The association's entries in classes 86 and 87 for the minutes served to it; amounts are the donors' own, or none."""
    require_own(work.caller, association_id)
    if since and until and until < since:
        raise BadInput.at("query/until", f"must not lie before since ({since.isoformat()})")
    campaign = await campaigns.get_campaign(work, id)
    if not await campaigns.is_on_panel(work, id, association_id):
        raise NotFound(f"{association_id} is not on the panel of this campaign; GET /campaigns/{{id}}/panel lists it.")
    first = midnight(since) if since else None
    after = midnight(until + timedelta(days=1)) if until else None
    missions = await store.list_served_missions(
        work, id, association_id, period=Period(Basis.EFFECTIVE, since=first, until=after)
    )
    # The town sees a donor's figures where the donor says so; the beneficiary enters them in its books.
    shared_only = not speaks_for(work.caller, association_id)
    valued_cents = await store.list_valued_cents(work, id, association_id, shared_only=shared_only)
    entries = list(build_in_kind_entries(missions, valued_cents_by_mission=valued_cents))
    if format is TableFormat.CSV:
        return attachment(build_in_kind_sheet(entries), media_type=CSV, name=f"en-nature-{campaign.ref}-{association_id}.csv")
    valued = {entry.mission.mission_id for entry in entries if entry.valued}
    return InKindOut(
        campaign_id=id,
        association_id=association_id,
        since=since,
        until=until,
        served_minutes=sum(mission.minutes for mission in missions),
        unvalued_minutes=sum(mission.minutes for mission in missions if mission.mission_id not in valued),
        entries=[InKindEntryOut.of(entry) for entry in entries],
    )


@router.get("/campaigns/{id}/scdl", response_model=ScdlOut, responses=documented(CSV), **allow("credits:read", *EVERYONE))
async def get_scdl(
    work: InWork,
    id: UUID,
    *,
    siret: Annotated[str, Query(description="The town's SIRET.", pattern=r"^\d{14}$")],
    name: Annotated[Line | None, Query(description="The town's official name; else as the registry has it.")] = None,
    format: AsTable = TableFormat.JSON,
) -> ScdlOut | Response:
    """The town's aid in kind as open data, SCDL « subventions » 2.1.1: signed grants at the campaign's reference value."""
    if not is_siret(siret):
        raise BadInput.at("query/siret", "must be the 14 digits of a SIRET; a digit is wrong (their Luhn sum says so)")
    campaign = await campaigns.get_campaign(work, id)
    giver = Giver(name or await registry.get_territory_name(work), siret)
    found = ScdlOut.of(await store.list_granted_aid(work, id), giver=giver, campaign=campaign)
    if format is TableFormat.CSV:
        return attachment(found.as_csv(), media_type=CSV, name=f"subventions-en-nature-{campaign.ref}.csv")
    return found


@router.get(
    "/campaigns/{id}/beancount",
    response_class=Response,
    responses=documented(beancount.BEANCOUNT),
    **allow("credits:read", *TOWN, Role.AUDITOR),
)
async def get_beancount(
    work: InWork,
    id: UUID,
    request: Request,
    *,
    as_recorded_at: RecordedAt = None,
    limit: Annotated[int, Query(ge=1, le=20_000, description="Transfers a page.")] = 5_000,
    cursor: Annotated[Instant | None, Query(description="As the Link of the page before has it.")] = None,
) -> Response:
    """The whole campaign for Beancount: accounts, one transaction a transfer, and balances that it checks itself.

    Pages follow by `Link`; put together in their order they are one file. The first page fixes the instant of all.
    """
    campaign = await campaigns.get_campaign(work, id)
    present = await get_present(work, id)
    as_of = decide_as_of(recorded_at=as_recorded_at, effective_at=None, now=present) or AsOf(Basis.RECORDED, present)
    scope = Scope(id, None, TOWN_ACCOUNTS)
    page = await get_statement(work, scope, Period().up_to(as_of), after=cursor, limit=limit)
    first, last = cursor is None, page.next is None
    balances = await store.list_account_balances(work, id, before=as_of.before) if first or last else []
    parts = [beancount.build_transactions(page.lines)]
    if first:
        openings = beancount.build_openings(campaign, [(kind, holder) for kind, holder, _ in balances])
        parts = [beancount.build_head(campaign, territory=work.territory), openings, *parts]
    if last:
        last_day = await store.get_last_effect(work, id, before=as_of.before) or local_date(as_of.instant)
        parts.append(beancount.build_balances(campaign, balances, last_day=last_day))
    answer = attachment("".join(parts), media_type=beancount.BEANCOUNT, name=f"{campaign.ref}.beancount")
    if page.next is not None:
        url = request.url.include_query_params(
            cursor=page.next.isoformat(), as_recorded_at=as_of.instant.isoformat(), limit=limit
        )
        answer.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
    return answer

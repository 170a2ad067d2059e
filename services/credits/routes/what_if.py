"""What the grants would be under other rules: computed, never kept."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query, Response

from kernel.auth import TOWN, Role
from kernel.routing import InWork, allow, make_router
from services.credits.schemas.sheets import CSV, attachment, documented
from services.credits.schemas.what_if import WhatIfBody, WhatIfOut, build_what_if_sheet
from services.credits.store import registry
from services.credits.use_cases.what_if import imagine_grants

router = make_router("credits")


@router.post(
    "/campaigns/{id}/what-if",
    response_model=WhatIfOut,
    responses=documented(CSV),
    **allow("credits:read", *TOWN, Role.AUDITOR),
)
async def post_what_if(
    work: InWork,
    id: UUID,
    body: WhatIfBody,
    *,
    format: Annotated[Literal["json", "csv"], Query(description="csv: for a spreadsheet.")] = "json",
) -> WhatIfOut | Response:
    """Compute the whole panel with another ratio, hour value, step or pool, beside the campaign's own rules."""
    scenarios = [item.scenario() for item in body.scenarios]
    outcomes = await imagine_grants(work, id, scenarios=scenarios, afresh=body.afresh)
    actors = await registry.find_actors(work, [share.association_id for share in outcomes[0].shares])
    found = WhatIfOut.of(outcomes, names={actor.id: actor.name for actor in actors.values()})
    if format == "csv":
        return attachment(build_what_if_sheet(found), media_type=CSV, name="simulation-dotations.csv")
    return found

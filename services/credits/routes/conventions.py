"""Parties and conventions: what stands on the paper, its versions, and who accepted them."""

import asyncio
from typing import Annotated
from uuid import UUID

from fastapi import Path, Response

from kernel.auth import TOWN, Role
from kernel.errors import Forbidden, NotFound
from kernel.paging import OnePage, Page, fetch_page
from kernel.routing import InWork, allow, make_router
from kernel.work import Work
from services.credits.clients.typst import render_pdf
from services.credits.domain.campaigns import Outcome
from services.credits.domain.conventions import ConventionState, Version
from services.credits.domain.parties import TOWN_ID
from services.credits.routes.access import CONCERNED, only_own, sees_everything
from services.credits.routes.files import PdfResponse, pdf_response
from services.credits.schemas.documents import (
    AcceptanceBody,
    ConventionBody,
    ConventionOut,
    MissionConventionOut,
    PartyBody,
    PartyOut,
    PartyWritten,
    VersionOut,
    VersionWritten,
)
from services.credits.schemas.papers import convention_page
from services.credits.store import campaigns, parties
from services.credits.store import conventions as store
from services.credits.store.holds import find_hold
from services.credits.store.registry import find_mission_volunteer
from services.credits.tables import hold
from services.credits.use_cases import conventions as use_cases
from services.credits.use_cases.parties import speaks_for, write_party

router = make_router("credits")
SIDES = (*TOWN, Role.ASSOCIATION, Role.COMPANY, Role.VOLUNTEER)
VersionNumber = Annotated[int, Path(ge=1, le=1_000_000)]


# ---- Parties -------------------------------------------------------------------------------------------------------


@router.put(
    "/parties/town",
    responses={201: {"model": PartyWritten, "description": "It was not there before."}},
    **allow("credits:write", *TOWN),
)
async def put_town(work: InWork, body: PartyBody, response: Response) -> PartyWritten:
    """Write what conventions must say of the town."""
    return await _write_party(work, TOWN_ID, body, response)


@router.get("/parties/town", **allow("credits:read", *CONCERNED))
async def get_town(work: InWork) -> PartyOut:
    """Read what conventions say of the town."""
    return PartyOut.model_validate(await parties.get_party_row(work, TOWN_ID, where="town"))


@router.put(
    "/parties/{actor_id}",
    responses={201: {"model": PartyWritten, "description": "It was not there before."}},
    **allow("credits:write", *TOWN, Role.ASSOCIATION, Role.COMPANY),
)
async def put_party(work: InWork, actor_id: UUID, body: PartyBody, response: Response) -> PartyWritten:
    """Write what the law wants documents to say of your organisation; documents that exist keep what they said."""
    return await _write_party(work, actor_id, body, response)


@router.get("/parties/{actor_id}", **allow("credits:read", *TOWN, Role.AUDITOR, Role.ASSOCIATION, Role.COMPANY))
async def get_party(work: InWork, actor_id: UUID) -> PartyOut:
    """Read what documents will say of an organisation: your own, or any for the town."""
    if not (sees_everything(work.caller) or speaks_for(work.caller, actor_id)):
        raise Forbidden("You can read this of your own organisation; ask the town for others.")
    return PartyOut.model_validate(await parties.get_party_row(work, actor_id, where=str(actor_id)))


async def _write_party(work: Work, actor_id: UUID, body: PartyBody, response: Response) -> PartyWritten:
    version, outcome = await write_party(work, body.party(actor_id))
    response.status_code = 201 if outcome == Outcome.CREATED else 200
    response.headers["ETag"] = f'"{version}"'
    return PartyWritten(actor_id=actor_id, version=version, outcome=outcome, **body.model_dump())


# ---- Conventions ---------------------------------------------------------------------------------------------------


@router.get("/campaigns/{id}/conventions", **allow("credits:read", *CONCERNED))
async def get_conventions(
    work: InWork, id: UUID, page: OnePage, *, state: ConventionState | None = None
) -> Page[MissionConventionOut]:
    """List the missions that hold or spent credit, with how far their conventions are; `state=missing` finds what lacks."""
    await campaigns.get_campaign(work, id)
    query = only_own(store.select_conventions(id), work.caller, hold.c.association_id, hold.c.contributor_id)
    if state is not None:
        query = query.where(query.selected_columns["convention_state"] == state)
    return await fetch_page(work, query, by=hold.c.mission_id, page=page, shape=MissionConventionOut.of)


@router.put(
    "/conventions/{mission_id}",
    responses={201: {"model": VersionWritten, "description": "The first version."}},
    **allow("credits:write", *SIDES),
)
async def put_convention(work: InWork, mission_id: UUID, body: ConventionBody, response: Response) -> VersionWritten:
    """Write the mission's convention from its data and these terms: a new version if it says anything else than the newest."""
    version, outcome = await use_cases.draft_convention(work, mission_id, body.terms())
    response.status_code = 201 if outcome == Outcome.CREATED else 200
    return VersionWritten.model_validate({**VersionOut.model_validate(version).model_dump(), "outcome": outcome})


@router.get("/conventions/{mission_id}", **allow("credits:read", *CONCERNED))
async def get_convention(work: InWork, mission_id: UUID) -> ConventionOut:
    """Read all versions of a mission's convention, each with who accepted it and when."""
    return ConventionOut.of(mission_id, await _list_versions(work, mission_id))


@router.get("/conventions/{mission_id}/versions/{version}", **allow("credits:read", *CONCERNED))
async def get_version(work: InWork, mission_id: UUID, version: VersionNumber) -> VersionOut:
    """Read one version."""
    return VersionOut.model_validate(await _get_version(work, mission_id, version))


@router.get("/conventions/{mission_id}/versions/{version}/pdf", response_class=PdfResponse, **allow("credits:read", *CONCERNED))
async def get_version_pdf(work: InWork, mission_id: UUID, version: VersionNumber) -> PdfResponse:
    """Read one version as PDF (PDF/A-2a, PDF/UA-1): the same content and acceptances give the same file."""
    found = await _get_version(work, mission_id, version)
    made_at = max([found.drafted_at, *(acceptance.accepted_at for acceptance in found.acceptances)])
    page = convention_page(str(mission_id), found)
    content = await asyncio.to_thread(render_pdf, f"convention-{found.template}.typ", page, made_at=made_at)
    return pdf_response(content, name=f"convention-{mission_id}-{version}")


@router.post("/conventions/{mission_id}/versions/{version}/acceptances", **allow("credits:write", *SIDES))
async def post_acceptance(work: InWork, mission_id: UUID, version: VersionNumber, body: AcceptanceBody) -> VersionOut:
    """Accept the newest version for one side, yours; the third acceptance concludes it. Repeating it changes nothing."""
    return VersionOut.model_validate(await use_cases.accept_convention(work, mission_id, version=version, side=body.side))


async def _list_versions(work: Work, mission_id: UUID) -> list[Version]:
    found = await find_hold(work, mission_id)
    if found is None or found.contributor_id is None:
        raise NotFound(f"There is no agreed mission {mission_id} here; GET /campaigns/{{id}}/holds lists them.")
    caller = work.caller
    serves = caller.member_id is not None and await find_mission_volunteer(work, mission_id) == caller.member_id
    if not (
        sees_everything(caller) or serves or speaks_for(caller, found.association_id) or speaks_for(caller, found.contributor_id)
    ):
        raise Forbidden("A convention is read by its three sides and by who serves the mission.")
    return await store.list_versions(work, mission_id)


async def _get_version(work: Work, mission_id: UUID, number: int) -> Version:
    versions = await _list_versions(work, mission_id)
    if number > len(versions):
        raise NotFound(f"There is no version {number} of this convention; GET /conventions/{mission_id} lists them.")
    return versions[number - 1]

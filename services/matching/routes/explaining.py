"""Explanations over HTTP: why this, why not, what would have to change, and the record that the law gives."""

from typing import Any, cast
from uuid import UUID

from fastapi import Request
from fastapi.responses import HTMLResponse

from kernel.auth import PEOPLE, TOWN, Role
from kernel.routing import InWork, allow, make_router
from services.matching.engine.explaining.markup import CONTENT_SECURITY_POLICY
from services.matching.engine.explaining.need_record import render_need_record
from services.matching.engine.explaining.record import Reader
from services.matching.engine.explaining.record_page import render_record
from services.matching.schemas.explaining import SmallestChangeOut, WhyNotOut, WhyOut
from services.matching.settings import Settings
from services.matching.store.missions import get_mission
from services.matching.use_cases import explaining as use_cases
from services.matching.use_cases.needs import may_act_for

router = make_router("explanations")
READERS = (*PEOPLE, Role.AUDITOR)
PAGE: dict[str, Any] = {"response_class": HTMLResponse}
PAGE_HEADERS = {"content-security-policy": CONTENT_SECURITY_POLICY, "referrer-policy": "no-referrer"}


@router.get("/missions/{mission_id}/why", **allow("matching:read", *READERS))
async def explain_mission(work: InWork, mission_id: UUID) -> WhyOut:
    """Say why a mission was proposed: the points of each criterion, their sums, data, and the words of the texts."""
    mission = await get_mission(work, mission_id)
    reader = use_cases.find_reader(work.caller, mission)
    return WhyOut.of(mission, sees_offer=reader is not Reader.ASSOCIATION)


@router.get("/missions/{mission_id}/record", **allow("matching:read", *READERS))
async def read_record(work: InWork, mission_id: UUID, request: Request) -> dict[str, Any]:
    """Give the record of CRPA art. R. 311-3-1-2 to a side of the mission, the town or the auditor."""
    return await use_cases.make_record(work, mission_id, contact=find_contact(request))


@router.get("/missions/{mission_id}/record/page", **PAGE, **allow("matching:read", *READERS))
async def show_record(work: InWork, mission_id: UUID, request: Request) -> HTMLResponse:
    """Show the record as a page in plain French."""
    record = await use_cases.make_record(work, mission_id, contact=find_contact(request))
    return HTMLResponse(render_record(record), headers=PAGE_HEADERS)


@router.get(
    "/needs/{need_id}/why-not/{offer_id}", **allow("matching:read", Role.ASSOCIATION, Role.VOLUNTEER, Role.AUDITOR, *TOWN)
)
async def explain_pair(work: InWork, need_id: UUID, offer_id: UUID) -> WhyNotOut:
    """Say why an offer does not serve a need: the gates that block, or where its minutes went and who was preferred."""
    found = await use_cases.explain_pair(work, need_id, offer_id)
    own_offer = Role.VOLUNTEER in work.caller.roles and work.caller.member_id == found.offer.volunteer_id
    return WhyNotOut.of(found, own_offer=own_offer, own_need=may_act_for(work, found.need))


@router.get("/needs/{need_id}/smallest-change", **allow("matching:read", Role.ASSOCIATION, Role.AUDITOR, *TOWN))
async def find_smallest_change(work: InWork, need_id: UUID) -> SmallestChangeOut:
    """Compute the smallest changes that would let an open offer serve a need. Nothing is saved."""
    return SmallestChangeOut.of(await use_cases.find_smallest_change(work, need_id))


@router.get("/needs/{need_id}/record", **allow("matching:read", Role.ASSOCIATION, Role.AUDITOR, *TOWN))
async def read_need_record(work: InWork, need_id: UUID, request: Request) -> dict[str, Any]:
    """Give the record of a need that nobody serves: why nothing is proposed. Computed now; nothing is saved."""
    return await use_cases.make_need_record(work, need_id, contact=find_contact(request))


@router.get("/needs/{need_id}/record/page", **PAGE, **allow("matching:read", Role.ASSOCIATION, Role.AUDITOR, *TOWN))
async def show_need_record(work: InWork, need_id: UUID, request: Request) -> HTMLResponse:
    """Show why nothing is proposed for a need, as a page in plain French."""
    record = await use_cases.make_need_record(work, need_id, contact=find_contact(request))
    return HTMLResponse(render_need_record(record), headers=PAGE_HEADERS)


def find_contact(request: Request) -> str:
    return cast(Settings, request.app.state.settings).matching_contact

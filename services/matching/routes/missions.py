"""Missions and their timesheets over HTTP."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Response

from kernel.auth import PEOPLE, TOWN, Role
from kernel.paging import OnePage, Page, fetch_page
from kernel.routing import InWork, allow, make_router
from kernel.work import Work
from services.matching.domain.missions import Mission
from services.matching.domain.states import MissionState
from services.matching.routes.shared import set_etag
from services.matching.schemas.missions import (
    AnswerBody,
    DeclineBody,
    MissionDetail,
    MissionOut,
    TimesheetBody,
    TimesheetOut,
    mission_values,
)
from services.matching.schemas.shared import OptionalReasonBody, ReasonBody, history_values
from services.matching.store.history import list_steps
from services.matching.store.missions import (
    get_mission,
    mission_from,
    select_timesheets,
    select_visible_missions,
    timesheet_from,
)
from services.matching.store.weights import list_weights, read_weights
from services.matching.tables import mission as mission_table
from services.matching.tables import mission_event
from services.matching.tables import timesheet as timesheet_table
from services.matching.use_cases import missions as use_cases

router = make_router("missions")
READERS = (*PEOPLE, Role.AUDITOR)
SIDES = (Role.ASSOCIATION, Role.VOLUNTEER, Role.COMPANY)


@router.get("/missions", **allow("matching:read", *READERS))
async def list_missions(
    work: InWork,
    page: OnePage,
    *,
    state: Annotated[MissionState | None, Query()] = None,
    need_id: Annotated[UUID | None, Query()] = None,
    association_id: Annotated[UUID | None, Query()] = None,
    volunteer_id: Annotated[UUID | None, Query()] = None,
) -> Page[MissionOut]:
    """List the missions that the caller is a side of; the town lists all."""
    query = select_visible_missions(work.caller)
    filters = {"state": state, "need_id": need_id, "association_id": association_id, "volunteer_id": volunteer_id}
    for column, value in filters.items():
        if value is not None:
            query = query.where(mission_table.c[column] == value)
    weights = {known.version: known.weights for known in await list_weights(work)}

    def shape(row: Any) -> MissionOut:
        mission = mission_from(row)
        return MissionOut.of(mission, None if mission.weights_version is None else weights[mission.weights_version])

    return await fetch_page(work, query, by=mission_table.c.id, page=page, shape=shape)


@router.get("/missions/{mission_id}", **allow("matching:read", *READERS))
async def read_mission(work: InWork, mission_id: UUID, response: Response) -> MissionDetail:
    """Read a mission with its history."""
    mission = await get_mission(work, mission_id)
    set_etag(response, mission.version)
    history = history_values(await list_steps(work, mission_event, mission_id))
    weights = await read_weights(work, mission.weights_version)
    return MissionDetail.model_validate(mission_values(mission, weights) | {"history": history})


@router.post("/missions/{mission_id}/acceptance", **allow("matching:write", Role.ASSOCIATION, Role.VOLUNTEER))
async def accept_mission(work: InWork, mission_id: UUID, response: Response, body: AnswerBody | None = None) -> MissionOut:
    """Accept a proposed mission, as its association or its volunteer; perhaps with what spoke for it most."""
    accepted = await use_cases.accept_mission(work, mission_id, criterion=body.criterion if body else None)
    return await _answer(work, response, accepted)


@router.post("/missions/{mission_id}/approval", **allow("matching:write", Role.COMPANY))
async def approve_mission(work: InWork, mission_id: UUID, response: Response, body: AnswerBody | None = None) -> MissionOut:
    """Approve an employee's professional mission, as the company."""
    approved = await use_cases.approve_mission(work, mission_id, criterion=body.criterion if body else None)
    return await _answer(work, response, approved)


@router.post("/missions/{mission_id}/decline", **allow("matching:write", *SIDES))
async def decline_mission(work: InWork, mission_id: UUID, body: DeclineBody, response: Response) -> MissionOut:
    """Decline a proposed mission, with the reason, and perhaps what spoke against it most."""
    declined = await use_cases.decline_mission(work, mission_id, body.reason, criterion=body.criterion)
    return await _answer(work, response, declined)


@router.post("/missions/{mission_id}/cancellation", **allow("matching:write", *SIDES, *TOWN))
async def cancel_mission(work: InWork, mission_id: UUID, body: ReasonBody, response: Response) -> MissionOut:
    """Cancel an agreed mission, with the reason; the town may cancel a proposed or disputed one, too."""
    return await _answer(work, response, await use_cases.cancel_mission(work, mission_id, body.reason))


@router.post("/missions/{mission_id}/start", **allow("matching:write", Role.VOLUNTEER, *TOWN))
async def start_mission(work: InWork, mission_id: UUID, response: Response) -> MissionOut:
    """Start a mission whose credit is reserved."""
    return await _answer(work, response, await use_cases.start_mission(work, mission_id))


@router.post("/missions/{mission_id}/timesheets", status_code=201, **allow("matching:write", Role.VOLUNTEER, *TOWN))
async def enter_timesheet(work: InWork, mission_id: UUID, body: TimesheetBody) -> TimesheetOut:
    """Enter the minutes worked on one day, or correct an earlier timesheet."""
    entered = await use_cases.enter_timesheet(
        work, mission_id, worked_on=body.worked_on, minutes=body.minutes, note=body.note, replaces=body.replaces
    )
    return TimesheetOut.of(entered)


@router.get("/missions/{mission_id}/timesheets", **allow("matching:read", *READERS))
async def list_timesheets(work: InWork, mission_id: UUID, page: OnePage) -> Page[TimesheetOut]:
    """List a mission's timesheets, corrected ones included."""
    await get_mission(work, mission_id)
    return await fetch_page(
        work,
        select_timesheets(mission_id),
        by=timesheet_table.c.id,
        page=page,
        shape=lambda row: TimesheetOut.of(timesheet_from(row)),
    )


@router.post("/missions/{mission_id}/report", **allow("matching:write", Role.VOLUNTEER, *TOWN))
async def report_mission(
    work: InWork, mission_id: UUID, response: Response, body: OptionalReasonBody | None = None
) -> MissionOut:
    """Report the hours as complete; after a dispute, with what was put right."""
    return await _answer(work, response, await use_cases.report_mission(work, mission_id, body.reason if body else None))


@router.post("/missions/{mission_id}/validation", **allow("matching:write", Role.ASSOCIATION, *TOWN))
async def validate_mission(
    work: InWork, mission_id: UUID, response: Response, body: OptionalReasonBody | None = None
) -> MissionOut:
    """Validate the reported hours; in a dispute, with how it was resolved."""
    return await _answer(work, response, await use_cases.validate_mission(work, mission_id, body.reason if body else None))


@router.post("/missions/{mission_id}/dispute", **allow("matching:write", Role.ASSOCIATION, *TOWN))
async def dispute_mission(work: InWork, mission_id: UUID, body: ReasonBody, response: Response) -> MissionOut:
    """Dispute the reported hours, with the reason."""
    return await _answer(work, response, await use_cases.dispute_mission(work, mission_id, body.reason))


async def _answer(work: Work, response: Response, mission: Mission) -> MissionOut:
    set_etag(response, mission.version)
    return MissionOut.of(mission, await read_weights(work, mission.weights_version))

"""Needs over HTTP."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Response

from kernel.auth import EVERYONE, TOWN, Role
from kernel.paging import OnePage, Page, fetch_page
from kernel.routing import InWork, VersionToEdit, allow, make_router
from kernel.work import Work
from services.matching.domain.needs import Need
from services.matching.domain.shared import Outcome
from services.matching.domain.states import NeedState
from services.matching.routes.shared import Ref, set_etag
from services.matching.schemas.needs import NeedBody, NeedDetail, NeedEdit, NeedOut, NeedSaved, QualificationBody, need_values
from services.matching.schemas.shared import ReasonBody, history_values
from services.matching.store.history import list_steps
from services.matching.store.needs import get_need, need_from, select_visible_needs
from services.matching.tables import need as need_table
from services.matching.tables import need_event
from services.matching.use_cases import needs as use_cases
from services.matching.use_cases.needs import NeedToWrite, may_act_for

router = make_router("needs")
WRITERS = (Role.ASSOCIATION, *TOWN)


@router.post("/needs", status_code=201, **allow("matching:write", *WRITERS))
async def write_need(work: InWork, body: NeedBody, response: Response) -> NeedOut:
    """Write a need (draft)."""
    return _answer(response, await use_cases.write_need(work, _wish(body)))


@router.put(
    "/needs/refs/{ref}", responses={201: {"model": NeedSaved, "description": "Created"}}, **allow("matching:write", *TOWN)
)
async def put_need(work: InWork, ref: Ref, body: NeedBody, response: Response) -> NeedSaved:
    """Write or update the need kept under the town's own key; its state stays."""
    need, outcome = await use_cases.put_need(work, ref, _wish(body))
    response.status_code = 201 if outcome is Outcome.CREATED else 200
    set_etag(response, need.version)
    return NeedSaved.model_validate(need_values(need, full=True) | {"outcome": outcome})


@router.get("/needs", **allow("matching:read", *EVERYONE))
async def list_needs(
    work: InWork,
    page: OnePage,
    *,
    state: Annotated[NeedState | None, Query()] = None,
    association_id: Annotated[UUID | None, Query()] = None,
    campaign_id: Annotated[UUID | None, Query()] = None,
) -> Page[NeedOut]:
    """List the needs that the caller may see: open ones, an association's own, those of one's missions; the town all."""
    query = select_visible_needs(work.caller)
    for column, value in (("state", state), ("association_id", association_id), ("campaign_id", campaign_id)):
        if value is not None:
            query = query.where(need_table.c[column] == value)

    def shape(row: Any) -> NeedOut:
        need = need_from(row)
        return NeedOut.of(need, full=_may_see_all(work, need))

    return await fetch_page(work, query, by=need_table.c.id, page=page, shape=shape)


@router.get("/needs/{need_id}", **allow("matching:read", *EVERYONE))
async def read_need(work: InWork, need_id: UUID, response: Response) -> NeedDetail:
    """Read a need; the town, the auditor and its association also read its history."""
    need = await get_need(work, need_id)
    set_etag(response, need.version)
    full = _may_see_all(work, need)
    steps = await list_steps(work, need_event, need_id) if full else []
    history = history_values(steps)
    return NeedDetail.model_validate(need_values(need, full=full) | {"history": history})


@router.patch("/needs/{need_id}", **allow("matching:write", *WRITERS))
async def edit_need(work: InWork, need_id: UUID, body: NeedEdit, version: VersionToEdit, response: Response) -> NeedOut:
    """Edit a need: its association while it is a draft, the town until a mission is proposed."""
    return _answer(response, await use_cases.edit_need(work, need_id, body.changes(), version=version))


@router.post("/needs/{need_id}/qualification", **allow("matching:write", Role.OPERATOR))
async def qualify_need(work: InWork, need_id: UUID, body: QualificationBody, response: Response) -> NeedOut:
    """Qualify a draft, after going through it with the association."""
    return _answer(response, await use_cases.qualify_need(work, need_id, body.note))


@router.post("/needs/{need_id}/opening", **allow("matching:write", Role.OPERATOR))
async def open_need(work: InWork, need_id: UUID, response: Response) -> NeedOut:
    """Open a qualified need, so that it may be served."""
    return _answer(response, await use_cases.open_need(work, need_id))


@router.post("/needs/{need_id}/withdrawal", **allow("matching:write", *WRITERS))
async def withdraw_need(work: InWork, need_id: UUID, body: ReasonBody, response: Response) -> NeedOut:
    """Withdraw a need that no mission is agreed for."""
    return _answer(response, await use_cases.withdraw_need(work, need_id, body.reason))


def _may_see_all(work: Work, need: Need) -> bool:
    """Whether note, key and history are the caller's to read, too."""
    return may_act_for(work, need) or Role.AUDITOR in work.caller.roles


def _wish(body: NeedBody) -> NeedToWrite:
    return NeedToWrite(body.campaign_id, body.association_id, body.facts())


def _answer(response: Response, need: Need) -> NeedOut:
    set_etag(response, need.version)
    return NeedOut.of(need, full=True)

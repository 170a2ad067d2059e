"""Offers over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from kernel.auth import TOWN, Role
from kernel.paging import OnePage, Page, fetch_page
from kernel.routing import InWork, VersionToEdit, allow, make_router
from kernel.work import Work
from services.matching.domain.offers import Offer
from services.matching.domain.shared import Outcome
from services.matching.domain.states import OfferState
from services.matching.routes.shared import Ref, set_etag
from services.matching.schemas.offers import OfferBody, OfferDetail, OfferEdit, OfferOut, OfferSaved, offer_values
from services.matching.schemas.shared import OptionalReasonBody, history_values
from services.matching.store.history import list_steps
from services.matching.store.offers import count_promised_minutes, get_offer, offer_from, select_visible_offers
from services.matching.tables import offer as offer_table
from services.matching.tables import offer_event
from services.matching.use_cases import offers as use_cases
from services.matching.use_cases.offers import OfferToWrite

router = make_router("offers")
WRITERS = (Role.VOLUNTEER, *TOWN)
READERS = (*WRITERS, Role.COMPANY, Role.AUDITOR)
WITHDRAWN_BY_VOLUNTEER = "La personne bénévole retire son offre."


@router.post("/offers", status_code=201, **allow("matching:write", *WRITERS))
async def write_offer(work: InWork, body: OfferBody, response: Response) -> OfferOut:
    """Write an offer of skills (draft)."""
    return await _answer(work, response, await use_cases.write_offer(work, _wish(body)))


@router.put(
    "/offers/refs/{ref}", responses={201: {"model": OfferSaved, "description": "Created"}}, **allow("matching:write", *TOWN)
)
async def put_offer(work: InWork, ref: Ref, body: OfferBody, response: Response) -> OfferSaved:
    """Write or update the offer kept under the town's own key; its state stays."""
    offer, outcome = await use_cases.put_offer(work, ref, _wish(body))
    response.status_code = 201 if outcome is Outcome.CREATED else 200
    set_etag(response, offer.version)
    values = offer_values(offer, promised_minutes=await count_promised_minutes(work, offer.id))
    return OfferSaved.model_validate(values | {"outcome": outcome})


@router.get("/offers", **allow("matching:read", *READERS))
async def list_offers(
    work: InWork,
    page: OnePage,
    *,
    state: Annotated[OfferState | None, Query()] = None,
    volunteer_id: Annotated[UUID | None, Query()] = None,
) -> Page[OfferOut]:
    """List the offers that the caller may see: one's own, a company its employees' professional ones, the town all."""
    query = select_visible_offers(work.caller)
    if state is not None:
        query = query.where(offer_table.c.state == state)
    if volunteer_id is not None:
        query = query.where(offer_table.c.volunteer_id == volunteer_id)
    return await fetch_page(
        work,
        query,
        by=offer_table.c.id,
        page=page,
        shape=lambda row: OfferOut.of(offer_from(row), promised_minutes=row.promised_minutes),
    )


@router.get("/offers/{offer_id}", **allow("matching:read", *READERS))
async def read_offer(work: InWork, offer_id: UUID, response: Response) -> OfferDetail:
    """Read an offer with its history."""
    offer, promised_minutes = await get_offer(work, offer_id)
    set_etag(response, offer.version)
    history = history_values(await list_steps(work, offer_event, offer_id))
    return OfferDetail.model_validate(offer_values(offer, promised_minutes=promised_minutes) | {"history": history})


@router.patch("/offers/{offer_id}", **allow("matching:write", *WRITERS))
async def edit_offer(work: InWork, offer_id: UUID, body: OfferEdit, version: VersionToEdit, response: Response) -> OfferOut:
    """Edit an offer, never below the minutes that missions count on."""
    return await _answer(work, response, await use_cases.edit_offer(work, offer_id, body.changes(), version=version))


@router.post("/offers/{offer_id}/opening", **allow("matching:write", *WRITERS))
async def open_offer(work: InWork, offer_id: UUID, response: Response) -> OfferOut:
    """Open a draft or paused offer, so that it is proposed."""
    return await _answer(work, response, await use_cases.open_offer(work, offer_id))


@router.post("/offers/{offer_id}/pause", **allow("matching:write", *WRITERS))
async def pause_offer(work: InWork, offer_id: UUID, response: Response) -> OfferOut:
    """Pause an open offer; missions go on."""
    return await _answer(work, response, await use_cases.pause_offer(work, offer_id))


@router.post("/offers/{offer_id}/withdrawal", **allow("matching:write", *WRITERS))
async def withdraw_offer(work: InWork, offer_id: UUID, response: Response, body: OptionalReasonBody | None = None) -> OfferOut:
    """Withdraw an offer; agreed missions go on, proposed ones end."""
    reason = (body and body.reason) or WITHDRAWN_BY_VOLUNTEER
    return await _answer(work, response, await use_cases.withdraw_offer(work, offer_id, reason))


def _wish(body: OfferBody) -> OfferToWrite:
    return OfferToWrite(body.volunteer_id, body.facts())


async def _answer(work: Work, response: Response, offer: Offer) -> OfferOut:
    set_etag(response, offer.version)
    return OfferOut.of(offer, promised_minutes=await count_promised_minutes(work, offer.id))

"""The ledger: accounts, books, transfers and their reversal, holds, refusals."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from kernel.auth import EVERYONE, Role
from kernel.paging import OnePage, Page, fetch_page
from kernel.routing import InWork, allow, make_router
from services.credits.domain.approvals import CarryInOfCredit, ReversalOfTransfer
from services.credits.domain.holds import HoldState
from services.credits.domain.ledger import AccountKind, TransferKind
from services.credits.routes.access import CONCERNED, only_own
from services.credits.routes.approvals import WAITS, answer_waiting
from services.credits.routes.times import AtInstant
from services.credits.schemas.ledger import (
    AccountOut,
    BooksOut,
    CarriedIn,
    CarriedOver,
    CarryInBody,
    HoldOut,
    LotOut,
    RefusalOut,
    ReversalBody,
    TransferOut,
)
from services.credits.store import campaigns, holds, lots, refusals
from services.credits.store import ledger as store
from services.credits.store.registry import find_actors
from services.credits.store.statements import list_balances_at
from services.credits.tables import account, hold, lot, refusal, transfer
from services.credits.use_cases.approvals import check_safeguards
from services.credits.use_cases.expiries import carry_credit_in, list_left
from services.credits.use_cases.reversals import reverse_transfer

router = make_router("credits")


@router.get("/campaigns/{id}/accounts", **allow("credits:read", *CONCERNED))
async def get_accounts(
    work: InWork, id: UUID, page: OnePage, at: AtInstant, *, kind: AccountKind | None = None, holder_id: UUID | None = None
) -> Page[AccountOut]:
    """List the accounts with their balances, now or as of an instant of either time.

    The campaign's own are for everybody, the others for whom they concern.
    """
    await campaigns.get_campaign(work, id)
    query = only_own(store.select_accounts(id), work.caller, account.c.holder_id, shared=id)
    if kind is not None:
        query = query.where(account.c.kind == kind)
    if holder_id is not None:
        query = query.where(account.c.holder_id == holder_id)
    found = await fetch_page(work, query, by=account.c.id, page=page, shape=AccountOut.of)
    if at is None:
        return found
    balances = await list_balances_at(work, id, [one.id for one in found.items], at)
    return Page(items=[one.as_of(*balances.get(one.id, (0, 0))) for one in found.items], next=found.next)


@router.get("/campaigns/{id}/books", **allow("credits:read", *EVERYONE))
async def get_books(work: InWork, id: UUID) -> BooksOut:
    """Add up the books, from the balances and from the entries: both sums are zero."""
    await campaigns.get_campaign(work, id)
    return BooksOut.model_validate(await store.get_books(work, id), from_attributes=True)


@router.get("/campaigns/{id}/transfers", **allow("credits:read", *CONCERNED))
async def get_transfers(
    work: InWork,
    id: UUID,
    page: OnePage,
    *,
    kind: TransferKind | None = None,
    mission_id: Annotated[UUID | None, Query(description="What was moved for this mission.")] = None,
) -> Page[TransferOut]:
    """List the transfers, the oldest first: who, why, when it took effect and when it was recorded."""
    await campaigns.get_campaign(work, id)
    query = store.select_transfers().where(transfer.c.campaign_id == id)
    query = only_own(query, work.caller, store.source.c.holder_id, store.target.c.holder_id)
    if kind is not None:
        query = query.where(transfer.c.kind == kind)
    if mission_id is not None:
        query = query.where(transfer.c.mission_id == mission_id)
    return await fetch_page(work, query, by=transfer.c.id, page=page, shape=lambda row: TransferOut.of(store.transfer_of(row)))


@router.post(
    "/transfers/{id}/reversal",
    status_code=201,
    response_model=TransferOut,
    responses=WAITS,
    **allow("credits:write", Role.OFFICER),
)
async def post_reversal(work: InWork, id: UUID, body: ReversalBody) -> TransferOut | Response:
    """Undo a transfer by its opposite, in whole or in parts, where no bound is in the way; served and delivered go together."""
    if (waiting := await check_safeguards(work, ReversalOfTransfer(id, body.minutes), reason=body.reason)) is not None:
        return answer_waiting(work, waiting)
    return TransferOut.of(await reverse_transfer(work, id, reason=body.reason, minutes=body.minutes))


@router.get("/campaigns/{id}/lots", **allow("credits:read", *CONCERNED))
async def get_lots(work: InWork, id: UUID, page: OnePage, *, association_id: UUID | None = None) -> Page[LotOut]:
    """List the lots: each grant's minutes, what is left of them, and when they expire."""
    await campaigns.get_campaign(work, id)
    query = only_own(lots.select_lots(id), work.caller, lot.c.association_id)
    if association_id is not None:
        query = query.where(lot.c.association_id == association_id)
    return await fetch_page(work, query, by=lot.c.id, page=page, shape=LotOut.of)


@router.get("/campaigns/{id}/carried-over", **allow("credits:read", Role.OFFICER, Role.OPERATOR, Role.AUDITOR))
async def get_carried_over(work: InWork, id: UUID) -> CarriedOver:
    """Read what a campaign carried over and no later one took yet: what `POST /campaigns/{later}/carry-ins` would bring."""
    left = await list_left(work, await campaigns.get_campaign(work, id))
    return CarriedOver.of(left, await find_actors(work, left))


@router.post(
    "/campaigns/{id}/carry-ins",
    status_code=201,
    response_model=CarriedIn,
    responses=WAITS,
    **allow("credits:write", Role.OFFICER),
)
async def post_carry_in(work: InWork, id: UUID, body: CarryInBody) -> CarriedIn | Response:
    """Bring what an earlier campaign carried over into this one: a lot for each association, until this one's end or before."""
    carry_in = CarryInOfCredit(id, body.from_campaign_id, body.expires_on)
    if (waiting := await check_safeguards(work, carry_in, reason="Report de crédit d'une campagne close")) is not None:
        return answer_waiting(work, waiting)
    minutes = await carry_credit_in(work, id, from_campaign_id=body.from_campaign_id, expires_on=body.expires_on)
    return CarriedIn(minutes=minutes)


@router.get("/campaigns/{id}/holds", **allow("credits:read", *CONCERNED))
async def get_holds(work: InWork, id: UUID, page: OnePage, *, state: HoldState | None = None) -> Page[HoldOut]:
    """List the missions that asked for credit, and what became of it."""
    await campaigns.get_campaign(work, id)
    query = only_own(holds.select_holds(id), work.caller, hold.c.association_id, hold.c.contributor_id)
    if state is not None:
        query = query.where(hold.c.state == state)
    return await fetch_page(work, query, by=hold.c.mission_id, page=page, shape=HoldOut.of)


@router.get("/campaigns/{id}/refusals", **allow("credits:read", *CONCERNED))
async def get_refusals(work: InWork, id: UUID, page: OnePage) -> Page[RefusalOut]:
    """List what was refused, of missions and of what is done by hand, each with its reason."""
    await campaigns.get_campaign(work, id)
    query = only_own(refusals.select_refusals(id), work.caller, refusal.c.association_id, refusal.c.contributor_id)
    return await fetch_page(work, query, by=refusal.c.id, page=page, shape=RefusalOut.of)

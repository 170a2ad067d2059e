"""Offers as rows, and as candidates with what is left of them."""

from collections.abc import Collection
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, and_, bindparam, case, func, insert, or_, select, true, update
from sqlalchemy import false as nothing

from kernel.auth import Caller, Role
from kernel.errors import NotFound
from kernel.statements import Prepared
from kernel.work import Work
from services.matching.domain.offers import Candidate, Offer, OfferFacts
from services.matching.domain.shared import Setting
from services.matching.domain.states import EDITABLE_OFFERS, LIVE, MissionState, OfferState, Step
from services.matching.domain.week import WeekPart
from services.matching.store.facts import facts_values, is_any, point_from, skills_from
from services.matching.store.history import Change
from services.matching.tables import member, mission, offer, offer_event


def offer_from(row: Row[Any]) -> Offer:
    facts = OfferFacts(
        title=row.title,
        description=row.description,
        skills=skills_from(row),
        minutes=row.minutes,
        available_from=row.available_from,
        available_until=row.available_until,
        commune=row.commune,
        remote=row.remote,
        radius_km=row.radius_km,
        setting=Setting(row.setting),
        languages=tuple(row.languages),
        week=tuple(WeekPart(part) for part in row.week),
        point=point_from(row),
        excluded_associations=tuple(row.excluded_associations),
        honorability_checked_on=row.honorability_checked_on,
        charter_signed=row.charter_signed,
    )
    return Offer(row.id, row.ref, row.volunteer_id, facts, OfferState(row.state), row.version)


def _values(saved: Offer) -> dict[str, Any]:
    return {
        "ref": saved.ref,
        "volunteer_id": saved.volunteer_id,
        **facts_values(saved.facts),
        "state": saved.state,
        "version": saved.version,
    }


_CHANGING = [column.name for column in offer.c if column.name not in {"territory", "id", "created_at"}]
_INSERT = Change(insert(offer), offer_event, columns=offer.c.keys())
_SAVE = Change(update(offer).where(offer.c.id == bindparam("of")), offer_event, columns=_CHANGING)


async def insert_offer(work: Work, saved: Offer, *steps: Step[OfferState]) -> None:
    values = {"territory": work.territory, "id": saved.id, **_values(saved), "created_at": work.now, "changed_at": work.now}
    await _INSERT.run(work, saved.id, values, *steps)


async def save_offer(work: Work, saved: Offer, *steps: Step[OfferState]) -> None:
    """Write a locked offer back, with the steps of its state."""
    await _SAVE.run(work, saved.id, {"of": saved.id, **_values(saved), "changed_at": work.now}, *steps)


_LOCK = Prepared(select(offer).where(offer.c.id == bindparam("id")).with_for_update())
_LOCK_BY_REF = Prepared(select(offer).where(offer.c.ref == bindparam("ref")).with_for_update())


async def lock_offer(work: Work, id: UUID) -> Offer:
    row = (await work.run(_LOCK, id=id)).first()
    if row is None:
        raise NotFound(f"There is no offer {id} here; GET /offers lists those you can see.")
    return offer_from(row)


async def lock_offer_by_ref(work: Work, ref: str) -> Offer | None:
    row = (await work.run(_LOCK_BY_REF, ref=ref)).first()
    return offer_from(row) if row else None


def select_visible_offers(caller: Caller) -> Select[Any]:
    """Offers with `promised_minutes`. A volunteer sees their own, a company its employees' professional ones."""
    promised = func.coalesce(_PROMISED.c.minutes, 0).label("promised_minutes")
    joined = offer.outerjoin(_PROMISED, and_(_PROMISED.c.territory == offer.c.territory, _PROMISED.c.offer_id == offer.c.id))
    return select(offer, promised).select_from(joined).where(_is_visible(caller))


def _is_visible(caller: Caller) -> ColumnElement[bool]:
    if caller.is_town or Role.AUDITOR in caller.roles:
        return true()
    conditions: list[ColumnElement[bool]] = [nothing()]
    if Role.VOLUNTEER in caller.roles and caller.member_id:
        conditions.append(offer.c.volunteer_id == caller.member_id)
    if Role.COMPANY in caller.roles and caller.actor_id:
        employees = select(member.c.id).where(member.c.actor_id == caller.actor_id)
        conditions.append(and_(offer.c.setting == Setting.PROFESSIONAL, offer.c.volunteer_id.in_(employees)))
    return or_(*conditions)


async def get_offer(work: Work, id: UUID) -> tuple[Offer, int]:
    """The offer, if the caller may see it, and the minutes that missions count on."""
    row = (await work.connection.execute(select_visible_offers(work.caller).where(offer.c.id == id))).first()
    if row is None:
        raise NotFound(f"There is no offer {id} that you can see; GET /offers lists those you can.")
    return offer_from(row), row.promised_minutes


# One comparison for each: a list of states is bound anew with every statement, and such a one cannot be prepared.
_TAKES = or_(*(mission.c.state == state for state in (*LIVE, MissionState.CLOSED)))
# A live mission counts on its agreed minutes, a closed one has taken those that were served.
_PROMISED = (
    select(
        mission.c.territory,
        mission.c.offer_id,
        func.sum(case((mission.c.state == MissionState.CLOSED, mission.c.served_minutes), else_=mission.c.minutes)).label(
            "minutes"
        ),
    )
    .where(_TAKES)
    .group_by(mission.c.territory, mission.c.offer_id)
    .subquery("promised")
)
# Of whatever offer of the volunteer.
_GIVEN = (
    select(mission.c.territory, mission.c.volunteer_id, func.count().label("missions"))
    .where(_TAKES)
    .group_by(mission.c.territory, mission.c.volunteer_id)
    .subquery("given")
)


_COUNT_PROMISED = Prepared(select(_PROMISED.c.minutes).where(_PROMISED.c.offer_id == bindparam("offer_id")))


async def count_promised_minutes(work: Work, offer_id: UUID) -> int:
    """Minutes of the offer that live and closed missions have taken."""
    return int((await work.run(_COUNT_PROMISED, offer_id=offer_id)).scalar() or 0)


async def list_candidates(work: Work, *, only: UUID | Collection[UUID] | None = None, lock: bool = False) -> list[Candidate]:
    """Open offers of volunteers whom the registry told about and did not archive; `lock` holds them until the commit."""
    if lock:
        await _lock_open_offers(work, only=only)
    query = (
        select(
            offer,
            member.c.actor_id.label("employer_id"),
            func.coalesce(_PROMISED.c.minutes, 0).label("promised_minutes"),
            func.coalesce(_GIVEN.c.missions, 0).label("missions"),
        )
        .join(member, and_(member.c.territory == offer.c.territory, member.c.id == offer.c.volunteer_id, ~member.c.archived))
        .outerjoin(_PROMISED, and_(_PROMISED.c.territory == offer.c.territory, _PROMISED.c.offer_id == offer.c.id))
        .outerjoin(_GIVEN, and_(_GIVEN.c.territory == offer.c.territory, _GIVEN.c.volunteer_id == offer.c.volunteer_id))
        .where(_is_candidate(only))
        .order_by(offer.c.id)
    )
    rows = await work.connection.execute(query)
    return [Candidate(offer_from(row), row.minutes - row.promised_minutes, row.missions, row.employer_id) for row in rows]


async def _lock_open_offers(work: Work, *, only: UUID | Collection[UUID] | None) -> None:
    await work.connection.execute(select(offer.c.id).where(_is_candidate(only)).order_by(offer.c.id).with_for_update())


def _is_candidate(only: UUID | Collection[UUID] | None) -> ColumnElement[bool]:
    is_open = offer.c.state == OfferState.OPEN
    if only is None:
        return is_open
    return and_(is_open, offer.c.id == only if isinstance(only, UUID) else is_any(offer.c.id, only))


async def lock_passed_offers(work: Work, *, today: date, limit: int) -> list[Offer]:
    has_passed = and_(offer.c.available_until < today, offer.c.state.in_(EDITABLE_OFFERS))
    query = select(offer).where(has_passed).order_by(offer.c.id).limit(limit)
    return [offer_from(row) for row in await work.connection.execute(query.with_for_update(skip_locked=True))]

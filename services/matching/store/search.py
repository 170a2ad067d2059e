"""The rows in which candidates are found: written with each offer and need, and brought up to date when something behind them
has changed (0004_candidates.py says what is in them)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, func, or_, select, update

from kernel.statements import write_row
from kernel.work import Work
from services.matching.domain.globe import place_on_globe, square_of_reach
from services.matching.domain.needs import Need
from services.matching.domain.offers import Offer
from services.matching.domain.shared import Commune, Point, Setting, language_mask
from services.matching.domain.states import NeedState, OfferState
from services.matching.domain.week import week_mask
from services.matching.store.needs import need_from
from services.matching.store.offers import offer_from
from services.matching.tables import need, need_search, offer, offer_search


@dataclass(frozen=True)
class Found:
    """How an offer or need is found: its tokens (none unless it is open), and the referential they were made with."""

    referential: str
    tokens: Sequence[int] = ()
    skills: Sequence[int] = ()
    place: Point | Commune | None = None


_SAVE_OFFER = write_row(offer_search, keeping=("free_minutes", "missions"))
_SAVE_NEED = write_row(need_search)


async def save_offer_search(work: Work, saved: Offer, found: Found) -> None:
    """Free minutes and the count of missions are the triggers' to keep."""
    facts = saved.facts
    values: dict[str, Any] = {
        "volunteer_id": saved.volunteer_id,
        "version": saved.version,
        "referential": found.referential,
        "tokens": list(found.tokens),
        "skills": list(found.skills),
        "commune": facts.commune,
        **dict(zip("xyz", place_on_globe(found.place) if found.place else (None, None, None), strict=True)),
        "reach_squared": square_of_reach(facts.radius_km),
        "remote": facts.remote,
        "available_from": facts.available_from,
        "available_until": facts.available_until,
        "week": week_mask(facts.week),
        "languages": language_mask(facts.languages),
        "professional": facts.setting is Setting.PROFESSIONAL,
        "cleared": facts.honorability_checked_on is not None,
        "charter_signed": facts.charter_signed,
        "minutes": facts.minutes,
    }
    first = {"territory": work.territory, "offer_id": saved.id, "free_minutes": facts.minutes, "missions": 0}
    await work.run(_SAVE_OFFER, **first, **values)


async def save_need_search(work: Work, saved: Need, found: Found) -> None:
    values: dict[str, Any] = {
        "version": saved.version,
        "referential": found.referential,
        "tokens": list(found.tokens),
        "commune": saved.facts.commune,
    }
    await work.run(_SAVE_NEED, territory=work.territory, need_id=saved.id, **values)


async def mark_commune(work: Work, insee: str) -> None:
    """A commune's place has changed: who is found by it is to be read anew."""
    for search in (offer_search, need_search):
        await work.connection.execute(update(search).where(search.c.commune == insee).values(referential=""))


async def lock_stale_offers(work: Work, *, fresh: Collection[str], limit: int) -> list[Offer]:
    """Offers whose row is missing, older than they are, or made with a referential that is none of the `fresh` ones."""
    is_same = and_(offer_search.c.territory == offer.c.territory, offer_search.c.offer_id == offer.c.id)
    is_stale = _is_stale(offer, offer_search, is_open=offer.c.state == OfferState.OPEN, fresh=fresh)
    query = select(offer).outerjoin(offer_search, is_same).where(is_stale).order_by(offer.c.id).limit(limit)
    rows = await work.connection.execute(query.with_for_update(of=offer, skip_locked=True))
    return [offer_from(row) for row in rows]


async def lock_stale_needs(work: Work, *, fresh: Collection[str], limit: int) -> list[Need]:
    is_same = and_(need_search.c.territory == need.c.territory, need_search.c.need_id == need.c.id)
    is_stale = _is_stale(need, need_search, is_open=need.c.state == NeedState.OPEN, fresh=fresh)
    query = select(need).outerjoin(need_search, is_same).where(is_stale).order_by(need.c.id).limit(limit)
    return [need_from(row) for row in await work.connection.execute(query.with_for_update(of=need, skip_locked=True))]


def _is_stale(owner: Table, search: Table, *, is_open: ColumnElement[bool], fresh: Collection[str]) -> ColumnElement[bool]:
    differs = or_(search.c.version.is_(None), search.c.version != owner.c.version, search.c.referential.not_in(fresh))
    return or_(and_(is_open, differs), and_(~is_open, func.cardinality(search.c.tokens) > 0))

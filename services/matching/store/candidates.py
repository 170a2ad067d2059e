"""The best candidates of one need, and the needs that one offer may serve, from an index.

The database ranks by a **bound** that is never below the score (it equals it but for a metre of distance and the days of a
short week), so that whoever reads far enough down has the best for certain; the score itself is the engine's.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    ColumnElement,
    Date,
    Float,
    FunctionElement,
    Integer,
    TableValuedAlias,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    select,
)
from sqlalchemy import Uuid as UuidType
from sqlalchemy.dialects.postgresql import BIT

from kernel.work import Work
from services.matching.domain.needs import Need
from services.matching.domain.offers import Candidate
from services.matching.domain.shared import Commune, Point
from services.matching.domain.states import NEVER_SERVED, NeedState, OfferState
from services.matching.domain.week import week_mask
from services.matching.domain.weights import Weights
from services.matching.store.needs import need_from
from services.matching.store.offers import offer_from
from services.matching.tables import campaign, member, mission, need, offer, offer_search

_SIXTHS = 6  # of a wished skill, as in engine/score.py
_WEEK_BITS = 21


@dataclass(frozen=True)
class WantedSkill:
    """A wanted skill as tokens: `exact`, at each level with the sixths it gives, best first; `near`, with percent × sixths."""

    exact: tuple[tuple[int, int], ...]
    near: tuple[tuple[int, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Question:
    """What is looked for: a need, by which tokens, from which place; and what the score depends on besides."""

    need: Need
    tokens: Sequence[int]
    wanted: Sequence[WantedSkill]
    place: Point | Commune | None
    today: date
    weights: Weights
    worked_together: Mapping[UUID, int]  # by volunteer, with the need's association
    unmet_points: int


@dataclass(frozen=True)
class Bound:
    """An offer that may fit, with the most that it can score."""

    offer_id: UUID
    points: int
    free_minutes: int


async def list_bounds(work: Work, question: Question, *, limit: int, offset: int) -> list[Bound]:
    """Offers that pass the gates which plain columns can tell; the greatest bound first, then as `rank` does."""
    found = _find_offers(question)
    points = _bound(question, found).label("points")
    query = (
        select(found.c.offer_id, points, found.c.free_minutes)
        .order_by(points.desc(), found.c.free_minutes, found.c.offer_id)
        .limit(limit)
        .offset(offset)
    )
    return [Bound(row.offer_id, row.points, row.free_minutes) for row in await work.connection.execute(query)]


async def load_candidates(work: Work, offer_ids: Collection[UUID]) -> list[Candidate]:
    """These offers, as far as they are open and their volunteers active members."""
    is_search = and_(offer_search.c.territory == offer.c.territory, offer_search.c.offer_id == offer.c.id)
    is_member = and_(member.c.territory == offer.c.territory, member.c.id == offer.c.volunteer_id, ~member.c.archived)
    query = (
        select(offer, member.c.actor_id.label("employer_id"), offer_search.c.free_minutes, offer_search.c.missions)
        .join(offer_search, is_search)
        .join(member, is_member)
        .where(offer.c.id == func.any(_array(offer_ids, UuidType)), offer.c.state == OfferState.OPEN)
    )
    rows = await work.connection.execute(query)
    return [Candidate(offer_from(row), row.free_minutes, row.missions, row.employer_id) for row in rows]


async def list_offers_by_token(work: Work, tokens: Collection[int], *, most: int) -> list[UUID]:
    """Some open offers with one of these tokens, no more than `most`, in no order."""
    found = func.find_offers_by_token(_array(tokens, BigInteger), most).table_valued("offer_id")
    return list((await work.connection.execute(select(found.c.offer_id))).scalars())


async def list_open_offers(work: Work, *, most: int) -> list[UUID]:
    query = select(offer.c.id).where(offer.c.state == OfferState.OPEN).order_by(offer.c.id).limit(most)
    return list((await work.connection.execute(query)).scalars())


async def list_needs_by_token(work: Work, tokens: Collection[int], *, today: date, given: Candidate, most: int) -> list[Need]:
    """Open needs of open campaigns with one of these tokens that nobody serves, in the offer's days and within its minutes."""
    facts = given.offer.facts
    found = func.find_needs_by_token(_array(tokens, BigInteger)).table_valued("need_id")
    served = select(mission.c.id).where(
        mission.c.territory == need.c.territory, mission.c.need_id == need.c.id, mission.c.state.not_in(NEVER_SERVED)
    )
    query = (
        select(need)
        .join(found, found.c.need_id == need.c.id)
        .join(campaign, and_(campaign.c.territory == need.c.territory, campaign.c.id == need.c.campaign_id))
        .where(
            need.c.state == NeedState.OPEN,
            campaign.c.opened,
            ~campaign.c.closed,
            need.c.starts_on <= facts.available_until,
            need.c.ends_on >= max(facts.available_from, today),
            need.c.minutes <= given.remaining_minutes,
            ~served.exists(),
        )
        .order_by(need.c.ends_on, need.c.id)
        .limit(most)
    )
    return [need_from(row) for row in await work.connection.execute(query)]


def _find_offers(question: Question) -> TableValuedAlias:
    asked, place = question.need.facts, question.place
    arguments: list[FunctionElement[Any] | ColumnElement[Any]] = [
        _array(question.tokens, BigInteger),
        literal(question.today, Date),
        literal(asked.starts_on, Date),
        literal(asked.ends_on, Date),
        literal(asked.minutes, Integer),
        literal(week_mask(asked.week), Integer),
        _array(asked.languages, Text),
        literal(asked.setting, Text),
        literal(asked.with_minors, Boolean),
        literal(asked.charter_required, Boolean),
        literal(place and place.latitude, Float),
        literal(place and place.longitude, Float),
        literal(asked.remote, Boolean),
    ]
    columns = ("offer_id", "volunteer_id", "skills", "metres", "remote", "common_days", "week", "free_minutes", "missions")
    return func.find_offers(*arguments).table_valued(*columns)


def _bound(question: Question, found: TableValuedAlias) -> ColumnElement[int]:
    """engine/score.py, over the columns of `find_offers`; whole numbers divide as they do there."""
    w, asked, c = question.weights, question.need.facts, found.c
    skills = cast(c.skills, ARRAY(BigInteger))
    missions, free = cast(c.missions, Integer), cast(c.free_minutes, Integer)
    number = len(question.wanted)
    met = sum((_met(skills, wanted) for wanted in question.wanted), literal(0))
    near = sum((_near(skills, wanted) for wanted in question.wanted), literal(0))
    far = 1000 * w.far_km
    metres = func.greatest(0, cast(c.metres, Integer) - 1)
    on_the_spot = case((cast(c.metres, Integer) >= 0, w.distance * func.greatest(0, far - metres) // far), else_=0)
    at_a_distance = case((cast(c.remote, Boolean), w.distance * w.remote_percent // 100), else_=0)
    wanted_days = max(1, (asked.ends_on - max(asked.starts_on, question.today)).days + 1)
    mask = week_mask(asked.week)
    common_parts = func.bit_count(cast(cast(c.week, Integer).op("&")(mask), BIT(_WEEK_BITS))) if asked.week else literal(1)
    wanted_parts = mask.bit_count() if asked.week else 1
    newcomer = w.newcomer * func.greatest(0, w.newcomer_missions - missions) // w.newcomer_missions
    parts: list[ColumnElement[Any]] = [
        w.skills * met // (_SIXTHS * number),
        w.near * near // (100 * _SIXTHS * number),
        func.greatest(on_the_spot, at_a_distance),
        w.availability * cast(c.common_days, Integer) * common_parts // (wanted_days * wanted_parts),
        func.least(w.minutes, w.minutes * asked.minutes // func.greatest(1, free)),
        _continuity(question, found),
        newcomer,
    ]
    return cast(sum(parts, literal(question.unmet_points)), Integer)


def _met(skills: ColumnElement[Any], wanted: WantedSkill) -> ColumnElement[int]:
    return case(*[(_has(skills, (token,)), sixths) for sixths, token in wanted.exact], else_=0)


def _near(skills: ColumnElement[Any], wanted: WantedSkill) -> ColumnElement[int]:
    """Nothing where the skill itself is there, at whatever level (the last token is of the lowest)."""
    if not wanted.near:
        return literal(0)
    itself = _has(skills, (wanted.exact[-1][1],))
    return case((itself, 0), *[(_has(skills, tokens), value) for value, tokens in wanted.near], else_=0)


def _has(skills: ColumnElement[Any], tokens: Collection[int]) -> ColumnElement[bool]:
    return skills.op("&&", is_comparison=True)(_array(tokens, BigInteger))


def _continuity(question: Question, found: TableValuedAlias) -> ColumnElement[int]:
    w = question.weights
    volunteers: dict[int, list[UUID]] = {}
    for volunteer_id, missions in question.worked_together.items():
        volunteers.setdefault(min(missions, w.continuity_missions), []).append(volunteer_id)
    if not volunteers:
        return literal(0)
    volunteer = cast(found.c.volunteer_id, UuidType)
    cases = [
        (volunteer == func.any(_array(ids, UuidType)), w.continuity * missions // w.continuity_missions)
        for missions, ids in volunteers.items()
    ]
    return case(*cases, else_=0)


def _array(values: Collection[Any], kind: Any) -> ColumnElement[Any]:
    return cast(list(values), ARRAY(kind))

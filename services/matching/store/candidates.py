"""The best candidates of one need, and the needs that one offer may serve, from an index.

The database ranks by a **bound** that is never below the score (it equals it but for some metres of distance and the days of a
short week), so that whoever reads far enough down has the best for certain; the score itself is the engine's.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Integer, and_, cast, func, select
from sqlalchemy import Uuid as UuidType

from kernel.work import Work
from services.matching.domain.globe import SPARE_METRES, place_on_globe
from services.matching.domain.needs import Need
from services.matching.domain.offers import Candidate
from services.matching.domain.shared import Commune, Point, Setting, language_mask
from services.matching.domain.states import NEVER_SERVED, NeedState, OfferState
from services.matching.domain.week import week_mask
from services.matching.domain.weights import Weights
from services.matching.store.needs import need_from
from services.matching.store.offers import offer_from
from services.matching.tables import campaign, member, mission, need, offer, offer_search

_FIND = """
SELECT offer_id, {points} AS points, free_minutes
FROM find_offers($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
ORDER BY points DESC, free_minutes, offer_id LIMIT {limit} OFFSET {offset}
"""
_ARGUMENTS = 14  # of `find_offers`; the volunteers who worked for the association before come after them
_SIXTHS = 6  # of a wished skill, as in engine/score.py
_WEEK_BITS = 21


@dataclass(frozen=True)
class WantedSkill:
    """A wanted skill as tokens: `exact`, at each level with the sixths it gives, best first; `near`, with percent × sixths."""

    exact: tuple[tuple[int, int], ...]
    near: tuple[tuple[int, tuple[int, ...]], ...]
    any_near: tuple[int, ...]  # who has any of the skills near it, at whatever level, has one of these tokens

    @property
    def lowest(self) -> int:
        """Who has the skill at whatever level has this token."""
        return self.exact[-1][1]


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
    asked, place = question.need.facts, question.place
    by_missions = _group_by_missions(question)
    query = _FIND.format(points=_write_bound(question, by_missions), limit=int(limit), offset=int(offset))
    rows = await work.driver.fetch(
        query,
        list(question.tokens),
        question.today,
        asked.starts_on,
        asked.ends_on,
        asked.minutes,
        week_mask(asked.week),
        language_mask(asked.languages),
        None if asked.setting is None else asked.setting is Setting.PROFESSIONAL,
        asked.with_minors,
        asked.charter_required,
        *(place_on_globe(place) if place else (None, None, None)),
        asked.remote,
        *by_missions.values(),
    )
    return [Bound(*row) for row in rows]


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
    found = func.find_offers_by_token(_array(tokens, Integer), most).table_valued("offer_id")
    return list((await work.connection.execute(select(found.c.offer_id))).scalars())


async def list_open_offers(work: Work, *, most: int) -> list[UUID]:
    query = select(offer.c.id).where(offer.c.state == OfferState.OPEN).order_by(offer.c.id).limit(most)
    return list((await work.connection.execute(query)).scalars())


async def list_needs_by_token(work: Work, tokens: Collection[int], *, today: date, given: Candidate, most: int) -> list[Need]:
    """Open needs of open campaigns with one of these tokens that nobody serves, in the offer's days and within its minutes."""
    facts = given.offer.facts
    found = func.find_needs_by_token(_array(tokens, Integer)).table_valued("need_id")
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


def _group_by_missions(question: Question) -> dict[int, list[UUID]]:
    """Volunteers by the number of missions that counts for continuity."""
    volunteers: dict[int, list[UUID]] = {}
    for volunteer_id, missions in question.worked_together.items():
        volunteers.setdefault(min(missions, question.weights.continuity_missions), []).append(volunteer_id)
    return volunteers


def _write_bound(question: Question, by_missions: Collection[int]) -> str:
    """engine/score.py as SQL over the columns of `find_offers`; whole numbers divide there as they do here.

    Written out rather than built by SQLAlchemy: no two needs have the same form, and compiling each costs more than asking.
    Nothing but whole numbers is written in; what people write is bound.
    """
    w, asked = question.weights, question.need.facts
    number = len(question.wanted)
    far = 1000 * w.far_km
    wanted_days = max(1, (asked.ends_on - max(asked.starts_on, question.today)).days + 1)
    mask = week_mask(asked.week)
    common_parts = f"bit_count((week & {mask})::bit({_WEEK_BITS}))" if asked.week else "1"
    wanted_parts = mask.bit_count() if asked.week else 1
    continuity = "".join(
        f" WHEN volunteer_id = ANY(${_ARGUMENTS + place}::uuid[]) THEN {w.continuity * missions // w.continuity_missions}"
        for place, missions in enumerate(by_missions, start=1)
    )
    on_the_spot = (
        f"CASE WHEN metres >= 0 THEN {w.distance} * greatest(0, {far} - greatest(0, metres - {SPARE_METRES})) / {far} ELSE 0 END"
    )
    parts = [
        f"{w.skills} * ({' + '.join(map(_write_met, question.wanted))}) / {_SIXTHS * number}",
        f"{w.near} * ({' + '.join(map(_write_near, question.wanted))}) / {100 * _SIXTHS * number}",
        f"greatest({on_the_spot}, CASE WHEN remote THEN {w.distance * w.remote_percent // 100} ELSE 0 END)",
        f"{w.availability} * common_days * {common_parts} / {wanted_days * wanted_parts}",
        f"least({w.minutes}, {w.minutes * asked.minutes} / greatest(1, free_minutes))",
        f"CASE{continuity} ELSE 0 END" if continuity else "0",
        f"{w.newcomer} * greatest(0, {w.newcomer_missions} - missions) / {w.newcomer_missions}",
        f"{question.unmet_points}",
    ]
    return f"({' + '.join(parts)})::integer"


def _write_met(wanted: WantedSkill) -> str:
    """Most offers lack it: whether it is there at all, at the lowest level, is asked first."""
    cases = "".join(f" WHEN {_write_has_one(token)} THEN {sixths}" for sixths, token in wanted.exact)
    return f"CASE WHEN {_write_has_one(wanted.lowest)} THEN CASE{cases} ELSE 0 END ELSE 0 END"


def _write_near(wanted: WantedSkill) -> str:
    """Nothing where the skill itself is there, at whatever level; most offers have none that is near it, either."""
    if not wanted.near:
        return "0"
    cases = "".join(f" WHEN {_write_has(tokens)} THEN {value}" for value, tokens in wanted.near)
    return f"CASE WHEN NOT {_write_has(wanted.any_near)} OR {_write_has_one(wanted.lowest)} THEN 0{cases} ELSE 0 END"


def _write_has_one(token: int) -> str:
    """A third of what `&&` takes for one token."""
    return f"array_position(skills, {int(token)}) IS NOT NULL"


def _write_has(tokens: Collection[int]) -> str:
    return f"skills && '{{{','.join(str(int(token)) for token in tokens)}}}'::integer[]"


def _array(values: Collection[Any], kind: Any) -> ColumnElement[Any]:
    return cast(list(values), ARRAY(kind))

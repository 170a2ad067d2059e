"""The best offers for one need, and the best needs for one offer: found by an index, measured by the engine."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from kernel.auth import Role
from kernel.clock import local_date
from kernel.errors import Forbidden
from kernel.work import Work
from services.matching.domain.needs import Need, Unmet
from services.matching.domain.refusals import DoesNotFit
from services.matching.domain.shared import Commune, Point
from services.matching.engine.assignment import rank, rank_key
from services.matching.engine.cells import ANYWHERE, list_cells_in_reach, list_cells_of, make_level_token, make_tokens
from services.matching.engine.comparison import find_key, list_near_keys
from services.matching.engine.fit import Fit, assess
from services.matching.engine.score import SIXTHS
from services.matching.engine.surroundings import Surroundings
from services.matching.store.between import count_worked_together, list_turned_down, measure_unmet
from services.matching.store.candidates import (
    Bound,
    Question,
    WantedSkill,
    list_bounds,
    list_needs_by_token,
    list_offers_by_token,
    list_open_offers,
    load_candidates,
)
from services.matching.store.known import list_panels
from services.matching.store.needs import get_need
from services.matching.store.offers import get_offer
from services.matching.store.weights import get_weights, get_weights_version
from services.matching.use_cases.facts import known_communes
from services.matching.use_cases.needs import may_act_for
from services.matching.use_cases.searching import find_place
from services.matching.use_cases.vocabulary import get_vocabulary

MOST_MISSES = 500  # offers that do not fit are looked at, at most, to say why not
MOST_NEEDS = 2000  # needs within reach of one offer are measured, at most
_SPARE = 30  # more are fetched than asked for: some of them a gate blocks that the index does not know
_LEVELS = (3, 2, 1)


@dataclass(frozen=True)
class Candidates:
    """The best that fit, best first; and some of those that do not, the nearest misses first."""

    fitting: list[Fit]
    misses: list[Fit]
    surroundings: Surroundings


async def list_candidates(work: Work, need_id: UUID, *, limit: int) -> Candidates:
    """The open offers that fit a need best, and some that do not, with why not. Nothing is saved."""
    need = await get_need(work, need_id)
    if not may_act_for(work, need):
        raise Forbidden("Candidates are shown to the need's own association and to the town.")
    surroundings = await look_around(work, [need])
    fitting = await find_best_offers(work, need, surroundings, limit=limit)
    return Candidates(fitting, await find_misses(work, need, surroundings), surroundings)


async def list_needs_for(work: Work, offer_id: UUID, *, limit: int) -> Candidates:
    """The open needs that one offer fits best, for its volunteer and the town. Nothing is saved."""
    offer, _ = await get_offer(work, offer_id)
    if not work.caller.is_town and (Role.VOLUNTEER not in work.caller.roles or work.caller.member_id != offer.volunteer_id):
        raise Forbidden("The needs that an offer fits are shown to its volunteer and to the town.")
    candidates = await load_candidates(work, [offer_id])
    if not candidates:
        raise DoesNotFit("This offer is not open, or its volunteer is not an active member.", obstacles=[])
    (candidate,) = candidates
    facts, today = candidate.offer.facts, local_date(work.now)
    in_force, referential = await get_weights(work), (await get_vocabulary(work)).referential
    place = await find_place(work, commune=facts.commune, point=facts.point)
    keys = {
        key
        for skill in facts.skills
        for own in (find_key(skill, referential),)
        for key in (own, *list_near_keys(own, referential, from_percent=in_force.weights.near_from_percent))
    }
    cells = list_cells_in_reach(place, radius_km=facts.radius_km, remote=facts.remote)
    tokens = make_tokens(work.territory, keys, cells)
    needs = await list_needs_by_token(work, tokens, today=today, given=candidate, most=MOST_NEEDS)
    surroundings = await look_around(work, needs)
    fits = sorted((assess(need, candidate, surroundings) for need in needs), key=lambda fit: (-fit.score, fit.need.id))
    misses = sorted((fit for fit in fits if not fit.fits), key=lambda fit: (len(fit.obstacles), fit.need.id))
    return Candidates([fit for fit in fits if fit.fits][:limit], misses, surroundings)


async def find_best_offers(work: Work, need: Need, surroundings: Surroundings, *, limit: int) -> list[Fit]:
    """The `limit` best open offers that fit, best first: exactly those that `rank` would put first among all.

    First those with a wanted skill. Offers with near skills only are many more and score less: of them, only those are looked
    at that can still come as high as the last of the first.
    """
    wanted = {find_key(skill, surroundings.referential) for skill in need.facts.skills}
    question = _ask(work, need, surroundings, wanted)
    fits = await _read_best(work, question, surroundings, [], limit=limit)
    lowest = fits[-1].score if len(fits) == limit else 0
    near = _list_near_keys(need, surroundings, near_sixths=_near_sixths_to_reach(lowest, question))
    if not near:
        return fits
    return await _read_best(work, _ask(work, need, surroundings, near), surroundings, fits, limit=limit)


async def _read_best(work: Work, question: Question, surroundings: Surroundings, best: Sequence[Fit], *, limit: int) -> list[Fit]:
    """The best of `best` and of those that the question finds, whose bounds are read from the greatest down, until no offer
    further down can be better than the last one wanted."""
    fits = list(best)
    offset, step = 0, limit + _SPARE
    while True:
        bounds = await list_bounds(work, question, limit=step, offset=offset)
        for first in range(0, len(bounds), limit):  # most often the first ones are the best, and the others need not be read
            fits = await _read_fits(work, question, surroundings, fits, bounds[first : first + limit], limit=limit)
        if len(bounds) < step or not _may_be_wanted(bounds[-1], fits, limit=limit):
            return fits
        offset, step = offset + step, 2 * step


async def _read_fits(
    work: Work, question: Question, surroundings: Surroundings, best: Sequence[Fit], bounds: Sequence[Bound], *, limit: int
) -> list[Fit]:
    known = {fit.candidate.offer.id for fit in best}
    news = [bound.offer_id for bound in bounds if bound.offer_id not in known and _may_be_wanted(bound, best, limit=limit)]
    candidates = await load_candidates(work, news) if news else []
    fits = [fit for candidate in candidates if (fit := assess(question.need, candidate, surroundings)).fits]
    return sorted([*best, *fits], key=rank_key)[:limit]


def _may_be_wanted(bound: Bound, fits: Sequence[Fit], *, limit: int) -> bool:
    return len(fits) < limit or _key_of(bound) < rank_key(fits[-1])


async def find_misses(work: Work, need: Need, surroundings: Surroundings) -> list[Fit]:
    """Some open offers that do not fit, nearest misses first: those in reach with a wanted skill (or one near it) before others,
    and where there is none in reach, those with such a skill wherever they are (which an index is slow to list)."""
    keys = _list_keys(need, surroundings)
    tokens = make_tokens(work.territory, keys, list_cells_of(_find_place(need, surroundings), remote=need.facts.remote))
    ids = await list_offers_by_token(work, tokens, most=MOST_MISSES)
    if not ids:
        anywhere = make_tokens(work.territory, keys, [ANYWHERE])
        ids = await list_offers_by_token(work, anywhere, most=MOST_MISSES)
    if len(ids) < MOST_MISSES:
        ids += await list_open_offers(work, most=MOST_MISSES)
    candidates = await load_candidates(work, list(dict.fromkeys(ids))[:MOST_MISSES])
    return rank(need, candidates, surroundings)[1]


async def look_around(work: Work, needs: Sequence[Need], *, weights_version: int | None = None) -> Surroundings:
    """What the fits of these needs depend on; with the weights in force unless a version is named."""
    campaign_ids = {need.campaign_id for need in needs}
    in_force = await get_weights(work) if weights_version is None else await get_weights_version(work, weights_version)
    return Surroundings(
        today=local_date(work.now),
        communes=await known_communes(work),
        turned_down=await list_turned_down(work, need_ids=[need.id for need in needs]),
        panels=await list_panels(work, campaign_ids),
        worked_together=await count_worked_together(work, association_ids={need.association_id for need in needs}),
        unmet=await measure_unmet(work, campaign_ids=campaign_ids),
        referential=(await get_vocabulary(work)).referential,
        weights=in_force.weights,
        weights_version=in_force.version,
    )


def _key_of(bound: Bound) -> tuple[int, int, UUID]:
    """As `rank_key` of an offer that scored its bound: whatever follows it cannot come before this."""
    return (-bound.points, bound.free_minutes, bound.offer_id)


def _near_sixths_to_reach(score: int, question: Question) -> int:
    """How much near skills (percent × sixths, over all wanted ones) must bring at least to an offer without any wanted skill,
    for it to score this much when all else is at its best."""
    w = question.weights
    continuity = w.continuity if question.worked_together else 0
    points = score - (w.distance + w.availability + w.minutes + continuity + w.newcomer + question.unmet_points)
    most = 100 * SIXTHS * len(question.wanted)
    if points <= 0:
        return 0
    return -(-points * most // w.near) if w.near else most + 1


def _list_near_keys(need: Need, surroundings: Surroundings, *, near_sixths: int) -> set[str]:
    """Skills of which an offer must have one if near skills are to bring it this much in all: enough to look for.

    Either for some wanted skill the others cannot bring it all, and then one near that skill is needed; or, as always,
    one that brings at least its share. Whichever are fewer.
    """
    referential, from_percent = surroundings.referential, surroundings.weights.near_from_percent
    wanted = {find_key(skill, referential) for skill in need.facts.skills}
    near = {
        key: {other: SIXTHS * percent for other, percent in found.items()}
        for key in wanted
        if (found := list_near_keys(key, referential, from_percent=from_percent))
    }
    most = {key: max(found.values()) for key, found in near.items()}
    if near_sixths > sum(most.values()):
        return set()
    share = -(-near_sixths // len(most)) if most else 0
    choices = [{other for found in near.values() for other, value in found.items() if value >= share}]
    for key, found in near.items():
        if (needed := near_sixths - (sum(most.values()) - most[key])) > 0:
            choices.append({other for other, value in found.items() if value >= needed})
    return min(choices, key=len)


def _list_keys(need: Need, surroundings: Surroundings) -> set[str]:
    """What the need wants, and what can stand in for it."""
    wanted = {find_key(skill, surroundings.referential) for skill in need.facts.skills}
    return wanted | _list_near_keys(need, surroundings, near_sixths=0)


def _ask(work: Work, need: Need, surroundings: Surroundings, keys: Collection[str]) -> Question:
    """The question to the index: who of those with one of these skills fits best?"""
    facts, weights = need.facts, surroundings.weights
    place = _find_place(need, surroundings)
    unmet = surroundings.unmet.get((need.campaign_id, need.association_id), Unmet(0, 0))
    return Question(
        need=need,
        tokens=make_tokens(work.territory, keys, list_cells_of(place, remote=facts.remote)),
        wanted=_list_wanted(need, surroundings),
        place=place,
        today=surroundings.today,
        weights=weights,
        worked_together={volunteer_id: missions for (volunteer_id, _), missions in surroundings.worked_together.items()},
        unmet_points=weights.unmet * unmet.unmet_minutes // unmet.needed_minutes if unmet.needed_minutes else weights.unmet,
    )


def _find_place(need: Need, surroundings: Surroundings) -> Point | Commune | None:
    facts = need.facts
    return facts.point or (surroundings.communes.get(facts.commune) if facts.commune else None)


def _list_wanted(need: Need, surroundings: Surroundings) -> list[WantedSkill]:
    referential, from_percent = surroundings.referential, surroundings.weights.near_from_percent
    levels: dict[str, int] = {}
    for skill in need.facts.skills:
        key = find_key(skill, referential)
        levels[key] = max(levels.get(key, 0), skill.level)
    return [_want(key, wished, list_near_keys(key, referential, from_percent=from_percent)) for key, wished in levels.items()]


def _want(key: str, wished: int, near: dict[str, int]) -> WantedSkill:
    return WantedSkill(
        exact=tuple((SIXTHS * level // wished, make_level_token(key, level)) for level in _LEVELS if level <= wished),
        near=_list_near(near, wished=wished),
        any_near=tuple(make_level_token(other, 1) for other in near),
    )


def _list_near(percents: dict[str, int], *, wished: int) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """The tokens of near skills by what they give (percent × sixths), the best first."""
    by_value: dict[int, list[int]] = {}
    for key, percent in percents.items():
        for level in range(1, wished + 1):
            by_value.setdefault(percent * (SIXTHS * level // wished), []).append(make_level_token(key, level))
    return tuple((value, tuple(by_value[value])) for value in sorted(by_value, reverse=True))

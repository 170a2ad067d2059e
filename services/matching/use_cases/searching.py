"""Offers and needs, each written together with the row that it is found by; and that row brought up to date."""

from kernel.work import Work
from services.matching.domain.needs import Need
from services.matching.domain.offers import Offer
from services.matching.domain.shared import Commune, Point
from services.matching.domain.states import NeedState, OfferState, Step
from services.matching.engine.cells import ANYWHERE, list_cells_in_reach, list_cells_of, make_level_token, make_tokens
from services.matching.engine.comparison import find_key
from services.matching.engine.referential import load_referential
from services.matching.store.needs import insert_need, save_need
from services.matching.store.offers import insert_offer, save_offer
from services.matching.store.search import Found, lock_stale_needs, lock_stale_offers, save_need_search, save_offer_search
from services.matching.use_cases.facts import known_communes

BATCH = 200  # rows a transaction, so that nobody waits long for the locks


async def add_offer(work: Work, offer: Offer, *steps: Step[OfferState]) -> None:
    await insert_offer(work, offer, *steps)
    await save_offer_search(work, offer, await _find_offer_by(work, offer))


async def write_offer_back(work: Work, offer: Offer, *steps: Step[OfferState]) -> None:
    """Save a locked offer, with the steps of its state."""
    await save_offer(work, offer, *steps)
    await save_offer_search(work, offer, await _find_offer_by(work, offer))


async def add_need(work: Work, need: Need, *steps: Step[NeedState]) -> None:
    await insert_need(work, need, *steps)
    await save_need_search(work, need, await _find_need_by(work, need))


async def write_need_back(work: Work, need: Need, *steps: Step[NeedState]) -> None:
    """Save a locked need, with the steps of its state."""
    await save_need(work, need, *steps)
    await save_need_search(work, need, await _find_need_by(work, need))


async def refresh_offers(work: Work) -> int:
    """Offers whose row is out of date: written by an earlier release, or before the referential or a commune changed."""
    offers = await lock_stale_offers(work, referential=load_referential().version, limit=BATCH)
    for offer in offers:
        await save_offer_search(work, offer, await _find_offer_by(work, offer))
    return len(offers)


async def refresh_needs(work: Work) -> int:
    needs = await lock_stale_needs(work, referential=load_referential().version, limit=BATCH)
    for need in needs:
        await save_need_search(work, need, await _find_need_by(work, need))
    return len(needs)


async def find_place(work: Work, *, commune: str | None, point: Point | None) -> Point | Commune | None:
    if point is not None or commune is None:
        return point
    return (await known_communes(work)).get(commune)


async def _find_offer_by(work: Work, offer: Offer) -> Found:
    referential = load_referential()
    if offer.state is not OfferState.OPEN:
        return Found(referential.version)
    facts = offer.facts
    place = await find_place(work, commune=facts.commune, point=facts.point)
    cells = [ANYWHERE, *list_cells_in_reach(place, radius_km=facts.radius_km, remote=facts.remote)]
    keys = {find_key(skill, referential): 0 for skill in facts.skills}
    for skill in facts.skills:
        key = find_key(skill, referential)
        keys[key] = max(keys[key], skill.level)
    skills = sorted(make_level_token(key, level) for key, best in keys.items() for level in range(1, best + 1))
    return Found(referential.version, make_tokens(work.territory, keys, cells), skills, place)


async def _find_need_by(work: Work, need: Need) -> Found:
    referential = load_referential()
    if need.state is not NeedState.OPEN:
        return Found(referential.version)
    facts = need.facts
    place = await find_place(work, commune=facts.commune, point=facts.point)
    cells = list_cells_of(place, remote=facts.remote)
    keys = {find_key(skill, referential) for skill in facts.skills}
    return Found(referential.version, make_tokens(work.territory, keys, cells), place=place)

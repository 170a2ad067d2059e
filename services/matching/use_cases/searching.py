"""Offers and needs that are written back together with the row that they are found by; and that row brought up to date.

What is not open is not found: it has no such row yet, or one without tokens.
"""

from collections.abc import Collection, Sequence

from kernel.work import Work
from services.matching.domain.needs import Need, NeedFacts
from services.matching.domain.offers import Offer, OfferFacts
from services.matching.domain.shared import Commune, Point
from services.matching.domain.states import NeedState, OfferState, Step
from services.matching.engine.cells import ANYWHERE, list_cells_in_reach, list_cells_of, make_level_token, make_tokens
from services.matching.engine.comparison import find_key
from services.matching.engine.skills import normalise_label
from services.matching.engine.vocabulary import Vocabulary
from services.matching.store.needs import save_need
from services.matching.store.offers import save_offer
from services.matching.store.search import Found, lock_stale_needs, lock_stale_offers, save_need_search, save_offer_search
from services.matching.store.unknown_labels import (
    WrittenLabel,
    list_uncoded_labels,
    lock_needs_with_labels,
    lock_offers_with_labels,
)
from services.matching.use_cases.facts import find_known_commune
from services.matching.use_cases.vocabulary import get_vocabulary

BATCH = 200  # rows a transaction, so that nobody waits long for the locks


async def write_offer_back(work: Work, offer: Offer, *steps: Step[OfferState]) -> None:
    """Save a locked offer, with the steps of its state."""
    await save_offer(work, offer, *steps)
    if OfferState.OPEN in (offer.state, *(step.before for step in steps)):
        await save_offer_search(work, offer, await _find_offer_by(work, offer))


async def write_need_back(work: Work, need: Need, *steps: Step[NeedState]) -> None:
    """Save a locked need, with the steps of its state."""
    await save_need(work, need, *steps)
    if NeedState.OPEN in (need.state, *(step.before for step in steps)):
        await save_need_search(work, need, await _find_need_by(work, need))


async def refresh_offers(work: Work) -> int:
    """Offers whose row is out of date: written by an earlier release, or before the referential or a commune changed."""
    offers = await lock_stale_offers(work, fresh=_list_fresh(await get_vocabulary(work)), limit=BATCH)
    for offer in offers:
        await save_offer_search(work, offer, await _find_offer_by(work, offer))
    return len(offers)


async def refresh_needs(work: Work) -> int:
    needs = await lock_stale_needs(work, fresh=_list_fresh(await get_vocabulary(work)), limit=BATCH)
    for need in needs:
        await save_need_search(work, need, await _find_need_by(work, need))
    return len(needs)


async def refresh_labels(work: Work, normalised: Collection[str]) -> None:
    """What is found by these labels, once they name another skill, or one at all; what is more than a batch the job does."""
    needs, offers = await list_uncoded_labels(work)
    for need in await lock_needs_with_labels(work, _pick(needs, normalised), limit=BATCH):
        await save_need_search(work, need, await _find_need_by(work, need))
    for offer in await lock_offers_with_labels(work, _pick(offers, normalised), limit=BATCH):
        await save_offer_search(work, offer, await _find_offer_by(work, offer))


def _pick(written: Sequence[WrittenLabel], normalised: Collection[str]) -> list[str]:
    return [one.label for one in written if normalise_label(one.label) in normalised]


def _list_fresh(vocabulary: Vocabulary) -> tuple[str, str]:
    """The versions by which no row is stale; see `_version_of`."""
    return vocabulary.base.version, f"{vocabulary.base.version}+{vocabulary.revision}"


def _version_of(facts: NeedFacts | OfferFacts, vocabulary: Vocabulary) -> str:
    """What a row rests on: codes on the referential alone, free text also on the words that the territory has added."""
    base, own = _list_fresh(vocabulary)
    return base if all(skill.code for skill in facts.skills) else own


async def find_place(work: Work, *, commune: str | None, point: Point | None) -> Point | Commune | None:
    if point is not None or commune is None:
        return point
    return await find_known_commune(work, commune)


async def _find_offer_by(work: Work, offer: Offer) -> Found:
    facts, vocabulary = offer.facts, await get_vocabulary(work)
    version, referential = _version_of(facts, vocabulary), vocabulary.referential
    if offer.state is not OfferState.OPEN:
        return Found(version)
    place = await find_place(work, commune=facts.commune, point=facts.point)
    cells = [ANYWHERE, *list_cells_in_reach(place, radius_km=facts.radius_km, remote=facts.remote)]
    keys = {find_key(skill, referential): 0 for skill in facts.skills}
    for skill in facts.skills:
        key = find_key(skill, referential)
        keys[key] = max(keys[key], skill.level)
    skills = sorted(make_level_token(key, level) for key, best in keys.items() for level in range(1, best + 1))
    return Found(version, make_tokens(work.territory, keys, cells), skills, place)


async def _find_need_by(work: Work, need: Need) -> Found:
    facts, vocabulary = need.facts, await get_vocabulary(work)
    version, referential = _version_of(facts, vocabulary), vocabulary.referential
    if need.state is not NeedState.OPEN:
        return Found(version)
    place = await find_place(work, commune=facts.commune, point=facts.point)
    cells = list_cells_of(place, remote=facts.remote)
    keys = {find_key(skill, referential) for skill in facts.skills}
    return Found(version, make_tokens(work.territory, keys, cells), place=place)

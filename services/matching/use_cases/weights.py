"""The territory's weights: a new version with its reason, and what it would change, before it does."""

from dataclasses import replace
from uuid import UUID

from kernel.errors import Refused
from kernel.routing import check_version
from kernel.work import Work
from services.matching.domain.needs import Need
from services.matching.domain.weights import Weights, WeightsVersion
from services.matching.engine.fit import Fit
from services.matching.engine.preview import Change, Preview
from services.matching.engine.surroundings import Surroundings
from services.matching.engine.weights import check_weights
from services.matching.store.known import lock_name
from services.matching.store.missions import list_last_missions
from services.matching.store.needs import list_needs, list_unserved_needs
from services.matching.store.weights import get_weights, insert_weights
from services.matching.use_cases.candidates import find_best_offers, look_around

MOST_COMPARED = 40  # open needs, and as many missions of before: each is ranked twice


async def set_weights(work: Work, weights: Weights, *, reason: str, version: int) -> None:
    """A new version, in force at once; missions that are proposed already keep the score that they have."""
    await lock_name(work, "weights")
    current = await get_weights(work)
    check_version(current.version, version)
    check_weights(weights)
    if weights == current.weights:
        raise Refused("These weights are in force already; nothing would change.")
    await insert_weights(work, WeightsVersion(current.version + 1, weights, work.now, work.caller.identity, reason))


async def preview_weights(work: Work, weights: Weights) -> Preview:
    """Which offers would come first: for open needs, and for those of the last missions, as of the day these began.

    The offers are today's, with the minutes that they have left today.
    """
    check_weights(weights)
    missions = {mission.need_id: mission for mission in await list_last_missions(work, limit=MOST_COMPARED)}
    past = await list_needs(work, missions)
    unserved = [need for need in await list_unserved_needs(work, limit=MOST_COMPARED) if need.id not in missions]
    around = await look_around(work, [*unserved, *past])
    changes, compared = [], 0
    for need in (*unserved, *past):
        mission = missions.get(need.id)
        then = replace(around, today=min(around.today, mission.starts_on)) if mission else around
        before = await _find_top(work, need, then)
        after = await _find_top(work, need, replace(then, weights=weights))
        compared += before is not None or after is not None
        if _offer_of(before) != _offer_of(after):
            changes.append(Change(need, mission.id if mission else None, before, after))
    return Preview(compared, tuple(changes))


async def _find_top(work: Work, need: Need, surroundings: Surroundings) -> Fit | None:
    best = await find_best_offers(work, need, surroundings, limit=1)
    return best[0] if best else None


def _offer_of(fit: Fit | None) -> UUID | None:
    return fit.candidate.offer.id if fit else None

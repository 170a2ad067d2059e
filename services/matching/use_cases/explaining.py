"""Why this, why not, and what would have to change: for one mission, one pair, or a need that nobody serves."""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from kernel.auth import Caller, Role
from kernel.errors import Forbidden, NotFound
from kernel.work import Work
from services.matching.domain.missions import Mission
from services.matching.domain.needs import Need
from services.matching.domain.offers import Candidate, Offer, decide_contributor
from services.matching.domain.weights import WeightsVersion
from services.matching.engine.cells import ANYWHERE, make_tokens
from services.matching.engine.comparison import find_key
from services.matching.engine.explaining.answers import Search, WhyNot
from services.matching.engine.explaining.need_record import build_need_record
from services.matching.engine.explaining.record import Reader, build_record
from services.matching.engine.explaining.search import find_cure, find_cures
from services.matching.engine.fit import assess
from services.matching.engine.sentences import write_hours
from services.matching.engine.surroundings import Surroundings
from services.matching.store.candidates import list_offers_by_token, list_open_offers, load_candidates
from services.matching.store.explaining import count_past_missions, find_live_mission, list_live_missions, read_proposed_at
from services.matching.store.history import list_steps
from services.matching.store.minutes import measure_means
from services.matching.store.missions import get_mission
from services.matching.store.needs import get_need
from services.matching.store.offers import get_offer
from services.matching.store.weights import get_weights, list_weights
from services.matching.tables import mission_event
from services.matching.use_cases.candidates import look_around
from services.matching.use_cases.needs import may_act_for

MOST_OFFERS = 10_000  # are looked at for the smallest change
_STEP_FIELDS = ("deed", "side", "happened_at", "reason", "criterion")


async def make_record(work: Work, mission_id: UUID, *, contact: str) -> dict[str, Any]:
    """The record of a mission, for a side of it, the town or the auditor; others find no such mission."""
    mission = await get_mission(work, mission_id)
    steps = [_tell(row) for row in await list_steps(work, mission_event, mission_id)]
    return build_record(
        mission,
        reader=find_reader(work.caller, mission),
        proposed_at=await read_proposed_at(work, mission_id),
        weights=await _find_version(work, mission.weights_version),
        steps=steps,
        contact=contact,
    )


def find_reader(caller: Caller, mission: Mission) -> Reader:
    """As whom the caller reads; the one who sees most first."""
    if caller.is_town or Role.AUDITOR in caller.roles:
        return Reader.TOWN
    if Role.VOLUNTEER in caller.roles and caller.member_id == mission.volunteer_id:
        return Reader.VOLUNTEER
    if Role.COMPANY in caller.roles and caller.actor_id == mission.company_id:
        return Reader.COMPANY
    return Reader.ASSOCIATION


def _tell(row: Any) -> Mapping[str, Any]:
    return {name: getattr(row, name) for name in _STEP_FIELDS}


async def _find_version(work: Work, version: int | None) -> WeightsVersion | None:
    return next((known for known in await list_weights(work) if known.version == version), None)


async def find_smallest_change(work: Work, need_id: UUID) -> Search:
    """What would have to change for somebody to serve a need. For its association, the town and the auditor."""
    need = await get_need(work, need_id)
    if not may_act_for(work, need) and Role.AUDITOR not in work.caller.roles:
        raise Forbidden("What would change a need's chances is shown to its own association and to the town.")
    surroundings = await look_around(work, [need])
    ids, complete = await _list_offers(work, need, surroundings)
    candidates = await load_candidates(work, ids)
    # In a thread: ten thousand offers take a second, and other requests go on meanwhile.
    cures = await asyncio.to_thread(find_cures, need, candidates, surroundings)
    return Search(need, cures, complete, surroundings.referential.version, await _list_limits(work, need))


async def make_need_record(work: Work, need_id: UUID, *, contact: str) -> dict[str, Any]:
    """Why nothing is proposed for a need, as the law wants it told; to whom the smallest change is shown."""
    search = await find_smallest_change(work, need_id)
    return build_need_record(
        search.need,
        search.cures,
        complete=search.complete,
        past_missions=await count_past_missions(work, need_id=need_id),
        in_force=await get_weights(work),
        referential=search.referential,
        limits=search.limits,
        contact=contact,
        now=work.now,
    )


async def _list_offers(work: Work, need: Need, surroundings: Surroundings) -> tuple[list[UUID], bool]:
    """Those with a wanted skill, one near it or one of its group first; then any, up to `MOST_OFFERS`."""
    referential = surroundings.referential
    wanted = {find_key(skill, referential) for skill in need.facts.skills}
    groups = {known.parent for key in wanted if (known := referential.skills.get(key))}
    keys = wanted | {near for key in wanted for near in referential.near_percents.get(key, {})}
    keys |= {skill.code for skill in referential.skills.values() if skill.parent in groups}
    tokens = make_tokens(work.territory, keys, [ANYWHERE])
    ids = dict.fromkeys(await list_offers_by_token(work, tokens, most=MOST_OFFERS))
    if len(ids) < MOST_OFFERS:
        ids |= dict.fromkeys(await list_open_offers(work, most=MOST_OFFERS + 1))
    return list(ids)[:MOST_OFFERS], len(ids) <= MOST_OFFERS


async def explain_pair(work: Work, need_id: UUID, offer_id: UUID) -> WhyNot:
    """Why this offer does not serve this need: the gates, or where its minutes went and who was preferred.

    For the need's association, the offer's volunteer, the town and the auditor.
    """
    need = await get_need(work, need_id)
    candidates = await load_candidates(work, [offer_id])
    offer = await _see_offer(work, need, offer_id, candidates[0].offer if candidates else None)
    fit, cure = None, None
    if candidates:
        surroundings = await look_around(work, [need])
        fit = assess(need, candidates[0], surroundings)
        cure = find_cure(fit, surroundings)
    live = await find_live_mission(work, need_id=need_id)
    return WhyNot(
        need,
        offer,
        fit,
        cure,
        tuple(await list_live_missions(work, offer_id=offer_id)),
        live if live and live.offer_id != offer_id else None,
        is_served=live is not None and live.offer_id == offer_id,
        full=work.caller.is_town or Role.AUDITOR in work.caller.roles,
        limits=await _list_limits(work, need, *candidates),
    )


async def _list_limits(work: Work, need: Need, *candidates: Candidate) -> tuple[str, ...]:
    """What credits will refuse as far as it has told us: the association's credit, the contributor's promise."""
    means, asked = await measure_means(work, need.campaign_id), need.facts.minutes
    limits = []
    if (credit := means.credit_of(need.association_id)) is not None and credit < asked:
        limits.append(f"le crédit de l'association n'y suffit pas : {write_hours(credit)} pour {write_hours(asked)}")
    for candidate in candidates:
        contributor_id, company_id = decide_contributor(candidate.offer, employer_id=candidate.employer_id)
        if (promise := means.promise_of(contributor_id)) is not None and promise < asked:
            whose = "de l'entreprise" if company_id else "de la personne bénévole"
            limits.append(f"la promesse {whose} n'y suffit pas : {write_hours(promise)} pour {write_hours(asked)}")
    return tuple(limits)


async def _see_offer(work: Work, need: Need, offer_id: UUID, opened: Offer | None) -> Offer:
    """A volunteer's own offer in whatever state; an association sees open ones beside its own need, as in its candidates."""
    if opened is not None and may_act_for(work, need):
        return opened
    try:
        offer, _ = await get_offer(work, offer_id)
    except NotFound:
        raise NotFound(f"There is no offer {offer_id} that you can see beside this need.") from None
    return offer

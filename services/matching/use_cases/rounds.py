"""An allocation round as the town leads it: asked, looked at, changed by choices, asked again, stopped; weights tried on it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from kernel.errors import BadInput, NotFound
from kernel.ids import new_id
from kernel.work import Work
from services.matching.domain.refusals import RoundInputsGone, RoundUnderWay, WrongState
from services.matching.domain.rounds import (
    CHOICE_DEEDS,
    Choice,
    ChoiceKind,
    Round,
    RoundTerms,
    check_can_be_tried,
    check_is_no_trial,
    check_takes_choices,
    decide_round,
)
from services.matching.domain.shared import check_campaign
from services.matching.domain.states import Deed, RoundState, Step
from services.matching.domain.weights import Weights
from services.matching.engine.weights import check_weights
from services.matching.store import rounds as store
from services.matching.store.known import find_campaign, lock_name
from services.matching.store.needs import get_need
from services.matching.store.offers import get_offer
from services.matching.store.round_results import has_inputs
from services.matching.store.weights import get_weights, get_weights_version


@dataclass(frozen=True)
class RoundWish:
    """What is asked for; none: as the round it is based on, or the usual."""

    fairness: float | None = None
    whole: bool | None = None
    seed: str | None = None
    weights_version: int | None = None
    served_points: int | None = None
    most_candidates: int | None = None
    note: str = ""


async def ask_round(work: Work, campaign_id: UUID, wish: RoundWish) -> Round:
    """A new round, which waits to be computed. One at a time in a campaign."""
    id = new_id()
    usual = RoundTerms(500, whole=True, seed=str(id), weights_version=(await get_weights(work)).version)
    return await _add(work, id, campaign_id, usual, wish)


async def ask_again(work: Work, round_id: UUID, wish: RoundWish) -> Round:
    """A new round on what is open now, with the terms and the choices of an earlier one; `wish` changes its terms."""
    earlier = await store.get_round(work, round_id)
    check_is_no_trial(earlier, "is not asked again: ask that round again, or try the weights on it once more")
    if earlier.is_under_way:
        raise RoundUnderWay(f"It is {earlier.state}; wait for it or stop it first.", round=str(earlier.id))
    asked = await _add(work, new_id(), earlier.campaign_id, earlier.terms, wish, based_on=earlier.id)
    for choice in await store.list_choices(work, earlier.id):
        await store.save_choice(work, asked.id, choice)
    return asked


async def _add(
    work: Work, id: UUID, campaign_id: UUID, terms: RoundTerms, wish: RoundWish, *, based_on: UUID | None = None
) -> Round:
    check_campaign(await find_campaign(work, campaign_id, hold=True))
    await _take_place(work, campaign_id)
    if wish.weights_version is not None:
        await _check_weights(work, wish.weights_version)
    who = work.caller.identity
    asked = Round(id, campaign_id, _change(terms, wish), wish.note, asked_by=who, asked_at=work.now, based_on=based_on)
    await store.insert_round(work, asked, Step(None, RoundState.ASKED, Deed.CREATE, who, wish.note or None))
    return asked


async def _take_place(work: Work, campaign_id: UUID) -> None:
    """Until this transaction ends, no other round of the campaign is asked for. Raises RoundUnderWay."""
    await lock_name(work, f"round:{campaign_id}")
    if (other := await store.find_round_under_way(work, campaign_id)) is not None:
        raise RoundUnderWay(f"Round {other.id} is {other.state}; wait for it, or stop it first.", round=str(other.id))


async def try_weights(work: Work, round_id: UUID, weights: Weights, *, note: str) -> Round:
    """A trial: the past round once more, from its stored inputs, with these weights. Nothing of it is ever sent, so that the
    campaign may be over. Raises RoundIsATrial, WrongState, RoundInputsGone, BadInput, RoundUnderWay.
    """
    origin = await store.get_round(work, round_id)
    check_can_be_tried(origin)
    if not await has_inputs(work, origin.id):
        raise RoundInputsGone("Weights are tried on what a round has read, and that was removed; choose a later round.")
    check_weights(weights)
    await _take_place(work, origin.campaign_id)
    who, terms = work.caller.identity, replace(origin.terms, weights_version=None)
    trial = Round(
        new_id(), origin.campaign_id, terms, note, asked_by=who, asked_at=work.now, trial_of=origin.id, trial_weights=weights
    )
    await store.insert_round(work, trial, Step(None, RoundState.ASKED, Deed.CREATE, who, note or None))
    return trial


async def _check_weights(work: Work, version: int) -> None:
    try:
        await get_weights_version(work, version)
    except NotFound as error:
        raise BadInput.at("/weights_version", f"{error.detail} 0 are the software's defaults.") from error


def _change(terms: RoundTerms, wish: RoundWish) -> RoundTerms:
    changes: Mapping[str, Any] = {
        "fairness_permille": None if wish.fairness is None else round(wish.fairness * 1000),
        "whole": wish.whole,
        "seed": wish.seed,
        "weights_version": wish.weights_version,
        "served_points": wish.served_points,
        "most_candidates": wish.most_candidates,
    }
    return replace(terms, **{name: value for name, value in changes.items() if value is not None})


async def stop_round(work: Work, round_id: UUID, reason: str) -> Round:
    """It is not computed (any further). What computes it ends as soon as it notices; nothing that it finds is kept."""
    stopped, step = decide_round(await store.lock_round(work, round_id), Deed.STOP, who=work.caller.identity, reason=reason)
    stopped = replace(stopped, progress=None)
    await store.save_round(work, stopped, step)
    return stopped


async def choose_pair(work: Work, round_id: UUID, need_id: UUID, offer_id: UUID, *, kind: ChoiceKind, reason: str) -> Choice:
    """Pin a pair (it must be proposed) or exclude it (it must not be). Repeated, the last word holds; each is in the history.

    Of a computed round, an exclusion keeps the pair from being sent; a pin asks for a new round (`ask_again`).
    """
    found = await store.lock_round(work, round_id)
    check_takes_choices(found)
    need = await get_need(work, need_id)
    await get_offer(work, offer_id)
    if need.campaign_id != found.campaign_id:
        raise BadInput.at("path/need_id", "is a need of another campaign than the round's")
    if kind is ChoiceKind.PIN:
        await _check_one_pin(work, found, need_id, offer_id)
    choice = Choice(need_id, offer_id, kind, reason, work.caller.identity, work.now)
    await store.save_choice(work, round_id, choice)
    await _note_choice(work, found, CHOICE_DEEDS[kind], need_id, offer_id, reason=reason)
    return choice


async def _check_one_pin(work: Work, found: Round, need_id: UUID, offer_id: UUID) -> None:
    for choice in await store.list_choices(work, found.id):
        if choice.kind is ChoiceKind.PIN and choice.need_id == need_id and choice.offer_id != offer_id:
            raise WrongState(f"Offer {choice.offer_id} is pinned for this need already; take that pin away first.")


async def unchoose_pair(work: Work, round_id: UUID, need_id: UUID, offer_id: UUID, *, reason: str) -> None:
    found = await store.lock_round(work, round_id)
    check_takes_choices(found)
    if not await store.delete_choice(work, round_id, need_id, offer_id):
        raise NotFound("Nothing was chosen for this pair; GET /rounds/{id}/choices lists what was.")
    await _note_choice(work, found, Deed.UNCHOOSE, need_id, offer_id, reason=reason)


async def _note_choice(work: Work, found: Round, deed: Deed, need_id: UUID, offer_id: UUID, *, reason: str) -> None:
    told = f"besoin {need_id}, offre {offer_id} : {reason}"
    changed, step = decide_round(found, deed, who=work.caller.identity, reason=told)
    await store.save_round(work, changed, step)

"""The steps of computing a round: its inputs in one look, its outcome kept at once, its failures told.

Each is one transaction. What computes says which attempt it is: one that is not wanted any more changes nothing.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar
from uuid import UUID

from kernel.errors import NotFound
from kernel.ids import new_id
from kernel.work import Work
from services.matching.domain.rounds import (
    ChoiceKind,
    Round,
    RoundOutcome,
    RoundProposal,
    RoundUnserved,
    decide_death,
    decide_failure,
    decide_finish,
    decide_start,
)
from services.matching.domain.states import RoundState
from services.matching.engine.rounds.faults import InputsUnreadable, RoundCannotBe
from services.matching.engine.rounds.inputs import CampaignInputs, decode_inputs, decompress, freeze_inputs, try_weights
from services.matching.store import round_results
from services.matching.store import rounds as store
from services.matching.store.minutes import measure_means
from services.matching.store.needs import list_unserved_needs
from services.matching.store.offers import list_candidates
from services.matching.use_cases.candidates import look_around

R = TypeVar("R", RoundProposal, RoundUnserved)


async def start_round(work: Work, round_id: UUID) -> Round | None:
    """Take a round that waits; none: it waits no more, or it failed too often.

    A round that is still being computed was left by a process that died: there is one at a time that computes.
    """
    found = await store.lock_round(work, round_id)
    if found.state is RoundState.COMPUTING:
        found = await _count_death(work, found, "Le service qui calculait s'est arrêté.")
    if found.state is not RoundState.ASKED:
        await store.forget_waiting(work, round_id)
        return None
    started, step = decide_start(found, who=work.caller.identity)
    await store.save_round(work, started, step)
    return started


async def read_inputs(work: Work, round_id: UUID) -> CampaignInputs:
    """All that decides the round, as one moment sees it; of a trial what its origin saw. The transaction writes nothing.

    Raises RoundCannotBe for a trial whose origin's inputs cannot be read.
    """
    await work.driver.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    found = await store.get_round(work, round_id)
    if found.trial_of is not None and found.trial_weights is not None:
        return try_weights(await _read_origin(work, found.trial_of), found.trial_weights)
    needs = await list_unserved_needs(work, campaign_id=found.campaign_id)
    candidates = [one for one in await list_candidates(work) if one.remaining_minutes > 0]
    choices = await store.list_choices(work, round_id)
    inputs = CampaignInputs(
        campaign_id=found.campaign_id,
        terms=found.terms,
        needs=tuple(needs),
        candidates=tuple(candidates),
        surroundings=await look_around(work, needs, weights_version=found.terms.weights_version),
        means=await measure_means(work, found.campaign_id),
        pins=frozenset((one.need_id, one.offer_id) for one in choices if one.kind is ChoiceKind.PIN),
        exclusions=frozenset((one.need_id, one.offer_id) for one in choices if one.kind is ChoiceKind.EXCLUDE),
    )
    return freeze_inputs(inputs)


async def _read_origin(work: Work, origin_id: UUID) -> CampaignInputs:
    """What the origin of a trial has read then: nothing of today. Raises RoundCannotBe."""
    try:
        return decode_inputs(decompress(await round_results.read_inputs(work, origin_id)))
    except (NotFound, InputsUnreadable) as error:
        told = "Les données du tour d'origine ne se lisent plus ici : essayez ces poids sur un tour plus récent."
        raise RoundCannotBe(f"{told} ({error})") from error


async def keep_outcome(work: Work, round_id: UUID, outcome: RoundOutcome, *, attempt: int) -> bool:
    """The round with all that it gave, in one transaction; false where this attempt is not wanted any more."""
    found = await store.lock_round(work, round_id)
    if not _is_wanted(found, attempt):
        return False
    finished, step = decide_finish(found, outcome, who=work.caller.identity)
    named = replace(outcome, proposals=_number(outcome.proposals), unserved=_number(outcome.unserved))
    await round_results.insert_outcome(work, round_id, named)
    await store.save_round(work, finished, step)
    return True


def _number(rows: Sequence[R]) -> tuple[R, ...]:
    return tuple(replace(row, id=new_id()) for row in rows)


async def fail_round(work: Work, round_id: UUID, sentence: str, *, attempt: int) -> None:
    """It cannot be computed, and trying again would not help."""
    found = await store.lock_round(work, round_id)
    if _is_wanted(found, attempt):
        failed, step = decide_failure(found, sentence, who=work.caller.identity)
        await store.save_round(work, failed, step)


async def note_death(work: Work, round_id: UUID, sentence: str, *, attempt: int) -> None:
    """What computed it ended without a word: it is computed again, up to a limit."""
    found = await store.lock_round(work, round_id)
    if _is_wanted(found, attempt):
        await _count_death(work, found, sentence)


async def _count_death(work: Work, found: Round, sentence: str) -> Round:
    changed, step = decide_death(found, sentence, who=work.caller.identity)
    await store.save_round(work, changed, step)
    return changed


def _is_wanted(found: Round, attempt: int) -> bool:
    return found.state is RoundState.COMPUTING and found.attempt == attempt

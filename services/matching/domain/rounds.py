"""An allocation round: missions for everything open in a campaign, together, as a proposal that a person releases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from services.matching.domain.missions import ScorePart
from services.matching.domain.refusals import RoundIsATrial, RoundIsAView, RoundIsOver, WrongState
from services.matching.domain.states import ROUND_MOVES, TAKES_CHOICES, Deed, RoundState, Step, take_step
from services.matching.domain.weights import Weights

MOST_ATTEMPTS = 3  # to compute one round, when what computes it dies
LEAST_PART_MINUTES = 60  # of a need that several may share, in a round that is a view only


@dataclass(frozen=True)
class RoundTerms:
    """What a round is computed with, beside its inputs.

    `fairness_permille`: the slider between points alone (0) and the worst-served association first (1000). `whole`: one
    volunteer a need, as missions are; else a view of what could be served if needs were shared. `seed` decides between
    equals. `weights_version`: of the territory's weights; none in a trial, whose weights are no version (`Round.trial_weights`).
    `served_points` are added to each pair, so that serving counts beside how well it fits. `most_candidates`: of each need, the
    best so many offers enter.
    """

    fairness_permille: int
    whole: bool
    seed: str
    weights_version: int | None
    served_points: int = 0
    most_candidates: int = 100


@dataclass(frozen=True)
class Round:
    """`attempt` counts how often it was computed. `result` are its figures (schemas/rounds.py), once computed; of a failed
    round `failure`, a French sentence. `released`: who released it, when, and how many missions that gave.

    A trial shows what `trial_weights` would have given in a past round, `trial_of`: it is computed from that round's stored
    inputs, and only the weights differ. It is looked at and compared, never released."""

    id: UUID
    campaign_id: UUID
    terms: RoundTerms
    note: str
    asked_by: str
    asked_at: datetime
    based_on: UUID | None = None
    trial_of: UUID | None = None
    trial_weights: Weights | None = None
    state: RoundState = RoundState.ASKED
    attempt: int = 0
    progress: Mapping[str, Any] | None = None
    inputs_digest: str | None = None
    proposals_digest: str | None = None
    result: Mapping[str, Any] | None = None
    released: Mapping[str, Any] | None = None
    version: int = 1

    @property
    def is_under_way(self) -> bool:
        return self.state in {RoundState.ASKED, RoundState.COMPUTING}

    @property
    def is_trial(self) -> bool:
        return self.trial_of is not None


@dataclass(frozen=True)
class Means:
    """What may still be spent and given in one campaign, in minutes; of the whole scheme, credits alone is the judge.

    Without `known`, nothing can be told, and nothing limits; else who is in neither has nothing.
    """

    known: bool
    credit: dict[UUID, int] = field(default_factory=dict)
    promise: dict[UUID, int] = field(default_factory=dict)

    def credit_of(self, association_id: UUID) -> int | None:
        """Minutes it may still spend; none: unknown."""
        return max(0, self.credit.get(association_id, 0)) if self.known else None

    def promise_of(self, contributor_id: UUID) -> int | None:
        """Minutes that are promised and that no mission counts on; none: unknown."""
        return max(0, self.promise.get(contributor_id, 0)) if self.known else None


class ChoiceKind(StrEnum):
    """What a person decided about a pair: it must be proposed, or it must not."""

    PIN = "pin"
    EXCLUDE = "exclude"


CHOICE_DEEDS = {ChoiceKind.PIN: Deed.PIN, ChoiceKind.EXCLUDE: Deed.EXCLUDE}


@dataclass(frozen=True)
class Choice:
    need_id: UUID
    offer_id: UUID
    kind: ChoiceKind
    reason: str
    chosen_by: str
    chosen_at: datetime


@dataclass(frozen=True)
class RoundProposal:
    """A pair that a round proposes. The versions are those of need and offer that the round has read."""

    id: UUID
    need_id: UUID
    offer_id: UUID
    association_id: UUID
    contributor_id: UUID
    need_version: int
    offer_version: int
    minutes: int
    points: int
    parts: tuple[ScorePart, ...]
    reasons: tuple[str, ...]
    pinned: bool = False


@dataclass(frozen=True)
class RoundUnserved:
    """A need with minutes that nobody serves. `why`: French sentences, what held it up most first."""

    id: UUID
    need_id: UUID
    association_id: UUID
    missing_minutes: int
    candidates: int
    why: tuple[str, ...]


@dataclass(frozen=True)
class RoundOutcome:
    """What computing a round gave. `inputs`: the canonical bytes, compressed, that it can be computed from again."""

    inputs: bytes
    inputs_digest: str
    proposals_digest: str
    result: Mapping[str, Any]
    proposals: Sequence[RoundProposal] = field(default_factory=tuple)
    unserved: Sequence[RoundUnserved] = field(default_factory=tuple)


@dataclass(frozen=True)
class RoundComparison:
    """`one` is looked at beside `other`. `added`: needs that only `one` serves; `removed`: that only `other` serves; `changed`:
    needs that both serve, by other offers or for other minutes (those of `one`, then those of `other`)."""

    one: Round
    other: Round
    added: tuple[RoundProposal, ...]
    removed: tuple[RoundProposal, ...]
    changed: tuple[tuple[tuple[RoundProposal, ...], tuple[RoundProposal, ...]], ...]
    same: int


def decide_round(found: Round, deed: Deed, *, who: str, reason: str | None = None) -> tuple[Round, Step[RoundState]]:
    step = take_step(ROUND_MOVES, found.state, deed, who=who, reason=reason)
    return replace(found, state=step.after, version=found.version + 1), step


def decide_start(found: Round, *, who: str) -> tuple[Round, Step[RoundState]]:
    started, step = decide_round(found, Deed.COMPUTE, who=who)
    return replace(started, attempt=found.attempt + 1, progress={"phase": "start", "done": 0, "total": 0}), step


def decide_finish(found: Round, outcome: RoundOutcome, *, who: str) -> tuple[Round, Step[RoundState]]:
    finished, step = decide_round(found, Deed.FINISH, who=who)
    finished = replace(
        finished,
        inputs_digest=outcome.inputs_digest,
        proposals_digest=outcome.proposals_digest,
        result=outcome.result,
        progress=None,
    )
    return finished, step


def decide_failure(found: Round, sentence: str, *, who: str) -> tuple[Round, Step[RoundState]]:
    failed, step = decide_round(found, Deed.FAIL, who=who, reason=sentence)
    return replace(failed, result={"failure": sentence}, progress=None), step


def decide_death(found: Round, sentence: str, *, who: str) -> tuple[Round, Step[RoundState]]:
    """What computed it died: once more, or no more when that happened too often."""
    if found.attempt >= MOST_ATTEMPTS:
        told = (
            f"{sentence} Le calcul s'est arrêté {found.attempt} fois : voyez le journal du service et sa mémoire, "
            "puis demandez le calcul de nouveau (rien n'a été envoyé)."
        )
        return decide_failure(found, told, who=who)
    waiting, step = decide_round(found, Deed.COMPUTE_AGAIN, who=who, reason=f"{sentence} Le calcul est repris.")
    return replace(waiting, progress=None), step


def decide_release(found: Round, *, who: str, note: str | None) -> tuple[Round, Step[RoundState]]:
    """Raises RoundIsATrial, RoundIsOver for a round that was released, RoundIsAView for one whose needs are shared."""
    check_is_no_trial(found, "is never released: set its weights (PUT /weights), then ask for a new round (POST /rounds)")
    if found.state is RoundState.RELEASED and found.released is not None:
        told = f"It was released on {found.released['at']} by {found.released['by']}; ask for a new round for what is open now."
        raise RoundIsOver(told, released=dict(found.released))
    if not found.terms.whole:
        raise RoundIsAView(
            "Its needs are shared among volunteers, and a mission serves a whole need: ask for a round with `whole`."
        )
    return decide_round(found, Deed.RELEASE, who=who, reason=note)


def check_is_no_trial(found: Round, cure: str) -> None:
    """`cure` ends the sentence: what a trial does not do, and what does."""
    if found.is_trial:
        raise RoundIsATrial(f"It tries weights on the inputs of round {found.trial_of} and {cure}.", trial_of=str(found.trial_of))


def check_can_be_tried(found: Round) -> None:
    """Other weights are tried on a round that was computed, and on the town's own facts, not on a trial."""
    check_is_no_trial(found, "takes no trial of its own: try the weights on that round (POST /rounds/{id}/trials)")
    if found.proposals_digest is None:
        cure = (
            "wait for it"
            if found.is_under_way
            else "it was never computed; choose another, or ask for it (POST /rounds/{id}/again)"
        )
        raise WrongState(
            f"It is {found.state}, and weights are tried on rounds that were computed; {cure}.", state=found.state.value
        )


def check_takes_choices(found: Round) -> None:
    check_is_no_trial(
        found, "has the choices of that round; pin or exclude there, and ask for it again (POST /rounds/{id}/again)"
    )
    if found.state not in TAKES_CHOICES:
        cure = "stop it first" if found.state is RoundState.COMPUTING else "ask for a new round (POST /rounds/{id}/again)"
        raise WrongState(f"It is {found.state} and takes no choices; {cure}.", state=found.state.value)

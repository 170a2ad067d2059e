"""Allocation rounds as they go over HTTP."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import Row

from services.matching.domain.missions import ScorePart
from services.matching.domain.rounds import Choice, ChoiceKind, Round, RoundComparison, RoundProposal
from services.matching.domain.states import RoundState
from services.matching.schemas.proposals import ScorePartOut, list_parts
from services.matching.schemas.shared import NO_NUL, Body, HistoryOut, Sentence
from services.matching.schemas.weights import WeightsBody

Seed = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NO_NUL)]
Note = Annotated[str, StringConstraints(strip_whitespace=True, max_length=1000, pattern=NO_NUL)]
NOTICE = (
    "Ce calcul est une proposition faite par un algorithme : rien n'est envoyé tant qu'une personne ne l'a pas vu et décidé. "
    "Chaque association, chaque bénévole et, pour une offre professionnelle, son entreprise acceptent ou refusent librement."
)


class TermsBody(Body):
    """What a round may be asked with; what is not given is as usual (or as in the round it is based on)."""

    fairness: float | None = Field(
        None, ge=0, le=1, description="From 0, points alone, to 1, the worst-served association first. 0.5 unless given."
    )
    whole: bool | None = Field(
        None, description="One volunteer a need, as missions are (true unless given); else a view that is never released."
    )
    seed: Seed | None = Field(None, description="Decides between equals; the round's id unless given. May be drawn in public.")
    weights_version: int | None = Field(None, ge=0, description="Of the territory's weights; those in force unless given.")
    served_points: int | None = Field(None, ge=0, le=1000, description="Added to each pair: serving more beside fitting well.")
    most_candidates: int | None = Field(None, ge=1, le=1000, description="The best so many offers of each need enter; 100.")
    note: Note = Field("", description="For whoever reads it later.")


class RoundBody(TermsBody):
    campaign_id: UUID


class TrialBody(WeightsBody):
    """The weights to try, all of them; bounds and sum as for `PUT /weights`."""

    note: Note = Field("", description="For whoever reads it later.")


class ReleaseBody(Body):
    note: Note | None = None


class ChoiceBody(Body):
    kind: ChoiceKind
    reason: Sentence = Field(description="Why; it stays in the round's history.")


class TermsOut(BaseModel):
    fairness: float
    whole: bool
    seed: str
    weights_version: int | None = Field(description="None: weights on trial (`trial_weights`), which are no version.")
    served_points: int
    most_candidates: int


class ProgressOut(BaseModel):
    phase: str = Field(
        description="start, read, score, check, leximin, solve, repair, price, account, compare, fairness, tell, keep."
    )
    done: int = 0
    total: int = Field(0, description="0: unknown.")


class FiguresOut(BaseModel):
    """Of the round as it was computed."""

    needs: int
    needs_served: int
    needs_partly: int
    asked_minutes: int
    served_minutes: int
    score: int = Field(description="Minutes times points, summed.")
    objective: int
    bound: int = Field(description="No allocation reaches more.")
    gap: float = Field(description="(bound - objective) / bound; 0 is the optimum.")
    worst_fill: float = Field(description="Served over target of the worst-served association that could be served at all.")
    mean_fill: float
    price_score: float | None = Field(None, description="Share of the score that fairness costs.")
    price_minutes: float | None = Field(None, description="Share of the minutes that fairness costs.")
    best_worst_fill: float | None = None


class ShareOut(BaseModel):
    association_id: UUID
    name: str | None = None
    credit_minutes: int | None = Field(description="What it may still spend; none: not known here, and no limit.")
    target_minutes: int
    asked_minutes: int
    served_minutes: int
    reachable: bool = Field(description="At least one offer fits one of its needs.")


class FairnessOut(BaseModel):
    fairness: float
    score: int
    served_minutes: int
    price_score: float
    price_minutes: float
    worst_fill: float
    low_fill: float
    mean_fill: float
    gap: float


class GreedyOut(BaseModel):
    """What serving the best pairs first would give."""

    score: int
    served_minutes: int
    worst_fill: float
    gap: float = Field(description="How much less than the best score that share is.")


class ResultOut(BaseModel):
    needs: int
    offers: int
    pairs: int
    pairs_left_out: int = Field(description="Fitting pairs beyond the best `most_candidates` of their need.")
    figures: FiguresOut
    shares: list[ShareOut]
    method: str = Field(description="flow (exact), slots (HiGHS, to the gap), repair (flow and repair, to the gap).")
    solver: str
    tables_digest: str
    replayable: bool = Field(description="False where a limit by the clock was met: computed again it may differ.")
    notes: list[str]
    means_known: bool = Field(
        description="False: the campaign's pledges and grants were told before anybody listened here; nothing limited the round."
    )
    referential_version: str
    fairness: list[FairnessOut] = []
    fairness_method: str | None = None
    greedy: GreedyOut | None = None
    seconds: dict[str, float]
    peak_mib: int


class ReleasedOut(BaseModel):
    at: str
    by: str
    missions: int
    left_out: int


class RoundOut(BaseModel):
    id: UUID
    campaign_id: UUID
    based_on: UUID | None
    trial_of: UUID | None = Field(
        None, description="Of a trial: the past round whose inputs it was computed from, with other weights. Never released."
    )
    trial_weights: dict[str, int] | None = Field(None, description="Of a trial: the weights that were tried.")
    state: RoundState
    terms: TermsOut
    note: str
    asked_by: str
    asked_at: datetime
    attempt: int
    progress: ProgressOut | None = None
    failure: str | None = Field(None, description="Why it could not be computed, and what to do; a French sentence.")
    inputs_digest: str | None = Field(None, description="SHA-256 of the inputs as GET …/inputs gives them.")
    proposals_digest: str | None = None
    result: ResultOut | None = None
    released: ReleasedOut | None = None
    notice: str = NOTICE
    version: int

    @classmethod
    def of(cls, found: Round, names: Mapping[UUID, str | None] | None = None) -> "RoundOut":
        terms = found.terms
        failure = (found.result or {}).get("failure")
        return cls(
            id=found.id,
            campaign_id=found.campaign_id,
            based_on=found.based_on,
            trial_of=found.trial_of,
            trial_weights=asdict(found.trial_weights) if found.trial_weights else None,
            state=found.state,
            terms=TermsOut(
                fairness=terms.fairness_permille / 1000,
                whole=terms.whole,
                seed=terms.seed,
                weights_version=terms.weights_version,
                served_points=terms.served_points,
                most_candidates=terms.most_candidates,
            ),
            note=found.note,
            asked_by=found.asked_by,
            asked_at=found.asked_at,
            attempt=found.attempt,
            progress=ProgressOut.model_validate(found.progress) if found.progress and "phase" in found.progress else None,
            failure=failure,
            inputs_digest=found.inputs_digest,
            proposals_digest=found.proposals_digest,
            result=_result(found.result, names or {}) if found.result and not failure else None,
            released=ReleasedOut.model_validate(found.released) if found.released else None,
            version=found.version,
        )


def _result(stored: Mapping[str, Any], names: Mapping[UUID, str | None]) -> ResultOut:
    result = ResultOut.model_validate(stored)
    for share in result.shares:
        share.name = names.get(share.association_id)
    return result


class RoundWithHistoryOut(RoundOut):
    history: list[HistoryOut] = []


class RoundProposalOut(BaseModel):
    id: UUID
    need_id: UUID
    need_title: str
    offer_id: UUID
    offer_title: str
    association_id: UUID
    volunteer_id: UUID
    minutes: int
    points: int
    parts: list[ScorePartOut]
    reasons: list[str]
    pinned: bool
    mission_id: UUID | None = Field(None, description="What it became at the release.")
    left_out: str | None = Field(None, description="Why it was not sent at the release; a French sentence.")

    @classmethod
    def of(cls, row: Row[Any]) -> "RoundProposalOut":
        values = {name: getattr(row, name) for name in cls.model_fields}
        return cls.model_validate(values | {"parts": list_parts(ScorePart(**part) for part in row.parts)})


class RoundUnservedOut(BaseModel):
    id: UUID
    need_id: UUID
    need_title: str
    association_id: UUID
    minutes: int
    missing_minutes: int
    candidates: int = Field(description="Offers that fit it.")
    why: list[str] = Field(description="French sentences.")

    @classmethod
    def of(cls, row: Row[Any]) -> "RoundUnservedOut":
        return cls.model_validate({name: getattr(row, name) for name in cls.model_fields})


class ChoiceOut(BaseModel):
    need_id: UUID
    offer_id: UUID
    kind: ChoiceKind
    reason: str
    chosen_by: str
    chosen_at: datetime

    @classmethod
    def of(cls, choice: Choice) -> "ChoiceOut":
        return cls.model_validate({name: getattr(choice, name) for name in cls.model_fields})


class ChoicesOut(BaseModel):
    items: list[ChoiceOut]

    @classmethod
    def of(cls, choices: Iterable[Choice]) -> "ChoicesOut":
        return cls(items=[ChoiceOut.of(choice) for choice in choices])


class PairOut(BaseModel):
    need_id: UUID
    offer_id: UUID
    association_id: UUID
    minutes: int
    points: int
    pinned: bool

    @classmethod
    def of(cls, proposal: RoundProposal) -> "PairOut":
        return cls.model_validate({name: getattr(proposal, name) for name in cls.model_fields})


class ChangedOut(BaseModel):
    need_id: UUID
    one: list[PairOut]
    other: list[PairOut]


class ComparisonOut(BaseModel):
    """Two rounds side by side; `one` is the round of the path, `other` the one it is compared with."""

    one: RoundOut
    other: RoundOut
    added: list[PairOut] = Field(description="Of needs that only `one` serves.")
    removed: list[PairOut] = Field(description="Of needs that only `other` serves.")
    changed: list[ChangedOut] = Field(description="Needs that both serve, otherwise.")
    same: int = Field(description="Needs that both serve alike.")

    @classmethod
    def of(cls, found: RoundComparison, names: Mapping[UUID, str | None] | None = None) -> "ComparisonOut":
        return cls(
            one=RoundOut.of(found.one, names),
            other=RoundOut.of(found.other, names),
            added=[PairOut.of(proposal) for proposal in found.added],
            removed=[PairOut.of(proposal) for proposal in found.removed],
            changed=[
                ChangedOut(need_id=one[0].need_id, one=list(map(PairOut.of, one)), other=list(map(PairOut.of, other)))
                for one, other in found.changed
            ],
            same=found.same,
        )

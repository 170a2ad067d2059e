"""Candidates and proposals, with the explanation that goes with them."""

from collections.abc import Iterable
from dataclasses import asdict
from functools import lru_cache
from uuid import UUID

from pydantic import BaseModel, Field

from services.matching.domain.missions import Mission, ScorePart
from services.matching.domain.shared import Setting
from services.matching.engine.assignment import Unserved
from services.matching.engine.fit import Fit
from services.matching.engine.gates import ObstacleKind
from services.matching.engine.reasons import describe_obstacle, explain_parts, list_reasons
from services.matching.engine.rules import LABELS, explain_rules
from services.matching.engine.weights import Weights
from services.matching.schemas.shared import Body


class ExplanationOut(BaseModel):
    """That an algorithm took part, its main rules, and how to ask a person (CRPA art. L. 311-3-1); in French."""

    notice: str
    purpose: str
    contribution: str
    data: list[str]
    rules: list[str]
    ask_a_person: str
    law: str


@lru_cache(maxsize=64)
def explain(weights: Weights | None) -> ExplanationOut:
    """The rules in force with these weights; none: those of before weights had versions."""
    return ExplanationOut.model_validate(asdict(explain_rules(weights)))


class ScorePartOut(BaseModel):
    name: str
    label: str = Field(description="In French.")
    points: int
    maximum: int
    why: str = Field(description="The data that gave the points; a French phrase, empty for missions of before.")


class CandidateOut(BaseModel):
    offer_id: UUID
    title: str
    setting: Setting
    score: int = Field(description="0 to 100.")
    parts: list[ScorePartOut]
    reasons: list[str] = Field(description="French sentences.")

    @classmethod
    def of(cls, fit: Fit) -> "CandidateOut":
        offer = fit.candidate.offer
        return cls(
            offer_id=offer.id,
            title=offer.facts.title,
            setting=offer.facts.setting,
            score=fit.score,
            parts=list_parts(explain_parts(fit)),
            reasons=list_reasons(fit),
        )


class ObstacleOut(BaseModel):
    kind: ObstacleKind
    sentence: str


class UnfitOut(BaseModel):
    offer_id: UUID
    title: str
    obstacles: list[ObstacleOut]

    @classmethod
    def of(cls, fit: Fit) -> "UnfitOut":
        offer = fit.candidate.offer
        obstacles = [ObstacleOut(kind=kind, sentence=describe_obstacle(fit, kind)) for kind in fit.obstacles]
        return cls(offer_id=offer.id, title=offer.facts.title, obstacles=obstacles)


class CandidatesOut(BaseModel):
    need_id: UUID
    explanation: ExplanationOut
    candidates: list[CandidateOut] = Field(description="Best first.")
    unfit: list[UnfitOut] = Field(description="Offers that do not fit, with why not; the nearest misses first.")
    unfit_offers: int = Field(description="How many do not fit, of the 500 at most that were looked at to say why not.")


class NeedCandidateOut(BaseModel):
    need_id: UUID
    association_id: UUID
    title: str
    minutes: int
    score: int = Field(description="0 to 100.")
    parts: list[ScorePartOut]
    reasons: list[str] = Field(description="French sentences.")

    @classmethod
    def of(cls, fit: Fit) -> "NeedCandidateOut":
        need = fit.need
        return cls(
            need_id=need.id,
            association_id=need.association_id,
            title=need.facts.title,
            minutes=need.facts.minutes,
            score=fit.score,
            parts=list_parts(explain_parts(fit)),
            reasons=list_reasons(fit),
        )


class NeedCandidatesOut(BaseModel):
    offer_id: UUID
    explanation: ExplanationOut
    candidates: list[NeedCandidateOut] = Field(description="Best first.")


class ProposalBody(Body):
    offer_id: UUID | None = Field(None, description="The offer to propose; the best one unless given.")


class ProposalsBody(Body):
    campaign_id: UUID | None = Field(None, description="Only needs of this campaign.")


class ProposedOut(BaseModel):
    mission_id: UUID
    need_id: UUID
    offer_id: UUID
    title: str
    minutes: int
    score: int
    reasons: list[str]

    @classmethod
    def of(cls, mission: Mission) -> "ProposedOut":
        values = {name: getattr(mission, name) for name in cls.model_fields if name != "mission_id"}
        return cls.model_validate(values | {"mission_id": mission.id, "reasons": list(mission.reasons)})


class UnservedOut(BaseModel):
    need_id: UUID
    title: str
    why: list[str] = Field(description="French sentences.")

    @classmethod
    def of(cls, unserved: Unserved) -> "UnservedOut":
        return cls(need_id=unserved.need.id, title=unserved.need.facts.title, why=list(unserved.why))


class ProposalsOut(BaseModel):
    explanation: ExplanationOut
    needs: int = Field(description="Open needs without a mission that were looked at.")
    offers: int = Field(description="Open offers that were looked at.")
    proposed: list[ProposedOut]
    unserved: list[UnservedOut]


def list_parts(parts: Iterable[ScorePart]) -> list[ScorePartOut]:
    return [ScorePartOut.model_validate(asdict(part) | {"label": LABELS[part.name]}) for part in parts]

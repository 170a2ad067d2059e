"""The weights of the score: what goes in and out, and what a change would do."""

from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from services.matching.domain.weights import Weights, WeightsVersion
from services.matching.engine.fit import Fit
from services.matching.engine.preview import Change, Preview
from services.matching.engine.rules import LABELS
from services.matching.engine.weights import BOUNDS, CRITERIA
from services.matching.schemas.shared import Body, Sentence


def _within(name: str) -> Any:
    """A whole number within its bounds; `check_weights` says what goes beyond one field."""
    least, greatest = BOUNDS[name]
    return Field(ge=least, le=greatest, description=LABELS.get(name))


class WeightsBody(Body):
    """The greatest number of points of each criterion; all but `near` add up to 100. Then what they are measured against."""

    skills: int = _within("skills")
    near: int = _within("near")
    distance: int = _within("distance")
    availability: int = _within("availability")
    minutes: int = _within("minutes")
    continuity: int = _within("continuity")
    newcomer: int = _within("newcomer")
    unmet: int = _within("unmet")
    far_km: int = _within("far_km")
    remote_percent: int = _within("remote_percent")
    near_from_percent: int = _within("near_from_percent")
    continuity_missions: int = _within("continuity_missions")
    newcomer_missions: int = _within("newcomer_missions")

    def weights(self) -> Weights:
        return Weights(**{name: getattr(self, name) for name in BOUNDS})


class WeightsToSet(WeightsBody):
    reason: Sentence = Field(description="Why; it stays beside this version.")


class WeightsVersionOut(BaseModel):
    version: int = Field(description="0: the software's defaults.")
    weights: dict[str, int]
    set_at: datetime | None
    set_by: str | None
    reason: str | None

    @classmethod
    def of(cls, saved: WeightsVersion) -> "WeightsVersionOut":
        return cls.model_validate(asdict(saved))


class BoundsOut(BaseModel):
    name: str
    label: str | None = Field(description="In French; none for what criteria are measured against.")
    least: int
    greatest: int


class WeightsOut(WeightsVersionOut):
    """Those in force, the bounds, and every version since the defaults."""

    bounds: list[BoundsOut]
    history: list[WeightsVersionOut] = Field(description="Newest first.")

    @classmethod
    def of_all(cls, versions: list[WeightsVersion]) -> "WeightsOut":
        bounds = [
            BoundsOut(name=name, label=LABELS[name] if name in CRITERIA else None, least=least, greatest=greatest)
            for name, (least, greatest) in BOUNDS.items()
        ]
        history = [WeightsVersionOut.of(version) for version in versions]
        return cls.model_validate(asdict(versions[0]) | {"bounds": bounds, "history": history})


class TopOut(BaseModel):
    offer_id: UUID
    title: str
    score: int

    @classmethod
    def of(cls, fit: Fit | None) -> "TopOut | None":
        if fit is None:
            return None
        offer = fit.candidate.offer
        return cls(offer_id=offer.id, title=offer.facts.title, score=fit.score)


class ChangeOut(BaseModel):
    need_id: UUID
    title: str
    mission_id: UUID | None = Field(description="The past mission whose need was ranked anew; none: the need is open.")
    before: TopOut | None
    after: TopOut | None

    @classmethod
    def of(cls, change: Change) -> "ChangeOut":
        need = change.need
        return cls(
            need_id=need.id,
            title=need.facts.title,
            mission_id=change.mission_id,
            before=TopOut.of(change.before),
            after=TopOut.of(change.after),
        )


class PreviewOut(BaseModel):
    compared: int = Field(description="Needs with an offer that fits: open ones, and those of the last missions.")
    changed: int = Field(description="How many would have another offer at the top.")
    changes: list[ChangeOut]

    @classmethod
    def of(cls, preview: Preview) -> "PreviewOut":
        changes = [ChangeOut.of(change) for change in preview.changes]
        return cls(compared=preview.compared, changed=len(changes), changes=changes)

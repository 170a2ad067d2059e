"""Reports as they go out."""

from dataclasses import asdict
from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, Field

from services.matching.domain.states import Deed
from services.matching.engine.explaining.answers import Answers
from services.matching.engine.explaining.equity import METHOD, Equity


class GroupOut(BaseModel):
    name: str
    hidden: bool = Field(description="Fewer than five needs (or the group that would give such a one away): no figures.")
    needs: int | None
    associations: int | None
    proposed: int | None
    agreed: int | None
    minutes: int | None
    rate: float | None = Field(description="Proposed by needs, 0 to 1.")
    low: float | None = Field(description="Wilson's interval at 95 %.")
    high: float | None


class EquityOut(BaseModel):
    since: date
    until: date
    method: list[str] = Field(description="How size, field, rate and interval are meant; in French.")
    all: GroupOut
    sizes: list[GroupOut]
    fields: list[GroupOut]

    @classmethod
    def of(cls, equity: Equity) -> "EquityOut":
        return cls.model_validate(asdict(equity) | {"method": list(METHOD)})


LABELS = {
    "skills": "compétences", "distance": "distance", "dates": "dates, disponibilité", "minutes": "durée", "language": "langue",
    "setting": "cadre professionnel ou personnel", "person": "la personne ou l'association", "other": "autre", "": "non précisé",
}  # fmt: skip


class CriterionCountOut(BaseModel):
    criterion: str | None = Field(description="None: the person named none.")
    label: str = Field(description="In French.")
    association: int
    volunteer: int
    company: int
    total: int


class AnswersOut(BaseModel):
    weights_version: int | None = Field(description="None: proposed before weights had versions.")
    weights: dict[str, Any] | None
    set_at: datetime | None
    reason: str | None
    proposed: int
    agreed: int = Field(description="By all sides, at some time.")
    declined: int
    accept: list[CriterionCountOut]
    decline: list[CriterionCountOut]

    @classmethod
    def of(cls, found: Answers) -> "AnswersOut":
        version = found.version
        return cls(
            weights_version=version.version if version else None,
            weights=asdict(version.weights) if version else None,
            set_at=version.set_at if version else None,
            reason=version.reason if version else None,
            proposed=found.proposed,
            agreed=found.agreed,
            declined=found.declined,
            accept=_count(found, Deed.ACCEPT),
            decline=_count(found, Deed.DECLINE),
        )


class FeedbackOut(BaseModel):
    note: str = Field(description="That nothing learns from these counts; in French.")
    versions: list[AnswersOut] = Field(description="The weights in force first.")


NOTE = (
    "Ces nombres sont montrés à côté des pondérations ; rien n'en est appris : seule une personne change les pondérations, avec "
    "son motif, et une nouvelle version est publiée."
)


def _count(found: Answers, deed: Deed) -> list[CriterionCountOut]:
    return [
        CriterionCountOut(criterion=criterion or None, label=LABELS[criterion], total=sum(sides.values()), **sides)
        for criterion, sides in found.criteria[deed].items()
    ]

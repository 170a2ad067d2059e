"""Explanations as they go out: data beside French sentences."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from services.matching.domain.missions import Mission
from services.matching.domain.states import MissionState, OfferState
from services.matching.engine.explaining.answers import Search, WhyNot
from services.matching.engine.explaining.changes import Change, ChangeKind
from services.matching.engine.explaining.criteria import Criterion, list_criteria
from services.matching.engine.explaining.freezing import Origin, freeze
from services.matching.engine.explaining.gates import GATES
from services.matching.engine.explaining.phrases import find_side, say_change, say_conclusion, say_cure
from services.matching.engine.explaining.search import Cure
from services.matching.engine.fit import Fit
from services.matching.engine.gates import ObstacleKind
from services.matching.engine.reasons import describe_obstacle, explain_parts
from services.matching.engine.sentences import count, write_hours


class WordsOut(BaseModel):
    side: str = Field(description="need or offer.")
    skill: str
    where: str = Field(description="title or description.")
    start: int
    end: int
    words: str


class CriterionOut(BaseModel):
    name: str
    label: str = Field(description="In French.")
    points: int
    maximum: int
    why: str = Field(description="A French phrase.")
    source: str = Field(description="Where the data come from.")
    calculation: str = Field(description="The sum with its numbers; divisions round down.")
    data: dict[str, Any]
    words: list[WordsOut]

    @classmethod
    def of(cls, criterion: Criterion, *, sides: Sequence[str]) -> "CriterionOut":
        words = [found for found in criterion.words if found["side"] in sides]
        return cls.model_validate(asdict(criterion) | {"words": words})


class WhyOut(BaseModel):
    """The points add up exactly to the score."""

    mission_id: UUID
    score: int
    criteria: list[CriterionOut]
    sentences: list[str]
    weights_version: int | None
    proposed_with: dict[str, Any] | None = Field(description="Versions of engine and referential; none: before they were kept.")

    @classmethod
    def of(cls, mission: Mission, *, sees_offer: bool) -> "WhyOut":
        found = mission.explanation
        sides = ("need", "offer") if sees_offer else ("need",)
        return cls(
            mission_id=mission.id,
            score=mission.score,
            criteria=[CriterionOut.of(one, sides=sides) for one in list_criteria(mission.parts, found)],
            sentences=list(mission.reasons),
            weights_version=mission.weights_version,
            proposed_with={name: found[name] for name in ("engine", "referential", "origin")} if found else None,
        )


class ChangeOut(BaseModel):
    kind: ChangeKind
    whose: str = Field(description="Who would change something: association, volunteer, town.")
    sentence: str
    days: int | None = Field(None, description="Later; earlier below zero.")
    radius_km: int | None = None
    minutes: int | None = Field(None, description="That the need would ask for then.")
    parts: list[str] | None = Field(None, description="Further parts of the week.")
    languages: list[str] | None = Field(None, description="That the need would do without.")
    skill: str | None = None

    @classmethod
    def of(cls, change: Change, fit: Fit) -> "ChangeOut":
        return cls(
            kind=change.kind,
            whose=find_side(change),
            sentence=say_change(change, fit),
            days=change.days or None,
            radius_km=change.kilometres or None,
            minutes=change.minutes or None,
            parts=list(change.parts) or None,
            languages=list(change.languages) or None,
            skill=change.skill.label if change.skill else None,
        )


class CureOut(BaseModel):
    """Changes that make one offer fit; the gates have been asked with them applied."""

    offer_id: UUID
    sentence: str
    changes: list[ChangeOut]
    cost: int = Field(description="By the documented cost order; the smallest is first.")
    score: int = Field(description="Of the pair, changed as said.")
    first_day: date
    last_day: date

    @classmethod
    def of(cls, cure: Cure) -> "CureOut":
        return cls(
            offer_id=cure.after.candidate.offer.id,
            sentence=say_cure(cure),
            changes=[ChangeOut.of(change, cure.before) for change in cure.changes],
            cost=cure.cost,
            score=cure.after.score,
            first_day=cure.after.first_day,
            last_day=cure.after.last_day,
        )


class BlockedOut(BaseModel):
    gate: ObstacleKind
    name: str
    offers: int


class SmallestChangeOut(BaseModel):
    need_id: UUID
    title: str
    conclusion: str = Field(description="A French sentence.")
    offers: int = Field(description="Open offers that were looked at.")
    complete: bool = Field(description="No open offer was left out.")
    fitting: int = Field(description="Offers that fit as it is.")
    limits: list[str] = Field(description="Beside the gates: credit that does not suffice, as far as it is known; in French.")
    changes: list[CureOut] = Field(description="One for each kind of change, or for each two kinds where one does not suffice.")
    blocked: list[BlockedOut] = Field(description="How many offers each gate stops; an offer may be stopped by several.")

    @classmethod
    def of(cls, search: Search) -> "SmallestChangeOut":
        cures = search.cures
        blocked = sorted(cures.blocked.items(), key=lambda item: -item[1])
        return cls(
            need_id=search.need.id,
            title=search.need.facts.title,
            conclusion=say_conclusion(cures),
            offers=cures.offers,
            complete=search.complete,
            fitting=len(cures.fitting),
            limits=list(search.limits),
            changes=[CureOut.of(cure) for cure in cures.cures],
            blocked=[BlockedOut(gate=gate, name=GATES[gate][0], offers=offers) for gate, offers in blocked],
        )


class GateOut(BaseModel):
    gate: ObstacleKind
    name: str
    sentence: str = Field(description="What blocks, with its data, in French.")


class TakenOut(BaseModel):
    """A mission that has minutes of the offer. Which one is told to the volunteer and the town only."""

    minutes: int
    state: MissionState
    mission_id: UUID | None
    title: str | None


class PreferredOut(BaseModel):
    """The mission that the need has. Whose it is, is told to the town and the need's association only."""

    score: int
    points: dict[str, int]
    mission_id: UUID | None


class WhyNotOut(BaseModel):
    need_id: UUID
    offer_id: UUID
    conclusion: str = Field(description="A French sentence.")
    gates: list[GateOut] = Field(description="All that block; none where the pair is possible.")
    limits: list[str] = Field(description="Beside the gates: credit or promise that does not suffice, as far as it is known.")
    smallest_change: CureOut | None = Field(description="That would make this pair possible.")
    score: int | None
    criteria: list[CriterionOut] = Field(description="The score of this pair, as it would be.")
    free_minutes: int | None
    taken: list[TakenOut] = Field(description="Where the offer's other minutes went.")
    preferred: PreferredOut | None = Field(description="Who was preferred for this need.")

    @classmethod
    def of(cls, found: WhyNot, *, own_offer: bool, own_need: bool) -> "WhyNotOut":
        fit = found.fit
        sides = ["need", *(["offer"] if own_offer or found.full else [])]
        return cls(
            need_id=found.need.id,
            offer_id=found.offer.id,
            conclusion=_conclude(found),
            gates=[
                GateOut(gate=kind, name=GATES[kind][0], sentence=describe_obstacle(fit, kind)) for kind in fit.obstacles
            ] if fit else [],
            limits=list(found.limits),
            smallest_change=CureOut.of(found.cure) if found.cure else None,
            score=fit.score if fit else None,
            criteria=[CriterionOut.of(one, sides=sides) for one in _list_criteria(fit)] if fit else [],
            free_minutes=fit.candidate.remaining_minutes if fit else None,
            taken=[_taken(mission, told=own_offer or found.full) for mission in found.taken],
            preferred=_preferred(found.preferred, told=own_need or found.full) if found.preferred else None,
        )  # fmt: skip


def _list_criteria(fit: Fit) -> tuple[Criterion, ...]:
    return list_criteria(explain_parts(fit), freeze(fit, origin=Origin.NAMED))


def _taken(mission: Mission, *, told: bool) -> TakenOut:
    minutes = mission.served_minutes if mission.state is MissionState.CLOSED else mission.minutes
    return TakenOut(
        minutes=minutes or 0,
        state=mission.state,
        mission_id=mission.id if told else None,
        title=mission.title if told else None,
    )


def _preferred(mission: Mission, *, told: bool) -> PreferredOut:
    points = {part.name: part.points for part in mission.parts}
    return PreferredOut(score=mission.score, points=points, mission_id=mission.id if told else None)


def _conclude(found: WhyNot) -> str:  # noqa: PLR0911 - a sentence a case
    fit = found.fit
    if found.is_served:
        return "Cette offre sert ce besoin : une mission est proposée ou agréée entre les deux."
    if fit is None:
        closed = {OfferState.PAUSED: "en pause", OfferState.DRAFT: "en brouillon"}.get(
            found.offer.state, "retirée, échue ou inactive"
        )
        return f"Cette offre n'est pas ouverte ({closed}) : elle n'est proposée à personne."
    if fit.obstacles:
        number = count(len(fit.obstacles), "condition n'est pas remplie", "conditions ne sont pas remplies")
        return f"{number} : {' ; '.join(describe_obstacle(fit, kind) for kind in fit.obstacles)}."
    if found.preferred is not None:
        return (
            f"Rien ne bloque, mais une autre offre a été proposée pour ce besoin, avec {found.preferred.score} points "
            f"au lieu de {fit.score}."
        )
    if found.limits:
        return f"Les conditions sont remplies, mais {' ; '.join(found.limits)}."
    taken = sum(mission.minutes for mission in found.taken)
    if taken:
        missions = count(len(found.taken), "mission")
        return f"Rien ne bloque aujourd'hui ; {write_hours(taken)} de cette offre sont prises par {missions}."
    return f"Rien ne bloque aujourd'hui : cette offre peut être proposée, avec {fit.score} points sur 100."

"""Why this score: each criterion with its points, the sum that gave them, the data in it, and the words of the texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.matching.domain.missions import ScorePart
from services.matching.domain.weights import Weights
from services.matching.engine.rules import LABELS
from services.matching.engine.weights import (
    AVAILABILITY,
    CONTINUITY,
    DISTANCE,
    MINUTES,
    NEAR,
    NEWCOMER,
    SKILLS,
    UNMET,
)

# Which measures each criterion looks at: all that a score is made of, and nothing else (a test holds this list closed).
INPUTS: Mapping[str, tuple[str, ...]] = {
    SKILLS: ("wanted_skills", "met_sixths"),
    NEAR: ("wanted_skills", "near_sixths"),
    DISTANCE: ("metres", "remote"),
    AVAILABILITY: ("common_days", "wanted_days", "common_parts", "wanted_parts"),
    MINUTES: ("asked_minutes", "free_minutes"),
    CONTINUITY: ("shared_missions",),
    NEWCOMER: ("missions",),
    UNMET: ("unmet_minutes", "needed_minutes"),
}
SOURCES: Mapping[str, str] = {
    SKILLS: "compétences confirmées du besoin et de l'offre ; référentiel de compétences",
    NEAR: "compétences confirmées du besoin et de l'offre ; voisinages du référentiel de compétences",
    DISTANCE: "commune ou lieu du besoin et de l'offre ; positions des communes",
    AVAILABILITY: "dates et moments de la semaine du besoin et de l'offre",
    MINUTES: "durée du besoin ; heures offertes, moins celles des missions de l'offre",
    CONTINUITY: "missions closes sans litige entre cette personne et cette association",
    NEWCOMER: "nombre de missions confiées à la personne",
    UNMET: "heures demandées par l'association dans la campagne, et celles que personne ne sert",
}


@dataclass(frozen=True)
class Criterion:
    """`points` of `maximum`. `calculation`: the sum with its numbers, e.g. “50 × 12 ÷ 12 = 50”; empty where the measures of
    before were not kept. `words`: of need and offer, for skills."""

    name: str
    label: str
    points: int
    maximum: int
    why: str
    source: str = ""
    calculation: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    words: Sequence[Mapping[str, Any]] = ()


def list_criteria(parts: Sequence[ScorePart], explanation: Mapping[str, Any] | None) -> tuple[Criterion, ...]:
    """The parts of a score with what gave each. `explanation`: as frozen; none for missions of before."""
    if explanation is None or {part.name for part in parts} - set(INPUTS):
        return tuple(Criterion(part.name, LABELS[part.name], part.points, part.maximum, part.why) for part in parts)
    measures, weights = explanation["measures"], Weights(**explanation["weights"])
    # A round may have decided a little earlier than the measures were frozen: then only its own points are said.
    same = {part["name"]: part["points"] for part in explanation["parts"]} == {part.name: part.points for part in parts}
    return tuple(
        Criterion(
            part.name,
            LABELS[part.name],
            part.points,
            part.maximum,
            part.why,
            SOURCES[part.name],
            _calculate(part, measures, weights) if same else "",
            {name: measures[name] for name in INPUTS[part.name]} | _skills_of(part.name, explanation) if same else {},
            _words_of(part.name, explanation),
        )
        for part in parts
    )


def _skills_of(name: str, explanation: Mapping[str, Any]) -> dict[str, Any]:
    skills = explanation["skills"]
    if name == SKILLS:
        return {"shared": skills["shared"], "missing": skills["missing"]}
    return {"near": skills["near"]} if name == NEAR else {}


def _words_of(name: str, explanation: Mapping[str, Any]) -> list[dict[str, Any]]:
    if name not in {SKILLS, NEAR}:
        return []
    near = {skill["label"] for skill in explanation["skills"]["near"]}
    near |= {skill["offered_label"] for skill in explanation["skills"]["near"]}
    return [
        {"side": side, **words}
        for side, found in explanation["words"].items()
        for words in found
        if (words["skill"] in near) == (name == NEAR)
    ]


def _calculate(part: ScorePart, measures: Mapping[str, Any], w: Weights) -> str:
    """The formula of engine/score.py with its numbers; every division rounds down."""
    m = measures
    terms = {
        SKILLS: f"{w.skills} × {m['met_sixths']} ÷ {6 * m['wanted_skills']}",
        NEAR: f"{w.near} × {m['near_sixths']} ÷ {600 * m['wanted_skills']}",
        DISTANCE: _calculate_distance(part, m, w),
        AVAILABILITY: f"{w.availability} × {m['common_days']} × {m['common_parts']} ÷ ({m['wanted_days']} × {m['wanted_parts']})",
        MINUTES: f"{w.minutes} × {min(m['asked_minutes'], m['free_minutes'])} ÷ {m['free_minutes']}",
        CONTINUITY: f"{w.continuity} × {min(m['shared_missions'], w.continuity_missions)} ÷ {w.continuity_missions}",
        NEWCOMER: f"{w.newcomer} × {max(0, w.newcomer_missions - m['missions'])} ÷ {w.newcomer_missions}",
        UNMET: f"{w.unmet} × {m['unmet_minutes']} ÷ {m['needed_minutes']}" if m["needed_minutes"] else str(w.unmet),
    }
    return f"{terms[part.name]} = {part.points}"


def _calculate_distance(part: ScorePart, m: Mapping[str, Any], w: Weights) -> str:
    far = 1000 * w.far_km
    on_the_spot = f"{w.distance} × {max(0, far - m['metres'])} ÷ {far}"
    at_a_distance = f"{w.distance} × {w.remote_percent} ÷ 100"
    if m["metres"] < 0:
        return at_a_distance if m["remote"] else "0"
    is_spot = part.points == w.distance * max(0, far - m["metres"]) // far
    return on_the_spot if is_spot or not m["remote"] else at_a_distance

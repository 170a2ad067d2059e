"""What a score was made of, kept as it was: the data of an explanation, and of the record that the law gives.

It is frozen with the mission when it is proposed, so that a later edit of the need, the offer or the weights changes
nothing in it. It holds no name, no point on a map and no free text but the words that speak for a skill.
"""

from collections.abc import Mapping
from dataclasses import asdict
from enum import StrEnum
from typing import Any

import orjson

from services.matching.domain.needs import NeedFacts
from services.matching.domain.offers import OfferFacts
from services.matching.engine.comparison import find_key
from services.matching.engine.explaining.evidence import find_words
from services.matching.engine.fit import Fit
from services.matching.engine.gates import ObstacleKind
from services.matching.engine.reasons import describe_obstacle, explain_parts

FORMAT = 1
# Of gates and score together: a change of either rule is a new version, written into every explanation.
ENGINE_VERSION = "metis-matching-1"
_TEXTS = ("title", "description")
# Written by people about themselves or others, and no part of any gate's answer but their own.
_LEFT_OUT = frozenset({"description", "point", "excluded_associations", "honorability_checked_on"})


class Origin(StrEnum):
    """Who or what chose this pair among those that are possible."""

    NAMED = "named"  # a person named the offer; gates and score only told about it
    BEST = "best"  # the best score for one need
    TOGETHER = "together"  # chosen for all open needs together
    ROUND = "round"  # chosen by an allocation round that a person asked for, saw and released


def freeze(fit: Fit, *, origin: Origin, round: Mapping[str, object] | None = None) -> dict[str, Any]:
    """Everything that the score and the gates looked at for one pair, as plain JSON. `round`: which one, and its terms."""
    frozen = {
        "format": FORMAT,
        "engine": ENGINE_VERSION,
        "origin": origin,
        "round": round,
        "referential": fit.referential.version,
        "weights_version": fit.weights_version,
        "weights": asdict(fit.weights),
        "measures": asdict(fit.measures),
        "score": fit.score,
        "parts": [asdict(part) for part in explain_parts(fit)],
        "skills": {
            "shared": [asdict(skill) for skill in fit.skills.shared],
            "near": [asdict(skill) for skill in fit.skills.near],
            "missing": [{"label": skill.label, "wanted": skill.level} for skill in fit.skills.missing],
        },
        "words": {"need": _list_words(fit, "need"), "offer": _list_words(fit, "offer")},
        "place": {"kind": fit.place.kind, "metres": fit.place.metres},
        "common": {"first_day": fit.first_day, "last_day": fit.last_day, "week": fit.common_week},
        "gates": [_describe_gate(fit, kind) for kind in ObstacleKind],
        "need": list_facts(fit.need.facts, version=fit.need.version),
        "offer": list_facts(fit.candidate.offer.facts, version=fit.candidate.offer.version)
        | {"free_minutes": fit.candidate.remaining_minutes, "employed": fit.candidate.employer_id is not None},
    }
    plain: dict[str, Any] = orjson.loads(orjson.dumps(frozen, default=str))  # UUIDs of the driver
    return plain


def _list_words(fit: Fit, side: str) -> list[dict[str, Any]]:
    """The words of a side's text for the skills that count: shared ones, and those that stand in for others."""
    facts, other = fit.need.facts, fit.candidate.offer.facts
    if side == "offer":
        facts, other = other, facts  # type: ignore[assignment]
    near = {skill.label for skill in fit.skills.near} | {skill.offered_label for skill in fit.skills.near}
    keys = {find_key(skill, fit.referential) for skill in other.skills}
    counted = [skill for skill in facts.skills if skill.label in near or find_key(skill, fit.referential) in keys]
    texts = {name: getattr(facts, name) for name in _TEXTS}
    return [asdict(words) for words in find_words(texts, counted, fit.referential)]


def _describe_gate(fit: Fit, kind: ObstacleKind) -> dict[str, Any]:
    blocked = kind in fit.obstacles
    return {"kind": kind, "passed": not blocked} | ({"sentence": describe_obstacle(fit, kind)} if blocked else {})


def list_facts(facts: NeedFacts | OfferFacts, *, version: int) -> dict[str, Any]:
    """Written facts without what is nobody's to read in an explanation."""
    values = {name: value for name, value in asdict(facts).items() if name not in _LEFT_OUT}
    for skill in values["skills"]:
        del skill["confirmed_by"]  # who it was is told by need and offer, to those who may read it
    return values | {"version": version, "has_point": facts.point is not None}

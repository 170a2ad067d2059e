"""What the facts of needs and offers have in common as columns."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Row, any_, literal
from sqlalchemy import Uuid as UuidType

from services.matching.domain.needs import NeedFacts
from services.matching.domain.offers import OfferFacts
from services.matching.domain.shared import Point, Skill, SkillSource


def facts_values(facts: NeedFacts | OfferFacts) -> dict[str, Any]:
    """The columns of written facts; a point is two of them."""
    values = dict(vars(facts))
    point = values.pop("point")
    for name in ("languages", "week", "excluded_associations"):
        if name in values:
            values[name] = list(values[name])
    values["skills"] = [_skill_values(skill) for skill in facts.skills]
    return values | {"latitude": point and point.latitude, "longitude": point and point.longitude}


def point_from(row: Row[Any]) -> Point | None:
    return None if row.latitude is None else Point(row.latitude, row.longitude)


def _skill_values(skill: Skill) -> dict[str, Any]:
    """A skill as JSON; what is empty of its confirmation is left out, for there may be a million offers."""
    at = skill.confirmed_at
    confirmation = {
        "source": skill.source,
        "evidence": list(skill.evidence),
        "confirmed_by": skill.confirmed_by,
        "confirmed_at": at and at.isoformat(),
    }
    written = {"label": skill.label, "level": skill.level, "code": skill.code}
    return written | {name: value for name, value in confirmation.items() if value}


def skills_from(row: Row[Any]) -> tuple[Skill, ...]:
    return tuple(_skill_from(values) for values in row.skills)


def _skill_from(values: Mapping[str, Any]) -> Skill:
    source, at = values.get("source"), values.get("confirmed_at")
    return Skill(
        values["label"],
        values["level"],
        values.get("code"),
        source=SkillSource(source) if source else None,
        evidence=tuple(values.get("evidence", ())),
        confirmed_by=values.get("confirmed_by"),
        confirmed_at=datetime.fromisoformat(at) if at else None,
    )


def is_any(column: ColumnElement[UUID], ids: Collection[UUID]) -> ColumnElement[bool]:
    """Whether the column is one of these, however many: one bound array, where `IN` binds each (and ends at 32,767)."""
    return column == any_(literal(list(ids), ARRAY(UuidType)))

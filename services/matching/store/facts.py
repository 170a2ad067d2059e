"""What the facts of needs and offers have in common as columns."""

from dataclasses import asdict
from typing import Any

from sqlalchemy import Row

from services.matching.domain.needs import NeedFacts
from services.matching.domain.offers import OfferFacts
from services.matching.domain.shared import Point


def facts_values(facts: NeedFacts | OfferFacts) -> dict[str, Any]:
    """The columns of written facts; a point is two of them."""
    values = asdict(facts)
    del values["point"]
    for name in ("languages", "week", "excluded_associations"):
        if name in values:
            values[name] = list(values[name])
    point = facts.point
    return values | {"latitude": point and point.latitude, "longitude": point and point.longitude}


def point_from(row: Row[Any]) -> Point | None:
    return None if row.latitude is None else Point(row.latitude, row.longitude)

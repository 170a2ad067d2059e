"""Where a mission can take place: from point to point or from commune's centre to commune's centre, or at a distance."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from math import asin, cos, radians, sin, sqrt

from services.matching.domain.globe import EARTH_RADIUS_KM
from services.matching.domain.needs import NeedFacts
from services.matching.domain.offers import OfferFacts
from services.matching.domain.shared import Commune, Point


class PlaceKind(StrEnum):
    SAME = "same"  # commune, from centre to centre
    NEAR = "near"  # within the radius
    REMOTE = "remote"  # both sides accept it, and they do not reach each other
    FAR = "far"
    NEED_IS_REMOTE = "need_is_remote"
    OFFER_IS_REMOTE = "offer_is_remote"
    UNKNOWN = "unknown"  # a commune that nobody knows: no distance can be told


REACHED = frozenset({PlaceKind.SAME, PlaceKind.NEAR})


@dataclass(frozen=True)
class Place:
    """How the two places go together. `metres` between them where they can be told, else -1; `names` of communes to say."""

    kind: PlaceKind
    metres: int = -1
    names: tuple[str, ...] = ()

    @property
    def reached_metres(self) -> int:
        """The distance where the radius reaches, else -1."""
        return self.metres if self.kind in REACHED else -1


@lru_cache(maxsize=65536)
def measure_distance_km(one: Point | Commune, other: Point | Commune) -> float:
    """Great-circle distance between two points (haversine), in kilometres. Roads are longer."""
    latitude_one, latitude_other = radians(one.latitude), radians(other.latitude)
    half_chord = (
        sin((latitude_other - latitude_one) / 2) ** 2
        + cos(latitude_one) * cos(latitude_other) * sin(radians(other.longitude - one.longitude) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_KM * asin(min(1.0, sqrt(half_chord)))


def measure_metres(one: Point | Commune, other: Point | Commune) -> int:
    """The distance in whole metres, rounded half up."""
    return int(1000 * measure_distance_km(one, other) + 0.5)


def judge_place(need: NeedFacts, offer: OfferFacts, communes: Mapping[str, Commune]) -> Place:
    """On the spot if the radius reaches; else at a distance if both sides accept it; else why neither."""
    on_the_spot = _judge_distance(need, offer, communes)
    if on_the_spot.kind not in REACHED and need.remote and offer.remote:
        return Place(PlaceKind.REMOTE)
    return on_the_spot


def _judge_distance(need: NeedFacts, offer: OfferFacts, communes: Mapping[str, Commune]) -> Place:
    if need.commune is None:
        return Place(PlaceKind.NEED_IS_REMOTE)
    if offer.commune is None:
        return Place(PlaceKind.OFFER_IS_REMOTE)
    asked_at, given_from = need.point or communes.get(need.commune), offer.point or communes.get(offer.commune)
    if asked_at is None or given_from is None:
        ends = ((need.commune, asked_at), (offer.commune, given_from))
        return Place(PlaceKind.UNKNOWN, names=tuple(dict.fromkeys(insee for insee, end in ends if end is None)))
    if isinstance(asked_at, Commune) and need.commune == offer.commune and offer.point is None:
        return Place(PlaceKind.SAME, 0, (asked_at.name,))
    metres = measure_metres(asked_at, given_from)
    return Place(PlaceKind.NEAR if metres <= 1000 * offer.radius_km else PlaceKind.FAR, metres)

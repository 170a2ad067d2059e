"""Where a mission can take place: from commune's centre to commune's centre, or at a distance."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from math import asin, cos, radians, sin, sqrt

from services.matching.domain.needs import NeedFacts
from services.matching.domain.offers import OfferFacts
from services.matching.domain.shared import Commune
from services.matching.engine.rules import FARTHEST_SHARE, REMOTE_SHARE

EARTH_RADIUS_KM = 6371.0088  # mean radius (IUGG)


class PlaceKind(StrEnum):
    SAME = "same"  # commune
    NEAR = "near"  # within the radius
    REMOTE = "remote"  # both sides accept it
    FAR = "far"
    NEED_IS_REMOTE = "need_is_remote"
    OFFER_IS_REMOTE = "offer_is_remote"
    UNKNOWN = "unknown"  # a commune that the registry did not tell about


@dataclass(frozen=True)
class Place:
    """How the two places go together; `share` of the points (0 where it is impossible), `names` of communes to say."""

    kind: PlaceKind
    share: float = 0.0
    distance_km: float = 0.0
    names: tuple[str, ...] = ()


@lru_cache(maxsize=65536)
def measure_distance_km(one: Commune, other: Commune) -> float:
    """Great-circle distance between two centres (haversine), in kilometres. Roads are longer."""
    latitude_one, latitude_other = radians(one.latitude), radians(other.latitude)
    half_chord = (
        sin((latitude_other - latitude_one) / 2) ** 2
        + cos(latitude_one) * cos(latitude_other) * sin(radians(other.longitude - one.longitude) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_KM * asin(min(1.0, sqrt(half_chord)))


def judge_place(need: NeedFacts, offer: OfferFacts, communes: Mapping[str, Commune]) -> Place:
    """On the spot if the radius reaches, at a distance if both sides accept it; of both, what scores better."""
    on_the_spot = _judge_distance(need.commune, offer.commune, offer.radius_km, communes)
    if need.remote and offer.remote and on_the_spot.share < REMOTE_SHARE:
        return Place(PlaceKind.REMOTE, REMOTE_SHARE)
    return on_the_spot


def _judge_distance(asked_at: str | None, given_from: str | None, radius_km: int, communes: Mapping[str, Commune]) -> Place:
    if asked_at is None:
        return Place(PlaceKind.NEED_IS_REMOTE)
    if given_from is None:
        return Place(PlaceKind.OFFER_IS_REMOTE)
    if asked_at == given_from:
        return Place(PlaceKind.SAME, 1.0, names=(communes[asked_at].name if asked_at in communes else asked_at,))
    if unknown := tuple(insee for insee in (asked_at, given_from) if insee not in communes):
        return Place(PlaceKind.UNKNOWN, names=unknown)
    distance_km = measure_distance_km(communes[asked_at], communes[given_from])
    if distance_km > radius_km:
        return Place(PlaceKind.FAR, distance_km=distance_km)
    # Centres may coincide; the radius is then no measure of anything.
    share = 1 - (1 - FARTHEST_SHARE) * distance_km / max(radius_km, 1)
    return Place(PlaceKind.NEAR, share, distance_km)

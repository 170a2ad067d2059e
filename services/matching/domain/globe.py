"""Places on a globe of radius 1, where who is in reach is found by comparing chords: cheaper than degrees."""

from math import cos, pi, radians, sin

from services.matching.domain.shared import Commune, Point

EARTH_RADIUS_KM = 6371.0088  # mean radius (IUGG)
# Of a place, six millimetres of the earth; what is nearer to an axis lies on it. PostgreSQL stores no smaller `real` than 1e-45.
DECIMALS = 9
SPARE_METRES = 3  # that stored places are rounded by, and more: what this lets through is measured exactly afterwards


def place_on_globe(place: Point | Commune) -> tuple[float, float, float]:
    """x, y and z: the nearer two places, the shorter the chord between them."""
    latitude, longitude = radians(place.latitude), radians(place.longitude)
    x, y, z = cos(latitude) * cos(longitude), cos(latitude) * sin(longitude), sin(latitude)
    return round(x, DECIMALS), round(y, DECIMALS), round(z, DECIMALS)


def square_of_reach(radius_km: int) -> float:
    """The square of the chord that a radius spans, with something to spare."""
    return float((2 * sin(min(pi, (radius_km + SPARE_METRES / 1000) / EARTH_RADIUS_KM) / 2)) ** 2)

"""Words of an index: which offers may reach a need, and the reverse, found without looking at the others.

France lies in grids of cells of five sizes. An offer reaches some cells (nine or so) of the one size that fits its radius; a need
stands in one cell of each size. A **token** is a whole number made of territory, skill and cell, so that one index over
tokens answers for place and skill together, asked for few of them. Tokens only narrow: what they find is measured exactly
afterwards.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import blake2b
from math import asin, cos, degrees, floor, radians, sin

from services.matching.domain.globe import EARTH_RADIUS_KM
from services.matching.domain.shared import Commune, Point

LEVELS_KM = (5, 15, 50, 150, 500)  # the greatest radius at each level, and about the length of a cell
REMOTE = "remote"
ANYWHERE = "anywhere"  # of whatever place
_MARGIN = 1.001  # of a radius, against rounding
_NARROWEST = 0.05  # cosine of a latitude that nobody lives beyond


def list_cells_in_reach(place: Point | Commune | None, *, radius_km: int, remote: bool) -> list[str]:
    """The cells that an offer reaches, of the size that fits its radius."""
    cells = [REMOTE] if remote else []
    if place is not None:
        cells += _cells_around(place, level=_level_of(radius_km), radius_km=radius_km)
    return cells


def list_cells_of(place: Point | Commune | None, *, remote: bool) -> list[str]:
    """The cells that a need stands in, one of each size: one of them is in the reach of every offer that reaches it."""
    cells = [REMOTE] if remote else []
    if place is not None:
        cells += [_cell_of(place, level=level) for level in range(len(LEVELS_KM))]
    return cells


def make_tokens(territory: str, keys: Iterable[str], cells: Iterable[str]) -> list[int]:
    """One whole number (32 bits, signed) for each pair of a skill's key and a cell. Two pairs may share one: that only brings
    rows which are then measured."""
    cells = list(cells)
    return sorted({_hash(f"{territory}|{key}|{cell}") for key in keys for cell in cells})


@lru_cache(maxsize=65536)
def make_level_token(key: str, level: int) -> int:
    """A skill at a level (32 bits, signed); who has level 3 has the tokens of 2 and 1, too."""
    return _hash(f"{key}#{level}")


@lru_cache(maxsize=262_144)
def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=4).digest(), "big", signed=True)


def _level_of(radius_km: int) -> int:
    return next((level for level, most_km in enumerate(LEVELS_KM) if radius_km <= most_km), len(LEVELS_KM) - 1)


def _row_height(level: int) -> float:
    """Degrees of latitude; a cell is as high as the greatest radius at its level is long."""
    return degrees(LEVELS_KM[level] / EARTH_RADIUS_KM)


def _column_width(row: int, level: int) -> float:
    """Degrees of longitude that make a cell of this row about as wide as it is high."""
    height = _row_height(level)
    return height / max(_NARROWEST, cos(radians((row + 0.5) * height)))


def _cell_of(place: Point | Commune, *, level: int) -> str:
    row = floor(place.latitude / _row_height(level))
    return f"{level}:{row}:{floor(place.longitude / _column_width(row, level))}"


def _cells_around(place: Point | Commune, *, level: int, radius_km: int) -> Iterator[str]:
    """Every cell of a level that a circle touches (the box around the circle, row by row)."""
    reach = _MARGIN * radius_km / EARTH_RADIUS_KM
    height = _row_height(level)
    half_height = degrees(reach)
    half_width = degrees(asin(min(1.0, sin(reach) / max(_NARROWEST, cos(radians(place.latitude))))))
    for row in range(floor((place.latitude - half_height) / height), floor((place.latitude + half_height) / height) + 1):
        width = _column_width(row, level)
        for column in range(floor((place.longitude - half_width) / width), floor((place.longitude + half_width) / width) + 1):
            yield f"{level}:{row}:{column}"

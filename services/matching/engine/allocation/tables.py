"""A region's needs and offers as columns of numbers, for rounds too large for one object a row.

Days are whole numbers on one scale (date.toordinal()), minutes and points whole, places row numbers of `Places` (-1: only at
a distance), languages and flags bit masks of the caller's own choosing, weeks the masks of `domain.week` (0: any part).
Skills are numbers of a referential, one column a skill, -1 where there are fewer; a row names no skill twice.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.matching.engine.allocation.model import Ints

NOWHERE = -1
NO_SKILL = -1
EARTH_RADIUS_METRES = 6_371_008.8  # mean radius (IUGG)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Places:
    """Communes' centres or points, in degrees."""

    latitude: Floats
    longitude: Floats

    def measure_metres(self, one: Ints, other: Ints) -> Ints:
        """Great-circle distances between rows (haversine), in whole metres, rounded half up."""
        latitude_one, latitude_other = np.radians(self.latitude[one]), np.radians(self.latitude[other])
        turn = np.radians(self.longitude[other] - self.longitude[one])
        half_chord = np.sin((latitude_other - latitude_one) / 2) ** 2
        half_chord += np.cos(latitude_one) * np.cos(latitude_other) * np.sin(turn / 2) ** 2
        metres = 2 * EARTH_RADIUS_METRES * np.arcsin(np.sqrt(np.minimum(half_chord, 1.0)))
        rounded: Ints = (metres + 0.5).astype(np.int32)
        return rounded


@dataclass(frozen=True)
class Demand:
    """Open needs. `starts` is not before the round's day. `least_minutes`: the smallest part that one volunteer may take.

    `skills`, `levels`: (needs, most skills of a need). `requires`: flags that an offer must all have (setting, honorability,
    charter). `unmet_minutes` of `needed_minutes`: the association's that nobody serves.
    """

    place: Ints
    remote: npt.NDArray[np.bool_]
    minutes: Ints
    least_minutes: Ints
    starts: Ints
    ends: Ints
    week: Ints
    languages: Ints
    requires: Ints
    skills: Ints
    levels: Ints
    association: Ints
    unmet_minutes: Ints
    needed_minutes: Ints

    def __len__(self) -> int:
        return len(self.minutes)


@dataclass(frozen=True)
class Supply:
    """Open offers. `missions`: of the volunteer, living or served. `flags`: what `Demand.requires` asks for."""

    place: Ints
    remote: npt.NDArray[np.bool_]
    radius_km: Ints
    minutes: Ints
    starts: Ints
    ends: Ints
    week: Ints
    languages: Ints
    flags: Ints
    skills: Ints
    levels: Ints
    missions: Ints

    def __len__(self) -> int:
        return len(self.minutes)


@dataclass(frozen=True)
class KnownPairs:
    """What has been between needs or associations and volunteers before; rows of Demand and Supply.

    `barred_*`: pairs that a gate of their own blocks (own association, ties, turned down). `together_*`: missions that a
    volunteer has served for an association.
    """

    barred_need: Ints
    barred_offer: Ints
    together_association: Ints
    together_offer: Ints
    together_missions: Ints


def nothing_known() -> KnownPairs:
    empty = np.zeros(0, dtype=np.int64)
    return KnownPairs(empty, empty, empty, empty, empty)

"""Inverted lists of offers by (cell, skill) and by (cell, two skills): where candidates of a need are looked up.

Cells are squares of about ten kilometres. Within a list, offers of a wide radius come first: those that can come from a
cell at some distance are the start of its list. Who works at a distance is listed once more in a cell of its own, `AFAR`.
"""

from dataclasses import dataclass

import numpy as np

from services.matching.engine.allocation.canonical import Draws
from services.matching.engine.allocation.model import Ints
from services.matching.engine.allocation.tables import NO_SKILL, NOWHERE, Places, Supply

AFAR = 0  # the cell of those who work at a distance
CELL_KM = 10.0
_KM_PER_DEGREE = 111.2  # of latitude
_DIRECT_KEYS = 8_000_000  # up to here a table of all keys is small beside the offers
_RADIUS_STEPS = (5, 10, 15, 20, 30, 50, 1_000)  # km; radii are rounded up to the next


@dataclass(frozen=True)
class Grid:
    """The cell of each place, numbered from 1 where there are places; 0 is `AFAR`. Cells' centres and reach in km."""

    cell_of_place: Ints
    latitude: Ints
    longitude: Ints

    def __len__(self) -> int:
        return len(self.latitude)


@dataclass(frozen=True)
class Lists:
    """Lists of offers: list i is `offers[start[i] : start[i + 1]]`, `within[i, s]` of them have a radius of step s or more.

    A key is `cell * width + skill` (or two skills). `key` is sorted; `number_of_key` says the same directly where keys are
    few. `find` gives list numbers, and that of the empty last list for unknown keys.
    """

    key: Ints
    start: Ints
    offers: Ints
    within: Ints
    number_of_key: Ints | None
    width: int

    def find(self, keys: Ints) -> Ints:
        if self.number_of_key is not None:
            return self.number_of_key[keys]
        at = np.minimum(np.searchsorted(self.key, keys), len(self.key) - 1)
        return np.where(self.key[at] == keys, at, len(self.key))


@dataclass(frozen=True)
class OfferIndex:
    """`near_cells`: for each cell the cells in reach, nearest first, as (start, cells, the radius step that it takes)."""

    grid: Grid
    skill_count: int
    single: Lists
    double: Lists
    near_start: Ints
    near_cell: Ints
    near_step: Ints


def number_two(one: Ints, other: Ints, *, skill_count: int) -> Ints:
    """Two skills as one number, whichever comes first; -1 where there are no two."""
    low, high = np.minimum(one, other).astype(np.int64), np.maximum(one, other).astype(np.int64)
    return np.where(low >= 0, low * skill_count + high, NO_SKILL)


def build_index(supply: Supply, places: Places, asked_places: Ints, *, draws: Draws, skill_count: int) -> OfferIndex:
    """`draws`: of the offers, their order within lists. `asked_places`: where needs are; from elsewhere nothing can be looked
    up."""
    grid = _build_grid(places)
    asked = np.unique(grid.cell_of_place[asked_places[asked_places != NOWHERE]])
    steps = np.searchsorted(_RADIUS_STEPS, supply.radius_km).astype(np.int8)
    by_radius = np.lexsort((draws, -steps)).astype(np.int32)
    single, double = [], []
    columns = supply.skills.shape[1]
    for one in range(columns):
        single.append((by_radius, supply.skills[by_radius, one].astype(np.int64)))
        for other in range(one):
            two = number_two(supply.skills[by_radius, one], supply.skills[by_radius, other], skill_count=skill_count)
            double.append((by_radius, two))
    near_start, near_cell, near_step = _list_near_cells(grid, asked, widest_km=int(supply.radius_km.max(initial=0)))
    return OfferIndex(
        grid=grid,
        skill_count=skill_count,
        single=_build_lists(single, supply, grid, steps, width=skill_count),
        double=_build_lists(double, supply, grid, steps, width=skill_count * skill_count),
        near_start=near_start,
        near_cell=near_cell,
        near_step=near_step,
    )


def _build_grid(places: Places) -> Grid:
    row = np.floor(places.latitude * _KM_PER_DEGREE / CELL_KM).astype(np.int64)
    middle = (row + 0.5) * CELL_KM / _KM_PER_DEGREE
    shrink = np.maximum(0.05, np.cos(np.radians(middle)))
    column = np.floor(places.longitude * _KM_PER_DEGREE * shrink / CELL_KM).astype(np.int64)
    _, cell = np.unique(row * 1_000_000 + column, return_inverse=True)
    count = np.bincount(cell)
    latitude = np.bincount(cell, places.latitude) / count
    longitude = np.bincount(cell, places.longitude) / count
    return Grid(
        cell_of_place=(cell + 1).astype(np.int32),
        latitude=np.concatenate([[0.0], latitude]),
        longitude=np.concatenate([[0.0], longitude]),
    )


def _list_near_cells(grid: Grid, asked: Ints, *, widest_km: int) -> tuple[Ints, Ints, Ints]:
    """For the cells in `asked` those whose places may lie within the widest radius, nearest first; none for others.

    A cell's points are at most about one diagonal off its centre.
    """
    slack_km = CELL_KM * 1.5
    reach_km = widest_km + slack_km
    by_latitude = np.argsort(grid.latitude[1:], kind="stable") + 1
    latitude = grid.latitude[by_latitude]
    band = reach_km / _KM_PER_DEGREE
    low = np.searchsorted(latitude, grid.latitude[asked] - band)
    count = np.searchsorted(latitude, grid.latitude[asked] + band, side="right") - low
    count[asked == AFAR] = 0
    owner = np.repeat(np.arange(len(asked)), count)
    cell = by_latitude[np.repeat(low - np.cumsum(count) + count, count) + np.arange(int(count.sum()))]
    here = asked[owner]
    north = (grid.latitude[cell] - grid.latitude[here]) * _KM_PER_DEGREE
    east = (grid.longitude[cell] - grid.longitude[here]) * _KM_PER_DEGREE * np.cos(np.radians(grid.latitude[here]))
    away = np.hypot(north, east)
    close = np.flatnonzero(away <= reach_km)
    close = close[np.lexsort((cell[close], away[close], here[close]))]
    start = np.searchsorted(here[close], np.arange(len(grid) + 1))
    steps = np.searchsorted(_RADIUS_STEPS, np.maximum(0.0, away[close] - slack_km))
    return start, cell[close].astype(np.int32), steps.astype(np.int8)


def _build_lists(parts: list[tuple[Ints, Ints]], supply: Supply, grid: Grid, steps: Ints, *, width: int) -> Lists:
    """`parts`: (offers, skill or skills as one number, -1 for none)."""
    offers, keys = [], []
    for offer, skill in parts:
        here = np.flatnonzero((skill >= 0) & (supply.place[offer] != NOWHERE))
        offers.append(offer[here])
        keys.append(grid.cell_of_place[supply.place[offer[here]]].astype(np.int64) * width + skill[here])
        afar = np.flatnonzero((skill >= 0) & supply.remote[offer])
        offers.append(offer[afar])
        keys.append(skill[afar])
    offer, key = np.concatenate(offers), np.concatenate(keys)
    del offers, keys
    order = np.lexsort((-steps[offer], key))
    offer, key = offer[order], key[order]
    first = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])) if len(key) else np.zeros(0, dtype=np.int64)
    numbers = np.zeros(len(key), dtype=np.int32)
    numbers[first[1:]] = 1
    numbers = np.cumsum(numbers, dtype=np.int32)
    within = np.empty((len(first) + 1, len(_RADIUS_STEPS)), dtype=np.int32)
    for step in range(len(_RADIUS_STEPS)):
        within[:-1, step] = np.bincount(numbers[steps[offer] >= step], minlength=len(first))
    within[-1] = 0
    start = np.concatenate([first, [len(key), len(key)]]).astype(np.int64)
    direct = None
    if not len(first) or len(grid) * width <= _DIRECT_KEYS:
        direct = np.full(len(grid) * width, len(first), dtype=np.int32)
        direct[key[first]] = np.arange(len(first))
    return Lists(key[first], start, offer, within, direct, width)

"""Stretches of inverted lists that lie in a need's reach, and a bounded draw of offers from all of them."""

from dataclasses import dataclass

import numpy as np

from services.matching.engine.allocation.canonical import Draws
from services.matching.engine.allocation.index import AFAR, Lists, OfferIndex
from services.matching.engine.allocation.model import Ints
from services.matching.engine.allocation.tables import NOWHERE

_NEARER = 1.5  # 1 draws evenly over all in reach; more draws nearer cells more densely


@dataclass(frozen=True)
class Reach:
    """By cell in reach: which need (`row`), which cell, the radius step that it takes, and its place from near to far."""

    row: Ints
    cell: Ints
    step: Ints
    ring: Ints

    def keep(self, kept: Ints) -> "Reach":
        return Reach(self.row[kept], self.cell[kept], self.step[kept], self.ring[kept])


def find_reach(index: OfferIndex, place: Ints, remote: Ints) -> Reach:
    """The cells of each need, nearest first; the cell of those who work at a distance comes last."""
    cell = np.where(place != NOWHERE, index.grid.cell_of_place[np.maximum(place, 0)], AFAR)
    count = index.near_start[cell + 1] - index.near_start[cell]
    row = np.repeat(np.arange(len(place)), count)
    at = np.repeat(index.near_start[cell] - np.cumsum(count) + count, count) + np.arange(int(count.sum()))
    afar = np.flatnonzero(remote)
    cells = np.concatenate([index.near_cell[at], np.full(len(afar), AFAR, dtype=np.int32)])
    steps = np.concatenate([index.near_step[at], np.zeros(len(afar), dtype=np.int8)])
    return Reach(np.concatenate([row, afar]), cells, steps, np.arange(len(cells)))


class Stretches:
    """Starts of lists by need, added skill by skill. `draws`: of the needs, which say where a spread draw begins."""

    def __init__(self, lists: Lists, draws: Draws) -> None:
        self._lists = lists
        self._draws = draws
        nothing = np.zeros(0, dtype=np.int64)
        self._parts = [(nothing, nothing, nothing, nothing)]

    def add(self, skill: Ints, reach: Reach) -> None:
        """The lists of one skill (or two as one number) a need, -1 for none."""
        wanted = skill[reach.row]
        asked = np.flatnonzero(wanted >= 0)
        number = self._lists.find(reach.cell[asked].astype(np.int64) * self._lists.width + wanted[asked])
        length = self._lists.within[number, reach.step[asked]]
        some = np.flatnonzero(length)
        asked, number = asked[some], number[some]
        self._parts.append((reach.row[asked], reach.ring[asked], self._lists.start[number], length[some]))

    def draw(self, quota: Ints) -> tuple[Ints, Ints]:
        """(need, offer): all of a need's offers where they are no more than its quota, else a spread of so many."""
        row, ring, start, length = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        order = np.lexsort((ring, row))
        row, start, length = row[order], start[order], length[order]
        total = np.bincount(row, length, minlength=len(quota)).astype(np.int64)
        count = np.minimum(total, quota)
        drawn = np.repeat(np.arange(len(quota)), count)
        number = np.arange(len(drawn)) - np.repeat(np.cumsum(count) - count, count)
        shift = (self._draws >> np.uint64(11)).astype(np.float64) / float(1 << 53)
        share = ((number + shift[drawn]) / count[drawn]) ** _NEARER
        spread = np.minimum((share * total[drawn]).astype(np.int64), total[drawn] - 1)
        wanted = np.where(count[drawn] == total[drawn], number, spread) + (np.cumsum(total) - total)[drawn]
        ends = np.cumsum(length)
        part = np.searchsorted(ends, wanted, side="right")
        return drawn, self._lists.offers[start[part] + wanted - (ends - length)[part]]

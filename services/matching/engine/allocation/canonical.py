"""The same round whatever order its rows come in: canonical order, public draw between equals, digests.

- **Draw**: the number of an id is the first 8 bytes (big endian) of BLAKE2b over `seed:table:id`. Rows are put in the
  order of their draws, and between equal allocations the lower sum of pair draws wins (`draw_pairs`), so anybody with
  the ids and the seed can check a choice. The seed may be drawn in public.
- **Digest**: SHA-256 over the parameters and the tables sorted by id, each column as little-endian 64-bit integers.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from services.matching.engine.allocation.faults import BadRoundInput
from services.matching.engine.allocation.model import NO_COMPANY, Ints, Proposal, RoundInput, RoundParameters

DRAW_BITS = 10  # of a pair's draw: 1,024 values tell most equals apart and keep costs small
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, the multiplier of Fibonacci hashing

Draws = npt.NDArray[np.uint64]


def draw_ids(table: str, ids: Iterable[str], *, seed: str) -> Draws:
    """One 64-bit number an id, equally likely for all."""
    prefix = hashlib.blake2b(f"{seed}:{table}:".encode(), digest_size=8)
    digests = bytearray()
    for key in ids:
        digest = prefix.copy()
        digest.update(key.encode())
        digests += digest.digest()
    return np.frombuffer(bytes(digests), dtype=">u8").astype(np.uint64)


def order_by_draw(table: str, ids: Sequence[str], draws: Draws) -> Ints:
    """Row numbers by draw; between equal draws by id. Raises BadRoundInput where an id stands twice."""
    order = np.argsort(draws, kind="stable")
    ordered = draws[order]
    if not np.any(ordered[1:] == ordered[:-1]):
        return order
    keys = sorted(range(len(ids)), key=lambda row: (int(draws[row]), ids[row]))
    for before, after in pairwise(keys):
        if ids[before] == ids[after]:
            raise BadRoundInput(f"{table} {ids[after]!r} has two rows; leave one")
    return np.array(keys, dtype=np.int64)


def draw_pairs(need_draws: Draws, volunteer_draws: Draws, *, bits: int = DRAW_BITS) -> Ints:
    """The pair's draw, 0 to 1,023: the top bits of (need XOR volunteer rotated by 32 bits) x golden ratio, modulo 2^64."""
    half = np.uint64(32)
    mixed = need_draws ^ ((volunteer_draws << half) | (volunteer_draws >> half))
    return ((mixed * _GOLDEN) >> np.uint64(64 - bits)).astype(np.int64)


def digest_inputs(data: RoundInput, parameters: RoundParameters, *, solver: str) -> str:
    """SHA-256 of all that decides a round, in canonical bytes."""
    digest = hashlib.sha256()
    head = {"format": 1, "solver": solver, "parameters": asdict(parameters)}
    digest.update(json.dumps(head, sort_keys=True, separators=(",", ":")).encode())
    company, company_place = _sort_ids(data.company_ids)
    association, association_place = _sort_ids(data.association_ids)
    volunteer, volunteer_place = _sort_ids(data.volunteer_ids)
    need, need_place = _sort_ids(data.need_ids)
    employers = np.where(data.volunteer_company == NO_COMPANY, NO_COMPANY, 0)
    hired = np.flatnonzero(data.volunteer_company != NO_COMPANY)
    employers[hired] = company_place[data.volunteer_company[hired]]
    _add_table(digest, data.company_ids, company, [data.company_minutes])
    _add_table(digest, data.association_ids, association, [data.association_credit, data.association_target])
    _add_table(digest, data.volunteer_ids, volunteer, [data.volunteer_minutes, employers])
    columns = [association_place[data.need_association], data.need_minutes, data.need_slice]
    _add_table(digest, data.need_ids, need, columns)
    pair_need, pair_volunteer = need_place[data.pair_need], volunteer_place[data.pair_volunteer]
    pairs = np.lexsort((pair_volunteer, pair_need))
    for column in (pair_need, pair_volunteer, data.pair_points):
        _add_column(digest, column[pairs])
    _add_text(digest, sorted(f"{pin.need_id}\t{pin.volunteer_id}\t{pin.minutes}" for pin in data.pins))
    _add_text(digest, sorted(f"{pair.need_id}\t{pair.volunteer_id}" for pair in data.exclusions))
    return digest.hexdigest()


def digest_proposals(proposals: Iterable[Proposal]) -> str:
    """SHA-256 of who serves what, sorted by need and volunteer."""
    lines = sorted(f"{item.need_id}\t{item.volunteer_id}\t{item.minutes}\t{item.points}" for item in proposals)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _sort_ids(ids: Sequence[str]) -> tuple[Ints, Ints]:
    """Row numbers sorted by id, and for each row its place in that order."""
    order = np.array(sorted(range(len(ids)), key=ids.__getitem__), dtype=np.int64)
    place = np.empty(len(ids), dtype=np.int64)
    place[order] = np.arange(len(ids))
    return order, place


def _add_table(digest: Any, ids: Sequence[str], order: Ints, columns: Iterable[Ints]) -> None:
    _add_text(digest, (ids[row] for row in order.tolist()))
    for column in columns:
        _add_column(digest, column[order])


def _add_text(digest: Any, lines: Iterable[str]) -> None:
    """Count and length first, so that no two tables have the same bytes."""
    encoded = [line.encode() for line in lines]
    digest.update(np.array([len(encoded), *map(len, encoded)], dtype="<i8").tobytes())
    digest.update(b"".join(encoded))


def _add_column(digest: Any, column: Ints) -> None:
    digest.update(np.array([len(column)], dtype="<i8").tobytes())
    digest.update(column.astype("<i8").tobytes())

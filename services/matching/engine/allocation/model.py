"""What goes into an allocation round and what comes out.

Amounts are whole minutes, points are whole and not negative. Ids are the caller's text, unique in their table.
Two ways in: `build_round_input` from rows (a campaign), or `RoundInput` itself from arrays (a region).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from services.matching.engine.allocation.faults import BadRoundInput

Ints = npt.NDArray[Any]
"""A one-dimensional array of integers of any width."""

NO_COMPANY = -1
MAXIMUM_POINTS = 100_000
MAXIMUM_MINUTES = 1_000_000_000  # of a whole round; costs then stay in 63 bits at any slider


@dataclass(frozen=True)
class Company:
    """`minutes`: what it promised and has not yet given."""

    id: str
    minutes: int


@dataclass(frozen=True)
class Volunteer:
    """One who gives `minutes` at most (an open offer with its free minutes); without a company, on their own account."""

    id: str
    minutes: int
    company_id: str | None = None


@dataclass(frozen=True)
class Association:
    """`credit_minutes`: what it may still spend. `target_minutes`: what counts as fully served (None: its credit)."""

    id: str
    credit_minutes: int
    target_minutes: int | None = None


@dataclass(frozen=True)
class NeedRow:
    """`slice_minutes`: the least that one volunteer may take of it. None: all of it, one volunteer a need; 1: any part."""

    id: str
    association_id: str
    minutes: int
    slice_minutes: int | None = None


@dataclass(frozen=True)
class Pair:
    """A volunteer who passed all gates of a need. `points`: the score, counted for each minute served."""

    need_id: str
    volunteer_id: str
    points: int


@dataclass(frozen=True)
class Pin:
    """A person decided that this pair is proposed, with `minutes` (None: all that the need asks)."""

    need_id: str
    volunteer_id: str
    minutes: int | None = None


@dataclass(frozen=True)
class Exclusion:
    """A person decided that this pair is not proposed."""

    need_id: str
    volunteer_id: str


@dataclass(frozen=True)
class RoundInput:
    """All tables of a round, column by column; `*_company`, `*_association`, `pair_need`, `pair_volunteer` are row numbers.

    `volunteer_company` is -1 for who has none. Rows may come in any order: results do not depend on it.
    """

    company_ids: Sequence[str]
    company_minutes: Ints
    volunteer_ids: Sequence[str]
    volunteer_minutes: Ints
    volunteer_company: Ints
    association_ids: Sequence[str]
    association_credit: Ints
    association_target: Ints
    need_ids: Sequence[str]
    need_association: Ints
    need_minutes: Ints
    need_slice: Ints
    pair_need: Ints
    pair_volunteer: Ints
    pair_points: Ints
    pins: tuple[Pin, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()

    @property
    def is_indivisible(self) -> bool:
        """Every need is served by one volunteer for all its minutes."""
        return bool(np.all(self.need_slice >= self.need_minutes))


class Method(StrEnum):
    """`AUTO`: `FLOW` where all needs take any part; else `SLOTS` up to `slots_limit` needs, `REPAIR` above."""

    AUTO = "auto"
    FLOW = "flow"
    SLOTS = "slots"
    REPAIR = "repair"


@dataclass(frozen=True)
class RoundParameters:
    """How a round is decided; all of it enters the digest.

    `fairness`: the slider, 0 (points alone) to 1 (leximin: the worst-served association first), in thousandths.
    `served_points`: added to each pair, so that a minute served weighs more beside how well it fits. `gap`: at which
    relative gap to the bound the slots' solver may stop; `node_limit` bounds its search by work, which is replayable,
    `time_limit_seconds` by the clock, which is not (the result then says `replayable=False`).
    """

    seed: str = "metis"
    fairness: float = 0.5
    served_points: int = 0
    slices: int = 20
    method: Method = Method.AUTO
    slots_limit: int = 1_000
    gap: float = 0.01
    node_limit: int = 20_000
    time_limit_seconds: float = 120.0
    leximin_pairs_limit: int = 600_000
    repair_passes: int = 4
    price_of_fairness: bool = True

    @property
    def fairness_permille(self) -> int:
        return round(self.fairness * 1_000)


@dataclass(frozen=True)
class Proposal:
    need_id: str
    volunteer_id: str
    minutes: int
    points: int
    pinned: bool = False


class Hurdle(StrEnum):
    """Why a pair that fits got nothing (more). Of several, the first in this order."""

    CREDIT_SPENT = "credit_spent"
    COMPANY_SPENT = "company_spent"
    VOLUNTEER_TAKEN = "volunteer_taken"
    TOO_SMALL_A_PART = "too_small_a_part"
    WORTH_LESS = "worth_less"


@dataclass(frozen=True)
class HeldUp:
    """A fitting volunteer of a need that stayed (partly) unserved, and what held the pair up.

    `gone_to`: needs that took this volunteer's minutes, with how many.
    """

    volunteer_id: str
    points: int
    hurdle: Hurdle
    free_minutes: int
    gone_to: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class UnservedNeed:
    """`candidates`: how many volunteers fitted; `hurdles` counts what held them up; `nearest`: the best few of them."""

    need_id: str
    missing_minutes: int
    candidates: int
    hurdles: dict[Hurdle, int]
    nearest: tuple[HeldUp, ...]


@dataclass(frozen=True)
class AssociationShare:
    """`fill`: served over target, None without a target. `reachable`: at least one volunteer fits one of its needs."""

    association_id: str
    credit_minutes: int
    target_minutes: int
    asked_minutes: int
    served_minutes: int
    reachable: bool

    @property
    def fill(self) -> float | None:
        return self.served_minutes / self.target_minutes if self.target_minutes else None


@dataclass(frozen=True)
class RoundFigures:
    """`score`: the sum of minutes x points (served_points apart); `objective`: what was maximised, fairness included;
    `bound`: no allocation reaches more; `gap`: (bound - objective) / bound. `worst_fill`: of reachable associations.
    `price_score`, `price_minutes`: the share lost against slider 0 (below 0: gained), None where not computed.
    `best_worst_fill`: at slider 1, what the exact leximin gives the worst-served where needs can be cut; the distance of
    `worst_fill` from it is the gap of steep slices, and of whole needs.
    """

    needs: int
    needs_served: int
    needs_partly: int
    asked_minutes: int
    served_minutes: int
    score: int
    objective: int
    bound: int
    gap: float
    worst_fill: float
    mean_fill: float
    price_score: float | None = None
    price_minutes: float | None = None
    best_worst_fill: float | None = None


@dataclass(frozen=True)
class RoundResult:
    """A finished round. `inputs_digest` and `proposals_digest` are SHA-256 of canonical bytes (`canonical`): the same
    inputs, parameters and `solver` give the same two. `seconds` by phase are the only figures that vary.
    """

    proposals: tuple[Proposal, ...]
    unserved: tuple[UnservedNeed, ...]
    shares: tuple[AssociationShare, ...]
    figures: RoundFigures
    parameters: RoundParameters
    method: Method
    solver: str
    inputs_digest: str
    proposals_digest: str
    replayable: bool
    notes: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict, compare=False)


def build_round_input(
    *,
    companies: Iterable[Company] = (),
    volunteers: Iterable[Volunteer],
    associations: Iterable[Association],
    needs: Iterable[NeedRow],
    pairs: Iterable[Pair],
    pins: Iterable[Pin] = (),
    exclusions: Iterable[Exclusion] = (),
) -> RoundInput:
    """The tables from rows that name each other by id. Raises BadRoundInput for a name that no row has."""
    company, volunteer, association, need = list(companies), list(volunteers), list(associations), list(needs)
    pair = list(pairs)
    company_row = {row.id: number for number, row in enumerate(company)}
    volunteer_row = {row.id: number for number, row in enumerate(volunteer)}
    association_row = {row.id: number for number, row in enumerate(association)}
    need_row = {row.id: number for number, row in enumerate(need)}
    employers = [NO_COMPANY if v.company_id is None else _row(company_row, v.company_id, "company") for v in volunteer]
    targets = [row.credit_minutes if row.target_minutes is None else row.target_minutes for row in association]
    slices = [row.minutes if row.slice_minutes is None else row.slice_minutes for row in need]
    return RoundInput(
        company_ids=[row.id for row in company],
        company_minutes=_ints(row.minutes for row in company),
        volunteer_ids=[row.id for row in volunteer],
        volunteer_minutes=_ints(row.minutes for row in volunteer),
        volunteer_company=_ints(employers),
        association_ids=[row.id for row in association],
        association_credit=_ints(row.credit_minutes for row in association),
        association_target=_ints(targets),
        need_ids=[row.id for row in need],
        need_association=_ints(_row(association_row, row.association_id, "association") for row in need),
        need_minutes=_ints(row.minutes for row in need),
        need_slice=_ints(slices),
        pair_need=_ints(_row(need_row, row.need_id, "need") for row in pair),
        pair_volunteer=_ints(_row(volunteer_row, row.volunteer_id, "volunteer") for row in pair),
        pair_points=_ints(row.points for row in pair),
        pins=tuple(pins),
        exclusions=tuple(exclusions),
    )


def _ints(values: Iterable[int]) -> Ints:
    return np.fromiter(values, dtype=np.int64)


def _row(rows: dict[str, int], key: str, table: str) -> int:
    if key not in rows:
        raise BadRoundInput(f"{table} {key!r} is named and has no row; add it, or leave out what names it")
    return rows[key]

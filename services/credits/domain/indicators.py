"""What the town watches: how much was granted, used and lost, by whom, how fast, and how unequally.

Everything is folded out of the ledger's flows (store/indicators.py adds them up); nothing is counted on the side.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from enum import StrEnum
from statistics import median
from typing import Generic, TypeVar
from uuid import UUID

from services.credits.domain.campaigns import Actor

K = TypeVar("K")
NO_FIELD = ""


class Flow(StrEnum):
    """What a transfer was, once a reversal counts against what it undid."""

    PLEDGE = "pledge"
    WITHDRAW = "withdraw"
    GRANT = "grant"
    RESERVE = "reserve"
    RELEASE = "release"
    SETTLE = "settle"
    DELIVER = "deliver"
    LAPSE = "lapse"
    RETURN = "return"
    CARRY_OUT = "carry_out"
    CARRY_IN = "carry_in"


@dataclass(frozen=True)
class Moved:
    """Net minutes of one flow in one local month. `holder_id`: the association, or of a pledge the contributor.

    `contributor_id`: who serves the mission, where there is one.
    """

    flow: Flow
    holder_id: UUID
    contributor_id: UUID | None
    month: date
    minutes: int


@dataclass
class Figures:
    """Minutes. granted + carried_in = available + in_use + served + lapsed + returned + carried_out."""

    pledged: int = 0
    granted: int = 0
    reserved: int = 0
    released: int = 0
    served: int = 0
    lapsed: int = 0
    returned: int = 0
    carried_in: int = 0
    carried_out: int = 0

    @property
    def in_use(self) -> int:
        """Set aside for running missions."""
        return self.reserved - self.released - self.served

    @property
    def available(self) -> int:
        gone = self.lapsed + self.returned + self.carried_out
        return self.granted + self.carried_in - gone - (self.reserved - self.released)

    def add(self, name: str, minutes: int) -> None:
        setattr(self, name, getattr(self, name) + minutes)


# Delivered minutes are the served ones, seen from the contributor; they are not added twice.
_FIGURE = {
    Flow.PLEDGE: ("pledged", 1),
    Flow.WITHDRAW: ("pledged", -1),
    Flow.GRANT: ("granted", 1),
    Flow.RESERVE: ("reserved", 1),
    Flow.RELEASE: ("released", 1),
    Flow.SETTLE: ("served", 1),
    Flow.LAPSE: ("lapsed", 1),
    Flow.RETURN: ("returned", 1),
    Flow.CARRY_IN: ("carried_in", 1),
    Flow.CARRY_OUT: ("carried_out", 1),
}
_PROMISES = frozenset({Flow.PLEDGE, Flow.WITHDRAW})


@dataclass(frozen=True)
class Pace:
    """When an association was first granted minutes, first served, and served half of what it was granted."""

    association_id: UUID
    granted_at: datetime
    first_used_at: datetime | None
    half_used_at: datetime | None

    def days_to(self, instant: datetime | None) -> float | None:
        return round((instant - self.granted_at).total_seconds() / 86_400, 1) if instant else None


@dataclass(frozen=True)
class Indicators:
    """Each series maps what it goes by to its figures. Citizens stand together, under None: no person is singled out."""

    total: Figures
    by_association: dict[UUID, Figures]
    by_field: dict[str, Figures]
    by_contributor: dict[UUID | None, Figures]
    by_month: dict[date, Figures]
    pace: dict[UUID, Pace]
    gini_granted: float | None = field(init=False)
    gini_served: float | None = field(init=False)

    def __post_init__(self) -> None:
        panel = [one for one in self.by_association.values() if one.granted > 0]
        object.__setattr__(self, "gini_granted", gini([one.granted for one in panel]))
        object.__setattr__(self, "gini_served", gini([one.served for one in panel]))

    @property
    def median_days_to_first_use(self) -> float | None:
        return _median(pace.days_to(pace.first_used_at) for pace in self.pace.values())

    @property
    def median_days_to_half_use(self) -> float | None:
        return _median(pace.days_to(pace.half_used_at) for pace in self.pace.values())


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(median(known), 1) if known else None


def gini(values: Sequence[int]) -> float | None:
    """0: all alike; towards 1: one has everything. None when there is nothing to share out (Gini 1912, for a finite panel)."""
    total, count = sum(values), len(values)
    if total <= 0:
        return None
    ranked = sum((2 * rank - count - 1) * value for rank, value in enumerate(sorted(values), start=1))
    return round(ranked / (count * total), 4)


def build_indicators(moved: Iterable[Moved], *, actors: dict[UUID, Actor], pace: Iterable[Pace]) -> Indicators:
    total, associations, by_field = Figures(), _Series[UUID](), _Series[str]()
    contributors, months = _Series[UUID | None](), _Series[date]()
    for one in moved:
        if one.flow not in _FIGURE:
            continue
        name, sign = _FIGURE[one.flow]
        minutes = sign * one.minutes
        total.add(name, minutes)
        months.of(one.month).add(name, minutes)
        if one.flow in _PROMISES:
            contributors.of(_organisation(one.holder_id, actors)).add(name, minutes)
            continue
        associations.of(one.holder_id).add(name, minutes)
        if one.contributor_id is not None:
            contributors.of(_organisation(one.contributor_id, actors)).add(name, minutes)
    for association_id, figures in associations.found.items():
        actor = actors.get(association_id)
        _share_out(figures, actor.fields_of_action if actor else (), by_field.of)
    return Indicators(
        total, associations.found, by_field.found, contributors.found, months.found, {one.association_id: one for one in pace}
    )


class _Series(Generic[K]):
    """Figures by key, in order of first use."""

    def __init__(self) -> None:
        self.found: dict[K, Figures] = {}

    def of(self, key: K) -> Figures:
        return self.found.setdefault(key, Figures())


def _organisation(contributor_id: UUID, actors: dict[UUID, Actor]) -> UUID | None:
    return contributor_id if contributor_id in actors else None


def _share_out(figures: Figures, fields_of_action: Sequence[str], of: Callable[[str], Figures]) -> None:
    """An association of several fields counts in each for its part, so that the fields add up to the whole."""
    names = sorted(fields_of_action) or [NO_FIELD]
    for figure in fields(Figures):
        each, rest = divmod(getattr(figures, figure.name), len(names))
        for index, name in enumerate(names):
            of(name).add(figure.name, each + (1 if index < rest else 0))

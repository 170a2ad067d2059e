"""An association's accounting entries for what was given to it in kind (ANC 2018-06: classes 86 and 87).

A company's employees on loan are a service (862 against 871); a citizen's own time is voluntary work (864 against 875).
Amounts are those that were given and no others: without a valuation the entry bears its minutes and no euros.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from uuid import UUID

SERVICES = ("862", "871")
VOLUNTARY_WORK = ("864", "875")
ACCOUNT_NAMES = {
    "862": "Prestations",
    "864": "Personnel bénévole",
    "871": "Prestations en nature",
    "875": "Bénévolat",
}


@dataclass(frozen=True)
class ServedMission:
    """Minutes served for a mission, net of reversals: before a period, up to its end, and of all time."""

    mission_id: UUID
    title: str | None
    volunteer_id: UUID | None
    contributor_id: UUID
    contributor_name: str | None
    by_organisation: bool
    day: date
    before_minutes: int
    until_minutes: int
    total_minutes: int

    @property
    def minutes(self) -> int:
        """Of the period; below zero where more was undone than served."""
        return self.until_minutes - self.before_minutes


@dataclass(frozen=True)
class InKindEntry:
    """One line of the journal; an amount of None is not known."""

    mission: ServedMission
    account: str
    minutes: int
    debit_cents: int | None
    credit_cents: int | None
    valued: bool


def build_in_kind_entries(
    missions: Iterable[ServedMission], *, valued_cents_by_mission: Mapping[UUID, int]
) -> Iterator[InKindEntry]:
    """Two lines a mission, the same amount in debit and in credit; what was undone, the other way round."""
    for mission in missions:
        if not mission.minutes:
            continue
        used, given = SERVICES if mission.by_organisation else VOLUNTARY_WORK
        cents = share_of_valuation(mission, valued_cents_by_mission.get(mission.mission_id))
        debit, credit = (used, given) if mission.minutes > 0 else (given, used)
        amount = abs(cents) if cents is not None else None
        minutes = abs(mission.minutes)
        yield InKindEntry(mission, debit, minutes, amount, None, cents is not None)
        yield InKindEntry(mission, credit, minutes, None, amount, cents is not None)


def share_of_valuation(mission: ServedMission, cents: int | None) -> int | None:
    """The period's part of what the donor stated for the whole mission, by minutes; the parts add up to the cent."""
    if cents is None or mission.total_minutes <= 0:
        return None
    return cents * mission.until_minutes // mission.total_minutes - cents * mission.before_minutes // mission.total_minutes

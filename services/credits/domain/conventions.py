"""The convention of a mission: the prior agreement of association, contributor and town, in versions.

A version is its content, as data, and that content's digest: what the three accept is the same to the byte. The paper is
made from it (`documents/`), and can be made again as long as its template is kept.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from services.credits.domain.campaigns import Campaign
from services.credits.domain.document_errors import ConventionTooLate
from services.credits.domain.errors import BadInput
from services.credits.domain.holds import Hold, HoldState, Refusal
from services.credits.domain.parties import Party
from services.credits.domain.patronage import list_laws

# The number of the newest template; a version keeps the number it was written with.
CONVENTION_TEMPLATE = 2


class Side(StrEnum):
    ASSOCIATION = "association"
    CONTRIBUTOR = "contributor"
    TOWN = "town"


class ConventionState(StrEnum):
    MISSING = "missing"
    AWAITING = "awaiting"  # a version is written, and not all have accepted it
    CONCLUDED = "concluded"


@dataclass(frozen=True)
class Terms:
    """What the ledger does not know of a mission. `planned_value_cents` is the donor's own figure, or absent."""

    tasks: str
    calendar: str
    place: str
    starts_on: date
    employees: int
    planned_value_cents: int | None


@dataclass(frozen=True)
class AskedTerms:
    """What the parties say; None: as the mission's need says. A mission that a partner's platform keeps has no need here."""

    tasks: str | None = None
    calendar: str | None = None
    place: str | None = None
    starts_on: date | None = None
    employees: int = 1
    planned_value_cents: int | None = None
    title: str | None = None


@dataclass(frozen=True)
class ToldMission:
    """What matching told of a mission. Missions of before it told all are empty but for their title."""

    title: str
    description: str = ""
    place: str = ""
    calendar: str = ""
    starts_on: date | None = None


@dataclass(frozen=True)
class Signatory:
    """One side as the convention names it. A citizen is named by an opaque id alone and signs the paper by hand."""

    id: UUID
    name: str | None
    party: Party | None


@dataclass(frozen=True)
class Acceptance:
    side: Side
    accepted_by: str
    actor_id: UUID | None
    accepted_at: datetime


@dataclass(frozen=True)
class Version:
    version: int
    template: int
    content: dict[str, Any]
    digest: str
    drafted_by: str
    drafted_at: datetime
    acceptances: tuple[Acceptance, ...]

    @property
    def is_concluded(self) -> bool:
        return {acceptance.side for acceptance in self.acceptances} == set(Side)


def complete_terms(asked: AskedTerms, told: ToldMission, *, newest: Version | None, today: date) -> Terms:
    """The terms, as the mission's need says where the parties say nothing. Raises BadInput where neither does.

    A first day that is over by the time the convention is written is today; a further version keeps the first one's.
    """

    def complete(name: str, said: str | None, known: str) -> str:
        if text := said or known.strip():
            return text
        raise BadInput.at(f"/{name}", "say it: what this mission's need says of it was not told here")

    starts_on = asked.starts_on
    if starts_on is None and newest is not None:
        starts_on = date.fromisoformat(newest.content["mission"]["starts_on"])
    return Terms(
        tasks=complete("tasks", asked.tasks, told.description),
        calendar=complete("calendar", asked.calendar, told.calendar),
        place=complete("place", asked.place, told.place),
        starts_on=starts_on or max(today, told.starts_on or today),
        employees=asked.employees,
        planned_value_cents=asked.planned_value_cents,
    )


def build_content(
    *, mission_title: str, hold: Hold, campaign: Campaign, terms: Terms, sides: dict[Side, Signatory], insee: str
) -> dict[str, Any]:
    """The convention as data: whole numbers, ISO dates and text, the same for the same facts."""
    assert hold.ends_on is not None
    return {
        "mission": {
            "id": str(hold.mission_id),
            "title": mission_title,
            "minutes": hold.minutes,
            "starts_on": terms.starts_on.isoformat(),
            "ends_on": hold.ends_on.isoformat(),
            "tasks": terms.tasks,
            "calendar": terms.calendar,
            "place": terms.place,
            "employees": terms.employees,
            "planned_value_cents": terms.planned_value_cents,
        },
        "campaign": {"ref": campaign.ref, "title": campaign.facts.title},
        "territory": insee,
        **{side.value: _signatory_content(signatory) for side, signatory in sides.items()},
    }


def _signatory_content(signatory: Signatory) -> dict[str, Any]:
    content: dict[str, Any] = {"id": str(signatory.id), "name": signatory.name, "citizen": signatory.party is None}
    if signatory.party is not None:
        facts = asdict(signatory.party)
        del facts["actor_id"]
        content |= facts
    return content


def digest_of(content: dict[str, Any]) -> str:
    """SHA-256 of the content as JSON with sorted keys, without spaces, in UTF-8."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def require_timely(hold: Hold) -> None:
    """A convention is prior by law: it is written and accepted while the mission's credit is set aside."""
    if hold.state is not HoldState.HELD:
        raise ConventionTooLate(
            f"The mission's hold is {hold.state}; a convention is written and accepted while it is held. Agree a new mission."
        )


def require_lawful_dates(terms: Terms, hold: Hold) -> None:
    assert hold.ends_on is not None
    if terms.starts_on > hold.ends_on:
        raise BadInput.at("/starts_on", f"must not lie after the mission's end ({hold.ends_on.isoformat()})")
    years = list_laws()[-1].longest_loan_years
    if (hold.ends_on.year - years, hold.ends_on.month, hold.ends_on.day) > (
        terms.starts_on.year,
        terms.starts_on.month,
        terms.starts_on.day,
    ):
        raise BadInput.at("/starts_on", f"a loan lasts {years} years at most (CGI, article 238 bis)")


def state_of(versions: Sequence[Version]) -> ConventionState:
    if any(version.is_concluded for version in versions):
        return ConventionState.CONCLUDED
    return ConventionState.AWAITING if versions else ConventionState.MISSING


def refuse_without_convention() -> Refusal:
    return Refusal(
        "convention-missing",
        "La campagne demande une convention avant la première heure, et celle de cette mission n'est pas conclue : "
        "l'association, le contributeur et la mairie doivent accepter la même version. "
        "Faites-la accepter, puis validez de nouveau les heures.",
    )

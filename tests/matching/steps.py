"""The steps of a mission that tests go through before they come to their point."""

from typing import Any

from kernel.clock import local_date, utc_now
from kernel.events.credits import ConventionConcluded, CreditReserved, MissionSettled, ReservationRefused
from tests.matching.conftest import Duo, ask

REASON = {"reason": "Je pars en voyage."}


def make_sheet(minutes: int, **changes: str) -> dict[str, Any]:
    """A timesheet of today: of the day on which it is entered, for a test run may go past midnight."""
    return {"worked_on": local_date(utc_now()).isoformat(), "minutes": minutes, **changes}


def make_reserved(duo: Duo) -> CreditReserved:
    return CreditReserved(
        mission_id=duo.mission["id"], campaign_id=duo.town.campaign_id, association_id=duo.town.association_id,
        contributor_id=duo.mission["contributor_id"], minutes=360,
    )  # fmt: skip


def make_refused(duo: Duo) -> ReservationRefused:
    return ReservationRefused(
        mission_id=duo.mission["id"], campaign_id=duo.town.campaign_id, association_id=duo.town.association_id,
        code="not-enough-credit", reason="Il manque 2 h de crédit.", missing_minutes=120,
    )  # fmt: skip


def make_concluded(duo: Duo, *, version: int = 1) -> ConventionConcluded:
    return ConventionConcluded(
        mission_id=duo.mission["id"], campaign_id=duo.town.campaign_id, association_id=duo.town.association_id,
        contributor_id=duo.mission["contributor_id"], version=version,
    )  # fmt: skip


def make_settled(duo: Duo, served_minutes: int = 300) -> MissionSettled:
    return MissionSettled(
        mission_id=duo.mission["id"], campaign_id=duo.town.campaign_id, association_id=duo.town.association_id,
        contributor_id=duo.mission["contributor_id"], served_minutes=served_minutes, released_minutes=360 - served_minutes,
    )  # fmt: skip


async def reserve(duo: Duo) -> None:
    await duo.agree()
    await duo.town.tell(make_reserved(duo), subject=duo.mission["id"])


async def work_on(duo: Duo, minutes: int = 300) -> None:
    await reserve(duo)
    await ask(duo.volunteer, f"{duo.path}/start")
    await ask(duo.volunteer, f"{duo.path}/timesheets", make_sheet(minutes), status=201)


async def report(duo: Duo, minutes: int = 300) -> None:
    await work_on(duo, minutes)
    await ask(duo.volunteer, f"{duo.path}/report")


async def validate(duo: Duo) -> None:
    await report(duo)
    await ask(duo.town.association, f"{duo.path}/validation")

"""One need served by one offer: who must say yes, and the minutes that were worked."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from kernel.errors import BadInput
from services.matching.domain.refusals import (
    AgreedMinutesExceeded,
    AlreadyAnswered,
    ConventionMissing,
    NotAsked,
    NothingWorked,
    WrongState,
)
from services.matching.domain.shared import Campaign, check_campaign
from services.matching.domain.states import MISSION_MOVES, TAKES_TIMESHEETS, Deed, MissionState, Step, take_step


class Side(StrEnum):
    ASSOCIATION = "association"
    VOLUNTEER = "volunteer"
    COMPANY = "company"


class Criterion(StrEnum):
    """What spoke for a yes or a no, as the person who said it names it. Counted beside the weights; it changes none."""

    SKILLS = "skills"
    DISTANCE = "distance"
    DATES = "dates"
    MINUTES = "minutes"
    LANGUAGE = "language"
    SETTING = "setting"
    PERSON = "person"
    OTHER = "other"


@dataclass(frozen=True)
class ScorePart:
    """`points` of `maximum`, for one criterion of the score (engine/weights.py). `why`: the data that gave them, in French."""

    name: str
    points: int
    maximum: int
    why: str = ""


@dataclass(frozen=True)
class Mission:
    """One need served by one offer. `worked_minutes` is the sum of the timesheets that stand.

    `weights_version`: of the territory's weights that the score was made with, 0 the software's defaults; none for missions
    that were proposed before weights had versions. `explanation`: what the score was made of, as it was when it was proposed
    (engine/explaining/freezing.py); none for missions of before that was kept.
    """

    id: UUID
    need_id: UUID
    offer_id: UUID
    campaign_id: UUID
    association_id: UUID
    volunteer_id: UUID
    contributor_id: UUID
    company_id: UUID | None
    title: str
    minutes: int
    starts_on: date
    ends_on: date
    score: int
    parts: tuple[ScorePart, ...]
    reasons: tuple[str, ...]
    state: MissionState = MissionState.PROPOSED
    accepted: frozenset[Side] = frozenset()
    worked_minutes: int = 0
    served_minutes: int | None = None
    agreed_at: datetime | None = None
    version: int = 1
    weights_version: int | None = 0
    explanation: Mapping[str, Any] | None = None

    @property
    def sides(self) -> frozenset[Side]:
        """Who must say yes."""
        return frozenset({Side.ASSOCIATION, Side.VOLUNTEER} | ({Side.COMPANY} if self.company_id else set()))

    def served(self, minutes: int) -> "Mission":
        """With the minutes that the ledger settled."""
        return replace(self, served_minutes=minutes)


@dataclass(frozen=True)
class Timesheet:
    id: UUID
    mission_id: UUID
    worked_on: date
    minutes: int
    note: str | None
    entered_by: str
    entered_at: datetime
    replaces: UUID | None = None
    replaced: bool = False


def decide_mission(mission: Mission, deed: Deed, *, who: str, reason: str | None = None) -> tuple[Mission, Step[MissionState]]:
    step = take_step(MISSION_MOVES, mission.state, deed, who=who, reason=reason)
    return replace(mission, state=step.after, version=mission.version + 1), step


def decide_acceptance(
    mission: Mission, side: Side, *, campaign: Campaign | None, who: str, now: datetime
) -> tuple[Mission, list[Step[MissionState]]]:
    """One side's yes; the last one makes the agreement."""
    accepted, step = decide_mission(mission, Deed.ACCEPT, who=who)
    if side not in mission.sides:
        raise NotAsked(f"This mission does not ask for the {side}'s answer.")
    if side in mission.accepted:
        raise AlreadyAnswered(f"The {side} has accepted this mission already.")
    check_campaign(campaign)
    accepted = replace(accepted, accepted=mission.accepted | {side})
    if accepted.accepted != mission.sides:
        return accepted, [step]
    agreed, agreement = decide_mission(accepted, Deed.AGREE, who=who)
    return replace(agreed, agreed_at=now, version=accepted.version), [step, agreement]


def decide_timesheet(
    mission: Mission, *, minutes: int, replaced_minutes: int, worked_on: date, today: date, agreed_on: date
) -> Mission:
    """The mission with these minutes more (and those of the replaced timesheet less), never above what was agreed."""
    if mission.state not in TAKES_TIMESHEETS:
        raise WrongState(
            f"It is {mission.state}; minutes are entered when the mission is in progress, and corrected when disputed.",
            state=mission.state.value,
        )
    if not agreed_on <= worked_on <= today:
        raise BadInput.at("/worked_on", f"must lie between the agreement ({agreed_on}) and today ({today})")
    total = mission.worked_minutes - replaced_minutes + minutes
    if total > mission.minutes:
        raise AgreedMinutesExceeded(
            f"{total} minutes would exceed the {mission.minutes} agreed ones. Enter what was agreed, report it, "
            "and make a new agreement (a new need and mission) for the minutes above.",
            agreed_minutes=mission.minutes,
            entered_minutes=mission.worked_minutes,
        )
    return replace(mission, worked_minutes=total, version=mission.version + 1)


def check_convention(mission: Mission, *, concluded_on: date | None, worked_on: date | None = None) -> None:
    """Where conventions are required: no start without one, and no minute of a day before (`worked_on`).

    In French, and with the next step: the volunteer who reads it is neither the one who writes the convention nor alone in
    accepting it.
    """
    if concluded_on is None:
        raise ConventionMissing(
            "La campagne demande une convention avant la première heure, et celle de cette mission n'est pas conclue : "
            "l'association, le contributeur et la mairie doivent accepter la même version. Étape suivante : "
            f"la rédiger (PUT /conventions/{mission.id}) si elle n'existe pas, la faire accepter par chacun, puis recommencer. "
            "Si elle vient d'être conclue, recommencez dans un instant."
        )
    if worked_on is not None and worked_on < concluded_on:
        raise BadInput.at(
            "/worked_on",
            f"la convention de cette mission est conclue depuis le {concluded_on} seulement, et la campagne la demande avant "
            "la première heure : notez des heures faites à partir de ce jour",
        )


def decide_report(mission: Mission, *, who: str, reason: str | None) -> tuple[Mission, Step[MissionState]]:
    """The hours are complete. After a dispute the step goes back, and so says why."""
    if mission.state is MissionState.DISPUTED:
        reported, step = decide_mission(mission, Deed.REPORT_AGAIN, who=who, reason=reason)
    else:
        reported, step = decide_mission(mission, Deed.REPORT, who=who, reason=reason)
    if mission.worked_minutes == 0:
        raise NothingWorked("Enter a timesheet first; if nothing was worked, cancel the mission with its reason.")
    return reported, step


def decide_validation(mission: Mission, *, who: str, reason: str | None) -> tuple[Mission, Step[MissionState]]:
    """The association stands by the minutes; those of a dispute, too, once it says why it was settled."""
    deed = Deed.VALIDATE_DISPUTED if mission.state is MissionState.DISPUTED else Deed.VALIDATE
    validated, step = decide_mission(mission, deed, who=who, reason=reason)
    if mission.worked_minutes == 0:
        raise NothingWorked("No minutes stand; if nothing was worked, cancel the mission with its reason.")
    return validated, step

"""Facts that matching tells: needs, offers, missions. All durations are whole minutes."""

from datetime import date
from typing import ClassVar
from uuid import UUID

from kernel.events.envelope import Event


class NeedOpened(Event):
    """A qualified need may be served. Subject: the need's id."""

    event_type: ClassVar[str] = "matching.need_opened.v1"
    need_id: UUID
    campaign_id: UUID
    association_id: UUID
    title: str
    minutes: int


class NeedFulfilled(Event):
    """The need's mission is closed. Subject: the need's id."""

    event_type: ClassVar[str] = "matching.need_fulfilled.v1"
    need_id: UUID
    campaign_id: UUID
    association_id: UUID
    mission_id: UUID


class NeedWithdrawn(Event):
    """The association no longer asks for it. Subject: the need's id."""

    event_type: ClassVar[str] = "matching.need_withdrawn.v1"
    inside: ClassVar[frozenset[str]] = frozenset({"reason"})
    need_id: UUID
    campaign_id: UUID
    association_id: UUID
    reason: str


class OfferOpened(Event):
    """A volunteer's skills are on offer. Subject: the offer's id."""

    event_type: ClassVar[str] = "matching.offer_opened.v1"
    offer_id: UUID
    minutes: int
    skills: list[str]


class MissionProposed(Event):
    """A need and an offer fit; both sides are asked. Subject: the mission's id."""

    event_type: ClassVar[str] = "matching.mission_proposed.v1"
    public: ClassVar[bool] = False  # names the volunteer who is asked
    mission_id: UUID
    need_id: UUID
    offer_id: UUID
    campaign_id: UUID
    association_id: UUID
    volunteer_id: UUID  # the member who serves
    contributor_id: UUID  # the company of a professional offer; else the volunteer
    company_id: UUID | None  # whose approval is needed, if any
    title: str
    minutes: int
    reasons: list[str]  # French sentences
    description: str = ""  # of the need
    place: str = ""  # French: “Sceaux”, “à distance”, or either
    calendar: str = ""  # French: the parts of the week in which both can, “mardi soir, samedi”
    starts_on: date | None = None  # the first day that both have


class MissionAccepted(Event):
    """One side said yes. Subject: the mission's id."""

    event_type: ClassVar[str] = "matching.mission_accepted.v1"
    mission_id: UUID
    side: str  # association | volunteer | company
    criterion: str | None = None  # skills | distance | dates | minutes | language | setting | person | other


class MissionAgreed(Event):
    """Everybody said yes: the credit is to be reserved. Subject: the mission's id."""

    event_type: ClassVar[str] = "matching.mission_agreed.v1"
    mission_id: UUID
    campaign_id: UUID
    association_id: UUID
    contributor_id: UUID
    minutes: int
    ends_on: date


class MissionDeclined(Event):
    """One side said no. Subject: the mission's id."""

    event_type: ClassVar[str] = "matching.mission_declined.v1"
    public: ClassVar[bool] = False  # a person's own words
    mission_id: UUID
    side: str
    reason: str
    criterion: str | None = None  # as of MissionAccepted


class MissionCancelled(Event):
    """An agreed mission will not take place (or not be finished). Subject: the mission's id."""

    event_type: ClassVar[str] = "matching.mission_cancelled.v1"
    public: ClassVar[bool] = False  # a person's own words
    mission_id: UUID
    campaign_id: UUID
    association_id: UUID
    reason: str


class TimesheetReported(Event):
    """The volunteer wrote down minutes worked, to be validated. Subject: the mission's id."""

    event_type: ClassVar[str] = "matching.timesheet_reported.v1"
    mission_id: UUID
    minutes: int  # of the whole mission so far


class MissionDisputed(Event):
    """The association disputes the minutes. Subject: the mission's id."""

    event_type: ClassVar[str] = "matching.mission_disputed.v1"
    public: ClassVar[bool] = False  # a person's own words
    mission_id: UUID
    reason: str


class MissionValidated(Event):
    """The association validated the minutes: the hold is to be settled. Subject: the mission's id."""

    event_type: ClassVar[str] = "matching.mission_validated.v1"
    mission_id: UUID
    campaign_id: UUID
    association_id: UUID
    contributor_id: UUID
    served_minutes: int


class MissionClosed(Event):
    """The mission is served and settled. Subject: the mission's id."""

    event_type: ClassVar[str] = "matching.mission_closed.v1"
    mission_id: UUID
    need_id: UUID
    campaign_id: UUID
    association_id: UUID
    contributor_id: UUID
    served_minutes: int

"""Which event is told to whom: one table, read from top to bottom."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from services.notifications.domain.people import Category, Member


class Audience(StrEnum):
    """Whom a rule names. The value is what the templates ask for (`you == "volunteer"`)."""

    ASSOCIATION = "association"  # those who act for the association of the event
    VOLUNTEER = "volunteer"  # who serves the mission
    COMPANY = "company"  # the referents of the volunteer's company
    CONTRIBUTOR = "contributor"  # who pledged: a company's referents, or a citizen
    PANEL = "panel"  # those who act for any association on the campaign's panel
    OPERATORS = "operators"
    OFFICERS = "officers"
    AUDITORS = "auditors"
    PERSON = "person"  # whom the event is about
    CLIENT = "client"  # the program that made the webhook


@dataclass(frozen=True)
class Rule:
    """One row of the table. `when` limits it to events that carry these values.

    Who belongs to several audiences is told once, as a member of the first.
    """

    event_type: str
    category: Category
    audiences: tuple[Audience, ...]
    when: Mapping[str, object] | None = None
    emailed: bool = True

    def applies(self, data: Mapping[str, Any]) -> bool:
        return all(data.get(name) == value for name, value in (self.when or {}).items())


_A = Audience
_C = Category
RULES: tuple[Rule, ...] = (
    # Told so that they know what is kept about them and how to choose (GDPR, article 14), once.
    Rule("registry.member_recorded.v1", _C.ACCOUNT, (_A.PERSON,), when={"version": 1}),
    Rule("credits.campaign_opened.v1", _C.CREDIT, (_A.PANEL, _A.OPERATORS)),
    Rule("credits.campaign_closed.v1", _C.CREDIT, (_A.PANEL, _A.OPERATORS, _A.OFFICERS)),
    Rule("credits.association_admitted.v1", _C.CREDIT, (_A.ASSOCIATION,)),
    Rule("credits.hours_pledged.v1", _C.CREDIT, (_A.CONTRIBUTOR,)),
    Rule("credits.pledge_withdrawn.v1", _C.CREDIT, (_A.CONTRIBUTOR, _A.OPERATORS)),
    Rule("credits.credit_granted.v1", _C.CREDIT, (_A.ASSOCIATION,)),
    # The grant itself brought the e-mail.
    Rule("credits.grants_published.v1", _C.CREDIT, (_A.PANEL,), emailed=False),
    Rule("credits.credit_expiring.v1", _C.CREDIT, (_A.ASSOCIATION, _A.OPERATORS)),
    Rule("credits.credit_expired.v1", _C.CREDIT, (_A.ASSOCIATION,)),
    Rule("credits.transfer_reversed.v1", _C.CREDIT, (_A.OFFICERS,)),
    # Any officer but the one who proposed it may decide; the doer of an event is never told of it.
    Rule("credits.approval_requested.v1", _C.CREDIT, (_A.OFFICERS,)),
    Rule("credits.approval_decided.v1", _C.CREDIT, (_A.PERSON, _A.OFFICERS)),
    # The blocks of the day are told to programs; people get one head a day, to keep where the town cannot reach it.
    Rule("credits.ledger_head_published.v1", _C.CREDIT, (_A.AUDITORS,)),
    Rule("credits.ledger_difference_found.v1", _C.CREDIT, (_A.AUDITORS, _A.OFFICERS)),
    Rule("matching.need_opened.v1", _C.NEEDS, (_A.ASSOCIATION,)),
    Rule("matching.need_withdrawn.v1", _C.NEEDS, (_A.OPERATORS,)),
    Rule("matching.mission_proposed.v1", _C.PROPOSALS, (_A.VOLUNTEER, _A.ASSOCIATION)),
    # The company is asked once its employee has said yes, not before: a no stays between the employee and the town.
    Rule("matching.mission_accepted.v1", _C.PROPOSALS, (_A.COMPANY, _A.ASSOCIATION), when={"side": "volunteer"}),
    Rule("matching.mission_accepted.v1", _C.PROPOSALS, (_A.VOLUNTEER,), when={"side": "association"}),
    Rule("matching.mission_accepted.v1", _C.PROPOSALS, (_A.VOLUNTEER, _A.ASSOCIATION), when={"side": "company"}),
    Rule("matching.mission_declined.v1", _C.PROPOSALS, (_A.ASSOCIATION, _A.OPERATORS), when={"side": "volunteer"}),
    Rule("matching.mission_declined.v1", _C.PROPOSALS, (_A.VOLUNTEER, _A.OPERATORS), when={"side": "association"}),
    Rule("matching.mission_declined.v1", _C.PROPOSALS, (_A.VOLUNTEER, _A.ASSOCIATION, _A.OPERATORS), when={"side": "company"}),
    # An agreement is told by what comes of it: the credit is reserved, or it is not.
    Rule("credits.credit_reserved.v1", _C.MISSIONS, (_A.VOLUNTEER, _A.ASSOCIATION, _A.COMPANY)),
    Rule("credits.reservation_refused.v1", _C.MISSIONS, (_A.ASSOCIATION, _A.VOLUNTEER, _A.OPERATORS)),
    Rule("matching.mission_cancelled.v1", _C.MISSIONS, (_A.VOLUNTEER, _A.ASSOCIATION, _A.COMPANY, _A.OPERATORS)),
    # Nobody did anything, so no other e-mail tells it.
    Rule("credits.credit_released.v1", _C.CREDIT, (_A.ASSOCIATION, _A.OPERATORS), when={"overdue": True}),
    # The cancellation brought the e-mail; the figure waits in the inbox.
    Rule("credits.credit_released.v1", _C.CREDIT, (_A.ASSOCIATION,), emailed=False),
    Rule("matching.timesheet_reported.v1", _C.MISSIONS, (_A.ASSOCIATION,)),
    Rule("matching.mission_disputed.v1", _C.MISSIONS, (_A.VOLUNTEER, _A.OPERATORS)),
    Rule("credits.convention_drafted.v1", _C.MISSIONS, (_A.ASSOCIATION, _A.CONTRIBUTOR, _A.OFFICERS)),
    Rule("credits.convention_concluded.v1", _C.MISSIONS, (_A.ASSOCIATION, _A.CONTRIBUTOR, _A.OFFICERS)),
    # A validation is told by what comes of it: the mission is closed, or its settlement refused.
    Rule("credits.settlement_refused.v1", _C.MISSIONS, (_A.ASSOCIATION, _A.VOLUNTEER, _A.OPERATORS)),
    Rule("matching.mission_closed.v1", _C.MISSIONS, (_A.VOLUNTEER, _A.ASSOCIATION, _A.COMPANY)),
    Rule("credits.mission_valued.v1", _C.MISSIONS, (_A.ASSOCIATION,)),
    Rule("credits.receipt_issued.v1", _C.MISSIONS, (_A.CONTRIBUTOR,)),
    Rule("notifications.webhook_disabled.v1", _C.ACCOUNT, (_A.OFFICERS, _A.CLIENT)),
)
ANNOUNCED = frozenset(rule.event_type for rule in RULES)
# Audiences that are told by their role in the town, whatever the event is about.
TOWN_ROLES = {Audience.OPERATORS: "operator", Audience.OFFICERS: "officer", Audience.AUDITORS: "auditor"}
MISSION_AUDIENCES = frozenset({Audience.ASSOCIATION, Audience.VOLUNTEER, Audience.COMPANY})


def decide_rule(event_type: str, data: Mapping[str, Any]) -> Rule | None:
    """The rule that an event falls under, if it is told at all."""
    return next((rule for rule in RULES if rule.event_type == event_type and rule.applies(data)), None)


@dataclass(frozen=True)
class Mission:
    """What is known of a mission, from the day it was proposed."""

    id: UUID
    title: str
    campaign_id: UUID
    association_id: UUID
    volunteer_id: UUID
    company_id: UUID | None


@dataclass(frozen=True)
class Parties:
    """Who takes part in an event, as far as it is known."""

    association_id: UUID | None = None
    volunteer_id: UUID | None = None
    company_id: UUID | None = None
    contributor_id: UUID | None = None
    person_id: UUID | None = None
    campaign_id: UUID | None = None
    panel: frozenset[UUID] = frozenset()
    doer: str | None = None  # who caused the event: a person is not told of their own deed

    @property
    def people(self) -> frozenset[UUID]:
        """Ids that may be a person's."""
        return frozenset(filter(None, (self.volunteer_id, self.contributor_id, self.person_id)))

    @property
    def actors(self) -> frozenset[UUID]:
        """Ids that may be an organisation's."""
        return frozenset(filter(None, (self.association_id, self.company_id, self.contributor_id))) | self.panel


def decide_parties(
    data: Mapping[str, Any], *, mission: Mission | None, panel: Collection[UUID] = (), doer: str | None = None
) -> Parties:
    """The parties that the event names, completed by what is known of its mission."""

    def named(field: str) -> UUID | None:
        value = data.get(field)
        return UUID(str(value)) if value else None

    return Parties(
        association_id=named("association_id") or (mission.association_id if mission else None),
        volunteer_id=named("volunteer_id") or (mission.volunteer_id if mission else None),
        company_id=named("company_id") or (mission.company_id if mission else None),
        contributor_id=named("contributor_id"),
        person_id=named("member_id") or named("proposed_by"),
        campaign_id=named("campaign_id") or (mission.campaign_id if mission else None),
        panel=frozenset(panel),
        doer=doer,
    )


def is_complete(rule: Rule, parties: Parties, *, known: Collection[UUID | None]) -> bool:
    """Whether everybody the rule names is known here yet; `known` are ids of members and actors.

    Events of different subjects come in any order: a mission may be proposed before its volunteer is heard of.
    """
    wanted: dict[Audience, UUID | None] = {
        Audience.ASSOCIATION: parties.association_id,
        Audience.VOLUNTEER: parties.volunteer_id,
        Audience.CONTRIBUTOR: parties.contributor_id,
        Audience.PERSON: parties.person_id,
    }
    named: list[UUID | None] = [wanted[audience] for audience in rule.audiences if audience in wanted]
    if parties.company_id and Audience.COMPANY in rule.audiences:
        named.append(parties.company_id)
    return all(party is not None and party in known for party in named)


def decide_recipients(rule: Rule, parties: Parties, members: Iterable[Member]) -> list[tuple[Audience, Member]]:
    """Who is told, each once and as a member of the first audience that holds them.

    Left out: archived people, and the one who did it.
    """
    circles = [_circle_of(audience, parties) for audience in rule.audiences]
    told: list[tuple[Audience, Member]] = []
    for member in members:
        if member.archived or str(member.id) == parties.doer:
            continue
        circle = next((circle for circle in circles if circle.holds(member)), None)
        if circle is not None:
            told.append((circle.audience, member))
    return told


@dataclass(frozen=True)
class _Circle:
    """An audience of one event: its person, those who act in a role for its organisations, or who have a role in the town."""

    audience: Audience
    person: UUID | None
    town_role: str | None
    organisations: Collection[UUID | None]
    role: str

    def holds(self, member: Member) -> bool:
        if member.id == self.person or self.town_role in member.roles:
            return True
        return member.actor_id is not None and member.actor_id in self.organisations and self.role in member.roles


def _circle_of(audience: Audience, parties: Parties) -> _Circle:
    person = {
        Audience.VOLUNTEER: parties.volunteer_id,
        Audience.PERSON: parties.person_id,
        Audience.CONTRIBUTOR: parties.contributor_id,
    }
    organisations: dict[Audience, tuple[Collection[UUID | None], str]] = {
        Audience.ASSOCIATION: ([parties.association_id], "association"),
        Audience.PANEL: (parties.panel, "association"),
        Audience.COMPANY: ([parties.company_id], "company"),
        Audience.CONTRIBUTOR: ([parties.contributor_id], "company"),
    }
    ids, role = organisations.get(audience, ((), ""))
    return _Circle(audience, person.get(audience), TOWN_ROLES.get(audience), ids, role)

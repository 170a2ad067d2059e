"""Facts that the credit ledger tells. All amounts are whole minutes."""

from datetime import date, datetime
from typing import ClassVar
from uuid import UUID

from kernel.events.envelope import Event


class CampaignOpened(Event):
    """Needs may be written and missions agreed from now on. Subject: the campaign's id."""

    event_type: ClassVar[str] = "credits.campaign_opened.v1"
    campaign_id: UUID
    ref: str
    title: str
    starts_on: date
    ends_on: date
    operator_id: UUID
    conventions_required: bool = False  # no mission starts before its convention is concluded; not told before this was added


class CampaignClosed(Event):
    """No new mission may be agreed; unspent credit has expired. Subject: the campaign's id."""

    event_type: ClassVar[str] = "credits.campaign_closed.v1"
    campaign_id: UUID
    reason: str
    expired_minutes: int


class AssociationAdmitted(Event):
    """An association is on the campaign's panel. Subject: the campaign's id."""

    event_type: ClassVar[str] = "credits.association_admitted.v1"
    campaign_id: UUID
    association_id: UUID


class HoursPledged(Event):
    """A contributor promised minutes; the pool grew. Subject: the pledge's id."""

    event_type: ClassVar[str] = "credits.hours_pledged.v1"
    campaign_id: UUID
    pledge_id: UUID
    contributor_id: UUID
    minutes: int


class PledgeWithdrawn(Event):
    """Part of a pledge was taken back, as far as the pool still held it. Subject: the pledge's id."""

    event_type: ClassVar[str] = "credits.pledge_withdrawn.v1"
    inside: ClassVar[frozenset[str]] = frozenset({"reason"})
    campaign_id: UUID
    pledge_id: UUID
    contributor_id: UUID
    minutes: int
    reason: str


class CreditGranted(Event):
    """An association may spend these minutes. Subject: the grant's id."""

    event_type: ClassVar[str] = "credits.credit_granted.v1"
    campaign_id: UUID
    association_id: UUID
    grant_id: UUID
    minutes: int
    expires_on: date


class CreditReserved(Event):
    """The mission's minutes are set aside. Subject: the mission's id."""

    event_type: ClassVar[str] = "credits.credit_reserved.v1"
    mission_id: UUID
    campaign_id: UUID
    association_id: UUID
    contributor_id: UUID
    minutes: int
    direct: bool = False  # asked for over HTTP, of a mission that matching does not know


class ReservationRefused(Event):
    """The mission cannot be paid for. Subject: the mission's id."""

    event_type: ClassVar[str] = "credits.reservation_refused.v1"
    mission_id: UUID
    campaign_id: UUID
    association_id: UUID
    code: str  # not-enough-credit | pledge-exhausted | campaign-not-open | association-not-on-panel
    reason: str  # a French sentence for people: what lacks, and what would help
    missing_minutes: int
    direct: bool = False  # asked for over HTTP, of a mission that matching does not know


class CreditReleased(Event):
    """The mission's hold went back to the association. Subject: the mission's id."""

    event_type: ClassVar[str] = "credits.credit_released.v1"
    public: ClassVar[bool] = False  # the reason is a person's own words
    mission_id: UUID
    campaign_id: UUID
    association_id: UUID
    minutes: int
    reason: str
    overdue: bool = False  # by time: the mission was over and nobody validated it; nobody called it off


class MissionSettled(Event):
    """Served minutes are spent and the rest of the hold went back. Subject: the mission's id."""

    event_type: ClassVar[str] = "credits.mission_settled.v1"
    mission_id: UUID
    campaign_id: UUID
    association_id: UUID
    contributor_id: UUID
    served_minutes: int
    released_minutes: int
    direct: bool = False  # asked for over HTTP, of a mission that matching does not know


class SettlementRefused(Event):
    """The validated minutes exceed what is held: a new agreement is needed. Subject: the mission's id."""

    event_type: ClassVar[str] = "credits.settlement_refused.v1"
    mission_id: UUID
    campaign_id: UUID
    association_id: UUID
    code: str
    reason: str
    direct: bool = False  # asked for over HTTP, of a mission that matching does not know


class ConventionDrafted(Event):
    """A version of the mission's convention awaits acceptance by all three sides. Subject: the mission's id."""

    event_type: ClassVar[str] = "credits.convention_drafted.v1"
    mission_id: UUID
    campaign_id: UUID
    association_id: UUID
    contributor_id: UUID
    version: int


class ConventionConcluded(Event):
    """Association, contributor and town accepted the same version, at the event's time. Subject: the mission's id."""

    event_type: ClassVar[str] = "credits.convention_concluded.v1"
    mission_id: UUID
    campaign_id: UUID
    association_id: UUID
    contributor_id: UUID
    version: int


class MissionValued(Event):
    """The donor said what the served minutes cost it, or corrected that; no figure is told. Subject: the mission's id."""

    event_type: ClassVar[str] = "credits.mission_valued.v1"
    public: ClassVar[bool] = False  # a donor's own affair
    mission_id: UUID
    campaign_id: UUID
    association_id: UUID
    contributor_id: UUID
    version: int
    minutes: int


class ReceiptIssued(Event):
    """The beneficiary issued a receipt; its amount is not told. Subject: the receipt's id."""

    event_type: ClassVar[str] = "credits.receipt_issued.v1"
    public: ClassVar[bool] = False  # between donor and beneficiary
    receipt_id: UUID
    association_id: UUID
    contributor_id: UUID
    label: str  # year and number, as 2026-0007
    replaces: UUID | None


class CreditExpiring(Event):
    """Unspent credit will expire soon (30 days, then 7 days before). Subject: the campaign's id."""

    event_type: ClassVar[str] = "credits.credit_expiring.v1"
    campaign_id: UUID
    association_id: UUID
    minutes: int
    expires_on: date
    days_left: int


class CreditExpired(Event):
    """Unspent credit expired by the campaign's rule. Subject: the campaign's id."""

    event_type: ClassVar[str] = "credits.credit_expired.v1"
    campaign_id: UUID
    association_id: UUID
    minutes: int
    outcome: str  # returned | carried_over | lapsed


class TransferReversed(Event):
    """A transfer was undone by its opposite. Subject: the reversed transfer's id."""

    event_type: ClassVar[str] = "credits.transfer_reversed.v1"
    inside: ClassVar[frozenset[str]] = frozenset({"reason"})
    transfer_id: UUID
    reversal_id: UUID
    minutes: int
    reason: str
    # What was undone, for who keeps a copy of what may still be spent; not told before these fields were added.
    kind: str | None = None  # pledge | withdraw | grant | reserve | settle | deliver
    campaign_id: UUID | None = None
    holder_id: UUID | None = None  # of a pledge or a withdrawal the contributor, of the others the association


class ApprovalRequested(Event):
    """An operation waits for a second person. Subject: the request's id."""

    event_type: ClassVar[str] = "credits.approval_requested.v1"
    public: ClassVar[bool] = False  # the reason is a person's own words
    request_id: UUID
    campaign_id: UUID
    kind: str  # grants | reversal | withdrawal | carry_in
    minutes: int
    reason: str
    proposed_by: UUID
    expires_on: date


class ApprovalDecided(Event):
    """It was approved and done, or declined, or withdrawn by who proposed it. Subject: the request's id."""

    event_type: ClassVar[str] = "credits.approval_decided.v1"
    public: ClassVar[bool] = False
    request_id: UUID
    campaign_id: UUID
    kind: str
    minutes: int
    outcome: str  # approved | declined | withdrawn
    reason: str
    proposed_by: UUID
    decided_by: UUID


class GrantsPublished(Event):
    """The town published the signed grants of a proposal. Subject: the campaign's id."""

    event_type: ClassVar[str] = "credits.grants_published.v1"
    campaign_id: UUID
    publication_id: UUID
    number: int
    digest: str


class LedgerSealed(Event):
    """Rows of the ledger were sealed; this is the new head of the chain. Subject: the territory.

    Whoever keeps it can prove that nothing sealed so far was changed since (`metis ledger verify --head`).
    """

    event_type: ClassVar[str] = "credits.ledger_sealed.v1"
    block_number: int
    last_sequence: int
    head_hash: str
    sealed_at: datetime
    key_id: str
    public_key: str
    signature: str  # Ed25519 over the head's hash


class LedgerHeadPublished(Event):
    """The head of the day, once a day and only when it moved: for people, by e-mail. Subject: the territory."""

    event_type: ClassVar[str] = "credits.ledger_head_published.v1"
    block_number: int
    last_sequence: int
    head_hash: str
    sealed_at: datetime
    day: date
    key_id: str


class LedgerDifferenceFound(Event):
    """An audit recomputed the ledger and found it different from what is stored. Subject: the audit's id."""

    event_type: ClassVar[str] = "credits.ledger_difference_found.v1"
    public: ClassVar[bool] = False
    audit_id: UUID
    difference_count: int
    first: str  # what differs, where, by how much


class CampaignReportSigned(Event):
    """The officer signed a closed campaign's report (number 0) or an addendum to it. Subject: the campaign's id."""

    event_type: ClassVar[str] = "credits.campaign_report_signed.v1"
    campaign_id: UUID
    number: int
    digest: str  # SHA-256, in hexadecimal, of the report as canonical JSON

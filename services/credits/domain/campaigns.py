"""A campaign: its rules, its states, and who takes part in it."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from uuid import UUID

from services.credits.domain.errors import BadInput, CampaignNotDraft, CampaignNotOpen, CampaignOver

# Days before the end at which an association is told that its credit will expire.
NOTICE_DAYS = (7, 30)


class CampaignState(StrEnum):
    DRAFT = "draft"
    OPEN = "open"
    CLOSED = "closed"


class ExpiryRule(StrEnum):
    RETURN = "return"
    CARRY_OVER = "carry_over"
    LAPSE = "lapse"


@dataclass(frozen=True)
class Rules:
    """How grants are computed and what becomes of unspent credit.

    `compensation_permille`: thousandths of the subsidy cut that are compensated. `hour_value_cents`: the reference
    value of an hour.
    """

    step_minutes: int
    compensation_permille: int
    hour_value_cents: int
    expiry: ExpiryRule
    conventions_required: bool = False  # no minute is settled without a concluded convention


@dataclass(frozen=True)
class Safeguards:
    """What one person may do alone (docs/adr/0017); None switches a safeguard off.

    `four_eyes_above_minutes`: what moves more than this by hand needs a second person. `daily_limit_minutes`: what one
    person may move by hand on one local day.
    """

    four_eyes_above_minutes: int | None = None
    daily_limit_minutes: int | None = None


@dataclass(frozen=True)
class CampaignFacts:
    """What the officer writes down of a campaign."""

    title: str
    starts_on: date
    ends_on: date
    operator_id: UUID
    rules: Rules
    safeguards: Safeguards = Safeguards()

    def __post_init__(self) -> None:
        if self.ends_on < self.starts_on:
            raise BadInput.at("/ends_on", f"must not lie before starts_on ({self.starts_on.isoformat()})")


@dataclass(frozen=True)
class Campaign:
    id: UUID
    ref: str
    facts: CampaignFacts
    state: CampaignState
    version: int
    closure_reason: str | None = None

    def is_spendable_on(self, day: date) -> bool:
        """Credit is judged at use: past the last day it is unspendable, whether or not the sweeper came by."""
        return self.state is CampaignState.OPEN and day <= self.facts.ends_on

    def require_draft(self) -> None:
        if self.state is not CampaignState.DRAFT:
            raise CampaignNotDraft(f"Campaign {self.ref} is {self.state}; its rules are fixed. Write the next campaign instead.")

    def require_openable(self, day: date) -> None:
        self.require_draft()
        if day > self.facts.ends_on:
            raise CampaignOver(
                f"Campaign {self.ref} ended on {self.facts.ends_on.isoformat()}; set a later ends_on, then open it."
            )

    def require_open(self) -> None:
        if self.state is not CampaignState.OPEN:
            raise CampaignNotOpen(f"Campaign {self.ref} is {self.state}; this needs an open campaign.")

    def require_spendable_on(self, day: date) -> None:
        self.require_open()
        if day > self.facts.ends_on:
            raise CampaignNotOpen(f"Campaign {self.ref} ended on {self.facts.ends_on.isoformat()}.")

    def require_not_closed(self) -> None:
        if self.state is CampaignState.CLOSED:
            raise CampaignOver(f"Campaign {self.ref} is closed; take part in an open one.")


@dataclass(frozen=True)
class Actor:
    """What is kept of an actor of the registry."""

    id: UUID
    kind: str
    name: str
    archived: bool
    siret: str | None = None
    rna: str | None = None
    fields_of_action: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pledge:
    """`minutes`: what the pledge is worth, pledged less withdrawn, as the ledger has it; `stated_minutes`: as last written."""

    id: UUID
    campaign_id: UUID
    ref: str
    contributor_id: UUID
    stated_minutes: int
    note: str
    version: int
    minutes: int

    @property
    def posting_key(self) -> str:
        """Of the transfer that brings this version's minutes to the pool."""
        return f"pledge:{self.id}:{self.version}"

    @property
    def posting_reason(self) -> str:
        return self.note or "Promesse d'heures"


@dataclass(frozen=True)
class Promise:
    """Minutes that a contributor promises under a ref of its own."""

    campaign_id: UUID
    ref: str
    contributor_id: UUID
    minutes: int
    note: str = ""


class Outcome(StrEnum):
    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


def decide_notice(*, ends_on: date, today: date, sent_days: frozenset[int]) -> int | None:
    """Which notice an association is due today (30 or 7 days before), or None.

    A notice that was missed is made up for, unless the later one is due by now: nobody gets two on one day.
    """
    days_left = (ends_on - today).days
    if days_left < 0:
        return None
    due = next((days for days in NOTICE_DAYS if days_left <= days), None)
    return due if due not in sent_days else None

"""The states of needs, offers, missions, allocation rounds, and a territory's own words and skills, and every step between them.

The tables below are the whole life of each (DOMAIN.md, "States"): a deed that a table does not hold for a
state is refused, and nothing but `take_step` changes a state. Each step is kept as a row of history with from, to,
when, who and reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from kernel.errors import BadInput
from services.matching.domain.refusals import WrongState


class NeedState(StrEnum):
    DRAFT = "draft"
    QUALIFIED = "qualified"
    OPEN = "open"
    COVERED = "covered"
    FULFILLED = "fulfilled"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class OfferState(StrEnum):
    DRAFT = "draft"
    OPEN = "open"
    PAUSED = "paused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class MissionState(StrEnum):
    PROPOSED = "proposed"
    AGREED = "agreed"
    RESERVED = "reserved"
    IN_PROGRESS = "in_progress"
    REPORTED = "reported"
    VALIDATED = "validated"
    CLOSED = "closed"
    DECLINED = "declined"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    DISPUTED = "disputed"


class RoundState(StrEnum):
    ASKED = "asked"
    COMPUTING = "computing"
    COMPUTED = "computed"  # to be looked at; nothing is sent
    RELEASED = "released"  # its missions are proposed
    STOPPED = "stopped"
    FAILED = "failed"


class OwnState(StrEnum):
    """Of a word or a skill that a territory has added to the referential."""

    IN_FORCE = "in_force"
    WITHDRAWN = "withdrawn"


class Deed(StrEnum):
    """What somebody does to a need, an offer, a mission, a round, or a territory's own word or skill."""

    CREATE = "create"
    # a need
    QUALIFY = "qualify"
    OPEN = "open"
    COVER = "cover"
    REOPEN = "reopen"
    FULFIL = "fulfil"
    WITHDRAW = "withdraw"
    EXPIRE = "expire"
    # an offer
    PAUSE = "pause"
    # a mission
    ACCEPT = "accept"
    AGREE = "agree"
    DECLINE = "decline"
    RESERVE = "reserve"
    REFUSE = "refuse"
    START = "start"
    REPORT = "report"
    REPORT_AGAIN = "report_again"
    VALIDATE = "validate"
    VALIDATE_DISPUTED = "validate_disputed"
    DISPUTE = "dispute"
    REFUSE_SETTLEMENT = "refuse_settlement"
    CLOSE = "close"
    CANCEL = "cancel"
    # a territory's own skill
    EDIT = "edit"
    # a round
    COMPUTE = "compute"
    FINISH = "finish"
    COMPUTE_AGAIN = "compute_again"  # what computed it died
    RELEASE = "release"
    STOP = "stop"
    FAIL = "fail"
    PIN = "pin"
    EXCLUDE = "exclude"
    UNCHOOSE = "unchoose"


TAKES_CHOICES = (RoundState.ASKED, RoundState.COMPUTED, RoundState.STOPPED, RoundState.FAILED)

S = TypeVar("S", NeedState, OfferState, MissionState, RoundState, OwnState)
Moves = Mapping[tuple[S, Deed], S]

NEED_MOVES: Moves[NeedState] = {
    (NeedState.DRAFT, Deed.QUALIFY): NeedState.QUALIFIED,
    (NeedState.QUALIFIED, Deed.OPEN): NeedState.OPEN,
    (NeedState.OPEN, Deed.COVER): NeedState.COVERED,
    (NeedState.COVERED, Deed.REOPEN): NeedState.OPEN,
    (NeedState.COVERED, Deed.FULFIL): NeedState.FULFILLED,
    (NeedState.DRAFT, Deed.WITHDRAW): NeedState.WITHDRAWN,
    (NeedState.QUALIFIED, Deed.WITHDRAW): NeedState.WITHDRAWN,
    (NeedState.OPEN, Deed.WITHDRAW): NeedState.WITHDRAWN,
    (NeedState.DRAFT, Deed.EXPIRE): NeedState.EXPIRED,
    (NeedState.QUALIFIED, Deed.EXPIRE): NeedState.EXPIRED,
    (NeedState.OPEN, Deed.EXPIRE): NeedState.EXPIRED,
}

OFFER_MOVES: Moves[OfferState] = {
    (OfferState.DRAFT, Deed.OPEN): OfferState.OPEN,
    (OfferState.PAUSED, Deed.OPEN): OfferState.OPEN,
    (OfferState.OPEN, Deed.PAUSE): OfferState.PAUSED,
    (OfferState.DRAFT, Deed.WITHDRAW): OfferState.WITHDRAWN,
    (OfferState.OPEN, Deed.WITHDRAW): OfferState.WITHDRAWN,
    (OfferState.PAUSED, Deed.WITHDRAW): OfferState.WITHDRAWN,
    (OfferState.DRAFT, Deed.EXPIRE): OfferState.EXPIRED,
    (OfferState.OPEN, Deed.EXPIRE): OfferState.EXPIRED,
    (OfferState.PAUSED, Deed.EXPIRE): OfferState.EXPIRED,
}

MISSION_MOVES: Moves[MissionState] = {
    # One side's yes leaves the mission proposed; the last yes is followed by AGREE.
    (MissionState.PROPOSED, Deed.ACCEPT): MissionState.PROPOSED,
    (MissionState.PROPOSED, Deed.AGREE): MissionState.AGREED,
    (MissionState.PROPOSED, Deed.DECLINE): MissionState.DECLINED,
    (MissionState.PROPOSED, Deed.CANCEL): MissionState.CANCELLED,
    (MissionState.AGREED, Deed.RESERVE): MissionState.RESERVED,
    (MissionState.AGREED, Deed.REFUSE): MissionState.REFUSED,
    (MissionState.AGREED, Deed.CANCEL): MissionState.CANCELLED,
    (MissionState.RESERVED, Deed.START): MissionState.IN_PROGRESS,
    (MissionState.RESERVED, Deed.CANCEL): MissionState.CANCELLED,
    (MissionState.IN_PROGRESS, Deed.REPORT): MissionState.REPORTED,
    (MissionState.IN_PROGRESS, Deed.CANCEL): MissionState.CANCELLED,
    (MissionState.REPORTED, Deed.VALIDATE): MissionState.VALIDATED,
    (MissionState.REPORTED, Deed.DISPUTE): MissionState.DISPUTED,
    (MissionState.VALIDATED, Deed.CLOSE): MissionState.CLOSED,
    (MissionState.VALIDATED, Deed.REFUSE_SETTLEMENT): MissionState.DISPUTED,
    (MissionState.DISPUTED, Deed.REPORT_AGAIN): MissionState.REPORTED,
    (MissionState.DISPUTED, Deed.VALIDATE_DISPUTED): MissionState.VALIDATED,
    (MissionState.DISPUTED, Deed.CANCEL): MissionState.CANCELLED,
}

ROUND_MOVES: Moves[RoundState] = {
    (RoundState.ASKED, Deed.COMPUTE): RoundState.COMPUTING,
    (RoundState.COMPUTING, Deed.FINISH): RoundState.COMPUTED,
    (RoundState.COMPUTING, Deed.COMPUTE_AGAIN): RoundState.ASKED,
    (RoundState.COMPUTED, Deed.RELEASE): RoundState.RELEASED,
    (RoundState.ASKED, Deed.STOP): RoundState.STOPPED,
    (RoundState.COMPUTING, Deed.STOP): RoundState.STOPPED,
    (RoundState.COMPUTING, Deed.FAIL): RoundState.FAILED,
    # Pairs that a person pins or excludes: for the round that waits, or for the next one that is based on it.
    **{(state, deed): state for state in TAKES_CHOICES for deed in (Deed.PIN, Deed.EXCLUDE, Deed.UNCHOOSE)},
}

# A word is only added and withdrawn; a skill may be edited in between.
OWN_MOVES: Moves[OwnState] = {
    (OwnState.IN_FORCE, Deed.EDIT): OwnState.IN_FORCE,
    (OwnState.IN_FORCE, Deed.WITHDRAW): OwnState.WITHDRAWN,
}

# A no, an end before its time, every step back, and every change to the words that decide what matches: each says why, and who.
REASONED = frozenset(
    {
        Deed.REOPEN, Deed.WITHDRAW, Deed.EXPIRE, Deed.DECLINE, Deed.REFUSE, Deed.CANCEL, Deed.DISPUTE,
        Deed.REFUSE_SETTLEMENT, Deed.REPORT_AGAIN, Deed.VALIDATE_DISPUTED, Deed.EDIT,
        Deed.COMPUTE_AGAIN, Deed.STOP, Deed.FAIL, Deed.PIN, Deed.EXCLUDE, Deed.UNCHOOSE,
    }
)  # fmt: skip

EDITABLE_NEEDS = frozenset({NeedState.DRAFT, NeedState.QUALIFIED, NeedState.OPEN})
EDITABLE_OFFERS = frozenset({OfferState.DRAFT, OfferState.OPEN, OfferState.PAUSED})
NEVER_SERVED = frozenset({MissionState.DECLINED, MissionState.REFUSED, MissionState.CANCELLED})
LIVE = frozenset(MissionState) - NEVER_SERVED - {MissionState.CLOSED}
TAKES_TIMESHEETS = frozenset({MissionState.IN_PROGRESS, MissionState.DISPUTED})


@dataclass(frozen=True)
class Step(Generic[S]):
    """One row of history: what changed, by whom, and why."""

    before: S | None
    after: S
    deed: Deed
    who: str
    reason: str | None = None


def find_move(moves: Moves[S], state: S, deed: Deed) -> S | None:
    """Where a deed leads from a state, or None where it is not allowed."""
    return moves.get((state, deed))


def take_step(moves: Moves[S], state: S, deed: Deed, *, who: str, reason: str | None = None) -> Step[S]:
    """The step that a deed makes. Raises WrongState outside the table, BadInput without its reason or person."""
    after = find_move(moves, state, deed)
    if after is None:
        possible = sorted({known.value for known, known_deed in moves if known_deed is deed})
        raise WrongState(f"It is {state}; {deed} is possible only when {' or '.join(possible)}.", state=state.value)
    if not who:
        raise BadInput.at("who", "every step names who takes it")
    if deed in REASONED and not (reason and reason.strip()):
        raise BadInput.at("/reason", "say why, in a sentence that the other side can read")
    return Step(state, after, deed, who, reason)

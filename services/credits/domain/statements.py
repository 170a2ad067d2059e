"""A statement: opening, every line with what it moved and what was there after it, closing; by either of the two times."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from services.credits.domain.errors import BadInput
from services.credits.domain.ledger import AccountKind, Transfer

ASSOCIATION_ACCOUNTS = (AccountKind.CREDIT, AccountKind.HELD, AccountKind.SERVED)
CONTRIBUTOR_ACCOUNTS = (AccountKind.PROMISED, AccountKind.DELIVERED)
# Of an association, as far as one volunteer's missions move them.
VOLUNTEER_ACCOUNTS = (AccountKind.HELD, AccountKind.SERVED)
TOWN_ACCOUNTS = tuple(AccountKind)
# PostgreSQL keeps instants to the microsecond: "up to and with T" is "before the next one".
_NEXT_INSTANT = timedelta(microseconds=1)

Balances = Mapping[AccountKind, int]


class Basis(StrEnum):
    """Which of a transfer's two times counts: when the ledger wrote it, or when it took effect."""

    RECORDED = "recorded"
    EFFECTIVE = "effective"


@dataclass(frozen=True)
class AsOf:
    """The books as they stood at an instant, that instant included."""

    basis: Basis
    instant: datetime

    @property
    def before(self) -> datetime:
        return self.instant + _NEXT_INSTANT


def decide_as_of(*, recorded_at: datetime | None, effective_at: datetime | None, now: datetime) -> AsOf | None:
    """None for the present. Raises BadInput for both at once, or for a record of the future."""
    if recorded_at is not None and effective_at is not None:
        raise BadInput.at(
            "query/as_effective_at", "leave out as_recorded_at or as_effective_at: one question is about one of the two times"
        )
    if recorded_at is not None and recorded_at > now:
        raise BadInput.at("query/as_recorded_at", "lies in the future: nothing is recorded there yet; leave it out for now")
    if recorded_at is not None:
        return AsOf(Basis.RECORDED, recorded_at)
    return AsOf(Basis.EFFECTIVE, effective_at) if effective_at is not None else None


@dataclass(frozen=True)
class Period:
    """[since, until) of one of the two times; None is without end."""

    basis: Basis = Basis.RECORDED
    since: datetime | None = None
    until: datetime | None = None

    def up_to(self, as_of: AsOf | None) -> "Period":
        if as_of is None:
            return self
        return Period(as_of.basis, self.since, min(self.until, as_of.before) if self.until else as_of.before)


@dataclass(frozen=True)
class Scope:
    """Whose statement: these kinds of account of one holder, or (None) of the whole campaign."""

    campaign_id: UUID
    holder_id: UUID | None
    kinds: tuple[AccountKind, ...]


@dataclass(frozen=True)
class StatementLine:
    transfer: Transfer
    mission_title: str | None
    volunteer_id: UUID | None
    moved: Balances

    def instant(self, basis: Basis) -> datetime:
        return self.transfer.recorded_at if basis is Basis.RECORDED else self.transfer.effective_at


@dataclass(frozen=True)
class Statement:
    """One page. `opening` and `closing` are the whole period's; `after[i]` are the balances after `lines[i]`.

    `next` is the cursor of the page that follows, or None: the instant of the last line.
    """

    opening: Balances
    lines: tuple[StatementLine, ...]
    after: tuple[Balances, ...]
    closing: Balances
    next: datetime | None = None


def moved_in(transfer: Transfer, scope: Scope) -> Balances:
    """What a transfer moved on the accounts of a statement, by kind."""
    moved: dict[AccountKind, int] = {}
    for key, minutes in ((transfer.source, -transfer.minutes), (transfer.target, transfer.minutes)):
        if key.kind in scope.kinds and scope.holder_id in (None, key.holder_id):
            moved[key.kind] = moved.get(key.kind, 0) + minutes
    return moved


def association_of(transfer: Transfer) -> UUID:
    """Whose minutes a line of a volunteer moves: for whom the hours are."""
    return (transfer.target if transfer.target.kind in VOLUNTEER_ACCOUNTS else transfer.source).holder_id


def cut_page(lines: Sequence[StatementLine], *, limit: int, basis: Basis) -> tuple[Sequence[StatementLine], bool] | None:
    """The lines of one page of at most `limit`, out of at least one more if there is one, and whether more follow.

    A page never parts what happened at one instant, so that its last instant is the whole cursor. None when `limit` is
    too small for a single instant.
    """
    if len(lines) <= limit:
        return lines, False
    follows_at = lines[limit].instant(basis)
    shown = [line for line in lines[:limit] if line.instant(basis) < follows_at]
    return (shown, True) if shown else None


def build_statement(
    lines: Sequence[StatementLine], *, opening: Balances, start: Balances, closing: Balances, more: datetime | None = None
) -> Statement:
    """A page: `start` is what was there before its first line. On the last page the lines themselves lead to the closing:
    what is committed while the page is read cannot come between."""
    balances = start
    after: list[Balances] = []
    for line in lines:
        balances = {kind: minutes + line.moved.get(kind, 0) for kind, minutes in balances.items()}
        after.append(balances)
    return Statement(opening, tuple(lines), tuple(after), closing if more else balances, more)


def page_statement(
    lines: Sequence[StatementLine], period: Period, *, kinds: Sequence[AccountKind], after: datetime | None, limit: int
) -> Statement:
    """A page out of all the lines there are, in the order of the period's time; for statements that are short enough."""

    def instant(line: StatementLine) -> datetime:
        return line.instant(period.basis)

    counted = [line for line in lines if period.until is None or instant(line) < period.until]
    within = [line for line in counted if period.since is None or instant(line) >= period.since]
    waiting = [line for line in within if after is None or instant(line) > after]
    while (page := cut_page(waiting, limit=limit, basis=period.basis)) is None:
        limit *= 2
    shown, more = page
    return build_statement(
        shown,
        opening=_sum_moved(counted[: len(counted) - len(within)], kinds),
        start=_sum_moved(counted[: len(counted) - len(waiting)], kinds),
        closing=_sum_moved(counted, kinds),
        more=instant(shown[-1]) if more else None,
    )


def _sum_moved(lines: Sequence[StatementLine], kinds: Sequence[AccountKind]) -> Balances:
    return {kind: sum(line.moved.get(kind, 0) for line in lines) for kind in kinds}

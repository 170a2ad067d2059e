"""A statement: opening, every line with what it moved and what was there after it, closing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.credits.domain.ledger import AccountKind, Transfer

ASSOCIATION_ACCOUNTS = (AccountKind.CREDIT, AccountKind.HELD, AccountKind.SERVED)
CONTRIBUTOR_ACCOUNTS = (AccountKind.PROMISED, AccountKind.DELIVERED)

Balances = Mapping[AccountKind, int]


@dataclass(frozen=True)
class StatementLine:
    transfer: Transfer
    mission_title: str | None
    volunteer_id: UUID | None
    moved: Balances


@dataclass(frozen=True)
class Statement:
    """`after[i]` are the balances after `lines[i]`; `closing` is the last of them, or `opening` without lines."""

    opening: Balances
    lines: tuple[StatementLine, ...]
    after: tuple[Balances, ...]
    closing: Balances


def build_statement(
    kinds: Sequence[AccountKind], lines: Sequence[StatementLine], *, since: datetime | None = None, until: datetime | None = None
) -> Statement:
    """Of all lines since the campaign began, those recorded in [since, until); what came before is the opening."""
    balances: Balances = dict.fromkeys(kinds, 0)
    opening = balances
    shown: list[StatementLine] = []
    after: list[Balances] = []
    for line in lines:
        recorded_at = line.transfer.recorded_at
        if until is not None and recorded_at >= until:
            continue
        balances = {kind: minutes + line.moved.get(kind, 0) for kind, minutes in balances.items()}
        if since is not None and recorded_at < since:
            opening = balances
        else:
            shown.append(line)
            after.append(balances)
    return Statement(opening, tuple(shown), tuple(after), balances)

"""The ledger in Beancount's language (v3): a file that another program checks without asking us.

One transaction a transfer, in the commodity MIN (whole minutes), with its ids as metadata and links; at the end, what every
account holds. Signs are the ledger's own, so that whoever adds up the file has added up the ledger.
"""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from uuid import UUID

from kernel.clock import local_date
from services.credits.domain.campaigns import Campaign
from services.credits.domain.ledger import AccountKind, Transfer
from services.credits.domain.ledger_words import TRANSFERS
from services.credits.domain.statements import StatementLine

BEANCOUNT = "text/x-beancount"
COMMODITY = "MIN"
# Beancount knows five roots. What the town's scheme has is an asset, what is used up an expense; contributors' promises
# stand against them as a debt to the scheme, and as income once they are kept.
_ROOTS = {
    "promised": "Liabilities:Promised",
    "delivered": "Income:Delivered",
    "pool": "Assets:Pool",
    "credit": "Assets:Credit",
    "held": "Assets:Held",
    "served": "Expenses:Served",
    "lapsed": "Expenses:Lapsed",
    "carried": "Equity:Carried",
}
# Before any campaign: a backdated transfer must find its account open.
_OPENED = date(1970, 1, 1)


def beancount_account(kind: str, *, campaign_id: UUID, holder_id: UUID) -> str:
    """`Assets:Credit:<campaign>:<association>`. A part of a name begins with a capital or a digit: ids are in capitals."""
    own = [] if holder_id == campaign_id else [str(holder_id).upper()]
    return ":".join([_ROOTS[kind], str(campaign_id).upper(), *own])


def build_head(campaign: Campaign, *, territory: str) -> str:
    """Options, commodity and campaign; at the top of the first page, once in a file."""
    return "\n".join(
        [
            f'option "title" {_text(f"Métis {territory} – {campaign.facts.title}")}',
            f'option "operating_currency" "{COMMODITY}"',
            "",
            f"{_OPENED} commodity {COMMODITY}",
            '  name: "Minute"',
            "  precision: 0",
            "",
            "",
        ]
    )


def build_openings(campaign: Campaign, accounts: Iterable[tuple[AccountKind, UUID]]) -> str:
    """Every account, opened in minutes alone."""
    return "".join(
        f"{_OPENED} open {_account(campaign, kind, holder)} {COMMODITY}\n" for kind, holder in dict.fromkeys(accounts)
    ) + ("\n")


def build_transactions(lines: Iterable[StatementLine]) -> str:
    return "\n".join(_transaction(line) for line in lines)


def build_balances(campaign: Campaign, balances: Iterable[tuple[AccountKind, UUID, int]], *, last_day: date) -> str:
    """Assertions on the morning after the last transfer took effect: Beancount fails where its own sum differs."""
    day = last_day + timedelta(days=1)
    return "\n" + "".join(
        f"{day} balance {_account(campaign, kind, holder)} {minutes} {COMMODITY}\n" for kind, holder, minutes in balances
    )


def _account(campaign: Campaign, kind: AccountKind, holder: UUID) -> str:
    return beancount_account(kind, campaign_id=campaign.id, holder_id=holder)


def _transaction(line: StatementLine) -> str:
    transfer = line.transfer
    links = "".join(f" ^{name}-{id}" for name, id in _links(transfer))
    day = local_date(transfer.effective_at)
    source, target = (
        beancount_account(key.kind, campaign_id=key.campaign_id, holder_id=key.holder_id)
        for key in (transfer.source, transfer.target)
    )
    return "\n".join(
        [
            f"{day} * {_text(TRANSFERS[transfer.kind])} {_text(transfer.why)}{links}",
            *(f"  {name}: {_text(value)}" for name, value in _metadata(line)),
            f"  {source}  {-transfer.minutes} {COMMODITY}",
            f"  {target}  {transfer.minutes} {COMMODITY}",
            "",
        ]
    )


def _links(transfer: Transfer) -> Iterator[tuple[str, UUID]]:
    """What belongs together carries one link: a mission's transfers, a transfer and its reversals."""
    for name, id in (("mission", transfer.mission_id), ("grant", transfer.grant_id), ("pledge", transfer.pledge_id)):
        if id is not None:
            yield name, id
    if transfer.reverses is not None:
        yield "transfer", transfer.reverses
    elif transfer.reversed_by is not None:
        yield "transfer", transfer.id


def _metadata(line: StatementLine) -> Iterator[tuple[str, str]]:
    transfer = line.transfer
    yield "id", str(transfer.id)
    yield "kind", transfer.kind
    yield "who", transfer.who
    yield "effective_at", transfer.effective_at.isoformat()
    yield "recorded_at", transfer.recorded_at.isoformat()
    yield "key", transfer.idempotency_key
    lot_id = transfer.source.lot_id or transfer.target.lot_id
    if lot_id is not None:
        yield "lot", str(lot_id)
    if line.mission_title is not None:
        yield "mission", line.mission_title
    if line.volunteer_id is not None:
        yield "volunteer", str(line.volunteer_id)


def _text(value: str) -> str:
    """A string of one line: quotes and backslashes are escaped, line breaks become spaces."""
    flat = " ".join(value.split())
    return '"' + flat.replace("\\", "\\\\").replace('"', '\\"') + '"'

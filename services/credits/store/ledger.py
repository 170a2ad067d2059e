"""The ledger: posting through PostgreSQL's own functions, locking, and reading accounts and transfers.

What is written is numbered here, on locked accounts; PostgreSQL recomputes every figure and refuses what does not agree.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from sqlalchemy import Row, Select, func, select

from kernel.errors import MetisError
from kernel.ids import new_ids
from kernel.work import Work
from services.credits.domain.errors import (
    AlreadyReversed,
    ApprovalNeeded,
    NotEnoughCredit,
    NotFound,
    TransferKeyReused,
    UnknownFlow,
)
from services.credits.domain.journal import Author, Journal
from services.credits.domain.ledger import Account, AccountKey, AccountKind, Leg, Transfer, TransferKind
from services.credits.domain.lots import Lot
from services.credits.store.calls import document_of
from services.credits.tables import account, actor, entry, transfer


@dataclass(frozen=True)
class Posted:
    transfer_id: UUID
    is_new: bool  # False: its key had written it before


def author_of(work: Work) -> Author:
    """Who is behind this work, and when: of an event, who brought it about, and its own time."""
    message = work.message
    if message is None:
        return Author(work.caller.identity, work.now)
    return Author(message.actorid or work.caller.identity, message.time)


async def post(work: Work, legs: Sequence[Leg]) -> list[Posted]:
    """Post legs in order, all or none. A key that wrote a transfer before gives that transfer, and writes nothing.

    Raises NotEnoughCredit when a bound is in the way, TransferKeyReused when a key wrote something else before.
    """
    author = author_of(work)
    return await post_all(work, [(leg, author) for leg in legs])


async def post_all(work: Work, legs: Sequence[tuple[Leg, Author]]) -> list[Posted]:
    """As `post`, each leg with its own author."""
    accounts = await _open_accounts(work, {key for leg, _ in legs for key in (leg.source, leg.target)})
    known = await _list_known(work, [leg.key for leg, _ in legs])
    for leg, _ in legs:
        if leg.key in known:
            _require_same(leg, known[leg.key], accounts)
    written = iter(await _write(work, [(leg, author) for leg, author in legs if leg.key not in known], accounts))
    return [Posted(known[leg.key]["id"], False) if leg.key in known else Posted(next(written), True) for leg, _ in legs]


async def number_journal(work: Work, journal: Journal) -> list[dict[str, object]]:
    """What a journal decided on its locked accounts, as `post_transfers` writes it; accounts it had none of are opened.

    Its keys cannot have been used before: they follow from states that move forward only.
    """
    missing = {key for leg, _ in journal.legs for key in (leg.source, leg.target) if key not in journal.accounts}
    accounts = {**journal.accounts, **await _open_accounts(work, missing)} if missing else journal.accounts
    return _number(journal.legs, accounts)


_KNOWN = "SELECT * FROM transfer WHERE idempotency_key = ANY($1)"


async def _list_known(work: Work, keys: list[str]) -> dict[str, Any]:
    """Transfers by their key. Read after the accounts are locked: whoever used a key on them has committed."""
    return {row["idempotency_key"]: row for row in await work.driver.fetch(_KNOWN, keys)} if keys else {}


def _require_same(leg: Leg, known: Any, accounts: Mapping[AccountKey, Account]) -> None:
    asked = (
        leg.kind, accounts[leg.source].id, accounts[leg.target].id, leg.minutes,
        leg.mission_id, leg.grant_id, leg.pledge_id, leg.reverses,
    )  # fmt: skip
    columns = ("kind", "from_account_id", "to_account_id", "minutes", "mission_id", "grant_id", "pledge_id", "reverses")
    if asked != tuple(known[column] for column in columns):
        raise TransferKeyReused(f"The key {leg.key} wrote another transfer; take a new key for a new transfer.")


async def _write(work: Work, legs: Sequence[tuple[Leg, Author]], accounts: Mapping[AccountKey, Account]) -> list[UUID]:
    """Number the legs on their locked accounts, and write them. PostgreSQL computes the same again, and compares."""
    if not legs:
        return []
    numbered = _number(legs, accounts)
    with named_errors():
        await work.driver.execute("SELECT post_transfers($1)", document_of(numbered))
    return [one["id"] for one in numbered]


def _number(legs: Sequence[tuple[Leg, Author]], accounts: Mapping[AccountKey, Account]) -> list[dict[str, Any]]:
    """The rows of these transfers, with the version and balance of both accounts after each."""
    running = dict(accounts)
    rows = []
    for id, (leg, author) in zip(new_ids(len(legs)), legs, strict=True):
        source = running[leg.source] = running[leg.source].moved(-leg.minutes)
        target = running[leg.target] = running[leg.target].moved(leg.minutes)
        if (missing := leg.source.missing_minutes(source.balance_minutes)) > 0:
            raise _not_enough(leg.source, missing)
        if (missing := leg.target.missing_minutes(target.balance_minutes)) > 0:
            raise _not_enough(leg.target, missing)
        rows.append({
            "id": id, "kind": leg.kind, "campaign_id": leg.source.campaign_id, "minutes": leg.minutes, "who": author.who,
            "why": leg.why, "effective_at": author.effective_at, "key": leg.key, "mission_id": leg.mission_id,
            "grant_id": leg.grant_id, "pledge_id": leg.pledge_id, "reverses": leg.reverses,
            "source": source.id, "from_version": source.version, "from_balance": source.balance_minutes,
            "target": target.id, "to_version": target.version, "to_balance": target.balance_minutes,
        })  # fmt: skip
    return rows


def _not_enough(key: AccountKey, missing_minutes: int) -> NotEnoughCredit:
    return NotEnoughCredit.on(
        kind=key.kind, campaign_id=key.campaign_id, holder_id=key.holder_id, missing_minutes=missing_minutes
    )


async def _open_accounts(work: Work, keys: Collection[AccountKey]) -> dict[AccountKey, Account]:
    """These accounts, locked; they come to be at their first use."""
    if not keys:
        return {}
    wanted = [(key.campaign_id, key.kind, key.holder_id, key.lot_id) for key in keys]
    return await _fetch_accounts(work, "SELECT * FROM open_accounts($1, $2, $3, $4)", wanted)


async def lock_accounts(work: Work, wanted: Collection[tuple[UUID, AccountKind, UUID]]) -> dict[AccountKey, Account]:
    """These accounts (campaign, kind, holder), of whatever lot, locked until the transaction ends.

    One that is not opened yet is not there; it counts 0.
    """
    return await _fetch_accounts(work, "SELECT * FROM lock_accounts($1, $2, $3)", list(wanted)) if wanted else {}


async def _fetch_accounts(work: Work, query: str, wanted: Sequence[tuple[object, ...]]) -> dict[AccountKey, Account]:
    with named_errors():
        return accounts_of(await work.driver.fetch(query, *map(list, zip(*wanted, strict=True))))


def accounts_of(rows: Iterable[Any]) -> dict[AccountKey, Account]:
    return {
        AccountKey(row["campaign_id"], AccountKind(row["kind"]), row["holder_id"], row["lot_id"]): Account(
            row["id"], row["balance_minutes"], row["version"]
        )
        for row in rows
    }


async def lock_balances(work: Work, keys: Iterable[AccountKey]) -> Mapping[AccountKey, int]:
    """The balances of these very accounts, locked until the transaction ends; one that is not opened yet counts 0."""
    wanted = list(keys)
    found = await lock_accounts(work, {(key.campaign_id, key.kind, key.holder_id) for key in wanted})
    return {key: found[key].balance_minutes if key in found else 0 for key in wanted}


async def lock_credit(work: Work, lots: Sequence[Lot]) -> list[tuple[Lot, int, int]]:
    """The lots with something left to spend: how much, and the version of their account. Locked until the end."""
    found = await lock_accounts(work, {(lot.campaign_id, AccountKind.CREDIT, lot.association_id) for lot in lots})
    credit = {lot: found.get(lot.account(AccountKind.CREDIT)) for lot in lots}
    return [(lot, one.balance_minutes, one.version) for lot, one in credit.items() if one is not None and one.balance_minutes]


@contextmanager
def named_errors() -> Iterator[None]:
    """PostgreSQL's refusals by the names that callers know."""
    try:
        yield
    except asyncpg.PostgresError as error:
        if named := _named(error):
            raise named from error
        raise


def _named(error: asyncpg.PostgresError) -> MetisError | None:
    message = str(error.args[0]) if error.args else ""
    if error.sqlstate == "MT001":
        facts = orjson.loads(error.detail or "{}")
        return NotEnoughCredit.on(
            kind=facts["kind"],
            campaign_id=facts["campaign_id"],
            holder_id=facts["holder_id"],
            missing_minutes=facts["missing_minutes"],
        )
    if error.sqlstate == "MT004":
        return UnknownFlow(message)
    if error.sqlstate == "MT005":
        return AlreadyReversed(f"No more can be undone than was moved: {message}.")
    if error.sqlstate == "MT008":
        return ApprovalNeeded(f"{message}: ask again, and another officer decides.")
    return None


# ---- Accounts ------------------------------------------------------------------------------------------------------


def select_accounts(campaign_id: UUID) -> Select[Any]:
    return (
        select(account, actor.c.name.label("holder_name"))
        .select_from(account)
        .outerjoin(actor, actor.c.id == account.c.holder_id)
        .where(account.c.campaign_id == campaign_id)
    )


async def list_balances(work: Work, campaign_id: UUID, kind: AccountKind) -> dict[UUID, int]:
    """Balance by holder, over all its lots, not locked."""
    query = select(account.c.holder_id, func.sum(account.c.balance_minutes).label("minutes")).where(
        account.c.campaign_id == campaign_id, account.c.kind == kind
    )
    rows = await work.connection.execute(query.group_by(account.c.holder_id).order_by(account.c.holder_id))
    return {row.holder_id: int(row.minutes) for row in rows}


async def sum_by_kind(work: Work, campaign_id: UUID | None = None) -> dict[str, int]:
    """Total of each kind of account, of one campaign or of the territory."""
    query = select(account.c.kind, func.sum(account.c.balance_minutes).label("minutes")).group_by(account.c.kind)
    if campaign_id is not None:
        query = query.where(account.c.campaign_id == campaign_id)
    totals = {row.kind: int(row.minutes) for row in await work.connection.execute(query)}
    return {kind: totals.get(kind, 0) for kind in AccountKind}


async def get_present(work: Work, campaign_id: UUID) -> datetime:
    """Now, or the campaign's last recorded time where that lies ahead: the server's clock was set back since."""
    last = (
        await work.connection.execute(select(func.max(account.c.moved_at)).where(account.c.campaign_id == campaign_id))
    ).scalar()
    return max(work.now, last) if last is not None else work.now


@dataclass(frozen=True)
class Books:
    """The campaign's books, added up from the entries as well as from the accounts' balances."""

    by_kind: dict[str, int]
    accounts: int
    transfers: int
    entries: int
    entries_sum_minutes: int
    accounts_out_of_step: int

    @property
    def sum_minutes(self) -> int:
        return sum(self.by_kind.values())


async def get_books(work: Work, campaign_id: UUID) -> Books:
    """One statement, hence one moment."""
    per_account = (
        select(
            account.c.id,
            account.c.kind,
            account.c.balance_minutes,
            func.coalesce(func.sum(entry.c.minutes), 0).label("entered_minutes"),
            func.count(entry.c.transfer_id).label("entries"),
        )
        .select_from(account)
        .outerjoin(entry, entry.c.account_id == account.c.id)
        .where(account.c.campaign_id == campaign_id)
        .group_by(account.c.id, account.c.kind, account.c.balance_minutes)
        .subquery()
    )
    transfers = select(func.count()).select_from(transfer).where(transfer.c.campaign_id == campaign_id).scalar_subquery()
    query = select(
        per_account.c.kind,
        func.count().label("accounts"),
        func.sum(per_account.c.balance_minutes).label("minutes"),
        func.sum(per_account.c.entered_minutes).label("entered_minutes"),
        func.sum(per_account.c.entries).label("entries"),
        func.count().filter(per_account.c.balance_minutes != per_account.c.entered_minutes).label("out_of_step"),
        transfers.label("transfers"),
    ).group_by(per_account.c.kind)
    rows = (await work.connection.execute(query)).all()
    totals = {row.kind: int(row.minutes) for row in rows}
    return Books(
        by_kind={kind: totals.get(kind, 0) for kind in AccountKind},
        accounts=sum(row.accounts for row in rows),
        transfers=rows[0].transfers if rows else 0,
        entries=sum(int(row.entries) for row in rows),
        entries_sum_minutes=sum(int(row.entered_minutes) for row in rows),
        accounts_out_of_step=sum(row.out_of_step for row in rows),
    )


# ---- Transfers -----------------------------------------------------------------------------------------------------

source = account.alias("source")
target = account.alias("target")
_reversal = transfer.alias("reversal")
_REVERSED_BY = (
    select(_reversal.c.id).where(_reversal.c.reverses == transfer.c.id).order_by(_reversal.c.id.desc()).limit(1).scalar_subquery()
)
_REVERSED_MINUTES = (
    select(func.coalesce(func.sum(_reversal.c.minutes), 0)).where(_reversal.c.reverses == transfer.c.id).scalar_subquery()
)


def select_transfers() -> Select[Any]:
    """Transfers with both accounts and what of them was reversed."""
    return (
        select(
            transfer,
            source.c.kind.label("source_kind"),
            source.c.holder_id.label("source_holder_id"),
            source.c.lot_id.label("source_lot_id"),
            target.c.kind.label("target_kind"),
            target.c.holder_id.label("target_holder_id"),
            target.c.lot_id.label("target_lot_id"),
            _REVERSED_BY.label("reversed_by"),
            _REVERSED_MINUTES.label("reversed_minutes"),
        )
        .select_from(transfer)
        .join(source, source.c.id == transfer.c.from_account_id)
        .join(target, target.c.id == transfer.c.to_account_id)
    )


def transfer_of(row: Row[Any]) -> Transfer:
    return Transfer(
        id=row.id,
        campaign_id=row.campaign_id,
        kind=TransferKind(row.kind),
        source=AccountKey(row.campaign_id, AccountKind(row.source_kind), row.source_holder_id, row.source_lot_id),
        target=AccountKey(row.campaign_id, AccountKind(row.target_kind), row.target_holder_id, row.target_lot_id),
        minutes=row.minutes,
        who=row.who,
        why=row.why,
        effective_at=row.effective_at,
        recorded_at=row.recorded_at,
        idempotency_key=row.idempotency_key,
        mission_id=row.mission_id,
        grant_id=row.grant_id,
        pledge_id=row.pledge_id,
        reverses=row.reverses,
        reversed_by=row.reversed_by,
        reversed_minutes=int(row.reversed_minutes),
    )


async def get_transfer(work: Work, transfer_id: UUID) -> Transfer:
    row = (await work.connection.execute(select_transfers().where(transfer.c.id == transfer_id))).first()
    if row is None:
        raise NotFound(f"There is no transfer {transfer_id}; GET /campaigns/{{id}}/transfers lists them.")
    return transfer_of(row)


async def list_of_mission(work: Work, mission_id: UUID, kind: TransferKind) -> list[Transfer]:
    """A mission's transfers of one kind, the oldest first."""
    query = select_transfers().where(transfer.c.mission_id == mission_id, transfer.c.kind == kind)
    return [transfer_of(row) for row in await work.connection.execute(query.order_by(transfer.c.id))]

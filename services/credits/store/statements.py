"""Statements: every line that touched some accounts, in the order in which the ledger recorded it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Select, func, select

from kernel.work import Work
from services.credits.domain.ledger import AccountKind
from services.credits.domain.statements import Statement, StatementLine, build_statement
from services.credits.store.ledger import select_transfers, transfer_of
from services.credits.tables import account, entry, mission, transfer


async def get_statement(
    work: Work,
    campaign_id: UUID,
    holder_id: UUID,
    kinds: Sequence[AccountKind],
    *,
    since: datetime | None,
    until: datetime | None,
) -> Statement:
    """The statement over [since, until); opening and closing come out of the same entries as the lines."""
    rows = (await work.connection.execute(_select_lines(campaign_id, holder_id, kinds))).all()
    lines = [
        StatementLine(
            transfer=transfer_of(row),
            mission_title=row.title,
            volunteer_id=row.volunteer_id,
            moved={AccountKind(kind): minutes for kind, minutes in row.moved.items()},
        )
        for row in rows
    ]
    return build_statement(kinds, lines, since=since, until=until)


def _select_lines(campaign_id: UUID, holder_id: UUID, kinds: Sequence[AccountKind]) -> Select[Any]:
    # A transfer may touch two of the accounts: one line, with what it moved on each.
    moved = (
        select(
            entry.c.transfer_id,
            func.json_object_agg(account.c.kind, entry.c.minutes, type_=JSON).label("moved"),
        )
        .select_from(entry)
        .join(account, account.c.id == entry.c.account_id)
        .where(account.c.campaign_id == campaign_id, account.c.holder_id == holder_id, account.c.kind.in_(list(kinds)))
        .group_by(entry.c.transfer_id)
        .subquery()
    )
    return (
        select_transfers()
        .add_columns(moved.c.moved, mission.c.title, mission.c.volunteer_id)
        .join(moved, moved.c.transfer_id == transfer.c.id)
        .outerjoin(mission, mission.c.id == transfer.c.mission_id)
        .order_by(transfer.c.recorded_at, transfer.c.id)
    )

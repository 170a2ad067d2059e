"""Notices, e-mails and preferences."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Table, delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from kernel.auth import Caller
from kernel.errors import NotFound
from kernel.work import Work
from services.notifications.domain.messages import Email, EmailState, Notice
from services.notifications.domain.people import Category, Preference
from services.notifications.tables import email, notice, preference


async def save_notices(work: Work, notices: Sequence[Notice]) -> None:
    await _insert(work, notice, [vars(one) for one in notices])


async def save_emails(work: Work, emails: Sequence[Email]) -> None:
    await _insert(work, email, [vars(one) for one in emails])


async def _insert(work: Work, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    # What was made before for the same event and reader stays: nobody is told twice.
    if rows:
        values = [{"territory": work.territory, **row} for row in rows]
        await work.connection.execute(upsert(table).on_conflict_do_nothing(), values)


# ---- The inbox ------------------------------------------------------------------------------------------------------


def _is_reader(caller: Caller) -> ColumnElement[bool]:
    own = notice.c.client_id == caller.client_id
    # Compared with no member at all, the condition would be IS NULL and open every program's notices.
    return own if caller.member_id is None else or_(own, notice.c.member_id == caller.member_id)


def list_inbox(caller: Caller, *, unread: bool) -> Select[Any]:
    query = select(notice).where(_is_reader(caller))
    return query.where(notice.c.read_at.is_(None)) if unread else query


async def get_notice(work: Work, id: UUID) -> Notice:
    row = (await work.connection.execute(select(notice).where(notice.c.id == id, _is_reader(work.caller)))).one_or_none()
    if row is None:
        raise NotFound("Your inbox holds no such notice.")
    return notice_from(row)


async def save_reading(work: Work, id: UUID) -> None:
    await work.connection.execute(update(notice).where(notice.c.id == id, notice.c.read_at.is_(None)).values(read_at=work.now))


def notice_from(row: Any) -> Notice:
    return Notice(
        id=row.id,
        event_id=row.event_id,
        event_type=row.event_type,
        category=Category(row.category),
        member_id=row.member_id,
        client_id=row.client_id,
        subject=row.subject,
        body=row.body,
        created_at=row.created_at,
        read_at=row.read_at,
    )


# ---- Preferences ----------------------------------------------------------------------------------------------------


async def list_preferences(work: Work, member_id: UUID) -> list[Preference]:
    rows = await work.connection.execute(select(preference).where(preference.c.member_id == member_id))
    return [Preference(Category(row.category), row.email, row.inbox) for row in rows]


async def save_preferences(work: Work, member_id: UUID, chosen: Sequence[Preference]) -> None:
    values = [
        {"territory": work.territory, "member_id": member_id, "category": one.category, "email": one.email, "inbox": one.inbox}
        for one in chosen
    ]
    statement = upsert(preference)
    replaced = {"email": statement.excluded.email, "inbox": statement.excluded.inbox}
    await work.connection.execute(
        statement.on_conflict_do_update(index_elements=["territory", "member_id", "category"], set_=replaced), values
    )


# ---- E-mails --------------------------------------------------------------------------------------------------------


def list_emails(*, state: EmailState | None, member_id: UUID | None) -> Select[Any]:
    query = select(email)
    if state is not None:
        query = query.where(email.c.state == state)
    return query.where(email.c.member_id == member_id) if member_id is not None else query


async def list_waiting_emails(work: Work, ids: Sequence[UUID]) -> list[Email]:
    query = select(email).where(email.c.id.in_(ids), email.c.state == EmailState.WAITING).order_by(email.c.id)
    return [email_from(row) for row in await work.connection.execute(query)]


async def save_email_state(
    work: Work, id: UUID, *, state: EmailState, tries: int, reason: str | None, sent_at: datetime | None
) -> None:
    values = {"state": state, "tries": tries, "reason": reason, "sent_at": sent_at}
    await work.connection.execute(update(email).where(email.c.id == id).values(values))


def email_from(row: Any) -> Email:
    return Email(
        id=row.id,
        event_id=row.event_id,
        event_type=row.event_type,
        category=Category(row.category),
        member_id=row.member_id,
        name=row.name,
        address=row.address,
        locale=row.locale,
        subject=row.subject,
        body=row.body,
        state=EmailState(row.state),
        tries=row.tries,
        reason=row.reason,
        traceparent=row.traceparent,
        created_at=row.created_at,
        sent_at=row.sent_at,
    )


async def delete_messages_before(work: Work, instant: datetime) -> None:
    for table in (notice, email):
        await work.connection.execute(delete(table).where(table.c.created_at < instant))

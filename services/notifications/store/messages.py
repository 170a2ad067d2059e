"""Notices, e-mails and preferences."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, any_, bindparam, delete, or_, select, update
from sqlalchemy import Uuid as UuidType
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as upsert

from kernel.auth import Caller
from kernel.errors import NotFound
from kernel.statements import Prepared
from kernel.work import Work
from services.notifications.domain.messages import Email, EmailState, Notice
from services.notifications.domain.people import Category, Preference
from services.notifications.tables import email, notice, preference

# What was made before for the same event and reader stays: nobody is told twice.
_SAVE_NOTICES = Prepared(upsert(notice).on_conflict_do_nothing(), columns=notice.c.keys())
_SAVE_EMAILS = Prepared(upsert(email).on_conflict_do_nothing(), columns=email.c.keys())


async def save_notices(work: Work, notices: Sequence[Notice]) -> None:
    if notices:
        await work.run_many(_SAVE_NOTICES, [{"territory": work.territory, **vars(one)} for one in notices])


async def save_emails(work: Work, emails: Sequence[Email]) -> None:
    if emails:
        await work.run_many(_SAVE_EMAILS, [{"territory": work.territory, **vars(one)} for one in emails])


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


def list_emails(*, state: EmailState | None = None, member_id: UUID | None = None, event_type: str | None = None) -> Select[Any]:
    query = select(email)
    if state is not None:
        query = query.where(email.c.state == state)
    if event_type is not None:
        query = query.where(email.c.event_type == event_type)
    return query.where(email.c.member_id == member_id) if member_id is not None else query


_WAITING = Prepared(
    select(email)
    .where(email.c.id == any_(bindparam("ids", type_=ARRAY(UuidType))), email.c.state == EmailState.WAITING)
    .order_by(email.c.id)
)
# With their errands, in one statement: it runs after nearly every sending.
_SENT = """
WITH finished AS (DELETE FROM errand WHERE kind = 'email' AND id = ANY($1::uuid[]))
UPDATE email SET state = 'sent', tries = sent.tries, reason = NULL, sent_at = $3
FROM unnest($1::uuid[], $2::integer[]) AS sent (id, tries) WHERE email.id = sent.id
"""


async def list_waiting_emails(work: Work, ids: Sequence[UUID]) -> list[Email]:
    return [email_from(row) for row in await work.run(_WAITING, ids=list(ids))]


async def save_sent(work: Work, tries: Mapping[UUID, int]) -> None:
    """The server took these, each at this try: there is nothing more to do."""
    if tries:
        await work.driver.execute(_SENT, list(tries), list(tries.values()), work.now)


async def save_failure(work: Work, id: UUID, *, state: EmailState, tries: int, reason: str) -> None:
    await work.connection.execute(update(email).where(email.c.id == id).values(state=state, tries=tries, reason=reason))


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

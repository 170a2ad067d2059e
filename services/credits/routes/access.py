"""Who may see what: the town and its auditors all, everybody else what concerns them."""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, or_

from kernel.auth import Caller, Role
from services.credits.domain.errors import Forbidden
from services.credits.use_cases.parties import speaking_ids

# People who may read the ledger as far as it concerns them.
CONCERNED = (Role.OFFICER, Role.OPERATOR, Role.AUDITOR, Role.ASSOCIATION, Role.COMPANY, Role.VOLUNTEER)


def sees_everything(caller: Caller) -> bool:
    return caller.is_town or Role.AUDITOR in caller.roles


def only_own(query: Select[Any], caller: Caller, *columns: ColumnElement[Any], shared: UUID | None = None) -> Select[Any]:
    """Keep the rows of which one of these columns names the caller, or whom they act for (or `shared`); all for the town and
    its auditors. An employee does not act for the company: its books name colleagues.
    """
    if sees_everything(caller):
        return query
    ids = speaking_ids(caller) + ([shared] if shared else [])
    return query.where(or_(*(column.in_(ids) for column in columns)))


def require_own(caller: Caller, holder_id: UUID) -> None:
    if not sees_everything(caller) and holder_id not in speaking_ids(caller):
        raise Forbidden("You can read your own statement, or that of the organisation you act for; ask the town for others.")

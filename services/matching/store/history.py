"""The history of states: one row a step, only ever added."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Table, insert, select

from kernel.ids import new_id
from kernel.work import Work
from services.matching.domain.states import S, Step


async def save_steps(
    work: Work, table: Table, subject_id: UUID, *steps: Step[S], side: str | None = None, criterion: str | None = None
) -> None:
    """Write steps down in their order; `cause` is the event that led to them, if one did. `criterion`: of missions only."""
    for step in steps:
        values = _values(work, subject_id, step, side=side)
        if criterion is not None and step is steps[0]:  # what a yes leads to is no further yes
            values["criterion"] = criterion
        await work.connection.execute(insert(table), values)


async def save_first_steps(work: Work, table: Table, subject_ids: Sequence[UUID], step: Step[S]) -> None:
    """The same step of many, in one statement."""
    await work.connection.execute(insert(table), [_values(work, id, step) for id in subject_ids])


def _values(work: Work, subject_id: UUID, step: Step[S], *, side: str | None = None) -> dict[str, Any]:
    return {
        "territory": work.territory,
        "id": new_id(),
        "subject_id": subject_id,
        "before": step.before,
        "after": step.after,
        "deed": step.deed,
        "happened_at": work.now,
        "who": step.who,
        "side": side,
        "reason": step.reason,
        "cause": work.message.id if work.message else None,
    }


async def list_steps(work: Work, table: Table, subject_id: UUID) -> list[Row[Any]]:
    query = select(table).where(table.c.subject_id == subject_id).order_by(table.c.id)
    return list((await work.connection.execute(query)).all())

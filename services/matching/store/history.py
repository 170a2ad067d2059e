"""The history of states: one row a step, only ever added."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Insert, Row, Table, Update, bindparam, insert, select

from kernel.ids import new_id
from kernel.statements import Prepared
from kernel.work import Work
from services.matching.domain.states import S, Step


class Change:
    """An INSERT or UPDATE of one subject, in one statement with the step that leads to it: most requests make one."""

    def __init__(self, statement: Insert | Update, history: Table, *, columns: Iterable[str]) -> None:
        changing = statement.values({name: bindparam(name) for name in columns})
        step = insert(history).values({column.name: bindparam(f"step_{column.name}") for column in history.c})
        self._history = history
        self._alone = Prepared(changing)
        self._with_step = Prepared(changing.add_cte(step.cte("step")))

    async def run(
        self,
        work: Work,
        subject_id: UUID,
        values: dict[str, Any],
        *steps: Step[S],
        side: str | None = None,
        criterion: str | None = None,
    ) -> None:
        """`values`: of the columns, and of what else the statement names."""
        if not steps:
            await work.run(self._alone, **values)
            return
        first, *others = _rows(work, self._history, subject_id, steps, side=side, criterion=criterion)
        await work.run(self._with_step, **values, **{f"step_{name}": value for name, value in first.items()})
        if others:
            await work.run_many(_insertion(self._history), others)


async def save_steps(work: Work, table: Table, subject_id: UUID, *steps: Step[S]) -> None:
    """Write steps down in their order; `cause` is the event that led to them, if one did."""
    if not steps:
        return
    await work.run_many(_insertion(table), _rows(work, table, subject_id, steps))


async def save_first_steps(work: Work, table: Table, subject_ids: Sequence[UUID], step: Step[S]) -> None:
    """The same step of many, in one statement."""
    await work.run_many(_insertion(table), [row for id in subject_ids for row in _rows(work, table, id, [step])])


@cache
def _insertion(table: Table) -> Prepared:
    return Prepared(insert(table), columns=table.c.keys())


def _rows(
    work: Work, table: Table, subject_id: UUID, steps: Sequence[Step[S]], *, side: str | None = None, criterion: str | None = None
) -> list[dict[str, Any]]:
    """`criterion`: of missions only, what spoke for the first step; what a yes leads to is no further yes."""
    rows = [
        {
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
        for step in steps
    ]
    if "criterion" in table.c:
        for number, row in enumerate(rows):
            row["criterion"] = None if number else criterion
    return rows


async def list_steps(work: Work, table: Table, subject_id: UUID) -> list[Row[Any]]:
    query = select(table).where(table.c.subject_id == subject_id).order_by(table.c.id)
    return list((await work.connection.execute(query)).all())

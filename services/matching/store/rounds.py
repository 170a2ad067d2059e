"""Allocation rounds as rows, and what waits to be computed."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, delete, insert, select, update

from kernel.errors import NotFound
from kernel.work import Work
from services.matching.domain.rounds import Choice, ChoiceKind, Round, RoundTerms
from services.matching.domain.states import RoundState, Step
from services.matching.domain.weights import Weights
from services.matching.store.history import save_steps
from services.matching.tables import allocation_round, allocation_round_event, round_choice, round_waiting

_TERMS = tuple(RoundTerms.__dataclass_fields__)
_OTHERS = tuple(name for name in Round.__dataclass_fields__ if name not in {"terms", "state", "trial_weights"})


def round_from(row: Row[Any]) -> Round:
    terms = RoundTerms(**{name: getattr(row, name) for name in _TERMS})
    tried = None if row.trial_weights is None else Weights(**row.trial_weights)
    return Round(terms=terms, state=RoundState(row.state), trial_weights=tried, **{name: getattr(row, name) for name in _OTHERS})


def _values(saved: Round) -> dict[str, Any]:
    tried = None if saved.trial_weights is None else asdict(saved.trial_weights)
    named = {name: getattr(saved, name) for name in _OTHERS}
    return {**asdict(saved.terms), "state": saved.state, "trial_weights": tried, **named}


async def insert_round(work: Work, saved: Round, *steps: Step[RoundState]) -> None:
    """A new round, and its place among those that wait."""
    values = {"territory": work.territory, **_values(saved), "changed_at": work.now}
    await work.connection.execute(insert(allocation_round), values)
    await work.connection.execute(insert(round_waiting), {"round_id": saved.id, "code": work.territory})
    await save_steps(work, allocation_round_event, saved.id, *steps)


async def save_round(work: Work, saved: Round, *steps: Step[RoundState]) -> None:
    """Write a locked round back, with the steps of its state. One that is not under way any more waits no more."""
    query = update(allocation_round).where(allocation_round.c.id == saved.id)
    await work.connection.execute(query, {**_values(saved), "changed_at": work.now})
    await save_steps(work, allocation_round_event, saved.id, *steps)
    if not saved.is_under_way:
        await work.connection.execute(delete(round_waiting).where(round_waiting.c.round_id == saved.id))


def select_rounds(campaign_id: UUID | None = None) -> Select[Any]:
    query = select(allocation_round)
    return query if campaign_id is None else query.where(allocation_round.c.campaign_id == campaign_id)


async def get_round(work: Work, id: UUID) -> Round:
    return await _one(work, id, select_rounds().where(allocation_round.c.id == id))


async def lock_round(work: Work, id: UUID) -> Round:
    return await _one(work, id, select_rounds().where(allocation_round.c.id == id).with_for_update())


async def _one(work: Work, id: UUID, query: Select[Any]) -> Round:
    row = (await work.connection.execute(query)).first()
    if row is None:
        raise NotFound(f"There is no round {id} here; GET /rounds lists them.")
    return round_from(row)


async def find_round_under_way(work: Work, campaign_id: UUID) -> Round | None:
    under_way = allocation_round.c.state.in_([RoundState.ASKED, RoundState.COMPUTING])
    row = (await work.connection.execute(select_rounds(campaign_id).where(under_way))).first()
    return round_from(row) if row else None


async def find_waiting(work: Work) -> tuple[UUID, str] | None:
    """The round that waits longest, of whatever territory: its id and the territory's code."""
    row = (await work.connection.execute(select(round_waiting).order_by(round_waiting.c.round_id).limit(1))).first()
    return (row.round_id, row.code) if row else None


async def forget_waiting(work: Work, round_id: UUID) -> None:
    await work.connection.execute(delete(round_waiting).where(round_waiting.c.round_id == round_id))


async def note_progress(work: Work, round_id: UUID, *, attempt: int, progress: dict[str, Any]) -> bool:
    """Show how far it is; false where this attempt is not wanted any more (stopped, or computed by another)."""
    is_ours = (allocation_round.c.state == RoundState.COMPUTING) & (allocation_round.c.attempt == attempt)
    query = update(allocation_round).where(allocation_round.c.id == round_id, is_ours).values(progress=progress)
    done: int = (await work.connection.execute(query)).rowcount
    return done == 1


# ---- Choices --------------------------------------------------------------------------------------------------------


async def save_choice(work: Work, round_id: UUID, choice: Choice) -> None:
    await delete_choice(work, round_id, choice.need_id, choice.offer_id)
    await work.connection.execute(
        insert(round_choice), {"territory": work.territory, "round_id": round_id, **asdict(choice), "kind": choice.kind}
    )


async def delete_choice(work: Work, round_id: UUID, need_id: UUID, offer_id: UUID) -> bool:
    c = round_choice.c
    query = delete(round_choice).where(c.round_id == round_id, c.need_id == need_id, c.offer_id == offer_id)
    done: int = (await work.connection.execute(query)).rowcount
    return done == 1


async def list_choices(work: Work, round_id: UUID) -> list[Choice]:
    c = round_choice.c
    rows = await work.connection.execute(
        select(round_choice).where(c.round_id == round_id).order_by(c.chosen_at, c.need_id, c.offer_id)
    )
    return [Choice(row.need_id, row.offer_id, ChoiceKind(row.kind), row.reason, row.chosen_by, row.chosen_at) for row in rows]

"""The two times that accounts and statements can be asked for."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query

from kernel.routing import InWork
from services.credits.domain.statements import AsOf, decide_as_of
from services.credits.schemas.fields import Instant
from services.credits.store.ledger import get_present

RecordedAt = Annotated[
    Instant | None, Query(description="As the ledger had it at this instant (with zone): what was recorded by then.")
]
EffectiveAt = Annotated[
    Instant | None, Query(description="As it was at this instant by today's knowledge: what took effect by then.")
]


async def as_of(work: InWork, id: UUID, as_recorded_at: RecordedAt = None, as_effective_at: EffectiveAt = None) -> AsOf | None:
    """`id`: the campaign."""
    now = work.now
    if as_recorded_at is not None and as_recorded_at > now:
        now = await get_present(work, id)
    return decide_as_of(recorded_at=as_recorded_at, effective_at=as_effective_at, now=now)


AtInstant = Annotated[AsOf | None, Depends(as_of)]

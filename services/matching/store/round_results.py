"""What a round gave, as rows that nobody changes: its inputs, its proposals, who stays unserved, what was released."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, and_, insert, select

from kernel.errors import NotFound
from kernel.work import Work
from services.matching.domain.missions import ScorePart
from services.matching.domain.rounds import RoundOutcome, RoundProposal, RoundUnserved
from services.matching.tables import need, offer, round_inputs, round_proposal, round_release, round_unserved


@dataclass(frozen=True)
class Released:
    """What became of a proposal: its mission, or why it was left out (a French sentence)."""

    proposal_id: UUID
    mission_id: UUID | None = None
    left_out: str | None = None


async def insert_outcome(work: Work, round_id: UUID, outcome: RoundOutcome) -> None:
    mine = {"territory": work.territory, "round_id": round_id}
    await work.connection.execute(insert(round_inputs), {**mine, "content": outcome.inputs})
    if outcome.proposals:
        rows = [
            mine | asdict(one) | {"reasons": list(one.reasons), "parts": list(map(asdict, one.parts))}
            for one in outcome.proposals
        ]
        await work.connection.execute(insert(round_proposal), rows)
    if outcome.unserved:
        await work.connection.execute(
            insert(round_unserved), [mine | asdict(one) | {"why": list(one.why)} for one in outcome.unserved]
        )


async def read_inputs(work: Work, round_id: UUID) -> bytes:
    """The compressed canonical bytes. Raises NotFound while there are none."""
    query = select(round_inputs.c.content).where(round_inputs.c.round_id == round_id)
    found: bytes | None = (await work.connection.execute(query)).scalar()
    if found is None:
        raise NotFound("This round has no inputs (yet): it keeps them once it is computed.")
    return found


async def has_inputs(work: Work, round_id: UUID) -> bool:
    found = await work.connection.execute(select(round_inputs.c.round_id).where(round_inputs.c.round_id == round_id))
    return found.first() is not None


def select_proposals(round_id: UUID) -> Select[Any]:
    """A round's proposals with the titles of today, and what became of them."""
    p = round_proposal.c
    return (
        select(
            round_proposal,
            need.c.title.label("need_title"),
            offer.c.title.label("offer_title"),
            offer.c.volunteer_id,
            round_release.c.mission_id,
            round_release.c.left_out,
        )
        .join(need, and_(need.c.territory == p.territory, need.c.id == p.need_id))
        .join(offer, and_(offer.c.territory == p.territory, offer.c.id == p.offer_id))
        .outerjoin(round_release, and_(round_release.c.territory == p.territory, round_release.c.proposal_id == p.id))
        .where(p.round_id == round_id)
    )


def select_unserved(round_id: UUID) -> Select[Any]:
    u = round_unserved.c
    return (
        select(round_unserved, need.c.title.label("need_title"), need.c.minutes)
        .join(need, and_(need.c.territory == u.territory, need.c.id == u.need_id))
        .where(u.round_id == round_id)
    )


async def list_rows(work: Work, query: Select[Any], *, by: ColumnElement[UUID]) -> Sequence[Row[Any]]:
    return list(await work.connection.execute(query.order_by(by)))


async def list_proposals(work: Work, round_id: UUID) -> list[RoundProposal]:
    query = select(round_proposal).where(round_proposal.c.round_id == round_id).order_by(round_proposal.c.id)
    return [proposal_from(row) for row in await work.connection.execute(query)]


def proposal_from(row: Row[Any]) -> RoundProposal:
    values = {name: getattr(row, name) for name in RoundProposal.__dataclass_fields__}
    return RoundProposal(**values | {"parts": tuple(ScorePart(**part) for part in row.parts), "reasons": tuple(row.reasons)})


async def list_unserved(work: Work, round_id: UUID) -> list[RoundUnserved]:
    query = select(round_unserved).where(round_unserved.c.round_id == round_id).order_by(round_unserved.c.id)
    names = tuple(RoundUnserved.__dataclass_fields__)
    rows = await work.connection.execute(query)
    return [RoundUnserved(**{name: getattr(row, name) for name in names} | {"why": tuple(row.why)}) for row in rows]


async def insert_released(work: Work, round_id: UUID, released: Sequence[Released]) -> None:
    mine = {"territory": work.territory, "round_id": round_id}
    if released:
        await work.connection.execute(insert(round_release), [mine | asdict(one) for one in released])

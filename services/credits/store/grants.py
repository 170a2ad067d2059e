"""Computed grants with their inputs, and what the officer signed of them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, func, select
from sqlalchemy.dialects.postgresql import insert

from kernel.ids import new_id
from kernel.work import Work
from services.credits.domain.campaigns import Campaign
from services.credits.domain.errors import NotFound
from services.credits.domain.grants import GrantComputation, GrantDecision, GrantLine, PanelSeat
from services.credits.tables import (
    actor,
    approval_request,
    grant_proposal,
    grant_proposal_line,
    grant_signature,
    lot,
    signed_grant,
    transfer,
)


async def add_proposal(work: Work, campaign_id: UUID, computed: GrantComputation) -> UUID:
    proposal_id = new_id()
    await work.connection.execute(
        insert(grant_proposal).values(
            territory=work.territory,
            id=proposal_id,
            campaign_id=campaign_id,
            step_minutes=computed.rules.step_minutes,
            compensation_permille=computed.rules.compensation_permille,
            hour_value_cents=computed.rules.hour_value_cents,
            pool_minutes=computed.pool_minutes,
            due_minutes=computed.due_minutes,
            computed_minutes=computed.computed_minutes,
            computed_by=work.caller.identity,
            computed_at=work.now,
        )
    )
    await work.connection.execute(
        insert(grant_proposal_line), [_line_columns(work, proposal_id, line) for line in computed.lines]
    )
    return proposal_id


def _line_columns(work: Work, proposal_id: UUID, line: GrantLine) -> dict[str, Any]:
    return {
        "territory": work.territory,
        "proposal_id": proposal_id,
        "association_id": line.seat.association_id,
        "subsidy_before_cents": line.seat.subsidy_before_cents,
        "subsidy_after_cents": line.seat.subsidy_after_cents,
        "already_granted_minutes": line.seat.already_granted_minutes,
        "exact_minutes": str(line.exact_minutes),
        "entitled_minutes": line.entitled_minutes,
        "due_minutes": line.due_minutes,
        "share_steps": str(line.share_steps),
        "extra_step": line.extra_step,
        "computed_minutes": line.computed_minutes,
    }


async def get_campaign_of(work: Work, proposal_id: UUID) -> UUID:
    query = select(grant_proposal.c.campaign_id).where(grant_proposal.c.id == proposal_id)
    found: UUID | None = (await work.connection.execute(query)).scalar_one_or_none()
    if found is None:
        raise NotFound(f"There is no proposal {proposal_id}; compute one with POST /campaigns/{{id}}/grant-proposals.")
    return found


async def get_proposal_row(work: Work, campaign_id: UUID, proposal_id: UUID) -> Row[Any]:
    query = select(grant_proposal).where(grant_proposal.c.id == proposal_id, grant_proposal.c.campaign_id == campaign_id)
    row = (await work.connection.execute(query)).first()
    if row is None:
        raise NotFound(
            f"There is no proposal {proposal_id} in this campaign; compute one with POST /campaigns/{{id}}/grant-proposals."
        )
    return row


async def get_computation(work: Work, campaign_id: UUID, proposal_id: UUID, *, campaign: Campaign) -> GrantComputation:
    """The computation as it was kept. Its rules are the campaign's: they are fixed from the opening on."""
    row = await get_proposal_row(work, campaign_id, proposal_id)
    rules = replace(
        campaign.facts.rules,
        step_minutes=row.step_minutes,
        compensation_permille=row.compensation_permille,
        hour_value_cents=row.hour_value_cents,
    )
    lines = await work.connection.execute(
        select(grant_proposal_line)
        .where(grant_proposal_line.c.proposal_id == proposal_id)
        .order_by(grant_proposal_line.c.association_id)
    )
    return GrantComputation(rules, row.pool_minutes, tuple(_line_of(line) for line in lines))


def _line_of(row: Row[Any]) -> GrantLine:
    return GrantLine(
        seat=PanelSeat(row.association_id, row.subsidy_before_cents, row.subsidy_after_cents, row.already_granted_minutes),
        exact_minutes=Fraction(row.exact_minutes),
        entitled_minutes=row.entitled_minutes,
        due_minutes=row.due_minutes,
        share_steps=Fraction(row.share_steps),
        extra_step=row.extra_step,
        computed_minutes=row.computed_minutes,
    )


async def is_signed(work: Work, proposal_id: UUID) -> bool:
    query = select(signed_grant.c.id).where(signed_grant.c.proposal_id == proposal_id).limit(1)
    return (await work.connection.execute(query)).first() is not None


async def add_signature(
    work: Work, *, campaign_id: UUID, proposal_id: UUID, minutes: int, digest: str, approval_id: UUID | None
) -> None:
    """Who signed what, when, and under which computation. One for each proposal; it comes before the grants are posted."""
    await work.connection.execute(
        insert(grant_signature).values(
            territory=work.territory,
            proposal_id=proposal_id,
            campaign_id=campaign_id,
            minutes=minutes,
            computation_digest=digest,
            approval_id=approval_id,
            signed_by=work.caller.identity,
            signed_at=work.now,
        )
    )


async def find_signature(work: Work, proposal_id: UUID) -> Row[Any] | None:
    """With who proposed it, where two persons signed. None also for grants signed before signatures were kept."""
    query = (
        select(grant_signature, approval_request.c.proposed_by)
        .select_from(grant_signature)
        .outerjoin(approval_request, approval_request.c.id == grant_signature.c.approval_id)
        .where(grant_signature.c.proposal_id == proposal_id)
    )
    return (await work.connection.execute(query)).first()


async def get_signed_at(work: Work, proposal_id: UUID) -> datetime:
    query = select(signed_grant.c.signed_at).where(signed_grant.c.proposal_id == proposal_id).limit(1)
    signed_at: datetime = (await work.connection.execute(query)).scalar_one()
    return signed_at


async def add_grants(
    work: Work, *, campaign_id: UUID, proposal_id: UUID, decisions: Sequence[GrantDecision]
) -> list[tuple[UUID, GrantDecision]]:
    """Keep what was signed; returns the id of each grant."""
    signed = [(new_id(), decision) for decision in decisions]
    rows = [
        {
            "territory": work.territory,
            "id": grant_id,
            "campaign_id": campaign_id,
            "proposal_id": proposal_id,
            "association_id": decision.association_id,
            "computed_minutes": decision.computed_minutes,
            "minutes": decision.minutes,
            "adjustment_reason": decision.adjustment_reason,
            "signed_by": work.caller.identity,
            "signed_at": work.now,
        }
        for grant_id, decision in signed
    ]
    await work.connection.execute(insert(signed_grant), rows)
    return signed


def select_grants(campaign_id: UUID) -> Select[Any]:
    posted, reversal = transfer.alias("posted"), transfer.alias("reversal")
    of_posted = select(reversal).where(reversal.c.reverses == posted.c.id).correlate(posted)
    last = of_posted.with_only_columns(reversal.c.id).order_by(reversal.c.id.desc()).limit(1)
    taken_back = of_posted.with_only_columns(func.coalesce(func.sum(reversal.c.minutes), 0))
    return (
        select(
            signed_grant,
            actor.c.name.label("association_name"),
            posted.c.id.label("transfer_id"),
            last.scalar_subquery().label("reversed_by"),
            taken_back.scalar_subquery().label("reversed_minutes"),
            lot.c.expires_at,
        )
        .select_from(signed_grant)
        .outerjoin(actor, actor.c.id == signed_grant.c.association_id)
        .outerjoin(posted, (posted.c.grant_id == signed_grant.c.id) & (posted.c.kind == "grant"))
        .outerjoin(
            lot,
            (lot.c.association_id == signed_grant.c.association_id)
            & (lot.c.campaign_id == signed_grant.c.campaign_id)
            & (lot.c.grant_id == signed_grant.c.id),
        )
        .where(signed_grant.c.campaign_id == campaign_id)
    )


async def list_grants(work: Work, proposal_id: UUID) -> Sequence[Row[Any]]:
    row = (await work.connection.execute(select(grant_proposal.c.campaign_id).where(grant_proposal.c.id == proposal_id))).one()
    query = select_grants(row.campaign_id).where(signed_grant.c.proposal_id == proposal_id).order_by(signed_grant.c.id)
    rows: Sequence[Row[Any]] = (await work.connection.execute(query)).all()
    return rows

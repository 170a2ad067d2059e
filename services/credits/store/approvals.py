"""What waits for a second person, what was decided, and what a person moved today."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, func, or_, select
from sqlalchemy.dialects.postgresql import insert

from kernel.work import Work
from services.credits.domain.approvals import (
    WITHDRAWN_ALONE,
    ApprovalKind,
    ApprovalRequest,
    ApprovalState,
    Decision,
    DecisionOutcome,
    decode_operation,
    encode_operation,
)
from services.credits.domain.errors import NotFound
from services.credits.domain.ledger import AccountKind, TransferKind
from services.credits.tables import account, approval_decision, approval_request, grant_signature, pledge, transfer

# What a person moves by hand; all else follows from missions and rules.
BY_HAND = (TransferKind.GRANT, TransferKind.REVERSE, TransferKind.WITHDRAW, TransferKind.CARRY)


def select_requests(*, now: datetime, campaign_id: UUID | None = None, state: ApprovalState | None = None) -> Select[Any]:
    query = (
        select(
            approval_request,
            approval_decision.c.outcome,
            approval_decision.c.reason.label("decision_reason"),
            approval_decision.c.decided_by,
            approval_decision.c.decided_at,
        )
        .select_from(approval_request)
        .outerjoin(approval_decision, approval_decision.c.request_id == approval_request.c.id)
    )
    if campaign_id is not None:
        query = query.where(approval_request.c.campaign_id == campaign_id)
    if state in {ApprovalState.OPEN, ApprovalState.EXPIRED}:
        is_past = approval_request.c.expires_at <= now
        query = query.where(approval_decision.c.outcome.is_(None), is_past if state is ApprovalState.EXPIRED else ~is_past)
    elif state is not None:
        query = query.where(approval_decision.c.outcome == state)
    return query


def request_of(row: Row[Any]) -> ApprovalRequest:
    decision = None
    if row.outcome is not None:
        decision = Decision(DecisionOutcome(row.outcome), row.decision_reason, row.decided_by, row.decided_at)
    return ApprovalRequest(
        id=row.id,
        campaign_id=row.campaign_id,
        operation=decode_operation(row.kind, row.payload),
        digest=row.digest,
        minutes=row.minutes,
        reason=row.reason,
        proposed_by=row.proposed_by,
        proposed_at=row.proposed_at,
        expires_at=row.expires_at,
        decision=decision,
    )


async def get_request(work: Work, request_id: UUID) -> ApprovalRequest:
    row = (await work.connection.execute(select_requests(now=work.now).where(approval_request.c.id == request_id))).first()
    if row is None:
        raise NotFound(f"There is no request {request_id} for approval; GET /approvals lists them.")
    return request_of(row)


async def lock_subject(work: Work, kind: ApprovalKind, subject_id: UUID) -> None:
    """Two proposals about one thing queue here until the transaction ends, so that one alone is kept."""
    await work.driver.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"metis:approval:{work.territory}:{kind}:{subject_id}"
    )


async def find_open_request(work: Work, kind: ApprovalKind, subject_id: UUID) -> ApprovalRequest | None:
    query = select_requests(now=work.now, state=ApprovalState.OPEN).where(
        approval_request.c.kind == kind, approval_request.c.subject_id == subject_id
    )
    row = (await work.connection.execute(query)).first()
    return request_of(row) if row else None


async def add_request(work: Work, request: ApprovalRequest) -> None:
    await work.connection.execute(
        insert(approval_request).values(
            territory=work.territory,
            id=request.id,
            campaign_id=request.campaign_id,
            kind=request.operation.kind,
            subject_id=request.operation.subject_id,
            payload=encode_operation(request.operation),
            digest=request.digest,
            minutes=request.minutes,
            reason=request.reason,
            proposed_by=request.proposed_by,
            proposed_at=request.proposed_at,
            expires_at=request.expires_at,
        )
    )


async def add_decision(work: Work, request_id: UUID, decision: Decision) -> bool:
    """Whether it was the first one. A second decider waits here until the first one's transaction ends."""
    statement = insert(approval_decision).values(
        territory=work.territory,
        request_id=request_id,
        outcome=decision.outcome,
        reason=decision.reason,
        decided_by=decision.decided_by,
        decided_at=decision.decided_at,
    )
    added = await work.connection.execute(statement.on_conflict_do_nothing().returning(approval_decision.c.request_id))
    return added.first() is not None


async def lock_person(work: Work) -> None:
    """What one person moves by hand happens one after the other: two requests at once cannot both find room."""
    await work.driver.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"metis:daily-limit:{work.territory}:{work.caller.identity}"
    )


async def sum_withdrawn_alone(work: Work, campaign_id: UUID, contributor_id: UUID) -> int:
    """What persons of the town took back in this contributor's name, each without a second one."""
    own = select(pledge.c.id).where(pledge.c.campaign_id == campaign_id, pledge.c.contributor_id == contributor_id)
    query = select(func.coalesce(func.sum(transfer.c.minutes), 0)).where(
        transfer.c.campaign_id == campaign_id,
        transfer.c.kind == TransferKind.WITHDRAW,
        transfer.c.pledge_id.in_(own),
        transfer.c.idempotency_key.startswith(f"{WITHDRAWN_ALONE}:"),
    )
    return int((await work.connection.execute(query)).scalar_one())


async def sum_signed_alone(work: Work, campaign_id: UUID) -> int:
    """What was granted in this campaign under signatures that nobody approved."""
    query = select(func.coalesce(func.sum(grant_signature.c.minutes), 0)).where(
        grant_signature.c.campaign_id == campaign_id, grant_signature.c.approval_id.is_(None)
    )
    return int((await work.connection.execute(query)).scalar_one())


async def sum_moved_minutes(work: Work, campaign_id: UUID, *, since: datetime) -> int:
    """What the caller moved by hand in this campaign. Exact under `lock_person`.

    A settlement's delivered side is its served one, told twice. Credit carried out of a campaign is its rule's doing, at
    its end; credit brought in is an officer's.
    """
    undone, drawn = transfer.alias("undone"), account.alias("drawn")
    # Looked up for the few rows that need it: a join might read the whole ledger.
    undone_kind = select(undone.c.kind).where(undone.c.id == transfer.c.reverses).correlate(transfer).scalar_subquery()
    drawn_kind = select(drawn.c.kind).where(drawn.c.id == transfer.c.from_account_id).correlate(transfer).scalar_subquery()
    query = select(func.coalesce(func.sum(transfer.c.minutes), 0)).where(
        transfer.c.campaign_id == campaign_id,
        transfer.c.who == work.caller.identity,
        transfer.c.kind.in_(BY_HAND),
        transfer.c.recorded_at >= since,
        or_(transfer.c.kind != TransferKind.REVERSE, undone_kind != TransferKind.DELIVER),
        or_(transfer.c.kind != TransferKind.CARRY, drawn_kind == AccountKind.CARRIED),
    )
    return int((await work.connection.execute(query)).scalar_one())

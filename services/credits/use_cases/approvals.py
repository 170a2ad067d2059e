"""Four eyes and daily limits: what an officer does by hand is weighed first, and above the threshold waits for another."""

from uuid import UUID

from kernel.clock import local_date
from kernel.events.credits import ApprovalDecided, ApprovalRequested
from kernel.ids import new_id
from kernel.work import Work
from services.credits.domain.approvals import (
    LIFETIME,
    ApprovalRequest,
    CarryInOfCredit,
    Decision,
    DecisionOutcome,
    Operation,
    ReversalOfTransfer,
    SigningOfGrants,
    Weight,
    WithdrawalForContributor,
    digest_operation,
    needs_second_person,
    require_person,
)
from services.credits.domain.errors import (
    AlreadyDecided,
    AlreadyReversed,
    AlreadySigned,
    ApprovalPending,
    NotReversible,
    RequestAltered,
    RequestStale,
)
from services.credits.domain.grants import decide_grants, digest_computation
from services.credits.domain.ledger import TransferKind
from services.credits.domain.lots import decide_last_day
from services.credits.domain.refusals import Attempt, Concerned, RefusalSubject
from services.credits.store import approvals as store
from services.credits.store import campaigns, grants, ledger
from services.credits.use_cases.expiries import carry_credit_in, list_left
from services.credits.use_cases.grants import sign_grants
from services.credits.use_cases.pledges import require_contributor, require_worth, withdraw_pledge
from services.credits.use_cases.refusals import keep_if_refused
from services.credits.use_cases.reversals import INSTEAD, reverse_transfer
from services.credits.use_cases.safeguards import require_allowance

# What a mission reserved, or what was served (and delivered) of it, is undone as one: by which transfers it is weighed.
UNDONE_TOGETHER = {
    TransferKind.RESERVE: TransferKind.RESERVE,
    TransferKind.SETTLE: TransferKind.SETTLE,
    TransferKind.DELIVER: TransferKind.SETTLE,
}


async def check_safeguards(work: Work, operation: Operation, *, reason: str) -> ApprovalRequest | None:
    """What a route asks before it moves minutes by hand.

    None: go on, in this transaction; the caller's daily limit is held until it ends. Else the request that now waits for
    a second person, and nothing is moved.
    """
    weight = await weigh(work, operation)
    campaign = await campaigns.get_campaign(work, weight.campaign_id)
    if needs_second_person(campaign.facts.safeguards, weight.judged_minutes):
        return await propose_operation(work, operation, reason=reason)
    await require_allowance(work, campaign, minutes=weight.minutes)
    return None


async def check_withdrawal(work: Work, pledge_id: UUID, *, minutes: int, reason: str) -> ApprovalRequest | None:
    """The same for taking back hours: what contributors take back themselves is their own, and no matter of four eyes."""
    pledge = await campaigns.get_pledge(work, pledge_id)
    require_contributor(work.caller, pledge.contributor_id)
    if not work.caller.is_town:
        return None
    return await check_safeguards(work, WithdrawalForContributor(pledge_id, minutes), reason=reason)


async def propose_operation(work: Work, operation: Operation, *, reason: str) -> ApprovalRequest:
    """Ask for a second person. Asking the same again while it waits gives the request that is there."""
    weight = await weigh(work, operation)
    person = require_person(work.caller.member_id)
    await _require_possible(work, operation)
    digest = digest_operation(operation, campaign_id=weight.campaign_id, basis=weight.basis)
    await store.lock_subject(work, operation.kind, operation.subject_id)
    waiting = await store.find_open_request(work, operation.kind, operation.subject_id)
    if waiting is not None:
        return _same(waiting, digest=digest, person=person)
    request = ApprovalRequest(
        id=new_id(),
        campaign_id=weight.campaign_id,
        operation=operation,
        digest=digest,
        minutes=weight.minutes,
        reason=reason,
        proposed_by=person,
        proposed_at=work.now,
        expires_at=work.now + LIFETIME,
    )
    await store.add_request(work, request)
    work.publish(
        ApprovalRequested(
            request_id=request.id,
            campaign_id=request.campaign_id,
            kind=operation.kind,
            minutes=request.minutes,
            reason=reason,
            proposed_by=person,
            expires_on=local_date(request.expires_at),
        ),
        subject=request.id,
    )
    return request


def _same(waiting: ApprovalRequest, *, digest: str, person: UUID) -> ApprovalRequest:
    if (waiting.digest, waiting.proposed_by) == (digest, person):
        return waiting
    raise ApprovalPending(
        f"Request {waiting.id} about it waits until {waiting.expires_at:%Y-%m-%d}: have it decided or withdrawn first.",
        request_id=str(waiting.id),
    )


async def decide_request(work: Work, request_id: UUID, *, outcome: DecisionOutcome, reason: str) -> ApprovalRequest:
    """Approve or decline what another proposed. An approval does it in this transaction, checked against the ledger anew:
    what the ledger refuses by now is refused, and the request stays open, for a fuller pool may cure it. Saying again what
    one decided changes nothing.
    """
    request = await store.get_request(work, request_id)
    if outcome is DecisionOutcome.APPROVED:
        subject = RefusalSubject(request.operation.kind)
        keep_if_refused(work, Attempt(subject, request.campaign_id, request.minutes))
    person = require_person(work.caller.member_id)
    request.require_decider(person)
    if request.is_said_again(outcome, person):
        return request
    await _add_decision(work, request, Decision(outcome, reason, person, request.decided_at(work.now)))
    if outcome is DecisionOutcome.APPROVED:
        await _run(work, request)
    return await store.get_request(work, request_id)


async def withdraw_request(work: Work, request_id: UUID, *, reason: str) -> ApprovalRequest:
    """Who proposed it takes it back."""
    person = require_person(work.caller.member_id)
    request = await store.get_request(work, request_id)
    request.require_proposer(person)
    if request.is_said_again(DecisionOutcome.WITHDRAWN, person):
        return request
    await _add_decision(work, request, Decision(DecisionOutcome.WITHDRAWN, reason, person, request.decided_at(work.now)))
    return await store.get_request(work, request_id)


async def _add_decision(work: Work, request: ApprovalRequest, decision: Decision) -> None:
    request.require_open(work.now)
    if not await store.add_decision(work, request.id, decision):
        raise AlreadyDecided("Somebody decided it at the same moment; read it again.")
    work.publish(
        ApprovalDecided(
            request_id=request.id,
            campaign_id=request.campaign_id,
            kind=request.operation.kind,
            minutes=request.minutes,
            outcome=decision.outcome,
            reason=decision.reason,
            proposed_by=request.proposed_by,
            decided_by=decision.decided_by,
        ),
        subject=request.id,
    )


async def _run(work: Work, request: ApprovalRequest) -> None:
    """The use case itself, which checks everything as if it were asked for now. The approver's day bears the minutes."""
    operation = request.operation
    weight = await weigh(work, operation)
    if digest_operation(operation, campaign_id=weight.campaign_id, basis=weight.basis) != request.digest:
        raise RequestAltered("Its digest does not fit what it asks for. Decline it, and have the database looked into.")
    if weight.minutes != request.minutes:
        raise RequestStale(
            f"It was proposed for {request.minutes} minutes and would move {weight.minutes} by now: decline it, and propose anew."
        )
    await require_allowance(work, await campaigns.get_campaign(work, weight.campaign_id), minutes=weight.minutes)
    match operation:
        case SigningOfGrants(proposal_id, adjustments, expires_on):
            await sign_grants(
                work,
                request.campaign_id,
                proposal_id=proposal_id,
                adjustments=adjustments,
                expires_on=expires_on,
                approval_id=request.id,
            )
        case ReversalOfTransfer(transfer_id, minutes):
            await reverse_transfer(work, transfer_id, reason=request.reason, minutes=minutes)
        case WithdrawalForContributor(pledge_id, minutes):
            await withdraw_pledge(work, pledge_id, minutes=minutes, reason=request.reason, approval_id=request.id)
        case CarryInOfCredit(campaign_id, from_campaign_id, expires_on):
            await carry_credit_in(work, campaign_id, from_campaign_id=from_campaign_id, expires_on=expires_on)


async def weigh(work: Work, operation: Operation) -> Weight:
    """As the ledger has it now. Whatever a rule says against it from here on is kept."""
    weight = await _weigh(work, operation)
    subject = RefusalSubject(operation.kind)
    keep_if_refused(work, Attempt(subject, weight.campaign_id, weight.minutes, weight.concerned))
    return weight


async def _weigh(work: Work, operation: Operation) -> Weight:
    match operation:
        case SigningOfGrants():
            return await _weigh_grants(work, operation)
        case ReversalOfTransfer():
            return await _weigh_reversal(work, operation)
        case WithdrawalForContributor():
            return await _weigh_withdrawal(work, operation)
        case CarryInOfCredit():
            return await _weigh_carry_in(work, operation)


async def _weigh_grants(work: Work, operation: SigningOfGrants) -> Weight:
    campaign_id = await grants.get_campaign_of(work, operation.proposal_id)
    campaign = await campaigns.get_campaign(work, campaign_id)
    computed = await grants.get_computation(work, campaign_id, operation.proposal_id, campaign=campaign)
    by_association = {line.seat.association_id: line.computed_minutes for line in computed.lines}
    decisions = decide_grants(by_association, operation.adjustments, step_minutes=computed.rules.step_minutes)
    minutes = sum(decision.minutes for decision in decisions)
    signed_minutes = await store.sum_signed_alone(work, campaign_id)
    digest = digest_computation(computed, campaign_id=campaign_id, proposal_id=operation.proposal_id)
    return Weight(campaign_id, minutes, signed_minutes + minutes, {"computation": digest})


async def _weigh_reversal(work: Work, operation: ReversalOfTransfer) -> Weight:
    """Of a mission, all its transfers of the kind are judged together: they are undone together, whatever their lots."""
    found = await ledger.get_transfer(work, operation.transfer_id)
    together = [found]
    if found.mission_id is not None and found.kind in UNDONE_TOGETHER:
        together = await ledger.list_of_mission(work, found.mission_id, UNDONE_TOGETHER[found.kind])
    minutes = operation.minutes or sum(one.reversible_minutes for one in together)
    already_minutes = sum(one.reversed_minutes for one in together)
    basis = {"kind": found.kind, "from": str(found.source), "to": str(found.target), "minutes": found.minutes}
    return Weight(found.campaign_id, minutes, already_minutes + minutes, basis, Concerned.by(found))


async def _weigh_withdrawal(work: Work, operation: WithdrawalForContributor) -> Weight:
    pledge = await campaigns.get_pledge(work, operation.pledge_id)
    basis = {"contributor_id": str(pledge.contributor_id), "ref": pledge.ref}
    taken_minutes = await store.sum_withdrawn_alone(work, pledge.campaign_id, pledge.contributor_id)
    concerned = Concerned(contributor_id=pledge.contributor_id)
    return Weight(pledge.campaign_id, operation.minutes, taken_minutes + operation.minutes, basis, concerned)


async def _weigh_carry_in(work: Work, operation: CarryInOfCredit) -> Weight:
    earlier = await campaigns.get_campaign(work, operation.from_campaign_id)
    minutes = sum((await list_left(work, earlier)).values())
    return Weight(operation.campaign_id, minutes, minutes, {})


async def _require_possible(work: Work, operation: Operation) -> None:
    """Nobody is asked about what is refused already; the rest is for the moment of the approval."""
    match operation:
        case SigningOfGrants(proposal_id, _, expires_on):
            campaign = await campaigns.get_campaign(work, await grants.get_campaign_of(work, proposal_id))
            campaign.require_spendable_on(local_date(work.now))
            decide_last_day(expires_on, campaign_ends_on=campaign.facts.ends_on, today=local_date(work.now))
            if await grants.is_signed(work, proposal_id):
                raise AlreadySigned("Read them at GET /campaigns/{id}/grants; a correction needs a new proposal or a reversal.")
        case ReversalOfTransfer(transfer_id):
            found = await ledger.get_transfer(work, transfer_id)
            if found.kind in INSTEAD:
                raise NotReversible(INSTEAD[found.kind])
            if found.reversible_minutes == 0:
                raise AlreadyReversed(f"Transfer {found.id} is undone already; read its `reversed_by`.")
        case WithdrawalForContributor(pledge_id, minutes):
            require_worth(await campaigns.get_pledge(work, pledge_id), minutes=minutes)
        case CarryInOfCredit(campaign_id, _, expires_on):
            campaign = await campaigns.get_campaign(work, campaign_id)
            campaign.require_spendable_on(local_date(work.now))
            decide_last_day(expires_on, campaign_ends_on=campaign.facts.ends_on, today=local_date(work.now))

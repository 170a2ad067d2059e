"""Contributors promise minutes to a campaign and take them back as far as nobody counts on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from kernel.auth import Caller, Role
from kernel.events.credits import HoursPledged, PledgeWithdrawn
from kernel.ids import new_ids
from kernel.work import Work
from services.credits.domain.approvals import WITHDRAWN_ALONE
from services.credits.domain.campaigns import Campaign, Outcome, Pledge, Promise
from services.credits.domain.errors import Forbidden, MetisError, PledgeCommitted, PledgeOfAnother, PledgeTooSmall
from services.credits.domain.ledger import AccountKey, AccountKind, Leg, TransferKind, make_leg
from services.credits.domain.refusals import Attempt, Concerned, RefusalSubject
from services.credits.domain.wording import hours_text
from services.credits.store import campaigns as store
from services.credits.store import ledger, missions, registry
from services.credits.use_cases.campaigns import require_fit
from services.credits.use_cases.combiner import Alone
from services.credits.use_cases.refusals import keep_if_refused
from services.credits.use_cases.safeguards import hold_allowance, require_withdrawal_alone


def may_contribute(caller: Caller, contributor_id: UUID) -> bool:
    """A company's representative acts for it; a citizen for themself; an employee does not act for the company."""
    for_company = Role.COMPANY in caller.roles and caller.actor_id == contributor_id
    return caller.is_town or caller.member_id == contributor_id or for_company


def require_contributor(caller: Caller, contributor_id: UUID) -> None:
    if not may_contribute(caller, contributor_id):
        raise Forbidden("You can only promise your own hours, or those of the company you represent.")


async def pledge_hours(
    work: Work, campaign_id: UUID, *, ref: str, contributor_id: UUID, minutes: int, note: str
) -> tuple[Pledge, Outcome]:
    """Make the pledge of this ref worth `minutes`: more adds a transfer, fewer withdraws as far as the pool holds it.

    Saying again what was last said changes nothing, not even after a withdrawal or the campaign's closure: a file may be
    imported twice.
    """
    require_contributor(work.caller, contributor_id)
    await hold_allowance(work, campaign_id)
    concerned = Concerned(contributor_id=contributor_id)
    keep_if_refused(work, Attempt(RefusalSubject.PLEDGE, campaign_id, minutes, concerned))
    [new] = await _add_promises(work, [(work, Promise(campaign_id, ref, contributor_id, minutes, note))])
    if new is not None:
        return new, Outcome.CREATED
    campaign = await store.use_campaign(work, campaign_id)
    if (same := await store.find_same_pledge(work, campaign_id, ref, contributor_id, minutes=minutes, note=note)) is not None:
        return same, Outcome.UNCHANGED
    campaign.require_not_closed()
    pledge = await store.lock_pledge_by_ref(work, campaign_id, ref)
    if pledge is None:
        await require_fit(work, contributor_id, part="a contributor")
        # Archived when it was tried, and no longer.
        return await pledge_hours(work, campaign_id, ref=ref, contributor_id=contributor_id, minutes=minutes, note=note)
    if pledge.contributor_id != contributor_id:
        raise PledgeOfAnother(f"Pledge {ref} is another contributor's; take another ref for this one.")
    if (pledge.stated_minutes, pledge.note) == (minutes, note):
        return pledge, Outcome.UNCHANGED  # somebody said it at the same moment
    pledge = await store.save_next_version(work, pledge, stated_minutes=minutes, note=note)
    if minutes > pledge.minutes:
        await require_fit(work, contributor_id, part="a contributor")
        await _add_minutes(work, pledge, minutes=minutes - pledge.minutes)
    elif minutes < pledge.minutes:
        _keep_withdrawal_if_refused(work, pledge, minutes=pledge.minutes - minutes)
        why = f"Promesse ramenée à {hours_text(minutes)}"
        await _take_back(work, campaign, pledge, minutes=pledge.minutes - minutes, reason=why, alone=work.caller.is_town)
    return await store.get_pledge(work, pledge.id), Outcome.CHANGED


Promised = tuple[Pledge, Outcome]


@dataclass(frozen=True)
class Answer:
    """How the pledge stands, what was made of it, and whose it is as far as the registry told it (of a citizen no name)."""

    pledge: Pledge
    outcome: Outcome
    contributor_name: str | None
    contributor_kind: str | None


async def answer_promises(work: Work, asked: Sequence[tuple[Work, Promise]]) -> list[Answer | MetisError | Alone]:
    """`decide_promises`, with the names that an answer bears."""
    decided = await decide_promises(work, asked)
    known = await registry.find_contributors(work, {one[0].contributor_id for one in decided if isinstance(one, tuple)})
    return [Answer(*one, *known.get(one[0].contributor_id, (None, None))) if isinstance(one, tuple) else one for one in decided]


async def answer_promise(work: Work, promise: Promise) -> Answer:
    """One in its caller's own transaction."""
    [answer] = await answer_promises(work, [(work, promise)])
    assert isinstance(answer, Answer)
    return answer


async def decide_promises(work: Work, asked: Sequence[tuple[Work, Promise]]) -> list[Promised | MetisError | Alone]:
    """New promises of many callers, in a few set-based statements. What is more than a new promise is decided alone."""
    if len(asked) == 1:
        ((view, promise),) = asked
        return [await _pledge_alone(view, promise)]
    mine = [number for number, (view, promise) in enumerate(asked) if may_contribute(view.caller, promise.contributor_id)]
    added = dict(zip(mine, await _add_promises(work, [asked[number] for number in mine]), strict=True)) if mine else {}
    new = {number: pledge for number, pledge in added.items() if pledge is not None}
    return [(new[number], Outcome.CREATED) if number in new else Alone() for number in range(len(asked))]


async def _add_promises(work: Work, asked: Sequence[tuple[Work, Promise]]) -> list[Pledge | None]:
    """Those that are new, of contributors and campaigns that can take them; None for what needs a closer look."""
    pledges = [
        Pledge(id, promise.campaign_id, promise.ref, promise.contributor_id, promise.minutes, promise.note, 1, promise.minutes)
        for id, (_, promise) in zip(new_ids(len(asked)), asked, strict=True)
    ]
    rows = [
        (pledge, ledger.author_of(view), view.encode(_pledged(pledge, minutes=pledge.minutes), subject=pledge.id))
        for pledge, (view, _) in zip(pledges, asked, strict=True)
    ]
    added = await store.post_promises(work, rows)
    return [pledge if pledge.id in added else None for pledge in pledges]


async def _pledge_alone(work: Work, promise: Promise) -> Promised:
    return await pledge_hours(
        work,
        promise.campaign_id,
        ref=promise.ref,
        contributor_id=promise.contributor_id,
        minutes=promise.minutes,
        note=promise.note,
    )


async def withdraw_pledge(work: Work, pledge_id: UUID, *, minutes: int, reason: str, approval_id: UUID | None = None) -> Pledge:
    found = await store.get_pledge(work, pledge_id)
    require_contributor(work.caller, found.contributor_id)
    _keep_withdrawal_if_refused(work, found, minutes=minutes)
    campaign = await store.use_campaign(work, found.campaign_id)
    campaign.require_not_closed()
    pledge = await store.lock_pledge(work, pledge_id)
    require_worth(pledge, minutes=minutes)
    pledge = await store.save_next_version(work, pledge, stated_minutes=pledge.stated_minutes, note=pledge.note)
    alone = work.caller.is_town and approval_id is None
    await _take_back(work, campaign, pledge, minutes=minutes, reason=reason, alone=alone)
    return await store.get_pledge(work, pledge_id)


def _keep_withdrawal_if_refused(work: Work, pledge: Pledge, *, minutes: int) -> None:
    concerned = Concerned(contributor_id=pledge.contributor_id)
    keep_if_refused(work, Attempt(RefusalSubject.WITHDRAWAL, pledge.campaign_id, minutes, concerned))


async def _add_minutes(work: Work, pledge: Pledge, *, minutes: int) -> None:
    await ledger.post(work, [_pledge_leg(pledge, minutes=minutes)])
    work.publish(_pledged(pledge, minutes=minutes), subject=pledge.id)


def _pledge_leg(pledge: Pledge, *, minutes: int) -> Leg:
    return make_leg(
        TransferKind.PLEDGE,
        campaign_id=pledge.campaign_id,
        holder_id=pledge.contributor_id,
        minutes=minutes,
        key=pledge.posting_key,
        why=pledge.posting_reason,
        pledge_id=pledge.id,
    )


def _pledged(pledge: Pledge, *, minutes: int) -> HoursPledged:
    return HoursPledged(
        campaign_id=pledge.campaign_id, pledge_id=pledge.id, contributor_id=pledge.contributor_id, minutes=minutes
    )


async def _take_back(work: Work, campaign: Campaign, pledge: Pledge, *, minutes: int, reason: str, alone: bool) -> None:
    """`alone`: one person of the town does it in the contributor's name. The key says so: such slices are added up."""
    await require_free_promise(work, pledge.campaign_id, pledge.contributor_id, minutes=minutes)
    if alone:
        await require_withdrawal_alone(work, campaign, pledge, minutes=minutes)
    leg = make_leg(
        TransferKind.WITHDRAW,
        campaign_id=pledge.campaign_id,
        holder_id=pledge.contributor_id,
        minutes=minutes,
        key=f"{WITHDRAWN_ALONE if alone else 'withdraw'}:{pledge.id}:{pledge.version}",
        why=reason,
        pledge_id=pledge.id,
    )
    await ledger.post(work, [leg])
    work.publish(
        PledgeWithdrawn(
            campaign_id=pledge.campaign_id,
            pledge_id=pledge.id,
            contributor_id=pledge.contributor_id,
            minutes=minutes,
            reason=reason,
        ),
        subject=pledge.id,
    )


def require_worth(pledge: Pledge, *, minutes: int) -> None:
    """Refuse to take more out of a pledge than it is worth, though the contributor's other pledges would cover it."""
    if minutes > pledge.minutes:
        raise PledgeTooSmall(
            f"The pledge is worth {pledge.minutes} minutes; take back that many at most.",
            minutes=pledge.minutes,
            missing_minutes=minutes - pledge.minutes,
        )


async def require_free_promise(work: Work, campaign_id: UUID, contributor_id: UUID, *, minutes: int) -> None:
    """Refuse to take back what missions already count on: their settlement would find no promise to deliver from.

    Locks the promise, and the pool with it: whoever takes back changes both.
    """
    promise = AccountKey.of(AccountKind.PROMISED, campaign_id=campaign_id, holder_id=contributor_id)
    pool = AccountKey.of(AccountKind.POOL, campaign_id=campaign_id, holder_id=campaign_id)
    promised_minutes = -(await ledger.lock_balances(work, [promise, pool]))[promise]
    pair = (campaign_id, contributor_id)
    committed_minutes = (await missions.sum_committed_minutes(work, [pair])).get(pair, 0)
    free_minutes = max(0, promised_minutes - committed_minutes)
    if minutes > free_minutes:
        raise PledgeCommitted(
            f"Of the {promised_minutes} minutes still promised, {committed_minutes} are set aside for missions; "
            f"take back {free_minutes} at most, or cancel a mission first.",
            account=str(promise),
            missing_minutes=minutes - free_minutes,
        )

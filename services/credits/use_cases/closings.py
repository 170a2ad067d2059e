"""Close a campaign step by step. Each step is one transaction: done with its effect, or not at all, and never twice.

Whoever runs a step that is done gets what it did; a step that failed half way left nothing and is run again; a step that
is blocked is kept with what it found, and run again once that is mended or accepted.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from kernel.clock import local_date
from kernel.events.credits import CampaignReportSigned
from kernel.work import Work
from services.credits.domain.campaigns import Campaign, CampaignState
from services.credits.domain.closing_errors import DigestDiffers, ReportSigned, StepTooEarly
from services.credits.domain.closing_plan import Plan, decide_plan, last_day_within_grace
from services.credits.domain.closings import Closing, Finding, Step, StepState, Try, list_in_the_way
from services.credits.domain.errors import CampaignNotOpen
from services.credits.domain.ledger import expiry_outcome
from services.credits.store import campaigns, holds, lots
from services.credits.store import closing_figures as figures_store
from services.credits.store import closings as store
from services.credits.use_cases.campaigns import close_campaign
from services.credits.use_cases.closing_checks import check_campaign, check_notices
from services.credits.use_cases.closing_reports import draw_up_report, read_figures
from services.credits.use_cases.expiries import expire_lots
from services.credits.use_cases.missions import release_overdue_holds_of

Outcome = tuple[Mapping[str, Any], Sequence[Finding]]


async def preview_closing(work: Work, campaign_id: UUID, *, grace_days: int) -> tuple[Campaign, Plan, list[Finding]]:
    """What closing would do now, and what stands in its way. PostgreSQL itself refuses any write in this transaction."""
    await store.read_only(work)
    campaign = await campaigns.get_campaign(work, campaign_id)
    _require_opened(campaign)
    position = await figures_store.get_position(work, campaign)
    ended_before = last_day_within_grace(local_date(work.now), grace_days=grace_days)
    plan = decide_plan(position, now=work.now, ended_before=ended_before)
    findings = await check_campaign(work, campaign, grace_days=grace_days) + await check_notices(work, campaign)
    return campaign, plan, findings


async def begin_closing(work: Work, campaign_id: UUID, *, reason: str) -> Closing:
    """Repeated, it changes nothing: the reason given first stays."""
    await store.lock_closing(work, campaign_id)
    _require_opened(await campaigns.get_campaign(work, campaign_id))
    await store.add_closing(work, campaign_id, reason=reason)
    return await store.get_closing(work, campaign_id)


def _require_opened(campaign: Campaign) -> None:
    if campaign.state is CampaignState.DRAFT:
        raise CampaignNotOpen(f"Campaign {campaign.ref} is a draft and has nothing to close; open it first.")


async def run_step(work: Work, campaign_id: UUID, step: Step, *, accept: Collection[str], grace_days: int) -> Closing:
    """Run one step, unless it is done. `accept`: warnings, by key or by code, that the caller takes upon themself."""
    await store.lock_closing(work, campaign_id)
    found = await store.get_closing(work, campaign_id)
    if found.is_done(step):
        return found
    found.require_next(step)
    if step is Step.SIGN:
        raise StepTooEarly("A signature names what it signs: POST /campaigns/{id}/closing/reports/0/signature.")
    run = _STEPS[step]
    figures, findings = await run(work, found, found.accepted | set(accept), grace_days)
    in_the_way = list_in_the_way(findings, accepted=found.accepted | set(accept))
    state = StepState.BLOCKED if in_the_way else StepState.DONE
    taken = () if in_the_way else _taken(findings, accept)
    await _keep(work, found, step, state, figures=figures, findings=findings, accepted=taken)
    return await store.get_closing(work, campaign_id)


def _taken(findings: Sequence[Finding], accept: Collection[str]) -> tuple[str, ...]:
    """The warnings that were met and accepted here, each by its own key: a code accepts what was shown, not what comes."""
    warned = [finding for finding in findings if finding.weight == "warning"]
    return tuple(sorted({finding.key for finding in warned if finding.key in accept or finding.code in accept}))


async def _keep(
    work: Work,
    found: Closing,
    step: Step,
    state: StepState,
    *,
    figures: Mapping[str, Any],
    findings: Sequence[Finding] = (),
    accepted: Sequence[str] = (),
) -> None:
    number = len(found.tries) + 1
    one = Try(number, step, state, figures, tuple(findings), tuple(accepted), work.caller.identity, work.now)
    await store.add_try(work, found.campaign_id, one)


# ---- The steps: each gives its figures and what it met; it has no effect when something stands in its way -------------


async def _check(work: Work, found: Closing, accepted: Collection[str], grace_days: int) -> Outcome:
    campaign = await campaigns.get_campaign(work, found.campaign_id)
    findings = await check_campaign(work, campaign, grace_days=grace_days)
    held = await figures_store.list_held(work, campaign.id)
    figures = {"missions_holding": len(held), "held_minutes": sum(hold.held_minutes for hold in held)}
    return figures, findings


async def _check_notices(work: Work, found: Closing, accepted: Collection[str], grace_days: int) -> Outcome:
    campaign = await campaigns.get_campaign(work, found.campaign_id)
    findings = await check_notices(work, campaign)
    return {"associations_without_notice": len(findings)}, findings


async def _expire(work: Work, found: Closing, accepted: Collection[str], grace_days: int) -> Outcome:
    """Close and expire. What came up since the first two steps stands in the way: here is the point of no return."""
    campaign = await campaigns.lock_campaign(work, found.campaign_id)
    findings: list[Finding] = []
    if campaign.state is CampaignState.OPEN:
        findings = await check_campaign(work, campaign, grace_days=grace_days) + await check_notices(work, campaign)
        if list_in_the_way(findings, accepted=accepted):
            return {}, findings
        await close_campaign(work, campaign.id, reason=found.reason)
    else:
        # Closed before, by the clock or by hand: book what may be left.
        await expire_lots(work, campaign, await lots.list_lots(work, campaign.id))
    totals = (await read_figures(work, campaign.id)).totals()
    figures = {name: totals[name] for name in ("expired_minutes", "carried_over_minutes", "held_minutes", "pool_minutes")}
    return figures | {"outcome": expiry_outcome(campaign.facts.rules.expiry)}, findings


async def _release(work: Work, found: Closing, accepted: Collection[str], grace_days: int) -> Outcome:
    """Give back the holds of missions over for longer than the grace; the others survive, and may need an addendum."""
    ended_before = last_day_within_grace(local_date(work.now), grace_days=grace_days)
    ours = [
        hold for hold in await holds.list_overdue_holds(work, ended_before=ended_before) if hold.campaign_id == found.campaign_id
    ]
    if ours:
        await release_overdue_holds_of(work, ours, ended_before=ended_before)
    surviving = await figures_store.list_held(work, found.campaign_id)
    return {
        "released_missions": len(ours),
        "released_minutes": sum(hold.held_minutes for hold in ours),
        "surviving_missions": len(surviving),
        "surviving_minutes": sum(hold.held_minutes for hold in surviving),
    }, []


async def _freeze(work: Work, found: Closing, accepted: Collection[str], grace_days: int) -> Outcome:
    """The campaign is locked for oneself: nobody moves its minutes while its figures are read and frozen."""
    campaign = await campaigns.lock_campaign(work, found.campaign_id)
    report, findings = await draw_up_report(work, campaign, found)
    if report is None:
        return {}, findings
    return {"number": report.number, "digest": report.text.digest, "statements": len(report.text.facts["statements"])}, []


_STEPS: dict[Step, Callable[[Work, Closing, Collection[str], int], Awaitable[Outcome]]] = {
    Step.CHECK: _check,
    Step.NOTICES: _check_notices,
    Step.EXPIRE: _expire,
    Step.RELEASE: _release,
    Step.FREEZE: _freeze,
}


# ---- The signature -------------------------------------------------------------------------------------------------


async def sign_report(work: Work, campaign_id: UUID, number: int, *, digest: str) -> None:
    """Sign the report (0) or an addendum by its digest. The same person's signature again changes nothing."""
    await store.lock_closing(work, campaign_id)
    found = await store.get_closing(work, campaign_id)
    report = await store.get_report(work, campaign_id, number)
    if report.text.digest != digest:
        raise DigestDiffers("Read the report again and sign the digest that stands in it.", digest=report.text.digest)
    if report.is_signed:
        if report.signed_by == work.caller.identity:
            return
        raise ReportSigned(f"It was signed by {report.signed_by}; what comes later goes into an addendum.")
    await store.add_signature(work, report)
    if not found.is_done(Step.SIGN):
        await _keep(work, found, Step.SIGN, StepState.DONE, figures={"number": number, "digest": digest})
    work.publish(CampaignReportSigned(campaign_id=campaign_id, number=number, digest=digest), subject=campaign_id)

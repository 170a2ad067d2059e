"""Write, open and close a campaign; admit associations to its panel."""

from uuid import UUID

from kernel.clock import local_date
from kernel.events.credits import AssociationAdmitted, CampaignClosed, CampaignOpened
from kernel.work import Work
from services.credits.domain.campaigns import Campaign, CampaignFacts, Outcome
from services.credits.domain.errors import ActorUnfit
from services.credits.domain.grants import PanelSeat
from services.credits.store import campaigns as store
from services.credits.store import lots, registry
from services.credits.use_cases.expiries import expire_lots


async def write_campaign(work: Work, *, ref: str, facts: CampaignFacts) -> tuple[Campaign, Outcome]:
    """Write a draft, or change it; what is written already changes nothing in any state."""
    if await store.add_campaign(work, ref=ref, facts=facts):
        await require_fit(work, facts.operator_id, part="the operator")
        await registry.remember_territory(work)
        return await store.lock_campaign_by_ref(work, ref), Outcome.CREATED
    campaign = await store.lock_campaign_by_ref(work, ref)
    if campaign.facts == facts:
        return campaign, Outcome.UNCHANGED
    campaign.require_draft()
    await require_fit(work, facts.operator_id, part="the operator")
    return await store.save_facts(work, campaign, facts), Outcome.CHANGED


async def open_campaign(work: Work, campaign_id: UUID) -> Campaign:
    campaign = await store.lock_campaign(work, campaign_id)
    campaign.require_openable(local_date(work.now))
    opened = await store.save_opened(work, campaign)
    work.publish(
        CampaignOpened(
            campaign_id=campaign.id,
            ref=campaign.ref,
            title=campaign.facts.title,
            starts_on=campaign.facts.starts_on,
            ends_on=campaign.facts.ends_on,
            operator_id=campaign.facts.operator_id,
            conventions_required=campaign.facts.rules.conventions_required,
        ),
        subject=campaign.id,
    )
    return opened


async def admit_association(work: Work, campaign_id: UUID, seat: PanelSeat) -> Outcome:
    """Put an association on the panel, or change its subsidies; grants already signed stay as they are.

    Saying again what is there changes nothing, in any state of the campaign: a file may be imported twice.
    """
    campaign = await store.use_campaign(work, campaign_id)
    if await store.has_seat(work, campaign_id, seat):
        return Outcome.UNCHANGED
    campaign.require_not_closed()
    await require_fit(work, seat.association_id, part="an association of the panel", kind="association")
    if not await store.add_seat(work, campaign_id, seat):
        return Outcome.CHANGED if await store.change_seat(work, campaign_id, seat) else Outcome.UNCHANGED
    work.publish(AssociationAdmitted(campaign_id=campaign_id, association_id=seat.association_id), subject=campaign_id)
    return Outcome.CREATED


async def close_campaign(work: Work, campaign_id: UUID, *, reason: str) -> Campaign:
    """Close it and expire unspent credit by its rule; holds of running missions survive."""
    campaign = await store.lock_campaign(work, campaign_id)
    campaign.require_open()
    closed = await store.save_closed(work, campaign, reason=reason)
    expired_minutes = await expire_lots(work, campaign, await lots.list_lots(work, campaign_id))
    work.publish(CampaignClosed(campaign_id=campaign_id, reason=reason, expired_minutes=expired_minutes), subject=campaign_id)
    return closed


async def require_fit(work: Work, actor_id: UUID, *, part: str, kind: str | None = None) -> None:
    """Refuse an actor known to be unfit; one not yet heard of may be on its way (the registry tells by events)."""
    actor = (await registry.find_actors(work, [actor_id])).get(actor_id)
    if actor is None:
        return
    if actor.archived:
        raise ActorUnfit(f"{actor.name} is archived and cannot be {part}; name another, or record it again in the registry.")
    if kind is not None and actor.kind != kind:
        raise ActorUnfit(f"{actor.name} is recorded as {actor.kind} and cannot be {part}; name an actor of kind {kind}.")

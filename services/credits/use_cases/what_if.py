"""Compare what the grants would be under other rules; reads, and writes nothing."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from kernel.work import Work
from services.credits.domain.errors import EmptyPanel
from services.credits.domain.ledger import AccountKind
from services.credits.domain.what_if import Outcome, Scenario, compare_scenarios
from services.credits.store import campaigns, ledger

OWN_RULES = "Règles de la campagne"


async def imagine_grants(work: Work, campaign_id: UUID, *, scenarios: Sequence[Scenario], afresh: bool) -> list[Outcome]:
    """`afresh`: as if nothing had been granted yet, all that was promised being in the pool. Also for a draft: that is
    when rules are still to be chosen.
    """
    campaign = await campaigns.get_campaign(work, campaign_id)
    seats = await campaigns.list_seats(work, campaign_id)
    if not seats:
        raise EmptyPanel("Put associations on the panel first: PUT /campaigns/{id}/panel/{association_id}.")
    balances = await ledger.sum_by_kind(work, campaign_id)
    pool_minutes = balances[AccountKind.POOL]
    if afresh:
        seats = [replace(seat, already_granted_minutes=0) for seat in seats]
        # Not the pool and the grants: what of these came back is in the pool already.
        pool_minutes = -(balances[AccountKind.PROMISED] + balances[AccountKind.DELIVERED])
    return compare_scenarios(
        seats, rules=campaign.facts.rules, pool_minutes=pool_minutes, scenarios=scenarios, own_name=OWN_RULES
    )

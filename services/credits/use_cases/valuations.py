"""A donor values the minutes it gave, corrects the valuation, and says whether the town may see it."""

from uuid import UUID

from kernel.events.credits import MissionValued
from kernel.work import Work
from services.credits.domain.campaigns import Outcome
from services.credits.domain.errors import BadInput, NotFound
from services.credits.domain.holds import Hold
from services.credits.domain.patronage import get_law
from services.credits.domain.valuations import Valuation, require_served
from services.credits.store import valuations as store
from services.credits.use_cases.conventions import lock_mission
from services.credits.use_cases.parties import require_speaker


async def value_mission(
    work: Work, mission_id: UUID, valuation: Valuation, *, share_with_town: bool, reason: str | None
) -> Outcome:
    """Write the donor's own figures; other figures are a new version, with its reason. The same changes nothing."""
    hold = await _lock_own_mission(work, mission_id)
    law = get_law(valuation.law_year)
    known = await store.find_latest_row(work, mission_id)
    if known is not None and store.valuation_of(known) == valuation:
        return Outcome.CHANGED if await _say_consent(work, mission_id, share_with_town=share_with_town) else Outcome.UNCHANGED
    if known is not None and reason is None:
        raise BadInput.at("/reason", f"a correction of version {known.version} needs its reason")
    require_served(valuation.minutes, served_minutes=await store.sum_served_minutes(work, mission_id))
    version = known.version + 1 if known is not None else 1
    await store.add_version(work, mission_id, valuation, version=version, law=law, reason=reason if known is not None else None)
    await _say_consent(work, mission_id, share_with_town=share_with_town)
    assert hold.contributor_id is not None
    work.publish(
        MissionValued(
            mission_id=mission_id,
            campaign_id=hold.campaign_id,
            association_id=hold.association_id,
            contributor_id=hold.contributor_id,
            version=version,
            minutes=valuation.minutes,
        ),
        subject=mission_id,
    )
    return Outcome.CREATED if known is None else Outcome.CHANGED


async def say_consent(work: Work, mission_id: UUID, *, share_with_town: bool) -> Outcome:
    """Let the town see the figures of a valuation, or no longer."""
    await _lock_own_mission(work, mission_id)
    if await store.find_latest_row(work, mission_id) is None:
        raise NotFound(f"There is no valuation of mission {mission_id} yet; write it with PUT /valuations/{mission_id}.")
    return Outcome.CHANGED if await _say_consent(work, mission_id, share_with_town=share_with_town) else Outcome.UNCHANGED


async def _say_consent(work: Work, mission_id: UUID, *, share_with_town: bool) -> bool:
    """Whether it says something new."""
    known = await store.find_consent_row(work, mission_id)
    if known is not None and known.share_with_town == share_with_town:
        return False
    version = known.version + 1 if known is not None else 1
    await store.add_consent(work, mission_id, version=version, share_with_town=share_with_town)
    return True


async def _lock_own_mission(work: Work, mission_id: UUID) -> Hold:
    hold = await lock_mission(work, mission_id)
    assert hold.contributor_id is not None
    require_speaker(work.caller, hold.contributor_id, deed="the donor values what it gave")
    return hold

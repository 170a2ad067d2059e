"""Draft a mission's convention, accept it, and ask for it before minutes are settled.

The mission's hold is locked first, as in the saga: an acceptance, a settlement and a cancellation of one mission queue.
"""

from collections.abc import Collection, Mapping
from uuid import UUID

from kernel.auth import Role
from kernel.clock import local_date
from kernel.events.credits import ConventionConcluded, ConventionDrafted
from kernel.work import Work
from services.credits.domain.campaigns import Campaign, Outcome
from services.credits.domain.conventions import (
    AskedTerms,
    Side,
    Signatory,
    ToldMission,
    Version,
    build_content,
    complete_terms,
    digest_of,
    refuse_without_convention,
    require_lawful_dates,
    require_timely,
)
from services.credits.domain.document_errors import ConventionOutdated
from services.credits.domain.errors import Forbidden, MissionUnknown, NotFound
from services.credits.domain.holds import Hold, Refusal
from services.credits.domain.parties import CONVENTION_NEEDS, TOWN_ID, require_party
from services.credits.store import campaigns, missions, parties
from services.credits.store import conventions as store
from services.credits.use_cases.parties import get_organisation, require_speaker, speaks_for


async def lock_mission(work: Work, mission_id: UUID) -> Hold:
    """The hold of an agreed mission, locked."""
    hold = (await missions.lock_holds(work, [mission_id])).get(mission_id)
    if hold is None or hold.contributor_id is None:
        raise NotFound(f"There is no agreed mission {mission_id} here; GET /campaigns/{{id}}/holds lists them.")
    return hold


async def draft_convention(work: Work, mission_id: UUID, asked: AskedTerms) -> tuple[Version, Outcome]:
    """Write the convention from what is known of mission and parties; a new version only when it says something else."""
    hold = await lock_mission(work, mission_id)
    assert hold.contributor_id is not None
    caller = work.caller
    if not (caller.is_town or speaks_for(caller, hold.association_id) or speaks_for(caller, hold.contributor_id)):
        raise Forbidden("A convention is written by one of its three sides.")
    require_timely(hold)
    told = await store.find_told_mission(work, mission_id)
    if told is None and asked.title is None:
        raise MissionUnknown(
            f"What mission {mission_id} is about has not been told here. Where another platform keeps it, say its `title`,"
            " `tasks`, `calendar` and `place`; else try again in a moment."
        )
    told = told or ToldMission("")
    versions = await store.list_versions(work, mission_id)
    newest = versions[-1] if versions else None
    terms = complete_terms(asked, told, newest=newest, today=local_date(work.now))
    require_lawful_dates(terms, hold)
    content = build_content(
        mission_title=asked.title or told.title,
        hold=hold,
        campaign=await campaigns.get_campaign(work, hold.campaign_id),
        terms=terms,
        sides=await _find_sides(work, hold),
        insee=work.territory,
    )
    digest = digest_of(content)
    if newest is not None and newest.digest == digest:
        return newest, Outcome.UNCHANGED
    number = len(versions) + 1
    await store.add_version(work, mission_id, version=number, content=content, digest=digest)
    work.publish(
        ConventionDrafted(
            mission_id=mission_id,
            campaign_id=hold.campaign_id,
            association_id=hold.association_id,
            contributor_id=hold.contributor_id,
            version=number,
        ),
        subject=mission_id,
    )
    drafted = (await store.list_versions(work, mission_id))[-1]
    return drafted, Outcome.CHANGED if versions else Outcome.CREATED


async def _find_sides(work: Work, hold: Hold) -> dict[Side, Signatory]:
    association = await get_organisation(work, hold.association_id, needs=CONVENTION_NEEDS)
    name = await parties.get_town_name(work)
    town = require_party(await parties.find_party(work, TOWN_ID), CONVENTION_NEEDS, actor_id=TOWN_ID, name=name)
    return {
        Side.ASSOCIATION: Signatory(association.id, association.name, association.party),
        Side.CONTRIBUTOR: await _find_contributor(work, hold),
        Side.TOWN: Signatory(TOWN_ID, name, town),
    }


async def _find_contributor(work: Work, hold: Hold) -> Signatory:
    assert hold.contributor_id is not None
    if await parties.is_member(work, hold.contributor_id):
        return Signatory(hold.contributor_id, None, None)
    company = await get_organisation(work, hold.contributor_id, needs=CONVENTION_NEEDS)
    return Signatory(company.id, company.name, company.party)


async def accept_convention(work: Work, mission_id: UUID, *, version: int, side: Side) -> Version:
    """One side accepts the newest version, for itself alone; the third acceptance concludes it. Repeating it changes nothing."""
    hold = await lock_mission(work, mission_id)
    assert hold.contributor_id is not None
    _require_side(work, hold, side)
    versions = await store.list_versions(work, mission_id)
    if not 1 <= version <= len(versions):
        raise NotFound(f"There is no version {version} of this convention; GET /conventions/{mission_id} lists them.")
    found = versions[version - 1]
    if side in {acceptance.side for acceptance in found.acceptances}:
        return found
    if version != len(versions):
        raise ConventionOutdated(f"Version {len(versions)} stands in the place of version {version}; read and accept that one.")
    require_timely(hold)
    await store.add_acceptance(work, mission_id, version=version, side=side)
    accepted = (await store.list_versions(work, mission_id))[version - 1]
    if accepted.is_concluded:
        work.publish(
            ConventionConcluded(
                mission_id=mission_id,
                campaign_id=hold.campaign_id,
                association_id=hold.association_id,
                contributor_id=hold.contributor_id,
                version=version,
            ),
            subject=mission_id,
        )
    return accepted


def _require_side(work: Work, hold: Hold, side: Side) -> None:
    if side is Side.TOWN:
        if Role.OFFICER not in work.caller.roles:
            raise Forbidden("Only an officer of the town accepts for the town.")
        return
    holder_id = hold.association_id if side is Side.ASSOCIATION else hold.contributor_id
    assert holder_id is not None
    require_speaker(work.caller, holder_id, deed=f"the {side} accepts for the {side}")


def find_settlement_obstacles(
    holds: Collection[Hold], campaigns: Mapping[UUID, Campaign], concluded: Collection[UUID]
) -> dict[UUID, Refusal]:
    """Of these missions, locked, those of which no minute may be settled: their campaign wants a convention first, and there
    is none."""
    asking = {campaign.id for campaign in campaigns.values() if campaign.facts.rules.conventions_required}
    asked = [hold.mission_id for hold in holds if hold.campaign_id in asking]
    return {mission_id: refuse_without_convention() for mission_id in asked if mission_id not in concluded}

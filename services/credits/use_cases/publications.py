"""Publish signed grants: kept as published; what changes later is published anew and replaces it."""

from uuid import UUID

from kernel.events.credits import GrantsPublished
from kernel.ids import new_id
from kernel.work import Work
from services.credits.domain.errors import AlreadyPublished, ProposalNotSigned
from services.credits.domain.grants import digest_computation
from services.credits.domain.publications import Publication, Signature, build_content, digest_content, says_the_same
from services.credits.store import campaigns, grants, registry
from services.credits.store import publications as store


async def publish_grants(work: Work, campaign_id: UUID, *, proposal_id: UUID, contact: str | None) -> Publication:
    """`contact`: whom an association writes to, for a person's answer."""
    campaign = await campaigns.lock_campaign(work, campaign_id)
    computed = await grants.get_computation(work, campaign_id, proposal_id, campaign=campaign)
    granted = await store.list_granted(work, proposal_id)
    if not granted:
        raise ProposalNotSigned("Sign it first: POST /campaigns/{id}/grants.")
    signature = await grants.find_signature(work, proposal_id)
    published = await store.list_publications(work, campaign_id)
    before = next((found for found in reversed(published) if found.proposal_id == proposal_id), None)
    town = await registry.get_territory_name(work)
    content = build_content(
        campaign,
        computed,
        granted,
        town=town,
        contact=contact or "la mairie",
        signature=Signature(
            signed_at=signature.signed_at if signature else await grants.get_signed_at(work, proposal_id),
            computation_digest=digest_computation(computed, campaign_id=campaign_id, proposal_id=proposal_id),
            by_two_persons=signature is not None and signature.approval_id is not None,
        ),
        number=len(published) + 1,
        replaces_number=before.number if before else None,
        published_at=work.now,
    )
    if before is not None and says_the_same(content, before.content):
        raise AlreadyPublished(f"Publication {before.number} says the same; publish again when something has changed.")
    publication = Publication(
        id=new_id(),
        campaign_id=campaign_id,
        proposal_id=proposal_id,
        number=len(published) + 1,
        replaces=before.id if before else None,
        content=content,
        digest=digest_content(content),
        published_by=work.caller.identity,
        published_at=work.now,
    )
    await store.add_publication(work, publication)
    work.publish(
        GrantsPublished(
            campaign_id=campaign_id, publication_id=publication.id, number=publication.number, digest=publication.digest
        ),
        subject=campaign_id,
    )
    return publication

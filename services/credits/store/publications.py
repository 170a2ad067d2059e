"""Published grants: what they are made of, and what was published."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, select
from sqlalchemy.dialects.postgresql import insert

from kernel.clock import LOCAL_ZONE
from kernel.work import Work
from services.credits.domain.errors import NotFound
from services.credits.domain.lots import last_day
from services.credits.domain.publications import GrantedTo, Publication
from services.credits.store.grants import list_grants
from services.credits.tables import grant_publication


async def list_granted(work: Work, proposal_id: UUID) -> list[GrantedTo]:
    """What was signed under a proposal, with what the ledger took back of it since."""
    return [_granted_to(row) for row in await list_grants(work, proposal_id)]


def _granted_to(row: Row[Any]) -> GrantedTo:
    name = row.association_name or str(row.association_id)
    expires_on = last_day(row.expires_at, zone=LOCAL_ZONE) if row.expires_at else None
    return GrantedTo(row.association_id, name, row.minutes, row.adjustment_reason, int(row.reversed_minutes), expires_on)


def select_publications(campaign_id: UUID) -> Select[Any]:
    return select(grant_publication).where(grant_publication.c.campaign_id == campaign_id)


def publication_of(row: Row[Any]) -> Publication:
    return Publication(
        id=row.id,
        campaign_id=row.campaign_id,
        proposal_id=row.proposal_id,
        number=row.number,
        replaces=row.replaces,
        content=row.content,
        digest=row.digest,
        published_by=row.published_by,
        published_at=row.published_at,
    )


async def list_publications(work: Work, campaign_id: UUID) -> Sequence[Publication]:
    """The oldest first."""
    rows = await work.connection.execute(select_publications(campaign_id).order_by(grant_publication.c.number))
    return [publication_of(row) for row in rows]


async def get_publication(work: Work, campaign_id: UUID, publication_id: UUID) -> Publication:
    row = (
        await work.connection.execute(select_publications(campaign_id).where(grant_publication.c.id == publication_id))
    ).first()
    if row is None:
        raise NotFound(f"There is no publication {publication_id}; GET /campaigns/{{id}}/grant-publications lists them.")
    return publication_of(row)


async def add_publication(work: Work, publication: Publication) -> None:
    await work.connection.execute(
        insert(grant_publication).values(
            territory=work.territory,
            id=publication.id,
            campaign_id=publication.campaign_id,
            proposal_id=publication.proposal_id,
            number=publication.number,
            replaces=publication.replaces,
            content=publication.content,
            digest=publication.digest,
            published_by=publication.published_by,
            published_at=publication.published_at,
        )
    )

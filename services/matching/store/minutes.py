"""What associations may still spend and contributors still give, as far as matching was told."""

from collections.abc import Collection
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Table, and_, case, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from kernel.statements import Prepared
from kernel.work import Work
from services.matching.domain.rounds import Means
from services.matching.domain.states import NEVER_SERVED, MissionState
from services.matching.tables import campaign, credit_told, listening, mission, mission_minutes, promise_told

_UUID7 = 7


def _add_to(table: Table) -> Prepared:
    first = insert(table)
    added = {"minutes": table.c.minutes + first.excluded.minutes}
    return Prepared(first.on_conflict_do_update(index_elements=list(table.primary_key), set_=added), columns=table.c.keys())


_ADD_CREDIT, _ADD_PROMISE = _add_to(credit_told), _add_to(promise_told)
_LISTENING_SINCE = Prepared(select(listening.c.since))


async def add_credit(work: Work, campaign_id: UUID, association_id: UUID, *, minutes: int) -> None:
    key = {"campaign_id": campaign_id, "association_id": association_id}
    await work.run(_ADD_CREDIT, territory=work.territory, minutes=minutes, **key)


async def add_promise(work: Work, campaign_id: UUID, contributor_id: UUID, *, minutes: int) -> None:
    key = {"campaign_id": campaign_id, "contributor_id": contributor_id}
    await work.run(_ADD_PROMISE, territory=work.territory, minutes=minutes, **key)


async def add_mission_minutes(
    work: Work,
    mission_id: UUID,
    *,
    campaign_id: UUID,
    association_id: UUID,
    contributor_id: UUID | None,
    direct: bool,
    minutes: int,
) -> None:
    """Events of one mission may be told in another order: who says `direct`, and who contributes, holds from then on."""
    named = {"campaign_id": campaign_id, "association_id": association_id, "contributor_id": contributor_id, "direct": direct}
    statement = insert(mission_minutes).values(territory=work.territory, mission_id=mission_id, minutes=minutes, **named)
    merged = {
        "minutes": mission_minutes.c.minutes + statement.excluded.minutes,
        "direct": or_(mission_minutes.c.direct, statement.excluded.direct),
        "contributor_id": func.coalesce(mission_minutes.c.contributor_id, statement.excluded.contributor_id),
    }
    await work.connection.execute(statement.on_conflict_do_update(index_elements=["territory", "mission_id"], set_=merged))


async def listening_since(work: Work) -> datetime:
    """Since when pledges and grants are listened to."""
    since: datetime = (await work.run(_LISTENING_SINCE)).scalar_one()
    return since


async def save_replayed(work: Work, campaign_id: UUID) -> None:
    query = update(campaign).where(campaign.c.id == campaign_id, ~campaign.c.minutes_replayed)
    await work.connection.execute(query.values(minutes_replayed=True))


async def measure_means(work: Work, campaign_id: UUID) -> Means:
    """What is left beside every mission that lives or was served, those that are only proposed among them."""
    if not await _is_known(work, campaign_id):
        return Means(known=False)
    credit = await _read_told(work, credit_told, "association_id", campaign_id)
    promise = await _read_told(work, promise_told, "contributor_id", campaign_id)
    for association_id, contributor_id, minutes in await _list_taken(work, campaign_id):
        credit[association_id] = credit.get(association_id, 0) - minutes
        if contributor_id is not None:
            promise[contributor_id] = promise.get(contributor_id, 0) - minutes
    return Means(True, credit, promise)


async def _is_known(work: Work, campaign_id: UUID) -> bool:
    """Its whole past was told: it was drafted since we listen (ids bear their time), or told again."""
    since = await listening_since(work)
    if campaign_id.version == _UUID7 and datetime.fromtimestamp((campaign_id.int >> 80) / 1000, UTC) >= since:
        return True
    replayed = await work.connection.execute(select(campaign.c.minutes_replayed).where(campaign.c.id == campaign_id))
    return bool(replayed.scalar())


async def _read_told(work: Work, table: Table, holder: str, campaign_id: UUID) -> dict[UUID, int]:
    query = select(table.c[holder], table.c.minutes).where(table.c.campaign_id == campaign_id)
    rows = await work.connection.execute(query)
    return {row[0]: row[1] for row in rows}


async def _list_taken(work: Work, campaign_id: UUID) -> Collection[tuple[UUID, UUID | None, int]]:
    """(association, contributor, minutes) of every mission that takes some: ours, and those that only the ledger knows."""
    m, told = mission.c, mission_minutes.c
    own = case((m.state == MissionState.CLOSED, m.served_minutes), else_=m.minutes)
    ours = (
        select(m.association_id, m.contributor_id, own + func.least(0, func.coalesce(told.minutes, 0)))
        .outerjoin(mission_minutes, and_(told.territory == m.territory, told.mission_id == m.id))
        .where(m.campaign_id == campaign_id, m.state.not_in(NEVER_SERVED))
    )
    theirs = select(told.association_id, told.contributor_id, told.minutes).where(told.campaign_id == campaign_id, told.direct)
    rows = [*(await work.connection.execute(ours)), *(await work.connection.execute(theirs))]
    return [(row[0], row[1], max(0, row[2])) for row in rows]

"""What was refused, and why. Those of missions are written with their holds (store/missions.py)."""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, insert, select

from kernel.ids import new_id
from kernel.work import Work
from services.credits.domain.refusals import Attempt
from services.credits.tables import actor, mission, refusal


async def add_refusal(
    work: Work, attempt: Attempt, *, code: str, reason: str, missing_minutes: int, account: str | None, who: str
) -> None:
    await work.connection.execute(
        insert(refusal).values(
            territory=work.territory,
            id=new_id(),
            campaign_id=attempt.campaign_id,
            subject=attempt.subject,
            mission_id=attempt.concerned.mission_id,
            association_id=attempt.concerned.association_id,
            contributor_id=attempt.concerned.contributor_id,
            code=code,
            reason=reason,
            asked_minutes=attempt.asked_minutes,
            missing_minutes=missing_minutes,
            asked_by=who,
            recorded_at=work.now,
            account=account,
        )
    )


def select_refusals(campaign_id: UUID) -> Select[Any]:
    return (
        select(refusal, mission.c.title, actor.c.name.label("association_name"))
        .select_from(refusal)
        .outerjoin(mission, mission.c.id == refusal.c.mission_id)
        .outerjoin(actor, actor.c.id == refusal.c.association_id)
        .where(refusal.c.campaign_id == campaign_id)
    )

"""What the ledger tells about missions and expiries, once decided."""

from uuid import UUID

from kernel.events.credits import (
    CreditExpired,
    CreditReleased,
    CreditReserved,
    MissionSettled,
    ReservationRefused,
    SettlementRefused,
)
from kernel.work import Work
from services.credits.domain.holds import Hold, Refusal
from services.credits.domain.journal import Journal
from services.credits.domain.ledger import expiry_outcome


def tell_reserved(work: Work, hold: Hold, *, contributor_id: UUID) -> None:
    work.publish(
        CreditReserved(
            mission_id=hold.mission_id,
            campaign_id=hold.campaign_id,
            association_id=hold.association_id,
            contributor_id=contributor_id,
            minutes=hold.minutes,
            direct=work.message is None,
        ),
        subject=hold.mission_id,
    )


def tell_reservation_refused(work: Work, hold: Hold, refusal: Refusal) -> None:
    work.publish(
        ReservationRefused(
            mission_id=hold.mission_id,
            campaign_id=hold.campaign_id,
            association_id=hold.association_id,
            code=refusal.code,
            reason=refusal.reason,
            missing_minutes=refusal.missing_minutes,
            direct=work.message is None,
        ),
        subject=hold.mission_id,
    )


def tell_released(work: Work, hold: Hold, *, minutes: int, reason: str, overdue: bool = False) -> None:
    work.publish(
        CreditReleased(
            mission_id=hold.mission_id,
            campaign_id=hold.campaign_id,
            association_id=hold.association_id,
            minutes=minutes,
            reason=reason,
            overdue=overdue,
        ),
        subject=hold.mission_id,
    )


def tell_settled(work: Work, hold: Hold, *, released_minutes: int) -> None:
    assert hold.contributor_id is not None
    work.publish(
        MissionSettled(
            mission_id=hold.mission_id,
            campaign_id=hold.campaign_id,
            association_id=hold.association_id,
            contributor_id=hold.contributor_id,
            served_minutes=hold.served_minutes,
            released_minutes=released_minutes,
            direct=work.message is None,
        ),
        subject=hold.mission_id,
    )


def tell_settlement_refused(work: Work, hold: Hold, refusal: Refusal) -> None:
    work.publish(
        SettlementRefused(
            mission_id=hold.mission_id,
            campaign_id=hold.campaign_id,
            association_id=hold.association_id,
            code=refusal.code,
            reason=refusal.reason,
            direct=work.message is None,
        ),
        subject=hold.mission_id,
    )


def tell_expired(work: Work, journal: Journal, *, since: int = 0) -> None:
    """Tell what became of unspent credit that the journal expired, from the `since`-th on."""
    for expired in journal.expired[since:]:
        outcome = expiry_outcome(journal.campaigns[expired.campaign_id].facts.rules.expiry)
        work.publish(
            CreditExpired(
                campaign_id=expired.campaign_id, association_id=expired.association_id, minutes=expired.minutes, outcome=outcome
            ),
            subject=expired.campaign_id,
        )

"""What matching does on which event. Each is harmless when repeated, or told in another order across subjects.

Credit that was asked for directly, over HTTP, is of missions that another platform keeps.
"""

from kernel.bus.consumer import Handlers
from kernel.events.credits import (
    AssociationAdmitted,
    CampaignClosed,
    CampaignOpened,
    ConventionConcluded,
    CreditExpired,
    CreditGranted,
    CreditReleased,
    CreditReserved,
    HoursPledged,
    MissionSettled,
    PledgeWithdrawn,
    ReservationRefused,
    SettlementRefused,
    TransferReversed,
)
from kernel.events.registry import ActorRecorded, CommuneRecorded, MemberRecorded, TerritoryRecorded
from kernel.work import Work
from services.matching.domain.shared import Actor
from services.matching.use_cases import minutes, neighbours, saga

handlers = Handlers()


@handlers.on(TerritoryRecorded)
async def on_territory_recorded(work: Work, event: TerritoryRecorded) -> None:
    await neighbours.remember_territory(work, code=event.territory, name=event.name)


@handlers.on(CommuneRecorded)
async def on_commune_recorded(work: Work, event: CommuneRecorded) -> None:
    await neighbours.remember_commune(work, event.insee, name=event.name, latitude=event.latitude, longitude=event.longitude)


@handlers.on(ActorRecorded)
async def on_actor_recorded(work: Work, event: ActorRecorded) -> None:
    await neighbours.remember_actor(
        work,
        event.actor_id,
        Actor(event.version, event.kind, event.archived, event.name, tuple(event.fields_of_action)),
    )


@handlers.on(MemberRecorded)
async def on_member_recorded(work: Work, event: MemberRecorded) -> None:
    await neighbours.remember_member(
        work, event.member_id, version=event.version, actor_id=event.actor_id, archived=event.archived
    )


@handlers.on(CampaignOpened)
async def on_campaign_opened(work: Work, event: CampaignOpened) -> None:
    await neighbours.remember_campaign(
        work, event.campaign_id, title=event.title, conventions_required=event.conventions_required
    )


@handlers.on(AssociationAdmitted)
async def on_association_admitted(work: Work, event: AssociationAdmitted) -> None:
    await neighbours.remember_panel_place(work, event.campaign_id, association_id=event.association_id)


@handlers.on(CampaignClosed)
async def on_campaign_closed(work: Work, event: CampaignClosed) -> None:
    await saga.close_campaign(work, event.campaign_id, event.reason)


@handlers.on(ConventionConcluded)
async def on_convention_concluded(work: Work, event: ConventionConcluded) -> None:
    await neighbours.remember_convention(work, event.mission_id)


@handlers.on(CreditReserved)
async def on_credit_reserved(work: Work, event: CreditReserved) -> None:
    if event.direct:
        await minutes.count_direct(work, event, minutes=event.minutes)
    else:
        await saga.record_reservation(work, event.mission_id)


@handlers.on(ReservationRefused)
async def on_reservation_refused(work: Work, event: ReservationRefused) -> None:
    if not event.direct:
        await saga.record_refusal(work, event.mission_id, event.reason)


@handlers.on(MissionSettled)
async def on_mission_settled(work: Work, event: MissionSettled) -> None:
    if event.direct:
        await minutes.count_direct(work, event, minutes=-event.released_minutes)
    else:
        await saga.record_settlement(work, event.mission_id, served_minutes=event.served_minutes)


@handlers.on(SettlementRefused)
async def on_settlement_refused(work: Work, event: SettlementRefused) -> None:
    if not event.direct:
        await saga.record_settlement_refusal(work, event.mission_id, event.reason)


@handlers.on(CreditReleased)
async def on_credit_released(work: Work, event: CreditReleased) -> None:
    await minutes.count_given_back(work, event)


@handlers.on(CreditGranted)
async def on_credit_granted(work: Work, event: CreditGranted) -> None:
    await minutes.count_credit(work, event.campaign_id, event.association_id, minutes=event.minutes)


@handlers.on(CreditExpired)
async def on_credit_expired(work: Work, event: CreditExpired) -> None:
    await minutes.count_credit(work, event.campaign_id, event.association_id, minutes=-event.minutes)


@handlers.on(HoursPledged)
async def on_hours_pledged(work: Work, event: HoursPledged) -> None:
    await minutes.count_promise(work, event.campaign_id, event.contributor_id, minutes=event.minutes)


@handlers.on(PledgeWithdrawn)
async def on_pledge_withdrawn(work: Work, event: PledgeWithdrawn) -> None:
    await minutes.count_promise(work, event.campaign_id, event.contributor_id, minutes=-event.minutes)


@handlers.on(TransferReversed)
async def on_transfer_reversed(work: Work, event: TransferReversed) -> None:
    await minutes.count_reversal(work, event)

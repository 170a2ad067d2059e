"""What may still be spent and given, counted from the ledger's events in whatever order they come."""

import random
from datetime import timedelta
from typing import Any
from uuid import UUID

from kernel.auth import Caller
from kernel.bus.transport import Delivery
from kernel.clock import utc_now
from kernel.database import Database
from kernel.events.credits import (
    CreditExpired,
    CreditGranted,
    CreditReleased,
    CreditReserved,
    HoursPledged,
    MissionSettled,
    PledgeWithdrawn,
    TransferReversed,
)
from kernel.events.envelope import encode_event
from kernel.ids import new_id
from kernel.work import open_work
from services.matching.domain.rounds import Means
from services.matching.store.minutes import listening_since, measure_means
from tests.matching.conftest import MakeDuo, Town
from tests.matching.steps import make_settled, validate


async def measure(town: Town, database: Database, campaign_id: UUID | None = None) -> Means:
    async with open_work(database, Caller.system(town.territory)) as work:
        return await measure_means(work, campaign_id or town.campaign_id)


def make_events(town: Town, contributor_id: UUID, mission_id: UUID) -> list[Any]:
    """Granted 900 of which 100 expired and 60 were undone; promised 600 of which 50 were taken back and 30 undone; a mission
    that matching does not know reserved 240 and served 180 of them."""
    of = {"campaign_id": town.campaign_id}
    asso = {**of, "association_id": town.association_id}
    mission = {**asso, "mission_id": mission_id}
    undone = {"transfer_id": new_id(), "reversal_id": new_id(), "reason": "Erreur", **of}
    pledge = {**of, "pledge_id": new_id(), "contributor_id": contributor_id}
    return [
        CreditGranted(**asso, grant_id=new_id(), minutes=900, expires_on="2199-12-31"),
        CreditExpired(**asso, minutes=100, outcome="lapsed"),
        TransferReversed(**undone, minutes=60, kind="grant", holder_id=town.association_id),
        HoursPledged(**pledge, minutes=600),
        PledgeWithdrawn(**pledge, minutes=50, reason="Moins"),
        TransferReversed(**undone, minutes=30, kind="pledge", holder_id=contributor_id),
        TransferReversed(**undone, minutes=10, kind="settle", holder_id=town.association_id),
        TransferReversed(**{k: v for k, v in undone.items() if k != "campaign_id"}, minutes=7),
        CreditReserved(**mission, contributor_id=contributor_id, minutes=240, direct=True),
        MissionSettled(**mission, contributor_id=contributor_id, served_minutes=180, released_minutes=60, direct=True),
    ]


class TestMeasureMeans:
    async def test_sums_in_whatever_order(self, town: Town, database: Database) -> None:
        contributor_id, mission_id = new_id(), new_id()
        events = make_events(town, contributor_id, mission_id)
        random.Random(3).shuffle(events)
        await town.tell(*events)
        means = await measure(town, database)
        assert means.known
        assert means.credit_of(town.association_id) == 900 - 100 - 60 - 180
        assert means.promise_of(contributor_id) == 600 - 50 - 30 - 180
        assert (means.credit_of(new_id()), means.promise_of(new_id())) == (0, 0)

    async def test_what_is_given_back_of_a_direct_mission_may_be_spent_again(self, town: Town, database: Database) -> None:
        contributor_id, mission_id = new_id(), new_id()
        events = make_events(town, contributor_id, mission_id)
        back = CreditReleased(
            mission_id=mission_id, campaign_id=town.campaign_id, association_id=town.association_id, minutes=180, reason="Annulé"
        )
        await town.tell(back, *events)
        means = await measure(town, database)
        assert (means.credit_of(town.association_id), means.promise_of(contributor_id)) == (740, 520)

    async def test_own_missions_count_from_the_proposal_on_and_as_served_in_the_end(
        self, make_duo: MakeDuo, database: Database
    ) -> None:
        duo = await make_duo()
        town, contributor_id = duo.town, UUID(duo.mission["contributor_id"])
        await town.tell(
            CreditGranted(
                campaign_id=town.campaign_id, association_id=town.association_id, grant_id=new_id(), minutes=1000,
                expires_on="2199-12-31",
            ),
            HoursPledged(campaign_id=town.campaign_id, pledge_id=new_id(), contributor_id=contributor_id, minutes=1000),
        )  # fmt: skip
        assert (await measure(town, database)).credit_of(town.association_id) == 640
        await validate(duo)
        await town.tell(make_settled(duo, 300), subject=duo.mission["id"])
        means = await measure(town, database)
        assert (means.credit_of(town.association_id), means.promise_of(contributor_id)) == (700, 700)
        undone = CreditReleased(
            mission_id=duo.mission["id"], campaign_id=town.campaign_id, association_id=town.association_id, minutes=300,
            reason="Erreur",
        )  # fmt: skip
        await town.tell(undone, subject=duo.mission["id"])
        assert (await measure(town, database)).credit_of(town.association_id) == 1000

    async def test_a_mission_whose_hold_went_back_by_time_takes_nothing(self, make_duo: MakeDuo, database: Database) -> None:
        duo = await make_duo()
        town, contributor_id = duo.town, UUID(duo.mission["contributor_id"])
        await town.tell(
            CreditGranted(
                campaign_id=town.campaign_id, association_id=town.association_id, grant_id=new_id(), minutes=1000,
                expires_on="2199-12-31",
            ),
            HoursPledged(campaign_id=town.campaign_id, pledge_id=new_id(), contributor_id=contributor_id, minutes=1000),
        )  # fmt: skip
        back = CreditReleased(
            mission_id=duo.mission["id"], campaign_id=town.campaign_id, association_id=town.association_id, minutes=360,
            reason="Mission échue", overdue=True,
        )  # fmt: skip
        await town.tell(back, subject=duo.mission["id"])
        means = await measure(town, database)
        assert (means.credit_of(town.association_id), means.promise_of(contributor_id)) == (1000, 1000)

    async def test_a_campaign_of_before_is_unknown_until_its_past_is_told_again(self, town: Town, database: Database) -> None:
        async with open_work(database, Caller.system(town.territory)) as work:
            since = await listening_since(work)
            before = int((since - timedelta(days=30)).timestamp() * 1000)
            await work.driver.execute(
                "INSERT INTO campaign VALUES ($1, $2, 'Avant', true, false, false, false)",
                town.territory, old := UUID(int=before << 80 | 7 << 76 | 2 << 62 | 5),
            )  # fmt: skip
        assert old.version == 7
        assert (await measure(town, database, old)).credit_of(town.association_id) is None
        granted = CreditGranted(
            campaign_id=old, association_id=town.association_id, grant_id=new_id(), minutes=300, expires_on="2199-12-31"
        )
        await town.tell(granted)
        assert not (await measure(town, database, old)).known
        body = encode_event(
            granted, id=new_id(), source="/metis/credits", time=since - timedelta(days=20), subject="g", territory=town.territory,
            traceparent=None, actorid="system",
        )  # fmt: skip
        await town.deliver(Delivery(body, redelivered=False, tag=None))
        means = await measure(town, database, old)
        assert (means.known, means.credit_of(town.association_id)) == (True, 600)
        assert utc_now() > since

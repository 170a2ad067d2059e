"""Whatever the order of others' events across subjects, and whatever comes again: matching ends in the same state.

One campaign's events of registry and credits, the answers of the saga among them, with what people do in between. Events
of one subject keep their order, as the bus promises; what bears a version, a time or a sum does not even need that.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from kernel.auth import Caller
from kernel.bus.transport import Delivery
from kernel.database import Database
from kernel.events.credits import (
    AssociationAdmitted,
    CampaignClosed,
    CreditExpired,
    CreditGranted,
    CreditReleased,
    CreditReserved,
    HoursPledged,
    MissionSettled,
    PledgeWithdrawn,
    SettlementRefused,
    TransferReversed,
)
from kernel.events.envelope import Event
from kernel.events.matching import MissionClosed, MissionDisputed
from kernel.events.registry import CommuneRecorded, TerritoryRecorded
from kernel.ids import new_id
from kernel.work import open_work
from services.matching.store.minutes import measure_means
from tests.matching.conftest import (
    Duo,
    MakeDuo,
    Published,
    Town,
    ask,
    make_actor_recorded,
    make_campaign_opened,
    make_delivery,
    make_member_recorded,
)
from tests.matching.steps import REASON, make_refused, make_reserved, make_settled, make_sheet

# Each example plays some fifty transactions on a real database.
pytestmark = pytest.mark.timeout(300)

Act = Callable[[], Awaitable[None]]
Step = Delivery | Act
# How many steps each chain of `Story.chains` has; every order of them keeps the order within a chain.
LENGTHS = {"worked": 6, "refused": 1, "cancelled": 2} | {f"single-{number}": 1 for number in range(25)}
SLOTS = [name for name, length in LENGTHS.items() for _ in range(length)]


@dataclass
class Story:
    """A campaign of its own, with four missions: one that is worked on, one refused, one cancelled, one only proposed."""

    town: Town
    worked: Duo
    refused: Duo
    cancelled: Duo
    proposed: Duo
    actor_id: UUID
    member_id: UUID
    contributor_id: UUID
    direct_id: UUID
    insee: str

    def chains(self) -> dict[str, list[Step]]:
        worked, cancelled = self.worked, self.cancelled
        singles = [*self._neighbours(), *self._amounts(), *self._direct()]
        return {
            "worked": [
                self._tell(make_reserved(worked)), self._work, self._tell(self._settlement_refusal()), self._validate_again,
                self._tell(make_settled(worked, 300)), self._tell(self._released(worked.mission["id"], 300)),
            ],
            "refused": [self._tell(make_refused(self.refused))],
            "cancelled": [self._tell(make_reserved(cancelled)), self._tell(self._released(cancelled.mission["id"], 360))],
            **{f"single-{number}": [self._tell(event)] for number, event in enumerate(singles)},
        }  # fmt: skip

    def _tell(self, event: Event) -> Delivery:
        return make_delivery(event, self.town.territory, subject=getattr(event, "mission_id", "s"))

    def _neighbours(self) -> list[Event]:
        campaign_id = self.town.campaign_id
        return [
            *(make_actor_recorded(self.actor_id, version=version, archived=version == 3) for version in (1, 2, 3)),
            *(
                make_member_recorded(self.member_id, version=version, actor_id=self.actor_id if version == 3 else None)
                for version in (1, 2, 3)
            ),
            *(CommuneRecorded(insee=self.insee, name=name, latitude=48.7, longitude=2.2) for name in ("Hier", "Aujourd'hui")),
            *(TerritoryRecorded(territory=self.town.territory, name=name) for name in ("Ville d'hier", "Ville")),
            make_campaign_opened(campaign_id),
            AssociationAdmitted(campaign_id=campaign_id, association_id=self.actor_id),
            CampaignClosed(campaign_id=campaign_id, reason="Fin de l'année.", expired_minutes=100),
        ]

    def _amounts(self) -> list[Event]:
        """Granted 1200 of which 100 expired and 60 were undone; promised 600 of which 50 were taken back, 20 of these undone."""
        of = {"campaign_id": self.town.campaign_id}
        asso = {**of, "association_id": self.town.association_id}
        pledge = {**of, "pledge_id": new_id(), "contributor_id": self.contributor_id}
        undone = {**of, "transfer_id": new_id(), "reversal_id": new_id(), "reason": "Erreur"}
        return [
            *(CreditGranted(**asso, grant_id=new_id(), minutes=minutes, expires_on="2199-12-31") for minutes in (900, 300)),
            CreditExpired(**asso, minutes=100, outcome="lapsed"),
            TransferReversed(**undone, minutes=60, kind="grant", holder_id=self.town.association_id),
            HoursPledged(**pledge, minutes=600),
            PledgeWithdrawn(**pledge, minutes=50, reason="Moins"),
            TransferReversed(**undone, minutes=20, kind="withdraw", holder_id=self.contributor_id),
            TransferReversed(**undone, minutes=30, kind="pledge", holder_id=self.contributor_id),
            TransferReversed(**undone, minutes=10, kind="settle", holder_id=self.town.association_id),
        ]

    def _direct(self) -> list[Event]:
        """Of a mission that another platform keeps: 240 set aside, 180 served."""
        mission = {"mission_id": self.direct_id, "campaign_id": self.town.campaign_id, "association_id": self.town.association_id}
        given = {**mission, "contributor_id": self.contributor_id, "direct": True}
        return [
            CreditReserved(**given, minutes=240),
            MissionSettled(**given, served_minutes=180, released_minutes=60),
            CreditReleased(**mission, minutes=180, reason="Erreur"),
        ]

    def _settlement_refusal(self) -> SettlementRefused:
        return SettlementRefused(
            mission_id=self.worked.mission["id"], campaign_id=self.town.campaign_id, association_id=self.town.association_id,
            code="more-than-held", reason="Plus d'heures que réservé.",
        )  # fmt: skip

    def _released(self, mission_id: str, minutes: int) -> CreditReleased:
        return CreditReleased(
            mission_id=mission_id, campaign_id=self.town.campaign_id, association_id=self.town.association_id, minutes=minutes,
            reason="Erreur",
        )  # fmt: skip

    async def _work(self) -> None:
        path, volunteer = self.worked.path, self.worked.volunteer
        await ask(volunteer, f"{path}/start")
        await ask(volunteer, f"{path}/timesheets", make_sheet(300), status=201)
        await ask(volunteer, f"{path}/report")
        await ask(self.town.association, f"{path}/validation")

    async def _validate_again(self) -> None:
        await ask(self.town.association, f"{self.worked.path}/validation", {"reason": "Vu avec l'opérateur."})


async def begin(town: Town, make_duo: MakeDuo, *, insee: str) -> Story:
    """The missions as people have left them before credits has said anything."""
    town.campaign_id = new_id()
    await town.tell(make_campaign_opened(town.campaign_id))
    worked, refused, cancelled, proposed = [await make_duo() for _ in range(4)]
    for duo in (worked, refused, cancelled):
        await duo.agree()
    await ask(cancelled.volunteer, f"{cancelled.path}/cancellation", REASON)
    return Story(town, worked, refused, cancelled, proposed, new_id(), new_id(), new_id(), new_id(), insee)


async def play(story: Story, order: Sequence[str], again: Sequence[tuple[int, int]], cuts: frozenset[int]) -> None:
    """Take the chains' steps in this order; at `again`'s places hand over what was told before; cut batches at `cuts`."""
    chains = {name: iter(steps) for name, steps in story.chains().items()}
    told: list[Delivery] = []
    batch: list[Delivery] = []
    for place, name in enumerate(order):
        step = next(chains[name])
        if isinstance(step, Delivery):
            told.append(step)
            batch.append(step)
        batch += [told[number % len(told)] for where, number in again if where == place and told]
        if not isinstance(step, Delivery) or place in cuts:
            await story.town.deliver(*batch)
            batch = []
        if not isinstance(step, Delivery):
            await step()
    await story.town.deliver(*batch, *told[::-1])


async def read_known(story: Story, database: Database) -> dict[str, Any]:
    """What matching keeps of its neighbours and of their amounts."""
    campaign_id, one = story.town.campaign_id, {}
    queries = {
        "actor": ("SELECT version, archived FROM actor WHERE id = $1", story.actor_id),
        "member": ("SELECT version, actor_id, archived FROM member WHERE id = $1", story.member_id),
        "commune": ("SELECT name FROM commune WHERE insee = $1", story.insee),
        "town": ("SELECT name FROM territory WHERE code = $1", story.town.territory),
        "campaign": ("SELECT opened, closed FROM campaign WHERE id = $1", campaign_id),
        "panel": ("SELECT association_id FROM panel WHERE campaign_id = $1", campaign_id),
        "direct": ("SELECT minutes, direct, contributor_id FROM mission_minutes WHERE mission_id = $1", story.direct_id),
    }
    async with open_work(database, Caller.system(story.town.territory)) as work:
        for name, (query, key) in queries.items():
            (row,) = await work.driver.fetch(query, key)
            one[name] = tuple(row)
        means = await measure_means(work, campaign_id)
    return one | {"credit": means.credit_of(story.town.association_id), "promise": means.promise_of(story.contributor_id)}


async def read_missions(story: Story, published: Published) -> dict[str, Any]:
    """Each mission's steps and its need's state, and what was published of the one that was worked on."""
    missions: dict[str, Any] = {}
    for name in ("worked", "refused", "cancelled", "proposed"):
        duo: Duo = getattr(story, name)
        mission, need = await duo.read(), await duo.read_need()
        missions[name] = ([step["deed"] for step in mission["history"]], mission["state"], need["state"])
    subject = story.worked.mission["id"]
    told = [len(await published(event, subject=subject)) for event in (MissionDisputed, MissionClosed)]
    return missions | {"told": told}


def expect_known(story: Story) -> dict[str, Any]:
    return {
        "actor": (3, True),
        "member": (3, story.actor_id, False),
        "commune": ("Aujourd'hui",),
        "town": ("Ville",),
        "campaign": (True, True),
        "panel": (story.actor_id,),
        "direct": (0, True, story.contributor_id),
        "credit": 900 + 300 - 100 - 60,
        "promise": 600 - 50 + 20 - 30,
    }


AGREED = ["create", "accept", "accept", "agree"]
DISPUTED = ["reserve", "start", "report", "validate", "refuse_settlement", "validate_disputed", "close"]
EXPECTED = {
    "worked": ([*AGREED, *DISPUTED], "closed", "fulfilled"),
    "refused": ([*AGREED, "refuse"], "refused", "expired"),
    "cancelled": ([*AGREED, "cancel"], "cancelled", "expired"),
    "proposed": (["create", "cancel"], "cancelled", "expired"),
    "told": [1, 1],
}


class TestAnyOrder:
    @example(order=SLOTS, again=[], cuts=frozenset())
    @example(order=SLOTS[::-1], again=[], cuts=frozenset(range(len(SLOTS))))
    @settings(
        max_examples=12,
        deadline=None,
        # No shrinking: each try plays on a real database, and an order this short can be read as it is.
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(
        order=st.permutations(SLOTS),
        again=st.lists(st.tuples(st.integers(0, len(SLOTS) - 1), st.integers(0, len(SLOTS))), max_size=20),
        cuts=st.frozensets(st.integers(0, len(SLOTS) - 1)),
    )
    async def test_ends_in_the_same_state(
        self,
        town: Town,
        make_duo: MakeDuo,
        database: Database,
        published: Published,
        order: list[str],
        again: list[tuple[int, int]],
        cuts: frozenset[int],
    ) -> None:
        story = await begin(town, make_duo, insee=f"{new_id().int % 100_000:05d}")
        await play(story, order, again, cuts)
        assert await read_missions(story, published) == EXPECTED
        assert await read_known(story, database) == expect_known(story)

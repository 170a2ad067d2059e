"""Random campaigns on a real database: whatever people do, repeat or do out of order, the books hold."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kernel.errors import NotFound, Refused
from kernel.events.envelope import Event
from kernel.events.matching import MissionAgreed
from kernel.ids import new_id
from services.credits.domain.campaigns import ExpiryRule
from services.credits.domain.errors import MissionUnknown
from services.credits.domain.grants import PanelSeat
from services.credits.use_cases.campaigns import admit_association
from services.credits.use_cases.deadlines import release_overdue_holds
from services.credits.use_cases.pledges import withdraw_pledge
from services.credits.use_cases.reversals import reverse_transfer
from tests.builders.credits import IN_SPRING, Scene

# Each example plays dozens of transactions on a real database.
pytestmark = pytest.mark.timeout(300)
ASSOCIATIONS = CONTRIBUTORS = 3
# No shrinking: each try plays on a real database, and a sequence this short can be read as it is.
some = settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

which = st.integers(0, 2)
minutes = st.integers(1, 40).map(lambda quarters: quarters * 15)
operations = st.one_of(
    st.tuples(st.just("pledge"), which, minutes),
    st.tuples(st.just("withdraw"), st.integers(0, 9), minutes),
    st.tuples(st.just("grant"), which, minutes),
    st.tuples(st.just("agree"), which, which, minutes),
    st.tuples(st.just("agree"), which, which, minutes),
    st.tuples(st.just("cancel"), st.integers(0, 9)),
    st.tuples(st.just("cancel_first"), which, which, minutes),
    st.tuples(st.just("validate"), st.integers(0, 9), minutes),
    st.tuples(st.just("redeliver"), st.integers(0, 99)),
    st.tuples(st.just("reverse"), st.integers(0, 99)),
    st.tuples(st.just("close"), st.sampled_from(["officer", "officer and then the clock"])),
)


class Player:
    """Plays operations on one campaign; refusals are part of the game, surprises are not."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.contributors = [new_id() for _ in range(CONTRIBUTORS)]
        self.associations: list[UUID] = []
        self.entitled = [0] * ASSOCIATIONS
        self.missions: list[MissionAgreed] = []
        self.delivered: list[Event] = []
        self.refusals: Counter[str] = Counter()

    async def start(self, rule: ExpiryRule) -> "Player":
        self.scene.now = IN_SPRING
        await self.scene.start(expiry=rule)
        self.associations = [await self.scene.admit(entitled_minutes=0) for _ in range(ASSOCIATIONS)]
        for contributor in self.contributors:
            await self.scene.pledge(600, contributor_id=contributor)
        await self.grant(0, 900)
        await self.grant(1, 300)
        return self

    async def play(self, name: str, *arguments: Any) -> None:
        verb: Callable[..., Awaitable[None]] = getattr(self, name)
        try:
            await verb(*arguments)
        except (NotFound, Refused) as refusal:
            self.refusals[refusal.code] += 1

    async def deliver(self, event: Event) -> None:
        self.delivered.append(event)
        await self.scene.handle(event)

    async def pledge(self, who: int, amount: int) -> None:
        await self.scene.pledge(amount, contributor_id=self.contributors[who])

    async def withdraw(self, which: int, amount: int) -> None:
        rows = await self.scene.fetch("SELECT id FROM pledge WHERE campaign_id = $1 ORDER BY id", self.scene.campaign_id)
        async with self.scene.work() as work:
            await withdraw_pledge(work, rows[which % len(rows)]["id"], minutes=amount, reason="Retrait")

    async def grant(self, who: int, amount: int) -> None:
        await self.entitle(who, amount)
        await self.scene.sign()

    async def entitle(self, who: int, amount: int) -> None:
        self.entitled[who] += amount
        async with self.scene.work() as work:
            await admit_association(work, self.scene.campaign_id, PanelSeat(self.associations[who], self.entitled[who] * 100, 0))

    async def agree(self, association: int, contributor: int, amount: int) -> None:
        self.missions.append(self.scene.agreed(self.associations[association], self.contributors[contributor], amount))
        await self.deliver(self.missions[-1])

    async def cancel(self, which: int) -> None:
        if self.missions:
            await self.deliver(self.scene.cancelled(self.missions[which % len(self.missions)]))

    async def cancel_first(self, association: int, contributor: int, amount: int) -> None:
        agreed = self.scene.agreed(self.associations[association], self.contributors[contributor], amount)
        await self.deliver(self.scene.cancelled(agreed))
        await self.deliver(agreed)

    async def validate(self, which: int, amount: int) -> None:
        if self.missions:
            await self.deliver(self.scene.validated(self.missions[which % len(self.missions)], amount))

    async def redeliver(self, which: int) -> None:
        if self.delivered:
            before = await self.state()
            await self.scene.handle(self.delivered[which % len(self.delivered)])
            # A validation that came too early or asked for too much may be right by now; all else is settled for good.
            if not self.delivered[which % len(self.delivered)].event_type.startswith("matching.mission_validated"):
                assert await self.state() == before

    async def reverse(self, which: int) -> None:
        rows = await self.scene.fetch("SELECT id FROM transfer WHERE campaign_id = $1 ORDER BY id", self.scene.campaign_id)
        async with self.scene.work() as work:
            await reverse_transfer(work, rows[which % len(rows)]["id"], reason="Erreur de saisie")

    async def close(self, by: str) -> None:
        if by != "officer":
            self.scene.now = datetime(2026, 9, 1, tzinfo=UTC)
        await self.scene.close()
        async with self.scene.work() as work:
            await release_overdue_holds(work, grace_days=30)

    async def state(self) -> tuple[Any, ...]:
        """Everything that the ledger says of this campaign, by parts instead of by ids."""
        names = {one: f"association {i}" for i, one in enumerate(self.associations)}
        names |= {one: f"contributor {i}" for i, one in enumerate(self.contributors)}
        missions = {one.mission_id: i for i, one in enumerate(self.missions)}
        accounts = await self.scene.fetch("SELECT * FROM account WHERE campaign_id = $1", self.scene.campaign_id)
        holds = await self.scene.fetch("SELECT * FROM hold WHERE campaign_id = $1", self.scene.campaign_id)
        balances = Counter[tuple[str, str | None]]()
        for row in accounts:  # over all lots: which of them a mission draws on depends on the order
            balances[row["kind"], names.get(row["holder_id"])] += row["balance_minutes"]
        balances = Counter({name: minutes for name, minutes in balances.items() if minutes})
        # Cancelled before it was held, or released after: over, without effect.
        over = {"cancelled": "over", "released": "over"}
        states = sorted(
            (missions.get(row["mission_id"], -1), over.get(row["state"], row["state"]), row["served_minutes"]) for row in holds
        )
        return balances, states

    async def check(self) -> None:
        """The promises of DOMAIN.md, recomputed from the rows themselves."""
        books = await self.scene.books()
        assert books.sum_minutes == books.entries_sum_minutes == books.accounts_out_of_step == 0
        assert books.entries == 2 * books.transfers
        assert books.by_kind["served"] == -books.by_kind["delivered"]
        accounts = await self.scene.fetch("SELECT * FROM account WHERE campaign_id = $1", self.scene.campaign_id)
        for row in accounts:
            sign = -1 if row["kind"] in {"promised", "delivered"} else 1
            assert row["kind"] == "carried" or row["balance_minutes"] * sign >= 0, dict(row)
        held, committed = Counter[UUID](), Counter[UUID]()
        for row in await self.scene.fetch("SELECT * FROM hold WHERE campaign_id = $1 AND state = 'held'", self.scene.campaign_id):
            held[row["association_id"]] += row["minutes"] - row["served_minutes"]
            committed[row["contributor_id"]] += row["minutes"] - row["served_minutes"]
        balances = Counter[tuple[str, UUID]]()
        for row in accounts:
            balances[row["kind"], row["holder_id"]] += row["balance_minutes"]
        for association in self.associations:
            assert balances["held", association] == held[association]
        await self.check_parts()
        for contributor in self.contributors:
            assert -balances["promised", contributor] >= committed[contributor]

    async def check_parts(self) -> None:
        """Each lot's held account is the sum of what the holds draw from it, and each hold the sum of its parts."""
        torn = await self.scene.fetch(
            """
            SELECT account.lot_id FROM account WHERE campaign_id = $1 AND kind = 'held' AND balance_minutes <> (
              SELECT coalesce(sum(part.minutes - part.served_minutes - part.released_minutes), 0)
              FROM hold_part part WHERE part.lot_id = account.lot_id)
            UNION ALL
            SELECT mission_id FROM hold JOIN hold_part part USING (mission_id) WHERE campaign_id = $1
            GROUP BY mission_id, hold.minutes, hold.served_minutes, hold.state
            HAVING sum(part.minutes) <> hold.minutes OR sum(part.served_minutes) <> hold.served_minutes
              OR (sum(part.minutes - part.served_minutes - part.released_minutes) > 0) <> (hold.state = 'held')
            """,
            self.scene.campaign_id,
        )
        assert torn == []


class TestAnySequence:
    @some
    @given(rule=st.sampled_from(ExpiryRule), sequence=st.lists(operations, max_size=25), data=st.data())
    async def test_keeps_the_books(
        self, scene: Scene, rule: ExpiryRule, sequence: list[tuple[Any, ...]], data: st.DataObject
    ) -> None:
        player = await Player(scene).start(rule)
        for name, *arguments in sequence:
            await player.play(name, *arguments)
            await player.check()
        before = await player.state()
        settled_for_good = [event for event in player.delivered if "validated" not in event.event_type]
        for event in data.draw(st.permutations(settled_for_good), label="redelivered"):
            await scene.handle(event)
        assert await player.state() == before
        await player.check()


missions = st.lists(
    st.tuples(which, which, minutes, st.sampled_from(["agreed", "cancelled", "validated"]), st.integers(0, 40)),
    min_size=1,
    max_size=8,
)


class TestAnyOrder:
    """Enough credit for all: then the order among missions, and repetition, change nothing at the end."""

    @settings(some, max_examples=8)
    @given(plan=missions, data=st.data())
    async def test_ends_in_the_same_state(self, scene: Scene, plan: list[tuple[Any, ...]], data: st.DataObject) -> None:
        straight = await self.play(scene, plan, order=None)
        count = sum(1 if end == "agreed" else 2 for *_, end, _ in plan)
        repeated = [*range(count), *data.draw(st.lists(st.integers(0, count - 1), max_size=6), label="repeated")]
        shuffled = await self.play(scene, plan, order=data.draw(st.permutations(repeated), label="order"))
        assert shuffled == straight

    async def play(self, scene: Scene, plan: list[tuple[Any, ...]], *, order: Sequence[int] | None) -> tuple[Any, ...]:
        player = await Player(scene).start(ExpiryRule.RETURN)
        for i in range(3):
            await player.pledge(i, 6000)
            await player.entitle(i, 6000)
        await scene.sign()
        events: list[Event] = []
        for association, contributor, amount, end, served in plan:
            agreed = scene.agreed(player.associations[association], player.contributors[contributor], amount)
            player.missions.append(agreed)
            events.append(agreed)
            if end == "cancelled":
                events.append(scene.cancelled(agreed))
            elif end == "validated":
                events.append(scene.validated(agreed, min(served * 15, amount)))
        waiting = [events[i] for i in order] if order is not None else events
        while waiting:
            waiting = [event for event in waiting if not await self.handled(scene, event)]
        return await player.state()

    async def handled(self, scene: Scene, event: Event) -> bool:
        """False when it must be tried again, as the consumer would."""
        try:
            await scene.handle(event)
        except MissionUnknown:
            return False
        return True

"""Every operation of the ledger in any order, on a real database: after each step all promises are recomputed from raw rows."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from datetime import date, timedelta
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from kernel.clock import local_date
from kernel.database import Database
from kernel.errors import NotFound, Refused
from kernel.ids import new_id
from services.credits.domain.campaigns import ExpiryRule
from services.credits.domain.errors import BadInput, MetisError
from services.credits.domain.grants import PanelSeat
from services.credits.use_cases.campaigns import admit_association
from services.credits.use_cases.deadlines import (
    close_ended_campaign,
    list_ended_campaigns,
    release_overdue_holds,
    send_expiry_notices,
)
from services.credits.use_cases.missions import Answer, Command, Reservation
from services.credits.use_cases.pledges import withdraw_pledge
from tests.builders.credits import IN_SPRING, Scene
from tests.builders.lots import (
    carry_in,
    decide,
    grant_lot,
    list_transfers,
    release_of,
    reservation,
    reverse,
    settlement_of,
    sweep,
)
from tests.support.books import check_books, read_rows

# Each example plays dozens of transactions on a real database.
pytestmark = pytest.mark.timeout(300)
T = TypeVar("T")

_territories = itertools.count(90001)
who = st.integers(0, 2)
some = st.integers(0, 99)
quarters = st.integers(1, 24).map(lambda number: number * 15)
any_minutes = st.integers(0, 400)


class LedgerMachine(RuleBasedStateMachine):
    url: ClassVar[str]
    seen: ClassVar[Counter[str]] = (
        Counter()
    )  # what happened over all examples: a machine that is refused everything shows nothing

    missions = Bundle("missions")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.database = Database(self.url, service="credits", pool_size=2)
        self.scene = Scene(self.database, str(next(_territories)))
        self.campaigns: list[UUID] = []
        self.entitled: Counter[tuple[UUID, UUID]] = Counter()
        # What may be said again at any time without effect.
        self.said: list[Callable[[], Awaitable[Any]]] = []

    def teardown(self) -> None:
        self.run(self.database.close())
        self.loop.close()

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(step)

    def attempt(self, name: str, step: Coroutine[Any, Any, T]) -> T | None:
        """Refusals are part of the game, surprises are not."""
        try:
            result = self.run(step)
        except (NotFound, Refused, BadInput) as refusal:
            self.seen[f"{name}: {refusal.code}"] += 1
            return None
        self.seen[name] += 1
        return result

    # ---- Setting up ------------------------------------------------------------------------------------------------

    @initialize(expiry=st.sampled_from(ExpiryRule))
    def start(self, expiry: ExpiryRule) -> None:
        self.scene.now = IN_SPRING
        self.associations = [self.run(self.scene.record_actor()) for _ in range(3)]
        self.contributors = [new_id() for _ in range(3)]
        self.run(self.open(expiry, date(2026, 12, 31)))
        for contributor in self.contributors:
            self.run(self.scene.pledge(1200, contributor_id=contributor))
        for association in self.associations[:2]:
            self.run(grant_lot(self.scene, association, 300, expires_at=self.scene.now + timedelta(days=60)))

    async def open(self, expiry: ExpiryRule, ends_on: date) -> None:
        await self.scene.start(expiry=expiry, ends_on=ends_on)
        self.campaigns.append(self.scene.campaign_id)
        async with self.scene.work() as work:
            for association in self.associations:
                await admit_association(work, self.scene.campaign_id, PanelSeat(association, 0, 0))

    @precondition(lambda self: len(self.campaigns) < 3)
    @rule(expiry=st.sampled_from(ExpiryRule))
    def open_next(self, expiry: ExpiryRule) -> None:
        self.run(self.open(expiry, local_date(self.scene.now) + timedelta(days=300)))
        self.run(self.scene.pledge(600, contributor_id=self.contributors[0]))

    @precondition(lambda self: len(self.campaigns) > 1)
    @rule(which=some)
    def go_to(self, which: int) -> None:
        self.scene.campaign_id = self.campaigns[which % len(self.campaigns)]

    # ---- Pledges and grants ----------------------------------------------------------------------------------------

    @rule(which=who, minutes=quarters)
    def pledge(self, which: int, minutes: int) -> None:
        ref, here = str(new_id()), self.scene.campaign_id

        async def say() -> Any:
            return await self.scene.pledge(minutes, contributor_id=self.contributors[which], ref=ref)

        if self.attempt("pledge", say()) is not None:
            self.said.append(lambda: self.at(here, say))

    @rule(which=some, minutes=quarters)
    def withdraw(self, which: int, minutes: int) -> None:
        pledges = self.run(self.scene.fetch("SELECT id FROM pledge WHERE campaign_id = $1 ORDER BY id", self.scene.campaign_id))

        async def say() -> None:
            async with self.scene.work() as work:
                await withdraw_pledge(work, pledges[which % len(pledges)]["id"], minutes=minutes, reason="Retrait")

        if pledges:
            self.attempt("withdraw", say())

    @rule(which=who, minutes=quarters, days=st.integers(1, 200))
    def grant(self, which: int, minutes: int, days: int) -> None:
        expires_at = self.scene.now + timedelta(days=days)
        self.attempt("grant", grant_lot(self.scene, self.associations[which], minutes, expires_at=expires_at))

    @rule(which=who, minutes=quarters)
    def sign(self, which: int, minutes: int) -> None:
        association, here = self.associations[which], self.scene.campaign_id
        self.entitled[here, association] += minutes

        async def say() -> None:
            async with self.scene.work() as work:
                await admit_association(work, here, PanelSeat(association, self.entitled[here, association] * 100, 0))
            await self.scene.sign()

        self.attempt("sign", say())

    # ---- Missions --------------------------------------------------------------------------------------------------

    def play(self, *commands: Command) -> list[Answer | MetisError]:
        answers = self.attempt("batch", decide(self.scene, *commands))
        for command, answer in zip(commands, answers or [], strict=False):
            told = f"{type(command).__name__}"
            if isinstance(answer, MetisError):
                told += f": {answer.code}"
            elif answer.refusal is not None:
                told += f": {answer.refusal.code}"
            # A settlement that asked for too much may be right by now; all else is settled for good.
            if isinstance(answer, Answer) and (answer.refusal is None or isinstance(command, Reservation)):
                self.said.append(lambda command=command: decide(self.scene, command))  # type: ignore[misc]
            self.seen[told] += 1
        return answers or []

    @rule(target=missions, association=who, contributor=who, minutes=quarters)
    def reserve(self, association: int, contributor: int, minutes: int) -> Reservation:
        command = reservation(self.scene, self.associations[association], self.contributors[contributor], minutes)
        expected = self.run(self.expect_refusal(command))
        (answer,) = self.play(command)
        assert isinstance(answer, Answer)
        assert (answer.refusal.code if answer.refusal else None) == expected
        return command

    async def expect_refusal(self, command: Reservation) -> str | None:
        """What the raw rows say of a reservation."""
        fetch, now = self.scene.fetch, self.scene.now
        (campaign,) = await fetch("SELECT * FROM campaign WHERE id = $1", command.campaign_id)
        if campaign["state"] != "open" or local_date(now) > campaign["ends_on"]:
            return "campaign-not-open"
        rows = await read_rows(fetch, [command.campaign_id])
        live = {lot["id"] for lot in rows.lots if lot["expires_at"] > now}
        credit = sum(
            one["balance_minutes"]
            for one in rows.accounts
            if (one["kind"], one["holder_id"]) == ("credit", command.association_id) and one["lot_id"] in live
        )
        if credit < command.minutes:
            return "not-enough-credit"
        promised = sum(
            -one["balance_minutes"]
            for one in rows.accounts
            if (one["kind"], one["holder_id"]) == ("promised", command.contributor_id)
        )
        committed = sum(
            hold["minutes"] - hold["served_minutes"]
            for hold in rows.holds
            if (hold["contributor_id"], hold["state"]) == (command.contributor_id, "held")
        )
        return "pledge-exhausted" if promised - committed < command.minutes else None

    @rule(target=missions, plan=st.lists(st.tuples(who, who, quarters), min_size=2, max_size=4))
    def reserve_together(self, plan: list[tuple[int, int, int]]) -> Any:
        commands = [reservation(self.scene, self.associations[a], self.contributors[c], minutes) for a, c, minutes in plan]
        self.play(*commands)
        return multiple(*commands)

    @rule(mission=missions)
    def release(self, mission: Reservation) -> None:
        self.play(release_of(mission))

    @rule(association=who, contributor=who, minutes=quarters)
    def cancel_first(self, association: int, contributor: int, minutes: int) -> None:
        command = reservation(self.scene, self.associations[association], self.contributors[contributor], minutes)
        self.play(release_of(command))
        (answer,) = self.play(command)
        assert isinstance(answer, Answer)
        assert answer.hold is not None
        assert answer.hold.state == "cancelled"

    @rule(mission=missions, minutes=st.integers(0, 90), part=st.sampled_from("abc"))
    def settle_a_part(self, mission: Reservation, minutes: int, part: str) -> None:
        self.play(settlement_of(mission, minutes, part=part))

    @rule(mission=missions, minutes=any_minutes)
    def settle(self, mission: Reservation, minutes: int) -> None:
        self.play(settlement_of(mission, min(minutes, mission.minutes)))

    @rule(mission=missions, other=missions, minutes=quarters)
    def settle_and_release_together(self, mission: Reservation, other: Reservation, minutes: int) -> None:
        commands: list[Command] = [settlement_of(mission, minutes)]
        if other.mission_id != mission.mission_id:
            commands.append(release_of(other))
        self.play(*commands)

    # ---- Corrections, time and the end -----------------------------------------------------------------------------

    @rule(which=some, minutes=st.one_of(st.none(), st.integers(1, 200)))
    def undo(self, which: int, minutes: int | None) -> None:
        transfers = self.run(list_transfers(self.scene))
        if transfers:
            self.attempt("undo", reverse(self.scene, transfers[which % len(transfers)], minutes))

    @rule(hours=st.one_of(st.integers(1, 24 * 45), st.integers(-48, -1)))
    def let_time_pass(self, hours: int) -> None:
        self.scene.now += timedelta(hours=hours)

    @rule()
    def sweep(self) -> None:
        """As the clock's job does; a second time at the same instant finds nothing to do."""

        async def say() -> int:
            async with self.scene.work() as work:
                done = await send_expiry_notices(work)
            done += await sweep(self.scene)
            async with self.scene.work() as work:
                ended = await list_ended_campaigns(work)
            for campaign_id in ended:
                async with self.scene.work() as work:
                    await close_ended_campaign(work, campaign_id)
            async with self.scene.work() as work:
                return done + len(ended) + await release_overdue_holds(work, grace_days=30)

        self.attempt("sweep", say())
        assert self.run(say()) == 0

    @precondition(lambda self: len(self.said) > 12)
    @rule()
    def close(self) -> None:
        self.attempt("close", self.scene.close())

    @precondition(lambda self: len(self.campaigns) > 1)
    @rule(origin=some)
    def carry(self, origin: int) -> None:
        before = self.campaigns[origin % len(self.campaigns)]
        self.attempt("carry", carry_in(self.scene, into=self.scene.campaign_id, origin=before))

    # ---- Saying again ----------------------------------------------------------------------------------------------

    @precondition(lambda self: self.said)
    @rule(which=some)
    def replay(self, which: int) -> None:
        before = self.run(self.state())
        self.attempt("replay", self.again(self.said[which % len(self.said)]))
        assert self.run(self.state()) == before

    async def again(self, say: Callable[[], Awaitable[Any]]) -> Any:
        return await say()

    async def at(self, campaign_id: UUID, say: Callable[[], Awaitable[Any]]) -> Any:
        here, self.scene.campaign_id = self.scene.campaign_id, campaign_id
        try:
            return await say()
        finally:
            self.scene.campaign_id = here

    async def state(self) -> Any:
        """Every row, and how many events and refusals there are."""
        rows = await read_rows(self.scene.fetch)
        counts = await self.scene.fetch(
            "SELECT (SELECT count(*) FROM refusal) AS refusals, (SELECT max(sequence) FROM outbox) AS told"
        )
        return {name: sorted(map(tuple, value), key=str) for name, value in vars(rows).items()}, [tuple(row) for row in counts]

    @invariant()
    def keeps_the_books(self) -> None:
        if self.campaigns:
            self.run(check_books(self.scene.fetch))
            for campaign in self.campaigns[1:]:
                self.run(check_books(self.scene.fetch, [campaign]))


class TestAnyOperations:
    def test_keep_the_books(self, service_url: Callable[[str], str]) -> None:
        LedgerMachine.url = service_url("credits")
        LedgerMachine.seen.clear()
        run_state_machine_as_test(
            LedgerMachine,
            settings=settings(
                max_examples=20,
                stateful_step_count=40,
                deadline=None,
                # No shrinking: each try plays on a real database, and a sequence this short can be read as it is.
                phases=[Phase.explicit, Phase.reuse, Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
        done = {name for name in LedgerMachine.seen if ":" not in name}
        assert done >= {"pledge", "grant", "Reservation", "Release", "Settlement", "undo", "sweep", "replay"}, LedgerMachine.seen

"""What a machine that plays the ledger stands on, and its rules for what takes several persons or several steps.

The rules of single operations are in `tests/credits/test_machine.py`.
"""

import asyncio
import itertools
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, precondition, rule

from kernel.auth import Role
from kernel.clock import local_date
from kernel.database import Database
from kernel.errors import Forbidden, NotFound, Refused
from kernel.events.registry import TerritoryRecorded
from kernel.ids import new_id
from services.credits.auditing.auditor import audit
from services.credits.domain.approvals import (
    ApprovalKind,
    ApprovalRequest,
    CarryInOfCredit,
    DecisionOutcome,
    Operation,
    ReversalOfTransfer,
    SigningOfGrants,
    WithdrawalForContributor,
)
from services.credits.domain.campaigns import ExpiryRule
from services.credits.domain.closings import Step
from services.credits.domain.conventions import Side, ToldMission
from services.credits.domain.errors import BadInput
from services.credits.domain.grants import PanelSeat
from services.credits.domain.parties import TOWN_ID
from services.credits.store.registry import save_missions
from services.credits.use_cases.approvals import decide_request, propose_operation, withdraw_request
from services.credits.use_cases.campaigns import admit_association
from services.credits.use_cases.conventions import accept_convention, draft_convention
from services.credits.use_cases.grants import propose_grants
from tests.builders import closings
from tests.builders.bundles import verify_ledger
from tests.builders.credits import IN_SPRING, Scene
from tests.builders.documents import ask_terms, binding, make_party, write_papers
from tests.builders.lots import carry_in, list_transfers
from tests.builders.seals import make_sealer
from tests.support.books import check_books

T = TypeVar("T")
_territories = itertools.count(90001)
some = st.integers(0, 99)
# What was done in a campaign before it may be closed: little is done after it.
LONG_ENOUGH = 12
who = st.integers(0, 2)
outcomes, approval = st.sampled_from(DecisionOutcome), st.just(DecisionOutcome.APPROVED)
quarters = st.integers(1, 24).map(lambda number: number * 15)


class LedgerBase(RuleBasedStateMachine):
    """A territory of its own; what happened in it is counted over all examples."""

    url: ClassVar[str]
    # A machine that is refused everything shows nothing: refusals are counted apart, as `name: code`.
    seen: ClassVar[Counter[str]] = Counter()

    missions = Bundle("missions")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.database = Database(self.url, service="credits", pool_size=2)
        self.scene = Scene(self.database, str(next(_territories)))
        self.campaigns: list[UUID] = []
        # Requests for a second person, each with when it was made.
        self.requests: dict[UUID, datetime] = {}
        self.entitled: Counter[tuple[UUID, UUID]] = Counter()
        # What may be said again at any time without effect.
        self.said: list[Callable[[], Awaitable[Any]]] = []

    def teardown(self) -> None:
        if sys.exc_info()[0] is None:
            self.finish()
        self.run(self.database.close())
        self.loop.close()

    def finish(self) -> None:
        """What every example comes to, whatever it did before."""

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(step)

    def attempt(self, name: str, step: Coroutine[Any, Any, T]) -> T | None:
        """Refusals are part of the game, surprises are not."""
        try:
            result = self.run(step)
        except (NotFound, Refused, BadInput, Forbidden) as refusal:
            self.seen[f"{name}: {refusal.code}"] += 1
            return None
        self.seen[name] += 1
        return result

    # ---- Setting up ------------------------------------------------------------------------------------------------

    async def found(self) -> None:
        """A town, three associations and three companies, each with what conventions must say of it."""
        self.scene.now = IN_SPRING
        await self.scene.handle(TerritoryRecorded(territory=self.scene.territory, name="Sceaux"))
        self.associations = [await self.scene.record_actor() for _ in range(3)]
        self.contributors = [await self.scene.record_actor(kind="company", name="Pixelune") for _ in range(3)]
        await write_papers(
            self.scene, make_party(TOWN_ID), *[make_party(actor) for actor in self.associations + self.contributors]
        )
        self.second_officer = self.scene.make_officer()

    async def open(self, expiry: ExpiryRule, ends_on: date, *, conventions_required: bool) -> None:
        await self.scene.start(expiry=expiry, ends_on=ends_on, conventions_required=conventions_required)
        self.campaigns.append(self.scene.campaign_id)
        async with self.scene.work() as work:
            for association in self.associations:
                await admit_association(work, self.scene.campaign_id, PanelSeat(association, 0, 0))

    async def entitle(self, association: UUID, minutes: int) -> None:
        """So much more than what was granted it in this campaign."""
        here = self.scene.campaign_id
        self.entitled[here, association] += minutes
        async with self.scene.work() as work:
            await admit_association(work, here, PanelSeat(association, self.entitled[here, association] * 100, 0))

    async def list_holds(self) -> Sequence[Any]:
        return await self.scene.fetch("SELECT * FROM hold WHERE contributor_id IS NOT NULL ORDER BY mission_id")

    async def list_pledges(self) -> list[UUID]:
        rows = await self.scene.fetch("SELECT id FROM pledge WHERE campaign_id = $1 ORDER BY id", self.scene.campaign_id)
        return [row["id"] for row in rows]


class SeveralPersons(LedgerBase):
    """Conventions, approvals, and a campaign closed step by step."""

    def finish(self) -> None:
        """The first campaign is closed to the last step; what it carried over comes into another, which is closed at once."""
        if not self.campaigns:
            return
        self.scene.campaign_id = self.campaigns[0]
        self.close_steps(8)
        self.run(self.open(ExpiryRule.RETURN, local_date(self.scene.now) + timedelta(days=300), conventions_required=False))
        self.attempt("carry", carry_in(self.scene, into=self.scene.campaign_id, origin=self.campaigns[0]))
        self.attempt("close", self.scene.close())
        self.run(check_books(self.scene.fetch))
        self.run(self.prove())

    async def prove(self) -> None:
        """Whatever was played, the auditor recomputes the same, and what is sealed of it can be verified."""
        territory = self.scene.territory
        assert (await audit(self.url, territory)).differences == ()
        await make_sealer(block_rows=64).seal(self.database, territory)
        with TemporaryDirectory() as folder:
            assert (await verify_ledger(self.database, territory, Path(folder))).findings == []

    @rule(which=some, left_out=st.none() | st.sampled_from(Side), tasks=st.sampled_from(["Le site", "La paie"]))
    def agree_on_paper(self, which: int, left_out: Side | None, tasks: str) -> None:
        """About a mission that is held, if there is any, else about one that was."""
        holds = self.run(self.list_holds())
        asked = [hold for hold in holds if hold["state"] == "held"] or holds
        if asked:
            self.agree(asked[which % len(asked)], left_out, tasks)

    def agree(self, hold: Any, left_out: Side | None, tasks: str) -> None:
        mission_id = hold["mission_id"]

        async def draft() -> int:
            async with self.scene.work() as work:
                await save_missions(work, [(mission_id, ToldMission("Refonte"), new_id())])
                return (await draft_convention(work, mission_id, ask_terms(tasks=tasks)))[0].version

        version = self.attempt("draft", draft())
        callers = {
            Side.ASSOCIATION: binding(self.scene, hold["association_id"], Role.ASSOCIATION),
            Side.CONTRIBUTOR: binding(self.scene, hold["contributor_id"], Role.COMPANY),
            Side.TOWN: self.scene.officer,
        }
        for side in sorted(callers.keys() - {left_out}) if version else ():

            async def accept(side: Side = side, version: int = version or 0) -> bool:
                async with self.scene.work(callers[side]) as work:
                    return (await accept_convention(work, mission_id, version=version, side=side)).is_concluded

            concluded = self.attempt("accept", accept())
            if concluded:
                self.seen["conclude"] += 1
            if concluded is not None:
                self.said.append(accept)

    @rule(which=some, of=some, minutes=quarters, operation=st.sampled_from(ApprovalKind), then=st.none() | outcomes | approval)
    def propose(self, which: int, of: int, minutes: int, operation: ApprovalKind, then: DecisionOutcome | None) -> None:
        """To a second person, whatever the campaign's threshold; decided at once, or later."""

        async def say() -> UUID:
            asked = await self.make_operation(operation, which, of, minutes)
            async with self.scene.work() as work:
                return (await propose_operation(work, asked, reason="À vérifier à deux")).id

        request = self.attempt(f"propose {operation}", say())
        if request is not None:
            self.requests.setdefault(request, self.scene.now)
            if then is not None:
                self.say_decision(request, then)

    async def make_operation(self, operation: ApprovalKind, which: int, of: int, minutes: int) -> Operation:
        if operation is ApprovalKind.GRANTS:
            await self.entitle(self.associations[which % 3], minutes)
            async with self.scene.work() as work:
                return SigningOfGrants(await propose_grants(work, self.scene.campaign_id))
        if operation is ApprovalKind.REVERSAL:
            transfers = await list_transfers(self.scene)
            return ReversalOfTransfer(transfers[which % len(transfers)], minutes if of % 2 else None)
        if operation is ApprovalKind.WITHDRAWAL:
            pledges = await self.list_pledges()
            return WithdrawalForContributor(pledges[which % len(pledges)], minutes)
        return CarryInOfCredit(self.scene.campaign_id, self.campaigns[which % len(self.campaigns)])

    @precondition(lambda self: self.requests)
    @rule(which=some, outcome=outcomes)
    def decide(self, which: int, outcome: DecisionOutcome) -> None:
        """Rather what was proposed lately."""
        self.say_decision(list(self.requests)[-1 - which % min(3, len(self.requests))], outcome)

    def say_decision(self, request: UUID, outcome: DecisionOutcome) -> None:
        """What was decided stays so, whoever says it again."""

        async def say() -> ApprovalRequest:
            if self.scene.now < self.requests[request]:
                raise Refused("The clock went back: the database takes no decision from before the question.")
            if outcome is DecisionOutcome.WITHDRAWN:
                async with self.scene.work() as work:
                    return await withdraw_request(work, request, reason="À revoir")
            async with self.scene.work(self.second_officer) as work:
                return await decide_request(work, request, outcome=outcome, reason="Vu à deux")

        if self.attempt(outcome.value, say()) is not None:
            self.said.append(say)

    @precondition(lambda self: len(self.said) > LONG_ENOUGH)
    @rule(steps=st.integers(1, 8))
    def close_in_steps(self, steps: int) -> None:
        self.close_steps(steps)

    def close_steps(self, steps: int) -> None:
        """So many steps further, up to the signature and an addendum; each may be run again without effect."""
        here = self.scene.campaign_id

        async def step() -> str:
            found = await closings.begin(self.scene)
            following = found.next_step
            if following is None:
                await closings.add(self.scene)
                return "addendum"
            if following is Step.SIGN:
                await closings.sign(self.scene)
                return following
            found = await closings.run(self.scene, following, accept=closings.EVERY_WARNING)
            return following if found.is_done(following) else f"{following}: blocked"

        async def again(done: Step) -> None:
            await closings.run(self.scene, done)

        for _ in range(steps):
            done = self.attempt("close a step", step())
            if done is None:
                break
            self.seen[f"step {done}"] += 1
            if done in set(Step) - {Step.SIGN}:
                self.said.append(lambda done=Step(done): self.at(here, lambda: again(done)))  # type: ignore[misc]

    async def at(self, campaign_id: UUID, say: Callable[[], Awaitable[Any]]) -> Any:
        here, self.scene.campaign_id = self.scene.campaign_id, campaign_id
        try:
            return await say()
        finally:
            self.scene.campaign_id = here

    async def check_conventions(self) -> None:
        """Where they are required, nothing is settled of a mission whose three sides did not accept the same version."""
        settled_without = await self.scene.fetch(
            """
            SELECT transfer.mission_id FROM transfer JOIN campaign ON campaign.id = transfer.campaign_id
            WHERE transfer.kind = 'settle' AND campaign.conventions_required AND NOT EXISTS (
              SELECT FROM convention_acceptance accepted WHERE accepted.mission_id = transfer.mission_id
              GROUP BY accepted.version HAVING count(DISTINCT accepted.side) = 3)
            """
        )
        assert settled_without == []

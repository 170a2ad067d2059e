"""The server's clock is set back and forth (NTP, a standby that takes over): recorded times rise with versions all the same."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from kernel.auth import Role
from kernel.clock import utc_now
from kernel.database import Database
from services.credits.auditing.auditor import audit
from services.credits.domain.campaigns import ExpiryRule, Promise
from services.credits.domain.ledger import AccountKind
from services.credits.domain.statements import CONTRIBUTOR_ACCOUNTS, TOWN_ACCOUNTS, AsOf, Basis, Period, Scope
from services.credits.store.statements import get_statement, list_balances_at
from services.credits.use_cases.pledges import decide_promises
from tests.builders.bundles import verify_ledger
from tests.builders.credits import Scene
from tests.builders.lots import decide, reservation, settlement_of
from tests.builders.seals import make_sealer
from tests.credits.test_exports import get_beancount, load
from tests.credits.test_sequences import Player, operations, some
from tests.credits.test_statements import of_association, read, sums
from tests.support.clients import client_for, make_caller
from tests.support.clocks import ServerClock, server_clock
from tests.support.culprit import Culprit

HOUR = timedelta(hours=1)


@pytest.fixture
async def clock(owner_url: Callable[[str], str]) -> AsyncIterator[ServerClock]:
    async with server_clock(owner_url("credits")) as found:
        yield found


@pytest.fixture
async def officer(app: FastAPI, territory: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_for(app, make_caller(territory, Role.OFFICER)) as client:
        yield client


async def list_steps(scene: Scene) -> dict[UUID, list[tuple[int, datetime]]]:
    """By account, its versions in their order, each with its recorded time."""
    steps: dict[UUID, list[tuple[int, datetime]]] = defaultdict(list)
    for row in await scene.fetch("SELECT * FROM entry ORDER BY account_id, account_version"):
        steps[row["account_id"]].append((row["account_version"], row["recorded_at"]))
    return steps


async def check_times(scene: Scene) -> None:
    """They rise, and each account knows its last."""
    accounts = {row["id"]: row["moved_at"] for row in await scene.fetch("SELECT id, moved_at FROM account")}
    steps = await list_steps(scene)
    for account, of_account in steps.items():
        times = [at for _, at in of_account]
        assert all(earlier < later for earlier, later in pairwise(times)), times
        assert accounts[account] == times[-1]
    assert all(accounts[account] is None for account in accounts.keys() - steps.keys())


async def check_statements(scene: Scene, scopes: Sequence[Scope], *, limits: Sequence[int] = (1, 2, 1000)) -> None:
    """Whatever the page and wherever it is cut, a statement leads from nothing to what the accounts hold."""
    rows = await scene.fetch("SELECT recorded_at FROM transfer WHERE campaign_id = $1 ORDER BY 1", scene.campaign_id)
    for scope in scopes:
        balances = await sums(scene, scope.holder_id, scope.kinds)
        whole = await read(scene, scope)
        assert whole.closing == balances
        for limit in limits:
            assert (await read(scene, scope, limit=limit)) == whole
        for cut in {row["recorded_at"] for row in rows[:: max(1, len(rows) // 12)]}:
            before = await read(scene, scope, Period(until=cut), limit=limits[0])
            since = await read(scene, scope, Period(since=cut), limit=limits[0])
            assert before.closing == since.opening
            assert before.lines + since.lines == whole.lines
            assert since.closing == balances


async def check_instants(scene: Scene) -> None:
    """Looking where it would lie finds what counting finds, at every instant at which something was recorded and just before."""
    steps = await list_steps(scene)
    instants = {at for of_account in steps.values() for _, at in of_account}
    async with scene.work() as work:
        for at in instants | {at - timedelta(microseconds=1) for at in instants}:
            found = await list_balances_at(work, scene.campaign_id, list(steps), AsOf(Basis.RECORDED, at))
            counted = {account: sum(other <= at for _, other in of_account) for account, of_account in steps.items()}
            assert {account: version for account, (version, _) in found.items()} == counted


class TestStepBack:
    async def test_a_statement_closes_with_what_is_held(self, scene: Scene, clock: ServerClock) -> None:
        association, contributor = await scene.fund(credit=600)
        for minutes in (120, 240):
            await scene.agree(association, contributor, minutes)
        await clock.be_off_by(-HOUR)
        for _ in range(2):
            await scene.agree(association, contributor, 60)
        scope = of_association(scene, association)
        assert (await read(scene, scope)).closing[AccountKind.HELD] == 480
        # The day that it is now ends after all of it.
        then = await read(scene, scope, Period(until=utc_now() + timedelta(days=1)))
        assert (then.closing[AccountKind.CREDIT], then.closing[AccountKind.HELD]) == (120, 480)
        town, giver = Scope(scene.campaign_id, None, TOWN_ACCOUNTS), Scope(scene.campaign_id, contributor, CONTRIBUTOR_ACCOUNTS)
        await check_times(scene)
        await check_statements(scene, [scope, town, giver])
        await check_instants(scene)

    async def test_instants_are_found_whatever_the_pace(self, scene: Scene, clock: ServerClock) -> None:
        association, contributor = await scene.fund(credit=600)
        for power in range(0, 24, 2):
            await clock.be_off_by(timedelta(seconds=2**power))
            for _ in range(1 + power % 3):
                await scene.agree(association, contributor, 15)
        await check_times(scene)
        await check_instants(scene)

    async def test_times_go_on_by_the_clock_once_it_has_caught_up(self, scene: Scene, clock: ServerClock) -> None:
        association, contributor = await scene.fund(credit=600)
        await clock.be_off_by(-HOUR)
        await scene.agree(association, contributor, 60)
        await clock.be_off_by(timedelta())
        began = utc_now()
        await scene.agree(association, contributor, 60)
        (last,) = await scene.fetch("SELECT max(recorded_at) AS at FROM transfer")
        assert began - timedelta(seconds=1) < last["at"] < utc_now() + timedelta(seconds=1)

    async def test_many_at_once_have_times_of_their_own(self, scene: Scene, clock: ServerClock) -> None:
        """A page never parts one instant: had they all the same, no page could be small."""
        association, contributor = await scene.fund(credit=600)
        missions = [reservation(scene, association, contributor, 15) for _ in range(20)]
        await clock.be_off_by(-HOUR)
        await decide(scene, *missions, *(settlement_of(mission, 15) for mission in missions))
        async with scene.work() as work:
            page = await get_statement(work, of_association(scene, association), Period(), limit=7)
        assert len(page.lines) == 7
        await check_times(scene)
        await check_statements(scene, [of_association(scene, association)], limits=(3, 7))

    async def test_new_promises_are_recorded_in_the_order_of_the_pool(self, scene: Scene, clock: ServerClock) -> None:
        await scene.fund(credit=600)
        await clock.be_off_by(-HOUR)
        promises = [Promise(scene.campaign_id, str(n), uuid4(), 60, "") for n in range(12)]
        async with scene.work() as work:
            answers = await decide_promises(work, [(work, promise) for promise in promises])
        assert len(answers) == 12
        await check_times(scene)
        await check_statements(scene, [Scope(scene.campaign_id, None, TOWN_ACCOUNTS)])


class TestForwardAndBack:
    async def test_what_was_recorded_ahead_stays_before_what_follows(self, scene: Scene, clock: ServerClock) -> None:
        association, contributor = await scene.fund(credit=600)
        other, giver = await scene.fund(credit=300)
        await clock.be_off_by(HOUR)
        await scene.agree(association, contributor, 120)
        await clock.be_off_by(timedelta())
        await scene.handle(scene.validated(await scene.agree(association, contributor, 60), 60))
        await scene.agree(other, giver, 90)  # on accounts that nobody moved meanwhile
        await clock.be_off_by(-HOUR)
        await scene.agree(association, contributor, 30)
        await check_times(scene)
        scopes = [of_association(scene, association), of_association(scene, other), Scope(scene.campaign_id, None, TOWN_ACCOUNTS)]
        await check_statements(scene, scopes)
        await check_instants(scene)

    async def test_exports_have_what_was_recorded_ahead(
        self, scene: Scene, clock: ServerClock, officer: httpx2.AsyncClient
    ) -> None:
        association, contributor = await scene.fund(credit=600)
        await clock.be_off_by(HOUR)
        await scene.agree(association, contributor, 120)
        await clock.be_off_by(timedelta())
        await scene.agree(association, contributor, 60)
        for limit in (1, 2, 10_000):
            balances, transactions, errors = load(await get_beancount(officer, scene, limit=limit))
            assert errors == []
            assert len(transactions) == len(await scene.fetch("SELECT FROM transfer"))
            assert [minutes for account, minutes in balances.items() if account.startswith("Assets:Held")] == [180]

    async def test_an_instant_ahead_can_be_asked_for_as_far_as_something_is_recorded(
        self, scene: Scene, clock: ServerClock, officer: httpx2.AsyncClient
    ) -> None:
        association, contributor = await scene.fund(credit=600)
        await clock.be_off_by(HOUR)
        await scene.agree(association, contributor, 120)
        await clock.be_off_by(timedelta())
        path = f"/campaigns/{scene.campaign_id}/statements/{association}"
        line = (await officer.get(path)).json()["lines"][-1]
        answer = await officer.get(path, params={"as_recorded_at": line["recorded_at"]})
        assert (answer.status_code, answer.json()["closing_minutes"]["held"]) == (200, 120)
        further = datetime.fromisoformat(line["recorded_at"]) + timedelta(seconds=1)
        assert (await officer.get(path, params={"as_recorded_at": further.isoformat()})).status_code == 422


class TestAnySteps:
    @some
    @given(
        rule=st.sampled_from(ExpiryRule),
        sequence=st.lists(
            st.tuples(st.sampled_from([-86_400, -3600, -1, 0, 0, 0, 1, 3600]), operations), min_size=4, max_size=20
        ),
        limit=st.integers(1, 7),
    )
    @pytest.mark.timeout(300)
    async def test_a_random_campaign_reconciles(
        self, scene: Scene, clock: ServerClock, rule: ExpiryRule, sequence: list[tuple[int, tuple[Any, ...]]], limit: int
    ) -> None:
        player, error = await Player(scene).start(rule), timedelta()
        for step, (name, *arguments) in sequence:
            if step:
                error += timedelta(seconds=step)
                await clock.be_off_by(error)
            await player.play(name, *arguments)
        await clock.be_off_by(timedelta())
        await check_times(scene)
        scopes = [of_association(scene, one) for one in player.associations]
        await check_statements(scene, [*scopes, Scope(scene.campaign_id, None, TOWN_ACCOUNTS)], limits=(limit,))


class TestProof:
    async def test_audit_and_seals_agree_after_steps(
        self, scene: Scene, clock: ServerClock, database: Database, service_url: Callable[[str], str], tmp_path: Path
    ) -> None:
        association, contributor = await scene.fund(credit=600)
        for error in (HOUR, -HOUR, timedelta()):
            await clock.be_off_by(error)
            await scene.handle(scene.validated(await scene.agree(association, contributor, 60), 45))
        found = await audit(service_url("credits"), scene.territory)
        assert found.differences == ()
        await make_sealer(block_rows=16).seal(database, scene.territory)
        assert (await verify_ledger(database, scene.territory, tmp_path)).findings == []

    async def test_the_auditor_finds_times_that_fall(
        self, scene: Scene, service_url: Callable[[str], str], culprit: Culprit
    ) -> None:
        """As a server wrote them before migration 0013."""
        association, contributor = await scene.fund(credit=600)
        await scene.agree(association, contributor, 60)
        await scene.agree(association, contributor, 60)
        await culprit.run(
            "UPDATE transfer SET recorded_at = recorded_at + interval '1 hour' WHERE territory = $1 AND kind = 'reserve'"
            " AND from_version = 2"
        )
        await culprit.run(
            "UPDATE account SET moved_at = (SELECT max(recorded_at) FROM entry WHERE entry.territory = $1 AND account_id = id)"
            " WHERE territory = $1"
        )
        found = await audit(service_url("credits"), scene.territory)
        assert {(one.check, one.column) for one in found.differences} == {("recorded times", "recorded_at")}

"""Balances and pages by effective time against the plain sum, over ledgers in which the two times agree, differ or are far apart."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kernel.ids import new_id
from services.credits.auditing.auditor import audit
from services.credits.auditing.checks import MONTHS, STATEMENTS
from services.credits.domain.ledger import AccountKind
from services.credits.domain.statements import (
    ASSOCIATION_ACCOUNTS,
    CONTRIBUTOR_ACCOUNTS,
    TOWN_ACCOUNTS,
    AsOf,
    Basis,
    Period,
    Scope,
)
from services.credits.store.statements import get_statement, list_balances_at
from tests.builders.credits import IN_SPRING, Scene
from tests.credits.test_statements import read

INSTANT = timedelta(microseconds=1)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
# On both sides of every limit between the classes of migration 0012.
APART = [timedelta(0), INSTANT, timedelta(seconds=1)] + [
    limit + more
    for limit in (MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY, 30 * DAY, 365 * DAY, 3650 * DAY, 20_000 * DAY)
    for more in (-INSTANT, timedelta(0), INSTANT)
]
FLOWS = {
    "pledge": (AccountKind.PROMISED, AccountKind.POOL),
    "deliver": (AccountKind.DELIVERED, AccountKind.PROMISED),
    "grant": (AccountKind.POOL, AccountKind.CREDIT),
    "reserve": (AccountKind.CREDIT, AccountKind.HELD),
    "release": (AccountKind.HELD, AccountKind.CREDIT),
    "settle": (AccountKind.HELD, AccountKind.SERVED),
}


def make_ledgers(
    kinds: list[str], *, lots: int, gaps: list[timedelta], lags: st.SearchStrategy[timedelta], least: int = 1
) -> Any:
    """Lists of deeds: kind, lot, quarters of an hour, time since the one before, and by how much it was recorded after its effect."""
    deed = st.tuples(st.sampled_from(kinds), st.integers(0, lots - 1), st.integers(1, 4), st.sampled_from(gaps), lags)
    return st.lists(deed, min_size=least, max_size=40)


def make_lags(least: int, most: int, *, unit: timedelta) -> st.SearchStrategy[timedelta]:
    return st.integers(least, most).map(lambda number: number * unit)


SECOND = timedelta(seconds=1)
TO_AND_FRO = ["reserve", "release"]
mixed = make_ledgers(
    sorted(FLOWS),
    lots=3,
    gaps=[timedelta(0), INSTANT, SECOND, MINUTE, HOUR, DAY, 7 * DAY],
    lags=st.one_of(st.just(timedelta(0)), st.sampled_from(APART), st.sampled_from(APART).map(lambda lag: -lag)),
)
# So many within a minute, and so many long after their effect, that a page reads on.
crowded = make_ledgers(
    TO_AND_FRO, lots=1, gaps=[timedelta(0), SECOND, 20 * SECOND], lags=make_lags(-59, 59, unit=SECOND), least=30
)
backlog = make_ledgers(TO_AND_FRO, lots=1, gaps=[timedelta(0), SECOND, MINUTE], lags=make_lags(1, 120, unit=MINUTE), least=30)
ledgers = st.one_of(mixed, crowded, backlog)
LOTS = ((0, 0), (0, 1), (1, 2))  # association, lot
# Enough of everything that no bound is ever met.
FIRST = [("pledge", 0, 100_000, MINUTE, timedelta(0))]
FIRST += [(kind, lot, minutes, MINUTE, timedelta(0)) for lot in range(3) for kind, minutes in (("grant", 9000), ("reserve", 900))]


@dataclass(frozen=True)
class Moved:
    """A transfer as the plain sum needs it."""

    id: UUID
    source: UUID
    target: UUID
    minutes: int
    recorded_at: datetime
    effective_at: datetime

    @property
    def order(self) -> tuple[datetime, datetime, UUID]:
        return self.effective_at, self.recorded_at, self.id


@dataclass
class Book:
    """A campaign of two associations (one with two lots) and a contributor, whose times are made up."""

    campaign_id: UUID = field(default_factory=new_id)
    associations: tuple[UUID, UUID] = field(default_factory=lambda: (new_id(), new_id()))
    contributor: UUID = field(default_factory=new_id)
    accounts: dict[tuple[AccountKind, UUID, int | None], UUID] = field(default_factory=dict)
    balances: dict[UUID, tuple[int, int]] = field(default_factory=dict)
    moved: list[Moved] = field(default_factory=list)
    rows: list[tuple[Any, ...]] = field(default_factory=list)

    def post(self, deeds: Sequence[tuple[str, int, int, timedelta, timedelta]]) -> None:
        now = self.moved[-1].recorded_at if self.moved else IN_SPRING
        for kind, lot, quarters, gap, late in deeds:
            now += gap
            source, target = (self.account(side, lot) for side in FLOWS[kind])
            one = Moved(new_id(), source, target, 15 * quarters, now, now - late)
            sides = []
            for account_id, minutes in ((source, -one.minutes), (target, one.minutes)):
                version, balance = self.balances.get(account_id, (0, 0))
                self.balances[account_id] = (version + 1, balance + minutes)
                sides += [account_id, *self.balances[account_id]]
            self.moved.append(one)
            self.rows.append((one.id, self.campaign_id, kind, *sides, one.minutes, one.effective_at, now))

    def account(self, kind: AccountKind, lot: int) -> UUID:
        association, number = LOTS[lot]
        holder = {AccountKind.POOL: self.campaign_id} | dict.fromkeys(CONTRIBUTOR_ACCOUNTS, self.contributor)
        in_lot = number if kind in (AccountKind.CREDIT, AccountKind.HELD) else None
        key = (kind, holder.get(kind, self.associations[association]), in_lot)
        return self.accounts.setdefault(key, new_id())

    async def write(self, owner: "asyncpg.Connection[Any]", territory: str) -> None:
        lots = [new_id() for _ in LOTS]
        await owner.executemany(
            "INSERT INTO account (territory, id, campaign_id, kind, holder_id, lot_id, version, balance_minutes)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            [
                (territory, id, self.campaign_id, kind, holder, None if lot is None else lots[lot], *self.balances[id])
                for (kind, holder, lot), id in self.accounts.items()
            ],
        )
        await owner.executemany(
            "INSERT INTO transfer (territory, id, campaign_id, kind, from_account_id, from_version, from_balance_minutes,"
            " to_account_id, to_version, to_balance_minutes, minutes, effective_at, recorded_at, who, why, idempotency_key)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 'somebody', 'Essai', gen_random_uuid())",
            [(territory, *row) for row in self.rows],
        )

    def scopes(self) -> list[Scope]:
        scopes = [Scope(self.campaign_id, one, ASSOCIATION_ACCOUNTS) for one in self.associations]
        scopes.append(Scope(self.campaign_id, self.contributor, CONTRIBUTOR_ACCOUNTS))
        return [*scopes, Scope(self.campaign_id, None, TOWN_ACCOUNTS)]

    def instants(self) -> list[datetime]:
        """The two times of every transfer, and what lies just beside."""
        times = {time for one in self.moved for time in (one.recorded_at, one.effective_at)}
        return sorted(time + beside for time in times for beside in (-INSTANT, timedelta(0), INSTANT))

    def standing(self, before: datetime) -> dict[UUID, tuple[int, int]]:
        """Entries and minutes of each account in effect: the plain sum."""
        found = dict.fromkeys(self.accounts.values(), (0, 0))
        for one in self.moved:
            if one.effective_at < before:
                for account_id, minutes in ((one.source, -one.minutes), (one.target, one.minutes)):
                    found[account_id] = (found[account_id][0] + 1, found[account_id][1] + minutes)
        return found

    def balances_of(self, scope: Scope, before: datetime | None) -> dict[AccountKind, int]:
        found = dict.fromkeys(scope.kinds, 0)
        standing = self.balances if before is None else self.standing(before)
        for (kind, holder, _), account_id in self.accounts.items():
            if kind in scope.kinds and scope.holder_id in (None, holder):
                found[kind] += standing[account_id][1]
        return found

    def lines_of(self, scope: Scope, period: Period) -> list[Moved]:
        own = {id for (kind, holder, _), id in self.accounts.items() if scope.holder_id in (None, holder) and kind in scope.kinds}
        return sorted(
            (
                one
                for one in self.moved
                if {one.source, one.target} & own
                and (period.since is None or one.effective_at >= period.since)
                and (period.until is None or one.effective_at < period.until)
            ),
            key=lambda one: one.order,
        )


@pytest.fixture
async def owner(owner_url: Callable[[str], str]) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """Writes what only the passing of years would, with the triggers off."""
    connection = await asyncpg.connect(owner_url("credits"))
    await connection.execute("SET session_replication_role = replica")
    yield connection
    await connection.close()


many = settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.mark.timeout(300)
class TestAgainstThePlainSum:
    @many
    @given(deeds=ledgers, data=st.data())
    async def test_every_account_at_any_instant(
        self, scene: Scene, owner: "asyncpg.Connection[Any]", deeds: list[Any], data: st.DataObject
    ) -> None:
        book = await self.write(scene, owner, deeds)
        instants = data.draw(st.lists(st.sampled_from(book.instants()), min_size=10, max_size=10))
        async with scene.work() as work:
            for instant in instants:
                as_of = AsOf(Basis.EFFECTIVE, instant)
                found = await list_balances_at(work, book.campaign_id, list(book.accounts.values()), as_of)
                assert found == book.standing(as_of.before)

    @many
    @given(deeds=ledgers, limit=st.integers(1, 7), data=st.data())
    async def test_every_page_of_any_period(
        self, scene: Scene, owner: "asyncpg.Connection[Any]", deeds: list[Any], limit: int, data: st.DataObject
    ) -> None:
        book = await self.write(scene, owner, deeds)
        bounds = st.one_of(st.none(), st.sampled_from(book.instants()))
        period = Period(Basis.EFFECTIVE, data.draw(bounds), data.draw(bounds))
        if period.since and period.until and period.until < period.since:
            period = Period(Basis.EFFECTIVE, period.until, period.since)
        for scope in book.scopes():
            statement = await read(scene, scope, period, limit=limit)
            expected = book.lines_of(scope, period)
            assert [line.transfer.id for line in statement.lines] == [one.id for one in expected]
            assert statement.opening == (book.balances_of(scope, period.since) if period.since else dict.fromkeys(scope.kinds, 0))
            assert statement.closing == book.balances_of(scope, period.until)
            for number, after in enumerate(statement.after):
                # Among what took effect at one instant, only the last line's balances are those of an instant.
                if number + 1 == len(expected) or expected[number + 1].effective_at > expected[number].effective_at:
                    assert after == book.balances_of(scope, expected[number].effective_at + INSTANT)

    @many
    @given(deeds=ledgers, limit=st.integers(1, 7), data=st.data())
    async def test_a_page_from_anywhere_on(
        self, scene: Scene, owner: "asyncpg.Connection[Any]", deeds: list[Any], limit: int, data: st.DataObject
    ) -> None:
        book = await self.write(scene, owner, deeds)
        after = data.draw(st.sampled_from(book.instants()))
        async with scene.work() as work:
            for scope in book.scopes():
                page = await get_statement(work, scope, Period(Basis.EFFECTIVE), after=after, limit=limit)
                expected = book.lines_of(scope, Period(Basis.EFFECTIVE, since=after + INSTANT))[: len(page.lines)]
                assert [line.transfer.id for line in page.lines] == [one.id for one in expected]
                assert page.closing == book.balances_of(scope, None)
                if page.lines:
                    last = page.lines[-1].transfer.effective_at
                    assert page.after[-1] == book.balances_of(scope, last + INSTANT)
                assert (page.next is None) == (len(expected) == len(book.lines_of(scope, Period(since=after + INSTANT))))

    @many
    @given(deeds=ledgers)
    async def test_the_auditor_agrees(
        self, scene: Scene, owner: "asyncpg.Connection[Any]", service_url: Callable[[str], str], deeds: list[Any]
    ) -> None:
        """At the end of each month, by either time. Of what else an audit asks, a ledger of made-up times has nothing."""
        await self.write(scene, owner, deeds)
        found = await audit(service_url("credits"), scene.territory)
        assert [one for one in found.differences if one.check in (MONTHS.name, STATEMENTS.name)] == []

    async def write(self, scene: Scene, owner: "asyncpg.Connection[Any]", deeds: list[Any]) -> Book:
        book = Book()
        book.post(FIRST)
        book.post(deeds)
        await book.write(owner, scene.territory)
        return book

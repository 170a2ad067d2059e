"""Concurrent histories of promises and the pool: pledges, withdrawals, grants and deliveries, and the order that explains them.

As in `histories.py` the versions of an account are the order. What is free of a promise is no account: it is what is promised
less what missions count on, and where missions are only settled in full, both follow from the promise's own entries.
"""

import itertools
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any
from uuid import UUID

from kernel.database import Database
from kernel.errors import Refused
from kernel.ids import new_id
from kernel.work import open_work
from services.credits.domain.campaigns import Outcome, Promise
from services.credits.use_cases.combiner import Combiner
from services.credits.use_cases.missions import Reservation, Settlement, decide_missions
from services.credits.use_cases.pledges import decide_promises, withdraw_pledge
from tests.builders.credits import IN_SPRING, Scene
from tests.builders.histories import Step, check_order, list_seen
from tests.builders.lots import days_after, grant_lot


@dataclass(frozen=True)
class Deed:
    """`asked` and `answered` count all events of the history. `effect`: the end of its transfer's key; None: it moved nothing."""

    asked: int
    answered: int
    effect: str | None
    minutes: int
    pledge_id: UUID | None = None
    refusal: Refused | None = None


class Replica:
    """One process of the service, as far as promises are concerned."""

    def __init__(self, scene: Scene, database: Database) -> None:
        self.scene, self.database = scene, database
        self.promises = Combiner(database, decide_promises)
        self.missions = Combiner(database, decide_missions)

    async def promise(self, promise: Promise) -> str | None:
        pledge, outcome = await self.promises.submit(self.scene.officer, promise)
        return None if outcome is Outcome.UNCHANGED else f"{pledge.id}:{pledge.version}"

    async def withdraw(self, pledge_id: UUID, minutes: int) -> str:
        async with open_work(self.database, self.scene.officer) as work:
            pledge = await withdraw_pledge(work, pledge_id, minutes=minutes, reason="Retrait")
        return f"{pledge.id}:{pledge.version}"

    async def settle(self, mission: Reservation) -> str | None:
        answer = await self.missions.submit(
            self.scene.officer, Settlement(mission.mission_id, mission.campaign_id, mission.minutes)
        )
        return f"deliver:{mission.mission_id}" if answer.is_new else None

    async def grant(self, association_id: UUID, minutes: int) -> str:
        lot = await grant_lot(self.scene, association_id, minutes, expires_at=days_after(IN_SPRING, 3000))
        return f"grant:{lot.id}"


class PromiseHistory:
    def __init__(self) -> None:
        self._ticks = itertools.count()
        self.deeds: list[Deed] = []

    async def record(self, saying: Awaitable[str | None], *, minutes: int, pledge_id: UUID | None = None) -> None:
        asked = next(self._ticks)
        effect, refusal = None, None
        try:
            effect = await saying
        except Refused as error:
            refusal = error
        self.deeds.append(Deed(asked, next(self._ticks), effect, minutes, pledge_id, refusal))


async def play_promises(
    history: PromiseHistory,
    *,
    random: Random,
    replicas: Sequence[Replica],
    pledges: dict[UUID, UUID],
    association_id: UUID,
    missions: list[Reservation],
    rounds: int,
) -> None:
    """`pledges`: contributors by their pledges. What was promised is now and then said again, to whichever replica."""
    said: list[Promise] = []
    for _ in range(rounds):
        replica, minutes = random.choice(replicas), random.randint(1, 16) * 15
        pledge_id, contributor_id = random.choice(list(pledges.items()))
        deed = random.choice(["promise", "again", "withdraw", "withdraw", "grant", "settle"])
        if deed == "promise" or (deed == "again" and not said):
            said.append(Promise(replica.scene.campaign_id, str(new_id()), contributor_id, minutes))
            await history.record(replica.promise(said[-1]), minutes=minutes)
        elif deed == "again":
            await history.record(replica.promise(random.choice(said)), minutes=0)
        elif deed == "withdraw":
            await history.record(replica.withdraw(pledge_id, minutes), minutes=minutes, pledge_id=pledge_id)
        elif deed == "grant":
            await history.record(replica.grant(association_id, minutes), minutes=minutes)
        elif missions:
            mission = missions.pop()
            await history.record(replica.settle(mission), minutes=mission.minutes)


def check_account(deeds: Sequence[Deed], entries: Sequence[Any]) -> list[Step]:
    """One order of the account explains who was answered before whom asked. Returns its steps."""
    spans = {deed.effect: (deed.asked, deed.answered) for deed in deeds if deed.effect}
    steps = [Step(entry["version"], entry["balance"], *spans.get(_effect_of(entry["key"]), (-1, -1))) for entry in entries]
    check_order(steps)
    return steps


def _effect_of(key: str) -> str:
    """`pledge:{id}:{version}` -> `{id}:{version}`, `{occasion}:deliver:{mission}` -> `deliver:{mission}`, `grant:{lot}`."""
    parts = key.split(":")
    return ":".join(parts[-2:])


def check_pool_refusals(deeds: Sequence[Deed], steps: Sequence[Step]) -> int:
    """Each names what the pool lacked at some moment between question and answer. Returns how many there were."""
    refused = [deed for deed in deeds if _account_of(deed).startswith("pool/")]
    for deed in refused:
        assert deed.refusal is not None
        seen = list_seen(steps, asked=deed.asked, answered=deed.answered)
        assert deed.minutes - deed.refusal.members["missing_minutes"] in seen, (deed, seen)
    return len(refused)


def check_promise_refusals(
    deeds: Sequence[Deed], steps: Sequence[Step], entries: Sequence[Any], *, contributor_id: UUID, committed: int
) -> int:
    """What was free of the promise, and what a pledge was worth, at some moment between question and answer. `committed`: by
    the missions that were reserved before."""
    free, worth, left = [], {entry["pledge_id"]: 0 for entry in entries}, committed
    worths: dict[UUID | None, list[Step]] = {pledge_id: [] for pledge_id in worth}
    for entry, step in zip(entries, steps, strict=True):
        left -= entry["minutes"] if entry["kind"] == "deliver" else 0
        worth[entry["pledge_id"]] += entry["minutes"] * {"pledge": 1, "withdraw": -1}.get(entry["kind"], 0)
        assert worth[entry["pledge_id"]] >= 0, f"more was taken back of pledge {entry['pledge_id']} than it was worth"
        free.append(Step(step.version, max(0, -step.balance - left), step.asked, step.answered))
        for pledge_id, values in worths.items():
            values.append(Step(step.version, worth[pledge_id], step.asked, step.answered))
    committed_ones = [deed for deed in deeds if _account_of(deed).endswith(str(contributor_id))]
    for deed in committed_ones:
        assert deed.refusal is not None
        seen = list_seen(free, asked=deed.asked, answered=deed.answered)
        assert deed.minutes - deed.refusal.members["missing_minutes"] in seen, (deed, seen)
    small = [
        deed
        for deed in deeds
        if deed.refusal is not None and deed.refusal.code == "pledge-too-small" and deed.pledge_id in worths
    ]
    for deed in small:
        assert deed.refusal is not None
        seen = list_seen(worths[deed.pledge_id], asked=deed.asked, answered=deed.answered)
        assert deed.refusal.members["minutes"] in seen, (deed, seen)
    return len(committed_ones) + len(small)


def _account_of(deed: Deed) -> str:
    return str(deed.refusal.members.get("account", "")) if deed.refusal else ""

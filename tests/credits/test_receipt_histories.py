"""Receipts under random histories of many hands at once: whatever is asked and refused, the promises hold afterwards."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import pytest

from kernel.errors import MetisError
from services.credits.store import receipts as store
from services.credits.use_cases.receipts import cancel_receipt, replace_receipt
from tests.builders.credits import Scene
from tests.builders.documents import (
    Pair,
    issue,
    make_cost,
    make_line,
    make_pair,
    of_association,
    serve_mission,
    value,
)

STEPS, HANDS, MISSIONS = 10, 4, 5

IN_FORCE = """
SELECT r.id, r.amount_cents, r.minutes FROM receipt r
WHERE NOT EXISTS (SELECT FROM receipt s WHERE s.replaces = r.id)
  AND NOT EXISTS (SELECT FROM receipt_cancellation c WHERE c.receipt_id = r.id)
"""
COVERED = f"""
SELECT covered.mission_id, covered.receipt_id, v.minutes, v.retained_cents FROM receipt_mission covered
JOIN ({IN_FORCE}) AS r ON r.id = covered.receipt_id
JOIN valuation v ON (v.mission_id, v.version) = (covered.mission_id, covered.valuation_version)
"""


class History:
    """Random deeds on a few missions; refusals by name are part of it, anything else is a failure."""

    def __init__(self, scene: Scene, pair: Pair, *, missions: Sequence[UUID], seed: int) -> None:
        self.scene, self.pair, self.missions = scene, pair, missions
        self.chance = random.Random(seed)
        self.refused: list[str] = []
        self.receipts: list[UUID] = []

    def choose_deed(self) -> Callable[[], Awaitable[None]]:
        some = self.chance.sample(self.missions, self.chance.randint(1, 2))
        receipt_id = self.chance.choice(self.receipts) if self.receipts else None
        minutes = self.chance.randint(1, 90)
        deeds: list[Callable[[], Awaitable[None]]] = [lambda: self._issue(some), lambda: self._value(some[0], minutes)]
        if receipt_id is not None:
            deeds += [lambda: self._replace(receipt_id, some), lambda: self._cancel(receipt_id)]
        return self.chance.choice(deeds)

    async def run(self, deed: Callable[[], Awaitable[None]]) -> None:
        try:
            await deed()
        except MetisError as refusal:
            self.refused.append(refusal.code)

    async def _issue(self, missions: list[UUID]) -> None:
        self.receipts.append(await issue(self.scene, self.pair, *missions))

    async def _value(self, mission_id: UUID, minutes: int) -> None:
        await value(self.scene, self.pair, mission_id, make_cost(make_line(minutes=minutes)), reason="Corrigée")

    async def _replace(self, receipt_id: UUID, missions: list[UUID]) -> None:
        async with self.scene.work(of_association(self.scene, self.pair)) as work:
            made = await replace_receipt(work, receipt_id, mission_ids=missions, reason="Corrigé")
        self.receipts.append(made)

    async def _cancel(self, receipt_id: UUID) -> None:
        async with self.scene.work(of_association(self.scene, self.pair)) as work:
            await cancel_receipt(work, receipt_id, reason="Repris")


@pytest.mark.parametrize("seed", range(5))
async def test_the_promises_hold_after_any_history(scene: Scene, seed: int) -> None:
    pair = await make_pair(scene)
    missions = [await serve_mission(scene, pair) for _ in range(MISSIONS)]
    for mission_id in missions:
        await value(scene, pair, mission_id)
    history = History(scene, pair, missions=missions, seed=seed)
    for _ in range(STEPS):
        await asyncio.gather(*(history.run(history.choose_deed()) for _ in range(HANDS)))

    numbers = [row["number"] for row in await scene.fetch("SELECT number FROM receipt ORDER BY number")]
    assert numbers == list(range(1, len(history.receipts) + 1))
    covered = await scene.fetch(COVERED)
    assert len({row["mission_id"] for row in covered}) == len(covered)
    in_force = {row["id"]: (row["minutes"], row["amount_cents"]) for row in await scene.fetch(IN_FORCE)}
    for receipt_id, figures in in_force.items():
        lines = [row for row in covered if row["receipt_id"] == receipt_id]
        assert figures == (sum(row["minutes"] for row in lines), sum(row["retained_cents"] for row in lines))
    async with scene.work() as work:
        declared = (await work.connection.execute(store.select_declarations(2026))).all()
    assert [(row.receipts, int(row.amount_cents)) for row in declared] == [
        (len(in_force), sum(amount for _, amount in in_force.values()))
    ]
    assert set(history.refused) <= {"already-receipted", "receipt-not-in-force"}
    assert history.refused, "the history was too tame to show anything"

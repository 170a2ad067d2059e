"""Mission events through the consumer: what comes together against each alone, in one run on the same ledger.

A batch of 64 agreements, then the 64 validations of the same missions: inbox, decision, entries, events and commit. Alone
each is a batch of its own, as it is when events come one at a time.
"""

import random
import statistics
import time
from collections.abc import Sequence
from uuid import UUID

from kernel.bus.consumer import Consumer
from kernel.bus.postgres import PostgresTransport
from kernel.bus.transport import Delivery
from kernel.clock import utc_now
from kernel.database import Database
from kernel.events.envelope import encode_event
from kernel.events.matching import MissionAgreed, MissionValidated
from kernel.ids import new_id
from services.credits.handlers import handlers
from tests.builders.credits import Scene

BATCH = 64
ROUNDS = 5
MINUTES = 15


async def measure(
    database: Database, scene: Scene, *, associations: Sequence[UUID], contributors: Sequence[UUID]
) -> dict[str, float]:
    """How many times as fast together as alone (medians of the rounds' own ratios), and events a second together."""
    # Never connected: batches are handed over as if they had come from the broker.
    consumer = Consumer(
        "credits", database, handlers, PostgresTransport(database.url, command_timeout_seconds=5), retry_delays_seconds=(60,)
    )
    seconds: dict[str, list[float]] = {name: [] for name in ("agreed", "agreed alone", "validated", "validated alone")}
    for _ in range(ROUNDS + 1):
        for alone in (False, True):
            agreed = [scene.agreed(random.choice(associations), random.choice(contributors), MINUTES) for _ in range(BATCH)]
            validated = [scene.validated(one, MINUTES) for one in agreed]
            suffix = " alone" if alone else ""
            seconds[f"agreed{suffix}"].append(await _time(consumer, scene, agreed, alone=alone))
            seconds[f"validated{suffix}"].append(await _time(consumer, scene, validated, alone=alone))
    await _require_handled(scene)
    figures = {}
    for name in ("agreed", "validated"):
        rounds = list(zip(seconds[f"{name} alone"], seconds[name], strict=True))[1:]  # the first one warms
        figures[f"{name}_together_vs_alone"] = statistics.median(alone / together for alone, together in rounds)
        figures[f"{name}_per_second"] = BATCH / statistics.median(together for _, together in rounds)
    return figures


async def _time(consumer: Consumer, scene: Scene, events: Sequence[MissionAgreed | MissionValidated], *, alone: bool) -> float:
    deliveries = [_delivery(scene, event) for event in events]
    began = time.perf_counter()
    for batch in [[delivery] for delivery in deliveries] if alone else [deliveries]:
        await consumer.handle_batch(batch)
    return time.perf_counter() - began


def _delivery(scene: Scene, event: MissionAgreed | MissionValidated) -> Delivery:
    body = encode_event(
        event, id=new_id(), source="/metis/matching", time=utc_now(), subject=str(event.mission_id),
        territory=scene.territory, traceparent=None, actorid="bench",
    )  # fmt: skip
    return Delivery(body, redelivered=False, tag=None)


async def _require_handled(scene: Scene) -> None:
    expected = 2 * BATCH * (ROUNDS + 1)
    [row] = await scene.fetch("SELECT count(*) AS settled FROM hold WHERE state = 'settled'")
    if row["settled"] < expected:
        raise RuntimeError(f"{expected} missions were told and validated, {row['settled']} are settled")

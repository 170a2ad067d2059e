"""One attempt at a round: read, compute, keep. Imports the solvers: for the computing process (and tests) alone."""

from time import perf_counter
from uuid import UUID

from kernel.auth import Caller
from kernel.database import Database
from kernel.memory import measure_peak_mib
from kernel.work import open_work
from services.matching.domain.rounds import RoundOutcome
from services.matching.engine.rounds.compute import compute_round
from services.matching.engine.rounds.inputs import compress, digest_bytes, encode_inputs
from services.matching.engine.rounds.pairs import OnProgress
from services.matching.use_cases.round_computing import keep_outcome, read_inputs


async def compute_attempt(database: Database, territory: str, round_id: UUID, *, attempt: int, tell: OnProgress) -> bool:
    """Two short transactions, and nothing held between them; false where the outcome was not wanted any more.

    Raises RoundCannotBe.
    """
    caller = Caller.system(territory)
    tell("read", 0, 0)
    started = perf_counter()
    async with open_work(database, caller) as work:
        inputs = await read_inputs(work, round_id)
    read_seconds = perf_counter() - started
    canonical = encode_inputs(inputs)
    computed = compute_round(inputs, on_progress=tell)
    seconds = {"read": round(read_seconds, 4)} | computed.facts["seconds"]
    outcome = RoundOutcome(
        inputs=compress(canonical),
        inputs_digest=digest_bytes(canonical),
        proposals_digest=computed.proposals_digest,
        result={**computed.facts, "seconds": seconds, "peak_mib": int(measure_peak_mib())},
        proposals=computed.proposals,
        unserved=computed.unserved,
    )
    tell("keep", 0, 0)
    async with open_work(database, caller) as work:
        return await keep_outcome(work, round_id, outcome, attempt=attempt)

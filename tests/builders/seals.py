"""Keys and sealers for tests, and a ledger with every kind of row."""

from kernel.auth import make_key_pair
from kernel.events.matching import MissionAgreed
from services.credits.domain.grants import Adjustment
from services.credits.domain.signing import SealKey, SealKeys
from services.credits.sealing.sealer import Sealer
from services.credits.use_cases.reversals import reverse_transfer
from tests.builders.credits import Scene


def make_seal_key() -> SealKey:
    return SealKey.of_jwk(make_key_pair()[0])


def make_sealer(key: SealKey | None = None, *earlier: SealKey, block_rows: int = 4096) -> Sealer:
    return Sealer(SealKeys(key or make_seal_key(), earlier), block_rows=block_rows)


async def play_everything(scene: Scene) -> MissionAgreed:
    """Rows of most sealed tables, and holds in every state that stays; returns the mission that is still held."""
    contributor, association = await scene.pledge(1200), await scene.admit(entitled_minutes=660)
    await scene.sign([Adjustment(association, 600, "Local partagé")])
    served = await scene.agree(association, contributor, 90)
    await scene.handle(scene.validated(served, 60))
    undone = await scene.agree(association, contributor, 45)
    await scene.handle(scene.validated(undone, 45))
    settled = await scene.fetch("SELECT id FROM transfer WHERE mission_id = $1 AND kind = 'settle'", undone.mission_id)
    async with scene.work() as work:
        await reverse_transfer(work, settled[0]["id"], reason="Heures notées deux fois")
    running = await scene.agree(association, contributor, 30)
    await scene.handle(scene.cancelled(await scene.agree(association, contributor, 15)))
    await scene.agree(association, contributor, 9000)
    return running

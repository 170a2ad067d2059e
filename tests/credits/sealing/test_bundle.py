from pathlib import Path

from kernel.database import Database
from tests.builders.bundles import verify_ledger
from tests.builders.credits import Scene
from tests.builders.seals import make_sealer


class TestBuildPage:
    async def test_of_an_honest_ledger_verifies(self, scene: Scene, database: Database, tmp_path: Path) -> None:
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 60)
        await scene.handle(scene.validated(agreed, 45))
        await make_sealer(block_rows=4).seal(database, scene.territory)
        await scene.agree(association, contributor, 30)
        report = await verify_ledger(database, scene.territory, tmp_path)
        assert report.findings == []
        assert report.unsealed > 0

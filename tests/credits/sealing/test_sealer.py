"""The sealer: every row once, without gaps, whatever the order of commits, and one chain however many seal."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from kernel.clock import utc_now
from kernel.database import Database
from kernel.events.credits import LedgerHeadPublished, LedgerSealed
from services.credits.domain.grants import PanelSeat
from services.credits.domain.sealing_errors import SealChainBroken
from services.credits.domain.seals import Block
from services.credits.domain.signing import SealKeys, key_id
from services.credits.sealing.job import publish_head
from services.credits.sealing.sealer import Sealer
from services.credits.store import seals
from services.credits.use_cases.campaigns import admit_association
from tests.builders.bundles import verify_ledger
from tests.builders.credits import Scene
from tests.builders.seals import make_seal_key, make_sealer, play_everything
from tests.support.culprit import Culprit


async def blocks_of(scene: Scene) -> list[Block]:
    async with scene.work() as work:
        return await seals.list_blocks(work, after=0, limit=1000)


def refs_of(blocks: list[Block]) -> list[str]:
    """In the order of their sequence, which has no gap."""
    sequence = 1
    for block in blocks:
        assert block.first_sequence == sequence
        sequence += block.row_count
    return [ref for block in blocks for ref in block.refs]


class TestSeal:
    async def test_seals_every_row_once(self, scene: Scene, database: Database) -> None:
        await play_everything(scene)
        sealer = make_sealer(block_rows=4)
        sealed = await sealer.seal(database, scene.territory)
        refs = refs_of(await blocks_of(scene))
        assert sealed.rows == len(refs) == len(set(refs))
        for table in ("transfer", "lot", "refusal", "signed_grant", "grant_proposal", "fact"):
            ids = {f"{table}:{row['id']}" for row in await scene.fetch(f"SELECT id FROM {table}")}
            assert ids and ids <= set(refs)

    async def test_seals_nothing_twice(self, scene: Scene, database: Database) -> None:
        sealer = make_sealer()
        assert (await sealer.seal(database, scene.territory)).blocks == 1
        assert (await sealer.seal(database, scene.territory)).blocks == 0
        await scene.pledge(60)
        assert (await sealer.seal(database, scene.territory)).blocks == 1

    async def test_waits_for_a_slow_transaction(self, scene: Scene, database: Database, tmp_path: Path) -> None:
        sealer = make_sealer()
        await sealer.seal(database, scene.territory)
        association = await scene.record_actor()
        async with scene.work() as slow:
            await admit_association(slow, scene.campaign_id, PanelSeat(association, 1000, 0))
            await scene.pledge(60)  # begins later, commits earlier
            assert (await sealer.seal(database, scene.territory)).rows == 0
        await sealer.seal(database, scene.territory)
        refs = refs_of(await blocks_of(scene))
        assert {f"fact:{row['id']}" for row in await scene.fetch("SELECT id FROM fact")} <= set(refs)
        assert (await verify_ledger(database, scene.territory, tmp_path)).findings == []

    async def test_goes_on_where_it_was_killed(self, scene: Scene, database: Database, tmp_path: Path) -> None:
        await play_everything(scene)
        key, times = make_seal_key(), iter([utc_now()] * 9)

        def dying_clock() -> datetime:
            try:
                return next(times)
            except StopIteration:
                raise ConnectionResetError("killed") from None

        with pytest.raises((ConnectionResetError, ExceptionGroup)):
            await Sealer(SealKeys(key), now=dying_clock, block_rows=4).seal(database, scene.territory)
        before = await blocks_of(scene)
        assert 0 < len(before) < 5
        await make_sealer(key, block_rows=4).seal(database, scene.territory)
        after = await blocks_of(scene)
        assert after[: len(before)] == before and len(refs_of(after)) > len(refs_of(before))
        assert (await verify_ledger(database, scene.territory, tmp_path)).findings == []

    async def test_two_at_once_make_one_chain(
        self, scene: Scene, make_database: Callable[..., Database], database: Database, tmp_path: Path
    ) -> None:
        await play_everything(scene)
        key = make_seal_key()
        sealers = [make_sealer(key, block_rows=3) for _ in range(4)]
        done = await asyncio.gather(*(one.seal(make_database("credits"), scene.territory) for one in sealers))
        await make_sealer(key).seal(database, scene.territory)
        refs = refs_of(await blocks_of(scene))
        assert len(refs) == len(set(refs)) >= sum(one.rows for one in done)
        assert (await verify_ledger(database, scene.territory, tmp_path)).findings == []

    async def test_tells_the_head_once_a_round(self, scene: Scene, database: Database) -> None:
        await play_everything(scene)
        sealed = await make_sealer(block_rows=4).seal(database, scene.territory)
        (told,) = await scene.published(LedgerSealed)
        assert sealed.head is not None and sealed.blocks > 2
        assert (told.head_hash, told.block_number) == (sealed.head.hash.hex(), sealed.head.number)
        assert told.last_sequence == len(refs_of(await blocks_of(scene)))

    async def test_refuses_a_server_that_is_younger_than_its_rows(
        self, scene: Scene, database: Database, culprit: Culprit
    ) -> None:
        sealer = make_sealer()
        await sealer.seal(database, scene.territory)
        await culprit.run("UPDATE seal_block SET last_xact = '999999999999' WHERE territory = $1")
        with pytest.raises(SealChainBroken, match="younger server"):
            await sealer.seal(database, scene.territory)


class TestRotation:
    async def test_the_old_key_hands_over(self, scene: Scene, database: Database, tmp_path: Path) -> None:
        old, new = make_seal_key(), make_seal_key()
        await make_sealer(old).seal(database, scene.territory)
        await make_sealer(new, old).seal(database, scene.territory)  # nothing new to seal, and yet a block
        await scene.pledge(60)
        await make_sealer(new).seal(database, scene.territory)  # the old one may be gone now
        assert [block.public_key for block in await blocks_of(scene)] == [old.public, old.public, new.public]
        report = await verify_ledger(database, scene.territory, tmp_path)
        assert (report.findings, report.key_ids) == ([], [key_id(old.public), key_id(new.public)])

    async def test_hands_over_with_waiting_rows(self, scene: Scene, database: Database, tmp_path: Path) -> None:
        old, new = make_seal_key(), make_seal_key()
        await make_sealer(old).seal(database, scene.territory)
        await play_everything(scene)
        await make_sealer(new, old, block_rows=8).seal(database, scene.territory)
        keys = [block.public_key for block in await blocks_of(scene)]
        assert keys[:2] == [old.public, old.public] and set(keys[2:]) == {new.public}
        assert (await verify_ledger(database, scene.territory, tmp_path)).findings == []

    async def test_a_key_from_nowhere_cannot_go_on(self, scene: Scene, database: Database) -> None:
        await make_sealer().seal(database, scene.territory)
        await scene.pledge(60)
        with pytest.raises(SealChainBroken, match="METIS_SEAL_EARLIER_PRIVATE_KEYS"):
            await make_sealer().seal(database, scene.territory)


class TestPublishHead:
    async def test_once_a_day_and_only_when_it_moved(self, scene: Scene, database: Database) -> None:
        async def publish() -> bool:
            async with scene.work() as work:
                return await publish_head(work)

        assert not await publish()  # nothing is sealed
        sealer = make_sealer()
        await sealer.seal(database, scene.territory)
        assert await publish()
        await scene.pledge(60)
        await sealer.seal(database, scene.territory)
        assert not await publish()  # told today
        scene.now = scene.now.replace(day=scene.now.day + 1)
        assert await publish()
        scene.now = scene.now.replace(day=scene.now.day + 1)
        assert not await publish()  # the same as yesterday
        assert len(await scene.published(LedgerHeadPublished)) == 2

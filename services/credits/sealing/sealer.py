"""Seals a territory: block after block, each its own transaction, until nothing below the horizon waits."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

from kernel import clock
from kernel.auth import Caller
from kernel.clock import Clock
from kernel.database import Database
from kernel.events.credits import LedgerSealed
from kernel.work import Work, open_work
from services.credits.domain.sealing_errors import SealChainBroken
from services.credits.domain.seals import BLOCK_ROWS, START, Block, Row, build_block
from services.credits.domain.signing import SealKey, SealKeys, key_id
from services.credits.sealing.rows import WaitingRows
from services.credits.store import seals


@dataclass(frozen=True)
class Sealed:
    """What one round did in one territory."""

    blocks: int
    rows: int
    head: Block | None


class Sealer:
    """Resumable at every block: all it knows is the last block. A second one at work makes it stand back."""

    def __init__(self, keys: SealKeys, *, now: Clock = clock.utc_now, block_rows: int = BLOCK_ROWS) -> None:
        self._keys = keys
        self._now = now
        self._block_rows = block_rows

    async def seal(self, database: Database, territory: str) -> Sealed:
        """Raises SealChainBroken when the chain cannot be continued with the keys at hand."""
        async with self._open(database, territory) as work:
            head = await seals.find_head(work)
            below = await seals.get_horizon(work)
            _check_epoch(head, below=below)
            waiting = WaitingRows(await seals.list_sealed_tables(work), after=head.last if head else START, below=below)
            rows = await waiting.take(work, self._block_rows)
        blocks = count = 0
        while rows or self._must_hand_over(head):
            key, is_last = self._key_after(head), waiting.is_drained
            # PostgreSQL writes out the next rows while these are hashed.
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(self._read_on(database, territory, waiting))
                building = group.create_task(asyncio.to_thread(self._build, rows, territory=territory, previous=head, key=key))
            if not await self._save(database, building.result(), is_last=is_last):
                break
            head, blocks, count = building.result(), blocks + 1, count + len(rows)
            rows = reading.result()
        return Sealed(blocks, count, head)

    def _open(self, database: Database, territory: str) -> AbstractAsyncContextManager[Work]:
        return open_work(database, Caller.system(territory), now=self._now())

    async def _read_on(self, database: Database, territory: str, waiting: WaitingRows) -> list[Row]:
        if waiting.is_drained:
            return []
        async with self._open(database, territory) as work:
            return await waiting.take(work, self._block_rows)

    def _build(self, rows: Sequence[Row], *, territory: str, previous: Block | None, key: SealKey) -> Block:
        """The next block, signed by whom the chain expects; another key of ours hands over to the current one."""
        block = build_block(
            rows,
            territory=territory,
            previous=previous,
            public_key=key.public,
            sealed_at=self._now(),
            next_public_key=None if key is self._keys.current else self._keys.current.public,
        )
        return replace(block, signature=key.sign(block.hash))

    async def _save(self, database: Database, block: Block, *, is_last: bool) -> bool:
        """Whether the block is in the chain now; not when another sealer was quicker."""
        async with self._open(database, block.territory) as work:
            if not await seals.lock_chain(work) or await seals.find_head_number(work) != block.number - 1:
                return False
            await seals.save_block(work, block)
            if is_last:
                _tell(work, block)
        return True

    def _key_after(self, head: Block | None) -> SealKey:
        """Whom the chain expects to sign next."""
        if head is None:
            return self._keys.current
        key = self._keys.find(head.signer)
        if key is None:
            raise SealChainBroken(
                f"The chain of {head.territory} is to be continued by the key {key_id(head.signer)}, which is not here. "
                "Give it as METIS_SEAL_EARLIER_PRIVATE_KEYS beside the new one: it signs the block that hands over."
            )
        return key

    def _must_hand_over(self, head: Block | None) -> bool:
        return head is not None and head.signer != self._keys.current.public


def _check_epoch(head: Block | None, *, below: int) -> None:
    """Rows written in a younger server would lie before what is sealed, and never be seen."""
    if head is not None and below < head.last[0]:
        raise SealChainBroken(
            f"This server counts transactions from {below}, and rows up to {head.last[0]} are sealed: the database was restored "
            "into a younger server. Stop it and run `pg_resetwal --epoch` with a larger epoch, before anything is written."
        )


def _tell(work: Work, block: Block) -> None:
    work.publish(
        LedgerSealed(
            block_number=block.number,
            last_sequence=block.last_sequence,
            head_hash=block.hash.hex(),
            sealed_at=block.sealed_at,
            key_id=key_id(block.public_key),
            public_key=block.public_key.hex(),
            signature=block.signature.hex(),
        ),
        subject=work.territory,
    )

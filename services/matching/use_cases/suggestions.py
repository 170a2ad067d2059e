"""Suggestions, worked out beside the event loop: a few at a time, and not more waiting than can be served soon."""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from uuid import UUID

from kernel.auth import Caller
from kernel.database import Database
from kernel.errors import Unavailable
from kernel.work import open_work
from services.matching.engine.referential import load_referential
from services.matching.engine.suggesting import Kind, Suggestion, suggest
from services.matching.engine.vocabulary import Vocabulary
from services.matching.store.needs import get_need
from services.matching.store.offers import get_offer
from services.matching.use_cases.vocabulary import get_vocabulary

Suggested = tuple[Sequence[Suggestion], Vocabulary]
log = logging.getLogger("metis.matching.suggestions")


class Suggester:
    """The threads that read texts. No transaction is open while one waits or works."""

    def __init__(self, database: Database, *, threads: int, most_waiting: int) -> None:
        self._database = database
        self._most_waiting = most_waiting
        self._waiting = 0
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="suggest")

    def warm(self) -> None:
        """Load what reads texts, beside all else: the first to ask need not wait for it."""
        vocabulary = Vocabulary(load_referential())
        task = partial(suggest, "Bonjour", "Nous cherchons de l'aide pour les comptes.", kind="need", vocabulary=vocabulary)
        self._pool.submit(task).add_done_callback(_tell_failure)

    async def suggest(self, caller: Caller, title: str, description: str, *, kind: Kind) -> Suggested:
        """Skills for a text that is stored nowhere."""
        async with open_work(self._database, caller) as work:
            vocabulary = await get_vocabulary(work)
        return await self._read(title, description, kind=kind, vocabulary=vocabulary), vocabulary

    async def suggest_for_need(self, caller: Caller, need_id: UUID) -> Suggested:
        """Skills for the text of a need that the caller may see."""
        async with open_work(self._database, caller) as work:
            facts = (await get_need(work, need_id)).facts
            vocabulary = await get_vocabulary(work)
        return await self._read(facts.title, facts.description, kind="need", vocabulary=vocabulary), vocabulary

    async def suggest_for_offer(self, caller: Caller, offer_id: UUID) -> Suggested:
        async with open_work(self._database, caller) as work:
            facts = (await get_offer(work, offer_id))[0].facts
            vocabulary = await get_vocabulary(work)
        return await self._read(facts.title, facts.description, kind="offer", vocabulary=vocabulary), vocabulary

    async def _read(self, title: str, description: str, *, kind: Kind, vocabulary: Vocabulary) -> Sequence[Suggestion]:
        if self._waiting >= self._most_waiting:
            raise Unavailable("Too many texts wait to be read; try again in a moment.", headers={"retry-after": "1"})
        self._waiting += 1
        try:
            task = partial(suggest, title, description, kind=kind, vocabulary=vocabulary)
            return await asyncio.get_running_loop().run_in_executor(self._pool, task)
        finally:
            self._waiting -= 1


def _tell_failure(done: Future[tuple[Suggestion, ...]]) -> None:
    if not done.cancelled() and (fault := done.exception()) is not None:
        log.error("what reads texts could not be loaded; suggestions will fail until it can", exc_info=fault)

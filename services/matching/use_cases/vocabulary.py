"""The skills as a territory sees them, and what its officers add to them."""

import asyncio
import threading
from collections import OrderedDict
from functools import lru_cache
from uuid import UUID

from kernel.work import Work
from services.matching.engine.referential import load_referential
from services.matching.engine.vocabulary import Vocabulary
from services.matching.store.vocabulary import get_revision, list_local_skills, list_words

_MOST_KEPT = 64
# By the mark of their last change: one that was never committed is never looked up again.
_kept: OrderedDict[UUID, Vocabulary] = OrderedDict()


_loading = threading.Lock()


@lru_cache(maxsize=1)
def _load_bare() -> Vocabulary:
    """Of the territories that have added nothing."""
    return Vocabulary(load_referential())


async def _read_bare() -> Vocabulary:
    """The first one of a process reads all files, in a thread: that takes most of a second."""
    return _load_bare() if _load_bare.cache_info().currsize else await asyncio.to_thread(_load_once)


def _load_once() -> Vocabulary:
    """However many ask at the start, one reads and the others wait."""
    with _loading:
        return _load_bare()


async def get_vocabulary(work: Work) -> Vocabulary:
    """The referential with the territory's additions; built anew after each of them, else one short query.

    What adds to it asks only when all is added: a copy made half-way would be kept under the mark that is about to be committed.
    """
    _, mark = await get_revision(work)
    if mark is None:
        return await _read_bare()
    if mark not in _kept:
        _kept[mark] = await read_vocabulary(work)
        while len(_kept) > _MOST_KEPT:
            _kept.popitem(last=False)
    _kept.move_to_end(mark)
    return _kept[mark]


async def read_vocabulary(work: Work) -> Vocabulary:
    """The same as it stands at this moment of the transaction."""
    revision, _ = await get_revision(work)
    base = (await _read_bare()).base
    return Vocabulary(base, tuple(await list_words(work)), tuple(await list_local_skills(work)), revision)

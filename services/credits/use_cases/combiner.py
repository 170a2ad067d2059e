"""Many callers, one transaction: what waits together is decided together, and each is answered after the commit.

A commit costs the same for one transfer as for a hundred, and a hot account is locked once for all of them (measured in
docs/performance.md). Each caller keeps its own identity, time and trace. When a batch fails, its commands run one by one,
so that the one at fault fails alone.
"""

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from kernel.auth import Caller
from kernel.clock import utc_now
from kernel.database import Database, is_passing
from kernel.errors import MetisError
from kernel.work import Work, open_work

log = logging.getLogger("metis.credits.combiner")

BATCH = 100


@dataclass(frozen=True)
class Alone:
    """The answer of a command that cannot be decided among others, and moved nothing yet: it gets a transaction of its own."""


Command = TypeVar("Command")
Answer = TypeVar("Answer")
Decide = Callable[[Work, Sequence[tuple[Work, Command]]], Awaitable[list[Answer | MetisError | Alone]]]


@dataclass(frozen=True)
class Apart(Generic[Command, Answer]):
    """In the combiner's place for a request with an Idempotency-Key, whose answer commits with its effect, in `work`."""

    work: Work
    decide: Callable[[Work, Command], Awaitable[Answer]]

    async def submit(self, caller: Caller, command: Command) -> Answer:
        return await self.decide(self.work, command)


@dataclass
class _Asked(Generic[Command, Answer]):
    caller: Caller
    command: Command
    answer: "asyncio.Future[Answer]"
    context: contextvars.Context = field(default_factory=contextvars.copy_context)


class Combiner(Generic[Command, Answer]):
    """`decide` takes any number of commands in one work and answers each; see `decide_missions`."""

    def __init__(self, database: Database, decide: Decide[Command, Answer]) -> None:
        self._database = database
        self._decide = decide
        self._waiting: dict[str, deque[_Asked[Command, Answer]]] = {}
        self._runners: dict[str, asyncio.Task[None]] = {}
        self._alone: set[asyncio.Task[None]] = set()

    async def submit(self, caller: Caller, command: Command) -> Answer:
        """The answer, once it is committed. Raises what the command alone would have raised.

        A caller that stops waiting does not take its command back: it may be committed already.
        """
        asked = _Asked[Command, Answer](caller, command, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(caller.territory, deque()).append(asked)
        if caller.territory not in self._runners:
            # Under nobody's trace: it serves many.
            runner = asyncio.create_task(self._run(caller.territory), context=contextvars.Context())
            self._runners[caller.territory] = runner
        return await asyncio.shield(asked.answer)

    async def _run(self, territory: str) -> None:
        """Empty a territory's queue, a batch a transaction. While one commits, the next gathers."""
        waiting = self._waiting[territory]
        try:
            await asyncio.sleep(0)  # whoever asks in this turn of the loop comes along
            while waiting:
                batch = [waiting.popleft() for _ in range(min(BATCH, len(waiting)))]
                try:
                    await self._answer(territory, batch)
                except Exception as error:
                    await self._answer_alone(territory, batch, error)
        finally:
            del self._runners[territory], self._waiting[territory]

    async def _answer(self, territory: str, batch: Sequence[_Asked[Command, Answer]]) -> None:
        # One alone has the work to itself, and with it what is kept of a refusal.
        caller = batch[0].caller if len(batch) == 1 else Caller.system(territory)
        async with open_work(self._database, caller, now=utc_now()) as work:
            if len(batch) == 1:
                work.context = batch[0].context
                asked = [(work, batch[0].command)]
            else:
                asked = [(work.for_caller(one.caller, context=one.context), one.command) for one in batch]
            answers = await self._decide(work, asked)
        for one, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Alone):
                self._leave_alone(territory, one)
            elif isinstance(answer, MetisError):
                self._fail(one, answer)
            elif not one.answer.done():
                one.answer.set_result(answer)

    def _leave_alone(self, territory: str, one: _Asked[Command, Answer]) -> None:
        """In a transaction of its own, for which nobody else waits: it may have to wait for a lock."""
        task = asyncio.create_task(self._answer_one(territory, one), context=contextvars.Context())
        self._alone.add(task)
        task.add_done_callback(self._alone.discard)

    async def _answer_one(self, territory: str, one: _Asked[Command, Answer]) -> None:
        try:
            await self._answer(territory, [one])
        except Exception as error:
            self._fail(one, error)

    async def _answer_alone(self, territory: str, batch: Sequence[_Asked[Command, Answer]], error: Exception) -> None:
        if len(batch) > 1 and not is_passing(error):
            log.warning("a batch of %d commands failed (%r); each is tried alone", len(batch), error)
            for one in batch:
                await self._answer_one(territory, one)
            return
        for one in batch:
            self._fail(one, error)

    def _fail(self, one: _Asked[Command, Answer], error: Exception) -> None:
        if not one.answer.done():
            one.answer.set_exception(error)

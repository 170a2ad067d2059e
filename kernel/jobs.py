"""Work that a service does by the clock (sweepers, senders), in one replica at a time."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from kernel.cancellation import raise_if_cancelled
from kernel.database import Database

log = logging.getLogger("metis.jobs")


@dataclass(frozen=True)
class Job:
    """`run` is called every `every_seconds`, and at once when `wake` is set. It opens its own works.

    `wake` lets a use case hurry a job it just gave something to do (after its commit: a job that finds nothing yet
    is called again by the clock). `step_down` is called when another process is found to lead: what this one showed of the
    job (its metrics) is no longer looked after.
    """

    name: str
    every_seconds: float
    run: Callable[[Database], Awaitable[None]]
    wake: asyncio.Event | None = None
    step_down: Callable[[], None] = lambda: None


async def run_job(job: Job, database: Database) -> None:
    """Run one job for ever. An error is logged and the job tried again at its next turn."""
    while True:
        raise_if_cancelled()
        try:
            async with Leadership(database.url, f"job:{job.name}", on_other=job.step_down) as leadership:
                while leadership.holds:
                    raise_if_cancelled()
                    await job.run(database)
                    await _pause(job)
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("job %s failed; it will be tried again", job.name)
            await asyncio.sleep(min(job.every_seconds, 5))


async def _pause(job: Job) -> None:
    if job.wake is None:
        await asyncio.sleep(job.every_seconds)
    else:
        await until_woken(job.wake, job.every_seconds)
        job.wake.clear()


async def until_woken(wake: asyncio.Event, seconds: float) -> None:
    """Until somebody wakes us, or for so long: a wake-up can be missed, the clock cannot."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await wake.wait()


class Leadership:
    """An advisory lock held by one process: others wait until it leaves, dies, or loses its connection. `on_other` is called
    once by each that has to wait."""

    def __init__(self, url: str, name: str, *, poll_seconds: float = 1.0, on_other: Callable[[], None] = lambda: None) -> None:
        self._url = url
        self._name = name
        self._poll_seconds = poll_seconds
        self._on_other = on_other
        self._connection: asyncpg.Connection[Any] | None = None

    @property
    def connection(self) -> "asyncpg.Connection[Any]":
        """The session that holds the lock."""
        assert self._connection is not None
        return self._connection

    @property
    def holds(self) -> bool:
        return self._connection is not None and not self._connection.is_closed()

    async def __aenter__(self) -> "Leadership":
        # TCP keepalives let the server notice a dead host, and so free the lock.
        self._connection = await asyncpg.connect(
            self._url, timeout=10, command_timeout=30, server_settings={"tcp_keepalives_idle": "10", "jit": "off"}
        )
        try:
            if not await self._is_first(self._connection):
                self._on_other()
                while not await self._is_first(self._connection):
                    raise_if_cancelled()
                    await asyncio.sleep(self._poll_seconds)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def _is_first(self, connection: "asyncpg.Connection[Any]") -> bool:
        return bool(await connection.fetchval("SELECT pg_try_advisory_lock(hashtextextended($1, 0))", self._name))

    async def __aexit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


async def run_all(jobs: Sequence[Job], database: Database) -> None:
    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(run_job(job, database), name=f"job:{job.name}")

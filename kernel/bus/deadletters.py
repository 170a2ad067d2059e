"""What `metis deadletters` and `metis events replay` do in a service's database."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

MALFORMED = "?"  # the type of what is no event: no handler can be given it


@dataclass(frozen=True)
class DeadLetter:
    """An event that a service could not handle; `body` is the CloudEvent as it travelled."""

    event_id: UUID
    type: str
    subject: str
    territory: str
    attempts: int
    reason: str
    stack: str
    parked_at: datetime
    body: bytes

    @property
    def is_malformed(self) -> bool:
        return self.type == MALFORMED


_COLUMNS = "event_id, type, subject, territory, attempts, reason, stack, parked_at, body"


async def list_dead_letters(connection: "asyncpg.Connection[Any]", *, limit: int = 200) -> list[DeadLetter]:
    """The oldest first."""
    rows = await connection.fetch(f"SELECT {_COLUMNS} FROM dead_letter ORDER BY parked_at, event_id LIMIT $1", limit)
    return [DeadLetter(**dict(row)) for row in rows]


async def find_dead_letter(connection: "asyncpg.Connection[Any]", event_id: UUID) -> DeadLetter | None:
    row = await connection.fetchrow(f"SELECT {_COLUMNS} FROM dead_letter WHERE event_id = $1", event_id)
    return DeadLetter(**dict(row)) if row else None


async def map_dead_letters(connection: "asyncpg.Connection[Any]") -> dict[UUID, bool]:
    """The ids of all of them, and whether each is malformed."""
    rows = await connection.fetch("SELECT event_id, type FROM dead_letter ORDER BY parked_at, event_id")
    return {row["event_id"]: row["type"] == MALFORMED for row in rows}


async def replay_dead_letters(connection: "asyncpg.Connection[Any]", event_ids: Sequence[UUID]) -> int:
    """Give them to the service's handlers again, with all their tries; returns how many there were. Malformed ones stay."""
    async with connection.transaction():
        rows = await connection.fetch(
            "DELETE FROM dead_letter WHERE event_id = ANY($1::uuid[]) AND type <> $2 RETURNING event_id, subject, body",
            event_ids,
            MALFORMED,
        )
        await connection.executemany(
            "INSERT INTO retry (event_id, subject, body, attempts, due_at, reason)"
            " VALUES ($1, $2, $3, 0, now(), 'replayed on demand') ON CONFLICT DO NOTHING",
            [(row["event_id"], row["subject"], row["body"]) for row in rows],
        )
    return len(rows)


async def drop_dead_letters(connection: "asyncpg.Connection[Any]", event_ids: Sequence[UUID]) -> int:
    """Delete them for good; returns how many there were."""
    rows = await connection.fetch("DELETE FROM dead_letter WHERE event_id = ANY($1::uuid[]) RETURNING event_id", event_ids)
    return len(rows)


async def offer_again(connection: "asyncpg.Connection[Any]", events: Sequence[tuple[UUID, str, bytes]]) -> int:
    """Queue past events (id, subject, body) for a service that may have missed them.

    What its inbox knows is left out, so that a replay is safe to repeat; returns how many were queued.
    """
    queued = 0
    async with connection.transaction():
        for event_id, subject, body in events:
            status = await connection.execute(
                "INSERT INTO retry (event_id, subject, body, attempts, due_at, reason)"
                " SELECT $1, $2, $3, 0, now(), 'replayed from the event log'"
                " WHERE NOT EXISTS (SELECT 1 FROM inbox WHERE event_id = $1)"
                " AND NOT EXISTS (SELECT 1 FROM dead_letter WHERE event_id = $1) ON CONFLICT DO NOTHING",
                event_id, subject, body,
            )  # fmt: skip
            queued += status.endswith("1")
    return queued

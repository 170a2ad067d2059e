"""Past events given to a service again (`metis events replay`): a service that was added late, or restored from a backup."""

import asyncio
import importlib
from datetime import datetime

from cli.console import CliError, console
from cli.databases import chosen_services, connect, each_territory
from cli.state import State

LOG_SERVICE = "notifications"  # it hears every event and keeps them for a while
BATCH = 1000
_PAST_EVENTS = """
SELECT event_id, type, subject, body FROM event_log
WHERE recorded_at >= $1 AND starts_with(type, $2) AND territory = $3 ORDER BY recorded_at, event_id
"""


async def replay(state: State, *, service: str, since: datetime, type_prefix: str = "", dry_run: bool = False) -> tuple[int, int]:
    """Queue what the log holds since then, the service listens to and its inbox does not know. Returns (seen, queued)."""
    from kernel.bus.deadletters import offer_again

    handlers = importlib.import_module(f"services.{service}.handlers").handlers
    seen = queued = 0
    log = await connect(LOG_SERVICE, state)
    target = await connect(service, state)
    try:
        async for territory in each_territory(log):
            async with log.transaction():
                cursor = await log.cursor(_PAST_EVENTS, since, type_prefix, territory)
                while rows := await cursor.fetch(BATCH):
                    events = [(row["event_id"], row["subject"], row["body"]) for row in rows if handlers.wants(row["type"])]
                    seen += len(events)
                    if not dry_run:
                        queued += await offer_again(target, events)
    finally:
        await log.close()
        await target.close()
    return seen, queued


def run(state: State, *, service: str, since: datetime, type_prefix: str, dry_run: bool) -> None:
    if since.tzinfo is None:
        since = since.astimezone()
    if since > datetime.now(since.tzinfo):
        raise CliError(f"{since} lies in the future.", cure="Give a past moment, e.g. --since 2026-11-01.")
    chosen_services(service)
    seen, queued = asyncio.run(replay(state, service=service, since=since, type_prefix=type_prefix, dry_run=dry_run))
    if dry_run:
        console.print(f"{seen} events for {service} in the log since {since:%Y-%m-%d %H:%M %Z}; nothing was queued (--dry-run).")
    else:
        console.print(
            f"{seen} events for {service} in the log since {since:%Y-%m-%d %H:%M %Z}; {queued} queued, the rest it knows."
        )

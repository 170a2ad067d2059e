"""Bells: a use case that leaves an errand rings, and the sender's job looks at once instead of at its next turn."""

import asyncio

# The commit follows the use case; a sender that looked before it would find nothing.
UNTIL_COMMITTED_SECONDS = 0.05
# Events come in bursts, and what is told together takes a fraction of the work.
UNTIL_TOLD_SECONDS = 0.2

announcements_wait = asyncio.Event()
emails_wait = asyncio.Event()
deliveries_wait = asyncio.Event()


def ring_soon(bell: asyncio.Event, *, after_seconds: float = UNTIL_COMMITTED_SECONDS) -> None:
    """Ring when the transaction at hand has probably committed; if it has not, the job's clock finds the errand."""
    asyncio.get_running_loop().call_later(after_seconds, bell.set)

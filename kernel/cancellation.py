"""Tasks that end when they are told to."""

import asyncio


def raise_if_cancelled() -> None:
    """Raise CancelledError in a task that was cancelled and went on.

    Until Python 3.12 `asyncio.wait_for` may swallow a cancellation that comes in the same moment as the answer it waits for
    (https://github.com/python/cpython/issues/86296), and clients of SMTP, PostgreSQL and AMQP wait by it. A loop without an
    end asks here once a turn; it would otherwise keep its process from stopping.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError

"""What becomes of an e-mail that did not leave."""

from collections.abc import Sequence

from kernel.work import Work
from services.notifications.domain.errands import Errand, ErrandKind, decide_next_try
from services.notifications.domain.messages import Email, EmailState
from services.notifications.store import errands, messages


async def record_failure(
    work: Work,
    email: Email,
    errand: Errand,
    *,
    reason: str,
    permanent: bool,
    delays_seconds: Sequence[float],
    jitter: float,
) -> None:
    """Another try later, or none: the server refused it for good, or all tries are spent."""
    next_try_at = decide_next_try(now=work.now, tries=errand.tries, delays_seconds=delays_seconds, jitter=jitter)
    state = EmailState.FAILED if permanent or next_try_at is None else EmailState.WAITING
    await messages.save_failure(work, email.id, state=state, tries=errand.tries, reason=reason[:500])
    if state is EmailState.FAILED or next_try_at is None:
        await errands.finish_errands(work, ErrandKind.EMAIL, [email.id])
    else:
        await errands.postpone_errands(work, ErrandKind.EMAIL, [email.id], until=next_try_at)

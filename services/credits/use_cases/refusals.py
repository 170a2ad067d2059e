"""What a rule refuses of pledges, withdrawals, signatures, reversals and carry-ins is kept, as a mission's refusal is.

Its own transaction is rolled back with all that it had done, so the refusal is written in another one right after it
(`Work.when_refused`). What cannot be understood, is not allowed, or does not exist is no refusal by a rule, and is not kept.
"""

from functools import partial

from kernel.work import Work
from services.credits.domain.errors import Refused
from services.credits.domain.refusals import Attempt, why_refused
from services.credits.store import ledger
from services.credits.store import refusals as store


def keep_if_refused(work: Work, attempt: Attempt) -> None:
    """From here on this is what the work tries; the last one said holds."""
    work.when_refused = partial(_keep, attempt)


async def _keep(attempt: Attempt, work: Work, error: Refused) -> None:
    missing_minutes = error.members.get("missing_minutes", 0)
    account = error.members.get("account")
    who = ledger.author_of(work).who
    await store.add_refusal(
        work,
        attempt,
        code=error.code,
        reason=why_refused(error.code, missing_minutes=missing_minutes, account=account),
        missing_minutes=missing_minutes,
        account=account,
        who=who,
    )

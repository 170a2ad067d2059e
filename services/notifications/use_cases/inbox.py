"""What a person does with their messages: read them, choose which to get."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from kernel.errors import Forbidden
from kernel.work import Work
from services.notifications.domain.messages import Notice
from services.notifications.domain.people import Preference, decide_preferences
from services.notifications.store import messages


async def read_notice(work: Work, id: UUID) -> Notice:
    """Mark a notice as read; the first reading counts."""
    notice = await messages.get_notice(work, id)
    if notice.read_at is None:
        await messages.save_reading(work, id)
        notice = replace(notice, read_at=work.now)
    return notice


def require_person(work: Work) -> UUID:
    """The person who calls; a program has no preferences."""
    if work.caller.member_id is None:
        raise Forbidden("Preferences belong to a person; sign in as a member, not as an organisation or a program.")
    return work.caller.member_id


async def choose_preferences(work: Work, chosen: Sequence[Preference]) -> list[Preference]:
    """Replace the caller's preferences; a category that is not named gets both channels again."""
    complete = decide_preferences(chosen)
    await messages.save_preferences(work, require_person(work), complete)
    return complete

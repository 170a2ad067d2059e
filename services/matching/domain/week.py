"""Parts of a week: when in the week a need can be worked on, and a volunteer is free.

As a mask, bit 3 × weekday + part (Monday 0; morning 0, afternoon 1, evening 2): two weeks then meet where `one & other`
is not zero, for one pair as for a million.
"""

from collections.abc import Iterable
from datetime import date, timedelta
from enum import StrEnum

WeekPart = StrEnum(
    "WeekPart",
    "MONDAY_MORNING MONDAY_AFTERNOON MONDAY_EVENING "
    "TUESDAY_MORNING TUESDAY_AFTERNOON TUESDAY_EVENING "
    "WEDNESDAY_MORNING WEDNESDAY_AFTERNOON WEDNESDAY_EVENING "
    "THURSDAY_MORNING THURSDAY_AFTERNOON THURSDAY_EVENING "
    "FRIDAY_MORNING FRIDAY_AFTERNOON FRIDAY_EVENING "
    "SATURDAY_MORNING SATURDAY_AFTERNOON SATURDAY_EVENING "
    "SUNDAY_MORNING SUNDAY_AFTERNOON SUNDAY_EVENING",
)
WHOLE_WEEK = (1 << len(WeekPart)) - 1
_BIT = {part: 1 << number for number, part in enumerate(WeekPart)}
_DAY = 0b111


def week_mask(parts: Iterable[WeekPart]) -> int:
    """The mask of these parts; none named means any time."""
    return sum(_BIT[part] for part in set(parts)) or WHOLE_WEEK


def list_parts(mask: int) -> list[WeekPart]:
    return [part for part in WeekPart if mask & _BIT[part]]


def days_mask(first: date, last: date) -> int:
    """The parts of the week that occur between two days, both included; none when the first is after the last."""
    days = (last - first).days + 1
    if days >= 7:
        return WHOLE_WEEK
    return sum(_DAY << 3 * (first + timedelta(days=number)).weekday() for number in range(days))

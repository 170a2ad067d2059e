"""What a statement's line says of mission, person and other lines: the same words on paper and on screen.

Ids and accounts are text here, for a line comes from the ledger or over the API.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# Eight of them stay apart among the thousands of lines that a statement may have; the CSV has the id whole.
_NUMBER_DIGITS = 8
_PLATFORM = {"system": "Métis"}


@dataclass(frozen=True)
class Link:
    """How a transfer and the reversals of it hang together."""

    id: str
    minutes: int
    reverses: str | None
    reversed_by: str | None  # the last reversal, if there are several
    reversed_minutes: int


def number_text(transfer_id: str) -> str:
    return f"n°\u00a0{transfer_id[-_NUMBER_DIGITS:]}"


def person_text(*, volunteer: str | None, who: str, names: Mapping[str, str]) -> str:
    """Who serves the mission; else who brought the line about. People whose names are not at hand stay numbers."""
    if volunteer is not None:
        return names.get(volunteer, volunteer)
    return f"par {_PLATFORM.get(who) or names.get(who, who)}"


def subject_text(*, mission: str | None, accounts: Iterable[str], names: Mapping[str, str]) -> str:
    """What a line is about: its mission; else, where a statement is not of one holder, whose account it moves.

    An account is named `credit/{campaign}/{holder}`; the campaign's own have no third part.
    """
    if mission is not None:
        return mission
    holder = next((parts[2] for name in accounts if len(parts := name.split("/")) > 2), "")
    return names.get(holder, holder)


def describe_links(links: Iterable[Link], *, is_present: bool) -> dict[str, list[str]]:
    """For each line what undid it, or what it undoes.

    A statement of the books as they stood then knows of no later reversal: there, only those of its own lines count.
    """
    links = list(links)
    reversals: dict[str, list[Link]] = defaultdict(list)
    for link in links:
        if link.reverses:
            reversals[link.reverses].append(link)
    return {link.id: _describe(link, reversals.get(link.id, []), is_present=is_present) for link in links}


def _describe(link: Link, reversals: list[Link], *, is_present: bool) -> list[str]:
    said = [f"annule {number_text(link.reverses)}"] if link.reverses else []
    if reversals:
        numbers = ", ".join(number_text(one.id) for one in reversals)
        said.append(f"{_undone(link, sum(one.minutes for one in reversals))} par {numbers}")
    elif link.reversed_by and is_present:
        said.append(f"{_undone(link, link.reversed_minutes)} depuis par {number_text(link.reversed_by)}")
    return said


def _undone(link: Link, minutes: int) -> str:
    return "annulée" if minutes >= link.minutes else "annulée en partie"

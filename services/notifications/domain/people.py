"""People as this service knows them, and what they want to be told."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Category(StrEnum):
    """What messages are about; each can be switched off by itself, for e-mail and for the inbox."""

    PROPOSALS = "proposals"  # missions proposed, accepted, declined
    MISSIONS = "missions"  # missions that run, from the reservation to the end
    NEEDS = "needs"  # needs opened and withdrawn
    CREDIT = "credit"  # campaigns, pledges, grants, expiry
    ACCOUNT = "account"  # one's own record, one's webhooks


@dataclass(frozen=True)
class Preference:
    """Which channels a person wants for a category. Who never chose wants both."""

    category: Category
    email: bool = True
    inbox: bool = True


@dataclass(frozen=True)
class Member:
    """A person, with what they want of the category at hand."""

    id: UUID
    actor_id: UUID | None
    display_name: str
    email: str
    roles: frozenset[str]
    locale: str
    archived: bool = False
    wants_email: bool = True
    wants_inbox: bool = True


def decide_preferences(chosen: Iterable[Preference]) -> list[Preference]:
    """One preference for each category: the chosen one, else both channels."""
    by_category = {preference.category: preference for preference in chosen}
    return [by_category.get(category, Preference(category)) for category in Category]

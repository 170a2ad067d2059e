"""Builders of the registry's records and bodies: one valid thing each, with what a test cares about changed."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from kernel.ids import new_id
from services.registry.domain.records import Actor, ActorFacts, ActorKind, FieldOfAction, Member, MemberFacts, MemberRole

RECORDED = datetime(2026, 2, 2, 9, 0, tzinfo=UTC)
LATER = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def make_actor_facts(**changes: Any) -> ActorFacts:
    facts = ActorFacts(
        kind=ActorKind.ASSOCIATION,
        name="Lire ensemble",
        commune="92071",
        fields_of_action=(FieldOfAction.CULTURE,),
        is_example=True,
    )
    return replace(facts, **changes)


def make_actor(*, ref: str = "asso-lire-ensemble", id: UUID | None = None, **facts: Any) -> Actor:
    return Actor(id or new_id(), ref, 1, make_actor_facts(**facts), RECORDED, RECORDED)


def make_member_facts(**changes: Any) -> MemberFacts:
    facts = MemberFacts(display_name="Odile Exemple", email="odile@exemple.test", roles=(MemberRole.VOLUNTEER,))
    return replace(facts, **changes)


def make_member(*, ref: str = "odile", **facts: Any) -> Member:
    return Member(new_id(), ref, 1, make_member_facts(**facts), RECORDED, RECORDED)


def make_actor_body(**changes: Any) -> dict[str, Any]:
    """The JSON of an actor, as a client sends it."""
    return {"kind": "association", "name": "Lire ensemble", "commune": "92071", "fields_of_action": ["culture"]} | changes


def make_member_body(**changes: Any) -> dict[str, Any]:
    """The JSON of a member, as a client sends it."""
    return {"display_name": "Odile Exemple", "email": "odile@exemple.test", "roles": ["volunteer"]} | changes


def make_commune_body(**changes: Any) -> dict[str, Any]:
    """The JSON of Sceaux as a commune."""
    return {
        "name": "Sceaux",
        "latitude": 48.776,
        "longitude": 2.29628,
        "postcodes": ["92330"],
        "epci_siren": "200054781",
        "ept_siren": "200057966",
    } | changes


def with_luhn(digits: str) -> str:
    """The digits and the check digit that Luhn's rule adds to them; independent of the code under test."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if position % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return digits + str(-total % 10)

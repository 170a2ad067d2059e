"""Territory, communes, actors, members: what is kept of them, and when it changes."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar
from uuid import UUID

from kernel.errors import BadInput, FieldError, Forbidden, Refused
from services.registry.domain.identifiers import READERS, IdentifierKind


class ActorKind(StrEnum):
    ASSOCIATION = "association"
    COMPANY = "company"
    COOPERATIVE = "cooperative"
    MUTUAL = "mutual"
    FOUNDATION = "foundation"
    SOCIAL_ENTERPRISE = "social_enterprise"
    PUBLIC_BODY = "public_body"
    THIRD_PLACE = "third_place"
    COLLECTIVE = "collective"
    OPERATOR = "operator"


class FieldOfAction(StrEnum):
    SOCIAL_ENTREPRENEURSHIP = "social_entrepreneurship"
    CITIZEN_PARTICIPATION = "citizen_participation"
    AGRICULTURE = "agriculture"
    YOUTH = "youth"
    SPORT = "sport"
    EDUCATION_TRAINING = "education_training"
    HEALTH = "health"
    HOUSING = "housing"
    MOBILITY = "mobility"
    CULTURE = "culture"
    LEISURE = "leisure"
    HUMANITARIAN_AID = "humanitarian_aid"
    SOCIAL_ACTION = "social_action"


class Locale(StrEnum):
    FR = "fr"
    EN = "en"


class MemberRole(StrEnum):
    """What a person does in the scheme; the same words as the roles of the callers."""

    OFFICER = "officer"
    OPERATOR = "operator"
    ASSOCIATION = "association"
    COMPANY = "company"
    VOLUNTEER = "volunteer"
    AUDITOR = "auditor"


class Outcome(StrEnum):
    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


class IdentifierTaken(Refused):
    code, title = "identifier-taken", "Another actor bears this identifier"


class RefTaken(Refused):
    code, title = "ref-taken", "This key is already in use"


class Archived(Refused):
    code, title = "archived", "It is archived"


@dataclass(frozen=True)
class Territory:
    """A municipality that runs the scheme; its INSEE code is the tenant's key."""

    code: str
    name: str


@dataclass(frozen=True)
class Commune:
    """A commune the territory deals with: its centre in degrees (WGS 84), and both levels of cooperation at once."""

    insee: str
    name: str
    latitude: float
    longitude: float
    postcodes: tuple[str, ...] = ()
    epci_siren: str | None = None
    ept_siren: str | None = None


@dataclass(frozen=True)
class ActorFacts:
    """What the town states about an actor. `unverified_identifiers` keeps what an import gave and nothing could verify."""

    kind: ActorKind
    name: str
    commune: str
    fields_of_action: tuple[FieldOfAction, ...] = ()
    siren: str | None = None
    siret: str | None = None
    rna: str | None = None
    email: str | None = None
    website: str | None = None
    description: str | None = None
    is_example: bool = False
    unverified_identifiers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Archival:
    """Taken out of use, and why; the row stays, because ledger and missions speak of it."""

    at: datetime
    reason: str
    by: str


@dataclass(frozen=True)
class MemberFacts:
    """What is known of a person. No `actor_id`: a citizen who acts for themself."""

    display_name: str
    email: str
    roles: tuple[MemberRole, ...]
    locale: Locale = Locale.FR
    actor_id: UUID | None = None


Facts = TypeVar("Facts", ActorFacts, MemberFacts)


@dataclass(frozen=True)
class Record(Generic[Facts]):
    """An actor or a member as the registry keeps them: facts, their version, and the officer's own key `ref`."""

    id: UUID
    ref: str
    version: int
    facts: Facts
    recorded_at: datetime
    changed_at: datetime
    archival: Archival | None = None


Actor = Record[ActorFacts]
Member = Record[MemberFacts]


# ---- Decisions ----------------------------------------------------------------------------------------------------


def check_identifiers(facts: ActorFacts) -> ActorFacts:
    """The facts with identifiers in their one written form; a SIRET gives the SIREN that it contains.

    Raises BadInput that names every faulty field at once, with what to do about it.
    """
    faults: list[FieldError] = []
    read: dict[str, str | None] = {}
    for kind, reader in READERS.items():
        value: str | None = getattr(facts, kind)
        try:
            read[kind] = reader(value) if value is not None else None
        except ValueError as reason:
            faults.append(FieldError(f"/{kind}", f"{reason}. {_cure(kind)}"))
    siren, siret = read.get("siren"), read.get("siret")
    if siren and siret and not siret.startswith(siren):
        faults.append(FieldError("/siret", f"it begins with the SIREN {siret[:9]}, not with {siren}; correct one of the two."))
    checked = replace(facts, siren=siren or (siret[:9] if siret else None), siret=siret, rna=read.get("rna"))
    faults += _contradictions(checked)
    if faults:
        raise BadInput("; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults), fields=faults)
    return checked


def _cure(kind: IdentifierKind) -> str:
    return f"Copy it from the official notice, or leave it out (an import may keep it as /unverified_identifiers/{kind})."


def _contradictions(facts: ActorFacts) -> list[FieldError]:
    """An identifier is verified or unverified; which of two values is true is not ours to guess."""
    return [
        FieldError(f"/unverified_identifiers/{kind}", f"the {kind.upper()} {getattr(facts, kind)} is given as well; keep one.")
        for kind in facts.unverified_identifiers
        if getattr(facts, kind) is not None
    ]


def apply_changes(facts: ActorFacts, changes: Mapping[str, object]) -> ActorFacts:
    """An edit of some facts. An identifier stated at last replaces the unverified one (a SIRET states its SIREN, too)."""
    stated = {kind for kind in READERS if changes.get(kind) is not None}
    if IdentifierKind.SIRET in stated:
        stated.add(IdentifierKind.SIREN)
    unverified = {kind: value for kind, value in facts.unverified_identifiers.items() if kind not in stated}
    return check_identifiers(replace(facts, **{**changes, "unverified_identifiers": unverified}))  # type: ignore[arg-type]


def identifier_taken(kind: IdentifierKind, value: str, bearer: Actor) -> IdentifierTaken:
    """The refusal that names who bears the identifier already."""
    known_as = f"{bearer.facts.name} (key {bearer.ref})"
    return IdentifierTaken(
        f"The {kind.upper()} {value} belongs to {known_as}; correct that one, archive it, or check the number.",
        fields=[FieldError(f"/{kind}", f"{value} belongs to {known_as}.")],
        actor_id=bearer.id,
    )


def decide_change(record: Record[Facts], facts: Facts, *, now: datetime) -> Record[Facts]:
    """The record with new facts: itself when they say nothing new, the next version otherwise. Archived ones refuse."""
    if facts == record.facts:
        return record
    _refuse_archived(record.archival)
    return replace(record, facts=facts, version=record.version + 1, changed_at=now)


def decide_archival(record: Record[Facts], archival: Archival) -> Record[Facts]:
    _refuse_archived(record.archival)
    return replace(record, archival=archival, version=record.version + 1, changed_at=archival.at)


def _refuse_archived(archival: Archival | None) -> None:
    if archival is not None:
        raise Archived(f"It was archived on {archival.at:%Y-%m-%d} ({archival.reason}); record a new one under another key.")


def check_member_roles(facts: MemberFacts, *, before: MemberFacts | None, by_officer: bool) -> None:
    """People of an association or company must name it; only an officer makes, or unmakes, an officer."""
    if facts.actor_id is None and {MemberRole.ASSOCIATION, MemberRole.COMPANY} & set(facts.roles):
        raise BadInput.at("/actor_id", "a person with the role association or company acts for an actor; name it.")
    was_officer = before is not None and MemberRole.OFFICER in before.roles
    if (MemberRole.OFFICER in facts.roles) != was_officer and not by_officer:
        raise Forbidden("Only an officer gives or takes the role officer.")


def fold(text: str) -> str:
    """A text as people search it: without case, accents and ligatures, blanks single."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(char for char in decomposed if not unicodedata.combining(char))
    # Folded again: what stood in another form of a letter (mathematical capitals, say) has shown its case only now.
    plain = unicodedata.normalize("NFKD", bare.casefold()).replace("œ", "oe").replace("æ", "ae")
    return " ".join("".join(char for char in plain if not unicodedata.combining(char)).split())

"""The HTTP shapes of the registry: bounded, and turned into the domain's facts."""

from datetime import datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.json_schema import SkipJsonSchema

from kernel.errors import BadInput
from services.registry.domain.clients import Client, ClientRole
from services.registry.domain.identifiers import INSEE_PATTERN, IdentifierKind, read_siren
from services.registry.domain.records import (
    Actor,
    ActorFacts,
    ActorKind,
    Commune,
    FieldOfAction,
    Locale,
    Member,
    MemberFacts,
    MemberRole,
    Outcome,
    Territory,
)

# Something that can be seen, and no NUL (PostgreSQL keeps none).
_VISIBLE = r"^[^\x00]*[^\x00\s][^\x00]*$"


def _check_email(value: str) -> str:
    """Syntax only. `.test` is let through: examples and rehearsals write to people who do not exist (RFC 6761)."""
    try:
        return validate_email(value, check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError as error:
        raise ValueError(f"{error} Write it as name@example.org.") from error


def _without_repeats(values: list[Any]) -> list[Any]:
    """Sorted, each once: an order that means nothing must not look like a change."""
    return sorted(set(values))


Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=_VISIBLE)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000, pattern=_VISIBLE)]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=500, pattern=_VISIBLE)]
Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=254, pattern=_VISIBLE),
    AfterValidator(_check_email),
    Field(json_schema_extra={"format": "email"}),
]
Website = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500, pattern=r"^https?://[^\x00\s]+$")]
# Identifiers come as people type them; the domain reads them and names what is wrong.
Typed = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40, pattern=_VISIBLE)]
Siren = Annotated[str, StringConstraints(max_length=20), AfterValidator(read_siren)]
Insee = Annotated[str, StringConstraints(pattern=INSEE_PATTERN)]
Postcode = Annotated[str, StringConstraints(pattern=r"^[0-9]{5}$")]
Ref = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,79}$")]
ClientId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Fields = Annotated[list[FieldOfAction], Field(max_length=13), AfterValidator(_without_repeats)]
MemberRoles = Annotated[list[MemberRole], Field(min_length=1, max_length=6), AfterValidator(_without_repeats)]
ClientRoles = Annotated[list[ClientRole], Field(min_length=1, max_length=9), AfterValidator(_without_repeats)]
Scopes = Annotated[list[Annotated[str, StringConstraints(pattern=r"^[a-z]+:[a-z]+$", max_length=40)]], Field(max_length=20)]


class Body(BaseModel):
    """A request body: a field that we do not know is a typing error, and is said to be one."""

    model_config = ConfigDict(extra="forbid")


class Patch(Body):
    """An edit: fields left out stay. Those named in `never_null` may change but not become null."""

    never_null: ClassVar[frozenset[str]] = frozenset()

    def changes(self) -> dict[str, object]:
        """What the edit states; lists as the tuples that the domain keeps. Raises BadInput for a null out of place."""
        stated = {name: getattr(self, name) for name in self.model_fields_set}
        for name in sorted(self.never_null & stated.keys()):
            if stated[name] is None:
                raise BadInput.at(f"/{name}", "it cannot be null; leave it out to keep it.")
        return {name: tuple(value) if isinstance(value, list) else value for name, value in stated.items()}


class ArchivalBody(Body):
    reason: Reason


class ArchivalOut(BaseModel):
    at: datetime
    reason: str
    by: str = Field(description="Member, actor or client who archived it.")


# ---- Territory and communes ---------------------------------------------------------------------------------------


class TerritoryBody(Body):
    name: Line


class TerritoryOut(BaseModel):
    territory: str = Field(description="INSEE code of the commune.")
    name: str

    @classmethod
    def of(cls, territory: Territory) -> "TerritoryOut":
        return cls(territory=territory.code, name=territory.name)


class CommuneBody(Body):
    name: Line
    latitude: float = Field(ge=-90, le=90, allow_inf_nan=False, description="Of the centre, in degrees (WGS 84).")
    longitude: float = Field(ge=-180, le=180, allow_inf_nan=False)
    postcodes: list[Postcode] = Field([], max_length=50)
    epci_siren: Siren | None = Field(None, description="The métropole or communauté it belongs to.")
    ept_siren: Siren | None = Field(None, description="Its établissement public territorial (Grand Paris).")

    def to_commune(self, insee: str) -> Commune:
        return Commune(insee=insee, **self.model_dump(exclude={"postcodes"}), postcodes=tuple(_without_repeats(self.postcodes)))


class CommuneOut(BaseModel):
    insee: str
    name: str
    latitude: float
    longitude: float
    postcodes: list[str]
    epci_siren: str | None
    ept_siren: str | None

    @classmethod
    def of(cls, commune: Commune) -> "CommuneOut":
        return cls(**{**vars(commune), "postcodes": list(commune.postcodes)})


class CommuneRecordOut(CommuneOut):
    outcome: Outcome


# ---- Actors -------------------------------------------------------------------------------------------------------


class ActorFactsBody(Body):
    kind: ActorKind
    name: Line
    commune: Insee = Field(description="INSEE code of the commune of its seat; the address itself is not kept.")
    fields_of_action: Fields = []
    siren: Typed | None = Field(None, examples=["552 100 554"])
    siret: Typed | None = None
    rna: Typed | None = Field(None, examples=["W922000123"])
    email: Email | None = Field(None, description="The organisation's public address, not a person's.")
    website: Website | None = None
    description: Text | None = None
    is_example: bool = Field(False, description="Invented for a demonstration; screens say so.")

    def to_facts(self) -> ActorFacts:
        given = {name: getattr(self, name) for name in ActorFactsBody.model_fields}
        return ActorFacts(**{**given, "fields_of_action": tuple(self.fields_of_action)})


class ActorBody(ActorFactsBody):
    ref: Ref | None = Field(None, description="Your own key for it; without one, its id.")


class ActorImport(ActorFactsBody):
    """An actor as a file gives it, with what could not be verified kept rather than dropped."""

    unverified_identifiers: dict[IdentifierKind, Typed] = Field({}, max_length=3)

    def to_facts(self) -> ActorFacts:
        facts = vars(super().to_facts())
        kept = {kind.value: value for kind, value in self.unverified_identifiers.items()}
        return ActorFacts(**{**facts, "unverified_identifiers": kept})


class ActorPatch(Patch):
    never_null = frozenset({"kind", "name", "commune", "fields_of_action", "is_example"})

    kind: ActorKind | SkipJsonSchema[None] = None
    name: Line | SkipJsonSchema[None] = None
    commune: Insee | SkipJsonSchema[None] = None
    fields_of_action: Fields | SkipJsonSchema[None] = None
    siren: Typed | None = None
    siret: Typed | None = None
    rna: Typed | None = None
    email: Email | None = None
    website: Website | None = None
    description: Text | None = None
    is_example: bool | SkipJsonSchema[None] = None


class ActorOut(BaseModel):
    id: UUID
    ref: str
    version: int
    kind: ActorKind
    name: str
    commune: str
    fields_of_action: list[FieldOfAction]
    siren: str | None
    siret: str | None
    rna: str | None
    unverified_identifiers: dict[IdentifierKind, str]
    email: str | None
    website: str | None
    description: str | None
    is_example: bool
    recorded_at: datetime
    changed_at: datetime
    archival: ArchivalOut | None

    @classmethod
    def of(cls, actor: Actor) -> "ActorOut":
        return cls(**_shape(actor))


class ActorRecordOut(ActorOut):
    outcome: Outcome

    @classmethod
    def of_outcome(cls, actor: Actor, outcome: Outcome) -> "ActorRecordOut":
        return cls(**_shape(actor), outcome=outcome)


def _shape(record: Actor | Member) -> dict[str, Any]:
    archival = vars(record.archival) if record.archival else None
    return {**vars(record), **vars(record.facts), "archival": archival}


# ---- Members ------------------------------------------------------------------------------------------------------


class MemberFactsBody(Body):
    display_name: Line
    email: Email
    roles: MemberRoles
    locale: Locale = Locale.FR
    actor_id: UUID | None = Field(None, description="The actor they act for; none: a citizen who acts for themself.")

    def to_facts(self) -> MemberFacts:
        given = {name: getattr(self, name) for name in MemberFactsBody.model_fields}
        return MemberFacts(**{**given, "roles": tuple(self.roles)})


class MemberBody(MemberFactsBody):
    ref: Ref | None = Field(None, description="Your own key for them; without one, their id.")


class MemberPatch(Patch):
    never_null = frozenset({"display_name", "email", "roles", "locale"})

    display_name: Line | SkipJsonSchema[None] = None
    email: Email | SkipJsonSchema[None] = None
    roles: MemberRoles | SkipJsonSchema[None] = None
    locale: Locale | SkipJsonSchema[None] = None
    actor_id: UUID | None = None


class MemberOut(BaseModel):
    id: UUID
    ref: str
    version: int
    actor_id: UUID | None
    display_name: str
    email: str
    roles: list[MemberRole]
    locale: Locale
    recorded_at: datetime
    changed_at: datetime
    archival: ArchivalOut | None

    @classmethod
    def of(cls, member: Member) -> "MemberOut":
        return cls(**_shape(member))


class MemberRecordOut(MemberOut):
    outcome: Outcome

    @classmethod
    def of_outcome(cls, member: Member, outcome: Outcome) -> "MemberRecordOut":
        return cls(**_shape(member), outcome=outcome)


# ---- Clients ------------------------------------------------------------------------------------------------------


class ClientBody(Body):
    name: Line
    roles: ClientRoles
    scopes: Scopes = Field([], description="Part of what the roles allow; left out: all that they allow.")
    actor_id: UUID | None = Field(None, description="The actor it acts for.")
    member_id: UUID | None = Field(None, description="The person it acts for.")


class ClientOut(BaseModel):
    client_id: str
    name: str
    roles: list[ClientRole]
    scopes: list[str]
    actor_id: UUID | None
    member_id: UUID | None
    created_at: datetime
    rotated_at: datetime = Field(description="When its secret was last replaced.")

    @classmethod
    def of(cls, client: Client) -> "ClientOut":
        return cls(**vars(client))


class IssuedClientOut(ClientOut):
    client_secret: str = Field(description="Shown this once; kept as a hash only.")

    @classmethod
    def of_secret(cls, client: Client, secret: str) -> "IssuedClientOut":
        return cls(**vars(client), client_secret=secret)


class ClientCheckBody(Body):
    client_id: str = Field(min_length=1, max_length=300, pattern=_VISIBLE)
    client_secret: str = Field(min_length=1, max_length=300)


class ClientCheckOut(BaseModel):
    """The caller that the gateway signs a token for."""

    territory: str
    client_id: str
    actor_id: UUID | None
    member_id: UUID | None
    roles: list[ClientRole]
    scopes: list[str]

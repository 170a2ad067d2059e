"""Facts that the registry tells: territories, communes, actors, members."""

from typing import ClassVar
from uuid import UUID

from kernel.events.envelope import Event


class TerritoryRecorded(Event):
    """A municipality runs the scheme here, or changed its name. Subject: the territory's INSEE code."""

    event_type: ClassVar[str] = "registry.territory_recorded.v1"
    territory: str
    name: str


class CommuneRecorded(Event):
    """A commune the territory deals with, with its centre (degrees, WGS 84). Subject: the INSEE code."""

    event_type: ClassVar[str] = "registry.commune_recorded.v1"
    insee: str
    name: str
    latitude: float
    longitude: float


class ActorRecorded(Event):
    """An actor as it now is; a greater version replaces a smaller one. Subject: the actor's id."""

    event_type: ClassVar[str] = "registry.actor_recorded.v1"
    actor_id: UUID
    version: int
    ref: str
    kind: str
    name: str
    commune: str
    fields_of_action: list[str]
    archived: bool
    # Public identifiers of the body, as far as they are known and verified.
    siret: str | None = None
    rna: str | None = None


class MemberRecorded(Event):
    """A person as they now are; a greater version replaces a smaller one. Subject: the member's id."""

    event_type: ClassVar[str] = "registry.member_recorded.v1"
    public: ClassVar[bool] = False  # names and addresses of people
    member_id: UUID
    version: int
    ref: str
    actor_id: UUID | None  # none: a citizen who acts for themself
    display_name: str
    email: str
    roles: list[str]
    locale: str  # fr | en
    archived: bool

"""Builders of notifications: people, one sample of every event, and a town that hears them."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from kernel.auth import Caller
from kernel.clock import utc_now
from kernel.database import Database
from kernel.events import EVENT_TYPES
from kernel.events.envelope import Envelope, Event, encode_event
from kernel.events.matching import MissionProposed
from kernel.events.registry import ActorRecorded, MemberRecorded, TerritoryRecorded
from kernel.ids import new_id
from kernel.settings import ServiceSettings
from kernel.work import open_work
from services.notifications.domain.errands import Errand, ErrandKind
from services.notifications.domain.messages import Email
from services.notifications.domain.people import Category, Member
from services.notifications.domain.webhooks import Webhook, WebhookState, make_secret
from services.notifications.handlers import handlers
from services.notifications.settings import Settings

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def make_member(**changes: Any) -> Member:
    facts: dict[str, Any] = {
        "id": new_id(),
        "actor_id": None,
        "display_name": "Odile Exemple",
        "email": "odile@exemple.test",
        "roles": frozenset({"volunteer"}),
        "locale": "fr",
    }
    return Member(**facts | changes)


def make_webhook(**changes: Any) -> Webhook:
    facts: dict[str, Any] = {
        "id": new_id(),
        "version": 1,
        "client_id": "92071.partner",
        "member_id": None,
        "url": "https://partner.example/hooks",
        "event_types": ("*",),
        "description": "",
        "state": WebhookState.ACTIVE,
        "disabled_reason": None,
        "secret": make_secret(b"s" * 32),
        "previous_secret": None,
        "previous_secret_until": None,
        "failing_since": None,
        "created_at": NOW,
    }
    return Webhook(**facts | changes)


def make_email(**changes: Any) -> Email:
    facts: dict[str, Any] = {
        "id": new_id(),
        "event_id": new_id(),
        "event_type": "matching.need_opened.v1",
        "category": Category.NEEDS,
        "member_id": new_id(),
        "name": "Odile Exemple",
        "address": "odile@exemple.test",
        "locale": "fr",
        "subject": "Votre besoin est ouvert",
        "body": "Bonjour Odile,\n\nVotre besoin est ouvert.\n",
        "traceparent": None,
        "created_at": NOW,
    }
    return Email(**facts | changes)


def make_errand(kind: ErrandKind, id: UUID, **changes: Any) -> Errand:
    facts: dict[str, Any] = {"kind": kind, "id": id, "territory": "92071", "tries": 1}
    return Errand(**facts | changes)


def make_event(event_type: str, **changes: Any) -> Event:
    """A valid event of any type; what is not given is made up to fit the field's type."""
    event_class = EVENT_TYPES[event_type]
    facts = {name: _sample(name, info.annotation) for name, info in event_class.model_fields.items()}
    return event_class.model_validate(facts | changes)


def _sample(name: str, annotation: Any) -> Any:
    known: dict[str, Any] = {
        "side": "volunteer",
        "locale": "fr",
        "outcome": "returned",
        "code": "not-enough-credit",
        "version": 1,
    }
    if name in known:
        return known[name]
    samples: dict[Any, Any] = {
        UUID: new_id(),
        UUID | None: new_id(),
        int: 90,
        float: 48.7,
        str: f"Un {name}",
        str | None: f"Un {name}",
        bool: False,
        date: date(2026, 12, 31),
        date | None: date(2026, 12, 31),
        datetime: datetime(2026, 12, 31, 12, 30, tzinfo=UTC),
        list[str]: ["Compétence commune : comptabilité."],
    }
    return samples[annotation]


def make_envelope(event: Event, *, territory: str = "92071", subject: UUID | str = "s", **changes: Any) -> Envelope:
    """The event as it arrives over the bus, with the bytes it travelled in."""
    facts: dict[str, Any] = {
        "id": new_id(),
        "source": "/metis/test",
        "time": NOW,
        "traceparent": None,
        "actorid": "system",
    }
    return Envelope.decode(encode_event(event, subject=str(subject), territory=territory, **facts | changes))


def make_settings(template: ServiceSettings, **changes: Any) -> Settings:
    return Settings.model_validate(template.model_dump() | changes)


@dataclass
class Town:
    """A territory whose events the service hears, one transaction each."""

    database: Database
    territory: str
    people: dict[str, UUID] = field(default_factory=dict)
    association_id: UUID = field(default_factory=new_id)
    company_id: UUID = field(default_factory=new_id)

    async def tell(self, event: Event, *, subject: UUID | str = "s", **changes: Any) -> UUID:
        """Have the service handle the event; returns its id."""
        envelope = make_envelope(event, territory=self.territory, subject=subject, **{"time": utc_now()} | changes)
        await self.hear(envelope)
        return envelope.id

    async def hear(self, envelope: Envelope) -> None:
        async with open_work(self.database, Caller.system(self.territory), message=envelope) as work:
            await handlers.call(work, [(work, envelope)])

    async def tell_actors(self) -> None:
        await self.tell(TerritoryRecorded(territory=self.territory, name="Sceaux"))
        for id, kind, name in (
            (self.association_id, "association", "Lire ensemble"),
            (self.company_id, "company", "Calcul & Cie"),
        ):
            await self.tell(
                ActorRecorded(
                    actor_id=id, version=1, ref=name, kind=kind, name=name, commune="92071", fields_of_action=[], archived=False
                )
            )

    async def tell_member(self, name: str, *roles: str, actor_id: UUID | None = None, **changes: Any) -> UUID:
        """A person, told in version 2: without a welcome."""
        id = self.people.setdefault(name, new_id())
        facts: dict[str, Any] = {"version": 2, "email": f"{name}@exemple.test", "locale": "fr", "archived": False}
        await self.tell(
            MemberRecorded(
                member_id=id, ref=name, actor_id=actor_id, display_name=name.title(), roles=list(roles), **facts | changes
            )
        )
        return id

    async def settle_in(self) -> None:
        """The usual people: an association's, a company's referent, its employee, the operator, the officer."""
        await self.tell_actors()
        await self.tell_member("alix", "association", actor_id=self.association_id)
        await self.tell_member("carole", "company", actor_id=self.company_id)
        await self.tell_member("victor", "volunteer", actor_id=self.company_id, locale="en")
        await self.tell_member("olga", "operator")
        await self.tell_member("omar", "officer")

    def propose(self, **changes: Any) -> MissionProposed:
        facts: dict[str, Any] = {
            "mission_id": new_id(),
            "need_id": new_id(),
            "offer_id": new_id(),
            "campaign_id": new_id(),
            "association_id": self.association_id,
            "volunteer_id": self.people["victor"],
            "contributor_id": self.company_id,
            "company_id": self.company_id,
            "title": "Tenir les comptes",
            "minutes": 300,
            "reasons": ["Compétence commune : comptabilité."],
        }
        return MissionProposed(**facts | changes)

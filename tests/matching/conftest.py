"""Matching with a town it has listened to, the town's people as HTTP clients, and what it published."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx2
import orjson
import pytest
from fastapi import FastAPI

from kernel.auth import Caller, Role
from kernel.bus.transport import Delivery
from kernel.clock import utc_now
from kernel.database import Database
from kernel.events.credits import CampaignOpened
from kernel.events.envelope import Event, encode_event
from kernel.events.registry import ActorRecorded, CommuneRecorded, MemberRecorded, TerritoryRecorded
from kernel.ids import new_id
from kernel.work import open_work
from tests.builders.matching import COMMUNES, make_need_body, make_offer_body
from tests.support.clients import client_for, make_caller

Enter = Callable[..., Awaitable[httpx2.AsyncClient]]
Published = Callable[..., Awaitable[list[dict[str, Any]]]]


def make_delivery(
    event: Event, territory: str, *, subject: object = "s", id: UUID | None = None, time: datetime | None = None
) -> Delivery:
    """An event as it comes off the bus."""
    body = encode_event(
        event, id=id or new_id(), source="/metis/test", time=time or utc_now(), subject=str(subject), territory=territory,
        traceparent=None, actorid="system",
    )  # fmt: skip
    return Delivery(body, redelivered=False, tag=None)


@pytest.fixture
async def app(make_app: Callable[..., FastAPI]) -> FastAPI:
    made = make_app("matching")
    return made


@pytest.fixture
def database(app: FastAPI) -> Database:
    found: Database = app.state.database
    return found


@pytest.fixture
async def sign_in(app: FastAPI, territory: str) -> AsyncIterator[Enter]:
    """A function: an HTTP client with these roles, for this actor and this member."""
    async with AsyncExitStack() as stack:

        async def enter(*roles: Role, **named: Any) -> httpx2.AsyncClient:
            caller = make_caller(named.pop("territory", territory), *roles, **named)
            return await stack.enter_async_context(client_for(app, caller))

        yield enter


@pytest.fixture
def published(database: Database, territory: str) -> Published:
    """A function: the data of the events that this territory has published, in order; of one type and subject if named."""

    async def read(event: type[Event] | None = None, *, subject: object = None) -> list[dict[str, Any]]:
        async with open_work(database, Caller.system(territory)) as work:
            rows = await work.driver.fetch("SELECT body FROM outbox ORDER BY sequence")
        envelopes = [orjson.loads(row["body"]) for row in rows]
        return [
            {"type": envelope["type"], **envelope["data"]}
            for envelope in envelopes
            if envelope["territory"] == territory
            and (event is None or envelope["type"] == event.event_type)
            and (subject is None or envelope["subject"] == str(subject))
        ]

    return read


@dataclass
class Town:
    """A territory with an open campaign; `tell` hands events over as the bus does, inbox included."""

    app: FastAPI
    territory: str
    sign_in: Enter
    campaign_id: UUID
    officer: httpx2.AsyncClient
    operator: httpx2.AsyncClient
    association: httpx2.AsyncClient
    association_id: UUID

    async def tell(self, *events: Event, subject: object = "s") -> None:
        deliveries = [make_delivery(event, self.territory, subject=subject) for event in events]
        await self.deliver(*deliveries)

    async def deliver(self, *deliveries: Delivery) -> None:
        await self.app.state.bus.consumer.handle_batch(deliveries)
        async with open_work(self.app.state.database, Caller.system(self.territory)) as work:
            failed = await work.driver.fetch(
                "SELECT reason FROM retry WHERE convert_from(body, 'UTF8')::jsonb->>'territory' = $1"
                " UNION ALL SELECT reason FROM dead_letter WHERE territory = $1",
                self.territory,
            )
        assert not failed, [row["reason"] for row in failed]

    async def add_association(self) -> tuple[UUID, httpx2.AsyncClient]:
        id = new_id()
        await self.tell(make_actor_recorded(id))
        return id, await self.sign_in(Role.ASSOCIATION, actor_id=id, member_id=new_id(), client_id=f"{self.territory}.{id}")

    async def add_volunteer(self, *, employer_id: UUID | None = None) -> tuple[UUID, httpx2.AsyncClient]:
        id = new_id()
        await self.tell(make_member_recorded(id, actor_id=employer_id))
        return id, await self.sign_in(Role.VOLUNTEER, member_id=id, actor_id=employer_id, client_id=f"{self.territory}.{id}")

    async def add_open_need(self, **changes: Any) -> dict[str, Any]:
        need = await ask(self.association, "/needs", make_need_body(self.campaign_id, **changes), status=201)
        await ask(self.operator, f"/needs/{need['id']}/qualification", {"note": "Vu ensemble."})
        return await ask(self.operator, f"/needs/{need['id']}/opening")

    async def add_open_offer(self, volunteer_id: UUID, **changes: Any) -> dict[str, Any]:
        offer = await ask(self.officer, "/offers", make_offer_body(volunteer_id, **changes), status=201)
        return await ask(self.officer, f"/offers/{offer['id']}/opening")


def make_actor_recorded(id: UUID, *, version: int = 1, archived: bool = False) -> ActorRecorded:
    return ActorRecorded(
        actor_id=id, version=version, ref="asso", kind="association", name="Lire ensemble", commune="92071",
        fields_of_action=["culture"], archived=archived,
    )  # fmt: skip


def make_member_recorded(id: UUID, *, version: int = 1, actor_id: UUID | None = None, archived: bool = False) -> MemberRecorded:
    return MemberRecorded(
        member_id=id, version=version, ref="odile", actor_id=actor_id, display_name="Odile Exemple",
        email="odile@exemple.test", roles=["volunteer"], locale="fr", archived=archived,
    )  # fmt: skip


def make_campaign_opened(id: UUID, *, conventions_required: bool = False) -> CampaignOpened:
    return CampaignOpened(
        campaign_id=id, ref="c", title="Crédit d'expertises", starts_on="2026-01-01", ends_on="2199-12-31",
        operator_id=new_id(), conventions_required=conventions_required,
    )  # fmt: skip


async def ask(
    client: httpx2.AsyncClient, path: str, body: dict[str, Any] | None = None, *, status: int = 200, method: str = "POST"
) -> dict[str, Any]:
    """Send a request and return its answer, which must have this status."""
    response = await client.request(method, path, json=body)
    assert response.status_code == status, response.text
    answer: dict[str, Any] = response.json()
    return answer


@pytest.fixture
async def town(app: FastAPI, territory: str, sign_in: Enter) -> Town:
    association_id = new_id()
    made = Town(
        app,
        territory,
        sign_in,
        campaign_id=new_id(),
        officer=await sign_in(Role.OFFICER, member_id=new_id()),
        operator=await sign_in(Role.OPERATOR, member_id=new_id()),
        association=await sign_in(Role.ASSOCIATION, actor_id=association_id, member_id=new_id()),
        association_id=association_id,
    )
    await made.tell(
        TerritoryRecorded(territory=territory, name="Ville d'essai"),
        *[
            CommuneRecorded(insee=insee, name=commune.name, latitude=commune.latitude, longitude=commune.longitude)
            for insee, commune in COMMUNES.items()
        ],
        make_actor_recorded(association_id),
        make_campaign_opened(made.campaign_id),
    )
    return made


@dataclass
class Duo:
    """An open need, an open offer, and the mission proposed between them; the people of both sides."""

    town: Town
    need: dict[str, Any]
    offer: dict[str, Any]
    mission: dict[str, Any]
    volunteer: httpx2.AsyncClient
    company: httpx2.AsyncClient | None
    company_id: UUID | None

    @property
    def path(self) -> str:
        return f"/missions/{self.mission['id']}"

    async def agree(self) -> dict[str, Any]:
        await ask(self.town.association, f"{self.path}/acceptance")
        if self.company:
            await ask(self.company, f"{self.path}/approval")
        return await ask(self.volunteer, f"{self.path}/acceptance")

    async def read(self) -> dict[str, Any]:
        return await ask(self.town.officer, self.path, method="GET")

    async def read_need(self) -> dict[str, Any]:
        return await ask(self.town.officer, f"/needs/{self.need['id']}", method="GET")


@pytest.fixture
def make_duo(town: Town) -> Callable[..., Awaitable[Duo]]:
    async def make(*, professional: bool = False, **need: Any) -> Duo:
        company_id = new_id() if professional else None
        company = await town.sign_in(Role.COMPANY, actor_id=company_id, member_id=new_id()) if professional else None
        volunteer_id, volunteer = await town.add_volunteer(employer_id=company_id)
        opened = await town.add_open_need(**need)
        offer = await town.add_open_offer(volunteer_id, setting="professional" if professional else "personal")
        mission = await ask(town.operator, f"/needs/{opened['id']}/proposals", {"offer_id": offer["id"]}, status=201)
        return Duo(town, opened, offer, mission, volunteer, company, company_id)

    return make


MakeDuo = Callable[..., Awaitable[Duo]]

"""Builders for the credit scheme: pure facts with sensible defaults, and a campaign played on a real database."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from kernel.auth import Caller, Role
from kernel.clock import utc_now
from kernel.database import Database
from kernel.events.envelope import Envelope, Event
from kernel.events.matching import MissionAgreed, MissionCancelled, MissionProposed, MissionValidated
from kernel.events.registry import ActorRecorded, MemberRecorded
from kernel.ids import new_id
from kernel.work import Work, open_work
from services.credits.domain.campaigns import Campaign, CampaignFacts, CampaignState, ExpiryRule, Rules, Safeguards
from services.credits.domain.grants import Adjustment, PanelSeat
from services.credits.domain.holds import Hold, HoldState, Means
from services.credits.domain.ledger import AccountKind
from services.credits.handlers import handlers
from services.credits.store import ledger
from services.credits.store.ledger import Books
from services.credits.use_cases.campaigns import admit_association, close_campaign, open_campaign, write_campaign
from services.credits.use_cases.grants import propose_grants, sign_grants
from services.credits.use_cases.pledges import pledge_hours

IN_SPRING = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
# The last day of a campaign that the real clock judges, the database's or a route's.
STILL_TO_COME = date(utc_now().year + 1, 12, 31)


def make_rules(
    *,
    step_minutes: int = 15,
    compensation_permille: int = 1000,
    hour_value_cents: int = 6000,
    expiry: ExpiryRule = ExpiryRule.RETURN,
    conventions_required: bool = False,
) -> Rules:
    """With these defaults, a euro of cut is a minute of grant."""
    return Rules(step_minutes, compensation_permille, hour_value_cents, expiry, conventions_required)


def make_facts(
    *,
    title: str = "Campagne",
    rules: Rules | None = None,
    ends_on: date = date(2026, 12, 31),
    safeguards: Safeguards = Safeguards(),
) -> CampaignFacts:
    return CampaignFacts(title, date(2026, 1, 1), ends_on, new_id(), rules or make_rules(), safeguards)


def make_campaign(
    *, state: CampaignState = CampaignState.OPEN, ends_on: date = date(2026, 12, 31), rule: ExpiryRule = ExpiryRule.RETURN
) -> Campaign:
    return Campaign(new_id(), "campagne", make_facts(rules=make_rules(expiry=rule), ends_on=ends_on), state, 1)


def make_seat(*, cut_cents: int = 60_000, already_granted_minutes: int = 0, association_id: UUID | None = None) -> PanelSeat:
    return PanelSeat(association_id or new_id(), cut_cents, 0, already_granted_minutes)


def make_means(
    *,
    campaign: Campaign | None = None,
    on_panel: bool = True,
    credit_minutes: int = 600,
    promised_minutes: int = 600,
    committed_minutes: int = 0,
) -> Means:
    return Means(campaign or make_campaign(), on_panel, credit_minutes, promised_minutes, committed_minutes)


def make_hold(*, minutes: int = 60, state: HoldState = HoldState.HELD) -> Hold:
    return Hold(new_id(), new_id(), new_id(), new_id(), minutes, 0, date(2026, 6, 1), state)


class Scene:
    """One territory's credit scheme on a real database, played through the use cases and handlers."""

    def __init__(self, database: Database, territory: str) -> None:
        self.database = database
        self.territory = territory
        self.campaign_id = new_id()
        self.now = IN_SPRING
        self.officer = Caller(territory, f"{territory}.mairie", None, new_id(), frozenset({Role.OFFICER}))

    @asynccontextmanager
    async def work(self, caller: Caller | None = None) -> AsyncIterator[Work]:
        async with open_work(self.database, caller or self.officer, now=self.now) as work:
            yield work

    async def start(
        self,
        *,
        expiry: ExpiryRule = ExpiryRule.RETURN,
        ends_on: date = date(2026, 12, 31),
        conventions_required: bool = False,
        safeguards: Safeguards = Safeguards(),
    ) -> "Scene":
        """An open campaign."""
        async with self.work() as work:
            rules = make_rules(expiry=expiry, conventions_required=conventions_required)
            facts = make_facts(rules=rules, ends_on=ends_on, safeguards=safeguards)
            campaign, _ = await write_campaign(work, ref=f"campagne-{new_id()}", facts=facts)
            self.campaign_id = (await open_campaign(work, campaign.id)).id
        return self

    def make_officer(self, *, client_id: str | None = None, member_id: UUID | None = None) -> Caller:
        """Another officer of the town, or the same person with another client."""
        member = member_id or new_id()
        return Caller(self.territory, client_id or f"{self.territory}.{member}", None, member, frozenset({Role.OFFICER}))

    async def record_actor(self, *, kind: str = "association", name: str = "Les Petits Ateliers", archived: bool = False) -> UUID:
        actor_id = new_id()
        await self.handle(
            ActorRecorded(
                actor_id=actor_id,
                version=1,
                ref=str(actor_id),
                kind=kind,
                name=name,
                commune="92071",
                fields_of_action=[],
                archived=archived,
            )
        )
        return actor_id

    async def record_citizen(self) -> UUID:
        citizen = new_id()
        await self.handle(
            MemberRecorded(
                member_id=citizen, version=1, ref="c", actor_id=None, display_name="Une habitante", email="h@exemple.test",
                roles=["volunteer"], locale="fr", archived=False,
            )
        )  # fmt: skip
        return citizen

    async def pledge(self, minutes: int, *, contributor_id: UUID | None = None, ref: str | None = None) -> UUID:
        """Returns the contributor."""
        contributor_id = contributor_id or new_id()
        async with self.work() as work:
            await pledge_hours(
                work, self.campaign_id, ref=ref or str(new_id()), contributor_id=contributor_id, minutes=minutes, note=""
            )
        return contributor_id

    async def admit(self, *, entitled_minutes: int) -> UUID:
        """An association on the panel whose cut entitles it to these minutes."""
        association_id = await self.record_actor()
        async with self.work() as work:
            await admit_association(work, self.campaign_id, PanelSeat(association_id, entitled_minutes * 100, 0))
        return association_id

    async def sign(self, adjustments: Sequence[Adjustment] = ()) -> UUID:
        """Compute and sign; returns the proposal."""
        async with self.work() as work:
            proposal_id = await propose_grants(work, self.campaign_id)
            await sign_grants(work, self.campaign_id, proposal_id=proposal_id, adjustments=adjustments)
        return proposal_id

    async def fund(self, *, credit: int, promise: int | None = None) -> tuple[UUID, UUID]:
        """An association with that credit and a contributor with that promise (at least the credit)."""
        contributor_id = await self.pledge(promise or credit)
        association_id = await self.admit(entitled_minutes=credit)
        await self.sign()
        return association_id, contributor_id

    async def handle(self, *events: Event, actorid: str = "somebody") -> None:
        """As the consumer does with a batch, without its inbox: a second call is a redelivery that the inbox did not stop."""
        envelopes = [
            Envelope(
                id=new_id(),
                source="/metis/test",
                type=event.event_type,
                time=self.now,
                subject="subject",
                territory=self.territory,
                actorid=actorid,
                data=event.model_dump(mode="json"),
            )
            for event in events
        ]
        async with open_work(self.database, Caller.system(self.territory), now=self.now) as work:
            for together in handlers.split(envelopes):
                await handlers.call(work, [(work.for_message(envelope), envelope) for envelope in together])

    def agreed(
        self, association_id: UUID, contributor_id: UUID, minutes: int, *, mission_id: UUID | None = None
    ) -> MissionAgreed:
        return MissionAgreed(
            mission_id=mission_id or new_id(),
            campaign_id=self.campaign_id,
            association_id=association_id,
            contributor_id=contributor_id,
            minutes=minutes,
            ends_on=date(2026, 6, 30),
        )

    def cancelled(self, agreed: MissionAgreed, *, reason: str = "Le local est fermé") -> MissionCancelled:
        return MissionCancelled(
            mission_id=agreed.mission_id, campaign_id=agreed.campaign_id, association_id=agreed.association_id, reason=reason
        )

    def validated(self, agreed: MissionAgreed, served_minutes: int) -> MissionValidated:
        return MissionValidated(
            mission_id=agreed.mission_id,
            campaign_id=agreed.campaign_id,
            association_id=agreed.association_id,
            contributor_id=agreed.contributor_id,
            served_minutes=served_minutes,
        )

    async def agree(self, association_id: UUID, contributor_id: UUID, minutes: int) -> MissionAgreed:
        event = self.agreed(association_id, contributor_id, minutes)
        await self.handle(event)
        return event

    async def tell_mission(self, agreed: MissionAgreed, *, volunteer_id: UUID, title: str = "Tenir la caisse") -> None:
        """Who serves it and what it is called, as matching tells it: before it is agreed, or late."""
        await self.handle(
            MissionProposed(
                mission_id=agreed.mission_id,
                need_id=new_id(),
                offer_id=new_id(),
                campaign_id=agreed.campaign_id,
                association_id=agreed.association_id,
                volunteer_id=volunteer_id,
                contributor_id=agreed.contributor_id,
                company_id=None,
                title=title,
                minutes=agreed.minutes,
                reasons=[],
            )
        )

    async def close(self, reason: str = "Fin anticipée") -> None:
        async with self.work() as work:
            await close_campaign(work, self.campaign_id, reason=reason)

    async def books(self) -> Books:
        async with self.work() as work:
            return await ledger.get_books(work, self.campaign_id)

    async def balance(self, kind: AccountKind, holder_id: UUID | None = None) -> int:
        async with self.work() as work:
            balances = await ledger.list_balances(work, self.campaign_id, kind)
        return balances.get(holder_id or self.campaign_id, 0)

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        """Rows of this territory alone: row-level security holds for tests, too."""
        async with self.work() as work:
            return list(await work.driver.fetch(query, *arguments))

    async def published(self, event: type[Event] | None = None) -> list[Any]:
        """The events of this territory that wait for the relay, oldest first."""
        rows = await self.fetch("SELECT body FROM outbox ORDER BY sequence")
        envelopes = [envelope for row in rows if (envelope := Envelope.decode(row["body"])).territory == self.territory]
        if event is None:
            return envelopes
        return [event.model_validate(envelope.data) for envelope in envelopes if envelope.type == event.event_type]

"""From events to notices and e-mails, over a real database."""

import random
from datetime import timedelta
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import select

from kernel.auth import Caller
from kernel.clock import utc_now
from kernel.database import Database
from kernel.events.credits import AssociationAdmitted, CampaignClosed, CampaignOpened, CreditReleased, CreditReserved
from kernel.events.envelope import Envelope
from kernel.events.matching import MissionAccepted, MissionDeclined, NeedOpened, NeedWithdrawn
from kernel.events.notifications import WebhookDisabled
from kernel.events.registry import MemberRecorded
from kernel.ids import new_id
from kernel.work import open_work
from services.notifications.domain.people import Category, Preference
from services.notifications.jobs.announcements import MOST_TRIES, Announcer
from services.notifications.store import messages, webhooks
from services.notifications.tables import email, errand, event_log, member, notice
from tests.builders.notifications import Town, make_envelope, make_event, make_webhook


async def rows(town: Town, table: Any) -> list[Any]:
    async with open_work(town.database, Caller.system(town.territory)) as work:
        return list(await work.connection.execute(select(table).where(table.c.territory == town.territory)))


async def told(town: Town, table: Any = email) -> set[tuple[str, str]]:
    """Who was told what: pairs of a person's name and the event's short name."""
    names = {id: name for name, id in town.people.items()}
    return {(names.get(row.member_id, str(row.member_id)), row.event_type.split(".")[1]) for row in await rows(town, table)}


async def announce(town: Town, *, after_seconds: float = 0) -> None:
    await Announcer(now=lambda: utc_now() + timedelta(seconds=after_seconds)).run(town.database)


class TestAnnounce:
    async def test_tells_volunteer_and_association_of_a_proposal_in_their_language(self, town: Town) -> None:
        await town.tell(town.propose())
        await announce(town)
        assert await told(town) == await told(town, notice) == {("victor", "mission_proposed"), ("alix", "mission_proposed")}
        by_name = {row.name: row for row in await rows(town, email)}
        assert "Next step: accept or decline" in by_name["Victor"].body
        assert "Lire ensemble needs you: “Tenir les comptes”, 5" in by_name["Victor"].body
        assert "Victor (Calcul & Cie) peut répondre à votre besoin" in by_name["Alix"].body
        assert {row.state for row in by_name.values()} == {"waiting"}

    async def test_asks_the_company_after_its_employee_said_yes(self, town: Town) -> None:
        proposed = town.propose()
        await town.tell(proposed)
        await town.tell(MissionAccepted(mission_id=proposed.mission_id, side="volunteer"))
        await announce(town)
        assert ("carole", "mission_accepted") in await told(town)
        assert ("victor", "mission_accepted") not in await told(town)

    async def test_takes_names_from_what_it_heard_before(self, town: Town) -> None:
        need_id = new_id()
        facts: dict[str, Any] = {"need_id": need_id, "campaign_id": new_id(), "association_id": town.association_id}
        await town.tell(NeedOpened(**facts, title="Un site web", minutes=60))
        await town.tell(NeedWithdrawn(**facts, reason="Plus utile."))
        await announce(town)
        withdrawn = [row for row in await rows(town, email) if "withdrawn" in row.event_type]
        assert [(row.name, "Un site web" in row.subject, "Lire ensemble" in row.body) for row in withdrawn] == [
            ("Olga", True, True)
        ]

    async def test_tells_the_panel_when_its_campaign_opens_and_closes(self, town: Town) -> None:
        campaign_id, today = new_id(), utc_now().date()
        await town.tell(AssociationAdmitted(campaign_id=campaign_id, association_id=town.association_id))
        await town.tell(
            CampaignOpened(campaign_id=campaign_id, ref="p", title="Pilote", starts_on=today, ends_on=today, operator_id=new_id())
        )
        await town.tell(CampaignClosed(campaign_id=campaign_id, reason="Fin.", expired_minutes=0))
        await announce(town)
        assert await told(town) == {
            ("alix", "association_admitted"), ("alix", "campaign_opened"), ("olga", "campaign_opened"),
            ("alix", "campaign_closed"), ("olga", "campaign_closed"), ("omar", "campaign_closed"),
        }  # fmt: skip
        assert all("« Pilote »" in row.body.replace("\u00a0", " ") for row in await rows(town, email))

    async def test_welcomes_a_new_person_once(self, town: Town) -> None:
        for version in (1, 2):
            await town.tell_member("nadia", "volunteer", version=version)
        await announce(town)
        assert await told(town) == {("nadia", "member_recorded")}

    async def test_writes_no_email_about_what_a_person_switched_off(self, town: Town) -> None:
        async with open_work(town.database, Caller.system(town.territory)) as work:
            quiet = [Preference(Category.PROPOSALS, email=False, inbox=True)]
            silent = [Preference(Category.PROPOSALS, email=False, inbox=False), Preference(Category.MISSIONS, True, True)]
            await messages.save_preferences(work, town.people["victor"], quiet)
            await messages.save_preferences(work, town.people["alix"], silent)
        await town.tell(town.propose())
        await announce(town)
        assert await told(town) == set()
        assert await told(town, notice) == {("victor", "mission_proposed")}

    async def test_some_things_wait_in_the_inbox_alone(self, town: Town) -> None:
        proposed = town.propose()
        await town.tell(proposed)
        await town.tell(
            CreditReleased(
                mission_id=proposed.mission_id, campaign_id=new_id(), association_id=town.association_id, minutes=60, reason="…"
            )
        )
        await announce(town)
        assert ("alix", "credit_released") in await told(town, notice)
        assert ("alix", "credit_released") not in await told(town)

    async def test_credit_that_came_back_by_time_is_emailed(self, town: Town) -> None:
        proposed = town.propose()
        await town.tell(proposed)
        await town.tell(
            CreditReleased(
                mission_id=proposed.mission_id, campaign_id=new_id(), association_id=town.association_id, minutes=60, reason="…",
                overdue=True,
            )
        )  # fmt: skip
        await announce(town)
        assert {name for name, what in await told(town) if what == "credit_released"} >= {"alix"}

    async def test_does_not_tell_who_did_it(self, town: Town) -> None:
        proposed = town.propose()
        await town.tell(proposed)
        declined = MissionDeclined(mission_id=proposed.mission_id, side="association", reason="Trop tôt.")
        await town.tell(declined, actorid=str(town.people["olga"]))
        await announce(town)
        assert {name for name, what in await told(town) if what == "mission_declined"} == {"victor"}

    async def test_never_writes_twice_for_an_event_and_a_person(self, town: Town) -> None:
        envelope = make_envelope(town.propose(), territory=town.territory)
        for _ in range(3):
            await town.hear(envelope)
            await announce(town)
        assert len(await rows(town, email)) == len(await rows(town, notice)) == 2

    async def test_keeps_the_trace_of_the_event(self, town: Town) -> None:
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        await town.tell(town.propose(), traceparent=f"00-{trace}-00f067aa0ba902b7-01")
        await announce(town)
        assert all(trace in row.traceparent for row in await rows(town, email))

    async def test_text_of_others_ends_no_header(self, town: Town) -> None:
        await town.tell(town.propose(title="Comptes\r\nBcc: tous@exemple.test"))
        await announce(town)
        assert {row.subject for row in await rows(town, email)} == {
            "Mission proposed: Comptes Bcc: tous@exemple.test",
            "Mission proposée\u00a0: Comptes Bcc: tous@exemple.test",
        }

    @pytest.mark.parametrize("owner", ["program", "person"])
    async def test_tells_officers_and_the_program_of_a_disabled_webhook(self, town: Town, owner: str) -> None:
        hook = make_webhook(client_id=f"{town.territory}.up", member_id=town.people["omar"] if owner == "person" else None)
        async with open_work(town.database, Caller.system(town.territory)) as work:
            await webhooks.insert_webhook(work, hook)
        await town.tell(WebhookDisabled(webhook_id=hook.id, url=hook.url, reason="Rien ne passe."))
        await announce(town)
        readers = {row.client_id or row.member_id for row in await rows(town, notice)}
        assert readers == {town.people["omar"]} | ({hook.client_id} if owner == "program" else set())

    async def test_asks_the_other_officers_to_decide_and_tells_the_proposer_what_came_of_it(self, town: Town) -> None:
        proposer = town.people["omar"]
        await town.tell(make_event("credits.approval_requested.v1", proposed_by=proposer), actorid=str(proposer))
        await announce(town)
        assert await told(town) == set()
        await town.tell(make_event("credits.approval_requested.v1", proposed_by=new_id()), actorid=str(new_id()))
        decided = make_event("credits.approval_decided.v1", proposed_by=proposer, outcome="declined")
        await town.tell(decided, actorid=str(new_id()))
        await announce(town)
        assert await told(town) == {("omar", "approval_requested"), ("omar", "approval_decided")}
        assert len(await rows(town, email)) == len(await rows(town, notice)) == 2

    async def test_nothing_of_another_territory_is_told(self, town: Town) -> None:
        other = Town(town.database, "10000")
        await other.tell(make_event("credits.transfer_reversed.v1"))
        await announce(town)
        assert await told(town) == set()


class TestTogether:
    """Events of one territory are told in one transaction, as long as nothing fails."""

    async def transactions(self, town: Town) -> int:
        async with open_work(town.database, Caller.system(town.territory)) as work:
            return int(await work.driver.fetchval("SELECT count(DISTINCT xmin::text) FROM email"))

    async def test_a_batch_is_one_transaction_a_territory(self, town: Town) -> None:
        other = Town(town.database, f"2B{town.territory[2:]}")
        await other.settle_in()
        for place in (town, other, town, other):
            await place.tell(place.propose())
        await announce(town)
        for place in (town, other):
            assert len(await rows(place, email)) == len(await rows(place, notice)) == 4
            assert await self.transactions(place) == 1

    async def test_each_email_carries_the_span_of_its_event(self, town: Town, spans: InMemorySpanExporter) -> None:
        events = [await town.tell(town.propose()) for _ in range(3)]
        await announce(town)
        announced = [span for span in spans.get_finished_spans() if span.name == "announce matching.mission_proposed.v1"]
        contexts = [span.context for span in announced if span.context]
        found = {row.traceparent.split("-")[2]: row.event_id for row in await rows(town, email)}
        assert set(found) == {f"{context.span_id:016x}" for context in contexts}
        assert sorted(found.values()) == sorted(events)

    async def test_those_that_are_known_do_not_wait_for_those_that_are_not(self, town: Town) -> None:
        early = await town.tell(town.propose(volunteer_id=new_id()))
        await town.tell(town.propose())
        await announce(town)
        assert await told(town) == {("victor", "mission_proposed"), ("alix", "mission_proposed")}
        assert [row.id for row in await rows(town, errand) if row.kind == "announcement"] == [early]

    async def test_what_was_tried_before_goes_alone(self, town: Town) -> None:
        await announce(town)
        for _ in range(3):
            await town.tell(town.propose())
        assert len(await Announcer()._take(town.database)) == 3  # and then the process is gone
        await announce(town, after_seconds=600)
        assert len(await rows(town, email)) == 6
        assert await self.transactions(town) == 3


class TestOrder:
    """Events of different subjects come in any order; the letters are the same."""

    def story(self, town: Town) -> list[Envelope]:
        proposed = town.propose(volunteer_id=new_id())
        facts: dict[str, Any] = {"mission_id": proposed.mission_id, "campaign_id": proposed.campaign_id}
        reserved = CreditReserved(**facts, association_id=town.association_id, contributor_id=town.company_id, minutes=300)
        person = MemberRecorded(
            member_id=proposed.volunteer_id,
            version=2,
            ref="late",
            actor_id=town.company_id,
            display_name="Léa",
            email="lea@exemple.test",
            roles=["volunteer"],
            locale="fr",
            archived=False,
        )
        town.people["léa"] = proposed.volunteer_id
        return [make_envelope(event, territory=town.territory, time=utc_now()) for event in (person, proposed, reserved)]

    @pytest.mark.parametrize("seed", range(6))
    async def test_any_order_ends_in_the_same_letters(self, town: Town, seed: int) -> None:
        story = self.story(town)
        random.Random(seed).shuffle(story)
        for step, envelope in enumerate(story):
            await town.hear(envelope)
            await announce(town, after_seconds=step * 0.2)
        for seconds in (10, 30):
            await announce(town, after_seconds=seconds)
        assert await told(town) == {
            ("léa", "mission_proposed"), ("alix", "mission_proposed"),
            ("léa", "credit_reserved"), ("alix", "credit_reserved"), ("carole", "credit_reserved"),
        }  # fmt: skip
        assert await rows(town, errand) == [row for row in await rows(town, errand) if row.kind == "email"]

    async def test_tells_those_it_knows_when_a_fact_never_comes(self, town: Town) -> None:
        await town.hear(self.story(town)[2])
        for turn in range(8):
            await announce(town, after_seconds=turn * 400)
        assert await told(town) == {("alix", "credit_reserved")}

    async def test_an_older_record_does_not_replace_a_newer_one(self, town: Town) -> None:
        await town.tell_member("alix", "association", version=9, actor_id=town.association_id, email="neuf@exemple.test")
        await town.tell_member("alix", "association", version=8, actor_id=town.association_id, email="vieux@exemple.test")
        addresses = {row.id: row.email for row in await rows(town, member)}
        assert addresses[town.people["alix"]] == "neuf@exemple.test"


class TestFailure:
    async def test_one_that_cannot_be_read_does_not_hold_up_the_others(self, town: Town) -> None:
        broken = make_envelope(make_event("credits.credit_granted.v1"), territory=town.territory)
        broken = Envelope.decode(broken.body.replace(b'"minutes":90', b'"minutes":"x"'))
        await town.tell(town.propose())
        await town.hear(broken)
        await town.tell(town.propose())
        await announce(town)
        assert await told(town) == {("victor", "mission_proposed"), ("alix", "mission_proposed")}
        assert len(await rows(town, email)) == len(await rows(town, notice)) == 4
        assert [(row.id, row.tries) for row in await rows(town, errand) if row.kind == "announcement"] == [(broken.id, 1)]

    async def test_is_given_up_after_some_tries(self, town: Town) -> None:
        event = make_envelope(make_event("credits.transfer_reversed.v1"), territory=town.territory)
        broken = Envelope.decode(event.body.replace(b'"minutes":90', b'"minutes":"x"'))
        await town.hear(broken)
        for turn in range(MOST_TRIES + 1):
            assert await rows(town, errand), turn
            await announce(town, after_seconds=turn * 1000)
        assert await rows(town, errand) == []


class TestEventLog:
    async def test_keeps_every_event_as_it_travelled(self, town: Town, database: Database) -> None:
        envelope = make_envelope(make_event("registry.commune_recorded.v1"), territory=town.territory)
        await town.hear(envelope)
        await town.hear(envelope)
        logged = [row for row in await rows(town, event_log) if row.event_id == envelope.id]
        assert [row.body for row in logged] == [envelope.body]
        assert b"datacontenttype" in logged[0].body

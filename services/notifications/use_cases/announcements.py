"""From an event to letters: keep it, find out whom it concerns, write to each of them."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from opentelemetry.trace import SpanKind

from kernel.events import EVENT_TYPES
from kernel.events.envelope import Envelope
from kernel.ids import new_id
from kernel.telemetry import context_from, current_traceparent, span
from kernel.work import Work
from services.notifications.domain.announcements import (
    ANNOUNCED,
    TOWN_ROLES,
    Audience,
    Mission,
    Parties,
    Rule,
    decide_parties,
    decide_recipients,
    decide_rule,
    is_complete,
)
from services.notifications.domain.errands import ErrandKind
from services.notifications.domain.messages import Email, Letter, Notice
from services.notifications.domain.people import Category, Member
from services.notifications.letters import one_line, write_letter
from services.notifications.store import errands, events, messages, people, webhooks
from services.notifications.use_cases import bells

# How long an event waits for facts that other events bring. Then it is told to those who are known.
PATIENCE_SECONDS = (1, 2, 5, 15, 60, 300)


@dataclass(frozen=True)
class Story:
    """An event that is told, and what is known of it."""

    envelope: Envelope
    rule: Rule
    mission: Mission | None
    parties: Parties


@dataclass(frozen=True)
class Names:
    """What the parties are called; empty for those that are not known, or take no part."""

    territory: str
    title: str = ""  # of the mission or need
    campaign: str = ""
    association: str = ""
    volunteer: str = ""
    company: str = ""
    contributor: str = ""


async def keep_event(work: Work, envelope: Envelope) -> None:
    """Log an event of the platform, ask for its announcement, and queue it for the webhooks that want it."""
    known = EVENT_TYPES.get(envelope.type)
    # A type that this version does not know is not given away.
    public = known is not None and known.public
    announced = envelope.type in ANNOUNCED
    hooks = await events.keep_event(work, envelope, announced=announced, public=public)
    if announced:
        bells.ring_soon(bells.announcements_wait, after_seconds=bells.UNTIL_TOLD_SECONDS)
    if hooks:
        await events.queue_deliveries(work, envelope, hooks, traceparent=current_traceparent())
        bells.ring_soon(bells.deliveries_wait)


async def announce(work: Work, event_ids: Collection[UUID], *, patient: bool) -> set[UUID]:
    """Write the notices and e-mails of events. Returns those about which facts are still missing: try these again later.

    Without patience an event is told to those who are known.
    """
    stories = await _read_stories(work, event_ids)
    names = await people.list_names(work, {id for story in stories for id in _named(story)})
    candidates = await _list_candidates(work, stories)
    untold: set[UUID] = set()
    notices: list[Notice] = []
    emails: list[Email] = []
    for story in stories:
        envelope = story.envelope
        with span(f"announce {envelope.type}", kind=SpanKind.INTERNAL, context=context_from(envelope.traceparent)):
            if patient and not is_complete(story.rule, story.parties, known=names):
                untold.add(envelope.id)
                continue
            more_notices, more_emails = await _write(work, story, names, candidates[story.rule.category])
        notices += more_notices
        emails += more_emails
    await _save(work, notices, emails)
    return untold


async def _read_stories(work: Work, event_ids: Collection[UUID]) -> list[Story]:
    """Those of the events that are told to somebody."""
    envelopes = [Envelope.decode(body) for body in await events.list_event_bodies(work, event_ids)]
    told = [(envelope, rule) for envelope in envelopes if (rule := decide_rule(envelope.type, envelope.data))]
    missions = await people.list_missions(work, {_id(envelope, "mission_id") for envelope, _ in told})
    panels = await people.list_panels(work, {_panel(envelope, rule) for envelope, rule in told})
    stories: list[Story] = []
    for envelope, rule in told:
        mission, panel = missions.get(_id(envelope, "mission_id")), panels.get(_panel(envelope, rule), ())
        parties = decide_parties(envelope.data, mission=mission, panel=panel, doer=envelope.actorid)
        stories.append(Story(envelope, rule, mission, parties))
    return stories


def _id(envelope: Envelope, field: str) -> UUID | None:
    value = envelope.data.get(field)
    return UUID(value) if value else None


def _panel(envelope: Envelope, rule: Rule) -> UUID | None:
    """The campaign whose panel is told."""
    return _id(envelope, "campaign_id") if Audience.PANEL in rule.audiences else None


async def _list_candidates(work: Work, stories: Sequence[Story]) -> dict[Category, list[Member]]:
    """Whoever may be told of one of them, with what they want of its category: one query for each category."""
    by_category: dict[Category, list[Story]] = defaultdict(list)
    for story in stories:
        by_category[story.rule.category].append(story)
    return {
        category: await people.list_candidates(
            work,
            people={id for story in those for id in story.parties.people},
            actors={id for story in those for id in story.parties.actors},
            roles={role for story in those for role in _town_roles(story.rule)},
            category=category,
        )
        for category, those in by_category.items()
    }


async def _write(
    work: Work, story: Story, names: dict[UUID | None, str], candidates: Sequence[Member]
) -> tuple[list[Notice], list[Email]]:
    envelope, rule, parties = story.envelope, story.rule, story.parties
    facts = {
        "event": EVENT_TYPES[envelope.type].model_validate(envelope.data),
        "names": _name_parties(work, story, names),
        "category": rule.category,
    }
    notices: list[Notice] = []
    emails: list[Email] = []
    for you, member in decide_recipients(rule, parties, candidates):
        letter = write_letter(envelope.type, locale=member.locale, you=you, person=member.display_name, **facts)
        if member.wants_inbox:
            notices.append(_notice(work, envelope, rule, letter, member_id=member.id))
        if member.wants_email and rule.emailed:
            emails.append(_email(work, envelope, rule, letter, member))
    if Audience.CLIENT in rule.audiences:
        notices += await _tell_client(work, envelope, rule, facts)
    return notices, emails


def _town_roles(rule: Rule) -> list[str]:
    return [TOWN_ROLES[audience] for audience in rule.audiences if audience in TOWN_ROLES]


def _named(story: Story) -> list[UUID]:
    parties = story.parties
    ids = {*parties.people, *parties.actors, parties.campaign_id, _id(story.envelope, "need_id")}
    return [one for one in ids if one is not None]


def _name_parties(work: Work, story: Story, names: dict[UUID | None, str]) -> Names:
    def name(id: UUID | None) -> str:
        return names.get(id, "") if id else ""

    envelope, parties = story.envelope, story.parties
    title = story.mission.title if story.mission else envelope.data.get("title") or name(_id(envelope, "need_id"))
    return Names(
        territory=names.get(None, work.territory),
        title=str(title),
        campaign=name(parties.campaign_id),
        association=name(parties.association_id),
        volunteer=name(parties.volunteer_id),
        company=name(parties.company_id),
        contributor=name(parties.contributor_id),
    )


def _notice(
    work: Work, envelope: Envelope, rule: Rule, letter: Letter, *, member_id: UUID | None = None, client_id: str | None = None
) -> Notice:
    return Notice(
        id=new_id(),
        event_id=envelope.id,
        event_type=envelope.type,
        category=rule.category,
        member_id=member_id,
        client_id=client_id,
        subject=letter.subject,
        body=letter.body,
        created_at=work.now,
    )


def _email(work: Work, envelope: Envelope, rule: Rule, letter: Letter, member: Member) -> Email:
    return Email(
        id=new_id(),
        event_id=envelope.id,
        event_type=envelope.type,
        category=rule.category,
        member_id=member.id,
        name=one_line(member.display_name),
        address=member.email,
        locale=member.locale,
        subject=letter.subject,
        body=letter.body,
        traceparent=current_traceparent(),
        created_at=work.now,
    )


async def _tell_client(work: Work, envelope: Envelope, rule: Rule, facts: dict[str, Any]) -> list[Notice]:
    """A notice for the program that made the webhook; a person who made it is told as a person."""
    hook = await webhooks.find_webhook(work, UUID(envelope.data["webhook_id"]))
    if hook is None or hook.member_id is not None:
        return []
    letter = write_letter(envelope.type, locale="fr", you=Audience.CLIENT, person=hook.client_id, **facts)
    return [_notice(work, envelope, rule, letter, client_id=hook.client_id)]


async def _save(work: Work, notices: Sequence[Notice], emails: Sequence[Email]) -> None:
    await messages.save_notices(work, notices)
    await messages.save_emails(work, emails)
    await errands.put_errands(work, ErrandKind.EMAIL, [email.id for email in emails])
    if emails:
        bells.ring_soon(bells.emails_wait)

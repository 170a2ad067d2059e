"""From an event to letters: keep it, find out whom it concerns, write to each of them."""

from collections.abc import Sequence
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
from services.notifications.domain.people import Member
from services.notifications.letters import one_line, write_letter
from services.notifications.store import errands, events, messages, people, webhooks
from services.notifications.use_cases import bells

# How long an event waits for facts that other events bring. Then it is told to those who are known.
PATIENCE_SECONDS = (1, 2, 5, 15, 60, 300)


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
        bells.ring_soon(bells.announcements_wait)
    if hooks:
        await events.queue_deliveries(work, envelope, hooks, traceparent=current_traceparent())
        bells.ring_soon(bells.deliveries_wait)


async def announce(work: Work, event_id: UUID, *, patient: bool) -> bool:
    """Write the notices and e-mails of an event. False: facts about it are still missing, try again later.

    Without patience the event is told to those who are known.
    """
    body = await events.find_event_body(work, event_id)
    if body is None:
        return True
    envelope = Envelope.decode(body)
    rule = decide_rule(envelope.type, envelope.data)
    if rule is None:
        return True
    with span(f"announce {envelope.type}", kind=SpanKind.INTERNAL, context=context_from(envelope.traceparent)):
        return await _announce(work, envelope, rule, patient=patient)


async def _announce(work: Work, envelope: Envelope, rule: Rule, *, patient: bool) -> bool:
    mission = await _find_mission(work, envelope)
    parties = await _find_parties(work, envelope, rule, mission)
    names = await people.list_names(work, _named(envelope, parties))
    if patient and not is_complete(rule, parties, known=list(names)):
        return False
    facts = {
        "event": EVENT_TYPES[envelope.type].model_validate(envelope.data),
        "names": _name_parties(work, envelope, parties, mission, names),
        "category": rule.category,
    }
    candidates = await people.list_candidates(
        work, people=parties.people, actors=parties.actors, roles=_town_roles(rule), category=rule.category
    )
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
    await _save(work, notices, emails)
    return True


async def _find_mission(work: Work, envelope: Envelope) -> Mission | None:
    mission_id = envelope.data.get("mission_id")
    return await people.find_mission(work, UUID(mission_id)) if mission_id else None


async def _find_parties(work: Work, envelope: Envelope, rule: Rule, mission: Mission | None) -> Parties:
    panel: set[UUID] = set()
    if Audience.PANEL in rule.audiences:
        panel = await people.list_panel(work, UUID(envelope.data["campaign_id"]))
    return decide_parties(envelope.data, mission=mission, panel=panel, doer=envelope.actorid)


def _town_roles(rule: Rule) -> list[str]:
    roles = {Audience.OPERATORS: "operator", Audience.OFFICERS: "officer"}
    return [roles[audience] for audience in rule.audiences if audience in roles]


def _named(envelope: Envelope, parties: Parties) -> list[UUID]:
    need = envelope.data.get("need_id")
    ids = {*parties.people, *parties.actors, parties.campaign_id, UUID(need) if need else None}
    return [one for one in ids if one is not None]


def _name_parties(
    work: Work, envelope: Envelope, parties: Parties, mission: Mission | None, names: dict[UUID | None, str]
) -> Names:
    def name(id: UUID | None) -> str:
        return names.get(id, "") if id else ""

    need = envelope.data.get("need_id")
    title = mission.title if mission else envelope.data.get("title") or name(UUID(need) if need else None)
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

"""What the demo came to, read back from the platform: the figures, and whether everything holds."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.databases import connect, each_territory
from cli.demo.closing import NOTICE, PARTNER, read_statements
from cli.demo.neighbours import Attempt
from cli.demo.papers import Papers, read_papers
from cli.demo.receivers import MailServer, Partner
from cli.demo.town import Town
from cli.migrate import SERVICES
from cli.state import State
from cli.traces import Span, read_spans, services_of
from cli.wording import counted

Row = dict[str, Any]
# What the validation of a mission goes through, up to the partner's webhook.
TRACED = ("gateway", "matching", "credits", "notifications")
TO_THE_PARTNER = "POST webhook"


@dataclass(frozen=True)
class Tracks:
    """Where the traces of validated missions are looked for: their ids, the files of spans (the newest first), and whether
    they must be there. Elsewhere (`--url`) and with a collector (OTLP) they need not."""

    traces: Sequence[str] = ()
    files: Sequence[Path] = ()
    required: bool = False


@dataclass
class TownOutcome:
    """One territory's campaign, as the public API tells it at the end."""

    town: Town
    grants: list[Row]
    lines: dict[str, Row]  # of the signed computation, by association
    needs: list[Row]
    missions: list[Row]
    statements: list[Row]
    books: Row
    refusals: list[Row]
    emails: list[Row]
    deliveries: list[Row]
    reasons: dict[str, str]  # why a mission was declined or cancelled, by its id
    papers: Papers
    played: bool = True  # in this run; else in an earlier one, maybe of an earlier version

    def missions_by_state(self) -> Counter[str]:
        return Counter(mission["state"] for mission in self.missions)


@dataclass
class Outcome:
    towns: list[TownOutcome]
    attempts: list[Attempt]
    events: int
    dead_letters: int
    verified: int  # deliveries whose signature the partner verified
    mails_received: int
    traces: list[list[Span]] = field(default_factory=list)  # one for each validated mission of the first town
    trace_required: bool = False
    checks: list[tuple[str, bool]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return all(held for _, held in self.checks)

    @property
    def trace(self) -> list[Span]:
        """The one to show: of those that went through the most processes to the most people, the quickest (its bars can
        be seen). Nothing when none is kept here."""
        if not self.traces:
            return []
        widest = max((len(services_of(found)), len(found)) for found in self.traces)
        best = [found for found in self.traces if (len(services_of(found)), len(found)) >= (widest[0], widest[1] - 2)]
        return min(best, key=lambda found: max(span.end_ns for span in found) - min(span.start_ns for span in found))

    def figures(self, *, seconds: float) -> dict[str, Any]:
        """The last line of `--once`."""
        return {
            "ok": self.ok,
            "grants": sum(1 for town in self.towns for grant in town.grants if grant["minutes"]),
            "missions_closed": sum(town.missions_by_state()["closed"] for town in self.towns),
            "events": self.events,
            "books_sum_minutes": sum(town.books["sum_minutes"] for town in self.towns),
            "webhooks_delivered": self.verified,
            "emails": sum(1 for town in self.towns for email in town.emails if email["state"] == "sent"),
            "trace_services": services_of(self.trace),
            "seconds": round(seconds, 1),
        }


async def read_outcome(
    towns: list[Town], attempts: list[Attempt], *, state: State, partner: Partner, mail: MailServer, tracks: Tracks
) -> Outcome:
    read = await asyncio.gather(*(read_town(town) for town in towns))
    events, dead_letters = await _count_events(state)
    outcome = Outcome(list(read), attempts, events, dead_letters, len(partner.verified), mail.received)
    outcome.traces = read_traces(tracks)
    outcome.trace_required = tracks.required
    outcome.checks = check(outcome, partner)
    return outcome


def read_traces(tracks: Tracks) -> list[list[Span]]:
    """The spans of each trace of which there are any."""
    found: dict[str, list[Span]] = {}
    for file in tracks.files:
        for span in read_spans(file, traces=set(tracks.traces)) if file.exists() else []:
            found.setdefault(span.trace, []).append(span)
    return list(found.values())


async def read_town(town: Town) -> TownOutcome:
    """All at once: it is the reading of a dozen lists."""
    officer = town.as_officer
    async with asyncio.TaskGroup() as group:
        granted = group.create_task(_read_grants(town))
        told = group.create_task(_read_missions(town))
        needs = group.create_task(officer.everything("/needs"))
        statements = group.create_task(read_statements(town))
        books = group.create_task(officer.get(f"{town.path}/books"))
        refusals = group.create_task(officer.everything(f"{town.path}/refusals"))
        emails = group.create_task(officer.everything("/emails"))
        deliveries = group.create_task(town.session(PARTNER).everything(f"/webhooks/{town.notes['webhook']}/deliveries"))
        papers = group.create_task(read_papers(town))
    (grants, lines), (missions, reasons) = granted.result(), told.result()
    return TownOutcome(
        town=town,
        grants=grants,
        lines=lines,
        needs=needs.result(),
        missions=missions,
        statements=statements.result(),
        books=books.result(),
        refusals=[refusal for refusal in refusals.result() if refusal["mission_id"]],
        emails=emails.result(),
        deliveries=deliveries.result(),
        reasons=reasons,
        papers=papers.result(),
        played="told_of_expiry" in town.notes,
    )


async def _read_grants(town: Town) -> tuple[list[Row], dict[str, Row]]:
    """The grants, and by association the line of the computation that was signed."""
    grants = await town.as_officer.everything(f"{town.path}/grants")
    ids = dict.fromkeys(grant["proposal_id"] for grant in grants)
    proposals = [await town.as_officer.get(f"{town.path}/grant-proposals/{id}") for id in ids]
    return grants, {line["association_id"]: line for proposal in proposals for line in proposal["lines"]}


async def _read_missions(town: Town) -> tuple[list[Row], dict[str, str]]:
    missions = await town.as_officer.everything("/missions")
    return missions, await _read_reasons(town, missions)


async def _read_reasons(town: Town, missions: list[Row]) -> dict[str, str]:
    """Why a mission did not take place, from its history."""

    async def read(mission: Row) -> tuple[str, str]:
        detail = await town.as_officer.get(f"/missions/{mission['id']}")
        reasons = [step["reason"] for step in detail["history"] if step["reason"]]
        return mission["id"], reasons[-1] if reasons else ""

    return dict(await town.together(read, [mission for mission in missions if mission["state"] in {"declined", "cancelled"}]))


async def _count_events(state: State) -> tuple[int, int]:
    """Events published in all (the log of notifications hears every one), and those that some service could not handle."""
    events = dead = 0
    for service in SERVICES:
        connection = await connect(service, state)
        try:
            dead += int(await connection.fetchval("SELECT count(*) FROM dead_letter"))
            if service == "notifications":
                async for territory in each_territory(connection):
                    events += int(await connection.fetchval("SELECT count(*) FROM event_log WHERE territory = $1", territory))
        finally:
            await connection.close()
    return events, dead


def check(outcome: Outcome, partner: Partner) -> list[tuple[str, bool]]:
    """What must hold whenever the demo was played: each in words, and whether it does."""
    emails = [email for town in outcome.towns for email in town.emails]
    deliveries = [delivery for town in outcome.towns for delivery in town.deliveries]
    delivered = [delivery for delivery in deliveries if delivery["state"] == "delivered"]
    sent = sum(1 for email in emails if email["state"] == "sent")
    checks = [
        ("les livres s'équilibrent à zéro, par les soldes et par les écritures", all(map(_balanced, outcome.towns))),
        ("chaque relevé concorde avec les dotations et les missions", all(map(_statements_agree, outcome.towns))),
        ("convention, valorisation et reçu disent ce que la mission a servi", all(town.papers.agree() for town in outcome.towns)),
        (
            "les indicateurs et les données ouvertes concordent avec les missions et les dotations",
            all(map(_published, outcome.towns)),
        ),
        ("dans chaque commune, du crédit a été accordé et dépensé", all(map(_lived, outcome.towns))),
        ("au moins une mission a été refusée faute de crédit", any(map(_lacked_credit, outcome.towns))),
        ("chaque commune a eu ses préavis d'échéance", all(map(_was_warned, outcome.towns))),
        ("aucune mission n'est restée en suspens", not any(_stuck(town) for town in outcome.towns)),
        (
            _tell(sent, "courriels partis, tous reçus par le serveur SMTP", emails),
            0 < sent <= outcome.mails_received and all(email["state"] != "failed" for email in emails),
        ),
        (
            _tell(len(delivered), "webhooks livrés, toutes les signatures vérifiées", deliveries),
            _all_verified(deliveries, partner),
        ),
        (f"{counted(len(outcome.attempts), 'tentative')} d'un territoire à l'autre, aucune n'aboutit", bool(outcome.attempts)),
        ("aucun événement en échec", outcome.dead_letters == 0),
    ]
    if outcome.trace_required:
        checks.append((f"une mission suivie de bout en bout : {', '.join(TRACED)}, puis le partenaire", _traced(outcome.trace)))
    return checks


def _traced(trace: list[Span]) -> bool:
    return set(TRACED) <= set(services_of(trace)) and any(span.name.startswith(TO_THE_PARTNER) for span in trace)


def _tell(count: int, words: str, messages: list[Row]) -> str:
    waiting = sum(1 for message in messages if message["state"] == "waiting")
    return f"{count} {words}" + (f" (interrompus par un arrêt, repris d'ici une demi-heure : {waiting})" if waiting else "")


def _all_verified(deliveries: list[Row], partner: Partner) -> bool:
    """The partner heard of it: what we count as delivered was verified, and nothing was verified that was not sent."""
    delivered = {delivery["event_id"] for delivery in deliveries if delivery["state"] == "delivered"}
    sent = {delivery["event_id"] for delivery in deliveries if delivery["state"] != "failed"}
    return not partner.refused and bool(delivered) and delivered <= set(partner.verified) <= sent


def _balanced(town: TownOutcome) -> bool:
    books = town.books
    return not (books["sum_minutes"] or books["entries_sum_minutes"] or books["accounts_out_of_step"])


def _statements_agree(town: TownOutcome) -> bool:
    """A statement's granted minutes are those of the association's grant, its served ones those of its closed missions."""
    served, granted = Counter[str](), Counter[str]()
    for mission in town.missions:
        if mission["state"] == "closed":
            served[mission["association_id"]] += mission["served_minutes"]
    for grant in town.grants:
        granted[grant["association_id"]] += grant["minutes"]
    told = {
        statement["holder_id"]: (
            sum(line["minutes"] for line in statement["lines"] if line["kind"] == "grant"), statement["closing_minutes"]["served"]
        )
        for statement in town.statements
    }  # fmt: skip
    return told == {holder: (granted[holder], served[holder]) for holder in granted | served}


def _lived(town: TownOutcome) -> bool:
    return bool(town.grants) and any(mission["state"] == "closed" for mission in town.missions)


def _lacked_credit(town: TownOutcome) -> bool:
    return any(refusal["code"] == "not-enough-credit" for refusal in town.refusals)


def _was_warned(town: TownOutcome) -> bool:
    return not town.played or any(email["event_type"] == NOTICE for email in town.emails)


def _published(town: TownOutcome) -> bool:
    """What the town tells of its campaign is what was granted and served."""
    served = sum(mission["served_minutes"] for mission in town.missions if mission["state"] == "closed")
    granted = [grant for grant in town.grants if grant["minutes"]]
    return town.papers.indicators["total"]["served_minutes"] == served and len(town.papers.open_data["rows"]) == len(granted)


def _stuck(town: TownOutcome) -> bool:
    return any(mission["state"] in {"agreed", "reported", "validated"} for mission in town.missions)

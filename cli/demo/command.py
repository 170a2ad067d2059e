"""`metis demo`: start everything, play, report, and serve until Ctrl-C."""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from rich.table import Table

from cli.console import CliError, console
from cli.demo import campaign, closing, missions, neighbours, papers
from cli.demo.outcome import Outcome, Tracks, read_outcome
from cli.demo.quiet import wait_until_quiet
from cli.demo.receivers import MailServer, Partner, serve_partner
from cli.demo.report import print_report
from cli.demo.town import Memory, Town
from cli.http import AsyncClient, make_client
from cli.stack import HOST, run_stack
from cli.state import State
from cli.up import beside, first_of, stop_on_signals
from cli.wording import counted

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
WRITTEN_ON = date(2026, 11, 22)  # the day the example files are written for
TOWNS = (("92071", "Sceaux", "sceaux"), ("92014", "Bourg-la-Reine", "bourg-la-reine"))


@dataclass(frozen=True)
class Place:
    """Where the platform is: started here, or running elsewhere (`--url`)."""

    url: str
    admin_secret: str
    watch: Callable[[], Awaitable[None]]  # raises when a process of ours dies
    elsewhere: bool = False


@dataclass(frozen=True)
class Options:
    """`url` names a platform that runs elsewhere; `host` is where our receivers listen, `seen_as` how it reaches them."""

    once: bool
    url: str | None = None
    host: str = HOST
    seen_as: str | None = None
    smtp_port: int = 0


class Story:
    """What happens, line by line, with the time since the start."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.told = False  # to the end, report and all

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def tell(self, who: str, text: str) -> None:
        console.print(f"[dim]{self.seconds:5.1f} s[/]  [bold]{who:<15}[/] {text}")


async def run(state: State, options: Options) -> None:
    """Raises CliError when anything is not as it must be."""
    story = Story()
    async with stop_on_signals() as stopping:
        await first_of(_run(state, options, story, stopping), stopping.wait())
    if not story.told:
        raise CliError("Interrompu avant la fin.", cure="Relancez la même commande : elle reprendra où elle en était.")


async def _run(state: State, options: Options, story: Story, stopping: asyncio.Event) -> None:
    memory = Memory(state)
    state.prepare()
    async with contextlib.AsyncExitStack() as cleanup:
        mail = MailServer(state.path / "courriels.mbox")
        await mail.start(options.host, options.smtp_port)
        cleanup.push_async_callback(mail.stop)
        partner = Partner(state.path / "partenaire.jsonl")
        partner_port = cleanup.enter_context(serve_partner(partner, options.host, memory.part("ports").get("partner", 0)))
        memory.part("ports")["partner"] = partner_port
        place = await cleanup.enter_async_context(_place(state, options, story, smtp_port=mail.port))
        hooks_url = f"http://{options.seen_as or options.host}:{partner_port}"
        http = await cleanup.enter_async_context(make_client(place.url))
        playing = _play_and_read(state, memory, place, http, story, mail=mail, partner=partner, hooks_url=hooks_url)
        outcome = await beside(playing, place.watch())
        # Laying it out takes a while, and the platform may stop meanwhile.
        telling = asyncio.create_task(asyncio.to_thread(print_report, console, outcome))
        story.told = True
        figures = outcome.figures(seconds=story.seconds)
        if not options.once and outcome.ok:
            await telling
            _print_people(place, memory, state, outcome.towns[0].town)
            console.print("[bold green]Métis continue de servir.[/] Arrêt : Ctrl-C")
            await first_of(place.watch(), stopping.wait())
    await telling
    if not outcome.ok:
        failed = "; ".join(words for words, held in outcome.checks if not held)
        raise CliError(f"La démonstration a échoué : {failed}.", detail=json.dumps(figures), cure=f"Journaux : {state.logs}")
    if options.once:
        print(json.dumps(figures), flush=True)


@contextlib.asynccontextmanager
async def _place(state: State, options: Options, story: Story, *, smtp_port: int) -> AsyncIterator[Place]:
    if options.url is not None:
        secret = os.environ.get("METIS_ADMIN_CLIENT_SECRET")
        if not secret:
            raise CliError("Le secret de l'instance manque.", cure="Donnez METIS_ADMIN_CLIENT_SECRET avec --url.")
        yield Place(options.url.rstrip("/"), secret, _watch_nothing, elsewhere=True)
        return
    environment = {
        "METIS_SMTP_HOST": options.host,
        "METIS_SMTP_PORT": str(smtp_port),
        "METIS_SMTP_FROM": "Métis <metis@exemple.test>",
        "METIS_WEBHOOK_ALLOW_PRIVATE": "true",
        "METIS_EMAIL_RETRY_DELAYS_SECONDS": "[1, 2, 5, 10]",
        "METIS_WEBHOOK_RETRY_DELAYS_SECONDS": "[1, 2, 5, 10]",
        "METIS_SWEEP_EVERY_SECONDS": "4",  # a campaign is played in ten; its notices are due in them
    }
    with console.status("Démarrage…") as status:
        async with run_stack(state, environment=environment, durable=False, say=lambda text: status.update(f"{text}…")) as stack:
            for remark in stack.remarks:
                story.tell("Métis", f"[yellow]{remark}[/]")
            story.tell("Métis", "PostgreSQL, quatre services et la passerelle sont prêts")
            status.stop()
            yield Place(stack.url, stack.secrets.instance_admin_secret, stack.children.watch)


async def _watch_nothing() -> None:
    """Processes that are not ours."""
    await asyncio.Event().wait()


async def _play_and_read(
    state: State,
    memory: Memory,
    place: Place,
    http: AsyncClient,
    story: Story,
    *,
    mail: MailServer,
    partner: Partner,
    hooks_url: str,
) -> Outcome:
    memory.part("dates").setdefault("shift_days", (date.today() - WRITTEN_ON).days)  # noqa: DTZ011  (the reader's own day)
    towns = [Town(insee, name, EXAMPLES / folder, http, place.url, memory, story.tell) for insee, name, folder in TOWNS]
    with console.status("La campagne se joue…"):
        async with asyncio.TaskGroup() as group:
            for town in towns:
                group.create_task(play(town, partner, admin_secret=place.admin_secret, hooks_url=hooks_url))
        attempts = await neighbours.try_across(towns[1], towns[0]) + await neighbours.try_inside(towns[1], towns[0])
        story.tell("Métis", f"{counted(len(attempts), 'tentative')} d'un territoire à l'autre, aucune n'aboutit")
        await wait_until_quiet(state)
        story.tell("Métis", "tous les événements, courriels et webhooks sont arrivés")
        memory.save()
        tracks = _tracks(state, list(memory.part("traces").get(towns[0].insee, {}).values()), elsewhere=place.elsewhere)
        outcome = await read_outcome(towns, attempts, state=state, partner=partner, mail=mail, tracks=tracks)
    return outcome


def _tracks(state: State, traces: list[str], *, elsewhere: bool) -> Tracks:
    if elsewhere:
        # Of a platform that shares its file with us, if it does.
        return Tracks(traces, [Path(os.environ.get("METIS_SPANS_FILE", state.spans))])
    # An earlier run's may have been put away, and in the end thrown away, with the file it was in (cli/stack.py).
    return Tracks(
        traces,
        [state.spans, state.older_spans],
        required="METIS_OTLP_ENDPOINT" not in os.environ and not state.older_spans.exists(),
    )


async def play(town: Town, partner: Partner, *, admin_secret: str, hooks_url: str) -> None:
    """One territory's campaign, from wherever an earlier run left it."""
    await campaign.found_territory(town, admin_secret=admin_secret)
    first = town.session("agent")
    await town.read_people(first)
    known = await first.everything("/campaigns")
    if known and known[0]["state"] == "closed":
        town.campaign = known[0]
        await closing.subscribe_partner(town, partner, url=f"{hooks_url}/{town.insee}")
        town.say("campagne déjà jouée et close lors d'une exécution précédente : rien n'est refait")
        return
    await campaign.import_files(town, first, campaign.REGISTRY_FILES)
    await town.read_people(first)
    await town.read_campaign(first)
    await town.issue_to_members([town.officer, town.operator])
    await closing.subscribe_partner(town, partner, url=f"{hooks_url}/{town.insee}")
    await campaign.open_campaign(town)
    await campaign.import_files(town, town.as_officer, campaign.PLEDGE_FILES)
    await campaign.change_pledges(town)
    await campaign.sign_grants(town)
    if town.insee not in (brought := town.memory.part("brought")):
        # Once: its people have changed needs since, which an import would put back.
        await campaign.import_files(town, town.as_officer, campaign.MATCHING_FILES)
        brought[town.insee] = True
        town.memory.save()
    await missions.open_offers(town)
    await missions.open_needs(town)
    await missions.agree_missions(town)
    await papers.conclude_conventions(town)
    await missions.serve_missions(town)
    await papers.issue_receipt(town)
    await closing.await_notices(town)
    await closing.close_campaign(town)


ROLES = {
    "officer": "agent de la ville",
    "operator": "opérateur",
    "association": "responsable d'association",
    "company": "référent d'entreprise",
    "volunteer": "bénévole",
}


def _print_people(place: Place, memory: Memory, state: State, town: Town) -> None:
    """Addresses, and the credentials of one person for each role; all are in the state."""
    clients = memory.part("clients")
    table = Table(title=f"Pour continuer à leur place, à {town.name} (OAuth 2, client credentials)", title_justify="left")
    for heading in ("Qui", "client_id", "client_secret"):
        table.add_column(heading, no_wrap=True)
    people = sorted((m for m in town.members.values() if town.has_client(m["ref"])), key=lambda member: member["ref"])
    for role, words in ROLES.items():
        if person := next((member for member in people if role in member["roles"]), None):
            client_id = town.client_id(person["ref"])
            table.add_row(f"{person['display_name']}, {words}", client_id, clients[client_id])
    partner = town.client_id(closing.PARTNER)
    table.add_row("Plateforme partenaire", partner, clients[partner])
    console.print(table)
    console.print(f"Tous les clients : {state.path / Memory.NAME}")
    console.print(f"API publique : [bold]{place.url}[/]   Documentation : [bold]{place.url}/docs[/]")
    mails, journal = state.path / "courriels.mbox", state.path / "partenaire.jsonl"
    console.print(f"Courriels : {mails}   Partenaire : {journal}   Journaux : {state.logs}")

"""`metis`: the command line. Every command imports what it needs when it runs, so that `--help` is instant."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from cli.access import Access, ClientId, ClientSecret, StatePath, Url, with_access
from cli.console import CliError, TeachingGroup, console
from cli.ledger import ledger_app
from cli.matching import match_app
from cli.officer.commands import approvals_app, grants_app
from cli.rounds.command import round_app
from cli.state import State

app = typer.Typer(
    name="metis",
    cls=TeachingGroup,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Métis : un crédit d'expertises pour les associations d'une ville.\n\n"
    "A town's credit of expertise. Begin with [bold]metis demo[/]: a whole campaign, played before your eyes.",
)
territory_app = typer.Typer(cls=TeachingGroup, no_args_is_help=True, help="Territories of this instance.")
deadletters_app = typer.Typer(cls=TeachingGroup, no_args_is_help=True, help="Events that a service could not handle.")
events_app = typer.Typer(cls=TeachingGroup, no_args_is_help=True, help="Past events.")
app.add_typer(territory_app, name="territory")
app.add_typer(deadletters_app, name="deadletters")
app.add_typer(events_app, name="events")
app.add_typer(grants_app, name="grants", rich_help_panel="A town's work")
app.add_typer(approvals_app, name="approvals", rich_help_panel="A town's work")
app.add_typer(ledger_app, name="ledger", rich_help_panel="A town's work")
app.add_typer(round_app, name="round", rich_help_panel="A town's work")
app.add_typer(match_app, name="match", rich_help_panel="A town's work")

RUN, WORK, OPERATE, DEVELOP = "Run", "A town's work", "Look after it", "Develop"

StateOption = Annotated[Path, typer.Option("--state", envvar="METIS_STATE", help="Folder of data, secrets, logs and traces.")]
UrlOption = Annotated[
    str | None, typer.Option("--url", envvar="METIS_URL", help="Address of the gateway; else the one that runs in --state.")
]
ServiceOption = Annotated[str | None, typer.Option("--service", help="One service only.")]
STATE = Path(".metis")


@app.command(rich_help_panel=RUN)
def demo(  # noqa: PLR0917  (typer passes by name)
    once: Annotated[bool, typer.Option("--once", help="Play, report, stop; the last line is one JSON object.")] = False,
    url: Annotated[str | None, typer.Option(help="A platform that runs already (with METIS_DATABASE_URL, its server).")] = None,
    listen: Annotated[str, typer.Option(help="Where the demo's mail server and partner listen.")] = "127.0.0.1",
    seen_as: Annotated[str | None, typer.Option(help="How the platform reaches them; default: the same.")] = None,
    smtp_port: Annotated[int, typer.Option(help="Port of the demo's mail server; default: a free one.")] = 0,
    state: StateOption = STATE,
) -> None:
    """Play a whole campaign of Sceaux, from its registry to its last statement.

    Starts everything on this machine (PostgreSQL, four services, the gateway, a mail server, a partner), imports
    examples/, plays the campaign through the public API as its people would, reports, and keeps serving until Ctrl-C.
    A second run starts from what is kept in .metis/ and does nothing twice.

    [dim]Example:[/] metis demo --once
    """
    import uvloop

    from cli.demo.command import Options, run

    uvloop.run(run(State(state), Options(once, url, listen, seen_as, smtp_port)))


@app.command(rich_help_panel=RUN)
def up(state: StateOption = STATE) -> None:
    """Start the platform on this machine, until Ctrl-C.

    With METIS_DATABASE_URL (a server's owner) and METIS_AMQP_URL set, those are used instead of the embedded ones.

    [dim]Example:[/] metis up
    """
    from cli.up import serve

    asyncio.run(serve(State(state)))


@territory_app.command("create")
def territory_create(
    insee: Annotated[str, typer.Argument(help="INSEE code of the commune, e.g. 92071 (not the postcode).")],
    name: Annotated[str, typer.Option("--name", help="Its name, e.g. Sceaux.")],
    url: UrlOption = None,
    admin_secret: Annotated[
        str | None,
        typer.Option(envvar="METIS_ADMIN_CLIENT_SECRET", help="Of the instance; else the one in --state.", show_envvar=True),
    ] = None,
    state: StateOption = STATE,
) -> None:
    """Create a territory and its first officer's client; shows the client's secret once.

    [dim]Example:[/] metis territory create 92071 --name Sceaux
    """
    from cli.territory import create_territory

    local = State(state)
    secret = admin_secret or (local.secrets().instance_admin_secret if local.exists else None)
    if not secret:
        raise CliError("Le secret de l'instance manque.", cure="Donnez --admin-secret, METIS_ADMIN_CLIENT_SECRET, ou --state.")
    credentials = asyncio.run(create_territory(url or local.gateway_url(), insee=insee, name=name, admin_secret=secret))
    console.print(f"Territoire [bold]{name}[/] ({insee}) prêt. Le client de son premier agent, montré cette seule fois :")
    console.print(f"  client_id      {credentials.client_id}\n  client_secret  {credentials.client_secret}")
    console.print(f"Ensuite : metis import examples/sceaux --client-id {credentials.client_id} --client-secret …")


@app.command("import", rich_help_panel=WORK)
def import_(  # noqa: PLR0917  (typer passes by name)
    folder: Annotated[Path, typer.Argument(help="Dossier de fichiers CSV, ou un seul fichier.")],
    client_id: ClientId = "",
    client_secret: ClientSecret = "",
    url: Url = None,
    shift_days: Annotated[int, typer.Option(help="Jours ajoutés à toutes les dates.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Contrôler les fichiers sans rien envoyer.")] = False,
    state: StatePath = STATE,
) -> None:
    """Importer les fichiers d'un territoire (import a town's CSV files).

    Les lignes correctes entrent par l'API publique ; les autres sont expliquées et écrites dans un fichier
    .rejects.csv. Importer de nouveau ne change que ce qui a changé. Ctrl-C est sans danger : relancez la commande.

    [dim]Exemple :[/] metis import examples/sceaux --client-id 92071.agent --client-secret …
    """
    from cli.importer.command import run

    address = url or State(state).gateway_url()
    rejected = run(folder, url=address, client_id=client_id, client_secret=client_secret, shift_days=shift_days, dry_run=dry_run)
    raise typer.Exit(1 if rejected else 0)


@app.command(rich_help_panel=WORK)
@with_access
def close(
    access: Access,
    campaign: Annotated[str, typer.Argument(help="Référence de la campagne, p. ex. sceaux-2026, ou son identifiant.")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Montrer ce que la clôture ferait, sans rien écrire.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Oui à tout : avertissements, échéance, signature.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Motif de la clôture, écrit au rapport.")] = "",
    out: Annotated[Path | None, typer.Option("--out", help="Dossier où écrire le rapport (JSON, CSV, PDF).")] = None,
) -> None:
    """Clore une campagne, pas à pas (close a campaign).

    Six étapes : vérifier la campagne ; vérifier les préavis ; clore et faire échoir le crédit non dépensé, selon la règle ;
    rendre les réserves dont le délai est passé ; arrêter les relevés et établir le rapport ; signer le rapport.

    Un tableau montre d'abord ce qui va se passer. Seule la troisième étape est irréversible : la commande demande avant.
    Ce qui s'y oppose est expliqué, avec ce qu'il faut faire. Ctrl-C est sans danger : relancez la commande pour la suite.
    Rappelée plus tard, elle propose un additif si une mission qui gardait sa réserve s'est terminée depuis.

    [dim]Exemples :[/] metis close sceaux-2026 --dry-run · metis close sceaux-2026 --out bilan
    """
    from cli.close import run

    code = run(
        access,
        campaign=campaign,
        reason=reason,
        dry_run=dry_run,
        yes=yes,
        folder=out,
    )
    raise typer.Exit(code)


@app.command(rich_help_panel=OPERATE)
def doctor(state: StateOption = STATE) -> None:
    """Check this machine and the running platform; every fault comes with its cure.

    [dim]Example:[/] metis doctor
    """
    from cli.doctor import run

    raise typer.Exit(1 if asyncio.run(run(State(state))) else 0)


@app.command(rich_help_panel=OPERATE)
def trace(
    id: Annotated[str | None, typer.Argument(help="Trace id, or its beginning (a problem's `trace` member names it).")] = None,
    last: Annotated[bool, typer.Option("--last", help="The newest trace.")] = False,
    file: Annotated[Path | None, typer.Option(help="File of spans; default: the one in --state.")] = None,
    state: StateOption = STATE,
) -> None:
    """Draw a trace as a waterfall across the processes. Without an id: the one that went through the most processes.

    [dim]Examples:[/] metis trace 4bf92f35 · metis trace --last
    """
    from cli.traces import draw, find_trace, read_spans, widest_trace

    path = file or State(state).spans
    chosen = find_trace(path, id) if id else widest_trace(read_spans(path), newest=last)
    console.print(draw(read_spans(path, traces={chosen}), width=console.width))


@app.command(rich_help_panel=OPERATE)
def migrate(
    service: Annotated[list[str] | None, typer.Option("--service", help="This one only; may be repeated (`bus` is one).")] = None,
) -> None:
    """Create or upgrade the databases on the server of METIS_DATABASE_URL (its owner's URL).

    The runtime roles' passwords come from METIS_<SERVICE>_DATABASE_PASSWORD, or derive from METIS_SECRET.

    [dim]Example:[/] METIS_DATABASE_URL=postgresql://postgres:…@db/postgres METIS_SECRET=… metis migrate --service credits
    """
    from cli.migrate import run

    for name in run(service or []):
        console.print(f"{name}: up to date")


@app.command(rich_help_panel=OPERATE)
def keys() -> None:
    """Print the secrets of a new instance, as lines of an environment file.

    [dim]Example:[/] metis keys > instance.env
    """
    from cli.keys import as_lines, make_environment

    typer.echo(as_lines(make_environment()))


@deadletters_app.command("list")
def deadletters_list(
    service: ServiceOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Of each service so many at most.")] = 200,
    state: StateOption = STATE,
) -> None:
    """List them, the oldest first.

    [dim]Example:[/] metis deadletters list --service credits
    """
    from cli.deadletters import list_all

    list_all(State(state), service, limit=limit)


@deadletters_app.command("show")
def deadletters_show(event_id: UUID, service: ServiceOption = None, state: StateOption = STATE) -> None:
    """Show one: its event, the reason, the stack.

    [dim]Example:[/] metis deadletters show 0193…
    """
    from cli.deadletters import show

    show(State(state), event_id, service=service)


@deadletters_app.command("replay")
def deadletters_replay(
    event_ids: Annotated[list[UUID] | None, typer.Argument()] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    service: ServiceOption = None,
    state: StateOption = STATE,
) -> None:
    """Give them to the service's handlers again, once the cause is mended.

    [dim]Example:[/] metis deadletters replay --all --service credits
    """
    from cli.deadletters import replay

    replay(State(state), event_ids or [], everything=everything, service=service)


@deadletters_app.command("drop")
def deadletters_drop(
    event_ids: Annotated[list[UUID] | None, typer.Argument()] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them, once confirmed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --all: do not ask.")] = False,
    service: ServiceOption = None,
    state: StateOption = STATE,
) -> None:
    """Delete them for good.

    [dim]Example:[/] metis deadletters drop 0193…
    """
    from cli.deadletters import drop

    confirm: Callable[[str], bool] = (lambda _: True) if yes else typer.confirm
    drop(State(state), event_ids or [], everything=everything, service=service, confirm=confirm)


@deadletters_app.command("recover")
def deadletters_recover(service: ServiceOption = None) -> None:
    """Give what RabbitMQ itself put aside to the service's queue again, once the cause is mended.

    That is what was taken a hundred times and never answered, in the queues metis.<service>.dead. METIS_AMQP_URL says where.

    [dim]Example:[/] metis deadletters recover --service credits
    """
    from cli.deadletters import recover

    recover(service)


@events_app.command("replay")
def events_replay(
    service: Annotated[str, typer.Option("--service", help="Who is to hear them again.")],
    since: Annotated[datetime, typer.Option("--since", help="From this moment on (local time).")],
    type_prefix: Annotated[str, typer.Option("--type", help="Only types that begin so, e.g. registry.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    state: StateOption = STATE,
) -> None:
    """Give a service the past events that its inbox does not know (it was added late, or restored from a backup).

    [dim]Example:[/] metis events replay --service matching --since 2026-11-01
    """
    from cli.events import run

    run(State(state), service=service, since=since, type_prefix=type_prefix, dry_run=dry_run)


@app.command(rich_help_panel=DEVELOP)
def openapi(check: Annotated[bool, typer.Option("--check", help="Only compare; fails when stale.")] = False) -> None:
    """Generate gateway/openapi.json and docs/api/access.md from the services' code.

    [dim]Example:[/] metis openapi --check
    """
    from cli.openapi import write

    _say_written([str(path) for path in write(check=check)])


@app.command(rich_help_panel=DEVELOP)
def eventdocs(
    check: Annotated[bool, typer.Option("--check", help="Only compare; fails when stale.")] = False,
    allow_breaks: Annotated[bool, typer.Option("--allow-breaks", help="For versions that nobody has seen yet.")] = False,
) -> None:
    """Generate docs/events/ (JSON Schema, AsyncAPI 3, index) from kernel/events; refuses to break a published version.

    [dim]Example:[/] metis eventdocs --check
    """
    from cli.eventdocs import write

    _say_written(write(check=check, allow_breaks=allow_breaks))


def _say_written(files: list[str]) -> None:
    for file in files:
        console.print(f"written: {file}")
    if not files:
        console.print("up to date")


if __name__ == "__main__":
    app()

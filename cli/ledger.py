"""`metis ledger`: export it, verify an export, audit the database."""

from pathlib import Path
from typing import Annotated

import typer

from cli.console import CliError, console, errors
from cli.ledger_exports.commands import ledger_app
from cli.state import State
from cli.wording import counted

__all__ = ["ledger_app"]

TerritoryOption = Annotated[str, typer.Option("--territory", help="INSEE code of the commune, e.g. 92071.")]
StateOption = Annotated[Path, typer.Option("--state", envvar="METIS_STATE", help="Folder of data, secrets, logs and traces.")]
LanguageOption = Annotated[str, typer.Option("--lang", envvar="METIS_LANG", help="fr or en.")]
STATE = Path(".metis")
DIFFERENT = 1


@ledger_app.command("export")
def ledger_export(  # noqa: PLR0917  (typer passes by name)
    territory: TerritoryOption,
    out: Annotated[Path, typer.Option("--out", help="File to write; an export that was interrupted goes on where it stopped.")],
    client_id: Annotated[str, typer.Option(envvar="METIS_CLIENT_ID", help="Client of an officer or an auditor.")] = "",
    client_secret: Annotated[str, typer.Option(envvar="METIS_CLIENT_SECRET", help="Its secret.")] = "",
    url: Annotated[
        str | None, typer.Option("--url", envvar="METIS_URL", help="Address of the gateway; else the one that runs in --state.")
    ] = None,
    state: StateOption = STATE,
) -> None:
    """Export the whole ledger with its seals, for `metis ledger verify`.

    [dim]Example:[/] metis ledger export --territory 92071 --out 92071.ndjson --client-id 92071.agent --client-secret …
    """
    import asyncio

    from cli.exporting import export_ledger

    address = url or State(state).gateway_url()
    rows = asyncio.run(
        export_ledger(address, territory=territory, out=out, client_id=client_id, client_secret=client_secret, tell=errors.print)
    )
    console.print(f"{out} : {counted(rows, 'ligne')}. Ensuite : [bold]metis ledger verify {out}[/]")


@ledger_app.command("verify")
def ledger_verify(
    bundle: Annotated[Path, typer.Argument(help="What `metis ledger export` wrote.")],
    head: Annotated[
        str | None, typer.Option("--head", help="A head published before: its hash, or a file with it. Finds a cut tail.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of sentences.")] = False,
    lang: LanguageOption = "fr",
) -> None:
    """Check an export offline: every hash, link, signature and balance. Names the first row that was touched.

    Exit code 0: nothing was changed; 1: something was; 2: the file cannot be read.

    [dim]Example:[/] metis ledger verify 92071.ndjson --head 3f1c…
    """
    from cli.ledger_verify.command import run

    if lang not in {"fr", "en"}:
        raise CliError(f"--lang : « {lang} » ?", cure="fr ou en.")
    raise typer.Exit(run(bundle, head=head, as_json=as_json, language=lang))


@ledger_app.command("audit")
def ledger_audit(
    territory: TerritoryOption,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of sentences.")] = False,
    state: StateOption = STATE,
) -> None:
    """Recompute everything from the transfers in the database, read-only, and compare. Exit code 1 when something differs.

    [dim]Example:[/] metis ledger audit --territory 92071
    """
    import asyncio
    import json

    from cli.databases import connect, url_of
    from services.credits.auditing.auditor import audit

    local = State(state)

    async def run() -> tuple[int, dict[str, object], list[str]]:
        await (await connect("credits", local)).close()  # says in words when it cannot be reached
        done = await audit(url_of("credits", local), territory)
        return done.count, done.as_json(), [str(difference) for difference in done.differences]

    count, facts, differences = asyncio.run(run())
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False))
    elif count:
        console.print(f"[bold red]✗[/] {counted(count, 'différence')} en {territory} :")
        for line in differences:
            console.print("  " + line, markup=False)
    else:
        told = f"écritures recalculées : {facts['transfers']}, comptes : {facts['accounts']} ; rien ne diffère."
        console.print(f"[bold green]✓[/] {territory} : {told}")
    raise typer.Exit(DIFFERENT if count else 0)

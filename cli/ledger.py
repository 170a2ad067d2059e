"""`metis ledger`: export it, verify an export, audit the database."""

from pathlib import Path
from typing import Annotated

import typer

from cli.access import ClientId, ClientSecret, StatePath, Url
from cli.console import CliError, console, errors
from cli.ledger_exports.commands import ledger_app
from cli.state import State
from cli.wording import counted

__all__ = ["ledger_app"]

Territory = Annotated[str, typer.Option("--territory", help="Code INSEE de la commune, p. ex. 92071.")]
Language = Annotated[str, typer.Option("--lang", envvar="METIS_LANG", help="fr ou en.")]
AsJson = Annotated[bool, typer.Option("--json", help="Un objet JSON au lieu de phrases.")]
STATE = Path(".metis")
DIFFERENT = 1


@ledger_app.command("export")
def ledger_export(  # noqa: PLR0917  (typer passes by name)
    territory: Territory,
    out: Annotated[Path, typer.Option("--out", help="Fichier à écrire ; un export interrompu reprend où il s'est arrêté.")],
    client_id: ClientId = "",
    client_secret: ClientSecret = "",
    url: Url = None,
    state: StatePath = STATE,
) -> None:
    """Exporter tout le grand livre avec ses sceaux, pour `metis ledger verify`.

    Il faut l'identifiant d'un agent ou d'un contrôleur.

    [dim]Exemple :[/] metis ledger export --territory 92071 --out 92071.ndjson --client-id 92071.agent --client-secret …
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
    bundle: Annotated[Path, typer.Argument(help="Ce que `metis ledger export` a écrit.")],
    head: Annotated[
        str | None,
        typer.Option(
            "--head", help="Tête publiée autrefois : son empreinte, ou un fichier qui la contient. Révèle une fin coupée."
        ),
    ] = None,
    as_json: AsJson = False,
    lang: Language = "fr",
) -> None:
    """Vérifier un export hors ligne : chaque empreinte, lien, signature et solde. Nomme la première ligne touchée.

    Code de sortie 0 : rien n'a été modifié ; 1 : quelque chose l'a été ; 2 : le fichier ne se lit pas.

    [dim]Exemple :[/] metis ledger verify 92071.ndjson --head 3f1c…
    """
    from cli.ledger_verify.command import run

    if lang not in {"fr", "en"}:
        raise CliError(f"--lang : « {lang} » ?", cure="fr ou en.")
    raise typer.Exit(run(bundle, head=head, as_json=as_json, language=lang))


@ledger_app.command("audit")
def ledger_audit(
    territory: Territory,
    as_json: AsJson = False,
    state: StatePath = STATE,
) -> None:
    """Recalculer tous les comptes à partir des écritures de la base, sans rien y écrire, et comparer.

    Code de sortie 1 si quelque chose diffère.

    [dim]Exemple :[/] metis ledger audit --territory 92071
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

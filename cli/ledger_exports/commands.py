"""The commands of `metis ledger`, as a person meets them."""

from collections.abc import Awaitable, Callable
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.access import Access, with_access
from cli.api import Session
from cli.console import CliError, TeachingGroup, console

ledger_app = typer.Typer(
    cls=TeachingGroup,
    no_args_is_help=True,
    help="Le grand livre : relevés, comptabilité, données ouvertes, indicateurs ; export scellé, vérification, audit.",
)

Campaign = Annotated[str | None, typer.Option("--campaign", help="Référence de la campagne ; inutile s'il n'y en a qu'une.")]
Folder = Annotated[Path, typer.Option("--to", help="Dossier où écrire ; les noms viennent de la plateforme.")]
Since = Annotated[datetime | None, typer.Option("--since", formats=["%Y-%m-%d"], help="Premier jour, p. ex. 2026-01-01.")]
Until = Annotated[datetime | None, typer.Option("--until", formats=["%Y-%m-%d"], help="Dernier jour.")]
HERE = Path()


class StatementFormat(StrEnum):
    SCREEN = "screen"
    PDF = "pdf"
    CSV = "csv"


def _write(access: Access, export: Callable[[Session], Awaitable[list[Path]]]) -> None:
    for file in access.run(export):
        console.print(f"écrit : {file}")


def _day(value: datetime | None) -> str | None:
    return date(value.year, value.month, value.day).isoformat() if value else None


@ledger_app.command("statement")
@with_access
def statement(
    access: Access,
    *,
    campaign: Campaign = None,
    association: Annotated[str | None, typer.Option("--association", help="Celui de cette association (son id).")] = None,
    contributor: Annotated[
        str | None, typer.Option("--contributor", help="Celui de cette entreprise ou personne (son id).")
    ] = None,
    volunteer: Annotated[
        str | None, typer.Option("--volunteer", help="Les heures de cette personne (son id de membre), réservées et faites.")
    ] = None,
    each: Annotated[bool, typer.Option("--each", help="La campagne, puis chaque association et chaque contributeur.")] = False,
    format: Annotated[
        StatementFormat | None,
        typer.Option(
            "--format",
            help="screen à l'écran, pdf à imprimer, csv pour un tableur. Sans --out ni --to : screen.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Écrire ce fichier : sa fin, .pdf ou .csv, dit le format.", show_default=False)
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--to", help="Dossier où écrire (en pdf, sauf --format csv) ; les noms viennent de la plateforme."),
    ] = None,
    since: Since = None,
    until: Until = None,
    as_recorded_at: Annotated[
        str | None, typer.Option(help="Tel qu'enregistré à cet instant, p. ex. 2026-06-30T23:59:59+02:00.")
    ] = None,
    as_effective_at: Annotated[
        str | None, typer.Option(help="Selon les dates d'effet jusqu'à cet instant (l'un ou l'autre).")
    ] = None,
) -> None:
    """Lire un relevé de compte, ou l'écrire : soldes d'ouverture et de clôture, chaque écriture avec sa mission et sa personne.

    Sans --association, --contributor ni --volunteer, c'est le relevé de toute la campagne. Celui d'une personne bénévole dit
    les heures des missions qu'elle fait, même pour son entreprise ; elle le demande avec son propre identifiant, ou la
    commune pour elle (--each ne l'écrit pas).

    Une écriture a deux dates : celle où elle a pris effet et celle où elle a été enregistrée. Le relevé va par date
    d'enregistrement, et montre l'autre quand le jour diffère. --as-recorded-at redonne ce que le grand livre disait alors,
    même corrigé depuis ; --as-effective-at va par date d'effet : ce qui valait alors, d'après ce qu'on sait aujourd'hui.

    Rien ne s'efface : une erreur se corrige par une écriture contraire, qui dit « annule n° … », et l'écriture corrigée dit
    « annulée par n° … ». La personne est celle qui fait la mission ; sinon, après « par », qui a passé l'écriture (« par
    Métis » : la plateforme elle-même, à une échéance).

    [dim]À l'écran :[/] metis ledger statement --campaign sceaux-2026 --association ID --since 2026-01-01

    [dim]Un fichier :[/] metis ledger statement --campaign sceaux-2026 --out releve.pdf

    [dim]Tous :[/] metis ledger statement --campaign sceaux-2026 --each --to releves
    """
    from cli.ledger_exports.command import Which, export_statements

    if sum(map(bool, (association, contributor, volunteer, each))) > 1:
        raise CliError("Un seul choix à la fois.", cure="Gardez --association, --contributor, --volunteer ou --each.")
    chosen = _choose_format(format, out=out, folder=folder, each=each)
    which = Which(campaign, association, contributor, volunteer, each)
    asked = {"since": _day(since), "until": _day(until), "as_recorded_at": as_recorded_at, "as_effective_at": as_effective_at}
    _write(
        access,
        lambda session: export_statements(session, folder or HERE, which, format=chosen, out=out, parameters=asked),
    )


def _choose_format(format: StatementFormat | None, *, out: Path | None, folder: Path | None, each: bool) -> StatementFormat:
    """What is asked for, else what the place to write says. Raises CliError where they disagree."""
    files = (StatementFormat.PDF, StatementFormat.CSV)
    if out is None:
        if format is StatementFormat.SCREEN and folder is not None:
            raise CliError("À l'écran, rien n'est écrit.", cure="Gardez --to avec --format pdf ou csv, ou --format screen seul.")
        return format or (StatementFormat.PDF if folder is not None else StatementFormat.SCREEN)
    if each or folder is not None:
        raise CliError("--out est un seul fichier.", cure="Pour plusieurs relevés : --each --to DOSSIER, sans --out.")
    said = next((one for one in files if out.suffix.lower() == f".{one}"), None)
    if said is None or format not in {None, said}:
        cure = "Un nom qui finit par .pdf ou .csv, comme releve.pdf, et --format n'est pas nécessaire."
        raise CliError(f"Quel format pour {out.name} ?", cure=cure)
    return said


@ledger_app.command("inkind")
@with_access
def inkind(
    access: Access,
    *,
    campaign: Campaign = None,
    association: Annotated[
        str | None, typer.Option("--association", help="Cette association (son id) ; sinon tout le panel.")
    ] = None,
    since: Since = None,
    until: Until = None,
    folder: Folder = HERE,
) -> None:
    """Écrire les écritures de contributions volontaires en nature (comptes 86 et 87) d'une association, pour un exercice.

    Une entreprise qui prête ses salariés : 862 et 871 ; une personne à titre personnel : 864 et 875. Le montant est celui
    que le contributeur a donné ; sans valorisation, la ligne porte ses minutes et aucun montant : rien n'est estimé.

    [dim]Exemple :[/] metis ledger inkind --campaign sceaux-2026 --since 2026-01-01 --until 2026-12-31
    """
    from cli.ledger_exports.command import export_in_kind

    _write(
        access,
        lambda session: export_in_kind(
            session, folder, campaign=campaign, association=association, since=_day(since), until=_day(until)
        ),
    )


@ledger_app.command("scdl")
@with_access
def scdl(
    access: Access,
    *,
    siret: Annotated[str, typer.Option("--siret", help="SIRET de la commune, 14 chiffres.")],
    name: Annotated[str | None, typer.Option("--name", help="Nom officiel de la commune ; sinon celui du registre.")] = None,
    campaign: Campaign = None,
    folder: Folder = HERE,
) -> None:
    """Écrire les dotations en données ouvertes : SCDL « subventions » 2.1.1, nature « aide en nature ».

    Le montant est la dotation multipliée par la valeur de référence de l'heure, fixée par la campagne : une convention, et
    non le coût des heures pour qui les donne. Ce que le contrôle du schéma refuserait est dit, avec le remède.

    [dim]Exemple :[/] metis ledger scdl --campaign sceaux-2026 --siret 12345678900012 --name "Ville de Sceaux"
    """
    from cli.ledger_exports.command import export_scdl

    _write(
        access,
        lambda session: export_scdl(session, folder, campaign=campaign, siret=siret, name=name),
    )


@ledger_app.command("beancount")
@with_access
def beancount(
    access: Access,
    *,
    campaign: Campaign = None,
    as_recorded_at: Annotated[
        str | None, typer.Option(help="Tel qu'enregistré à cet instant, p. ex. 2026-06-30T23:59:59+02:00.")
    ] = None,
    folder: Folder = HERE,
) -> None:
    """Écrire tout le grand livre au format Beancount, que ce logiciel libre contrôle seul (`bean-check`).

    Une transaction par écriture, en minutes (MIN), avec ses identifiants et ses liens ; à la fin, le solde de chaque
    compte. Un montant changé ou une ligne perdue, et le contrôle échoue. Sans --campaign : toutes, et metis.beancount.

    [dim]Exemple :[/] metis ledger beancount --to comptes && bean-check comptes/metis.beancount
    """
    from cli.ledger_exports.command import export_beancount

    _write(
        access,
        lambda session: export_beancount(session, folder, campaign=campaign, as_recorded_at=as_recorded_at),
    )


@ledger_app.command("indicators")
@with_access
def indicators(
    access: Access,
    *,
    campaign: Campaign = None,
    folder: Folder = HERE,
) -> None:
    """Écrire les indicateurs de la campagne : un tableau et quatre graphiques (SVG).

    Accordé, réservé, dépensé, caduc, retourné, en cours : par association, domaine d'action, contributeur et mois ;
    concentration (indice de Gini : 0 tous pareils, vers 1 tout à une seule) ; jours de la dotation aux premières heures,
    et à la moitié. Les habitantes et habitants y sont ensemble, sans noms.

    [dim]Exemple :[/] metis ledger indicators --campaign sceaux-2026 --to indicateurs
    """
    from cli.ledger_exports.command import export_indicators

    _write(
        access,
        lambda session: export_indicators(session, folder, campaign=campaign),
    )

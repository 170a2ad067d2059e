"""`metis round …`: what can be asked on the command line. The work is in `desk`, imported when a command runs."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import TeachingGroup
from cli.state import State

if TYPE_CHECKING:
    from cli.rounds.desk import Login

round_app = typer.Typer(
    cls=TeachingGroup,
    no_args_is_help=True,
    help="Tours de répartition (allocation rounds) : des missions pour tous les besoins ouverts, ensemble.\n\n"
    "Un tour est une proposition : rien n'est envoyé avant [bold]metis round release[/]. Le chemin habituel : [bold]ask[/], "
    "[bold]show[/] et [bold]page[/], au besoin [bold]pin[/], [bold]exclude[/] et [bold]again[/], puis [bold]release[/]. "
    "[bold]try[/] essaie d'autres poids sur un tour passé.",
)

RoundArgument = Annotated[
    str, typer.Argument(metavar="TOUR", help="Identifiant du tour, son début, ou « dernier » pour le plus récent.")
]
NeedArgument = Annotated[str, typer.Argument(metavar="BESOIN", help="Identifiant du besoin (metis round show le donne).")]
OfferArgument = Annotated[str, typer.Argument(metavar="OFFRE", help="Identifiant de l'offre.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Motif, gardé dans l'historique du tour.")]
FairnessOption = Annotated[
    float | None,
    typer.Option("--fairness", min=0, max=1, help="Équité, de 0 (les points seuls) à 1 (d'abord la moins servie) ; 0,5 sinon."),
]
SeedOption = Annotated[str | None, typer.Option("--seed", help="Tirage entre égaux ; peut être tiré en public.")]
WeightsOption = Annotated[
    int | None, typer.Option("--weights", min=0, help="Version des poids du score ; celle en vigueur sinon.")
]
ServedOption = Annotated[
    int | None,
    typer.Option("--served-points", min=0, help="Points ajoutés à chaque paire : servir davantage, quitte à moins bien."),
]
CandidatesOption = Annotated[
    int | None, typer.Option("--candidates", min=1, help="Offres par besoin, les meilleures ; 100 sinon.")
]
NoteOption = Annotated[str, typer.Option("--note", help="Pour qui le lira plus tard.")]
NoWaitOption = Annotated[bool, typer.Option("--no-wait", help="Ne pas attendre la fin du calcul.")]
ClientOption = Annotated[
    str, typer.Option("--client-id", envvar="METIS_CLIENT_ID", help="Client d'un agent ou de l'opérateur du territoire.")
]
SecretOption = Annotated[str, typer.Option("--client-secret", envvar="METIS_CLIENT_SECRET", help="Son secret.")]
UrlOption = Annotated[
    str | None, typer.Option("--url", envvar="METIS_URL", help="Adresse de la plateforme ; sinon celle qui tourne dans --state.")
]
StateOption = Annotated[Path, typer.Option("--state", envvar="METIS_STATE", help="Dossier des données, secrets et journaux.")]
STATE = Path(".metis")


def _command(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command that gets a `Login` first: every command takes the same options for it."""

    def register(act: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(act, eval_str=False)
        parameters = [parameter for key, parameter in own.parameters.items() if key != "login"]

        @functools.wraps(act)
        def run(*, client_id: str, client_secret: str, url: str | None, state: Path, **given: Any) -> None:
            from cli.rounds.desk import Login

            act(Login(url or State(state).gateway_url(), client_id, client_secret), **given)

        shown = [*parameters, *inspect.signature(_login).parameters.values()]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
        run.__signature__ = own.replace(parameters=shown)  # type: ignore[attr-defined]  # what Typer reads
        round_app.command(name)(run)
        return act

    return register


def _login(
    *,
    client_id: ClientOption = "",
    client_secret: SecretOption = "",
    url: UrlOption = None,
    state: StateOption = STATE,
) -> None:
    """The options of every command."""


@_command("ask")
def ask(
    login: "Login",
    *,
    campaign: Annotated[str, typer.Argument(metavar="CAMPAGNE", help="Sa référence, p. ex. sceaux-2026, ou son identifiant.")],
    fairness: FairnessOption = None,
    shared: Annotated[
        bool, typer.Option("--shared", help="Vue d'ensemble : un besoin peut être partagé. Ne s'envoie pas.")
    ] = False,
    seed: SeedOption = None,
    weights: WeightsOption = None,
    served_points: ServedOption = None,
    candidates: CandidatesOption = None,
    note: NoteOption = "",
    no_wait: NoWaitOption = False,
) -> None:
    """Demander un tour pour une campagne, et le suivre jusqu'à ce qu'il soit calculé. Rien n'est envoyé.

    [dim]Exemple :[/] metis round ask sceaux-2026 --fairness 0.7 --note "Tour d'octobre"
    """
    from cli.rounds.desk import ask_round

    whole = False if shared else None
    terms = {**_terms(fairness, seed, weights, served_points, candidates), "note": note, "whole": whole}
    raise typer.Exit(ask_round(login, campaign, terms, wait=not no_wait))


def _terms(
    fairness: float | None, seed: str | None, weights: int | None, served_points: int | None, candidates: int | None
) -> dict[str, Any]:
    return {
        "fairness": fairness,
        "seed": seed,
        "weights_version": weights,
        "served_points": served_points,
        "most_candidates": candidates,
    }


@_command("list")
def list_(
    login: "Login",
    *,
    campaign: Annotated[str, typer.Argument(metavar="[CAMPAGNE]", help="Seulement de cette campagne.")] = "",
) -> None:
    """Lister les tours, du plus ancien au plus récent.

    [dim]Exemple :[/] metis round list sceaux-2026
    """
    from cli.rounds.desk import list_rounds

    list_rounds(login, campaign)


@_command("show")
def show(
    login: "Login",
    *,
    round_: RoundArgument = "dernier",
    proposals: Annotated[bool, typer.Option("--proposals/--no-proposals", help="Avec les propositions.")] = True,
) -> None:
    """Montrer un tour : réglages, chiffres, prix de l'équité, qui est servi, propositions, besoins sans réponse.

    [dim]Exemple :[/] metis round show dernier
    """
    from cli.rounds.desk import show_round

    show_round(login, round_, with_proposals=proposals)


@_command("watch")
def watch(
    login: "Login",
    *,
    round_: RoundArgument = "dernier",
) -> None:
    """Suivre le calcul d'un tour. Ctrl-C arrête de regarder, pas le calcul (pour cela : metis round stop).

    [dim]Exemple :[/] metis round watch
    """
    from cli.rounds.desk import watch_round

    raise typer.Exit(watch_round(login, round_))


@_command("stop")
def stop(
    login: "Login",
    *,
    round_: RoundArgument,
    reason: ReasonOption,
) -> None:
    """Arrêter un tour qui attend ou se calcule. Rien n'en est gardé que l'historique.

    [dim]Exemple :[/] metis round stop dernier --reason "Un besoin manque encore"
    """
    from cli.rounds.desk import stop_round

    stop_round(login, round_, reason)


@_command("pin")
def pin(
    login: "Login",
    *,
    round_: RoundArgument,
    need: NeedArgument,
    offer: OfferArgument,
    reason: ReasonOption,
) -> None:
    """Imposer une paire : ce besoin sera servi par cette offre. Vaut au prochain calcul (metis round again).

    [dim]Exemple :[/] metis round pin dernier 0199… 0199… --reason "Convenu avec l'association"
    """
    _choose(login, "pin", round_=round_, need=need, offer=offer, reason=reason)


@_command("exclude")
def exclude(
    login: "Login",
    *,
    round_: RoundArgument,
    need: NeedArgument,
    offer: OfferArgument,
    reason: ReasonOption,
) -> None:
    """Écarter une paire : elle ne sera pas proposée. Vaut tout de suite pour l'envoi, et au prochain calcul.

    [dim]Exemple :[/] metis round exclude dernier 0199… 0199… --reason "Ils ne s'entendent pas"
    """
    _choose(login, "exclude", round_=round_, need=need, offer=offer, reason=reason)


@_command("unchoose")
def unchoose(
    login: "Login",
    *,
    round_: RoundArgument,
    need: NeedArgument,
    offer: OfferArgument,
    reason: ReasonOption,
) -> None:
    """Revenir sur un choix : la paire n'est plus ni imposée ni écartée.

    [dim]Exemple :[/] metis round unchoose dernier 0199… 0199… --reason "Vu avec eux"
    """
    _choose(login, "", round_=round_, need=need, offer=offer, reason=reason)


def _choose(login: "Login", kind: str, *, round_: str, need: str, offer: str, reason: str) -> None:
    from cli.rounds.desk import choose_pair

    choose_pair(login, round_, need, offer, kind=kind, reason=reason)


@_command("again")
def again(
    login: "Login",
    *,
    round_: RoundArgument,
    fairness: FairnessOption = None,
    seed: SeedOption = None,
    weights: WeightsOption = None,
    served_points: ServedOption = None,
    candidates: CandidatesOption = None,
    note: NoteOption = "",
    no_wait: NoWaitOption = False,
) -> None:
    """Refaire un tour sur ce qui est ouvert maintenant, avec ses réglages (sauf ceux donnés ici) et ses choix.

    [dim]Exemple :[/] metis round again dernier --fairness 1
    """
    from cli.rounds.desk import ask_again

    terms = {**_terms(fairness, seed, weights, served_points, candidates), "note": note}
    raise typer.Exit(ask_again(login, round_, terms, wait=not no_wait))


@_command("try")
def try_(
    login: "Login",
    *,
    round_: RoundArgument,
    weight: Annotated[
        list[str], typer.Option("--weight", metavar="NOM=POINTS", help="Un poids à essayer ; répétez. Les autres restent.")
    ],
    note: NoteOption = "",
    no_wait: NoWaitOption = False,
) -> None:
    """Essayer d'autres poids sur un tour passé, avant de les mettre en vigueur : ce que le même tour aurait donné.

    Tout vient des données gardées du tour (besoins, offres, choix, tirage, jour) : seuls les poids diffèrent. Un essai se
    regarde et se compare ; il ne s'envoie jamais.

    [dim]Exemple :[/] metis round try dernier --weight skills=45 --weight distance=17
    """
    from cli.rounds.desk import try_weights

    raise typer.Exit(try_weights(login, round_, weight, note=note, wait=not no_wait))


@_command("compare")
def compare(
    login: "Login",
    *,
    round_: RoundArgument,
    other: Annotated[str, typer.Argument(metavar="AUTRE", help="L'autre tour, désigné de même.")],
) -> None:
    """Comparer deux tours : propositions ajoutées, retirées, changées, et les chiffres côte à côte.

    [dim]Exemple :[/] metis round compare dernier 0199a1
    """
    from cli.rounds.desk import compare_rounds

    compare_rounds(login, round_, other)


@_command("release")
def release(
    login: "Login",
    *,
    round_: RoundArgument,
    note: NoteOption = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Envoyer sans demander.")] = False,
) -> None:
    """Envoyer un tour : toutes ses missions sont proposées, d'un coup. Ce qui ne tient plus est laissé de côté, et dit.

    [dim]Exemple :[/] metis round release dernier --note "Vu en commission le 3 mars"
    """
    from cli.rounds.desk import release_round

    raise typer.Exit(release_round(login, round_, note=note, yes=yes))


@_command("replay")
def replay(
    login: "Login",
    *,
    round_: RoundArgument,
    keep: Annotated[Path | None, typer.Option("--keep", help="Garder aussi les données d'entrée dans ce fichier.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Un objet JSON au lieu de phrases.")] = False,
) -> None:
    """Recalculer un tour ici, depuis ses données, et prouver qu'on trouve les mêmes propositions. Code 1 si elles diffèrent.

    [dim]Exemple :[/] metis round replay dernier
    """
    from cli.rounds.desk import replay_round

    raise typer.Exit(replay_round(login, round_, keep=keep, as_json=as_json))


@_command("page")
def page(
    login: "Login",
    *,
    round_: RoundArgument = "dernier",
    out: Annotated[Path, typer.Option("--out", help="Fichier à écrire.")] = Path("tour.html"),
) -> None:
    """Écrire la page d'un tour (carte, barres, tableaux), à ouvrir dans un navigateur ou à imprimer. Elle se suffit à elle-même.

    [dim]Exemple :[/] metis round page dernier --out tour.html
    """
    from cli.rounds.desk import write_page

    write_page(login, round_, out)

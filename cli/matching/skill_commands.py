"""`metis match skills` and `metis match suggest`: the commands; what they do is in skills.py, proposals.py and suggesting.py."""

from pathlib import Path
from typing import Annotated

import typer

from cli.console import TeachingGroup
from cli.state import State

skills_app = typer.Typer(
    cls=TeachingGroup,
    invoke_without_command=True,
    help="Compétences (skills) : chercher, lire, ajouter un synonyme, proposer.\n\n"
    "Sans client, [bold]search[/] et [bold]show[/] lisent le référentiel livré avec Métis ; avec [bold]--client-id[/] et "
    "[bold]--client-secret[/] (ou METIS_CLIENT_ID, METIS_CLIENT_SECRET), celui de votre territoire, ses propres mots compris. "
    "Ce qui s'écrit demande le client d'un agent.",
)

ClientId = Annotated[str, typer.Option("--client-id", envvar="METIS_CLIENT_ID", help="Client d'un agent du territoire.")]
Secret = Annotated[str, typer.Option("--client-secret", envvar="METIS_CLIENT_SECRET", help="Son secret.")]
Url = Annotated[
    str | None, typer.Option("--url", envvar="METIS_URL", help="Adresse de la passerelle ; sinon celle qui tourne dans --state.")
]
StateOption = Annotated[Path, typer.Option("--state", envvar="METIS_STATE", help="Dossier des données et secrets.")]
Reason = Annotated[str, typer.Option("--reason", help="Pourquoi : gardé avec qui et quand.")]
Code = Annotated[str, typer.Argument(help="Code de la compétence, p. ex. compostage ou 92071:apiculture.")]
STATE = Path(".metis")


@skills_app.callback()
def skills(context: typer.Context) -> None:
    """Sans commande : les familles de compétences et leurs codes."""
    if context.invoked_subcommand is None:
        from cli.matching.skills import print_groups

        print_groups()


@skills_app.command("search")
def search(  # noqa: PLR0917  (typer passes by name)
    words: Annotated[list[str], typer.Argument(help="Mots qui disent la compétence ; tous doivent s'y trouver.")],
    limit: Annotated[int, typer.Option(min=1, help="Lignes montrées au plus.")] = 15,
    client_id: ClientId = "",
    client_secret: Secret = "",
    url: Url = None,
    state: StateOption = STATE,
) -> None:
    """Chercher une compétence par ses mots (search).

    [dim]Exemples :[/] metis match skills search site internet · metis match skills search compta
    """
    from cli.matching.skills import make_source, print_found

    source = make_source(client_id, client_secret, lambda: url or State(state).gateway_url())
    print_found(source, " ".join(words), limit=limit)


@skills_app.command("show")
def show(code: Code, client_id: ClientId = "", client_secret: Secret = "", url: Url = None, state: StateOption = STATE) -> None:
    """Lire une compétence : définition, synonymes, proches, comment on la demande et l'offre (show).

    [dim]Exemple :[/] metis match skills show compostage
    """
    from cli.matching.skills import make_source, print_skill

    print_skill(make_source(client_id, client_secret, lambda: url or State(state).gateway_url()), code)


@skills_app.command("add-synonym")
def add_synonym(  # noqa: PLR0917  (typer passes by name)
    code: Code,
    phrase: Annotated[str, typer.Argument(help="Les mots qui la nomment ici, entre guillemets.")],
    reason: Reason,
    client_id: ClientId = "",
    client_secret: Secret = "",
    url: Url = None,
    state: StateOption = STATE,
) -> None:
    """Ajouter des mots qui nomment une compétence dans votre territoire, aussitôt en vigueur (add a synonym).

    Les besoins et offres déjà écrits avec ces mots sont aussitôt compris. Des mots qui nomment déjà une compétence sont
    refusés, avec celle qu'ils nomment. [bold]metis match skills unknown[/] dit lesquels manquent.

    [dim]Exemple :[/] metis match skills add-synonym compostage "bac à vers" --reason "Trois jardins l'écrivent ainsi."
    """
    from cli.matching.proposals import add_synonym as run

    run(client_id, client_secret, lambda: url or State(state).gateway_url(), code=code, phrase=phrase, reason=reason)


@skills_app.command("withdraw-synonym")
def withdraw_synonym(  # noqa: PLR0917  (typer passes by name)
    code: Code,
    phrase: Annotated[str, typer.Argument(help="Les mots ajoutés, tels que `show` les montre.")],
    reason: Reason,
    client_id: ClientId = "",
    client_secret: Secret = "",
    url: Url = None,
    state: StateOption = STATE,
) -> None:
    """Retirer des mots que votre territoire a ajoutés ; ce que des personnes ont confirmé reste (withdraw a synonym).

    [dim]Exemple :[/] metis match skills withdraw-synonym compostage "bac à vers" --reason "Trop large."
    """
    from cli.matching.proposals import withdraw_synonym as run

    run(client_id, client_secret, lambda: url or State(state).gateway_url(), code=code, phrase=phrase, reason=reason)


@skills_app.command("propose")
def propose(  # noqa: PLR0917  (typer passes by name)
    reason: Reason,
    name: Annotated[str, typer.Option("--name", help="Nom français, p. ex. Apiculture.")] = "",
    english: Annotated[str, typer.Option("--en", help="Nom anglais ; sinon le français.")] = "",
    definition: Annotated[str, typer.Option("--definition", help="Ce que c'est, en une phrase.")] = "",
    group: Annotated[str, typer.Option("--group", help="Famille, p. ex. environnement (metis match skills les montre).")] = "",
    synonym: Annotated[list[str] | None, typer.Option("--synonym", "-s", help="Autres mots ; répétable.")] = None,
    near: Annotated[list[str] | None, typer.Option("--near", help="Proche, p. ex. jardinage=40 (en %) ; répétable.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="Fichier TOML dans la forme du référentiel, au lieu des options.")
    ] = None,
    client_id: ClientId = "",
    client_secret: Secret = "",
    url: Url = None,
    state: StateOption = STATE,
) -> None:
    """Proposer une compétence qui manque : utilisable aussitôt dans votre territoire (propose a skill).

    Elle reçoit un code à vous (92071:apiculture) ; [bold]metis match skills export[/] l'écrit dans la forme du référentiel, pour
    qu'elle y entre à la prochaine version. Un nom déjà pris est refusé, avec la compétence qui le porte.

    [dim]Exemple :[/] metis match skills propose --name Apiculture --en Beekeeping --group environnement -s "rucher partagé"
    --definition "Conduire des ruches et récolter le miel." --near jardinage=30 --reason "Deux jardins le demandent."
    """
    from cli.matching.proposals import propose as run
    from cli.matching.proposals import read_proposals

    proposals = read_proposals(
        file, name=name, english=english, definition=definition, group=group, synonyms=synonym or [], near=near or []
    )
    run(client_id, client_secret, lambda: url or State(state).gateway_url(), proposals=proposals, reason=reason)


@skills_app.command("withdraw")
def withdraw(  # noqa: PLR0917  (typer passes by name)
    code: Code,
    reason: Reason,
    client_id: ClientId = "",
    client_secret: Secret = "",
    url: Url = None,
    state: StateOption = STATE,
) -> None:
    """Retirer une compétence que votre territoire a proposée (withdraw a proposal).

    [dim]Exemple :[/] metis match skills withdraw 92071:apiculture --reason "Le référentiel l'a reprise."
    """
    from cli.matching.proposals import withdraw as run

    run(client_id, client_secret, lambda: url or State(state).gateway_url(), code=code, reason=reason)


@skills_app.command("unknown")
def unknown(
    limit: Annotated[int, typer.Option(min=1, max=500, help="Lignes montrées au plus.")] = 30,
    client_id: ClientId = "",
    client_secret: Secret = "",
    url: Url = None,
    state: StateOption = STATE,
) -> None:
    """Les mots écrits dans des besoins et offres qu'aucune compétence ne connaît, avec leur nombre (unknown labels).

    [dim]Exemple :[/] metis match skills unknown --client-id 92071.agent --client-secret …
    """
    from cli.matching.proposals import print_unknown

    print_unknown(client_id, client_secret, lambda: url or State(state).gateway_url(), limit=limit)


@skills_app.command("export")
def export(
    out: Annotated[Path | None, typer.Option("--out", help="Fichier à écrire ; sinon la sortie.")] = None,
    client_id: ClientId = "",
    client_secret: Secret = "",
    url: Url = None,
    state: StateOption = STATE,
) -> None:
    """Écrire ce que votre territoire a ajouté, dans la forme du référentiel, pour relecture (export).

    [dim]Exemple :[/] metis match skills export --out propositions.toml
    """
    from cli.matching.proposals import export as run

    run(client_id, client_secret, lambda: url or State(state).gateway_url(), out=out)


def suggest(
    title: Annotated[str, typer.Argument(help="Titre du besoin ou de l'offre.")],
    description: Annotated[str, typer.Argument(help="Sa description.")] = "",
    offer: Annotated[bool, typer.Option("--offer", help="C'est une offre (sinon un besoin).")] = False,
) -> None:
    """Lire un texte et suggérer trois à cinq compétences, avec les mots qui parlent pour elles (suggest).

    Sans serveur, avec le référentiel livré. Une suggestion ne vaut rien avant qu'une personne la confirme.

    [dim]Exemple :[/] metis match suggest "Notre site date de 2009" "Les parents ne trouvent plus les horaires."
    """
    from cli.matching.suggesting import print_suggestions

    print_suggestions(title, description, kind="offer" if offer else "need")

"""`metis match why`, `why-not`, `smallest-change`, `record`, `rules`, `equity`, `feedback`; what they do is in explaining.py."""

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from cli.state import State

ClientId = Annotated[str, typer.Option("--client-id", envvar="METIS_CLIENT_ID", help="Client du territoire.")]
Secret = Annotated[str, typer.Option("--client-secret", envvar="METIS_CLIENT_SECRET", help="Son secret.")]
Url = Annotated[
    str | None, typer.Option("--url", envvar="METIS_URL", help="Adresse de la passerelle ; sinon celle qui tourne dans --state.")
]
StateOption = Annotated[Path, typer.Option("--state", envvar="METIS_STATE", help="Dossier des données et secrets.")]
Mission = Annotated[UUID, typer.Argument(help="Identifiant de la mission.")]
Need = Annotated[UUID, typer.Argument(help="Identifiant du besoin.")]
Out = Annotated[Path | None, typer.Option("--out", help="Garder la page HTML dans ce fichier.")]
STATE = Path(".metis")


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for name, command in (
        ("why", why), ("why-not", why_not), ("smallest-change", smallest_change), ("record", record), ("rules", rules),
        ("equity", equity), ("feedback", feedback),
    ):  # fmt: skip
        app.command(name)(command)


def why(
    mission: Mission, client_id: ClientId = "", client_secret: Secret = "", url: Url = None, state: StateOption = STATE
) -> None:
    """Pourquoi cette mission : les points de chaque critère, leur calcul, les mots des textes (why this).

    [dim]Exemple :[/] metis match why 0199c0de-0000-7000-8000-000000000001
    """
    from cli.matching.explaining import Asker, print_why

    print_why(Asker(url or State(state).gateway_url(), client_id, client_secret).get(f"/missions/{mission}/why"))


def why_not(  # noqa: PLR0917  (typer passes by name)
    need: Need,
    offer: Annotated[UUID, typer.Argument(help="Identifiant de l'offre.")],
    client_id: ClientId = "",
    client_secret: Secret = "",
    url: Url = None,
    state: StateOption = STATE,
) -> None:
    """Pourquoi pas cette offre : ce qui bloque et ce qui y suffirait, ou qui a été préféré (why not).

    [dim]Exemple :[/] metis match why-not BESOIN OFFRE
    """
    from cli.matching.explaining import Asker, print_why_not

    print_why_not(Asker(url or State(state).gateway_url(), client_id, client_secret).get(f"/needs/{need}/why-not/{offer}"))


def smallest_change(
    need: Need, client_id: ClientId = "", client_secret: Secret = "", url: Url = None, state: StateOption = STATE
) -> None:
    """Le plus petit changement qui aurait servi un besoin, calculé sur les offres ouvertes (smallest change).

    [dim]Exemple :[/] metis match smallest-change BESOIN
    """
    from cli.matching.explaining import Asker, print_changes

    print_changes(Asker(url or State(state).gateway_url(), client_id, client_secret).get(f"/needs/{need}/smallest-change"))


def record(  # noqa: PLR0917  (typer passes by name)
    mission: Mission,
    out: Annotated[Path, typer.Option("--out", help="Fichier de la page HTML.")] = Path("fiche.html"),
    client_id: ClientId = "",
    client_secret: Secret = "",
    url: Url = None,
    state: StateOption = STATE,
) -> None:
    """La fiche que la loi donne à la personne concernée, comme page à lire ou imprimer (CRPA art. R. 311-3-1-2).

    [dim]Exemple :[/] metis match record MISSION --out fiche.html
    """
    from cli.matching.explaining import Asker, keep_page

    keep_page(Asker(url or State(state).gateway_url(), client_id, client_secret), f"/missions/{mission}/record/page", out)


def rules(
    territory: Annotated[str, typer.Argument(help="Code INSEE du territoire, p. ex. 92071.")],
    out: Out = None,
    url: Url = None,
    state: StateOption = STATE,
) -> None:
    """Les règles publiques de la mise en relation, telles qu'elles sont en vigueur ; sans client ni secret (rules).

    [dim]Exemple :[/] metis match rules 92071 --out regles.html
    """
    from cli.matching.explaining import Visitor, keep_page, print_rules

    visitor = Visitor(url or State(state).gateway_url(), territory)
    print_rules(visitor.get("/matching/rules"))
    if out is not None:
        keep_page(visitor, "/matching/rules/page", out)


def equity(  # noqa: PLR0917  (typer passes by name)
    since: Annotated[str | None, typer.Option("--since", help="Premier jour, p. ex. 2026-01-01 ; un an sinon.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Dernier jour ; aujourd'hui sinon.")] = None,
    out: Out = None,
    client_id: ClientId = "",
    client_secret: Secret = "",
    url: Url = None,
    state: StateOption = STATE,
) -> None:
    """Qui reçoit des propositions : taux par taille et domaine des associations, avec leurs intervalles (equity).

    [dim]Exemple :[/] metis match equity --since 2026-01-01 --out equite.html
    """
    from cli.matching.explaining import Asker, keep_page, print_equity

    asker = Asker(url or State(state).gateway_url(), client_id, client_secret)
    period = {name: day for name, day in (("since", since), ("until", until)) if day}
    print_equity(asker.get("/matching/equity", **period))
    if out is not None:
        keep_page(asker, "/matching/equity/page", out, **period)


def feedback(client_id: ClientId = "", client_secret: Secret = "", url: Url = None, state: StateOption = STATE) -> None:
    """Oui et non aux propositions, comptés par critère à côté des pondérations ; rien n'en est appris (feedback).

    [dim]Exemple :[/] metis match feedback
    """
    from cli.matching.explaining import Asker, print_feedback

    print_feedback(Asker(url or State(state).gateway_url(), client_id, client_secret).get("/matching/feedback"))

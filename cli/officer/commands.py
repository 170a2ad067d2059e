"""The commands of `metis grants` and `metis approvals`, as an officer meets them."""

from pathlib import Path
from typing import Annotated

import typer

from cli.access import Access, with_access
from cli.console import CliError, TeachingGroup, console
from cli.importer import values as v

grants_app = typer.Typer(
    cls=TeachingGroup,
    no_args_is_help=True,
    help="Dotations d'une campagne (grants) : simuler, calculer, lire, signer, publier, reporter.",
)
approvals_app = typer.Typer(
    cls=TeachingGroup,
    no_args_is_help=True,
    help="Décider à deux (approvals) : ce qu'une personne a proposé, une autre l'approuve ou le refuse.",
)

Campaign = Annotated[str, typer.Argument(help="Référence de la campagne, p. ex. sceaux-2026.")]
Proposal = Annotated[str, typer.Option("--proposal", help="Identifiant du calcul, donné par metis grants propose.")]
Request = Annotated[str, typer.Argument(help="Identifiant de la demande, donné par metis approvals list.")]
Reason = Annotated[str, typer.Option("--reason", help="Votre motif, gardé avec la décision.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ne pas demander confirmation.")]


@grants_app.command("what-if")
@with_access
def grants_what_if(
    access: Access,
    *,
    campaign: Campaign,
    scenario: Annotated[
        list[str], typer.Option("--scenario", "-s", help='p. ex. "taux=70 %, heure=40, pas=30, enveloppe=600" ; répétable.')
    ],
    afresh: Annotated[bool, typer.Option("--afresh", help="Comme si rien n'était encore accordé.")] = False,
    csv: Annotated[Path | None, typer.Option("--csv", help="Écrire aussi le tableau pour un tableur.")] = None,
) -> None:
    """Simuler les dotations sous d'autres règles (what if): rien n'est enregistré.

    Chaque scénario change le taux, la valeur de l'heure (euros), le pas (minutes) ou l'enveloppe (heures) ; le reste est
    celui de la campagne. Le tableau compare chaque association aux règles de la campagne.

    [dim]Exemple :[/] metis grants what-if sceaux-2026 -s "taux=70 %" -s "heure=40, enveloppe=600"
    """
    from cli.grants import run

    login = {"client_id": access.client_id, "client_secret": access.client_secret}
    run(access.address, **login, campaign=campaign, scenarios=scenario, afresh=afresh, sheet=csv, console=console)


@grants_app.command("propose")
@with_access
def grants_propose(access: Access, *, campaign: Campaign) -> None:
    """Calculer les dotations de tout le panel, d'après les baisses de subvention et l'enveloppe (compute the grants).

    Le calcul est gardé avec tous ses chiffres ; rien n'est accordé. Calculez de nouveau autant qu'il le faut : on signe un
    calcul précis, désigné par son identifiant.

    [dim]Exemple :[/] metis grants propose sceaux-2026
    """
    from cli.officer.grants import propose_grants

    access.run(lambda session: propose_grants(session, campaign=campaign))


@grants_app.command("show")
@with_access
def grants_show(
    access: Access,
    *,
    campaign: Campaign,
    proposal: Annotated[
        str | None, typer.Option("--proposal", help="Ce calcul-là, chaque chiffre avec la phrase qui l'explique.")
    ] = None,
) -> None:
    """Lire un calcul (--proposal), ou ce qui est signé et publié dans la campagne, avec l'échéance (show the grants).

    [dim]Exemple :[/] metis grants show sceaux-2026
    """
    from cli.officer.grants import show_grants

    access.run(lambda session: show_grants(session, campaign=campaign, proposal=proposal))


@grants_app.command("sign")
@with_access
def grants_sign(
    access: Access,
    *,
    campaign: Campaign,
    proposal: Proposal,
    adjust: Annotated[
        list[str] | None,
        typer.Option("--adjust", help='p. ex. "Lire Ensemble = 14 h 30 : public prioritaire" ; répétable, motif obligatoire.'),
    ] = None,
    expires_on: Annotated[
        str | None, typer.Option("--expires-on", help="Dernier jour pour les dépenser, p. ex. 30/06/2026 ; sinon la fin.")
    ] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Pour la personne qui approuve, s'il en faut une.")] = None,
    yes: Yes = False,
) -> None:
    """Signer un calcul : toutes ses dotations sont accordées ensemble, ou aucune (sign the grants).

    Le tableau est montré d'abord, avec vos ajustements ; chacun est un multiple du pas et porte un motif, qui sera publié.
    La signature porte sur ce que vous avez lu : si le panel a changé depuis, elle est refusée. Au-delà du seuil de la
    campagne, la demande attend une seconde personne (metis approvals).

    [dim]Exemple :[/] metis grants sign sceaux-2026 --proposal 0199… --adjust "Lire Ensemble = 14 h 30 : public prioritaire"
    """
    from cli.officer.grants import sign_grants

    last_day = _read_day(expires_on) if expires_on else None
    access.run(
        lambda session: sign_grants(
            session,
            campaign=campaign,
            proposal=proposal,
            adjust=adjust or [],
            expires_on=last_day,
            reason=reason,
            yes=yes,
        )
    )


def _read_day(text: str) -> str:
    try:
        found: str = v.day(0)(text)
    except v.BadCell as error:
        raise CliError(f"--expires-on : « {text} », {error.problem}.", cure=error.cure) from error
    return found


@grants_app.command("publish")
@with_access
def grants_publish(
    access: Access,
    *,
    campaign: Campaign,
    proposal: Annotated[str | None, typer.Option("--proposal", help="Ce calcul signé-là ; sinon le dernier signé.")] = None,
    contact: Annotated[
        str | None, typer.Option("--contact", help="Service à qui une association écrit pour parler à une personne.")
    ] = None,
    folder: Annotated[Path | None, typer.Option("--to", help="Dossier où garder la publication (PDF et CSV).")] = None,
    yes: Yes = False,
) -> None:
    """Publier des dotations signées : la règle, chaque ligne, la mention légale du calcul automatique (publish the grants).

    Tous les participants pourront les lire, motifs compris. Rien de publié ne s'efface : ce qui change se publie de
    nouveau, et remplace.

    [dim]Exemple :[/] metis grants publish sceaux-2026 --contact "service de la vie associative" --to publication
    """
    from cli.officer.grants import publish_grants

    access.run(
        lambda session: publish_grants(session, campaign=campaign, proposal=proposal, contact=contact, folder=folder, yes=yes)
    )


@grants_app.command("carry-in")
@with_access
def grants_carry_in(
    access: Access,
    *,
    campaign: Campaign,
    earlier: Annotated[str, typer.Option("--from", help="Référence de la campagne close, p. ex. sceaux-2025.")],
    expires_on: Annotated[
        str | None, typer.Option("--expires-on", help="Dernier jour pour le dépenser, p. ex. 30/06/2026 ; sinon la fin.")
    ] = None,
    yes: Yes = False,
) -> None:
    """Reporter dans une campagne ouverte le crédit non dépensé d'une campagne close (carry credit over).

    Seulement si la règle d'échéance de la campagne close est le report. Ce qui sera reporté est montré d'abord, association
    par association. Le crédit reporté ne vient pas de l'enveloppe : les heures qui le serviront sont à promettre de nouveau.
    Au-delà du seuil de la campagne, la demande attend une seconde personne (metis approvals).

    [dim]Exemple :[/] metis grants carry-in sceaux-2026 --from sceaux-2025
    """
    from cli.officer.grants import carry_in

    last_day = _read_day(expires_on) if expires_on else None
    access.run(lambda session: carry_in(session, campaign=campaign, earlier=earlier, expires_on=last_day, yes=yes))


@approvals_app.command("list")
@with_access
def approvals_list(
    access: Access,
    *,
    campaign: Annotated[str | None, typer.Option("--campaign", help="De cette campagne seulement (sa référence).")] = None,
    all_states: Annotated[bool, typer.Option("--all", help="Aussi ce qui est tranché, retiré ou expiré.")] = False,
) -> None:
    """Montrer ce qui attend une seconde personne (list what waits for a second person).

    [dim]Exemple :[/] metis approvals list
    """
    from cli.officer.approvals import list_requests

    access.run(lambda session: list_requests(session, campaign=campaign, all_states=all_states))


@approvals_app.command("approve")
@with_access
def approvals_approve(access: Access, *, request: Request, reason: Reason, yes: Yes = False) -> None:
    """Approuver ce qu'une autre personne a proposé : c'est fait aussitôt, après un nouveau contrôle des comptes (approve).

    Ce qui sera fait est montré d'abord. Une personne, c'est une fiche de membre : on n'approuve jamais sa propre demande,
    même avec un autre identifiant. Si l'opération n'est plus possible, elle est refusée et la demande reste ouverte.

    [dim]Exemple :[/] metis approvals approve 0199… --reason "Vu en commission"
    """
    from cli.officer.approvals import decide_request

    access.run(lambda session: decide_request(session, request=request, approve=True, reason=reason, yes=yes))


@approvals_app.command("refuse")
@with_access
def approvals_refuse(access: Access, *, request: Request, reason: Reason, yes: Yes = False) -> None:
    """Refuser ce qu'une autre personne a proposé : rien ne change, et le motif est gardé (decline).

    [dim]Exemple :[/] metis approvals refuse 0199… --reason "À revoir avec l'association"
    """
    from cli.officer.approvals import decide_request

    access.run(lambda session: decide_request(session, request=request, approve=False, reason=reason, yes=yes))

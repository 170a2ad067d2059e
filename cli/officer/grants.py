"""`metis grants propose|show|sign|publish|carry-in`: from the computation to the publication, one decision a command."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from rich.markup import escape

from cli.api import Session
from cli.console import CliError, confirm, console
from cli.ledger_exports.writing import find_campaign, write_file
from cli.officer.adjustments import encode_adjustments, read_adjustments
from cli.officer.refusals import in_french
from cli.officer.tables import (
    print_carried_over,
    print_grants,
    print_proposal,
    print_publications,
    sum_granted,
)
from cli.wording import day, hours

ACCEPTED = 202  # it waits for a second person


async def propose_grants(session: Session, *, campaign: str) -> None:
    """Compute anew; nothing is granted by it."""
    found = await find_campaign(session, ref=campaign)
    with in_french():
        proposal = await session.post(f"/campaigns/{found['id']}/grant-proposals", key=str(uuid4()))
    print_proposal(proposal, {}, explained=False)
    console.print("Rien n'est accordé. Ensuite :")
    _print_command(f"metis grants show {campaign} --proposal {proposal['id']}", "chaque calcul en toutes lettres")
    _print_command(f"metis grants sign {campaign} --proposal {proposal['id']}", "signer, au besoin avec --adjust et --expires-on")


async def show_grants(session: Session, *, campaign: str, proposal: str | None) -> None:
    """A computation with the sentence that explains each figure; or all that was signed and published."""
    found = await find_campaign(session, ref=campaign)
    base = f"/campaigns/{found['id']}"
    if proposal is not None:
        computed = await _get_proposal(session, base, proposal)
        print_proposal(computed, {}, explained=True)
        if computed["signed"]:
            console.print(f"Ce calcul est signé. Ce qui l'a été : [bold]metis grants show {escape(campaign)}[/]")
        else:
            _print_command(f"metis grants sign {campaign} --proposal {proposal}", "signer")
        return
    grants = await session.everything(f"{base}/grants")
    if not grants:
        console.print("Aucune dotation n'est signée dans cette campagne.")
        _print_command(f"metis grants propose {campaign}", "calculer")
        return
    print_grants(grants)
    publications = await session.everything(f"{base}/grant-publications")
    if publications:
        print_publications(publications)
    unpublished = {one["proposal_id"] for one in grants} - {one["proposal_id"] for one in publications}
    for proposal_id in sorted(unpublished):
        _print_command(f"metis grants publish {campaign} --proposal {proposal_id}", "signées, pas encore publiées")


async def sign_grants(
    session: Session,
    *,
    campaign: str,
    proposal: str,
    adjust: Sequence[str],
    expires_on: str | None,
    reason: str | None,
    yes: bool,
) -> None:
    """Under the digest of what is shown; above the campaign's threshold it waits for a second person."""
    found = await find_campaign(session, ref=campaign)
    base = f"/campaigns/{found['id']}"
    computed = await _get_proposal(session, base, proposal)
    adjustments = read_adjustments(adjust, computed)
    print_proposal(computed, adjustments, explained=False)
    console.print(
        f"À utiliser jusqu'au [bold]{day(expires_on or found['ends_on'])}[/] (fin de la campagne : {day(found['ends_on'])})"
    )
    if not yes and not confirm(f"Signer ces dotations ({hours(sum_granted(computed, adjustments))}) ?"):
        raise CliError("Rien n'est signé.", cure="Relancez la commande quand vous voudrez ; le calcul est gardé.")
    body = {"proposal_id": proposal, "adjustments": encode_adjustments(adjustments), "digest": computed["digest"]}
    body |= {"expires_on": expires_on} if expires_on else {}
    body |= {"reason": reason} if reason else {}
    with in_french():
        answer = await session.request("POST", f"{base}/grants", body=body, key=str(uuid4()))
    if answer.status_code == ACCEPTED:
        _tell_waiting(answer.json())
        return
    console.print(
        f"[green]✓[/] Accordé : {hours(answer.json()['total_minutes'])} ; chaque association reçoit un courriel. Ensuite :"
    )
    _print_command(f"metis grants publish {campaign} --proposal {proposal}", "publier")


def _tell_waiting(request: Mapping[str, Any]) -> None:
    console.print(
        f"[yellow]![/] Au-delà du seuil de la campagne : rien n'est encore accordé. La demande attend une seconde personne"
        f" jusqu'au {day(request['expires_at'])} ; les autres agents sont prévenus. L'un d'eux, avec son propre identifiant :"
    )
    _print_command(f'metis approvals approve {request["id"]} --reason "…"', "ou refuse")


async def publish_grants(
    session: Session, *, campaign: str, proposal: str | None, contact: str | None, folder: Path | None, yes: bool
) -> None:
    """What is published can be read by everybody who takes part, the officer's reasons included."""
    found = await find_campaign(session, ref=campaign)
    base = f"/campaigns/{found['id']}"
    grants = await session.everything(f"{base}/grants")
    if not grants:
        raise CliError("Aucune dotation n'est signée : rien à publier.", cure=f"metis grants propose {campaign}, puis sign.")
    chosen = proposal or grants[-1]["proposal_id"]
    print_grants([one for one in grants if one["proposal_id"] == chosen])
    console.print(
        "Tous les participants liront ces lignes, motifs d'ajustement compris : ni nom, ni santé, ni situation familiale."
    )
    if not yes and not confirm("Publier ?"):
        raise CliError("Rien n'est publié.", cure="Relancez la commande quand vous voudrez.")
    with in_french():
        body = {"proposal_id": chosen} | ({"contact": contact} if contact else {})
        published = await session.post(f"{base}/grant-publications", body, key=str(uuid4()))
    console.print(f"[green]✓[/] Publication n° {published['number']}, empreinte [bold]{published['digest']}[/]")
    if folder is None:
        return
    for format in ("pdf", "csv"):
        file = await write_file(session, f"{base}/grant-publications/{published['id']}", folder, format=format)
        console.print(f"écrit : {escape(str(file))}")


async def carry_in(session: Session, *, campaign: str, earlier: str, expires_on: str | None, yes: bool) -> None:
    """What is left of the earlier campaign, shown before; above the campaign's threshold it waits for a second person."""
    found, before = await find_campaign(session, ref=campaign), await find_campaign(session, ref=earlier)
    if found["id"] == before["id"]:
        raise CliError(
            "Une campagne ne se reporte pas sur elle-même.", cure="Nommez dans --from la campagne close d'où vient le crédit."
        )
    with in_french():
        left = await session.get(f"/campaigns/{before['id']}/carried-over")
    if not left["items"]:
        raise CliError(
            f"La campagne {earlier} n'a plus rien à reporter.",
            cure="Seul reporte le crédit non dépensé d'une campagne close dont la règle est « report », et une seule fois.",
        )
    print_carried_over(left, earlier=before["title"])
    console.print(
        f"À utiliser dans [bold]{escape(found['title'])}[/] jusqu'au [bold]{day(expires_on or found['ends_on'])}[/] "
        f"(fin de la campagne : {day(found['ends_on'])}). Les heures elles-mêmes restent à promettre de nouveau."
    )
    if not yes and not confirm(f"Reporter ce crédit ({hours(left['minutes'])}) ?"):
        raise CliError("Rien n'est reporté.", cure="Relancez la commande quand vous voudrez.")
    body = {"from_campaign_id": before["id"]} | ({"expires_on": expires_on} if expires_on else {})
    with in_french():
        answer = await session.request("POST", f"/campaigns/{found['id']}/carry-ins", body=body, key=str(uuid4()))
    if answer.status_code == ACCEPTED:
        _tell_waiting(answer.json())
        return
    console.print(f"[green]✓[/] Reporté : {hours(answer.json()['minutes'])} ; chaque association reçoit un courriel.")


async def _get_proposal(session: Session, base: str, proposal: str) -> dict[str, Any]:
    with in_french():
        found: dict[str, Any] = await session.get(f"{base}/grant-proposals/{proposal}")
    return found


def _print_command(command: str, purpose: str) -> None:
    """One line that can be copied whole."""
    console.print(f"  [bold]{escape(command)}[/]   [dim]{escape(purpose)}[/]", soft_wrap=True)

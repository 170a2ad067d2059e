"""`metis approvals list|approve|refuse`: what one person proposed, and another decides."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import uuid4

from rich.markup import escape

from cli.api import ApiError, Session
from cli.console import CliError, confirm, console
from cli.ledger_exports.writing import find_campaign
from cli.officer.adjustments import Adjustment
from cli.officer.refusals import in_french
from cli.officer.tables import KINDS, STATES, print_carried_over, print_proposal, print_requests
from cli.wording import day, hours

NOT_FOUND = 404


async def list_requests(session: Session, *, campaign: str | None, all_states: bool) -> None:
    asked = {} if all_states else {"state": "open"}
    if campaign is not None:
        asked["campaign_id"] = (await find_campaign(session, ref=campaign))["id"]
    with in_french():
        requests = await session.everything("/approvals", **asked)
    if not requests:
        console.print("Rien n'attend une seconde personne." if not all_states else "Rien n'a été proposé à deux.")
        return
    print_requests(requests, names=await _find_names(session, (one["proposed_by"] for one in requests)))
    if any(one["state"] == "open" for one in requests):
        console.print("Pour trancher, avec un autre identifiant que celui qui a proposé :")
        for verb in ("approve", "refuse"):
            console.print(f'  [bold]metis approvals {verb} DEMANDE --reason "…"[/]')


async def decide_request(session: Session, *, request: str, approve: bool, reason: str, yes: bool) -> None:
    """What would be done is shown before; an approval does it at once, checked against the ledger anew."""
    with in_french():
        found = await session.get(f"/approvals/{request}")
    await _print_request(session, found)
    if found["state"] != "open":
        raise CliError(
            f"Cette demande n'attend plus : {STATES[found['state']]}.", cure="metis approvals list montre ce qui attend."
        )
    question = "Approuver ? L'opération est faite aussitôt." if approve else "Refuser cette demande ?"
    if not yes and not confirm(question):
        raise CliError("Rien n'est décidé.", cure=f"La demande attend jusqu'au {day(found['expires_at'])}.")
    body = {"outcome": "approved" if approve else "declined", "reason": reason}
    with in_french():
        await session.post(f"/approvals/{request}/decision", body, key=str(uuid4()))
    if not approve:
        console.print("[green]✓[/] Refusée ; rien n'a changé, et votre motif est gardé.")
        return
    console.print(f"[green]✓[/] Approuvée, et faite : {KINDS[found['kind']]}, {hours(found['minutes'])}.")
    if found["kind"] == "grants":
        ref = (await session.get(f"/campaigns/{found['campaign_id']}"))["ref"]
        proposal_id = found["operation"]["proposal_id"]
        console.print(f"Ensuite : [bold]metis grants publish {escape(ref)} --proposal {proposal_id}[/]", soft_wrap=True)


async def _print_request(session: Session, found: Mapping[str, Any]) -> None:
    """Who proposes what, and why; of grants and of what is carried over every line, since that is what is decided."""
    operation = found["operation"]
    names = await _find_names(session, [found["proposed_by"]])
    console.print(f"[bold]{KINDS[found['kind']].capitalize()}[/], {hours(found['minutes'])} : {escape(found['reason'])}")
    person = escape(names.get(found["proposed_by"], found["proposed_by"]))
    console.print(f"Proposée par {person} le {day(found['proposed_at'])}, attend jusqu'au {day(found['expires_at'])}")
    if found["kind"] == "grants":
        path = f"/campaigns/{found['campaign_id']}/grant-proposals/{operation['proposal_id']}"
        adjusted = {one["association_id"]: Adjustment(one["minutes"], one["reason"]) for one in operation["adjustments"]}
        print_proposal(await session.get(path), adjusted, explained=False)
    elif found["kind"] == "carry_in":
        earlier = f"/campaigns/{operation['from_campaign_id']}"
        print_carried_over(await session.get(f"{earlier}/carried-over"), earlier=(await session.get(earlier))["title"])
    else:
        console.print(", ".join(f"{name} : {value}" for name, value in operation.items() if value is not None), markup=False)
    if found["kind"] in {"grants", "carry_in"}:
        until = day(operation["expires_on"]) if "expires_on" in operation else "dernier jour de la campagne"
        console.print(f"À utiliser jusqu'au : [bold]{until}[/]")


async def _find_names(session: Session, ids: Iterable[str]) -> dict[str, str]:
    """Of the members that the registry knows; a person who left it stays a number."""
    names: dict[str, str] = {}
    for id in dict.fromkeys(ids):
        try:
            names[id] = (await session.get(f"/members/{id}"))["display_name"]
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise
    return names

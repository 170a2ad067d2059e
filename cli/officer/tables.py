"""Grants and requests as tables, for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from cli.console import console
from cli.officer.adjustments import Adjustments
from cli.wording import day, euros, hours

KINDS = {
    "grants": "signature de dotations",
    "reversal": "annulation d'une écriture",
    "withdrawal": "retrait d'une promesse",
    "carry_in": "report de crédit",
}
STATES = {"open": "attend", "approved": "approuvée", "declined": "refusée", "withdrawn": "retirée", "expired": "expirée"}


def make_table(title: str, *headings: str, right: Sequence[str] = ()) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    return table


def print_proposal(proposal: Mapping[str, Any], adjustments: Adjustments, *, explained: bool) -> None:
    """Every association's figures; with the sentence that explains each, for whoever reads closely."""
    figures = ("Avant", "Après", "Calculé", "À accorder")
    table = make_table("Dotations calculées", "Association", *figures, "Calcul" if explained else "Ajustement", right=figures)
    for line in proposal["lines"]:
        adjusted = adjustments.get(line["association_id"])
        granted = hours(adjusted.minutes) if adjusted else hours(line["computed_minutes"])
        reason = adjusted.reason if adjusted else ""
        table.add_row(
            escape(line["association_name"] or line["association_id"]),
            euros(line["subsidy_before_cents"]),
            euros(line["subsidy_after_cents"]),
            hours(line["computed_minutes"]),
            f"[yellow]{granted}[/]" if adjusted else granted,
            escape(line["explanation"] if explained else reason),
        )
    console.print(table)
    total = sum_granted(proposal, adjustments)
    console.print(
        f"Total à accorder : [bold]{hours(total)}[/] ; dû au panel : {hours(proposal['due_minutes'])} ; "
        f"enveloppe au moment du calcul : {hours(proposal['pool_minutes'])}"
    )
    console.print(f"[dim]Calcul {proposal['id']}, empreinte {proposal['digest']}[/]")


def sum_granted(proposal: Mapping[str, Any], adjustments: Adjustments) -> int:
    return sum(
        adjustments[line["association_id"]].minutes if line["association_id"] in adjustments else line["computed_minutes"]
        for line in proposal["lines"]
    )


def print_grants(grants: Sequence[Mapping[str, Any]]) -> None:
    table = make_table(
        "Dotations signées", "Association", "Accordé", "Annulé depuis", "À utiliser jusqu'au", "Signé le", "Ajustement",
        right=("Accordé", "Annulé depuis"),
    )  # fmt: skip
    for one in grants:
        table.add_row(
            escape(one["association_name"] or one["association_id"]),
            hours(one["minutes"]),
            hours(one["reversed_minutes"]) if one["reversed_minutes"] else "",
            day(one["expires_on"]),
            day(one["signed_at"]),
            escape(one["adjustment_reason"] or ""),
        )
    console.print(table)
    console.print(f"Total : [bold]{hours(sum(one['minutes'] - one['reversed_minutes'] for one in grants))}[/]")


def print_carried_over(left: Mapping[str, Any], *, earlier: str) -> None:
    table = make_table(f"Crédit non dépensé de « {escape(earlier)} »", "Association", "À reporter", right=("À reporter",))
    for one in left["items"]:
        table.add_row(escape(one["association_name"] or one["association_id"]), hours(one["minutes"]))
    console.print(table)
    console.print(f"Total : [bold]{hours(left['minutes'])}[/]")


def print_publications(publications: Sequence[Mapping[str, Any]]) -> None:
    table = make_table("Publications", "N°", "Le", "Total accordé", "Remplace", "Empreinte", right=("Total accordé",))
    numbers = {one["id"]: str(one["number"]) for one in publications}
    for one in publications:
        replaces = numbers.get(one["replaces"], "") if one["replaces"] else ""
        table.add_row(str(one["number"]), day(one["published_at"]), hours(one["total_minutes"]), replaces, one["digest"])
    console.print(table)


def print_requests(requests: Sequence[Mapping[str, Any]], *, names: Mapping[str, str]) -> None:
    table = make_table("Demandes", "Demande", "Quoi", "Heures", "Motif", "Proposée par", "Le", "État", right=("Heures",))
    table.columns[0].no_wrap = True  # to be copied whole
    for one in requests:
        state = f"attend jusqu'au {day(one['expires_at'])}" if one["state"] == "open" else STATES[one["state"]]
        person = escape(names.get(one["proposed_by"], one["proposed_by"]))
        cells = (one["id"], KINDS[one["kind"]], hours(one["minutes"]), escape(one["reason"]), person, day(one["proposed_at"]))
        table.add_row(*cells, state)
    console.print(table)

"""What the close of a campaign will do, what stands in its way, and how far it is: as tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.wording import counted, day, hours

ROWS_SHOWN = 60
OUTCOMES = {"returned": "retour à l'enveloppe", "lapsed": "caducité", "carried_over": "report vers une campagne suivante"}
KINDS = {
    "promised": "Promis, non livré", "delivered": "Livré", "pool": "Enveloppe", "credit": "Crédit", "held": "En réserve",
    "served": "Heures faites", "lapsed": "Caduc", "carried": "Reporté",
}  # fmt: skip
SIGNED = frozenset({"promised", "delivered"})  # balances at or below zero
WEIGHTS = {"info": "[dim]à savoir[/]", "warning": "[yellow]à accepter[/]", "blocking": "[red]bloquant[/]"}
STATES = {"todo": "[dim]à faire[/]", "blocked": "[yellow]arrêtée[/]", "done": "[green]faite[/]"}


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left", overflow="fold")
    return table


def print_preview(console: Console, campaign: Mapping[str, Any], preview: Mapping[str, Any]) -> None:
    """Nothing of it is written."""
    outcome = OUTCOMES[preview["outcome"]]
    console.print(f"[bold]{escape(campaign['title'])}[/] : ce que la clôture ferait maintenant (rien n'est écrit)")
    console.print(f"{hours(preview['expired_minutes'])} de crédit arriveraient à échéance ; règle : {outcome}")
    associations = _table("Associations", "Association", "Fait", "Non dépensé", "Échoit", "Reste en réserve")
    for one in preview["associations"][:ROWS_SHOWN]:
        name = escape(one["association_name"] or one["association_id"])
        amounts = (one["served_minutes"], one["credit_minutes"], one["expiring_minutes"], one["held_minutes"])
        associations.add_row(name, *map(hours, amounts))
    console.print(associations)
    contributors = _table("Contributeurs", "Contributeur", "Livré", "Promis, non livré", "Attendu par des missions")
    for one in preview["contributors"][:ROWS_SHOWN]:
        name = escape(one["contributor_name"] or "particulier")
        contributors.add_row(name, *map(hours, (one["delivered_minutes"], one["undelivered_minutes"], one["committed_minutes"])))
    console.print(contributors)
    _print_more(console, max(len(preview["associations"]), len(preview["contributors"])))
    _print_holds(console, preview)
    totals = _table("Les comptes", "Compte", "Avant", "Après")
    for kind, before in preview["before_minutes"].items():
        sign = -1 if kind in SIGNED else 1
        totals.add_row(KINDS.get(kind, kind), hours(sign * before), hours(sign * preview["after_minutes"][kind]))
    console.print(totals)
    print_findings(console, preview["findings"])


def _print_holds(console: Console, preview: Mapping[str, Any]) -> None:
    holds = [("rendue", one) for one in preview["released_holds"]] + [("gardée", one) for one in preview["surviving_holds"]]
    if not holds:
        return
    table = _table("Réserves de missions", "Association", "Mission", "Heures", "Fin", "Réserve")
    for fate, one in holds[:ROWS_SHOWN]:
        name = escape(one["association_name"] or one["association_id"])
        table.add_row(name, one["mission_id"], hours(one["minutes"]), day(one["ends_on"]), fate)
    console.print(table)
    _print_more(console, len(holds))


def _print_more(console: Console, count: int) -> None:
    if count > ROWS_SHOWN:
        console.print(f"[dim]… et {counted(count - ROWS_SHOWN, 'autre ligne')} (GET /campaigns/…/closing/preview les donne)[/]")


def print_findings(console: Console, findings: Sequence[Mapping[str, Any]]) -> None:
    if not findings:
        console.print("[green]Rien ne s'oppose à la clôture.[/]")
        return
    table = Table(title="Constats", title_justify="left")
    for heading in ("Poids", "Constat", "Que faire"):
        table.add_column(heading, overflow="fold")
    for one in findings[:ROWS_SHOWN]:
        table.add_row(WEIGHTS[one["weight"]], escape(one["text"]), escape(one["cure"]))
    console.print(table)
    _print_more(console, len(findings))


def print_steps(console: Console, closing: Mapping[str, Any]) -> None:
    table = Table(title="La clôture, pas à pas", title_justify="left")
    for heading in ("Étape", "État", "Le"):
        table.add_column(heading, overflow="fold")
    for one in closing["steps"]:
        table.add_row(one["title"], STATES[one["state"]], (one["at"] or "")[:19].replace("T", " "))
    console.print(table)
    console.print(escape(closing["next"]))

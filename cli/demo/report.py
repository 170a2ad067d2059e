"""The demo's report, for a person to enjoy: in French, in tables."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from cli.demo.outcome import Outcome, TownOutcome
from cli.traces import draw
from cli.wording import counted, day, euros, hours

STATES = {
    "draft": "brouillon", "qualified": "qualifié", "open": "ouvert", "covered": "couvert", "fulfilled": "satisfait",
    "withdrawn": "retiré", "expired": "expiré", "proposed": "proposée", "agreed": "convenue", "reserved": "réservée",
    "in_progress": "en cours", "reported": "à valider", "validated": "validée", "closed": "close", "declined": "déclinée",
    "refused": "refusée", "cancelled": "annulée", "disputed": "contestée",
}  # fmt: skip
COLOURS = {
    "closed": "green", "fulfilled": "green", "refused": "red", "declined": "yellow", "cancelled": "yellow", "in_progress": "cyan",
}  # fmt: skip
EXPIRY = {"return": "retourne à l'enveloppe", "carry_over": "est reporté", "lapse": "est caduc"}
LONGEST_TITLE = 46


def print_report(console: Console, outcome: Outcome) -> None:
    for town in outcome.towns:
        _print_town(console, town, detailed=town is outcome.towns[0])
    _print_books(console, outcome)
    _print_messages(console, outcome)
    _print_attempts(console, outcome)
    _print_trace(console, outcome)
    _print_checks(console, outcome)


def _print_town(console: Console, outcome: TownOutcome, *, detailed: bool) -> None:
    campaign = outcome.town.campaign
    console.rule(f"[bold]{outcome.town.name} ({outcome.town.insee}) · {escape(campaign['title'])}")
    console.print(
        f"du {day(campaign['starts_on'])} au {day(campaign['ends_on'])} ;"
        f" compensation {campaign['compensation_permille'] / 10:g} % de la baisse ;"
        f" une heure vaut {euros(campaign['hour_value_cents'])} ; pas de {campaign['step_minutes']} min ;"
        f" le crédit non dépensé {EXPIRY[campaign['expiry']]}."
    )
    if campaign["closure_reason"]:
        console.print(f"[dim]Close : {escape(campaign['closure_reason'])}[/]")
    _print_grants(console, outcome, detailed=detailed)
    _print_needs(console, outcome)
    _print_missions(console, outcome)
    _print_statements(console, outcome)
    _print_papers(console, outcome)


def _table(title: str, *columns: str, right: Sequence[str] = ()) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", header_style="bold", row_styles=["", "on grey7"], expand=False
    )
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", no_wrap=column in right)
    return table


def _print_grants(console: Console, outcome: TownOutcome, *, detailed: bool) -> None:
    figures = ("Avant", "Après", "Due", "Calculée", "Accordée")
    table = _table("Dotations", "Association", *figures, "Pourquoi", right=figures)
    for grant in sorted(outcome.grants, key=lambda grant: -grant["minutes"]):
        line = outcome.lines[grant["association_id"]]
        adjusted = grant["minutes"] != grant["computed_minutes"]
        why = f"[yellow]ajustée : {escape(grant['adjustment_reason'])}[/]" if adjusted else _share(line)
        table.add_row(
            escape(outcome.town.actor_name(grant["association_id"])), euros(line["subsidy_before_cents"]),
            euros(line["subsidy_after_cents"]), _cell(line["entitled_minutes"]), _cell(grant["computed_minutes"]),
            _cell(grant["minutes"]), why,
        )  # fmt: skip
    console.print(table)
    if detailed and outcome.grants:
        first = outcome.lines[max(outcome.grants, key=lambda grant: grant["computed_minutes"])["association_id"]]
        console.print(f"[dim]Le calcul, pour {escape(str(first['association_name']))} : {escape(first['explanation'])}[/]")


def _share(line: dict[str, Any]) -> str:
    if line["computed_minutes"] == line["due_minutes"]:
        return "servie en entier"
    extra = ", un pas de plus au plus fort reste" if line["extra_step"] else ""
    return f"enveloppe insuffisante : {100 * line['computed_minutes'] / line['due_minutes']:.0f} %{extra}"


def _print_needs(console: Console, outcome: TownOutcome) -> None:
    counts = Counter(need["state"] for need in outcome.needs)
    summary = ", ".join(_counted(count, state) for state, count in counts.most_common())
    console.print(f"[bold]Besoins[/] : {len(outcome.needs)} ({summary}).")
    served = {need["id"] for need in outcome.needs if need["state"] in {"fulfilled", "covered"}}
    unserved = [need for id, need in outcome.town.notes.get("unserved", {}).items() if id not in served]
    for need in unserved[:6]:
        why = need["why"][0] if need["why"] else "aucune offre ne convient"
        console.print(f"  [dim]sans offre : {escape(need['title'])} : {escape(why)}[/]")


def _counted(count: int, state: str) -> str:
    words = STATES[state]
    # Those of two words do not change with their number: en cours, à valider.
    return f"[{COLOURS.get(state, 'white')}]{f'{count} {words}' if ' ' in words else counted(count, words)}[/]"


def _word(state: str) -> str:
    colour = COLOURS.get(state, "white")
    return f"[{colour}]{STATES[state]}[/]"


def _print_missions(console: Console, outcome: TownOutcome) -> None:
    counts = outcome.missions_by_state()
    summary = ", ".join(_counted(count, state) for state, count in counts.most_common())
    table = _table(
        f"Missions : {len(outcome.missions)}",
        "Mission",
        "Association",
        "Bénévole",
        "Convenu",
        "Servi",
        "État",
        "Remarque",
        right=("Convenu", "Servi"),
    )
    refusals = {refusal["mission_id"]: _refusal(refusal) for refusal in outcome.refusals}
    town = outcome.town
    for mission in sorted(
        outcome.missions, key=lambda mission: (mission["state"] != "closed", mission["state"], mission["title"])
    ):
        remark = refusals.get(mission["id"]) or outcome.reasons.get(mission["id"], "")
        served = mission["served_minutes"]
        if mission["state"] == "closed" and served is not None and served < mission["minutes"]:
            remark = f"rendu : {hours(mission['minutes'] - served)}"
        if mission["state"] == "in_progress":
            remark = "sa réserve survit à la clôture"
        table.add_row(
            _short(mission["title"]), _short(town.actor_name(mission["association_id"]), 28),
            _short(town.person_name(mission["volunteer_id"]), 22), hours(mission["minutes"]), _cell(served or 0),
            _word(mission["state"]), f"[dim]{escape(remark)}[/]",
        )  # fmt: skip
    console.print(table)
    console.print(f"[dim]{summary}[/]")


def _refusal(refusal: dict[str, Any]) -> str:
    lacking = "de crédit" if refusal["code"] == "not-enough-credit" else "à la promesse du contributeur"
    return f"il manque {hours(refusal['missing_minutes'])} {lacking}"


def _short(text: str, length: int = LONGEST_TITLE) -> str:
    return escape(text if len(text) <= length else text[: length - 1].rstrip() + "…")


def _print_statements(console: Console, outcome: TownOutcome) -> None:
    figures = ("Dotation", "Servi", "En réserve", "Expiré", "Reste")
    table = _table("Relevé de chaque association", "Association", *figures, "Lignes", right=(*figures, "Lignes"))
    totals: Counter[str] = Counter()
    for statement in sorted(outcome.statements, key=lambda statement: statement["holder_name"] or ""):
        moved = Counter[str]()
        for line in statement["lines"]:
            moved[line["kind"]] += line["minutes"]
        closing = statement["closing_minutes"]
        row = {
            "Dotation": moved["grant"], "Servi": closing["served"], "En réserve": closing["held"], "Expiré": moved["expire"],
            "Reste": closing["credit"],
        }  # fmt: skip
        totals.update(row)
        table.add_row(
            escape(statement["holder_name"] or "?"), *(_cell(row[name]) for name in figures), str(len(statement["lines"]))
        )
    table.add_section()
    table.add_row("[bold]Ensemble[/]", *(f"[bold]{_cell(totals[name])}[/]" for name in figures), "")
    console.print(table)


def _print_papers(console: Console, outcome: TownOutcome) -> None:
    papers, town = outcome.papers, outcome.town
    if papers.mission and papers.convention:
        accepted = counted(len(papers.convention["versions"][-1]["acceptances"]), "partie")
        console.print(f"[bold]Une mission et ses papiers[/] : « {escape(papers.mission['title'])} »")
        console.print(f"  convention tripartite, version {papers.convention['concluded_version']}, acceptée par {accepted}")
    if papers.valuation and papers.receipt:
        value, receipt = papers.valuation["versions"][-1], papers.receipt
        donor, beneficiary = town.actor_name(receipt["donor_id"]), town.actor_name(receipt["beneficiary_id"])
        console.print(
            f"  valorisée par {escape(donor)} : {hours(value['minutes'])} au coût de revient, {euros(value['amount_cents'])}"
        )
        console.print(f"  reçu fiscal {receipt['label']} de {escape(beneficiary)}, {euros(receipt['amount_cents'])}")
    total, concentration = papers.indicators["total"], papers.indicators["concentration"]
    figures = ", ".join(
        f"{word} {hours(total[f'{name}_minutes'])}"
        for name, word in (("granted", "accordé"), ("reserved", "réservé"), ("served", "servi"), ("lapsed", "caduc"))
    )
    console.print(
        f"[bold]Indicateurs[/] : {figures} ; concentration (Gini) {_gini(concentration['gini_served'])} des heures servies."
    )
    rows = papers.open_data["rows"]
    console.print(f"[bold]Données ouvertes[/] : {counted(len(rows), 'aide')} en nature au format SCDL subventions 2.1.1.")


def _cell(minutes: int) -> str:
    """In a table, where nothing is a dash."""
    return hours(minutes) if minutes else "—"


def _gini(value: float | None) -> str:
    return "—" if value is None else f"{value:.2f}".replace(".", ",")


def _print_books(console: Console, outcome: Outcome) -> None:
    console.rule("[bold]Le grand livre")
    kinds = ("promised", "delivered", "pool", "credit", "held", "served", "lapsed")
    words = ("Promis", "Livré", "Enveloppe", "Crédit", "Réserve", "Servi", "Caduc")
    table = _table(
        "Soldes en partie double (minutes)", "Territoire", *words, "Somme", "Écritures", right=(*words, "Somme", "Écritures")
    )
    for town in outcome.towns:
        balances = [f"{town.books['by_kind'].get(kind, 0):+d}" for kind in kinds]
        total = town.books["sum_minutes"]
        table.add_row(town.town.name, *balances, f"[{'green' if total == 0 else 'red'}]{total}[/]", str(town.books["entries"]))
    console.print(table)


def _print_messages(console: Console, outcome: Outcome) -> None:
    console.rule("[bold]Ce qui est parti")
    emails = Counter(email["category"] for town in outcome.towns for email in town.emails if email["state"] == "sent")
    words = {"account": "compte", "credit": "crédit", "needs": "besoins", "proposals": "propositions", "missions": "missions"}
    parts = ", ".join(f"{count} « {words.get(category, category)} »" for category, count in emails.most_common())
    console.print(f"[bold]{counted(sum(emails.values()), 'courriel')}[/] remis à un vrai serveur SMTP : {parts}.")
    hooks = Counter(delivery["event_type"] for town in outcome.towns for delivery in town.deliveries)
    parts = ", ".join(f"{count} {kind.removesuffix('.v1')}" for kind, count in hooks.most_common())
    console.print(f"[bold]{counted(outcome.verified, 'webhook livré')}[/] au partenaire, signatures vérifiées : {parts}.")
    console.print(f"[bold]{counted(outcome.events, 'événement publié')}[/] en tout.")


def _print_attempts(console: Console, outcome: Outcome) -> None:
    table = _table("D'un territoire à l'autre : rien ne passe", "Qui", "Veut", "À", "Réponse")
    for attempt in outcome.attempts:
        table.add_row(escape(attempt.who), attempt.what, attempt.where, f"[red]{attempt.status}[/] {attempt.code}")
    console.print(table)


def _print_trace(console: Console, outcome: Outcome) -> None:
    """The waterfall of one validation, and how to draw the others."""
    console.rule("[bold]Une mission, de la validation au webhook")
    if not outcome.trace:
        missing = (
            "Aucune trace n'est arrivée."
            if outcome.trace_required
            else "Pas de traces locales : elles sont chez le collecteur OTLP."
        )
        console.print(f"[dim]{missing}[/]")
        return
    console.print(draw(outcome.trace, width=console.width, limit=40))
    console.print(f"[dim]Les autres : metis trace ID, par exemple metis trace {outcome.traces[0][0].trace[:12]}[/]")


def _print_checks(console: Console, outcome: Outcome) -> None:
    lines = [f"[{'green' if held else 'bold red'}]{'✓' if held else '✗'}[/] {words}" for words, held in outcome.checks]
    console.print(Panel("\n".join(lines), title="Vérifications", border_style="green" if outcome.ok else "red", expand=False))

"""A round as tables, in French."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.close_tables import hours

if TYPE_CHECKING:
    from cli.rounds.replay import Replay

ROWS_SHOWN = 60
STATES = {
    "asked": "demandé",
    "computing": "en cours de calcul",
    "computed": "calculé",
    "released": "envoyé",
    "stopped": "arrêté",
    "failed": "impossible",
}
PHASES = {
    "start": "Démarrage",
    "read": "Lecture des besoins et des offres",
    "score": "Filtres et points, besoin par besoin",
    "check": "Contrôle",
    "leximin": "Équité, niveau par niveau",
    "solve": "Répartition",
    "repair": "Mise en missions entières",
    "price": "Prix de l'équité",
    "account": "Comptes",
    "compare": "Comparaison",
    "fairness": "Prix de l'équité, réglage par réglage",
    "tell": "Explications",
    "keep": "Enregistrement",
}


def describe_phase(found: Mapping[str, Any]) -> str:
    progress = found.get("progress")
    if found["state"] == "asked" or not progress:
        return "En attente"
    phase = str(progress["phase"])
    return PHASES.get(phase, phase)


def percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %".replace(".", ",")


def _table(title: str, *headings: str, right: Sequence[int] = ()) -> Table:
    table = Table(title=title, title_justify="left")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number in right else "left", overflow="fold")
    return table


def _instant(text: str) -> str:
    return f"{datetime.fromisoformat(text):%d/%m/%Y %H:%M}"


def _print_more(console: Console, rows: int) -> None:
    if rows > ROWS_SHOWN:
        console.print(f"[dim]… et {rows - ROWS_SHOWN} autres lignes (la page et l'interface les donnent)[/]")


def print_list(console: Console, rounds: Sequence[Mapping[str, Any]]) -> None:
    if not rounds:
        console.print("Aucun tour encore. Pour en demander un : [bold]metis round ask CAMPAGNE[/]")
        return
    table = _table(
        "Tours de répartition", "Tour", "Demandé le", "État", "Équité", "Servis", "La moins servie", "Note", right=(3, 4, 5)
    )
    for one in rounds:
        figures = (one.get("result") or {}).get("figures")
        served = f"{figures['needs_served']}/{figures['needs']}" if figures else "—"
        worst = percent(figures["worst_fill"]) if figures else "—"
        fairness = percent(one["terms"]["fairness"])
        table.add_row(one["id"], _instant(one["asked_at"]), STATES[one["state"]], fairness, served, worst, escape(one["note"]))
    console.print(table)


def print_head(console: Console, found: Mapping[str, Any]) -> None:
    terms = found["terms"]
    kind = "besoins entiers" if terms["whole"] else "vue d'ensemble, besoins partagés"
    console.print(
        f"[bold]{found['id']}[/] : {STATES[found['state']]} ; équité {percent(terms['fairness'])}, {kind}, "
        f"poids version {terms['weights_version']}, demandé le {_instant(found['asked_at'])}"
    )
    if found["note"]:
        console.print(escape(found["note"]), style="italic")
    if found.get("failure"):
        console.print(f"[red]{escape(found['failure'])}[/]")
    if found["state"] == "computing":
        console.print(describe_phase(found))
    if released := found.get("released"):
        console.print(f"Envoyé le {_instant(released['at'])} : {released['missions']} missions, {released['left_out']} de côté")


def print_figures(console: Console, found: Mapping[str, Any]) -> None:
    result = found["result"]
    figures, greedy = result["figures"], result.get("greedy")
    table = Table(show_header=False)
    rows = [
        (
            "Besoins servis",
            f"{figures['needs_served']} sur {figures['needs']} ({result['offers']} offres, {result['pairs']} paires)",
        ),
        ("Heures servies", f"{hours(figures['served_minutes'])} sur {hours(figures['asked_minutes'])}"),
        ("Association la moins servie", f"{percent(figures['worst_fill'])} de sa cible"),
        ("Écart à l'optimum", f"au plus {percent(figures['gap'], 2)} ({result['method']})"),
    ]
    if figures.get("price_score") is not None:
        rows.append(("Prix de l'équité", f"{percent(figures['price_score'], 2)} des points"))
    if greedy:
        told = f"{percent(greedy['gap'], 1)} de points en moins, la moins servie à {percent(greedy['worst_fill'])}"
        rows.append(("Les meilleures paires d'abord", told))
    rows.append(("Durée, mémoire", f"{sum(result['seconds'].values()):.1f} s, {result['peak_mib']} Mio".replace(".", ",", 1)))
    for row in rows:
        table.add_row(*row)
    console.print(table)
    if not result["means_known"]:
        console.print(
            "[yellow]Promesses et dotations inconnues ici (campagne d'avant cette version) : rien n'a limité ce tour.[/]"
        )


def print_fairness(console: Console, found: Mapping[str, Any]) -> None:
    rows = found["result"].get("fairness") or []
    if not rows:
        return
    table = _table("Prix de l'équité", "Réglage", "La moins servie", "Moyenne", "Heures", "Points perdus", right=range(5))
    for row in rows:
        mark = " ◀" if abs(row["fairness"] - found["terms"]["fairness"]) < 0.001 else ""
        table.add_row(
            percent(row["fairness"]) + mark,
            percent(row["worst_fill"]),
            percent(row["mean_fill"]),
            hours(row["served_minutes"]),
            percent(row["price_score"], 2),
        )
    console.print(table)


def print_shares(console: Console, found: Mapping[str, Any]) -> None:
    shares = sorted(found["result"]["shares"], key=_fill)
    table = _table("Qui est servi (la moins servie d'abord)", "Association", "Cible", "Servi", "Part", "", right=(1, 2, 3))
    for share in shares[:ROWS_SHOWN]:
        fill = _fill(share)
        bar = "█" * round(20 * min(1, fill)) + "░" * (20 - round(20 * min(1, fill)))
        name = escape(share["name"] or share["association_id"])
        table.add_row(name, hours(share["target_minutes"]), hours(share["served_minutes"]), percent(fill), bar)
    console.print(table)
    _print_more(console, len(shares))


def _fill(share: Mapping[str, Any]) -> float:
    return share["served_minutes"] / share["target_minutes"] if share["target_minutes"] else 1.0


def print_proposals(console: Console, proposals: Sequence[Mapping[str, Any]]) -> None:
    table = _table("Propositions", "Besoin", "Offre", "Durée", "Points", "Pourquoi", right=(2, 3))
    for one in proposals[:ROWS_SHOWN]:
        need, offer = (f"{escape(one[f'{what}_title'])}\n[dim]{one[f'{what}_id']}[/]" for what in ("need", "offer"))
        why = ("[bold]imposée[/] ; " if one["pinned"] else "") + escape(" ; ".join(one["reasons"]))
        table.add_row(need, offer, hours(one["minutes"]), str(one["points"]), why)
    console.print(table)
    _print_more(console, len(proposals))


def print_unserved(console: Console, unserved: Sequence[Mapping[str, Any]]) -> None:
    if not unserved:
        console.print("[green]Tous les besoins sont servis.[/]")
        return
    table = _table("Besoins sans réponse", "Besoin", "Manque", "Pourquoi", right=(1,))
    for one in unserved[:ROWS_SHOWN]:
        need = f"{escape(one['need_title'])}\n[dim]{one['need_id']}[/]"
        table.add_row(need, hours(one["missing_minutes"]), escape(" ; ".join(one["why"])))
    console.print(table)
    _print_more(console, len(unserved))


def print_choices(console: Console, choices: Sequence[Mapping[str, Any]]) -> None:
    if not choices:
        return
    table = _table("Paires imposées ou écartées", "", "Besoin", "Offre", "Motif", "Le")
    for one in choices:
        kind = "imposée" if one["kind"] == "pin" else "écartée"
        table.add_row(kind, one["need_id"], one["offer_id"], escape(one["reason"]), _instant(one["chosen_at"]))
    console.print(table)


def print_left_out(console: Console, proposals: Sequence[Mapping[str, Any]]) -> None:
    table = _table("Laissées de côté", "Besoin", "Offre", "Pourquoi")
    for one in [one for one in proposals if one["left_out"]][:ROWS_SHOWN]:
        table.add_row(escape(one["need_title"]), escape(one["offer_title"]), escape(one["left_out"]))
    console.print(table)


def print_comparison(console: Console, found: Mapping[str, Any]) -> None:
    one, other = found["one"], found["other"]
    table = _table("Côte à côte", "", one["id"][:13], other["id"][:13], right=(1, 2))
    table.add_row("Équité", percent(one["terms"]["fairness"]), percent(other["terms"]["fairness"]))
    figures = (one["result"]["figures"], other["result"]["figures"])
    table.add_row("Besoins servis", *(f"{each['needs_served']}/{each['needs']}" for each in figures))
    table.add_row("Heures servies", *(hours(each["served_minutes"]) for each in figures))
    table.add_row("Points", *(f"{each['score']:,}".replace(",", " ") for each in figures))
    table.add_row("La moins servie", *(percent(each["worst_fill"]) for each in figures))
    console.print(table)
    console.print(
        f"{found['same']} besoins servis de même, {len(found['changed'])} autrement, {len(found['added'])} par le premier seul, "
        f"{len(found['removed'])} par le second seul"
    )
    rows = [("+", pair, None) for pair in found["added"]] + [("−", None, pair) for pair in found["removed"]]
    rows += [("≠", each["one"][0], each["other"][0]) for each in found["changed"]]
    if not rows:
        return
    detail = _table("Ce qui change", "", "Besoin", "Offre du premier", "Offre du second")
    for sign, mine, theirs in rows[:ROWS_SHOWN]:
        detail.add_row(sign, (mine or theirs)["need_id"], _say_pair(mine), _say_pair(theirs))
    console.print(detail)
    _print_more(console, len(rows))


def _say_pair(pair: Mapping[str, Any] | None) -> str:
    return f"{pair['offer_id']} ({hours(pair['minutes'])}, {pair['points']} points)" if pair else "—"


def print_replay(console: Console, stored: Mapping[str, Any], replayed: "Replay") -> None:
    if replayed.is_same:
        told = f"{replayed.proposals} propositions recalculées ici en {replayed.seconds:.1f} s : les mêmes.".replace(".", ",", 1)
        console.print(f"[bold green]✓[/] {told}")
        console.print(f"  données       {replayed.inputs_digest}")
        console.print(f"  propositions  {replayed.proposals_digest}")
        console.print(f"  solveur       {replayed.solver}")
        return
    console.print(f"[bold red]✗[/] Le tour {stored['id']} ne se recalcule pas à l'identique ici :")
    for difference in replayed.differences:
        console.print(f"  {difference}", markup=False)

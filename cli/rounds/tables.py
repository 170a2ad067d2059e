"""A round as tables, in French."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.wording import counted, hours

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
        console.print(f"[dim]… et {counted(rows - ROWS_SHOWN, 'autre ligne')} (voir la page ou l'interface)[/]")


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
        state = STATES[one["state"]] + (" (essai)" if one.get("trial_of") else "")
        table.add_row(one["id"], _instant(one["asked_at"]), state, fairness, served, worst, escape(one["note"]))
    console.print(table)


def print_head(console: Console, found: Mapping[str, Any]) -> None:
    terms = found["terms"]
    kind = "besoins entiers" if terms["whole"] else "vue d'ensemble, besoins partagés"
    console.print(
        f"[bold]{found['id']}[/] : {STATES[found['state']]} ; équité {percent(terms['fairness'])}, {kind}, "
        f"poids {_say_weights(found)}, demandé le {_instant(found['asked_at'])}"
    )
    if found.get("trial_of"):
        console.print(f"Essai sur le tour {found['trial_of']}, jamais envoyé : {_list_weights(found['trial_weights'])}")
    if found["note"]:
        console.print(escape(found["note"]), style="italic")
    if found.get("failure"):
        console.print(f"[red]{escape(found['failure'])}[/]")
    if found["state"] == "computing":
        console.print(describe_phase(found))
    if released := found.get("released"):
        sent = counted(released["missions"], "mission")
        console.print(f"Envoyé le {_instant(released['at'])} : {sent}, {released['left_out']} de côté")


def _say_weights(found: Mapping[str, Any]) -> str:
    return "à l'essai" if found.get("trial_of") else f"version {found['terms']['weights_version']}"


def _list_weights(weights: Mapping[str, int]) -> str:
    return " ".join(f"{name}={points}" for name, points in weights.items())


def print_figures(console: Console, found: Mapping[str, Any]) -> None:
    result = found["result"]
    figures, greedy = result["figures"], result.get("greedy")
    table = Table(show_header=False)
    offers, pairs = counted(result["offers"], "offre"), counted(result["pairs"], "paire")
    rows = [
        ("Besoins servis", f"{figures['needs_served']} sur {figures['needs']} ({offers}, {pairs})"),
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
    table.add_row("Poids", _say_weights(one), _say_weights(other))
    figures = (one["result"]["figures"], other["result"]["figures"])
    table.add_row("Besoins servis", *(f"{each['needs_served']}/{each['needs']}" for each in figures))
    table.add_row("Heures servies", *(hours(each["served_minutes"]) for each in figures))
    table.add_row("Points", *(f"{each['score']:,}".replace(",", " ") for each in figures))
    table.add_row("La moins servie", *(percent(each["worst_fill"]) for each in figures))
    console.print(table)
    if one["terms"]["weights_version"] != other["terms"]["weights_version"] or one.get("trial_weights") != other.get(
        "trial_weights"
    ):
        console.print("[dim]Les poids diffèrent : les points des deux tours ne se comparent pas, les heures si.[/]")
    _print_shares_beside(console, one, other)
    console.print(
        f"{counted(found['same'], 'besoin servi')} de même, {len(found['changed'])} autrement, "
        f"{len(found['added'])} par le premier seul, {len(found['removed'])} par le second seul"
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


def _print_shares_beside(console: Console, one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """Associations that are not served alike, whoever loses most first."""
    mine, theirs = ({share["association_id"]: share for share in each["result"]["shares"]} for each in (one, other))
    rows = []
    for id, share in {**theirs, **mine}.items():
        served = [each[id]["served_minutes"] if id in each else 0 for each in (mine, theirs)]
        if served[0] != served[1]:
            rows.append((served[0] - served[1], share["name"] or id, *served))
    if not rows:
        console.print("Chaque association reçoit autant d'heures.")
        return
    table = _table("Associations servies autrement", "Association", "Premier", "Second", "Écart", right=(1, 2, 3))
    for difference, name, first, second in sorted(rows)[:ROWS_SHOWN]:
        sign = "+" if difference > 0 else "−"
        table.add_row(escape(name), hours(first), hours(second), f"{sign}{hours(abs(difference))}")
    console.print(table)
    _print_more(console, len(rows))


def print_tried(console: Console, before: Mapping[str, int], tried: Mapping[str, int]) -> None:
    changed = [f"{name} {points} au lieu de {before[name]}" for name, points in tried.items() if points != before[name]]
    console.print(f"Poids à l'essai : {', '.join(changed) or 'les mêmes que ceux du tour'} ; le reste ne change pas.")


def print_next_of_trial(console: Console, trial: Mapping[str, Any], *, territory: str, version: int) -> None:
    """How the weights of a trial come into force. `version`: of those that are in force now."""
    body = json.dumps({**trial["trial_weights"], "reason": "…"}, ensure_ascii=False)
    console.print("Rien n'est envoyé ni changé : un essai se regarde. Pour mettre ces poids en vigueur, avec votre motif :")
    console.print(f'  PUT /v1/territories/{territory}/weights   If-Match: "{version}"', markup=False, highlight=False)
    console.print(f"  {body}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"Puis un nouveau tour : [bold]metis round ask {trial['campaign_id']}[/]")


def _say_pair(pair: Mapping[str, Any] | None) -> str:
    return f"{pair['offer_id']} ({hours(pair['minutes'])}, {counted(pair['points'], 'point')})" if pair else "—"


def print_replay(console: Console, stored: Mapping[str, Any], replayed: "Replay") -> None:
    if replayed.is_same:
        seconds = f"{replayed.seconds:.1f}".replace(".", ",") + " s"
        console.print(
            f"[bold green]✓[/] {counted(replayed.proposals, 'proposition recalculée')} ici en {seconds}, à l'identique."
        )
        console.print(f"  données       {replayed.inputs_digest}")
        console.print(f"  propositions  {replayed.proposals_digest}")
        console.print(f"  solveur       {replayed.solver}")
        return
    console.print(f"[bold red]✗[/] Le tour {stored['id']} ne se recalcule pas à l'identique ici :")
    for difference in replayed.differences:
        console.print(f"  {difference}", markup=False)

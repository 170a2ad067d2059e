"""`metis grants what-if`: what the grants would be under other rules, side by side."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.api import ApiError, Session
from cli.console import CliError
from cli.http import make_client
from cli.importer import values as v
from cli.wording import euros, hours

# What a scenario may change, in the officer's words: the field of the API, and how its value is read.
WORDS: Mapping[str, tuple[str, Callable[[str], int]]] = {
    "taux": ("compensation_permille", v.permille),
    "heure": ("hour_value_cents", v.cents),
    "pas": ("step_minutes", v.whole(1, 1440)),
    "enveloppe": ("pool_minutes", v.threshold_minutes),
}
EXAMPLE = '"taux=70 %, heure=40, pas=30, enveloppe=600"'


def read_scenario(text: str) -> dict[str, Any]:
    """`taux=70 %, heure=40` as the API takes it; its name is the text itself. A comma followed by a digit is a decimal one."""
    scenario: dict[str, Any] = {"name": " ".join(text.split())[:200]}
    for part in re.split(r"[;]|,(?!\d)", text):
        word, equals, cell = (piece.strip() for piece in part.partition("="))
        if not equals or word not in WORDS:
            raise CliError(
                f"Scénario illisible : « {part.strip()} ».", cure=f"Mots connus : {', '.join(WORDS)} ; par exemple {EXAMPLE}."
            )
        field, read = WORDS[word]
        if field in scenario:
            raise CliError(f"Scénario illisible : « {word} » y est deux fois.", cure="Gardez une seule des deux valeurs.")
        try:
            scenario[field] = read(cell)
        except v.BadCell as error:
            raise CliError(f"Scénario illisible : « {part.strip()} », {error.problem}.", cure=error.cure) from error
    return scenario


def run(
    url: str,
    *,
    client_id: str,
    client_secret: str,
    campaign: str,
    scenarios: Sequence[str],
    afresh: bool,
    sheet: Path | None,
    console: Console,
) -> None:
    """Ask the platform, which writes nothing; print the table, and keep the spreadsheet where one is asked for."""
    body = {"scenarios": [read_scenario(text) for text in scenarios], "afresh": afresh}
    territory, dot, _ = client_id.partition(".")
    if not dot or not client_secret:
        raise CliError(
            "Il faut le client d'un agent et son secret.",
            cure="Donnez --client-id 92071.… et --client-secret …, ou METIS_CLIENT_ID et METIS_CLIENT_SECRET.",
        )

    async def fetch() -> tuple[dict[str, Any], bytes]:
        async with make_client(url) as http:
            session = Session(http, url.rstrip("/"), territory, client_id, client_secret)
            path = f"/campaigns/{await _find_campaign(session, campaign)}/what-if"
            found = (await _ask(session, path, body)).json()
            return found, (await _ask(session, path, body, format="csv")).content if sheet else b""

    found, content = asyncio.run(fetch())
    print_comparison(console, found)
    if sheet is not None:
        sheet.write_bytes(content)
        console.print(f"Tableau écrit : [bold]{escape(str(sheet))}[/]")


async def _find_campaign(session: Session, ref: str) -> str:
    items = (await session.get("/campaigns", ref=ref))["items"]
    if not items:
        raise CliError(f"Il n'y a pas de campagne « {ref} » dans ce territoire.", cure="Donnez sa référence (colonne `ref`).")
    return str(items[0]["id"])


async def _ask(session: Session, path: str, body: Mapping[str, Any], **parameters: str) -> Any:
    try:
        return await session.request("POST", path, body=body, parameters=parameters)
    except ApiError as error:
        if error.code == "empty-panel":
            raise CliError("Le panel de cette campagne est vide.", cure="Importez subventions.csv, puis recommencez.") from error
        raise


def print_comparison(console: Console, found: Mapping[str, Any]) -> None:
    """The rules of each scenario and what comes of them, then every association's hours, and what it gains or loses."""
    own, *imagined = found["scenarios"]
    rules = Table(title="Scénarios (rien n'est enregistré)", title_justify="left")
    for heading in ("Scénario", "Taux", "Heure", "Pas", "Enveloppe", "Dû", "Accordé", "Reste", "Gagnent", "Perdent"):
        rules.add_column(heading, justify="left" if heading == "Scénario" else "right", overflow="fold")
    for one in (own, *imagined):
        rules.add_row(*_rule_cells(one))
    console.print(rules)
    table = Table(title="Dotations par association", title_justify="left", show_footer=True)
    table.add_column("Association", "Total", overflow="fold")
    table.add_column("Baisse", euros(sum(_cut(row) for row in found["rows"])), justify="right")
    for one in (own, *imagined):
        table.add_column(escape(one["name"]), hours(one["computed_minutes"]), justify="right", overflow="fold")
    for row in found["rows"]:
        first, *others = row["shares"]
        cells = [hours(first["computed_minutes"]), *(_share_text(share) for share in others)]
        table.add_row(escape(row["association_name"] or row["association_id"]), euros(_cut(row)), *cells)
    console.print(table)


def _rule_cells(one: Mapping[str, Any]) -> list[str]:
    granted = hours(one["computed_minutes"]) + (" (réduit)" if one["is_cut"] else "")
    return [
        escape(one["name"]),
        f"{one['compensation_permille'] / 10:g} %".replace(".", ","),
        euros(one["hour_value_cents"]),
        f"{one['step_minutes']} min",
        hours(one["pool_minutes"]),
        hours(one["due_minutes"]),
        granted,
        hours(one["remaining_minutes"]),
        str(one["gainers"]),
        str(one["losers"]),
    ]


def _share_text(share: Mapping[str, Any]) -> str:
    difference = share["difference_minutes"]
    if not difference:
        return f"{hours(share['computed_minutes'])} [dim](=)[/]"
    colour, sign = ("green", "+") if difference > 0 else ("red", "−")
    return f"{hours(share['computed_minutes'])} [{colour}]({sign}{hours(abs(difference))})[/]"


def _cut(row: Mapping[str, Any]) -> int:
    return max(0, int(row["subsidy_before_cents"]) - int(row["subsidy_after_cents"]))

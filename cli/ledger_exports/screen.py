"""A statement read on the terminal: the same lines and words as on paper, with the names that the reader may see."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.api import ApiError, Session
from cli.wording import counted, day, hours
from kernel.clock import LOCAL_ZONE
from services.credits.domain import ledger_words as words
from services.credits.domain.statement_words import Link, describe_links, number_text, person_text, subject_text

FORBIDDEN = 403
LINES_A_PAGE = 1000
LONGEST_OPERATION = 18  # « annule n° 3fa9c2d1 »
BASES = {"recorded": "par date d'enregistrement", "effective": "par date d'effet"}
STATES = {"recorded": "tel qu'enregistré au", "effective": "selon les dates d'effet, au"}

Names = Mapping[str, str]
Found = Mapping[str, Any]


async def show_statements(session: Session, paths: Sequence[str], console: Console, **parameters: Any) -> None:
    """One after the other, each whole."""
    names = await _list_names(session)
    for path in paths:
        print_statement(console, await read_statement(session, path, **parameters), names)


async def read_statement(session: Session, path: str, **parameters: Any) -> dict[str, Any]:
    """All its pages as one; the closing is that of the last."""
    asked = {name: value for name, value in parameters.items() if value is not None} | {"limit": LINES_A_PAGE}
    lines: list[Any] = []
    while True:
        page: dict[str, Any] = await session.get(path, **asked)
        lines += page["lines"]
        if not page["next"]:
            return page | {"lines": lines}
        asked["cursor"] = page["next"]


async def _list_names(session: Session) -> dict[str, str]:
    """Of those whom the reader may see in the registry; everybody else stays a number."""
    names: dict[str, str] = {}
    for path, field in (("/actors", "name"), ("/members", "display_name")):
        try:
            names |= {one["id"]: one[field] async for one in session.every(path, archived="true")}
        except ApiError as error:
            if error.status != FORBIDDEN:
                raise
    return names


def print_statement(console: Console, statement: Found, names: Names) -> None:
    of_volunteer = "volunteer_id" in statement
    title = "Relevé d'heures" if of_volunteer else "Relevé de compte"
    console.print(f"[bold]{title} – {escape(statement['campaign_title'])}[/]")
    console.print(escape(_describe_holder(statement, names)))
    console.print(f"Période : {_describe_period(statement)}, {BASES[statement['basis']]}")
    if statement["as_of"]:
        instant = datetime.fromisoformat(statement["as_of"]).astimezone(LOCAL_ZONE)
        console.print(f"État : {STATES[statement['basis']]} {instant:%d/%m/%Y %H:%M:%S}")
    console.print(_build_volunteer_table(statement) if of_volunteer else _build_table(statement, names))
    told = "le n° d'une écriture est la fin de son identifiant, que --format csv donne en entier"
    console.print(f"[dim]{counted(len(statement['lines']), 'écriture')} ; {told}[/]\n")


def _describe_holder(statement: Found, names: Names) -> str:
    if "volunteer_id" in statement:
        return f"Bénévole : {_named(statement['volunteer_id'], names)}"
    if statement["holder_id"] is None:
        return "Toute la campagne"
    return f"Titulaire : {_named(statement['holder_id'], names, known=statement['holder_name'])}"


def _named(id: str, names: Names, *, known: str | None = None) -> str:
    """With the number: whoever asks for the statement again gives it."""
    name = known or names.get(id)
    return f"{name} ({id})" if name else id


def _describe_period(statement: Found) -> str:
    since, until = statement["since"], statement["until"]
    begins = f"du {day(since)}" if since else "du début de la campagne"
    return f"{begins} {f'au {day(until)}' if until else 'à ce jour'}"


# ---- Lines


def _build_table(statement: Found, names: Names) -> Table:
    subject = "Mission" if statement["holder_id"] else "Mission (ou titulaire)"
    cells = [
        (
            subject_text(
                mission=line["mission_title"] or line["mission_id"],
                accounts=() if statement["holder_id"] else (line["to_account"], line["from_account"]),
                names=names,
            ),
            person_text(volunteer=line["volunteer_id"], who=line["who"], names=names),
        )
        for line in statement["lines"]
    ]
    accounts = {kind: words.ACCOUNTS[kind] for kind in _list_kinds(statement)}
    table = _make_table(f"{subject}, personne, motif", accounts.values())
    return _fill(table, statement, list(accounts), cells, spoken=words.TRANSFERS)


def _build_volunteer_table(statement: Found) -> Table:
    cells = [
        (line["mission_title"] or line["mission_id"], line["association_name"] or line["association_id"])
        for line in statement["lines"]
    ]
    table = _make_table("Mission, association, motif", words.VOLUNTEER_ACCOUNTS.values())
    return _fill(table, statement, list(words.VOLUNTEER_ACCOUNTS), cells, spoken=words.VOLUNTEER_TRANSFERS)


def _list_kinds(statement: Found) -> list[str]:
    """Of a whole campaign only the accounts on which there was something: eight columns are too many for a screen."""
    balances = [statement["opening_minutes"], *(line["balances_minutes"] for line in statement["lines"])]
    kinds: list[str] = list(statement["opening_minutes"])
    return [kind for kind in kinds if statement["holder_id"] or any(one[kind] for one in balances)]


def _make_table(subject: str, balances: Iterable[str]) -> Table:
    """Three columns of words, which may take several lines each, so that there is room for many balances."""
    table = Table(box=SIMPLE, pad_edge=False, collapse_padding=True)
    table.add_column("Date", no_wrap=True)
    table.add_column("Opération", min_width=LONGEST_OPERATION, overflow="fold")
    table.add_column(subject, overflow="fold")
    for heading in ("Heures", *balances):
        table.add_column(heading, justify="right", min_width=max(map(len, heading.split())))
    return table


def _fill(
    table: Table, statement: Found, kinds: Sequence[str], cells: Sequence[tuple[str, str]], *, spoken: Mapping[str, str]
) -> Table:
    links = describe_links(
        [
            Link(line["transfer_id"], line["minutes"], line["reverses"], line["reversed_by"], line["reversed_minutes"])
            for line in statement["lines"]
        ],
        is_present=statement["as_of"] is None,
    )
    table.add_row("", "Solde d'ouverture", "", "", *_shown(statement["opening_minutes"], kinds), style="bold")
    table.add_section()
    for line, (subject, person) in zip(statement["lines"], cells, strict=True):
        id = line["transfer_id"]
        about = [escape(text) for text in (subject, person) if text]
        table.add_row(
            _describe_dates(line, basis=statement["basis"]),
            "\n".join([spoken[line["kind"]], number_text(id), *links[id]]),
            "\n".join([*about, f"[dim]{escape(line['why'])}[/]"]),
            hours(line["minutes"]),
            *_shown(line["balances_minutes"], kinds),
        )
    table.add_section()
    table.add_row("", "Solde de clôture", "", "", *_shown(statement["closing_minutes"], kinds), style="bold")
    return table


def _describe_dates(line: Found, *, basis: str) -> str:
    """The day that the statement goes by; the other one below, where it is another."""
    recorded, effective = day(line["recorded_at"]), day(line["effective_at"])
    if recorded == effective:
        return recorded
    if basis == "recorded":
        return f"{recorded}\n[dim]effet le\n{effective}[/]"
    return f"{effective}\n[dim]notée le\n{recorded}[/]"


def _shown(balances: Found, kinds: Sequence[str]) -> list[str]:
    return [hours(words.shown_minutes(kind, balances[kind])) for kind in kinds]

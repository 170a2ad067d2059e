"""`metis match suggest`: a text with the words that speak for skills, and the skills."""

from collections.abc import Sequence
from typing import Literal

from rich.table import Table
from rich.text import Text

from cli.console import CliError, console
from services.matching.engine.referential import load_referential
from services.matching.engine.suggesting import Quote, Suggestion, suggest
from services.matching.engine.vocabulary import Vocabulary

# Told apart without seeing colours by their number, too.
_STYLES = ("bold blue", "bold dark_orange", "bold magenta", "bold cyan", "bold yellow")
_MATCHED = {"name": "nom", "synonym": "synonyme", "title": "métier", "tool": "outil", "phrase": "tournure", "meaning": "sens"}


def print_suggestions(title: str, description: str, *, kind: Literal["need", "offer"]) -> None:
    if not title.strip():
        raise CliError("Le titre est vide.", cure="Donnez au moins un titre entre guillemets.")
    suggestions = suggest(title, description, kind=kind, vocabulary=Vocabulary(load_referential()))
    for field, text in (("title", title), ("description", description)):
        if text:
            console.print(_highlight(text, suggestions, field=field))
    if not suggestions:
        raise CliError(
            "Aucune compétence ne se laisse lire dans ce texte.",
            cure="Dites-en plus, ou cherchez par mots : metis match skills search …",
        )
    console.print(_tabulate(suggestions))
    console.print("Une suggestion ne vaut rien avant qu'une personne la confirme.", style="dim")


def _highlight(text: str, suggestions: Sequence[Suggestion], *, field: str) -> Text:
    """The text with each skill's words in its style; the likeliest skill's on top."""
    shown = Text(text)
    for number in range(len(suggestions) - 1, -1, -1):
        for quote in suggestions[number].evidence:
            if quote.field == field:
                shown.stylize(f"{_STYLES[number % len(_STYLES)]} underline", quote.start, quote.end)
    return shown


def _tabulate(suggestions: Sequence[Suggestion]) -> Table:
    table = Table(title="Compétences suggérées", title_justify="left")
    table.add_column("N°", justify="right")
    for heading in ("Compétence", "Code"):
        table.add_column(heading, overflow="fold")
    table.add_column("Part", justify="right")
    table.add_column("Parce que", overflow="fold")
    for number, one in enumerate(suggestions):
        words = dict.fromkeys(f"« {quote.words} » ({_explain(quote)})" for quote in one.evidence)
        style = _STYLES[number % len(_STYLES)]
        table.add_row(str(number + 1), Text(one.name_fr, style=style), Text(one.code), f"{one.percent} %", Text(", ".join(words)))
    return table


def _explain(quote: Quote) -> str:
    """What the words are to the skill; of a turn of phrase or a meaning, whose words they recall."""
    what = _MATCHED.get(quote.match, quote.match)
    return f"{what} : {quote.matched}" if quote.match in {"phrase", "meaning"} else what

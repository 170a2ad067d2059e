"""How the benches print: a table for people, then one JSON line for machines."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

KEPT = Path(__file__).parents[1] / "docs" / "plots"  # results that docs/ draws and tells of


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def print_report(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], result: Mapping[str, object]) -> None:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*row)
    Console(width=120).print(table)
    print(json.dumps(result), flush=True)

"""What the officer changes of a computed grant: `--adjust "Lire Ensemble = 14 h 30 : public prioritaire"`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cli.console import CliError
from cli.importer import values as v

EXAMPLE = '--adjust "Lire Ensemble = 14 h 30 : public prioritaire"'


@dataclass(frozen=True)
class Adjustment:
    minutes: int
    reason: str


# By the association's id.
Adjustments = Mapping[str, Adjustment]


def read_adjustments(texts: Sequence[str], proposal: Mapping[str, Any]) -> dict[str, Adjustment]:
    """Raises CliError for a text that cannot be read, and for an association that is not in the proposal."""
    found: dict[str, Adjustment] = {}
    for text in texts:
        name, equals, rest = (part.strip() for part in text.partition("="))
        amount, colon, reason = (part.strip() for part in rest.partition(":"))
        if not (name and equals and amount and colon and reason):
            raise CliError(f"Ajustement illisible : « {text} ».", cure=f"Association, heures et motif, comme {EXAMPLE}.")
        try:
            minutes = v.threshold_minutes(amount)
        except v.BadCell as error:
            raise CliError(f"Ajustement illisible : « {amount} », {error.problem}.", cure=error.cure) from error
        id = _find_association(name, proposal)
        if id in found:
            raise CliError(f"« {name} » est ajustée deux fois.", cure="Gardez un seul des deux ajustements.")
        found[id] = Adjustment(minutes, reason)
    return found


def _find_association(name: str, proposal: Mapping[str, Any]) -> str:
    """By its name (case and accents do not matter) or its id."""
    matches: list[str] = [
        line["association_id"]
        for line in proposal["lines"]
        if name == line["association_id"] or v.fold(name) == v.fold(line["association_name"] or "")
    ]
    if len(matches) != 1:
        said = "n'est pas dans ce calcul" if not matches else "est le nom de plusieurs associations"
        cure = "Écrivez son nom comme dans le tableau, ou son identifiant."
        raise CliError(f"« {name} » {said}.", cure=cure)
    return matches[0]


def encode_adjustments(adjustments: Adjustments) -> list[dict[str, Any]]:
    """As the API takes them."""
    return [{"association_id": id, "minutes": one.minutes, "reason": one.reason} for id, one in adjustments.items()]

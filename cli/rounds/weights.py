"""Weights to try, as words on a command line: `skills=45`."""

from collections.abc import Mapping, Sequence
from typing import Any

from cli.console import CliError


def find_weights(known: Mapping[str, Any], version: int) -> dict[str, int]:
    """Those of a version, out of `GET /weights`."""
    found: dict[str, int] = next(one["weights"] for one in known["history"] if one["version"] == version)
    return found


def change_weights(before: Mapping[str, int], given: Sequence[str], bounds: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """`before` with what was given. Raises CliError that names the faulty word; what weights may be, the platform judges."""
    changes: dict[str, int] = {}
    for word in given:
        name, _, points = word.partition("=")
        if name not in before:
            names = ", ".join(f"{one['name']} ({one['label']})" if one["label"] else one["name"] for one in bounds)
            raise CliError(f"Il n'y a pas de poids « {name} ».", cure=f"Ce sont : {names}.")
        if name in changes:
            raise CliError(f"Le poids {name} est donné deux fois.", cure="Gardez une seule valeur.")
        try:
            changes[name] = int(points)
        except ValueError:
            raise CliError(f"« {word} » n'est pas un poids.", cure=f"Écrivez un nombre entier : {name}=12.") from None
    return {**before, **changes}

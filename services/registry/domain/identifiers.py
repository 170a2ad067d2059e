"""The identifiers of French bodies, read as people type them.

python-stdnum is the one outside library of this domain: it is itself pure, and holds the check digits and their exceptions.
"""

import re
from collections.abc import Callable
from enum import StrEnum

from stdnum.exceptions import InvalidChecksum, InvalidLength, ValidationError
from stdnum.fr import siren as stdnum_siren
from stdnum.fr import siret as stdnum_siret


class IdentifierKind(StrEnum):
    SIREN = "siren"
    SIRET = "siret"
    RNA = "rna"


INSEE_PATTERN = r"^([0-9]{2}|2[AB])[0-9]{3}$"
# Letters occur in old Corsican and overseas numbers.
_RNA = re.compile(r"W[0-9][A-Z0-9][0-9]{7}")


def read_siren(value: str) -> str:
    """The nine digits. Raises ValueError with the reason, fit for the person who typed it."""
    return _read_sirene_number(value, name="SIREN", digits=9, validate=stdnum_siren.validate)


def read_siret(value: str) -> str:
    """The fourteen digits; La Poste's establishments have their own check sum. Raises ValueError with the reason."""
    return _read_sirene_number(value, name="SIRET", digits=14, validate=stdnum_siret.validate)


def _read_sirene_number(value: str, *, name: str, digits: int, validate: Callable[[str], str]) -> str:
    try:
        number = validate(value)
    except InvalidLength as error:
        raise ValueError(f"a {name} has {digits} digits") from error
    except InvalidChecksum as error:
        raise ValueError(f"the check digit of this {name} does not fit: a digit is wrong or two are swapped") from error
    except ValidationError as error:
        raise ValueError(f"a {name} has {digits} digits and nothing else") from error
    if not number.strip("0"):
        # Zeros satisfy Luhn; they are what people type into a field they cannot leave empty.
        raise ValueError(f"zeros are no {name}")
    return number


def read_rna(value: str) -> str:
    """`W` and nine characters, as in the national register of associations. Raises ValueError with the reason."""
    number = "".join(value.split()).upper()
    if not _RNA.fullmatch(number):
        raise ValueError("an RNA number is W and nine digits, as W922000123 (old Corsican and overseas ones have a letter)")
    return number


READERS: dict[IdentifierKind, Callable[[str], str]] = {
    IdentifierKind.SIREN: read_siren,
    IdentifierKind.SIRET: read_siret,
    IdentifierKind.RNA: read_rna,
}

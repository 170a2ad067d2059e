"""Parties: what the law wants a convention and a receipt to say of an organisation, and nothing else.

Kept apart from the registry's copy: the registry tells names and kinds, its members write the rest here.
"""

import re
from dataclasses import dataclass
from uuid import UUID

from services.credits.domain.document_errors import PartyIncomplete
from services.credits.domain.errors import BadInput

# The town signs, too, and is no actor of its own registry.
TOWN_ID = UUID(int=0)

_RNA = re.compile(r"W\d[A-Z\d]\d{7}")

# What each document needs, by field, with the words that tell a person what is missing.
CONVENTION_NEEDS = ("legal_form", "address", "representative_function")
BENEFICIARY_NEEDS = ("legal_form", "address", "object", "category", "representative_function")
DONOR_NEEDS = ("legal_form", "address", "siren")


@dataclass(frozen=True)
class Party:
    """`representative_function`: who signs by office (`présidente`), never by name. `object`, `category`: of a beneficiary,
    as article 238 bis knows it (`organisme d'intérêt général à caractère social`)."""

    actor_id: UUID
    legal_form: str
    address: str
    representative_function: str
    siren: str | None = None
    rna: str | None = None
    object: str | None = None
    category: str | None = None

    def __post_init__(self) -> None:
        if self.siren is not None and not is_siren(self.siren):
            raise BadInput.at("/siren", "must be the 9 digits of the SIREN, the last of which checks the others")
        if self.rna is not None and not _RNA.fullmatch(self.rna):
            raise BadInput.at("/rna", "must be W and 9 digits (or letters, in some old numbers)")


def is_siren(text: str) -> bool:
    """Nine digits whose Luhn sum is a multiple of ten."""
    if not re.fullmatch(r"[0-9]{9}", text):
        return False
    doubled = (int(digit) * (2 if index % 2 else 1) for index, digit in enumerate(reversed(text)))
    return sum(digit - 9 if digit > 9 else digit for digit in doubled) % 10 == 0


def require_party(party: Party | None, needs: tuple[str, ...], *, actor_id: UUID, name: str) -> Party:
    """The party, if it has all that the document must say; else PartyIncomplete names what is missing and where it goes."""
    missing = [field for field in needs if party is None or not getattr(party, field)]
    if party is None or missing:
        where = "town" if actor_id == TOWN_ID else str(actor_id)
        raise PartyIncomplete(
            f"{name}: {', '.join(missing)} missing; write it with PUT /parties/{where}.", actor_id=str(actor_id), missing=missing
        )
    return party

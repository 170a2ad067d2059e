"""The town's aid in kind as open data: SCDL « subventions » 2.1.1 (schema.data.gouv.fr).

The amount of a grant is its minutes at the campaign's reference value of an hour: a convention of the campaign, and not what
the hours cost those who gave them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from services.credits.domain.campaigns import Campaign
from services.credits.domain.wording import hours_text

# Names and order of the schema.
COLUMNS = (
    "nomAttribuant", "idAttribuant", "dateConvention", "referenceDecision", "nomBeneficiaire", "idBeneficiaire",
    "rnaBeneficiaire", "objet", "montant", "nature", "conditionsVersement", "datesPeriodeVersement", "idRAE", "notificationUE",
    "pourcentageSubvention", "dispositifAide",
)  # fmt: skip
_RNA = re.compile(r"W\d{9}")
_SIRET_DIGITS = 14
_LONGEST_PURPOSE = 256


@dataclass(frozen=True)
class GrantedAid:
    """A signed grant, net of what was reversed of it, and its beneficiary."""

    grant_id: UUID
    association_id: UUID
    name: str | None
    siret: str | None
    rna: str | None
    signed_on: date
    minutes: int


@dataclass(frozen=True)
class Giver:
    """The town as the schema names it."""

    name: str
    siret: str


def is_siret(value: str) -> bool:
    """Fourteen digits with the sum of Luhn (the town is never La Poste, which has its own)."""
    if len(value) != _SIRET_DIGITS or not value.isascii() or not value.isdigit():
        return False
    doubled = (int(digit) * (2 - index % 2) for index, digit in enumerate(value))
    return sum(digit - 9 if digit > 9 else digit for digit in doubled) % 10 == 0


def build_row(aid: GrantedAid, *, giver: Giver, campaign: Campaign) -> dict[str, str]:
    facts = campaign.facts
    purpose = f"Crédit d'expertises : {hours_text(aid.minutes)} de compétences, campagne « {facts.title} »"
    return dict(
        zip(
            COLUMNS,
            (
                giver.name,
                giver.siret,
                aid.signed_on.isoformat(),
                f"{campaign.ref}/{aid.grant_id}",
                aid.name or str(aid.association_id),
                aid.siret or "",
                aid.rna if aid.rna and _RNA.fullmatch(aid.rna) else "",
                purpose[:_LONGEST_PURPOSE],
                euros(aid.minutes, hour_value_cents=facts.rules.hour_value_cents),
                "aide en nature",
                "échelonné",
                f"{facts.starts_on.isoformat()}/{facts.ends_on.isoformat()}",
                "",
                "non",
                "1.00",
                "",
            ),
            strict=True,
        )
    )


def euros(minutes: int, *, hour_value_cents: int) -> str:
    """minutes × value of an hour ÷ 60, to the cent, half up; a point, as the schema asks."""
    cents = (minutes * hour_value_cents * 2 + 60) // 120
    return f"{cents // 100}.{cents % 100:02d}"


def list_remarks(aid: GrantedAid, row: dict[str, str]) -> Iterator[str]:
    """What the schema's own check will say of this row, and the cure. The row stays: leaving it out would hide an aid."""
    name = row["nomBeneficiaire"]
    if aid.name is None:
        yield f"{name} : nom inconnu ; le registre doit encore l'annoncer."
    if not row["idBeneficiaire"] and not row["rnaBeneficiaire"]:
        yield f"{name} : ni SIRET ni numéro RNA au format du schéma (W et 9 chiffres) ; complétez sa fiche au registre."

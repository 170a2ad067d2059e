"""Receipts for gifts in kind (Cerfa 2041-MEC-SD, n° 16216): the beneficiary's, and only after the donor's valuation."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from services.credits.domain.document_errors import ReceiptNotInForce, ReceiptUnfit
from services.credits.domain.parties import Party
from services.credits.domain.words import amount_words

RECEIPT_TEMPLATE = 2
KEPT_YEARS = 6  # livre des procédures fiscales, art. L. 102 B and L. 102 E


class ReceiptState(StrEnum):
    IN_FORCE = "in_force"
    REPLACED = "replaced"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Gift:
    """One valued mission on a receipt; what an hour cost stays between the donor and itself."""

    mission_id: UUID
    valuation_version: int
    title: str
    minutes: int
    employees: int
    retained_cents: int
    from_day: date
    to_day: date


@dataclass(frozen=True)
class Organisation:
    id: UUID
    name: str
    party: Party


@dataclass(frozen=True)
class Receipt:
    id: UUID
    beneficiary_id: UUID
    donor_id: UUID
    year: int
    number: int
    state: ReceiptState
    template: int
    content: dict[str, Any]
    digest: str
    issued_at: datetime

    @property
    def label(self) -> str:
        return receipt_label(self.year, self.number)

    def require_in_force(self) -> None:
        if self.state is not ReceiptState.IN_FORCE:
            raise ReceiptNotInForce(f"Receipt {self.label} is {self.state}; correct the one that stands in its place.")


def receipt_label(year: int, number: int) -> str:
    """2026-0007: the beneficiary's seventh of that year."""
    return f"{year}-{number:04d}"


def build_receipt_content(
    *,
    label: str,
    beneficiary: Organisation,
    donor: Organisation,
    gifts: Sequence[Gift],
    issued_on: date,
    replaces_label: str | None,
    reason: str | None,
) -> dict[str, Any]:
    """What the form asks for, as data; amounts in cents and in words."""
    amount = sum(gift.retained_cents for gift in gifts)
    if amount <= 0:
        raise ReceiptUnfit("The valuations amount to nothing; there is no gift to give a receipt for.")
    return {
        "label": label,
        "beneficiary": _organisation_content(beneficiary),
        "donor": _organisation_content(donor),
        "from_day": min(gift.from_day for gift in gifts).isoformat(),
        "to_day": max(gift.to_day for gift in gifts).isoformat(),
        "amount_cents": amount,
        "amount_words": amount_words(amount),
        "minutes": sum(gift.minutes for gift in gifts),
        "gifts": [
            {
                "mission_id": str(gift.mission_id),
                "valuation_version": gift.valuation_version,
                "title": gift.title,
                "minutes": gift.minutes,
                "employees": gift.employees,
                "amount_cents": gift.retained_cents,
                "from_day": gift.from_day.isoformat(),
                "to_day": gift.to_day.isoformat(),
            }
            for gift in gifts
        ],
        "issued_on": issued_on.isoformat(),
        "replaces": replaces_label,
        "reason": reason,
    }


def _organisation_content(organisation: Organisation) -> dict[str, Any]:
    party = organisation.party
    return {
        "id": str(organisation.id),
        "name": organisation.name,
        "legal_form": party.legal_form,
        "siren": party.siren,
        "rna": party.rna,
        "address": party.address,
        "object": party.object,
        "category": party.category,
        "representative_function": party.representative_function,
    }

"""Published grants, for everybody: as data, as a sheet, as a document."""

from collections.abc import Mapping
from datetime import date, datetime
from fractions import Fraction
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from kernel.clock import local_date
from services.credits.domain.publications import Publication
from services.credits.domain.wording import decimal_text, euros_text, hours_text
from services.credits.schemas.fields import Body, Line
from services.credits.schemas.sheets import build_sheet, euros_number


class PublicationBody(Body):
    proposal_id: UUID
    contact: Line | None = Field(None, description="Whom an association writes to for a person's answer; else the town hall.")


class PublishedCampaign(BaseModel):
    ref: str
    title: str
    starts_on: date
    ends_on: date


class PublishedRule(BaseModel):
    step_minutes: int
    compensation_permille: int
    hour_value_cents: int
    pool_minutes: int
    due_minutes: int
    computed_minutes: int


class PublishedSignature(BaseModel):
    signed_at: str
    computation_digest: str
    by_two_persons: bool


class PublishedLine(BaseModel):
    association_id: UUID
    association_name: str
    subsidy_before_cents: int
    subsidy_after_cents: int
    already_granted_minutes: int
    exact_minutes: str
    entitled_minutes: int
    due_minutes: int
    share_steps: str
    extra_step: bool
    computed_minutes: int
    minutes: int = Field(description="Granted.")
    adjustment_reason: str | None
    reversed_minutes: int = Field(description="Taken back since.")
    explanation: str


class PublishedContent(BaseModel):
    """What the digest is computed from: this object as canonical JSON (README, "Digests")."""

    version: int
    town: str
    number: int
    replaces_number: int | None
    published_at: str
    campaign: PublishedCampaign
    # The digest is computed from what was published: version 1 did not have it.
    expires_on: str | None = Field(
        None, exclude_if=lambda day: day is None, description="Last day on which the credit can be spent (from version 2 on)."
    )
    rule: PublishedRule
    rule_text: list[str]
    notice: list[str] = Field(description="CRPA art. L. 311-3-1.")
    signature: PublishedSignature
    lines: list[PublishedLine]
    total_minutes: int
    total_reversed_minutes: int


class PublicationSummary(BaseModel):
    id: UUID
    campaign_id: UUID
    proposal_id: UUID
    number: int
    replaces: UUID | None = Field(description="The publication that this one corrects.")
    digest: str
    published_at: datetime
    total_minutes: int

    @classmethod
    def of(cls, found: Publication) -> "PublicationSummary":
        return cls.model_validate({**vars(found), "total_minutes": found.content["total_minutes"]})


class PublicationOut(PublicationSummary):
    content: PublishedContent

    @classmethod
    def of(cls, found: Publication) -> "PublicationOut":
        return cls.model_validate({**vars(found), "total_minutes": found.content["total_minutes"]})


_COLUMNS = (
    "association_id", "association", "avant_euros", "apres_euros", "deja_accorde_minutes", "minutes_exactes", "droit_minutes",
    "du_minutes", "calcule_minutes", "accorde_minutes", "motif_ajustement", "annule_minutes", "explication",
    "utilisable_jusqu_au",
)  # fmt: skip


def build_publication_sheet(found: Publication) -> str:
    expires_on = found.content.get("expires_on")
    last_day = f"{date.fromisoformat(expires_on):%d/%m/%Y}" if expires_on else None
    return build_sheet(_COLUMNS, [_cells(line, last_day) for line in found.content["lines"]])


def _cells(line: Mapping[str, Any], last_day: str | None) -> list[Any]:
    return [
        line["association_id"],
        line["association_name"],
        euros_number(line["subsidy_before_cents"]),
        euros_number(line["subsidy_after_cents"]),
        line["already_granted_minutes"],
        decimal_text(Fraction(line["exact_minutes"])),
        line["entitled_minutes"],
        line["due_minutes"],
        line["computed_minutes"],
        line["minutes"],
        line["adjustment_reason"],
        line["reversed_minutes"],
        line["explanation"],
        last_day if line["minutes"] else None,
    ]


def build_publication_document(found: Publication) -> dict[str, Any]:
    """What documents/grant_publication.typ sets: texts, nothing to compute."""
    content = found.content
    campaign, signature = content["campaign"], content["signature"]
    signed_on = datetime.fromisoformat(signature["signed_at"])
    facts = [
        ["Campagne", f"{campaign['title']} ({campaign['ref']})"],
        ["Publication", f"n° {found.number} du {local_date(found.published_at):%d/%m/%Y}"],
        ["Décision signée le", f"{local_date(signed_on):%d/%m/%Y}{', par deux personnes' * signature['by_two_persons']}"],
        ["Total accordé", hours_text(content["total_minutes"])],
    ]
    if "expires_on" in content:
        facts.append(["À utiliser jusqu'au", f"{date.fromisoformat(content['expires_on']):%d/%m/%Y}"])
    if content["replaces_number"] is not None:
        facts.append(["Remplace", f"la publication n° {content['replaces_number']}"])
    return {
        "title": f"Dotations en crédit d'expertises, {content['town']}",
        "town": content["town"],
        "facts": facts,
        "rule": content["rule_text"],
        "notice": content["notice"],
        "lines": [_document_line(line) for line in content["lines"]],
        "total": hours_text(content["total_minutes"]),
        "has_reversals": content["total_reversed_minutes"] > 0,
        "digests": [
            ["Empreinte du calcul (SHA-256)", signature["computation_digest"]],
            ["Empreinte de la publication (SHA-256)", found.digest],
        ],
    }


def _document_line(line: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "association": line["association_name"],
        "before": euros_text(line["subsidy_before_cents"]),
        "after": euros_text(line["subsidy_after_cents"]),
        "computed": hours_text(line["computed_minutes"]),
        "granted": hours_text(line["minutes"]),
        "reversed": hours_text(line["reversed_minutes"]) if line["reversed_minutes"] else "",
        "explanation": line["explanation"],
        "reason": line["adjustment_reason"] or "",
    }

"""In-kind accounting entries and open data, as JSON and as tables."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from services.credits.domain import scdl
from services.credits.domain.campaigns import Campaign
from services.credits.domain.inkind import ACCOUNT_NAMES, InKindEntry
from services.credits.domain.scdl import Giver, GrantedAid
from services.credits.schemas.sheets import build_plain_csv, build_sheet, euros_number, hours_number

# ---- Classes 86 and 87 ---------------------------------------------------------------------------------------------

_JOURNAL = "CVN"
_IN_KIND_COLUMNS = (
    "Journal", "Date", "Pièce", "Compte", "Intitulé", "Libellé", "Débit", "Crédit", "Minutes", "Heures", "Contributeur",
    "Nom du contributeur", "Valorisation",
)  # fmt: skip


class InKindEntryOut(BaseModel):
    day: date = Field(description="Of the last validation (or its reversal) within the period.")
    mission_id: UUID
    mission_title: str | None
    contributor_id: UUID
    contributor_name: str | None = Field(description="Null for a citizen.")
    account: str = Field(description="862 or 864, 871 or 875 (plan comptable associatif, ANC 2018-06).")
    account_name: str
    minutes: int
    debit_cents: int | None = Field(description="Null on the credit side, and where no valuation was given.")
    credit_cents: int | None

    @classmethod
    def of(cls, entry: InKindEntry) -> "InKindEntryOut":
        mission = entry.mission
        return cls(
            day=mission.day,
            mission_id=mission.mission_id,
            mission_title=mission.title,
            contributor_id=mission.contributor_id,
            contributor_name=mission.contributor_name,
            account=entry.account,
            account_name=ACCOUNT_NAMES[entry.account],
            minutes=entry.minutes,
            debit_cents=entry.debit_cents,
            credit_cents=entry.credit_cents,
        )


class InKindOut(BaseModel):
    campaign_id: UUID
    association_id: UUID
    since: date | None
    until: date | None
    served_minutes: int = Field(description="Net minutes served within the period.")
    unvalued_minutes: int = Field(description="Those of them without a valuation: their entries bear no amount.")
    entries: list[InKindEntryOut]


def build_in_kind_sheet(entries: Iterable[InKindEntry]) -> str:
    return build_sheet(_IN_KIND_COLUMNS, (_in_kind_row(entry) for entry in entries))


def _in_kind_row(entry: InKindEntry) -> Sequence[Any]:
    mission = entry.mission
    label = f"Mission « {mission.title or mission.mission_id} »" + (" – annulation" if mission.minutes < 0 else "")
    return (
        _JOURNAL,
        f"{mission.day:%d/%m/%Y}",
        mission.mission_id,
        entry.account,
        ACCOUNT_NAMES[entry.account],
        label,
        None if entry.debit_cents is None else euros_number(entry.debit_cents),
        None if entry.credit_cents is None else euros_number(entry.credit_cents),
        entry.minutes,
        hours_number(entry.minutes),
        mission.contributor_id,
        mission.contributor_name or "Bénévole à titre personnel",
        "donnée par le contributeur" if entry.valued else "à demander",
    )


# ---- SCDL ----------------------------------------------------------------------------------------------------------


class ScdlOut(BaseModel):
    schema_name: str = "scdl/subventions"
    schema_version: str = "2.1.1"
    columns: list[str] = Field(default_factory=lambda: list(scdl.COLUMNS))
    rows: list[dict[str, str]]
    remarks: list[str] = Field(description="Rows that the schema's own check will refuse, each with its cure (French).")

    @classmethod
    def of(cls, aids: Iterable[GrantedAid], *, giver: Giver, campaign: Campaign) -> "ScdlOut":
        rows: list[dict[str, str]] = []
        remarks: list[str] = []
        for aid in aids:
            row = scdl.build_row(aid, giver=giver, campaign=campaign)
            rows.append(row)
            remarks += scdl.list_remarks(aid, row)
        return cls(rows=rows, remarks=remarks)

    def as_csv(self) -> str:
        return build_plain_csv(self.columns, ([row[column] for column in self.columns] for row in self.rows))

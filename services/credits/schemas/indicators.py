"""Indicators as JSON, as a table, and as one small picture a series."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from services.credits.domain.campaigns import Actor, Campaign
from services.credits.domain.indicators import NO_FIELD, Figures, Indicators
from services.credits.domain.ledger_words import FIELDS_OF_ACTION
from services.credits.schemas.sheets import build_sheet, hours_number

CITIZENS = "Habitantes et habitants"
WITHOUT_FIELD = "Sans domaine"


class FiguresOut(BaseModel):
    """Whole minutes. granted + carried_in = available + in_use + served + lapsed + returned + carried_out."""

    pledged_minutes: int = Field(description="Net of withdrawals (contributors, months, total).")
    granted_minutes: int
    reserved_minutes: int = Field(description="Ever set aside for missions.")
    released_minutes: int = Field(description="Given back of them.")
    served_minutes: int
    lapsed_minutes: int
    returned_minutes: int = Field(description="Expired back to the pool.")
    carried_in_minutes: int
    carried_out_minutes: int
    in_use_minutes: int = Field(description="Set aside for running missions.")
    available_minutes: int

    @classmethod
    def of(cls, figures: Figures, **more: Any) -> Any:
        named = {f"{name}_minutes": getattr(figures, name) for name in _FIGURES}
        return cls(**named, **more)


_FIGURES = (
    "pledged", "granted", "reserved", "released", "served", "lapsed", "returned", "carried_in", "carried_out", "in_use",
    "available",
)  # fmt: skip


class AssociationFiguresOut(FiguresOut):
    association_id: UUID
    name: str | None
    days_to_first_use: float | None = Field(description="From the first grant to the first served minute.")
    days_to_half_use: float | None = Field(description="From the first grant until half of what was granted was served.")


class FieldFiguresOut(FiguresOut):
    field_of_action: str = Field(description="Empty for associations without one.")


class ContributorFiguresOut(FiguresOut):
    contributor_id: UUID | None = Field(description="Null for all citizens together.")
    name: str | None


class MonthFiguresOut(FiguresOut):
    month: str = Field(description="Local month in which it took effect, e.g. 2026-04. Its available and in_use are changes.")


class ConcentrationOut(BaseModel):
    """Gini coefficients over the associations with a grant: 0 all alike, towards 1 one has everything; null: nothing yet."""

    gini_granted: float | None
    gini_served: float | None


class IndicatorsOut(BaseModel):
    campaign_id: UUID
    total: FiguresOut
    by_association: list[AssociationFiguresOut]
    by_field: list[FieldFiguresOut] = Field(description="An association of several fields counts in each for its part.")
    by_contributor: list[ContributorFiguresOut]
    by_month: list[MonthFiguresOut]
    concentration: ConcentrationOut
    median_days_to_first_use: float | None
    median_days_to_half_use: float | None

    @classmethod
    def of(cls, found: Indicators, *, campaign: Campaign, actors: dict[UUID, Actor]) -> "IndicatorsOut":
        def name(id: UUID | None) -> str | None:
            return actors[id].name if id in actors else None

        def days(id: UUID) -> dict[str, float | None]:
            pace = found.pace.get(id)
            return {
                "days_to_first_use": pace.days_to(pace.first_used_at) if pace else None,
                "days_to_half_use": pace.days_to(pace.half_used_at) if pace else None,
            }

        return cls(
            campaign_id=campaign.id,
            total=FiguresOut.of(found.total),
            by_association=[
                AssociationFiguresOut.of(figures, association_id=id, name=name(id), **days(id))
                for id, figures in sorted(found.by_association.items(), key=lambda item: (name(item[0]) or "", item[0]))
            ],
            by_field=[FieldFiguresOut.of(figures, field_of_action=field) for field, figures in sorted(found.by_field.items())],
            by_contributor=[
                ContributorFiguresOut.of(figures, contributor_id=id, name=name(id))
                for id, figures in sorted(found.by_contributor.items(), key=lambda item: (name(item[0]) or "~", str(item[0])))
            ],
            by_month=[MonthFiguresOut.of(figures, month=f"{month:%Y-%m}") for month, figures in sorted(found.by_month.items())],
            concentration=ConcentrationOut(gini_granted=found.gini_granted, gini_served=found.gini_served),
            median_days_to_first_use=found.median_days_to_first_use,
            median_days_to_half_use=found.median_days_to_half_use,
        )

    def series(self) -> Iterator[tuple[str, str, FiguresOut]]:
        """Every row as (series, label, figures), in French."""
        yield "Total", "", self.total
        for association in self.by_association:
            yield "Association", association.name or str(association.association_id), association
        for field in self.by_field:
            name = field.field_of_action
            yield "Domaine", WITHOUT_FIELD if name == NO_FIELD else FIELDS_OF_ACTION.get(name, name), field
        for contributor in self.by_contributor:
            yield "Contributeur", contributor.name or str(contributor.contributor_id or CITIZENS), contributor
        for month in self.by_month:
            yield "Mois", month.month, month


_COLUMNS = (
    ("pledged", "Promis"), ("granted", "Accordé"), ("reserved", "Réservé depuis le début"), ("released", "Réserve rendue"),
    ("served", "Dépensé"), ("lapsed", "Caduc"), ("returned", "Retourné à l'enveloppe"), ("carried_in", "Reporté, entrant"),
    ("carried_out", "Reporté, sortant"), ("in_use", "Réservé en cours"), ("available", "Disponible"),
)  # fmt: skip


def build_indicators_sheet(found: IndicatorsOut) -> str:
    """One row a series and key, in minutes; then what is no amount of minutes."""
    header = [
        "Série", "Libellé", *(f"{label} (minutes)" for _, label in _COLUMNS), "Dépensé (heures)",
        "Jours jusqu'à la première heure", "Jours jusqu'à la moitié", "Indice de Gini des dotations",
        "Indice de Gini des dépenses",
    ]  # fmt: skip
    return build_sheet(header, (_row(found, *row) for row in found.series()))


def _row(found: IndicatorsOut, series: str, label: str, figures: FiguresOut) -> list[Any]:
    pace: list[Any] = [None, None]
    if isinstance(figures, AssociationFiguresOut):
        pace = [figures.days_to_first_use, figures.days_to_half_use]
    elif series == "Total":
        pace = [found.median_days_to_first_use, found.median_days_to_half_use]
    concentration = [found.concentration.gini_granted, found.concentration.gini_served] if series == "Total" else [None, None]
    return [
        series,
        label,
        *(getattr(figures, f"{name}_minutes") for name, _ in _COLUMNS),
        hours_number(figures.served_minutes),
        *(None if value is None else str(value).replace(".", ",") for value in (*pace, *concentration)),
    ]

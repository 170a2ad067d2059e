"""What-if: scenarios asked for, and the table that compares them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field

from services.credits.domain.what_if import Outcome, Scenario
from services.credits.schemas.fields import Body, Line
from services.credits.schemas.sheets import build_sheet, euros_number

Pool = Annotated[int, Field(ge=0, le=10_000_000_000)]


class ScenarioBody(Body):
    """What is left out stays as the campaign has it."""

    name: Line
    compensation_permille: Annotated[int, Field(ge=1, le=10_000)] | None = None
    hour_value_cents: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    step_minutes: Annotated[int, Field(ge=1, le=1440)] | None = None
    pool_minutes: Pool | None = None

    def scenario(self) -> Scenario:
        return Scenario(self.name, self.compensation_permille, self.hour_value_cents, self.step_minutes, self.pool_minutes)


class WhatIfBody(Body):
    scenarios: list[ScenarioBody] = Field(min_length=1, max_length=20)
    afresh: bool = Field(False, description="As if nothing had been granted yet: all that was promised is in the pool.")


class ScenarioOut(BaseModel):
    name: str
    compensation_permille: int
    hour_value_cents: int
    step_minutes: int
    pool_minutes: int
    due_minutes: int = Field(description="What the panel would be due.")
    computed_minutes: int = Field(description="What the pool would serve.")
    remaining_minutes: int = Field(description="What the pool would still hold.")
    is_cut: bool = Field(description="Whether the pool could not serve all.")
    gainers: int = Field(description="Associations that would get more than by the campaign's own rules.")
    losers: int

    @classmethod
    def of(cls, outcome: Outcome) -> "ScenarioOut":
        computed = outcome.computation
        return cls(
            name=outcome.name,
            compensation_permille=computed.rules.compensation_permille,
            hour_value_cents=computed.rules.hour_value_cents,
            step_minutes=computed.rules.step_minutes,
            pool_minutes=computed.pool_minutes,
            due_minutes=computed.due_minutes,
            computed_minutes=computed.computed_minutes,
            remaining_minutes=outcome.remaining_minutes,
            is_cut=computed.is_cut,
            gainers=outcome.gainers,
            losers=outcome.losers,
        )


class ShareOut(BaseModel):
    entitled_minutes: int
    computed_minutes: int
    difference_minutes: int = Field(description="Against the campaign's own rules.")


class WhatIfRow(BaseModel):
    association_id: UUID
    association_name: str | None
    subsidy_before_cents: int
    subsidy_after_cents: int
    already_granted_minutes: int
    shares: list[ShareOut] = Field(description="In the order of the scenarios.")


class WhatIfOut(BaseModel):
    scenarios: list[ScenarioOut] = Field(description="The campaign's own rules first.")
    rows: list[WhatIfRow]

    @classmethod
    def of(cls, outcomes: Sequence[Outcome], *, names: Mapping[UUID, str]) -> "WhatIfOut":
        rows = [
            WhatIfRow(
                association_id=line.seat.association_id,
                association_name=names.get(line.seat.association_id),
                subsidy_before_cents=line.seat.subsidy_before_cents,
                subsidy_after_cents=line.seat.subsidy_after_cents,
                already_granted_minutes=line.seat.already_granted_minutes,
                shares=[ShareOut.model_validate(outcome.shares[i], from_attributes=True) for outcome in outcomes],
            )
            for i, line in enumerate(outcomes[0].computation.lines)
        ]
        return cls(scenarios=[ScenarioOut.of(outcome) for outcome in outcomes], rows=rows)


def build_what_if_sheet(found: WhatIfOut) -> str:
    """The same for a spreadsheet: a row an association, two columns a scenario, totals below."""
    header = ["association_id", "association", "avant_euros", "apres_euros", "deja_accorde_minutes"]
    total: list[Any] = ["", "Total", None, None, None]
    left: list[Any] = ["", "Reste dans l'enveloppe", None, None, None]
    own = found.scenarios[0]
    for scenario in found.scenarios:
        header += [f"{scenario.name} : minutes", f"{scenario.name} : ecart_minutes"]
        total += [scenario.computed_minutes, scenario.computed_minutes - own.computed_minutes]
        left += [scenario.remaining_minutes, scenario.remaining_minutes - own.remaining_minutes]
    return build_sheet(header, [*(_cells(row) for row in found.rows), total, left])


def _cells(row: WhatIfRow) -> list[Any]:
    shares = [minutes for share in row.shares for minutes in (share.computed_minutes, share.difference_minutes)]
    subsidies = [euros_number(row.subsidy_before_cents), euros_number(row.subsidy_after_cents)]
    return [str(row.association_id), row.association_name, *subsidies, row.already_granted_minutes, *shares]

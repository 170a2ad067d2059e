"""Parties, conventions, valuations, receipts and the yearly declaration."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import Row

from services.credits.domain.campaigns import Outcome
from services.credits.domain.conventions import AskedTerms, ConventionState, Side, Version, state_of
from services.credits.domain.parties import Party
from services.credits.domain.receipts import ReceiptState, receipt_label
from services.credits.domain.valuations import CostLine
from services.credits.schemas.fields import Body, Cents, Day, Line, Minutes, Note, Reason

Text = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000, pattern=r"^[^\x00]*[^\x00\s][^\x00]*$")
]
Siren = Annotated[str, StringConstraints(pattern=r"^[0-9]{9}$")]
Rna = Annotated[str, StringConstraints(pattern=r"^W[0-9][A-Z0-9][0-9]{7}$")]
Count = Annotated[int, Field(ge=1, le=10_000)]
Year = Annotated[int, Field(ge=2016, le=2200)]


class PartyBody(Body):
    legal_form: Line = Field(description="e.g. association loi de 1901, SAS, commune.")
    address: Line = Field(description="Of the seat, as the document must bear it.")
    representative_function: Line = Field(description="Who signs by office (présidente, gérant); never a name.")
    siren: Siren | None = Field(None, description="A donor needs it for a receipt.")
    rna: Rna | None = None
    object: Line | None = Field(None, description="What a beneficiary is there for; a receipt needs it.")
    category: Line | None = Field(None, description="As article 238 bis knows it; a receipt needs it of its beneficiary.")

    def party(self, actor_id: UUID) -> Party:
        return Party(actor_id=actor_id, **self.model_dump())


class PartyOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    actor_id: UUID = Field(description="Zero for the town itself.")
    legal_form: str
    address: str
    representative_function: str
    siren: str | None
    rna: str | None
    object: str | None
    category: str | None
    version: int


class PartyWritten(PartyOut):
    outcome: Outcome


# ---- Conventions ---------------------------------------------------------------------------------------------------


class ConventionBody(Body):
    """Left out: as the mission's need says. Of a mission that another platform keeps, all is to be said here."""

    title: Line | None = None
    tasks: Text | None = Field(None, description="What is to be done, and what will have been reached; else the need's text.")
    calendar: Line | None = Field(None, description="When: days and hours, or by stages; else the parts of the week agreed on.")
    place: Line | None = Field(None, description="Else the need's commune, or at a distance.")
    starts_on: Day | None = Field(None, description="Else the mission's first day, today if that is over.")
    employees: Count = Field(1, description="Employees on loan; of no meaning for a citizen.")
    planned_value_cents: Cents | None = Field(None, description="The donor's own forecast at cost. Absent, none is guessed.")

    def terms(self) -> AskedTerms:
        return AskedTerms(**self.model_dump())


class AcceptanceBody(Body):
    side: Side = Field(description="For whom you accept; you must be one who binds that side.")


class AcceptanceOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    side: Side
    accepted_by: str = Field(description="Opaque: the member, else the organisation, else the client.")
    actor_id: UUID | None
    accepted_at: datetime


class VersionOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    version: int
    template: int = Field(description="Of the paper; it is kept as long as a version needs it.")
    digest: str = Field(description="SHA-256 of the content as JSON: keys sorted, no spaces, UTF-8.")
    content: dict[str, Any]
    drafted_by: str
    drafted_at: datetime
    acceptances: list[AcceptanceOut]
    is_concluded: bool


class VersionWritten(VersionOut):
    outcome: Outcome


class ConventionOut(BaseModel):
    mission_id: UUID
    state: ConventionState
    concluded_version: int | None = Field(description="The newest that all three accepted; it binds until a newer one does.")
    versions: list[VersionOut] = Field(description="The oldest first; none is ever changed.")

    @classmethod
    def of(cls, mission_id: UUID, versions: list[Version]) -> "ConventionOut":
        concluded = [version.version for version in versions if version.is_concluded]
        return cls(
            mission_id=mission_id,
            state=state_of(versions),
            concluded_version=concluded[-1] if concluded else None,
            versions=[VersionOut.model_validate(version) for version in versions],
        )


class MissionConventionOut(BaseModel):
    mission_id: UUID
    title: str | None
    association_id: UUID
    association_name: str | None
    contributor_id: UUID | None
    minutes: int
    ends_on: date | None
    state: ConventionState
    latest_version: int | None
    concluded_version: int | None

    @classmethod
    def of(cls, row: Row[Any]) -> "MissionConventionOut":
        return cls.model_validate({**row._mapping, "state": row.convention_state})


# ---- Valuations ----------------------------------------------------------------------------------------------------


class CostLineBody(Body):
    minutes: Minutes
    hourly_cost_cents: Annotated[int, Field(ge=0, le=10_000_000)] = Field(
        description="Pay and social contributions of an hour, in cents."
    )
    grade: Line | None = Field(None, description="Of the employees (cadre, technicienne), never a name; null: the whole mission.")
    employees: Count = Field(1, description="Of this grade, on loan.")
    months: Annotated[int, Field(ge=1, le=36)] = Field(1, description="For how many months they were; the ceiling is monthly.")

    def line(self) -> CostLine:
        return CostLine(self.minutes, self.hourly_cost_cents, self.grade, self.employees, self.months)


class ValuationBody(Body):
    from_day: Day
    to_day: Day = Field(description="Its year's ceiling holds.")
    lines: Annotated[list[CostLineBody], Field(min_length=1, max_length=50)]
    method: Note = Field("", description="How the cost was made up.")
    share_with_town: bool = Field(
        description="Whether town and auditor may see the figures. Whoever the receipt is for always does."
    )
    reason: Reason | None = Field(None, description="Needed to correct a valuation.")


class ConsentBody(Body):
    share_with_town: bool


class CostLineOut(BaseModel):
    grade: str | None
    employees: int
    months: int
    minutes: int
    hourly_cost_cents: int | None = Field(description="Shown to the donor, and where it consents to the town.")
    amount_cents: int
    retained_cents: int


class ValuationVersionOut(BaseModel):
    version: int
    from_day: date
    to_day: date
    minutes: int
    amount_cents: int | None
    retained_cents: int | None = Field(description="What the law lets count: the cost, up to the ceiling per employee.")
    lines: list[CostLineOut] | None
    method: str | None
    law_year: int
    reason: str | None
    valued_at: datetime

    @classmethod
    def of(cls, row: Row[Any], *, figures: bool, costs: bool) -> "ValuationVersionOut":
        """`figures`: the reader may see amounts; `costs`: also what an hour cost."""
        shown: dict[str, Any] = dict(row._mapping)
        if not figures:
            shown |= {"amount_cents": None, "retained_cents": None, "lines": None, "method": None}
        elif not costs:
            shown |= {"lines": [line | {"hourly_cost_cents": None} for line in row.lines], "method": None}
        return cls.model_validate(shown)


class ValuationOut(BaseModel):
    mission_id: UUID
    campaign_id: UUID
    association_id: UUID
    association_name: str | None
    contributor_id: UUID | None
    title: str | None
    served_minutes: int = Field(description="By the ledger, net of reversals.")
    exceeds_served: bool = Field(description="Minutes were undone since: the donor has to correct it before a receipt.")
    share_with_town: bool
    versions: list[ValuationVersionOut] = Field(description="The oldest first; the last one holds. In lists, the last alone.")

    @classmethod
    def of(cls, mission: Row[Any], versions: list[Row[Any]], *, figures: bool, costs: bool) -> "ValuationOut":
        return cls(
            mission_id=mission.mission_id,
            campaign_id=mission.campaign_id,
            association_id=mission.association_id,
            association_name=mission.association_name,
            contributor_id=mission.contributor_id,
            title=mission.title,
            served_minutes=int(mission.served_minutes),
            exceeds_served=versions[-1].minutes > int(mission.served_minutes),
            share_with_town=mission.share_with_town,
            versions=[ValuationVersionOut.of(row, figures=figures, costs=costs) for row in versions],
        )


class ValuationWritten(ValuationOut):
    outcome: Outcome


class PatronageLawOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    year: int
    monthly_ceiling_cents: int
    ceiling_factor: int
    rate_permille: int
    upper_rate_permille: int
    upper_rate_above_cents: int
    base_limit_cents: int
    base_limit_turnover_permille: int
    longest_loan_years: int
    source: str


class PatronageLawsOut(BaseModel):
    items: list[PatronageLawOut]


class ReductionOut(BaseModel):
    year: int
    given_cents: int = Field(description="By the receipts in force of that year.")
    limit_cents: int
    counted_cents: int
    carried_cents: int = Field(description="Beyond the limit: to the years after.")
    reduction_cents: int
    source: str
    estimate: Literal[True] = Field(True, description="A calculation for information: gifts elsewhere count, too.")


# ---- Receipts ------------------------------------------------------------------------------------------------------


def _each_once(mission_ids: list[UUID]) -> list[UUID]:
    if len(set(mission_ids)) < len(mission_ids):
        raise ValueError("must name each mission once")
    return mission_ids


Missions = Annotated[
    list[UUID],
    AfterValidator(_each_once),
    Field(min_length=1, max_length=200, json_schema_extra={"uniqueItems": True}, description="Valued missions."),
]


class ReceiptBody(Body):
    beneficiary_id: UUID
    donor_id: UUID
    mission_ids: Missions
    certified: Literal[True] = Field(
        description="The beneficiary certifies on its honour that gifts to it give right to the reduction of article 238 bis."
    )


class ReplacementBody(Body):
    mission_ids: Missions
    reason: Reason
    certified: Literal[True] = Field(description="As for a first receipt.")


class ReceiptOut(BaseModel):
    id: UUID
    label: str = Field(description="Year and number, without gaps for each beneficiary and year.")
    beneficiary_id: UUID
    beneficiary_name: str | None
    donor_id: UUID
    donor_name: str | None
    year: int
    number: int
    state: ReceiptState
    replaces: UUID | None
    reason: str | None = Field(description="Why it replaces another one.")
    replaced_by: UUID | None
    replaced_by_label: str | None
    cancellation_reason: str | None
    outdated: bool = Field(description="A mission on it was valued anew since: replace it.")
    minutes: int
    amount_cents: int | None = Field(description="Null for the town and its auditors unless the donor shares its valuations.")
    content: dict[str, Any] | None = Field(description="All that stands on it; null like the amount.")
    digest: str
    issued_by: str
    issued_at: datetime

    @classmethod
    def of(cls, row: Row[Any], *, figures: bool) -> "ReceiptOut":
        shown: dict[str, Any] = dict(row._mapping) | {"label": receipt_label(row.year, row.number), "replaced_by_label": None}
        if row.replaced_by is not None:
            shown["replaced_by_label"] = receipt_label(row.successor_year, row.successor_number)
        if not figures:
            shown |= {"amount_cents": None, "content": None}
        return cls.model_validate(shown)


class DeclarationOut(BaseModel):
    beneficiary_id: UUID
    beneficiary_name: str | None
    receipts: int = Field(description="Issued that year and in force.")
    amount_cents: int | None = Field(description="Their sum; null for the town unless every donor shares its valuations.")
    replaced: int = Field(description="Issued that year and replaced since; not among the receipts.")
    cancelled: int


class DeclarationsOut(BaseModel):
    year: int
    items: list[DeclarationOut]

"""Shapes that needs, offers and missions share."""

from collections.abc import Collection, Iterable
from datetime import date, datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from services.matching.domain.shared import Point, Skill, SkillSource
from services.matching.domain.week import WeekPart

NO_NUL = r"^[^\x00]*$"
COMMUNE_PATTERN = r"^(\d{2}|2[AB])\d{3}$"
MOST_MINUTES = 120_000  # 2,000 hours: more than a year's full-time work


def _check_day(day: date) -> date:
    if not 1900 <= day.year <= 2200:
        raise ValueError("must lie between 1900 and 2200")
    return day


Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=NO_NUL)]
Description = Annotated[str, StringConstraints(strip_whitespace=True, max_length=5000, pattern=NO_NUL)]
Sentence = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000, pattern=NO_NUL)]
Label = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80, pattern=NO_NUL)]
CommuneCode = Annotated[str, StringConstraints(pattern=COMMUNE_PATTERN), Field(description="INSEE code, e.g. 92071.")]
Day = Annotated[date, AfterValidator(_check_day), Field(examples=["2026-10-05"])]
Minutes = Annotated[int, Field(ge=1, le=MOST_MINUTES)]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$"), Field(description="ISO 639-1, e.g. fr.")]
Languages = Annotated[list[Language], Field(min_length=1, max_length=10)]
Week = Annotated[list[WeekPart], Field(max_length=len(WeekPart), description="Parts of the week; none: any time.")]
CODE_PATTERN = r"^(([0-9]{2}|2[AB])[0-9]{3}:)?[a-z0-9]+(-[a-z0-9]+)*$"
SkillCode = Annotated[
    str,
    StringConstraints(max_length=80, pattern=CODE_PATTERN),
    Field(description="Of the skills referential, or a territory's own, e.g. `compostage` or `92071:apiculture`."),
]
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300, pattern=NO_NUL)]


class Body(BaseModel):
    """What comes in: a field that we do not know is refused by its name, rather than lost."""

    model_config = ConfigDict(extra="forbid")


class PointBody(Body):
    """Degrees, WGS 84; kept to a thousandth of a degree (some hundred metres), for a seat is often a home."""

    latitude: float = Field(ge=-90, le=90, examples=[48.778])
    longitude: float = Field(ge=-180, le=180, examples=[2.29])

    def point(self) -> Point:
        return Point(round(self.latitude, 3), round(self.longitude, 3))


class SkillBody(Body):
    """A skill that the writer confirms: in own words, by its code, or both."""

    label: Label | None = Field(None, examples=["comptabilité"], description="Own words; the skill's name unless given.")
    code: SkillCode | None = Field(None, description="Of GET /skills, or as suggested; found by the label unless given.")
    level: int = Field(1, ge=1, le=3, description="1 knows, 2 practises, 3 masters; for a need: at least.")
    source: SkillSource | None = Field(
        None,
        description="`suggested` when a suggestion is confirmed. Unless given, a skill that stood here before keeps who confirmed"
        " it; a new one is `typed`, or `imported` where it comes under a ref.",
    )
    evidence: list[Words] = Field(
        default_factory=list, max_length=20, description="Words of the title or description that led to it, as suggested."
    )

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if self.label is None and self.code is None:
            raise ValueError("give a label, a code, or both")
        return self


Skills = Annotated[list[SkillBody], Field(min_length=1, max_length=20)]


def read_skills(bodies: Iterable[SkillBody]) -> tuple[Skill, ...]:
    """As written; a label that is not given is still empty, a code that is not given still None."""
    return tuple(
        Skill(body.label or "", body.level, body.code, source=body.source, evidence=tuple(body.evidence)) for body in bodies
    )


def read_fact(value: object) -> object:
    """A field of a body as the domain holds it: lists become tuples, each value once."""
    if isinstance(value, PointBody):
        return value.point()
    if isinstance(value, list):
        bodies = [item for item in value if isinstance(item, SkillBody)]
        return read_skills(bodies) if bodies else tuple(dict.fromkeys(value))
    return value


def read_facts(body: BaseModel, *, without: Collection[str]) -> dict[str, Any]:
    """All facts of a new need or offer."""
    return {name: read_fact(getattr(body, name)) for name in type(body).model_fields if name not in without}


def read_changes(body: BaseModel, *, may_be_null: Collection[str]) -> dict[str, object]:
    """The facts that an edit names. Null means untouched, except where null is a value."""
    named = {name: getattr(body, name) for name in body.model_fields_set}
    return {name: read_fact(value) for name, value in named.items() if value is not None or name in may_be_null}


class ReasonBody(Body):
    reason: Sentence = Field(description="Why; the other sides read it.")


class OptionalReasonBody(Body):
    reason: Sentence | None = Field(None, description="Why; asked for after a dispute.")


class HistoryOut(BaseModel):
    before: str | None
    after: str
    deed: str
    happened_at: datetime
    who: str = Field(description="Member, actor or client who did it; `system` for the platform itself.")
    side: str | None = None
    reason: str | None
    criterion: str | None = Field(None, description="What spoke most for a yes or a no to a mission, if it was said.")


class SkillOut(BaseModel):
    label: str
    level: int
    code: str | None = Field(description="Of the skills referential, or the territory's own; none: free text.")
    source: SkillSource | None = Field(description="How it was confirmed; none: written before that was kept.")
    evidence: list[str] = Field(description="Words of the text that led to it.")
    confirmed_by: str | None = Field(description="Member, actor or client; shown to those who see the history.")
    confirmed_at: datetime | None


class PointOut(BaseModel):
    latitude: float
    longitude: float


def history_values(rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Rows of history as `HistoryOut` takes them."""
    return [{name: getattr(row, name, None) for name in HistoryOut.model_fields} for row in rows]

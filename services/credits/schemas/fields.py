"""Bounded fields that the bodies share."""

from datetime import UTC, date, datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

# Something that can be seen, and no NUL (PostgreSQL keeps none).
_VISIBLE = r"^[^\x00]*[^\x00\s][^\x00]*$"
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=_VISIBLE)]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=500, pattern=_VISIBLE)]
Note = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000, pattern=r"^[^\x00]*$")]
Ref = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,79}$")]
Day = Annotated[date, Field(ge=date(1900, 1, 1), le=date(2200, 12, 31))]
# Of a grant or of carried credit; the use case knows the bounds.
LastDay = Annotated[
    Day | None,
    Field(description="Last day on which they can be spent, from today on; at the latest, and by default, the campaign's."),
]
# With its zone: an instant without one is a different moment for each reader.
Instant = Annotated[AwareDatetime, Field(ge=datetime(1900, 1, 1, tzinfo=UTC), le=datetime(2200, 12, 31, tzinfo=UTC))]
# Bounds far above any town's, and far below what PostgreSQL's bigint holds once they are multiplied and added up.
Minutes = Annotated[int, Field(ge=1, le=100_000_000)]
Cents = Annotated[int, Field(ge=0, le=100_000_000_000)]


class Body(BaseModel):
    """A request body: a field that we do not know is a typing error, and is said to be one."""

    model_config = ConfigDict(extra="forbid")


class ReasonBody(Body):
    reason: Reason

"""Valuations: what a donor says its minutes cost it. Nothing here is ever estimated: without a valuation there is no figure."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from services.credits.domain.document_errors import MoreThanServed
from services.credits.domain.errors import BadInput
from services.credits.domain.patronage import PatronageLaw
from services.credits.domain.wording import hours_text


@dataclass(frozen=True)
class CostLine:
    """Minutes of one grade at its hourly cost (pay and social contributions, as the law wants it). One line without a
    grade values the mission as a whole. `months`: for how many months these employees were on loan."""

    minutes: int
    hourly_cost_cents: int
    grade: str | None = None
    employees: int = 1
    months: int = 1

    @property
    def amount_cents(self) -> int:
        """Rounded half up, line by line, so that the paper adds up."""
        return (self.minutes * self.hourly_cost_cents + 30) // 60

    def retained_cents(self, law: PatronageLaw) -> int:
        """What the law lets count: the cost, up to the ceiling of the employees on loan."""
        return min(self.amount_cents, law.employee_ceiling_cents(employees=self.employees, months=self.months))


@dataclass(frozen=True)
class Valuation:
    """A donor's valuation of one mission, at cost."""

    from_day: date
    to_day: date
    lines: tuple[CostLine, ...]
    method: str
    law_year: int

    @property
    def minutes(self) -> int:
        return sum(line.minutes for line in self.lines)

    @property
    def amount_cents(self) -> int:
        return sum(line.amount_cents for line in self.lines)

    @property
    def employees(self) -> int:
        return sum(line.employees for line in self.lines)

    def retained_cents(self, law: PatronageLaw) -> int:
        return sum(line.retained_cents(law) for line in self.lines)

    def lines_content(self, law: PatronageLaw) -> list[dict[str, Any]]:
        """The lines with what they amount to, as they are kept."""
        return [
            {**asdict(line), "amount_cents": line.amount_cents, "retained_cents": line.retained_cents(law)} for line in self.lines
        ]


def make_valuation(*, from_day: date, to_day: date, lines: Sequence[CostLine], method: str, today: date) -> Valuation:
    """Refuses a period that is no period, and months of loan that the period does not have."""
    if to_day < from_day:
        raise BadInput.at("/to_day", f"must not lie before from_day ({from_day.isoformat()})")
    if to_day > today:
        raise BadInput.at("/to_day", "must not lie ahead: what is not served yet is not valued")
    touched = (to_day.year - from_day.year) * 12 + to_day.month - from_day.month + 1
    for index, line in enumerate(lines):
        if line.months > touched:
            raise BadInput.at(f"/lines/{index}/months", f"the period has {touched} months")
    return Valuation(from_day, to_day, tuple(lines), method, to_day.year)


def require_served(valued_minutes: int, *, served_minutes: int) -> None:
    """The ledger has the last word on how much was served, net of what was undone."""
    if valued_minutes > served_minutes:
        excess = valued_minutes - served_minutes
        raise MoreThanServed(
            f"{hours_text(valued_minutes)} would be valued and {hours_text(served_minutes)} were served, net of reversals; "
            f"value {excess} minutes fewer.",
            valued_minutes=valued_minutes,
            served_minutes=served_minutes,
        )

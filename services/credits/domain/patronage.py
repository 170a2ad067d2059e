"""The law of gifts by companies (mécénat, CGI art. 238 bis): its figures are data of a year, in `law/patronage.json`.

Each year's entry names its source. A year without an entry is refused, never taken from its neighbour.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from services.credits.domain.document_errors import LawUnknown

_FILE = Path(__file__).parent.parent / "law" / "patronage.json"


@dataclass(frozen=True)
class PatronageLaw:
    """`monthly_ceiling_cents`: of social security; `ceiling_factor` times it is the most that one loaned employee counts for
    in a month. `base_limit_*`: gifts count up to the greater of the two. Above `upper_rate_above_cents` the upper rate holds.
    """

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

    def employee_ceiling_cents(self, *, employees: int, months: int) -> int:
        """The most that loaned employees count for, each for that many months."""
        return self.ceiling_factor * self.monthly_ceiling_cents * employees * months


@dataclass(frozen=True)
class Reduction:
    """What a year's gifts may take off a donor's tax; a calculation for information, never a promise."""

    given_cents: int
    limit_cents: int
    counted_cents: int
    carried_cents: int
    reduction_cents: int


def compute_reduction(law: PatronageLaw, *, given_cents: int, turnover_cents: int) -> Reduction:
    """Rounded down to the cent at each rate; what exceeds the limit is carried to the following years."""
    limit = max(law.base_limit_cents, turnover_cents * law.base_limit_turnover_permille // 1000)
    counted = min(given_cents, limit)
    lower = min(counted, law.upper_rate_above_cents)
    reduction = (lower * law.rate_permille + (counted - lower) * law.upper_rate_permille) // 1000
    return Reduction(given_cents, limit, counted, given_cents - counted, reduction)


@cache
def _laws() -> dict[int, PatronageLaw]:
    return {entry["year"]: PatronageLaw(**entry) for entry in json.loads(_FILE.read_text(encoding="utf-8"))}


def list_laws() -> list[PatronageLaw]:
    return sorted(_laws().values(), key=lambda law: law.year)


def get_law(year: int) -> PatronageLaw:
    """Raises LawUnknown for a year whose figures nobody has entered yet."""
    law = _laws().get(year)
    if law is None:
        known = ", ".join(str(known) for known in sorted(_laws()))
        raise LawUnknown(
            f"The figures of {year} are not entered yet (known: {known}); they are added with their source each year."
        )
    return law

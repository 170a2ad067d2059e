"""What other weights would change."""

from dataclasses import dataclass
from uuid import UUID

from services.matching.domain.needs import Need
from services.matching.engine.fit import Fit


@dataclass(frozen=True)
class Change:
    """A need whose best offer would be another. `mission_id`: the past mission it was served by, if it was."""

    need: Need
    mission_id: UUID | None
    before: Fit | None
    after: Fit | None


@dataclass(frozen=True)
class Preview:
    compared: int
    changes: tuple[Change, ...]

"""What a fit depends on beside need and offer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from services.matching.domain.needs import Unmet
from services.matching.domain.shared import Commune
from services.matching.engine.referential import NO_REFERENTIAL, Referential
from services.matching.engine.weights import DEFAULT_WEIGHTS, Weights


@dataclass(frozen=True)
class Surroundings:
    """The day, the places, the referential and the weights; and what has been between people before.

    `turned_down`: pairs (need, offer) whose mission was declined or cancelled. `panels`: of each campaign whose panel is known,
    the associations on it; a campaign that is not here shuts nobody out. `worked_together`: closed missions that were never
    disputed, by (volunteer, association). `unmet`: by (campaign, association). `weights_version`: none for
    weights on trial.
    """

    today: date
    communes: Mapping[str, Commune]
    turned_down: frozenset[tuple[UUID, UUID]] = frozenset()
    panels: Mapping[UUID, frozenset[UUID]] = field(default_factory=dict)
    worked_together: Mapping[tuple[UUID, UUID], int] = field(default_factory=dict)
    unmet: Mapping[tuple[UUID, UUID], Unmet] = field(default_factory=dict)
    referential: Referential = NO_REFERENTIAL
    weights: Weights = DEFAULT_WEIGHTS
    weights_version: int | None = 0

"""What explanations and reports come to, before it is put into words or tables."""

from dataclasses import dataclass

from services.matching.domain.missions import Mission
from services.matching.domain.needs import Need
from services.matching.domain.offers import Offer
from services.matching.domain.states import Deed
from services.matching.domain.weights import WeightsVersion
from services.matching.engine.explaining.search import Cure, Cures
from services.matching.engine.fit import Fit


@dataclass(frozen=True)
class Search:
    """`complete`: every open offer was looked at, not only those whose skills are nearest. `limits`: what stands in the way
    beside the gates, French sentences."""

    need: Need
    cures: Cures
    complete: bool
    referential: str
    limits: tuple[str, ...]


@dataclass(frozen=True)
class WhyNot:
    """One pair. `fit` is none where the offer is not open (any more). `taken`: the missions that the offer's minutes went to;
    `preferred`: the mission that the need has, unless it is this offer's own. `full`: whose these are may be told."""

    need: Need
    offer: Offer
    fit: Fit | None
    cure: Cure | None
    taken: tuple[Mission, ...]
    preferred: Mission | None
    is_served: bool
    full: bool
    limits: tuple[str, ...]


@dataclass(frozen=True)
class Answers:
    """What people answered to the proposals of one version of the weights. `criteria`: by deed, criterion (empty: not said)
    and side, how many."""

    version: WeightsVersion | None
    proposed: int
    agreed: int
    declined: int
    criteria: dict[Deed, dict[str, dict[str, int]]]

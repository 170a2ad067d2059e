"""What the grants would be under other rules or another pool. Nothing here is kept: it is arithmetic before a decision."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from services.credits.domain.campaigns import Rules
from services.credits.domain.grants import GrantComputation, PanelSeat, compute_grants


@dataclass(frozen=True)
class Scenario:
    """What is imagined otherwise; None leaves the campaign's own."""

    name: str
    compensation_permille: int | None = None
    hour_value_cents: int | None = None
    step_minutes: int | None = None
    pool_minutes: int | None = None


@dataclass(frozen=True)
class Share:
    """One association in one scenario. `difference_minutes`: against the campaign's own rules."""

    association_id: UUID
    entitled_minutes: int
    computed_minutes: int
    difference_minutes: int


@dataclass(frozen=True)
class Outcome:
    """A scenario computed for the whole panel. The first of a comparison is the campaign's own."""

    name: str
    computation: GrantComputation
    shares: tuple[Share, ...]

    @property
    def remaining_minutes(self) -> int:
        """What the pool would still hold."""
        return self.computation.pool_minutes - self.computation.computed_minutes

    @property
    def gainers(self) -> int:
        return sum(share.difference_minutes > 0 for share in self.shares)

    @property
    def losers(self) -> int:
        return sum(share.difference_minutes < 0 for share in self.shares)


def compare_scenarios(
    seats: Sequence[PanelSeat], *, rules: Rules, pool_minutes: int, scenarios: Sequence[Scenario], own_name: str
) -> list[Outcome]:
    """The campaign's own rules first, then each scenario, with what each association gains or loses by it."""
    own = compute_grants(seats, rules=rules, pool_minutes=pool_minutes)
    outcomes = [_outcome(own_name, own, own=own)]
    for scenario in scenarios:
        imagined = replace(
            rules,
            compensation_permille=_either(scenario.compensation_permille, rules.compensation_permille),
            hour_value_cents=_either(scenario.hour_value_cents, rules.hour_value_cents),
            step_minutes=_either(scenario.step_minutes, rules.step_minutes),
        )
        computed = compute_grants(seats, rules=imagined, pool_minutes=_either(scenario.pool_minutes, pool_minutes))
        outcomes.append(_outcome(scenario.name, computed, own=own))
    return outcomes


def _either(imagined: int | None, own: int) -> int:
    return own if imagined is None else imagined


def _outcome(name: str, computed: GrantComputation, *, own: GrantComputation) -> Outcome:
    shares = tuple(
        Share(
            line.seat.association_id,
            line.entitled_minutes,
            line.computed_minutes,
            line.computed_minutes - before.computed_minutes,
        )
        for line, before in zip(computed.lines, own.lines, strict=True)
    )
    return Outcome(name, computed, shares)

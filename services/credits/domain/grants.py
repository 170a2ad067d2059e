"""The grant of each association, computed from its subsidy cut (DOMAIN.md, life of a campaign, step 3).

Every figure is an integer or a Fraction, so that the sum of the grants is exact and anybody can compute it again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from uuid import UUID

from services.credits.domain.campaigns import Rules
from services.credits.domain.digests import digest_json
from services.credits.domain.errors import BadInput
from services.credits.domain.wording import decimal_text, euros_text, number_text


@dataclass(frozen=True)
class PanelSeat:
    """An association on the panel: its subsidy before and after the cut, and what it was granted so far."""

    association_id: UUID
    subsidy_before_cents: int
    subsidy_after_cents: int
    already_granted_minutes: int = 0


@dataclass(frozen=True)
class GrantLine:
    """One computed figure with its inputs and every step between.

    `exact_minutes` is the formula before rounding; `entitled_minutes` the same, rounded down to the step;
    `due_minutes` what of it was not granted before; `share_steps` the exact share of the pool, in steps;
    `extra_step` tells whether the largest-remainder rule added a step to the share rounded down.
    """

    seat: PanelSeat
    exact_minutes: Fraction
    entitled_minutes: int
    due_minutes: int
    share_steps: Fraction
    extra_step: bool
    computed_minutes: int


@dataclass(frozen=True)
class GrantComputation:
    rules: Rules
    pool_minutes: int
    lines: tuple[GrantLine, ...]

    @property
    def due_minutes(self) -> int:
        return sum(line.due_minutes for line in self.lines)

    @property
    def computed_minutes(self) -> int:
        return sum(line.computed_minutes for line in self.lines)

    @property
    def is_cut(self) -> bool:
        """Whether the pool could not serve all."""
        return self.computed_minutes < self.due_minutes


@dataclass(frozen=True)
class Adjustment:
    association_id: UUID
    minutes: int
    reason: str


@dataclass(frozen=True)
class GrantDecision:
    """What the officer signs for one association."""

    association_id: UUID
    computed_minutes: int
    minutes: int
    adjustment_reason: str | None


def exact_entitlement_minutes(seat: PanelSeat, rules: Rules) -> Fraction:
    """(before − after) × compensation ratio ÷ reference value of an hour × 60; a rise compensates nothing."""
    cut_cents = max(0, seat.subsidy_before_cents - seat.subsidy_after_cents)
    return Fraction(cut_cents * rules.compensation_permille * 60, 1000 * rules.hour_value_cents)


def compute_grants(seats: Sequence[PanelSeat], *, rules: Rules, pool_minutes: int) -> GrantComputation:
    """The grants that the pool can serve, in whole steps; the order of the seats changes nothing."""
    ordered = sorted(seats, key=lambda seat: seat.association_id)
    exact = [exact_entitlement_minutes(seat, rules) for seat in ordered]
    entitled = [int(minutes // rules.step_minutes) for minutes in exact]
    due = [
        max(0, steps * rules.step_minutes - seat.already_granted_minutes) // rules.step_minutes
        for seat, steps in zip(ordered, entitled, strict=True)
    ]
    shares = _shares(due, available=max(0, pool_minutes) // rules.step_minutes)
    granted = _round_by_largest_remainder(shares, due)
    lines = tuple(
        GrantLine(
            seat=seat,
            exact_minutes=exact[i],
            entitled_minutes=entitled[i] * rules.step_minutes,
            due_minutes=due[i] * rules.step_minutes,
            share_steps=shares[i],
            extra_step=granted[i] > int(shares[i]),
            computed_minutes=granted[i] * rules.step_minutes,
        )
        for i, seat in enumerate(ordered)
    )
    return GrantComputation(rules, pool_minutes, lines)


def _shares(due: Sequence[int], *, available: int) -> list[Fraction]:
    """All that is due if there is enough; else the same proportion of each."""
    wanted = sum(due)
    if wanted <= available:
        return [Fraction(steps) for steps in due]
    return [Fraction(steps * available, wanted) for steps in due]


def _round_by_largest_remainder(shares: Sequence[Fraction], due: Sequence[int]) -> list[int]:
    """Whole steps with the shares' own sum: round down, then one more to the largest remainders.

    Equal remainders: the larger due first, then the older association (ids are time-ordered).
    """
    rounded = [int(share) for share in shares]
    left = int(sum(shares, Fraction(0))) - sum(rounded)
    by_remainder = sorted(range(len(shares)), key=lambda i: (rounded[i] - shares[i], -due[i], i))
    for i in by_remainder[:left]:
        rounded[i] += 1
    return rounded


def decide_grants(computed: Mapping[UUID, int], adjustments: Sequence[Adjustment], *, step_minutes: int) -> list[GrantDecision]:
    """What each association gets once the officer's adjustments are applied."""
    adjusted: dict[UUID, Adjustment] = {}
    for i, adjustment in enumerate(adjustments):
        if adjustment.association_id not in computed:
            raise BadInput.at(
                f"/adjustments/{i}/association_id", "is not in the proposal; put it on the panel, then compute anew"
            )
        if adjustment.association_id in adjusted:
            raise BadInput.at(f"/adjustments/{i}/association_id", "is adjusted twice; keep one of the two")
        if adjustment.minutes % step_minutes:
            raise BadInput.at(f"/adjustments/{i}/minutes", f"must be a multiple of the campaign's step, {step_minutes} minutes")
        adjusted[adjustment.association_id] = adjustment
    return [_decide_grant(association_id, minutes, adjusted.get(association_id)) for association_id, minutes in computed.items()]


def _decide_grant(association_id: UUID, computed_minutes: int, adjustment: Adjustment | None) -> GrantDecision:
    if adjustment is None or adjustment.minutes == computed_minutes:
        return GrantDecision(association_id, computed_minutes, computed_minutes, None)
    return GrantDecision(association_id, computed_minutes, adjustment.minutes, adjustment.reason)


def digest_computation(computed: GrantComputation, *, campaign_id: UUID, proposal_id: UUID) -> str:
    """What a signature stands under: every rule, input and figure of a computation (README, "Digests")."""
    lines = [
        {
            "association_id": str(line.seat.association_id),
            "subsidy_before_cents": line.seat.subsidy_before_cents,
            "subsidy_after_cents": line.seat.subsidy_after_cents,
            "already_granted_minutes": line.seat.already_granted_minutes,
            "exact_minutes": str(line.exact_minutes),
            "entitled_minutes": line.entitled_minutes,
            "due_minutes": line.due_minutes,
            "share_steps": str(line.share_steps),
            "extra_step": line.extra_step,
            "computed_minutes": line.computed_minutes,
        }
        for line in sorted(computed.lines, key=lambda line: line.seat.association_id)
    ]
    return digest_json(
        {
            "campaign_id": str(campaign_id),
            "proposal_id": str(proposal_id),
            "step_minutes": computed.rules.step_minutes,
            "compensation_permille": computed.rules.compensation_permille,
            "hour_value_cents": computed.rules.hour_value_cents,
            "pool_minutes": computed.pool_minutes,
            "lines": lines,
        }
    )


def explain_grant(line: GrantLine, *, rules: Rules, is_cut: bool) -> str:
    """The computation in one French sentence, for the association and for whoever asks (CRPA art. L.311-3-1)."""
    seat = line.seat
    text = (
        f"({euros_text(seat.subsidy_before_cents)} − {euros_text(seat.subsidy_after_cents)})"
        f" × {decimal_text(Fraction(rules.compensation_permille, 1000))}"
        f" ÷ {euros_text(rules.hour_value_cents)} × 60 = {decimal_text(line.exact_minutes)} min"
    )
    if seat.subsidy_after_cents > seat.subsidy_before_cents:
        return f"{text} : la subvention n'a pas baissé, rien n'est à compenser."
    text += f", arrondi au pas de {rules.step_minutes} min : {number_text(line.entitled_minutes)} min"
    if seat.already_granted_minutes:
        text += f" ; déjà accordé : {number_text(seat.already_granted_minutes)} min, reste {number_text(line.due_minutes)} min"
    if is_cut:
        extra = ", un pas ajouté au plus fort reste" if line.extra_step else ""
        text += f" ; enveloppe insuffisante, réduction proportionnelle : {number_text(line.computed_minutes)} min{extra}"
    return text + "."

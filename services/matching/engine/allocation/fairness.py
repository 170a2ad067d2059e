"""The price of fairness, slider by slider: what an officer looks at before setting it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from services.matching.engine.allocation.leximin import is_reachable, solve_leximin
from services.matching.engine.allocation.model import Ints, RoundInput, RoundParameters
from services.matching.engine.allocation.pins import take_pins
from services.matching.engine.allocation.problem import Problem, build_problem
from services.matching.engine.allocation.rounds import Allocation, choose_method, measure_price, solve_at
from services.matching.engine.allocation.use import measure_use

SLIDERS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


@dataclass(frozen=True)
class FairnessRow:
    """`price_*`: the share lost against slider 0. Fills are of reachable associations; `low_fill`: the tenth percentile."""

    fairness: float
    score: int
    served_minutes: int
    price_score: float
    price_minutes: float
    worst_fill: float
    low_fill: float
    mean_fill: float
    gap: float


def fairness_table(
    data: RoundInput,
    parameters: RoundParameters | None = None,
    *,
    sliders: Sequence[float] = SLIDERS,
    on_progress: Callable[[str, int, int], None] = lambda *_: None,
) -> tuple[FairnessRow, ...]:
    """One row for each slider, of the same round. Raises as `allocate`."""
    parameters = parameters or RoundParameters()
    problem = take_pins(build_problem(data, parameters), data)
    plain: Allocation | None = None
    rows = []
    for number, slider in enumerate(sliders):
        on_progress("fairness", number, len(sliders))
        found = _solve_slider(problem, replace(parameters, fairness=slider))
        if plain is None:
            plain = found if slider == 0 else _solve_slider(problem, replace(parameters, fairness=0.0))
        rows.append(_tell(problem, slider, found, measure_price(problem, plain.minutes, found.minutes)))
    return tuple(rows)


def share_pool(pool_minutes: int, credits: Ints) -> Ints:
    """Targets for a pool that cannot serve all credits: the same share of each, remainders to the largest fractions.

    Equal fractions: the earlier row. Where the pool serves all, the credits themselves.
    """
    total = int(credits.sum())
    if pool_minutes >= total:
        return credits.astype(np.int64)
    exact = [int(credit) * pool_minutes for credit in credits]
    shares = np.array([value // total for value in exact], dtype=np.int64)
    by_remainder = sorted(range(len(exact)), key=lambda row: -(exact[row] % total))
    shares[by_remainder[: pool_minutes - int(shares.sum())]] += 1
    return shares


def measure_fills(problem: Problem, minutes: Ints) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Served over target of the reachable associations that have a target."""
    served = measure_use(problem, minutes).association + problem.credit_spent
    measured = (problem.target > 0) & is_reachable(problem)
    return np.asarray(served[measured] / problem.target[measured], dtype=np.float64)


def _solve_slider(problem: Problem, parameters: RoundParameters) -> Allocation:
    exact = parameters.fairness_permille == 1_000 and len(problem.pair_need) <= parameters.leximin_pairs_limit
    return solve_at(problem, parameters, choose_method(problem, parameters), solve_leximin(problem) if exact else None)


def _tell(problem: Problem, slider: float, found: Allocation, price: tuple[float, float]) -> FairnessRow:
    fills = measure_fills(problem, found.minutes)
    return FairnessRow(
        fairness=slider,
        score=int((found.minutes * problem.pair_points).sum()),
        served_minutes=int(found.minutes.sum()),
        price_score=price[0],
        price_minutes=price[1],
        worst_fill=float(fills.min(initial=1.0)) if len(fills) else 0.0,
        low_fill=float(np.percentile(fills, 10)) if len(fills) else 0.0,
        mean_fill=float(fills.mean()) if len(fills) else 0.0,
        gap=found.gap,
    )

"""An allocation round from its tables to its result: the one door of this package.

    result = allocate(build_round_input(...), RoundParameters(fairness=0.5))

Pure and silent: progress goes to a callback, and `should_stop` is asked between phases. A solver at work is not
interrupted; to stop at once, run `run_round` in a child process and end it: nothing has been written anywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from time import perf_counter

from services.matching.engine.allocation import flow as flows
from services.matching.engine.allocation import slots
from services.matching.engine.allocation.accounts import list_proposals, list_shares, list_unserved
from services.matching.engine.allocation.canonical import digest_inputs, digest_proposals
from services.matching.engine.allocation.checks import check_parameters
from services.matching.engine.allocation.faults import BadRoundInput, RoundStopped
from services.matching.engine.allocation.leximin import Leximin, find_best_worst_fill, solve_leximin
from services.matching.engine.allocation.model import (
    AssociationShare,
    Ints,
    Method,
    RoundFigures,
    RoundInput,
    RoundParameters,
    RoundResult,
)
from services.matching.engine.allocation.pins import take_pins
from services.matching.engine.allocation.problem import Problem, build_problem
from services.matching.engine.allocation.repair import fit_parts, make_whole
from services.matching.engine.allocation.tiers import Tiers, build_fair_tiers, build_plain_tiers, cap_tiers, measure_rewards
from services.matching.engine.allocation.use import measure_use

OnProgress = Callable[[str, int, int], None]
"""Called with a phase's name, how much of it is done, and of how much (0: unknown)."""

PHASES = ("check", "leximin", "solve", "repair", "price", "account")
SOLVERS = {
    Method.FLOW: flows.SOLVER,
    Method.SLOTS: f"{slots.SOLVER}; {flows.SOLVER}",
    Method.REPAIR: f"{flows.SOLVER}; repair 1",
}


@dataclass(frozen=True)
class Allocation:
    """Minutes by pair of a problem. `objective` and `bound` in value x minutes, rewards included."""

    minutes: Ints
    objective: int
    bound: int
    replayable: bool
    notes: tuple[str, ...] = ()

    @property
    def gap(self) -> float:
        return (self.bound - self.objective) / max(1, self.bound)


@dataclass
class Course:
    """Progress, seconds and the wish to stop of one round."""

    on_progress: OnProgress
    should_stop: Callable[[], bool]
    seconds: dict[str, float] = field(default_factory=dict)
    _phase: str = ""
    _since: float = 0.0

    def enter(self, phase: str) -> None:
        """Raises RoundStopped where the caller wants no more."""
        self.leave()
        if self.should_stop():
            raise RoundStopped(f"stopped before the phase {phase!r}; nothing was decided")
        self._phase, self._since = phase, perf_counter()
        self.tell(0)

    def tell(self, done: int, total: int = 0) -> None:
        self.on_progress(self._phase, done, total)

    def leave(self) -> None:
        if self._phase:
            self.seconds[self._phase] = self.seconds.get(self._phase, 0.0) + perf_counter() - self._since
        self._phase = ""


def allocate(
    data: RoundInput,
    parameters: RoundParameters | None = None,
    *,
    on_progress: OnProgress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> RoundResult:
    """The round's proposals: exact where needs can be cut, else within the gap that `figures.gap` states.

    Raises BadRoundInput, InfeasiblePins, RoundStopped, SolverFailed.
    """
    parameters = parameters or RoundParameters()
    course = Course(on_progress or (lambda *_: None), should_stop or (lambda: False))
    course.enter("check")
    check_parameters(parameters)
    problem = take_pins(build_problem(data, parameters), data)
    method = choose_method(problem, parameters)
    digest = digest_inputs(data, parameters, solver=SOLVERS[method])
    leximin, best_worst_fill = _find_leximin(problem, parameters, course)
    found = _solve(problem, parameters, method, leximin, course)
    price = _find_price(problem, parameters, method, found, course)
    course.enter("account")
    proposals = list_proposals(problem, data, found.minutes)
    shares = list_shares(problem, data, measure_use(problem, found.minutes))
    figures = _measure(problem, found, shares)
    if price is not None:
        figures = replace(figures, price_score=price[0], price_minutes=price[1])
    figures = replace(figures, best_worst_fill=best_worst_fill)
    result = RoundResult(
        proposals=proposals,
        unserved=list_unserved(problem, data, found.minutes),
        shares=shares,
        figures=figures,
        parameters=parameters,
        method=method,
        solver=SOLVERS[method],
        inputs_digest=digest,
        proposals_digest=digest_proposals(proposals),
        replayable=found.replayable,
        notes=found.notes,
        seconds=course.seconds,
    )
    course.leave()
    return result


def run_round(data: RoundInput, parameters: RoundParameters, progress: Connection | None = None) -> RoundResult:
    """`allocate` for a child process: progress is sent as (phase, done, total) tuples."""

    def send(phase: str, done: int, total: int) -> None:
        if progress is not None:
            progress.send((phase, done, total))

    return allocate(data, parameters, on_progress=send)


def choose_method(problem: Problem, parameters: RoundParameters) -> Method:
    """Raises BadRoundInput where the flow alone is asked for and would cut needs that must not be cut."""
    if parameters.method is Method.FLOW and not problem.is_divisible:
        raise BadRoundInput("method is flow, but some needs take no part; use auto, slots or repair, or set their slice to 1")
    if parameters.method is not Method.AUTO:
        return parameters.method
    if problem.is_divisible:
        return Method.FLOW
    return Method.SLOTS if problem.need_count <= parameters.slots_limit else Method.REPAIR


def solve_at(problem: Problem, parameters: RoundParameters, method: Method, leximin: Leximin | None) -> Allocation:
    """One allocation at the parameters' slider, without accounts."""
    return _solve(problem, parameters, method, leximin, Course(lambda *_: None, lambda: False))


def _find_leximin(problem: Problem, parameters: RoundParameters, course: Course) -> tuple[Leximin | None, float | None]:
    """At slider 1: the leximin, and the best fill that the worst-served can have; above the limit the latter alone."""
    if parameters.fairness_permille < 1_000:
        return None, None
    course.enter("leximin")
    if len(problem.pair_need) > parameters.leximin_pairs_limit:
        return None, find_best_worst_fill(problem, on_round=course.tell)
    leximin = solve_leximin(problem, on_round=course.tell)
    return leximin, leximin.worst_fill


def _solve(problem: Problem, parameters: RoundParameters, method: Method, leximin: Leximin | None, course: Course) -> Allocation:
    values = problem.pair_points + parameters.served_points
    if method is Method.FLOW and leximin is not None:
        tiers = cap_tiers(problem, floor=leximin.floor, ceiling=leximin.ceiling)
    elif parameters.fairness_permille == 0:
        tiers = build_plain_tiers(problem)
    else:
        highest = int(values.max(initial=1))
        permille = parameters.fairness_permille
        tiers = build_fair_tiers(problem, permille=permille, slices=parameters.slices, highest_value=highest)
    course.enter("solve")
    flow = flows.solve_flow(problem, tiers, values)
    bound = _measure_objective(problem, tiers, values, flow.minutes)
    notes = _note_limits(parameters, method, leximin)
    if method is Method.FLOW:
        return Allocation(flow.minutes, bound, bound, True, notes)
    course.enter("repair")
    parts = fit_parts(problem, tiers, values, flow.minutes)
    minutes = make_whole(problem, tiers, values, parts, passes=parameters.repair_passes, on_pass=course.tell)
    repaired = Allocation(minutes, _measure_objective(problem, tiers, values, minutes), bound, True, notes)
    if method is Method.REPAIR or repaired.gap <= parameters.gap:
        return repaired
    course.enter("solve")
    return _solve_slots(problem, tiers, values, parameters, repaired)


def _solve_slots(problem: Problem, tiers: Tiers, values: Ints, parameters: RoundParameters, repaired: Allocation) -> Allocation:
    """HiGHS where the repair is not good enough; the better of the two, under the lower of the two bounds."""
    found = slots.solve_slots(problem, tiers, values, parameters)
    if found is None:
        note = f"HiGHS found nothing within its limits; flow and repair decided, to a gap of {repaired.gap:.1%}"
        return replace(repaired, replayable=False, notes=(*repaired.notes, note))
    objective = _measure_objective(problem, tiers, values, found.minutes)
    bound = max(objective, min(found.bound, repaired.bound))
    if objective < repaired.objective:
        return replace(repaired, bound=max(bound, repaired.objective), replayable=found.in_time)
    return Allocation(found.minutes, objective, bound, found.in_time, repaired.notes)


def _note_limits(parameters: RoundParameters, method: Method, leximin: Leximin | None) -> tuple[str, ...]:
    if parameters.fairness_permille < 1_000 or (method is Method.FLOW and leximin is not None):
        return ()
    return (f"leximin approached by {parameters.slices} steep slices of each target",)


def _measure_objective(problem: Problem, tiers: Tiers, values: Ints, minutes: Ints) -> int:
    return int((minutes * values).sum()) + measure_rewards(problem, tiers, measure_use(problem, minutes).association)


def _find_price(
    problem: Problem, parameters: RoundParameters, method: Method, found: Allocation, course: Course
) -> tuple[float, float] | None:
    """The shares of score and minutes lost against slider 0, pins apart."""
    if not parameters.price_of_fairness:
        return None
    if parameters.fairness_permille == 0:
        return 0.0, 0.0
    course.enter("price")
    plain = solve_at(problem, replace(parameters, fairness=0.0), method, None)
    return measure_price(problem, plain.minutes, found.minutes)


def measure_price(problem: Problem, plain: Ints, fair: Ints) -> tuple[float, float]:
    """(share of score lost, share of minutes lost) by `fair` against `plain`, both minutes by pair."""
    score, minutes = int((plain * problem.pair_points).sum()), int(plain.sum())
    lost = score - int((fair * problem.pair_points).sum())
    return lost / max(1, score), (minutes - int(fair.sum())) / max(1, minutes)


def _measure(problem: Problem, found: Allocation, shares: tuple[AssociationShare, ...]) -> RoundFigures:
    """Figures without the price and without the leximin's."""
    use = measure_use(problem, found.minutes)
    pinned = problem.pinned
    served = use.need > 0
    served[[pin.need for pin in pinned]] = True
    whole = use.need == problem.need_minutes
    fills = [share.fill for share in shares if share.reachable and share.fill is not None]
    return RoundFigures(
        needs=problem.need_count,
        needs_served=int((served & whole).sum()),
        needs_partly=int((served & ~whole).sum()),
        asked_minutes=sum(share.asked_minutes for share in shares),
        served_minutes=sum(share.served_minutes for share in shares),
        score=int((found.minutes * problem.pair_points).sum()) + sum(pin.minutes * pin.points for pin in pinned),
        objective=found.objective,
        bound=found.bound,
        gap=found.gap,
        worst_fill=min(fills, default=0.0),
        mean_fill=sum(fills) / len(fills) if fills else 0.0,
    )

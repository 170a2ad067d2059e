"""An allocation round of a made-up region: candidates and fair exact flow, beside the plain way, greedy and HiGHS.

Ours and the plain way run one after the other, each in a process of its own, so that times and peaks are their own.
`candidate_seconds` and `flow_seconds` are ours; `plain_seconds` the plain way's candidates and the same flow.
"""

import argparse
import multiprocessing
import os
from dataclasses import asdict, dataclass, replace
from time import perf_counter, process_time
from typing import Any

import numpy as np

from bench.matching.checks import allocate_greedily, solve_linear_program
from bench.matching.plain import find_all_candidates
from bench.matching.territory import Region, make_region
from bench.report import print_report
from kernel.memory import measure_peak_mib
from services.matching.engine.allocation.candidates import find_candidates
from services.matching.engine.allocation.fairness import fairness_table, measure_fills
from services.matching.engine.allocation.flow import solve_flow
from services.matching.engine.allocation.gates import ScoredPairs
from services.matching.engine.allocation.leximin import find_best_worst_fill, solve_leximin
from services.matching.engine.allocation.model import RoundInput, RoundParameters
from services.matching.engine.allocation.problem import Problem, build_problem
from services.matching.engine.allocation.repair import make_whole
from services.matching.engine.allocation.slots import solve_slots
from services.matching.engine.allocation.tiers import Tiers, build_fair_tiers, build_plain_tiers, measure_rewards
from services.matching.engine.allocation.use import measure_use

LINEAR_PROGRAM_NEEDS = 2_000  # HiGHS takes minutes above
TABLE_NEEDS = 10_000
LEXIMIN_NEEDS = 10_000
WAYS = ("ours", "plain", "all")


@dataclass(frozen=True)
class Settings:
    """One measurement in one process. `way`: ours, plain (best of all pairs), or all (all pairs, none left out)."""

    way: str
    needs: int
    volunteers: int
    fairness: float
    extras: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--needs", type=int, default=1_000)
    parser.add_argument("--volunteers", type=int, default=5_000)
    parser.add_argument("--fairness", type=float, default=0.5, help="the slider, 0 to 1")
    parser.add_argument("--ways", default="ours,plain", help="which to run, of " + ", ".join(WAYS))
    parser.add_argument("--fast", action="store_true", help="figures of the flow alone: no greedy, no check, no table")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    results = {}
    for way in arguments.ways.split(","):
        settings = Settings(way, arguments.needs, arguments.volunteers, arguments.fairness, not arguments.fast and way == "ours")
        found = results[way] = _run_alone(settings)
        seconds = f"candidates {found['candidate_seconds']:.1f} s, flow {found['flow_seconds']:.1f} s"
        print(f"{way}: {seconds}, peak {found['peak_mib']:.0f} MiB, objective {found['objective']:,}", flush=True)
    return _print(arguments, results)


def _run_alone(settings: Settings) -> dict[str, Any]:
    """`measure` in a fresh process; raises what it raised."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(measure, (settings,))


def measure(settings: Settings) -> dict[str, Any]:
    region = make_region(settings.needs, settings.volunteers)
    made_mib = measure_peak_mib()
    start, cpu = perf_counter(), process_time()
    pairs = _find_pairs(region, settings.way)
    candidate_seconds, candidate_cpu = perf_counter() - start, process_time() - cpu
    start, cpu = perf_counter(), process_time()
    parameters = RoundParameters(fairness=settings.fairness)
    data = build_data(region, pairs)
    problem = build_problem(data, parameters)
    tiers = _fair_tiers(problem, parameters)
    flow = solve_flow(problem, tiers, problem.pair_points)
    flow_seconds, flow_cpu = perf_counter() - start, process_time() - cpu
    fills = measure_fills(problem, flow.minutes)
    served = measure_use(problem, flow.minutes)
    result = {
        "candidate_seconds": candidate_seconds,
        "flow_seconds": flow_seconds,
        "candidate_cpu_seconds": candidate_cpu,
        "flow_cpu_seconds": flow_cpu,
        "peak_mib": measure_peak_mib(),
        "made_mib": made_mib,
        "pairs": len(pairs),
        "pairs_per_need": len(pairs) / settings.needs,
        "objective": flow.value + measure_rewards(problem, tiers, served.association),
        "score": flow.value,
        "served_minutes": int(flow.minutes.sum()),
        "asked_minutes": int(problem.need_minutes.sum()),
        "worst_fill": float(fills.min(initial=1.0)),
        "low_fill": float(np.percentile(fills, 10)),
        "mean_fill": float(fills.mean()),
    }
    return result | (_measure_more(data, problem, parameters, tiers, result) if settings.extras else {})


def _measure_more(
    data: RoundInput, problem: Problem, parameters: RoundParameters, tiers: Tiers, result: dict[str, Any]
) -> dict[str, Any]:
    """What the flow is held against, after its own figures are taken."""
    plain = solve_flow(problem, build_plain_tiers(problem), problem.pair_points)
    greedy = allocate_greedily(problem)
    more: dict[str, Any] = {
        "greedy_gap": 1 - int((greedy * problem.pair_points).sum()) / max(1, plain.value),
        "fairness_price": 1 - result["score"] / max(1, plain.value),
        "unfair_worst_fill": float(measure_fills(problem, plain.minutes).min(initial=1.0)),
        "unfair_low_fill": float(np.percentile(measure_fills(problem, plain.minutes), 10)),
    }
    more |= _measure_slots(data, parameters)
    if problem.need_count <= LINEAR_PROGRAM_NEEDS:
        start = perf_counter()
        optimum = solve_linear_program(problem, tiers, problem.pair_points)
        more["linear_program_seconds"] = perf_counter() - start
        assert abs(optimum - result["objective"]) <= 1e-6 * max(1.0, optimum), (optimum, result["objective"])
        more["linear_program_agrees"] = True
    start = perf_counter()
    more["best_worst_fill"] = find_best_worst_fill(problem)
    more["best_worst_fill_seconds"] = perf_counter() - start
    if problem.need_count <= LEXIMIN_NEEDS:
        start = perf_counter()
        leximin = solve_leximin(problem)
        more |= {"leximin_seconds": perf_counter() - start, "leximin_max_flows": leximin.max_flows}
    if problem.need_count <= TABLE_NEEDS:
        more["fairness_table"] = [asdict(row) for row in fairness_table(data, parameters)]
    return more


def _measure_slots(data: RoundInput, parameters: RoundParameters) -> dict[str, Any]:
    """The same round with whole needs: flow and repair against the flow's bound, and against HiGHS where it is small."""
    problem = build_problem(replace(data, need_slice=data.need_minutes), parameters)
    tiers = _fair_tiers(problem, parameters)
    flow = solve_flow(problem, tiers, problem.pair_points)
    bound = flow.value + measure_rewards(problem, tiers, measure_use(problem, flow.minutes).association)
    start = perf_counter()
    minutes = make_whole(problem, tiers, problem.pair_points, flow.minutes, passes=parameters.repair_passes)
    seconds = perf_counter() - start
    value = int((minutes * problem.pair_points).sum())
    value += measure_rewards(problem, tiers, measure_use(problem, minutes).association)
    found: dict[str, Any] = {"repair_gap": (bound - value) / max(1, bound), "repair_seconds": seconds}
    if problem.need_count <= parameters.slots_limit:
        start = perf_counter()
        slots = solve_slots(problem, tiers, problem.pair_points, parameters)
        assert slots is not None, "HiGHS finds slots for small rounds"
        best = int((slots.minutes * problem.pair_points).sum())
        best += measure_rewards(problem, tiers, measure_use(problem, slots.minutes).association)
        found |= {"slots_seconds": perf_counter() - start, "slots_gap": (slots.bound - best) / max(1, slots.bound)}
        found["repair_below_slots"] = 1 - value / max(1, best)
    return found


def _find_pairs(region: Region, way: str) -> ScoredPairs:
    need_draws, offer_draws = region.draw()
    if way == "ours":
        return find_candidates(region.market, need_draws=need_draws, offer_draws=offer_draws)
    kept = 40 if way == "plain" else None
    return find_all_candidates(region.market, need_draws=need_draws, offer_draws=offer_draws, kept=kept)


def build_data(region: Region, pairs: ScoredPairs) -> RoundInput:
    demand, supply = region.market.demand, region.market.supply
    return RoundInput(
        company_ids=region.company_ids,
        company_minutes=region.company_minutes,
        volunteer_ids=region.volunteer_ids,
        volunteer_minutes=supply.minutes,
        volunteer_company=region.volunteer_company,
        association_ids=region.association_ids,
        association_credit=region.credit,
        association_target=region.credit,
        need_ids=region.need_ids,
        need_association=demand.association,
        need_minutes=demand.minutes,
        need_slice=demand.least_minutes,
        pair_need=pairs.need,
        pair_volunteer=pairs.offer,
        pair_points=pairs.points,
    )


def _fair_tiers(problem: Problem, parameters: RoundParameters) -> Tiers:
    if parameters.fairness_permille == 0:
        return build_plain_tiers(problem)
    highest = int(problem.pair_points.max(initial=1))
    return build_fair_tiers(problem, permille=parameters.fairness_permille, slices=parameters.slices, highest_value=highest)


def _print(arguments: argparse.Namespace, results: dict[str, dict[str, Any]]) -> dict[str, Any]:
    ours = results.get("ours", {})
    result = {"needs": arguments.needs, "volunteers": arguments.volunteers, "fairness": arguments.fairness} | ours
    result["load_average"] = os.getloadavg()[0]
    for way in ("plain", "all"):
        if other := results.get(way):
            result[f"{way}_seconds"] = other["candidate_seconds"] + other["flow_seconds"]
            result[f"{way}_cpu_seconds"] = other["candidate_cpu_seconds"] + other["flow_cpu_seconds"]
            result[f"{way}_candidate_seconds"] = other["candidate_seconds"]
            result[f"{way}_peak_mib"] = other["peak_mib"]
            result[f"{way}_objective"] = other["objective"]
            result[f"{way}_worst_fill"] = other["worst_fill"]
            if ours:
                result[f"gain_on_{way}"] = ours["objective"] / other["objective"] - 1
    if "plain" in results and ours:
        result["seconds_of_plain"] = (ours["candidate_seconds"] + ours["flow_seconds"]) / result["plain_seconds"]
        cpu = ours["candidate_cpu_seconds"] + ours["flow_cpu_seconds"]
        result["cpu_of_plain"] = cpu / result["plain_cpu_seconds"]
    title = f"Allocation round, {arguments.needs:,} needs, {arguments.volunteers:,} volunteers, slider {arguments.fairness}"
    columns = ("way", "pairs a need", "candidates s", "flow s", "peak MiB", "objective", "worst fill", "mean fill")
    rows = [
        (
            way,
            f"{found['pairs_per_need']:.1f}",
            f"{found['candidate_seconds']:.2f}",
            f"{found['flow_seconds']:.2f}",
            f"{found['peak_mib']:.0f}",
            f"{found['objective']:,}",
            f"{found['worst_fill']:.3f}",
            f"{found['mean_fill']:.3f}",
        )
        for way, found in results.items()
    ]
    rounded = _rounded(result)
    print_report(title, columns, rows, rounded)
    return rounded


def _rounded(result: dict[str, Any]) -> dict[str, Any]:
    return {key: round(value, 5) if isinstance(value, float) else value for key, value in result.items()}

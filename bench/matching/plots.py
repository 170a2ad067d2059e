"""docs/matching.md's plots, drawn of the results that `--keep` keeps in docs/plots/: tagging, one_answer, round_<needs>."""

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.report import KEPT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OURS, OTHER, BAR = "#1f5fa8", "#b5651d", "#777777"
SET_NAMES = {"development": "development (tuned on)", "held_out": "held out (only reported)"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = __doc__


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    drawn = [name for name, draw in PLOTS.items() if draw()]
    print(json.dumps({"drawn": drawn}), flush=True)
    return {"drawn": drawn}


def draw_quality() -> bool:
    """nDCG@10 of each method alone and of all together, on both labelled sets."""
    if (kept := _read("tagging")) is None:
        return False
    methods = list(kept["held_out"])
    with _plot("quality", width=8, height=0.45 * len(methods) + 1.2) as axes:
        places = np.arange(len(methods))
        for offset, (name, colour) in zip((-0.19, 0.19), (("development", OTHER), ("held_out", OURS)), strict=True):
            values = [kept[name][method]["ndcg@10"] for method in methods]
            bars = axes.barh(places + offset, values, height=0.36, color=colour, label=SET_NAMES[name])
            axes.bar_label(bars, fmt="%.2f", padding=2, fontsize=7)
        axes.axvline(0.85, color=BAR, linestyle="--", linewidth=1, label="asked: 0.85")
        axes.set(yticks=places, yticklabels=methods, xlim=(0, 1), xlabel="nDCG@10, text alone")
        axes.invert_yaxis()
        axes.legend(loc="lower left", fontsize=7, bbox_to_anchor=(0.0, 1.0), ncols=3, frameon=False)
    return True


def draw_one_answer() -> bool:
    """Milliseconds of one answer and of the bare question to an index, by offers."""
    if (kept := _read("one_answer")) is None:
        return False
    sizes = sorted(map(int, kept["sizes"]))
    with _plot("one-answer") as axes:
        for name, label, colour in (("whole", "ten best, gates and score", OURS), ("bare", "bare indexed query", OTHER)):
            for share, style in ((95, "-"), (50, ":")):
                values = [kept["sizes"][str(size)][f"{name}_p{share}_ms"] for size in sizes]
                axes.plot(sizes, values, style, color=colour, marker="o", label=f"{label}, p{share}")
        axes.set(xscale="log", yscale="log", xlabel="offers in the territory", ylabel="milliseconds")
        axes.legend(fontsize=8, frameon=False)
    return True


def draw_growth() -> bool:
    """Processor seconds of a round by needs (five volunteers each), ours and the plain way, with the exponent between sizes."""
    rounds = list(_rounds())
    if len(rounds) < 2:
        return False
    needs = [kept["needs"] for kept in rounds]
    ours = [kept["candidate_cpu_seconds"] + kept["flow_cpu_seconds"] for kept in rounds]
    with _plot("round-growth") as axes:
        axes.plot(needs, ours, color=OURS, marker="o", label="candidates and fair exact flow")
        axes.plot(
            needs, [kept["candidate_cpu_seconds"] for kept in rounds], ":", color=OURS, marker=".", label="candidates alone"
        )
        axes.plot(needs, [kept["plain_cpu_seconds"] for kept in rounds], color=OTHER, marker="o", label="the plain way")
        for (n, one), (m, other) in zip(zip(needs, ours, strict=True), list(zip(needs, ours, strict=True))[1:], strict=False):
            exponent = np.log(other / one) / np.log(m / n)
            axes.annotate(
                f"exponent {exponent:.2f}", ((n * m) ** 0.5, (one * other) ** 0.5), (6, -12), textcoords="offset points"
            )
        axes.set(xscale="log", yscale="log", xlabel="needs (five volunteers each)", ylabel="processor seconds")
        axes.legend(fontsize=8, frameon=False)
    return True


def draw_fairness() -> bool:
    """What the slider gives to the worst-served associations, and what it costs."""
    tables = [kept for kept in _rounds() if "fairness_table" in kept]
    if not tables:
        return False
    kept = tables[-1]
    rows = kept["fairness_table"]
    sliders = [row["fairness"] for row in rows]
    with _plot("fairness") as axes:
        for name, label, style in (
            ("worst_fill", "worst-served", "-"),
            ("low_fill", "tenth percentile", "--"),
            ("mean_fill", "mean", ":"),
        ):
            axes.plot(
                sliders,
                [row[name] for row in rows],
                style,
                color=OURS,
                marker="o",
                label=f"{label} association, share of its target",
            )
        axes.set(xlabel="slider, from most points (0) to leximin (1)", ylabel="share of the target", ylim=(0, 1))
        price = axes.twinx()
        price.bar(sliders, [100 * row["price_score"] for row in rows], width=0.05, color=OTHER, alpha=0.5)
        price.set_ylabel("price: points lost, %", color=OTHER)
        axes.set_title(f"{kept['needs']:,} needs, {kept['volunteers']:,} volunteers", fontsize=9)
        axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(0.0, 0.5))
    return True


PLOTS: dict[str, Callable[[], bool]] = {
    "quality": draw_quality,
    "one-answer": draw_one_answer,
    "round-growth": draw_growth,
    "fairness": draw_fairness,
}


def _rounds() -> Iterator[dict[str, Any]]:
    found = [json.loads(file.read_text(encoding="utf-8")) for file in KEPT.glob("round_*.json")]
    yield from sorted((kept for kept in found if kept["volunteers"] == 5 * kept["needs"]), key=lambda kept: kept["needs"])


def _read(name: str) -> dict[str, Any] | None:
    file = KEPT / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


@contextmanager
def _plot(name: str, *, width: float = 6.5, height: float = 4) -> "Iterator[Axes]":
    """One plot, saved as docs/plots/NAME.svg; the same results give the same bytes."""
    # Here, so that a bench that measures memory, and is started beside this command, does not have it.
    from matplotlib import pyplot  # noqa: PLC0415

    with pyplot.rc_context({"svg.hashsalt": "metis", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure, axes = pyplot.subplots(figsize=(width, height), layout="constrained")
        yield axes
        figure.savefig(KEPT / f"{name}.svg", metadata={"Date": None})
        pyplot.close(figure)

"""Spans of the local file as a waterfall: one trace across all processes (`metis trace`)."""

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from rich.console import Group, RenderableType
from rich.text import Text

from cli.console import CliError

COLOURS = {
    "gateway": "cyan",
    "registry": "green",
    "matching": "magenta",
    "credits": "yellow",
    "notifications": "blue",
}
BEGIN = b'{"trace":"'  # as kernel/telemetry.py writes it
TRACE_LENGTH = 32
OTHER_COLOURS = ("bright_green", "bright_magenta", "bright_cyan", "bright_yellow")


@dataclass(frozen=True)
class Span:
    """One piece of work of one process; times in nanoseconds since 1970."""

    trace: str
    span: str
    parent: str | None
    service: str
    name: str
    kind: str
    start_ns: int
    end_ns: int
    error: str | None
    attributes: dict[str, Any] = field(default_factory=dict, compare=False, hash=False)


def read_spans(path: Path, *, traces: Set[str] | None = None) -> list[Span]:
    """The spans of a file, all or those of some traces. A line cut off by a crash is skipped."""
    return list(_read(path, traces))


def _read(path: Path, traces: Set[str] | None) -> Iterator[Span]:
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise CliError(
            f"No spans in {path}.", cure="Start `metis up` or `metis demo` first, or name the file with --file."
        ) from error
    wanted = {trace.encode() for trace in traces} if traces is not None else None
    with file:
        for line in file:
            # The id stands first in a line: the rest need not be parsed to pass over it.
            if wanted is not None and line[len(BEGIN) : len(BEGIN) + TRACE_LENGTH] not in wanted:
                continue
            try:
                yield Span(**orjson.loads(line))
            except (ValueError, TypeError):
                continue


def find_trace(path: Path, prefix: str) -> str:
    """The full id of the trace that `prefix` begins."""
    prefix = prefix.lower()
    found = {span.trace for span in read_spans(path) if span.trace.startswith(prefix)}
    if len(found) == 1:
        return found.pop()
    if not found:
        raise CliError(
            f"No trace begins with {prefix!r}.",
            cure="Spans are written within half a second; a problem's `trace` member has the id.",
        )
    raise CliError(f"{len(found)} traces begin with {prefix!r}.", cure="Give more characters of the id.")


def widest_trace(spans: Iterable[Span], *, newest: bool = False) -> str:
    """The trace to show when none is named: the newest, or else the one across the most processes (then the longest)."""
    facts: dict[str, tuple[set[str], int, int]] = {}
    for span in spans:
        services, count, last = facts.get(span.trace, (set(), 0, 0))
        services.add(span.service)
        facts[span.trace] = (services, count + 1, max(last, span.start_ns))
    if not facts:
        raise CliError("The spans file is empty.", cure="Send a request first; spans are written within half a second.")
    if newest:
        return max(facts, key=lambda trace: facts[trace][2])
    return max(facts, key=lambda trace: (len(facts[trace][0]), facts[trace][1]))


def services_of(spans: Iterable[Span]) -> list[str]:
    """The processes that a trace went through, in the order of their first span."""
    return list(dict.fromkeys(span.service for span in sorted(spans, key=lambda span: span.start_ns)))


def in_tree_order(spans: Iterable[Span]) -> list[tuple[int, Span]]:
    """Spans with their depth: each below its parent, siblings by start. A span whose parent is not there is a root."""
    known = {span.span: span for span in spans}
    children: dict[str | None, list[Span]] = {}
    for span in known.values():
        children.setdefault(span.parent if span.parent in known else None, []).append(span)
    ordered: list[tuple[int, Span]] = []
    stack = [(0, span) for span in sorted(children.get(None, []), key=lambda span: -span.start_ns)]
    while stack:
        depth, span = stack.pop()
        ordered.append((depth, span))
        stack += [(depth + 1, child) for child in sorted(children.get(span.span, []), key=lambda span: -span.start_ns)]
    return ordered


def draw(spans: list[Span], *, width: int = 110, limit: int = 60) -> RenderableType:
    """The waterfall: service, what was done, when within the trace, how long; errors in red below their span."""
    ordered = in_tree_order(spans)
    begin, end = min(span.start_ns for span in spans), max(span.end_ns for span in spans)
    colours = _colours(services_of(spans))
    label_width = min(60, max(24, width // 2))
    bar_width = max(20, width - label_width - 12)
    lines: list[RenderableType] = [_headline(spans, begin, end), Text()]
    for depth, span in ordered[:limit]:
        colour = colours[span.service]
        label = Text(no_wrap=True)
        label.append("  " * min(depth, 8))
        label.append(span.service, style=f"bold {colour}")
        label.append(f" {span.name}")
        label.truncate(label_width, overflow="ellipsis", pad=True)
        label.append(" ")
        label.append_text(_bar(span, begin=begin, end=end, width=bar_width, colour=colour))
        label.append(f" {_milliseconds(span.end_ns - span.start_ns):>9}", style="red" if span.error else "")
        lines.append(label)
        if span.error:
            lines.append(Text("  " * min(depth, 8) + f"  ✗ {span.error}", style="red", no_wrap=True, overflow="ellipsis"))
    if len(ordered) > limit:
        lines.append(Text(f"… {len(ordered) - limit} spans more", style="dim"))
    return Group(*lines)


def _headline(spans: list[Span], begin: int, end: int) -> Text:
    services = services_of(spans)
    line = Text("trace ", style="dim")
    line.append(spans[0].trace, style="bold")
    line.append(f" · {len(spans)} spans · {len(services)} processes ({', '.join(services)}) · {_milliseconds(end - begin)}")
    return line


def _bar(span: Span, *, begin: int, end: int, width: int, colour: str) -> Text:
    scale = width / max(1, end - begin)
    left = min(width - 1, int((span.start_ns - begin) * scale))
    length = max(1, min(width - left, round((span.end_ns - span.start_ns) * scale)))
    bar = Text(" " * left)
    # A very short span still shows: a thin mark instead of a block.
    mark = "█" if (span.end_ns - span.start_ns) * scale >= 0.5 else "▏"
    bar.append(mark * length, style="red" if span.error else colour)
    bar.append(" " * (width - left - length))
    return bar


def _milliseconds(nanoseconds: int) -> str:
    value = nanoseconds / 1e6
    return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.1f} ms"


def _colours(services: list[str]) -> dict[str, str]:
    spare = iter(OTHER_COLOURS * (1 + len(services)))
    return {service: COLOURS.get(service) or next(spare) for service in services}

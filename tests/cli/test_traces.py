"""Spans of a file as a waterfall."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli.console import CliError
from cli.traces import Span, draw, find_trace, in_tree_order, read_spans, services_of, widest_trace

T1, T2 = "a" * 32, "b" * 32


def make_line(trace: str = T1, **more: Any) -> dict[str, Any]:
    return {
        "trace": trace, "span": "1", "parent": None, "service": "gateway", "name": "POST /x", "kind": "server", "start_ns": 0,
        "end_ns": 1_000_000, "error": None, "attributes": {}, **more,
    }  # fmt: skip


def write(folder: Path, *lines: dict[str, Any], end: str = "") -> Path:
    path = folder / "spans.jsonl"
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines) + end)
    return path


class TestReadSpans:
    def test_reads_the_wanted_traces_and_skips_a_line_cut_off_by_a_crash(self, tmp_path: Path) -> None:
        path = write(tmp_path, make_line(T1), make_line(T2), end='{"trace":"' + T1 + '","span":"9"')
        assert [span.trace for span in read_spans(path, traces={T2})] == [T2]
        assert len(read_spans(path)) == 2

    def test_says_what_to_start_when_there_is_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(CliError) as refusal:
            read_spans(tmp_path / "none.jsonl")
        assert "metis up" in refusal.value.cure


class TestFindTrace:
    def test_completes_a_beginning(self, tmp_path: Path) -> None:
        path = write(tmp_path, make_line(T1), make_line(T2))
        assert find_trace(path, "AAAA") == T1

    @pytest.mark.parametrize("prefix", ["", "cc"])
    def test_refuses_none_and_several(self, tmp_path: Path, prefix: str) -> None:
        with pytest.raises(CliError):
            find_trace(write(tmp_path, make_line(T1), make_line(T2)), prefix)


class TestWidestTrace:
    def test_prefers_the_most_processes_or_the_newest(self) -> None:
        spans = [
            Span(**make_line(T1)), Span(**make_line(T1, span="2", service="credits")), Span(**make_line(T2, start_ns=5)),
        ]  # fmt: skip
        assert widest_trace(spans) == T1
        assert widest_trace(spans, newest=True) == T2


class TestDraw:
    def test_puts_children_below_their_parent_by_start(self) -> None:
        spans = [
            Span(**make_line(span="child2", parent="root", start_ns=30)),
            Span(**make_line(span="root", parent="somebody else's")),
            Span(**make_line(span="grand", parent="child1", start_ns=20)),
            Span(**make_line(span="child1", parent="root", start_ns=10)),
        ]
        assert [(depth, span.span) for depth, span in in_tree_order(spans)] == [
            (0, "root"),
            (1, "child1"),
            (2, "grand"),
            (1, "child2"),
        ]

    def test_shows_services_durations_and_errors(self) -> None:
        spans = [
            Span(**make_line(end_ns=4_000_000)),
            Span(**make_line(span="2", parent="1", service="credits", start_ns=1_000_000, end_ns=2_500_000, error="Boom: no")),
        ]
        console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
        console.print(draw(spans, width=120))
        console.file.close()
        text = console.export_text()
        assert "2 processes (gateway, credits)" in text
        assert "1.5 ms" in text
        assert "✗ Boom: no" in text
        assert services_of(spans) == ["gateway", "credits"]

"""W3C trace context, read strictly."""

import pytest

from kernel.telemetry import span_context_of

GOOD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class TestSpanContextOf:
    def test_reads_what_the_standard_allows(self) -> None:
        context = span_context_of(GOOD)
        assert context is not None
        assert (f"{context.trace_id:032x}", f"{context.span_id:016x}", int(context.trace_flags)) == (GOOD[3:35], GOOD[36:52], 1)

    @pytest.mark.parametrize(
        "bad",
        [
            None,
            "",
            GOOD.upper(),
            GOOD[:-1],
            GOOD + "0",
            GOOD.replace("a", "_"),
            "00-" + "0" * 32 + GOOD[35:],
            GOOD.replace("-", " "),
        ],
    )
    def test_takes_everything_else_for_no_trace(self, bad: str | None) -> None:
        assert span_context_of(bad) is None

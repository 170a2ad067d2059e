"""A bar chart as one self-contained SVG: no script, no font to load, readable by a screen reader."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from services.credits.domain.wording import hours_text

SVG = "image/svg+xml"
_LABEL, _WIDTH, _VALUE = 230, 420, 110
_ROW, _TOP = 26, 56
# Told apart by lightness as well as by colour, on white, 3:1 and more (WCAG 2.2, 1.4.11).
_COLOURS = ("#7c93b8", "#1b3a6b")
_LONGEST_LABEL = 34


@dataclass(frozen=True)
class Bar:
    """One row: the whole, and the part of it that is drawn over it. Minutes."""

    label: str
    whole: int
    part: int


def build_bars(title: str, bars: Sequence[Bar], *, whole: str, part: str) -> str:
    """Horizontal bars, the longest as wide as the picture; each says its own figures in words."""
    longest = max((max(bar.whole, bar.part) for bar in bars), default=0) or 1
    height = _TOP + _ROW * max(len(bars), 1) + 12
    rows = "".join(_bar(bar, index, longest=longest, whole=whole, part=part) for index, bar in enumerate(bars))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LABEL + _WIDTH + _VALUE} {height}" role="img"'
        f' aria-labelledby="title" font-family="sans-serif" font-size="12"><title id="title">{escape(title)}</title>'
        '<rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="8" y="20" font-size="14" font-weight="bold">{escape(title)}</text>'
        f"{_key(8, _COLOURS[0], whole)}{_key(160, _COLOURS[1], part)}"
        f"{rows or _nothing()}</svg>"
    )


def _key(x: int, colour: str, text: str) -> str:
    return f'<rect x="{x}" y="32" width="10" height="10" fill="{colour}"/><text x="{x + 15}" y="41">{escape(text)}</text>'


def _nothing() -> str:
    return f'<text x="8" y="{_TOP + 17}">Rien encore.</text>'


def _bar(bar: Bar, index: int, *, longest: int, whole: str, part: str) -> str:
    y = _TOP + index * _ROW
    label = bar.label if len(bar.label) <= _LONGEST_LABEL else bar.label[: _LONGEST_LABEL - 1] + "…"
    said = f"{bar.label} : {whole} {_hours(bar.whole)}, {part} {_hours(bar.part)}"
    widths = [max(0, minutes) * _WIDTH // longest for minutes in (bar.whole, bar.part)]
    return (
        f"<g><title>{escape(said)}</title>"
        f'<text x="{_LABEL - 6}" y="{y + 15}" text-anchor="end">{escape(label)}</text>'
        f'<rect x="{_LABEL}" y="{y + 3}" width="{widths[0]}" height="17" fill="{_COLOURS[0]}"/>'
        f'<rect x="{_LABEL}" y="{y + 7}" width="{widths[1]}" height="9" fill="{_COLOURS[1]}"/>'
        f'<text x="{_LABEL + max(widths) + 6}" y="{y + 15}">{_hours(bar.part)} / {_hours(bar.whole)}</text></g>'
    )


def _hours(minutes: int) -> str:
    return hours_text(minutes) if minutes >= 0 else f"−{hours_text(-minutes)}"

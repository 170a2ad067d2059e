"""Bars and curves as SVG inside the page: told apart by lightness and pattern as well as by colour, each with its words."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.matching.engine.sentences import write_hours
from services.matching.schemas.round_page.html import escape

# Of Okabe and Ito's palette, darkened to 4.5:1 on white; the lighter one is 3:1 (WCAG 2.2, 1.4.11).
DARK, ORANGE, LIGHT = "#1b3a6b", "#b34700", "#7c93b8"
_LABEL, _WIDTH, _VALUE, _ROW, _TOP = 260, 420, 170, 28, 34
_LONGEST_LABEL = 38


@dataclass(frozen=True)
class Bar:
    """`part` of `whole`, both in minutes."""

    label: str
    whole: int
    part: int


def draw_bars(title: str, bars: Sequence[Bar], *, name: str, whole: str, part: str) -> str:
    """Horizontal bars, the part drawn over the whole. `name`: unique in the page."""
    longest = max((max(bar.whole, bar.part) for bar in bars), default=0) or 1
    height = _TOP + _ROW * len(bars) + 8
    rows = "".join(_draw_bar(bar, _TOP + _ROW * number, longest=longest, part=part) for number, bar in enumerate(bars))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LABEL + _WIDTH + _VALUE} {height}" role="img"'
        f' aria-labelledby="{name}-title" font-family="system-ui,sans-serif" font-size="13">'
        f'<title id="{name}-title">{escape(title)}</title><rect width="100%" height="100%" fill="#fff"/>'
        f"{_key(_LABEL, LIGHT, whole)}{_key(_LABEL + 220, DARK, part)}{rows}</svg>"
    )


def _key(x: int, colour: str, text: str) -> str:
    return f'<rect x="{x}" y="8" width="12" height="12" fill="{colour}"/><text x="{x + 18}" y="18">{escape(text)}</text>'


def _draw_bar(bar: Bar, y: int, *, longest: int, part: str) -> str:
    label = bar.label if len(bar.label) <= _LONGEST_LABEL else bar.label[: _LONGEST_LABEL - 1] + "…"
    whole, inner = (max(0, minutes) * _WIDTH // longest for minutes in (bar.whole, bar.part))
    said = f"{write_hours(bar.part)} sur {write_hours(bar.whole)}"
    return (
        f"<g><title>{escape(f'{bar.label} : {part} {said}')}</title>"
        f'<text x="{_LABEL - 8}" y="{y + 17}" text-anchor="end">{escape(label)}</text>'
        f'<rect x="{_LABEL}" y="{y + 3}" width="{whole}" height="20" fill="{LIGHT}"/>'
        f'<rect x="{_LABEL}" y="{y + 8}" width="{inner}" height="10" fill="{DARK}"/>'
        f'<text x="{_LABEL + max(whole, inner) + 8}" y="{y + 17}">{escape(said)}</text></g>'
    )


@dataclass(frozen=True)
class Curve:
    """Shares (0 to 1) by slider position (0 to 1). `dashed` tells curves apart without colour."""

    label: str
    points: Sequence[tuple[float, float]]
    colour: str
    dashed: bool = False


def draw_curves(title: str, curves: Sequence[Curve], *, name: str, marked: float) -> str:
    """Curves over the slider, with the chosen position marked."""
    left, top, width, height = 60, 40, 560, 240

    def at(slider: float, share: float) -> str:
        return f"{left + slider * width:.1f},{top + (1 - min(1.0, max(0.0, share))) * height:.1f}"

    def level(step: int) -> str:
        y = top + height * (4 - step) / 4
        line = f'<line x1="{left}" x2="{left + width}" y1="{y}" y2="{y}" stroke="#d0d0d0"/>'
        return f'{line}<text x="{left - 8}" y="{y + 4}" text-anchor="end">{25 * step} %</text>'

    grid = "".join(level(step) for step in range(5))
    ticks = "".join(
        f'<text x="{left + width * step / 4}" y="{top + height + 20}" text-anchor="middle">{25 * step}</text>'
        for step in range(5)
    )
    lines, keys = "", ""
    for number, curve in enumerate(curves):
        dash = ' stroke-dasharray="7 5"' if curve.dashed else ""
        path = " ".join(at(slider, share) for slider, share in curve.points)
        lines += f'<polyline points="{path}" fill="none" stroke="{curve.colour}" stroke-width="3"{dash}/>'
        x = left + number * 290
        keys += (
            f'<line x1="{x}" x2="{x + 36}" y1="16" y2="16" stroke="{curve.colour}" stroke-width="3"{dash}/>'
            f'<text x="{x + 42}" y="21">{escape(curve.label)}</text>'
        )
    chosen = left + marked * width
    mark = (
        f'<line x1="{chosen:.1f}" x2="{chosen:.1f}" y1="{top}" y2="{top + height}" stroke="#1a1a1a" stroke-width="2"'
        ' stroke-dasharray="2 3"/>'
        f'<text x="{chosen:.1f}" y="{top + height + 40}" text-anchor="middle" font-weight="bold">ce tour</text>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 700 340" role="img" aria-labelledby="{name}-title"'
        f' font-family="system-ui,sans-serif" font-size="13"><title id="{name}-title">{escape(title)}</title>'
        f'<rect width="100%" height="100%" fill="#fff"/>{grid}{ticks}{mark}{lines}{keys}</svg>'
    )

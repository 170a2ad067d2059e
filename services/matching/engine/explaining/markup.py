"""A page without any resource from elsewhere: plain HTML, escaped, readable without colour and with a keyboard (WCAG AA).

Colours: text #1b1b1b on white (17:1), links and bars #0b4f8a on white (8:1).
"""

from collections.abc import Iterable, Sequence
from html import escape

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_STYLE = """
:root { color-scheme: light }
body { font: 1rem/1.6 system-ui, sans-serif; color: #1b1b1b; background: #fff; margin: 0 auto; max-width: 60rem; padding: 1rem }
h1 { font-size: 1.6rem; line-height: 1.25 } h2 { font-size: 1.25rem; margin-top: 2rem }
a { color: #0b4f8a } a:focus, [tabindex]:focus { outline: 3px solid #0b4f8a; outline-offset: 2px }
.wide { overflow-x: auto } table { border-collapse: collapse; width: 100% }
caption { text-align: left; font-weight: 600; padding: .3rem 0 }
th, td { border: 1px solid #6b6b6b; padding: .35rem .5rem; text-align: left; vertical-align: top }
td.number { text-align: right; font-variant-numeric: tabular-nums } thead th { background: #f0f0f0 }
dt { font-weight: 600; margin-top: .5rem } dd { margin: 0 0 0 1rem } svg { max-width: 100%; height: auto }
footer { border-top: 1px solid #6b6b6b; margin-top: 2rem; font-size: .9rem } code { overflow-wrap: anywhere }
@media print { body { max-width: none } }
"""
Cell = str | int | float | None


def page(title: str, *parts: str) -> str:
    """A whole document; `parts` are HTML already."""
    head = (
        '<!doctype html>\n<html lang="fr"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
    )
    return f'{head}<body><main id="contenu"><h1>{escape(title)}</h1>{"".join(parts)}</main></body></html>\n'


def section(title: str, *parts: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def bullets(items: Iterable[str]) -> str:
    found = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f"<ul>{found}</ul>" if found else ""


def facts(pairs: Iterable[tuple[str, Cell]]) -> str:
    """Names and values."""
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{_text(value)}</dd>" for name, value in pairs) + "</dl>"


def table(caption: str, headers: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """The first cell of a row is its header; figures stand to the right."""
    head = "".join(f'<th scope="col">{escape(header)}</th>' for header in headers)
    body = "".join(f'<tr><th scope="row">{_text(row[0])}</th>{"".join(map(_cell, row[1:]))}</tr>' for row in rows)
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(caption)}"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def footer(*lines: str) -> str:
    return f"<footer>{''.join(paragraph(line) for line in lines)}</footer>"


def _cell(value: Cell) -> str:
    return f'<td class="number">{value}</td>' if isinstance(value, int | float) else f"<td>{_text(value)}</td>"


def _text(value: Cell) -> str:
    return "—" if value is None or value == "" else escape(str(value))

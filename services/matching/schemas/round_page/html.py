"""The little HTML that the page is made of. Everything that comes from people passes `escape`."""

from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["escape", "figure", "notice", "section", "table"]

# Contrast 7:1 and more on white for text; no external font, image or script.
STYLE = """
:root{color-scheme:light}
body{font:16px/1.5 system-ui,sans-serif;color:#1a1a1a;background:#fff;margin:0 auto;max-width:70rem;padding:1rem}
h1{font-size:1.6rem;line-height:1.25}h2{font-size:1.25rem;margin-top:2.5rem;border-bottom:2px solid #1b3a6b;padding-bottom:.2rem}
a{color:#0b4a8f}a:focus,summary:focus{outline:3px solid #b34700;outline-offset:2px}
.skip{position:absolute;left:-100vw}.skip:focus{position:static}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;margin:.5rem 0}
caption{text-align:left;font-weight:600;padding:.3rem 0}
th,td{border:1px solid #767676;padding:.3rem .5rem;text-align:left;vertical-align:top}
thead th{background:#eef2f8}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.notice{border-left:6px solid #b34700;background:#fff6ef;padding:.6rem 1rem;margin:1rem 0}
figure{margin:1rem 0}figcaption{font-size:.95rem}svg{max-width:100%;height:auto}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dt{font-weight:600}dd{margin:0}
@media(max-width:40rem){dl{grid-template-columns:1fr}}
@media print{.skip{display:none}h2{break-after:avoid}table,figure{break-inside:avoid}}
"""


def section(title: str, *blocks: str, name: str) -> str:
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{escape(title)}</h2>{"".join(blocks)}</section>'


def notice(*sentences: str) -> str:
    return f'<div class="notice">{"".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)}</div>'


def figure(svg: str, caption: str) -> str:
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def table(caption: str, headings: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[int] = ()) -> str:
    """A table whose first column heads its rows; `numbers`: the columns that hold figures. An empty one says so."""
    right = frozenset(numbers)

    def cell(tag: str, place: int, text: str, scope: str = "") -> str:
        told = f' scope="{scope}"' if scope else ""
        kind = ' class="n"' if place in right else ""
        return f"<{tag}{told}{kind}>{escape(text)}</{tag}>"

    head = "".join(cell("th", place, text, "col") for place, text in enumerate(headings))
    body = "".join(
        "<tr>"
        + "".join(cell("td" if place else "th", place, text, "" if place else "row") for place, text in enumerate(row))
        + "</tr>"
        for row in rows
    )
    if not body:
        return f"<p>{escape(caption)} : rien à montrer.</p>"
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(caption)}"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )

"""PDF by Typst, from its wheel: no system library, no network, no fonts but its own."""

import json
import threading
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typst

_DOCUMENTS = Path(__file__).parent.parent / "documents"
# One at a time: a document takes milliseconds, and a second thread would only take another's processor.
_turn = threading.Lock()


def render_pdf(template: str, data: Mapping[str, object], *, made_at: datetime | None = None) -> bytes:
    """The document of documents/<template>, which reads `data` as JSON from `sys.inputs.data`; PDF/A-2a and PDF/UA-1.

    Data are values and never markup: what people wrote cannot run. System fonts are left aside, so that every machine
    sets the same pages; with `made_at` as the file's own date the same data give the same bytes. Work for a processor:
    call it in a thread.
    """
    import typst  # noqa: PLC0415 - 80 MB of program that most processes never need

    with _turn:
        try:
            return _compile(template, data, made_at, standards=["a-2a", "ua-1"])
        except typst.TypstError:
            # A sign that no font here can show (an emoji in a title) breaks both standards: better a box than no document.
            # Whatever else is wrong fails again.
            return _compile(template, data, made_at, standards=[])


def _compile(
    template: str, data: Mapping[str, object], made_at: datetime | None, *, standards: "list[typst.PDFStandard]"
) -> bytes:
    made = _compiler(template).compile(
        format="pdf",
        sys_inputs={"data": json.dumps(data, ensure_ascii=False)},
        pdf_standards=standards,
        timestamp=int(made_at.timestamp()) if made_at else None,  # PDF dates have whole seconds
    )
    assert isinstance(made, bytes)
    return made


@cache
def _compiler(template: str) -> "typst.Compiler":
    import typst  # noqa: PLC0415 - as above

    fonts = typst.Fonts(include_system_fonts=False)
    return typst.Compiler(_DOCUMENTS / template, root=_DOCUMENTS, font_paths=fonts, ignore_system_fonts=True)

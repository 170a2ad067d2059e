"""PDF by Typst, from the wheel: no system library, no network, no fonts but its own."""

import json
from collections.abc import Mapping
from pathlib import Path

import typst

_DOCUMENTS = Path(__file__).parent.parent / "documents"


def render_pdf(template: str, data: Mapping[str, object]) -> bytes:
    """The document of documents/<template>, which reads `data` as JSON from `sys.inputs.data`.

    Data are values and never markup: what people wrote cannot run. System fonts are left aside, so that every machine
    sets the same pages.
    """
    rendered: bytes = typst.compile(
        str(_DOCUMENTS / template),
        root=str(_DOCUMENTS),
        ignore_system_fonts=True,
        sys_inputs={"data": json.dumps(data, ensure_ascii=False)},
    )
    return rendered

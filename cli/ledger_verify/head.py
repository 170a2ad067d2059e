"""A published head: its hash, or a file with it (the API's answer, the event, a copied e-mail)."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

_HASH = re.compile(r"\b[0-9a-f]{64}\b")


@dataclass(frozen=True)
class Head:
    hash: str
    number: int | None = None


def read_head(text: str) -> Head | None:
    """The head that a person gave; None when there is none to be found."""
    if _HASH.fullmatch(text.strip().lower()):
        return Head(text.strip().lower())
    path = Path(text)
    if not path.is_file():
        return None
    content = path.read_text(errors="replace")
    try:
        fields = json.loads(content)
        fields = fields.get("data", fields)
        return Head(str(fields.get("hash") or fields["head_hash"]), fields.get("number") or fields.get("block_number"))
    except (ValueError, KeyError, AttributeError):
        found = _HASH.search(content.lower())
        return Head(found[0]) if found else None

"""Digests of what somebody signs, approves or publishes, so that anybody can compute them again."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def digest_json(facts: Mapping[str, Any]) -> str:
    """SHA-256 in hexadecimal of the facts as canonical JSON: keys sorted, no blanks, ASCII only. No floats: they differ."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()

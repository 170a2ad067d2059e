"""Digests of what somebody signs, approves or publishes, so that anybody can compute them again."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any


def canonical_json(facts: Mapping[str, Any], *, default: Callable[[object], str] | None = None) -> str:
    """Keys sorted, no blanks, ASCII only. No floats: they differ. `default` writes what JSON has no form for."""
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=default)


def digest_text(canonical: str) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def digest_json(facts: Mapping[str, Any]) -> str:
    return digest_text(canonical_json(facts))

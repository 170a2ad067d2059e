"""The bundle as a file: one JSON value a line. Rows are arrays, everything else is an object (docs/adr/0016)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

ROW = ord("[")


class Unreadable(Exception):
    """No bundle, or one that this version does not know."""


@dataclass
class Part:
    """An object line and the rows below it."""

    name: str  # bundle | block | unsealed | state | end
    fields: dict[str, Any]
    rows: list[bytes]


def read_parts(path: Path) -> Iterator[Part]:
    """Part by part: a block and its rows are in memory together, and no more. Raises Unreadable."""
    try:
        with path.open("rb", buffering=1 << 20) as file:
            yield from _parts(file)
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from error


def _parts(file: BinaryIO) -> Iterator[Part]:
    part = Part("", {}, [])
    add = part.rows.append
    for line in file:
        if line[0] == ROW:
            add(line[:-1])
            continue
        if part.name:
            yield part
        elif part.rows:
            raise Unreadable("a row before the bundle's head")
        part = _open_part(line)
        add = part.rows.append
    if not part.name:
        raise Unreadable("no bundle")
    yield part


def _open_part(line: bytes) -> Part:
    try:
        content = json.loads(line)
        ((name, fields),) = content.items()
        if not isinstance(fields, dict):
            raise TypeError(name)
    except (ValueError, AttributeError, TypeError) as error:
        raise Unreadable(f"{line[:60]!r}: {error}") from error
    return Part(name, fields, [])

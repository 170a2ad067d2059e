"""Hints: two bytes for each column of a row, sealed beside its hash. They prove nothing and tell which column it was."""

import re
import struct
import zlib
from collections.abc import Sequence

_NAME = re.compile(rb'^(?:\["\w+",\{")?(\w+)":')


def split_hints(joined: bytes) -> list[list[int]]:
    """For each row the two bytes of each of its columns."""
    hints, at = [], 0
    while at + 2 <= len(joined):
        (count,) = struct.unpack_from("<H", joined, at)
        hints.append(list(struct.unpack_from(f"<{count}H", joined, at + 2)))
        at += 2 + 2 * count
    return hints


def names_and_hints(row: bytes) -> tuple[list[str], list[int]]:
    names, hints, name = [], [], "?"
    for part in row[:-2].split(b',"'):
        if match := _NAME.match(part):
            name = match[1].decode()
        names.append(name)
        hints.append(zlib.crc32(part) & 0xFFFF)
    return names, hints


def hints_of(row: bytes) -> list[int]:
    return names_and_hints(row)[1]


def pack_hints(hints: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(hints) + 1}H", len(hints), *hints)

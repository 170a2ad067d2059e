"""Seals: what is hashed, how hashes become a block, and how blocks hang together (docs/adr/0016).

Nothing here is shared with `cli/ledger_verify`, which checks it all with code of its own.
"""

import hashlib
import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

# What the hashes of a block are made of. Another form is another number, and this one is kept for the blocks it made.
FORMAT = 1
BLOCK_ROWS = 4096
GENESIS = bytes(32)
_LEAF, _NODE, _BLOCK = b"\x00", b"\x01", b"\x02"

# (transaction, table, key): the order in which rows are sealed. Nothing can come before a sealed row any more.
Position = tuple[int, str, str]
START: Position = (0, "", "")


class Row(NamedTuple):
    """A row in its canonical form: a JSON array of the table's name and an object of its columns that are not NULL.

    Sorted keys, no blanks, integers as they are, instants in UTC with microseconds, bytes in hex, all else as text.
    """

    position: Position
    content: bytes

    @property
    def ref(self) -> str:
        return f"{self.position[1]}:{self.position[2]}"


def hash_leaf(content: bytes) -> bytes:
    return hashlib.sha256(_LEAF + content).digest()


def compute_root(leaves: Sequence[bytes]) -> bytes:
    """The Merkle tree hash of RFC 6962, section 2.1: leaves and nodes are told apart by their first byte."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    sha256 = hashlib.sha256
    level = list(leaves)
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        above = [sha256(_NODE + left + right).digest() for left, right in pairs]
        if len(level) % 2:
            above.append(level[-1])  # has no neighbour: rises as it is, which is RFC 6962's tree
        level = above
    return level[0]


def make_hints(contents: Sequence[bytes]) -> bytes:
    """For each row the number of its columns, then two bytes a column, in their order (little-endian).

    They prove nothing: they tell which column of an altered row it was.
    """
    crc32, pack = zlib.crc32, struct.pack
    hints = []
    for content in contents:
        checks = [crc32(part) & 0xFFFF for part in content[:-2].split(b',"')]
        hints.append(pack(f"<{len(checks) + 1}H", len(checks), *checks))
    return b"".join(hints)


@dataclass(frozen=True)
class Block:
    """`refs` name the rows in their order; `hash` covers everything but itself and the signature."""

    territory: str
    number: int
    first_sequence: int
    previous_hash: bytes
    leaves: bytes
    refs: tuple[str, ...]
    hints: bytes
    last: Position
    sealed_at: datetime
    public_key: bytes
    merkle_root: bytes
    row_count: int
    next_public_key: bytes | None = None
    hash: bytes = b""
    signature: bytes = b""
    format: int = FORMAT

    @property
    def last_sequence(self) -> int:
        return self.first_sequence + self.row_count - 1

    @property
    def signer(self) -> bytes:
        """The public key that signs the block after this one."""
        return self.next_public_key or self.public_key

    def header(self) -> bytes:
        """What is hashed: canonical JSON of all the rest, long members by their hash."""
        members: dict[str, Any] = {
            "first_sequence": self.first_sequence,
            "format": self.format,
            "hints_hash": hashlib.sha256(self.hints).hexdigest(),
            "last_key": self.last[2],
            "last_table": self.last[1],
            "last_xact": self.last[0],
            "merkle_root": self.merkle_root.hex(),
            "number": self.number,
            "previous_hash": self.previous_hash.hex(),
            "public_key": self.public_key.hex(),
            "refs_hash": hashlib.sha256("\n".join(self.refs).encode()).hexdigest(),
            "row_count": self.row_count,
            "sealed_at": self.sealed_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "territory": self.territory,
        }
        if self.next_public_key is not None:
            members["next_public_key"] = self.next_public_key.hex()
        return json.dumps(members, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    def compute_hash(self) -> bytes:
        return hashlib.sha256(_BLOCK + self.header()).digest()


def build_block(
    rows: Sequence[Row],
    *,
    territory: str,
    previous: Block | None,
    public_key: bytes,
    sealed_at: datetime,
    next_public_key: bytes | None = None,
) -> Block:
    """The block that follows `previous`, hashed and not yet signed."""
    contents = [row.content for row in rows]
    leaves = [hash_leaf(content) for content in contents]
    draft = Block(
        territory=territory,
        number=previous.number + 1 if previous else 1,
        first_sequence=previous.last_sequence + 1 if previous else 1,
        previous_hash=previous.hash if previous else GENESIS,
        leaves=b"".join(leaves),
        refs=tuple(row.ref for row in rows),
        hints=make_hints(contents),
        last=rows[-1].position if rows else previous.last if previous else START,
        sealed_at=sealed_at,
        public_key=public_key,
        merkle_root=compute_root(leaves),
        row_count=len(rows),
        next_public_key=next_public_key,
    )
    return replace(draft, hash=draft.compute_hash())

"""The chain: leaves, trees, links and signatures, as docs/adr/0016 describes them (RFC 6962, RFC 8032)."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from cli.ledger_verify.findings import Finding
from cli.ledger_verify.hints import hints_of, pack_hints
from cli.ledger_verify.transfers import read_row

HASH_BYTES = 32
FORMATS = frozenset({1})
# What a header holds beside the digests of the long members.
_PLAIN = (
    "first_sequence", "format", "last_key", "last_table", "last_xact", "merkle_root", "next_public_key", "number",
    "previous_hash", "public_key", "row_count", "sealed_at", "territory",
)  # fmt: skip


@dataclass(frozen=True)
class Block:
    """A block line of the bundle, as it stands there."""

    fields: dict[str, Any]

    @property
    def number(self) -> int:
        return int(self.fields["number"])

    @property
    def first_sequence(self) -> int:
        return int(self.fields["first_sequence"])

    @property
    def refs(self) -> list[str]:
        return list(self.fields["refs"])

    @property
    def leaves(self) -> bytes:
        return bytes.fromhex(self.fields["leaves"])

    @property
    def hints(self) -> bytes:
        return bytes.fromhex(self.fields["hints"])

    @property
    def signer(self) -> str:
        """The public key that must sign the next block."""
        return str(self.fields.get("next_public_key") or self.fields["public_key"])

    def hash(self, **instead: Any) -> str:
        """The hash of the header, with some members replaced."""
        fields = self.fields | instead
        header = {name: fields[name] for name in _PLAIN if fields.get(name) is not None}
        header["refs_hash"] = hashlib.sha256("\n".join(fields["refs"]).encode()).hexdigest()
        header["hints_hash"] = hashlib.sha256(bytes.fromhex(fields["hints"])).hexdigest()
        text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(b"\x02" + text.encode()).hexdigest()

    def is_signed(self, hash: str, *, public_key: str) -> bool:
        try:
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
            key.verify(bytes.fromhex(self.fields["signature"]), bytes.fromhex(hash))
        except (InvalidSignature, ValueError):
            return False
        return True


def hash_rows(rows: Sequence[bytes]) -> list[bytes]:
    sha256 = hashlib.sha256
    return [sha256(b"\x00" + row).digest() for row in rows]


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962, section 2.1, for a whole list."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    sha256 = hashlib.sha256
    level = list(leaves)
    while (count := len(level)) > 1:
        above = [sha256(b"\x01" + level[at] + level[at + 1]).digest() for at in range(0, count - 1, 2)]
        if count & 1:
            above.append(level[-1])
        level = above
    return level[0]


def split_leaves(joined: bytes) -> list[bytes]:
    return [joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)]


def key_id(public_key: str) -> str:
    """How a key is called among people."""
    return hashlib.sha256(bytes.fromhex(public_key)).hexdigest()[:16]


@dataclass
class Chain:
    """Follows the chain from block to block."""

    territory: str
    previous: Block | None = None
    _previous_hash: str = bytes(HASH_BYTES).hex()

    def check(self, block: Block, *, rows: Sequence[bytes], name: Callable[[bytes], str]) -> Finding | None:
        """What is wrong with a block itself, apart from its rows; `rows`, and what each is called, help to name it."""
        expected = self._expected(block)
        hash = block.hash()
        signed = block.is_signed(hash, public_key=expected["public_key"])
        links = tuple(name for name, value in expected.items() if block.fields.get(name) != value)
        leaves = split_leaves(block.leaves)
        complete = merkle_root(leaves).hex() == block.fields["merkle_root"] and len(leaves) == len(block.refs)
        finding: Finding | None = None
        if not (signed and not links and complete and hash == block.fields["hash"]):
            finding = self._name(block, expected=expected, links=links, rows=rows, refs=[name(row) for row in rows])
        self.previous = block
        self._previous_hash = hash if signed else block.fields["hash"]
        return finding

    def _expected(self, block: Block) -> dict[str, Any]:
        """What follows from the block before."""
        before = self.previous
        return {
            "territory": self.territory,
            "number": before.number + 1 if before else 1,
            "first_sequence": before.first_sequence + len(before.refs) if before else 1,
            "previous_hash": self._previous_hash,
            "public_key": before.signer if before else block.fields["public_key"],
        }

    def _name(
        self, block: Block, *, expected: dict[str, Any], links: tuple[str, ...], rows: Sequence[bytes], refs: Sequence[str]
    ) -> Finding:
        """Which column it was: the one whose right value makes the hash the signed one again."""
        number, first, key = expected["number"], expected["first_sequence"], expected["public_key"]
        found, stated = block.hash(), block.fields["hash"]

        def altered(*columns: str, kind: str = "block-altered") -> Finding:
            return Finding(kind, block=number, sequence=first, columns=columns)

        if links and block.number > number and not block.is_signed(block.hash(number=number), public_key=key):
            return Finding("block-missing", block=number, sequence=first, found=block.number)
        if block.is_signed(found, public_key=key):
            if int(block.fields["row_count"]) != len(block.refs):
                return altered("refs")
            return altered("hash") if found != stated else altered(*(links or ("leaves",)))
        for name, value in self._candidates(block, expected, rows, refs):
            if block.is_signed(block.hash(**{name: value}), public_key=key):
                return altered(name)
        if block.is_signed(stated, public_key=key):
            # The signed hash is there, hence what was changed is of the few members that nothing else tells.
            return altered("sealed_at", "next_public_key", "last_xact", "last_table", "last_key")
        return altered(*(links or ("signature", "public_key")), kind="block-forged")

    @staticmethod
    def _candidates(
        block: Block, expected: dict[str, Any], rows: Sequence[bytes], refs: Sequence[str]
    ) -> Iterator[tuple[str, Any]]:
        yield from expected.items()
        yield "merkle_root", merkle_root(split_leaves(block.leaves)).hex()
        yield "merkle_root", merkle_root(hash_rows(rows)).hex()
        yield "row_count", len(rows)
        yield "refs", list(refs)
        yield "hints", b"".join(pack_hints(hints_of(row)) for row in rows).hex()
        yield "format", max(FORMATS)
        yield "next_public_key", None
        if block.refs:
            table, _, key = block.refs[-1].partition(":")
            yield "last_table", table
            yield "last_key", key
            for row, ref in zip(rows, refs, strict=True):
                if ref == block.refs[-1]:
                    yield "last_xact", read_row(row)[1].get("xact")

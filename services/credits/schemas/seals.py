"""Seals, their keys, and audits."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy import Row

from services.credits.domain.seals import Block
from services.credits.domain.signing import key_id


class HeadOut(BaseModel):
    """A block as it is published: keep it, and compare (`metis ledger verify BUNDLE --head`)."""

    number: int
    hash: str = Field(description="SHA-256 of the block's header, in hex; it stands for everything sealed so far.")
    last_sequence: int = Field(description="Rows sealed so far.")
    row_count: int = Field(description="Of which in this block.")
    previous_hash: str
    merkle_root: str
    sealed_at: datetime
    key_id: str
    public_key: str = Field(description="Ed25519, raw, in hex.")
    next_public_key: str | None = Field(description="The key that signs from the next block on, if this block hands over.")
    signature: str = Field(description="Ed25519 over the hash, in hex.")

    @classmethod
    def of(cls, block: Block) -> "HeadOut":
        return cls(
            number=block.number,
            hash=block.hash.hex(),
            last_sequence=block.last_sequence,
            row_count=block.row_count,
            previous_hash=block.previous_hash.hex(),
            merkle_root=block.merkle_root.hex(),
            sealed_at=block.sealed_at,
            key_id=key_id(block.public_key),
            public_key=block.public_key.hex(),
            next_public_key=block.next_public_key.hex() if block.next_public_key else None,
            signature=block.signature.hex(),
        )


class SealsOut(BaseModel):
    items: list[HeadOut]
    next: int | None = Field(description="`after` of the next page; null on the last.")


class SealKeyOut(BaseModel):
    key_id: str
    public_key: str = Field(description="Ed25519, raw, in hex.")
    from_block: int = Field(description="The first block that it signed.")


class SealKeysOut(BaseModel):
    items: list[SealKeyOut]


class AuditOut(BaseModel):
    id: UUID
    asked_by: str = Field(description="Opaque id; `system` at night.")
    started_at: datetime
    ended_at: datetime
    transfers: int = Field(description="Recomputed from.")
    accounts: int = Field(description="Compared.")
    difference_count: int
    differences: list[dict[str, Any]] = Field(description="The first of them: what, where, expected, found.")

    @classmethod
    def of(cls, row: Row[Any]) -> "AuditOut":
        return cls.model_validate(dict(row._mapping))

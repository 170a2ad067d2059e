"""The keys that sign sealed blocks: Ed25519 (RFC 8032), named by their own public half."""

import base64
import hashlib
import json
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.credits.domain.sealing_errors import BadSealKey


def key_id(public_key: bytes) -> str:
    """How a key is called among people: the beginning of its public half's hash."""
    return hashlib.sha256(public_key).hexdigest()[:16]


@dataclass(frozen=True)
class SealKey:
    """A private key that may sign blocks."""

    private: Ed25519PrivateKey
    public: bytes

    @property
    def id(self) -> str:
        return key_id(self.public)

    def sign(self, content: bytes) -> bytes:
        return self.private.sign(content)

    @classmethod
    def of_jwk(cls, jwk: str) -> "SealKey":
        """A key as `metis keys` prints it (RFC 8037). Raises BadSealKey."""
        try:
            fields = json.loads(jwk)
            if (fields["kty"], fields["crv"]) != ("OKP", "Ed25519"):
                raise ValueError(f"{fields['kty']} {fields['crv']}")
            seed = str(fields["d"])
            private = Ed25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode(seed + "=" * (-len(seed) % 4)))
        except (ValueError, KeyError, TypeError) as error:
            # Never with the text itself: it would stand in a log.
            raise BadSealKey("The seal key is no Ed25519 JWK with its private half; `metis keys` makes one.") from error
        return cls(private, private.public_key().public_bytes_raw())


@dataclass(frozen=True)
class SealKeys:
    """The key that signs from now on, and those of before: each hands over to the next in a block it signs itself."""

    current: SealKey
    earlier: tuple[SealKey, ...] = ()

    def find(self, public_key: bytes) -> SealKey | None:
        return next((key for key in (self.current, *self.earlier) if key.public == public_key), None)

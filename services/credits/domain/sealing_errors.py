"""What seals and audits refuse, each by name."""

from typing import ClassVar

from kernel.errors import MetisError, Refused


class BadSealKey(MetisError):
    """A setting that is wrong; it stops the service at its start."""

    code: ClassVar[str] = "bad-seal-key"
    title: ClassVar[str] = "The key of the seals cannot be used"


class SealChainBroken(Refused):
    """Nothing is sealed until somebody mends it."""

    code: ClassVar[str] = "seal-chain-broken"
    title: ClassVar[str] = "The chain of seals cannot be continued"


class SealingBehind(Refused):
    code: ClassVar[str] = "sealing-behind"
    title: ClassVar[str] = "Too much is not sealed yet"

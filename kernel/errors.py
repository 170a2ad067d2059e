"""Every refusal the platform gives, each with its stable code and HTTP status (RFC 9457)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class FieldError:
    """One faulty field: a JSON pointer into the request and what to write instead."""

    pointer: str
    detail: str


class MetisError(Exception):
    """A refusal that its caller can understand and act on.

    `detail` says what is wrong and what would help; `members` are extra facts, rendered as they
    are (RFC 9457, section 3.2). Subclasses fix `status`, `code` and `title`.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Something failed on our side"

    def __init__(
        self, detail: str, *, fields: Sequence[FieldError] = (), headers: dict[str, str] | None = None, **members: Any
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fields = tuple(fields)
        self.headers = headers or {}
        self.members = members


class BadInput(MetisError):
    status, code, title = 422, "bad-input", "The request cannot be understood"

    @classmethod
    def at(cls, pointer: str, detail: str) -> "BadInput":
        return cls(f"{pointer}: {detail}", fields=[FieldError(pointer, detail)])


class Unauthenticated(MetisError):
    status, code, title = 401, "unauthenticated", "No valid token came with the request"


class Forbidden(MetisError):
    status, code, title = 403, "forbidden", "This token does not allow it"


class NotFound(MetisError):
    status, code, title = 404, "not-found", "There is no such thing here"


class Refused(MetisError):
    """A rule of the domain says no; trying the same again changes nothing."""

    status, code, title = 409, "refused", "A rule refuses this"


class PreconditionFailed(MetisError):
    status, code, title = 412, "version-mismatch", "Somebody changed it in the meantime"


class PreconditionRequired(MetisError):
    status, code, title = 428, "version-required", "An edit must name the version it edits"


class KeyReused(MetisError):
    status, code, title = 422, "idempotency-key-reused", "This Idempotency-Key came with another request"


class TooManyRequests(MetisError):
    status, code, title = 429, "too-many-requests", "Too many requests"


class Unavailable(MetisError):
    status, code, title = 503, "unavailable", "A part of the platform does not answer"

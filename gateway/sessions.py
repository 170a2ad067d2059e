"""Who a request comes from: access tokens, checked once, and the internal tokens that services get instead."""

from datetime import datetime, timedelta

from gateway.router import Operation
from kernel.auth import EVERY_TERRITORY, Caller, Role, TokenChecker, TokenSigner
from kernel.errors import Forbidden, Unauthenticated
from kernel.routing import check_access

ACCESS_AUDIENCE = "metis-gateway"
INTERNAL_LIFETIME = timedelta(minutes=5)
INTERNAL_RENEWAL = timedelta(seconds=60)
TOKEN_CHARACTERS = 4096  # ours have some hundreds; no parser is given more
VISITOR_ID = "visitor"
_CHALLENGE = 'Bearer realm="metis"'


class _Pass:
    """An internal token for one territory, as a header line, and the operations it has been allowed for."""

    __slots__ = ("header_line", "operations", "renew_at")

    def __init__(self, header_line: bytes, *, renew_at: datetime) -> None:
        self.header_line = header_line
        self.renew_at = renew_at
        self.operations: set[Operation] = set()


class Session:
    """What the gateway remembers of an access token: its caller and the internal tokens made for it."""

    __slots__ = ("_passes", "_signer", "caller", "token")

    def __init__(self, token: str, caller: Caller, *, signer: TokenSigner) -> None:
        self.token = token
        self.caller = caller
        self._signer = signer
        self._passes: dict[str, _Pass] = {}

    @property
    def is_visit(self) -> bool:
        """Whether it is of somebody without a token."""
        return not self.token

    def authorise(self, operation: Operation, *, territory: str, now: datetime) -> bytes:
        """The header line that opens the service's door. Raises Forbidden unless scope, role and territory fit."""
        known = self._passes.get(territory)
        if known and operation in known.operations and now < known.renew_at:
            return known.header_line
        try:
            caller = check_access(self.caller, territory=territory, scope=operation.scope, roles=operation.roles)
        except Forbidden as error:
            if operation.scope not in self.caller.scopes:
                error.headers["www-authenticate"] = f'{_CHALLENGE}, error="insufficient_scope", scope="{operation.scope}"'
            raise
        if known is None or now >= known.renew_at:
            known = self._passes[territory] = self._make_pass(caller, now=now)
        known.operations.add(operation)
        return known.header_line

    def _make_pass(self, caller: Caller, *, now: datetime) -> _Pass:
        token = self._signer.sign(caller, now=now, lifetime=INTERNAL_LIFETIME)
        if len(self._passes) >= 256:
            self._passes.clear()  # only a caller for every territory gets here
        return _Pass(f"authorization: Bearer {token}\r\n".encode(), renew_at=now + INTERNAL_RENEWAL)


class Sessions:
    """The sessions of this process, found by the `Authorization` header as it came in."""

    def __init__(self, checker: TokenChecker, signer: TokenSigner, *, size: int = 4096) -> None:
        self._checker = checker
        self._signer = signer
        self._size = size
        self._sessions: dict[bytes, Session] = {}
        self._visitors: dict[str, Session] = {}

    def find(self, authorization: bytes | None, *, now: datetime) -> Session | None:
        """The session of a token seen before, if it is still valid."""
        session = self._sessions.get(authorization) if authorization else None
        if session is not None:
            try:
                self._checker.check(session.token, now=now)
            except Unauthenticated:
                del self._sessions[authorization]  # type: ignore[arg-type]
                return None
        return session

    def visit(self, operation: Operation) -> Session:
        """The session of whoever sends no token, for an operation that is anybody's."""
        session = self._visitors.get(operation.scope)
        if session is None:
            caller = Caller(EVERY_TERRITORY, VISITOR_ID, roles=frozenset({Role.VISITOR}), scopes=frozenset({operation.scope}))
            session = self._visitors[operation.scope] = Session("", caller, signer=self._signer)
        return session

    def open(self, authorization: bytes | None, *, now: datetime) -> Session:
        """A session for a token not seen before. Raises Unauthenticated with the challenge of RFC 6750."""
        if authorization is None:
            raise Unauthenticated(
                "Send `Authorization: Bearer <token>`; a token comes from /oauth/token.", headers={"www-authenticate": _CHALLENGE}
            )
        scheme, _, rest = authorization.partition(b" ")
        token = rest.decode("latin-1")
        try:
            if scheme.lower() != b"bearer" or len(token) > TOKEN_CHARACTERS:
                raise Unauthenticated("Send `Authorization: Bearer <token>`; a token comes from /oauth/token.")
            caller = self._checker.check(token, now=now)
        except Unauthenticated as error:
            error.headers["www-authenticate"] = f'{_CHALLENGE}, error="invalid_token"'
            raise
        if len(self._sessions) >= self._size:
            self._sessions.clear()
        session = self._sessions[authorization] = Session(token, caller, signer=self._signer)
        return session

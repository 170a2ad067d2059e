"""The internal token: who is calling, signed by the gateway."""

from datetime import timedelta
from uuid import uuid4

import pytest

from kernel.auth import Caller, Role, TokenChecker, TokenSigner, make_key_pair
from kernel.clock import utc_now
from kernel.errors import Forbidden, Unauthenticated
from kernel.routing import check_access

PRIVATE, PUBLIC = make_key_pair()
CALLER = Caller("92071", "92071.agent", uuid4(), uuid4(), frozenset({Role.OFFICER}), frozenset({"credits:read"}))


def sign(caller: Caller = CALLER, *, minutes: int = 5, private: str = PRIVATE, audience: str = "metis-services") -> str:
    return TokenSigner(private).sign(caller, now=utc_now(), lifetime=timedelta(minutes=minutes), audience=audience)


class TestCheck:
    def test_gives_the_caller_that_was_signed(self) -> None:
        assert TokenChecker(PUBLIC).check(sign(), now=utc_now()) == CALLER

    def test_refuses_another_key(self) -> None:
        other, _ = make_key_pair()
        with pytest.raises(Unauthenticated):
            TokenChecker(PUBLIC).check(sign(private=other), now=utc_now())

    def test_refuses_another_audience(self) -> None:
        with pytest.raises(Unauthenticated, match="audience"):
            TokenChecker(PUBLIC).check(sign(audience="metis-gateway"), now=utc_now())

    def test_refuses_after_its_time_even_if_seen_before(self) -> None:
        checker, token = TokenChecker(PUBLIC), sign(minutes=5)
        checker.check(token, now=utc_now())
        with pytest.raises(Unauthenticated, match="expired"):
            checker.check(token, now=utc_now() + timedelta(minutes=6))

    @pytest.mark.parametrize(
        "change", [lambda t: t[:-4] + "AAAA", lambda t: t.replace(".", "", 1), lambda _: "", lambda _: "a.b.c"]
    )
    def test_refuses_a_changed_token(self, change: object) -> None:
        with pytest.raises(Unauthenticated):
            TokenChecker(PUBLIC).check(change(sign()), now=utc_now())  # type: ignore[operator]

    def test_refuses_a_token_without_signature(self) -> None:
        header, payload, _ = sign().split(".")
        unsigned = "eyJhbGciOiJub25lIn0"  # {"alg":"none"}
        for token in (f"{unsigned}.{payload}.", f"{header}.{payload}."):
            with pytest.raises(Unauthenticated):
                TokenChecker(PUBLIC).check(token, now=utc_now())


class TestCheckAccess:
    roles = frozenset({Role.OFFICER})

    def test_lets_in_who_has_territory_scope_and_role(self) -> None:
        assert check_access(CALLER, territory="92071", scope="credits:read", roles=self.roles) == CALLER

    @pytest.mark.parametrize(
        ("territory", "scope", "roles", "why"),
        [
            ("92014", "credits:read", roles, "territory"),
            ("92071", "credits:write", roles, "scope"),
            ("92071", "credits:read", frozenset({Role.AUDITOR}), "auditor"),
        ],
    )
    def test_refuses_when_one_of_them_lacks(self, territory: str, scope: str, roles: frozenset[str], why: str) -> None:
        with pytest.raises(Forbidden, match=why):
            check_access(CALLER, territory=territory, scope=scope, roles=roles)

    def test_makes_a_caller_of_every_territory_one_of_this(self) -> None:
        everywhere = Caller("*", "instance-admin", roles=self.roles, scopes=frozenset({"credits:read"}))
        assert check_access(everywhere, territory="92071", scope="credits:read", roles=self.roles).territory == "92071"

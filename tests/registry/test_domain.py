"""The registry's decisions, without a database."""

from dataclasses import replace
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.auth import Role
from kernel.errors import BadInput, Forbidden, Unauthenticated
from services.registry.domain.clients import (
    SCOPES_BY_NAME,
    SCOPES_OF_ROLE,
    ClientRole,
    check_client_name,
    check_client_roles,
    check_client_stands_for,
    check_secret,
    decide_scopes,
    hash_secret,
)
from services.registry.domain.identifiers import read_rna, read_siren, read_siret
from services.registry.domain.records import (
    Archival,
    Archived,
    MemberRole,
    apply_changes,
    check_identifiers,
    check_member_roles,
    decide_archival,
    decide_change,
    fold,
)
from tests.builders.registry import LATER, make_actor, make_actor_facts, make_member, make_member_facts, with_luhn

digits = st.sampled_from("0123456789")
# Blanks and points as spreadsheets and notices write them, the narrow no-break space of French typography included.
separators = st.sampled_from(["", " ", "\u00a0", "\u202f", "."])


def strings_of(length: int) -> st.SearchStrategy[str]:
    return st.text(digits, min_size=length, max_size=length).filter(lambda text: text.strip("0") != "")


sirens = strings_of(8).map(with_luhn)


@st.composite
def sirets(draw: st.DrawFn) -> str:
    siren = draw(sirens.filter(lambda siren: siren != "356000000"))
    return with_luhn(siren + draw(st.text(digits, min_size=4, max_size=4)))


@st.composite
def rnas(draw: st.DrawFn) -> str:
    third = draw(st.sampled_from("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    return "W" + draw(digits) + third + draw(st.text(digits, min_size=7, max_size=7))


def spread(number: str, separator: str) -> str:
    return separator.join([number[:3], number[3:6], number[6:]])


class TestReadSiren:
    @given(sirens, separators)
    def test_reads_whatever_blanks_it_is_typed_with(self, siren: str, separator: str) -> None:
        assert read_siren(spread(siren, separator)) == siren

    @given(sirens, st.integers(0, 8), st.integers(1, 9))
    def test_refuses_any_single_wrong_digit(self, siren: str, position: int, shift: int) -> None:
        wrong = siren[:position] + str((int(siren[position]) + shift) % 10) + siren[position + 1 :]
        with pytest.raises(ValueError, match=r"check digit|zeros"):
            read_siren(wrong)

    @given(st.text(max_size=30))
    def test_gives_nine_digits_or_a_reason(self, text: str) -> None:
        try:
            number = read_siren(text)
        except ValueError as reason:
            assert "SIREN" in str(reason)  # noqa: PT017 - a number is as right an outcome as a refusal
        else:
            assert len(number) == 9
            assert number.isascii()
            assert number.isdigit()

    def test_knows_the_public_bodies_of_sceaux(self) -> None:
        assert read_siren("200 057 966") == "200057966"
        assert read_siren("200 054 781") == "200054781"

    def test_refuses_zeros_typed_to_fill_the_field(self) -> None:
        with pytest.raises(ValueError, match="zeros"):
            read_siren("000 000 000")

    def test_refuses_digits_of_other_scripts(self) -> None:
        with pytest.raises(ValueError, match="9 digits"):
            read_siren("٢٠٠٠٥٧٩٦٦")


class TestReadSiret:
    @given(sirets(), separators)
    def test_reads_whatever_blanks_it_is_typed_with(self, siret: str, separator: str) -> None:
        assert read_siret(spread(siret, separator)) == siret

    @given(strings_of(14))
    def test_accepts_only_those_whose_siren_holds(self, number: str) -> None:
        try:
            read_siret(number)
        except ValueError:
            return
        assert read_siren(number[:9]) == number[:9]

    def test_knows_la_postes_exception(self) -> None:
        """An establishment of La Poste: no Luhn, but digits that sum to a multiple of five."""
        assert read_siret("35600000049837") == "35600000049837"
        with pytest.raises(ValueError, match="check digit"):
            read_siret("35600000049838")

    def test_la_postes_head_office_follows_luhn(self) -> None:
        assert read_siret("356 000 000 00048") == "35600000000048"


class TestReadRna:
    @given(rnas(), st.sampled_from(["", " ", "\u202f"]))
    def test_reads_lower_case_and_blanks(self, rna: str, separator: str) -> None:
        assert read_rna(separator.join(rna).lower()) == rna

    @pytest.mark.parametrize(
        "wrong", ["", "W92200012", "W9220001234", "922000123", "W92A000123", "WB22000123", "W922000123\u0660"]
    )
    def test_refuses_everything_else(self, wrong: str) -> None:
        with pytest.raises(ValueError, match="RNA"):
            read_rna(wrong)

    def test_reads_an_old_corsican_number(self) -> None:
        assert read_rna("w2b1000123") == "W2B1000123"


class TestCheckIdentifiers:
    def test_an_association_may_have_none(self) -> None:
        facts = make_actor_facts()
        assert check_identifiers(facts) == facts

    @given(sirets())
    def test_a_siret_gives_its_siren(self, siret: str) -> None:
        assert check_identifiers(make_actor_facts(siret=siret)).siren == siret[:9]

    @given(st.none() | sirets(), st.none() | rnas())
    def test_checking_again_changes_nothing(self, siret: str | None, rna: str | None) -> None:
        checked = check_identifiers(make_actor_facts(siret=siret, rna=rna))
        assert check_identifiers(checked) == checked

    @given(sirens, sirets())
    def test_refuses_a_siret_of_another_siren(self, siren: str, siret: str) -> None:
        if siret.startswith(siren):
            return
        with pytest.raises(BadInput) as refused:
            check_identifiers(make_actor_facts(siren=siren, siret=siret))
        assert [fault.pointer for fault in refused.value.fields] == ["/siret"]

    def test_names_every_faulty_field_and_its_cure(self) -> None:
        with pytest.raises(BadInput) as refused:
            check_identifiers(make_actor_facts(siren="123", siret="x", rna="W1"))
        assert [fault.pointer for fault in refused.value.fields] == ["/siren", "/siret", "/rna"]
        assert all("leave it out" in fault.detail for fault in refused.value.fields)

    def test_keeps_what_could_not_be_verified(self) -> None:
        facts = make_actor_facts(unverified_identifiers={"siren": "12345"})
        assert check_identifiers(facts).unverified_identifiers == {"siren": "12345"}

    def test_refuses_a_verified_and_an_unverified_one_at_once(self) -> None:
        with pytest.raises(BadInput) as refused:
            check_identifiers(make_actor_facts(siret="73282932000074", unverified_identifiers={"siren": "12345"}))
        assert [fault.pointer for fault in refused.value.fields] == ["/unverified_identifiers/siren"]


class TestApplyChanges:
    def test_keeps_what_is_left_out(self) -> None:
        facts = make_actor_facts(rna="W922000123", email="contact@exemple.test")
        assert apply_changes(facts, {"name": "Lire à deux"}) == replace(facts, name="Lire à deux")

    def test_a_stated_identifier_replaces_the_unverified_one(self) -> None:
        facts = make_actor_facts(unverified_identifiers={"siren": "12345", "rna": "W9"})
        changed = apply_changes(facts, {"siret": "732 829 320 00074"})
        assert (changed.siren, changed.unverified_identifiers) == ("732829320", {"rna": "W9"})

    def test_null_takes_an_identifier_away(self) -> None:
        assert apply_changes(make_actor_facts(rna="W922000123"), {"rna": None}).rna is None


class TestDecideChange:
    def test_the_same_facts_are_no_change(self) -> None:
        actor = make_actor()
        assert decide_change(actor, make_actor_facts(), now=LATER) is actor

    def test_new_facts_make_the_next_version(self) -> None:
        changed = decide_change(make_actor(), make_actor_facts(name="Lire à deux"), now=LATER)
        assert (changed.version, changed.changed_at, changed.facts.name) == (2, LATER, "Lire à deux")

    def test_refuses_to_change_what_is_archived(self) -> None:
        archived = decide_archival(make_member(), Archival(LATER, "a quitté l'association", "officer"))
        with pytest.raises(Archived, match="a quitté"):
            decide_change(archived, make_member_facts(locale="en"), now=LATER)

    def test_repeating_the_facts_of_an_archived_one_is_harmless(self) -> None:
        archived = decide_archival(make_actor(), Archival(LATER, "dissoute", "officer"))
        assert decide_change(archived, make_actor_facts(), now=LATER) is archived


class TestDecideArchival:
    def test_keeps_reason_and_person_in_a_new_version(self) -> None:
        archived = decide_archival(make_actor(), Archival(LATER, "dissoute", "officer"))
        assert (archived.version, archived.changed_at, archived.archival) == (2, LATER, Archival(LATER, "dissoute", "officer"))

    def test_refuses_a_second_time(self) -> None:
        archived = decide_archival(make_actor(), Archival(LATER, "dissoute", "officer"))
        with pytest.raises(Archived):
            decide_archival(archived, Archival(LATER, "encore", "officer"))


class TestCheckMemberRoles:
    @pytest.mark.parametrize("role", [MemberRole.ASSOCIATION, MemberRole.COMPANY])
    def test_people_of_a_body_name_it(self, role: MemberRole) -> None:
        with pytest.raises(BadInput) as refused:
            check_member_roles(make_member_facts(roles=(role,)), before=None, by_officer=True)
        assert refused.value.fields[0].pointer == "/actor_id"
        check_member_roles(make_member_facts(roles=(role,), actor_id=uuid4()), before=None, by_officer=False)

    def test_a_citizen_acts_for_themself(self) -> None:
        check_member_roles(make_member_facts(), before=None, by_officer=False)

    def test_only_an_officer_makes_an_officer(self) -> None:
        officer = make_member_facts(roles=(MemberRole.OFFICER,))
        with pytest.raises(Forbidden):
            check_member_roles(officer, before=None, by_officer=False)
        check_member_roles(officer, before=None, by_officer=True)

    def test_only_an_officer_unmakes_an_officer(self) -> None:
        with pytest.raises(Forbidden):
            check_member_roles(make_member_facts(), before=make_member_facts(roles=(MemberRole.OFFICER,)), by_officer=False)

    def test_an_operator_may_correct_an_officers_name(self) -> None:
        officer = make_member_facts(roles=(MemberRole.OFFICER,))
        check_member_roles(replace(officer, display_name="Claire"), before=officer, by_officer=False)


class TestFold:
    def test_case_accents_ligatures_and_blanks_do_not_matter(self) -> None:
        assert fold("  Chœur  de l'ÉTÉ\u00a0à Sceaux ") == "choeur de l'ete a sceaux"

    @given(st.text())
    def test_folding_again_changes_nothing(self, text: str) -> None:
        assert fold(fold(text)) == fold(text)


class TestDecideScopes:
    def test_every_role_that_may_sign_in_is_in_the_table(self) -> None:
        assert {role.value for role in SCOPES_OF_ROLE} == {role.value for role in Role} - {Role.SYSTEM.value, Role.VISITOR.value}
        assert {role.value for role in MemberRole} <= {role.value for role in ClientRole}

    def test_without_a_request_all_that_the_roles_allow(self) -> None:
        assert decide_scopes([ClientRole.AUDITOR], []) == ("credits:read", "matching:read", "notifications:read", "registry:read")

    def test_a_partner_manages_webhooks_and_writes_nothing(self) -> None:
        scopes = decide_scopes([ClientRole.PARTNER], [])
        assert "webhooks:manage" in scopes
        assert not [scope for scope in scopes if scope.endswith(":write")]

    @given(
        st.sets(st.sampled_from(ClientRole), min_size=1),
        st.sets(st.sampled_from(sorted(frozenset().union(*SCOPES_OF_ROLE.values())))),
    )
    def test_never_more_than_the_roles_allow(self, roles: set[ClientRole], requested: set[str]) -> None:
        brought = frozenset().union(*(SCOPES_OF_ROLE[role] for role in roles))
        allowed = brought.union(*(SCOPES_BY_NAME.get(role, frozenset()) for role in roles))
        try:
            scopes = decide_scopes(roles, requested)
        except BadInput:
            assert not requested <= allowed
        else:
            assert set(scopes) == (requested or brought)
            assert set(scopes) <= allowed


class TestCheckClientRoles:
    @pytest.mark.parametrize("role", [ClientRole.INSTANCE_ADMIN, ClientRole.GATEWAY])
    def test_an_officer_makes_no_client_of_the_instance(self, role: ClientRole) -> None:
        with pytest.raises(Forbidden, match=role.value):
            check_client_roles([ClientRole.OFFICER, role], caller_roles={"officer"})
        check_client_roles([role], caller_roles={"instance_admin"})

    def test_an_officer_makes_those_of_the_town(self) -> None:
        check_client_roles([ClientRole.OFFICER, ClientRole.PARTNER], caller_roles={"officer"})


class TestCheckClientName:
    def test_it_begins_with_the_territory(self) -> None:
        check_client_name("92071.agenda", territory="92071")
        with pytest.raises(BadInput, match=r"92071\."):
            check_client_name("92014.agenda", territory="92071")


class TestCheckClientStandsFor:
    @pytest.mark.parametrize("role", [ClientRole.ASSOCIATION, ClientRole.COMPANY, ClientRole.VOLUNTEER])
    def test_peoples_clients_act_for_somebody(self, role: ClientRole) -> None:
        with pytest.raises(BadInput):
            check_client_stands_for([role], actor_id=None, member_id=None)
        check_client_stands_for([role], actor_id=uuid4(), member_id=None)
        check_client_stands_for([role], actor_id=None, member_id=uuid4())

    def test_the_towns_may_act_for_none(self) -> None:
        check_client_stands_for([ClientRole.OFFICER], actor_id=None, member_id=None)


class TestCheckSecret:
    def test_the_right_secret_passes(self) -> None:
        check_secret("right", expected_hash=hash_secret("right"))

    @pytest.mark.parametrize(("secret", "expected"), [("wrong", hash_secret("right")), ("", None), ("right", None)])
    def test_a_wrong_secret_and_an_unknown_client_read_the_same(self, secret: str, expected: bytes | None) -> None:
        with pytest.raises(Unauthenticated, match="client_id or the client_secret"):
            check_secret(secret, expected_hash=expected)

"""Passwords and URLs of the runtime roles."""

import pytest

from cli.console import CliError
from cli.migrate import SERVICES, derive_password, owner_url, password_of, runtime_urls, services_here
from kernel.migrate import database_name, runtime_role, url_for


class TestPasswordOf:
    def test_prefers_the_given_one_and_derives_another_for_each_service(self) -> None:
        assert password_of("credits", {"METIS_CREDITS_DATABASE_PASSWORD": "given", "METIS_SECRET": "s"}) == "given"
        derived = {password_of(service, {"METIS_SECRET": "s"}) for service in SERVICES}
        assert len(derived) == len(SERVICES)
        assert password_of("credits", {"METIS_SECRET": "s"}) == derive_password("s", "credits") != derive_password("t", "credits")

    def test_says_what_to_set(self) -> None:
        with pytest.raises(CliError) as refusal:
            password_of("credits", {})
        assert "METIS_CREDITS_DATABASE_PASSWORD" in refusal.value.cure


class TestUrls:
    @pytest.mark.parametrize(
        "admin", ["postgresql://o:p%40w@db:5433/postgres?sslmode=require", "postgresql:///postgres?host=/tmp"]
    )
    def test_are_the_kernels(self, admin: str) -> None:
        passwords = {"credits": "a/b c", "bus": "x"}
        for service, url in runtime_urls(admin, passwords).items():
            database = database_name(service)
            assert url == url_for(admin, database=database, role=runtime_role(service), password=passwords[service])
            assert owner_url(admin, service) == url_for(admin, database=database)


class TestServicesHere:
    def test_refuses_an_unknown_one_by_name(self) -> None:
        assert services_here([]) == list(SERVICES)
        with pytest.raises(CliError, match="'creditz'"):
            services_here(["creditz"])

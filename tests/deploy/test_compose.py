"""docker-compose.yml, its environment file and the Dockerfile keep the rules that an instance depends on."""

import re
from typing import Any

import pytest
import yaml

from gateway.settings import GatewaySettings
from kernel.settings import KernelSettings, ServiceSettings
from services.credits.settings import Settings as CreditsSettings
from services.matching.settings import Settings as MatchingSettings
from services.notifications.settings import Settings as NotificationsSettings
from tests.deploy.manifests import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DEMO = yaml.safe_load((ROOT / "deploy" / "compose" / "demo.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = ("registry", "matching", "credits", "notifications", "gateway")
ONE_SHOT = {"migrate", "cli"}
# Their images hold no program that could ask (docker-compose.yml says so beside them).
CANNOT_ASK = {"collector", "viewer"}
REQUIRED = re.compile(r"\$\{([A-Z_]+):\?")
USED = re.compile(r"\$\{([A-Z_]+)")
SECRET = re.compile(r"PASSWORD|SECRET|PRIVATE_KEY|AMQP_URL|DATABASE_URL")


def each() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", [*SERVICES, "demo"])


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = SERVICES.get(name) or DEMO["services"][name]
    return found


class TestEveryService:
    @each()
    def test_is_limited(self, name: str) -> None:
        assert {"mem_limit", "cpus", "pids_limit"} <= set(service(name))

    @each()
    def test_is_locked_in(self, name: str) -> None:
        assert service(name)["cap_drop"] == ["ALL"]
        assert service(name)["security_opt"] == ["no-new-privileges:true"]
        assert service(name)["read_only"] is True or name == "rabbitmq"
        assert "privileged" not in service(name) and "network_mode" not in service(name)

    @each()
    def test_has_a_health_check_or_ends_by_itself(self, name: str) -> None:
        if name in ONE_SHOT | CANNOT_ASK | {"demo"}:
            assert service(name)["healthcheck"] == {"disable": True}
        else:
            assert service(name)["healthcheck"]["test"][0] == "CMD"

    @each()
    def test_comes_back_unless_it_ends_by_itself(self, name: str) -> None:
        assert service(name)["restart"] == ("no" if name in ONE_SHOT | {"demo"} else "unless-stopped")

    @each()
    def test_has_an_image_with_a_version(self, name: str) -> None:
        tag = service(name)["image"].partition(":")[2]
        assert tag and "latest" not in tag

    @each()
    def test_holds_no_secret(self, name: str) -> None:
        for variable, value in (service(name).get("environment") or {}).items():
            if SECRET.search(variable) and value is not None:
                assert "${" in value, variable
                # Empty is no value: it switches something off (the seals).
                assert ":-" not in value or value.endswith(":-}"), f"{variable} has a default"


class TestReach:
    def test_only_the_gateway_and_the_viewer_are_published_and_only_here(self) -> None:
        published = {name: each["ports"] for name, each in SERVICES.items() if "ports" in each}
        assert set(published) == {"gateway", "viewer"}
        assert published["gateway"] == ["${METIS_PUBLISH:-127.0.0.1:8100}:8080"]
        assert all(port.startswith("127.0.0.1:") for port in published["viewer"])
        assert SERVICES["viewer"]["profiles"] == ["telemetry"]
        assert not any("ports" in each for each in DEMO["services"].values())

    def test_only_the_gateway_joins_the_door_to_the_services(self) -> None:
        networks = COMPOSE["networks"]
        assert {name for name, network in networks.items() if (network or {}).get("internal")} == {
            "services",
            "data",
            "telemetry",
        }
        leading_out = {name: set(each["networks"]) & {"front", "outgoing"} for name, each in SERVICES.items()}
        assert {name for name, found in leading_out.items() if found} == {"gateway", "notifications", "viewer"}
        assert "services" not in SERVICES["viewer"]["networks"]

    def test_the_data_is_out_of_the_gateways_reach(self) -> None:
        assert "data" not in SERVICES["gateway"]["networks"]
        assert SERVICES["postgres"]["networks"] == SERVICES["rabbitmq"]["networks"] == ["data"]


class TestStart:
    def test_services_wait_for_their_tables_and_their_broker(self) -> None:
        for name in set(OURS) - {"gateway"}:
            assert SERVICES[name]["depends_on"] == {
                "migrate": {"condition": "service_completed_successfully"},
                "postgres": {"condition": "service_healthy"},
                "rabbitmq": {"condition": "service_healthy"},
            }

    def test_each_image_is_built_for_its_own_service(self) -> None:
        for name in (*OURS, "migrate"):
            wanted = "cli" if name == "migrate" else name
            assert SERVICES[name]["build"]["args"]["SERVICE"] == wanted
            assert SERVICES[name]["image"].startswith(f"metis/{wanted}:")

    def test_each_service_logs_in_as_itself(self) -> None:
        for name in set(OURS) - {"gateway"}:
            url = SERVICES[name]["environment"]["METIS_DATABASE_URL"]
            assert url.startswith(f"postgresql://metis_{name}:${{METIS_{name.upper()}_DATABASE_PASSWORD")
            assert url.endswith(f"/metis_{name}")

    def test_only_known_settings_are_given(self) -> None:
        """A misspelt METIS_… would be ignored in silence."""
        known: dict[str, type[KernelSettings]] = {
            "credits": CreditsSettings,
            "gateway": GatewaySettings,
            "matching": MatchingSettings,
            "notifications": NotificationsSettings,
        }
        for name in OURS:
            fields = {f"METIS_{field.upper()}" for field in known.get(name, ServiceSettings).model_fields}
            given = set(SERVICES[name]["environment"]) | set(DEMO["services"][name]["environment"])
            assert given - {"FORWARDED_ALLOW_IPS"} <= fields, name  # that one is uvicorn's

    def test_the_private_key_is_the_gateways_alone(self) -> None:
        assert [name for name, each in SERVICES.items() if "METIS_INTERNAL_PRIVATE_KEY" in (each.get("environment") or {})] == [
            "gateway"
        ]


class TestEnvironmentFile:
    EXAMPLE = (ROOT / ".env.example").read_text()
    SCRIPT = (ROOT / "deploy" / "compose" / "new-env.sh").read_text()
    TEXT = (ROOT / "docker-compose.yml").read_text()

    def test_every_variable_is_explained(self) -> None:
        passed_on = {
            name for each in SERVICES.values() for name, value in (each.get("environment") or {}).items() if value is None
        }
        named = set(re.findall(r"^#?([A-Z_]+)=", self.EXAMPLE, re.M))
        assert set(USED.findall(self.TEXT)) | passed_on == named

    def test_the_required_ones_come_first_and_are_no_values(self) -> None:
        required = set(REQUIRED.findall(self.TEXT))
        given = dict(re.findall(r"^([A-Z_]+)='(.*)'$", self.EXAMPLE, re.M))
        assert set(given) == required
        assert all(value.startswith("<") and value.endswith(">") for value in given.values())

    def test_the_script_makes_every_password(self) -> None:
        for name in REQUIRED.findall(self.TEXT):
            if name.endswith("_PASSWORD"):
                assert name.removesuffix("_PASSWORD") in self.SCRIPT.split("for name in ")[1].split(";")[0].split()

    def test_a_secret_is_never_committed(self) -> None:
        assert ".env" in (ROOT / ".gitignore").read_text().splitlines()
        assert "!.env" not in (ROOT / ".dockerignore").read_text()


class TestDockerfile:
    TEXT = (ROOT / "Dockerfile").read_text()

    def test_packages_come_from_the_lock_with_digests(self) -> None:
        installs = re.findall(r"(?:uv pip|/pip) install(?:[^\n]*\\\n)*[^\n]*", self.TEXT)
        assert len(installs) == 3
        assert all("--require-hashes" in install for install in installs)

    def test_ends_as_nobody_in_particular(self) -> None:
        last = self.TEXT.rpartition("\nFROM ")[2]
        assert re.search(r"^USER 10001:10001$", last, re.M)
        assert "HEALTHCHECK" in last and "pip" not in last

    def test_the_builder_sees_only_what_it_needs(self) -> None:
        lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
        assert lines[0] == "*"
        allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
        assert allowed == {
            "pyproject.toml",
            "requirements.lock",
            "kernel",
            "services",
            "gateway",
            "cli",
            "examples",
            "deploy/image",
        }

    def test_no_address_of_a_package_index(self) -> None:
        for path in ("Dockerfile", "docker-compose.yml"):
            assert "https://" not in (ROOT / path).read_text(), path

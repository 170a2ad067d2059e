"""The alerts and the Collector's configuration speak of what is there."""

import re
from typing import Any

import yaml

from tests.deploy.manifests import ROOT

ALERTS = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())
COLLECTOR = yaml.safe_load((ROOT / "deploy" / "otel" / "collector.yaml").read_text())
SCRAPE = yaml.safe_load((ROOT / "deploy" / "otel" / "scrape-compose.yaml").read_text())
DEFINED = re.compile(r"\b(Counter|Gauge|Histogram|Summary)\(\s*\"([a-z_]+)\"")
# Labels, functions and words of PromQL begin otherwise.
OF_OURS = re.compile(r"\b(metis_[a-z_]+|http_server_[a-z_]+)\b")


def exported_metrics() -> set[str]:
    names = set()
    for folder in ("kernel", "services", "gateway"):
        for path in (ROOT / folder).rglob("*.py"):
            for kind, name in DEFINED.findall(path.read_text()):
                names |= {f"{name}_{part}" for part in ("bucket", "count", "sum")} if kind == "Histogram" else {name}
    return names


def rules() -> list[dict[str, Any]]:
    return [rule for group in ALERTS["groups"] for rule in group["rules"]]


class TestAlerts:
    def test_speak_of_metrics_that_exist(self) -> None:
        used = {name for rule in rules() for name in OF_OURS.findall(rule["expr"])}
        assert used <= exported_metrics()
        assert {"metis_outbox_age_seconds", "metis_dead_letters", "metis_broker_dead_letters", "metis_ledger_minutes"} <= used
        assert {"metis_ledger_audit_differences", "metis_ledger_audited_at_seconds"} <= used
        assert "metis_ledger_sealing_failures_total" in used

    def test_say_what_to_do(self) -> None:
        for rule in rules():
            assert rule["annotations"]["summary"] and rule["annotations"]["action"], rule["alert"]
            assert rule["labels"]["severity"] in {"page", "ticket"}
            assert rule["for"]

    def test_have_names_of_their_own(self) -> None:
        names = [rule["alert"] for rule in rules()]
        assert len(names) == len(set(names))


class TestCollector:
    def test_every_pipeline_names_what_is_configured(self) -> None:
        merged = {
            part: {**COLLECTOR.get(part, {}), **SCRAPE.get(part, {})}
            for part in ("receivers", "processors", "exporters", "extensions")
        }
        pipelines = COLLECTOR["service"]["pipelines"] | SCRAPE["service"]["pipelines"]
        assert set(pipelines) == {"traces", "metrics"}
        for name, pipeline in pipelines.items():
            for part in ("receivers", "processors", "exporters"):
                assert pipeline[part] and set(pipeline[part]) <= set(merged[part]), (name, part)
            assert pipeline["processors"][0] == "memory_limiter", name
        assert set(COLLECTOR["service"]["extensions"]) <= set(merged["extensions"])

    def test_scrapes_every_process(self) -> None:
        (job,) = SCRAPE["receivers"]["prometheus"]["config"]["scrape_configs"]
        (targets,) = job["dns_sd_configs"]
        assert set(targets["names"]) == {"gateway", "registry", "matching", "credits", "notifications"}
        assert targets["port"] == 8080

"""deploy/k8s: each object fits its schema, and every pod keeps the rules that are easily forgotten in the next one."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.deploy import manifests
from tests.deploy.crds import SPECS
from tests.deploy.manifests import KUSTOMIZATIONS, Object, containers, pod_spec, workloads

BASE, SCEAUX = KUSTOMIZATIONS
# The oldest Kubernetes that has all we use (`sleep` before the end of a container), and the newest known here.
KUBERNETES = ("1.30.0", kubernetes_validate.latest_version())
SERVICES = ("registry", "matching", "credits", "notifications")
AT_REST = "tools"  # serves nothing, and nobody unless it is scaled up by hand


def name_of(item: Object) -> str:
    return f"{item['kind']} {item['metadata']['name']}"


def every(kind: str, objects: list[Object]) -> dict[str, Object]:
    return {item["metadata"]["name"]: item for item in objects if item["kind"] == kind}


def servers(objects: list[Object]) -> list[Object]:
    return [item for name, item in every("Deployment", objects).items() if name != AT_REST]


@pytest.fixture(params=KUSTOMIZATIONS, ids=lambda folder: folder.name)
def objects(request: pytest.FixtureRequest) -> list[Object]:
    return manifests.both(request.param)


class TestSchemas:
    # Validating is slow, and the overlay holds all of the base: the one by the oldest version, the other by the newest.
    @pytest.mark.parametrize(("folder", "version"), [(BASE, KUBERNETES[0]), (SCEAUX, KUBERNETES[1])])
    def test_every_core_object_is_valid(self, folder: Path, version: str) -> None:
        core = [item for item in manifests.applied(folder) if (item["apiVersion"], item["kind"]) not in SPECS]
        assert core
        for item in core:
            try:
                kubernetes_validate.validate(item, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                pytest.fail(f"{name_of(item)}: {error.message}")

    def test_every_custom_resource_has_only_known_fields(self, objects: list[Object]) -> None:
        seen = set()
        for item in objects:
            schema = SPECS.get((item["apiVersion"], item["kind"]))
            if schema:
                seen.add(item["kind"])
                errors = [
                    f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(item["spec"])
                ]
                assert not errors, (name_of(item), errors)
        assert seen == {kind for _, kind in SPECS}

    def test_an_unknown_field_is_found(self) -> None:
        cluster = every("Cluster", manifests.read_files(BASE))["metis-postgres"]
        schema = SPECS["postgresql.cnpg.io/v1", "Cluster"]
        assert not Draft202012Validator(schema).is_valid(cluster["spec"] | {"instnaces": 3})


class TestPods:
    def test_all_the_workloads_are_there(self) -> None:
        names = {item["metadata"]["name"] for item in workloads(manifests.read_files(BASE))}
        assert names == {*SERVICES, "gateway", "migrate", "collector", AT_REST}

    def test_every_container_requests_and_is_limited(self, objects: list[Object]) -> None:
        for workload in workloads(objects):
            for container in containers(workload):
                for bound in ("requests", "limits"):
                    assert {"cpu", "memory"} <= set(container["resources"][bound]), (name_of(workload), container["name"])

    def test_every_container_is_locked_in(self, objects: list[Object]) -> None:
        for workload in workloads(objects):
            context = pod_spec(workload)["securityContext"]
            assert context["runAsNonRoot"] is True and context["runAsUser"] > 0, name_of(workload)
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name_of(workload)
            for container in containers(workload):
                assert container["securityContext"] == {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                }, (name_of(workload), container["name"])

    def test_no_pod_holds_a_token_of_the_cluster(self, objects: list[Object]) -> None:
        accounts = every("ServiceAccount", objects)
        for workload in workloads(objects):
            spec = pod_spec(workload)
            assert spec["automountServiceAccountToken"] is False, name_of(workload)
            assert spec["serviceAccountName"] == workload["metadata"]["name"]
            assert accounts[spec["serviceAccountName"]]["automountServiceAccountToken"] is False

    def test_no_variable_of_kubernetes_looks_like_a_setting(self, objects: list[Object]) -> None:
        """A Service called `metis` would otherwise put METIS_PORT=tcp://… into every pod."""
        assert all(pod_spec(workload)["enableServiceLinks"] is False for workload in workloads(objects))

    def test_every_image_has_a_version(self, objects: list[Object]) -> None:
        images = [container["image"] for workload in workloads(objects) for container in containers(workload)]
        images += [item["spec"]["image"] for item in every("RabbitmqCluster", objects).values()]
        for image in images:
            tag = image.rpartition("/")[2].partition(":")[2]
            assert tag and tag != "latest", image

    def test_every_server_is_probed_and_drained(self, objects: list[Object]) -> None:
        for deployment in servers(objects):
            (container,) = deployment["spec"]["template"]["spec"]["containers"]
            assert {"livenessProbe", "readinessProbe"} <= set(container), name_of(deployment)
            assert container["lifecycle"]["preStop"], name_of(deployment)
            if deployment["metadata"]["name"] != "collector":
                assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"
                assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"
                # kernel.web gives requests 20 s to finish.
                assert pod_spec(deployment)["terminationGracePeriodSeconds"] > 20 + 5

    def test_a_new_version_takes_nothing_away_before_it_is_ready(self, objects: list[Object]) -> None:
        for deployment in every("Deployment", objects).values():
            assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0, name_of(deployment)

    def test_selectors_match_their_pods(self, objects: list[Object]) -> None:
        for deployment in servers(objects):
            labels = deployment["spec"]["template"]["metadata"]["labels"].items()
            assert deployment["spec"]["selector"]["matchLabels"].items() <= labels
            service = every("Service", objects)[deployment["metadata"]["name"]]
            assert service["spec"]["selector"].items() <= labels
            for constraint in pod_spec(deployment).get("topologySpreadConstraints", []):
                assert constraint["labelSelector"]["matchLabels"].items() <= labels


class TestAvailability:
    def test_every_service_survives_a_node(self, objects: list[Object]) -> None:
        budgets, scaled, by_cpu = (
            every(kind, objects) for kind in ("PodDisruptionBudget", "ScaledObject", "HorizontalPodAutoscaler")
        )
        for name in (*SERVICES, "gateway"):
            assert budgets[name]["spec"]["maxUnavailable"] == 1
            assert (name in scaled) != (name in by_cpu), f"{name} must have one autoscaler"
            least = scaled[name]["spec"]["minReplicaCount"] if name in scaled else by_cpu[name]["spec"]["minReplicas"]
            assert least >= 2, name
            deployment = every("Deployment", objects)[name]
            assert "replicas" not in deployment["spec"], f"{name}: the autoscaler's number would be set back at each apply"

    def test_queues_are_measured_by_every_message(self, objects: list[Object]) -> None:
        """KEDA's amqp mode sees only ready messages: a queue under work would look empty."""
        for name, scaled in every("ScaledObject", objects).items():
            (trigger,) = (trigger for trigger in scaled["spec"]["triggers"] if trigger["type"] == "rabbitmq")
            assert trigger["metadata"]["protocol"] == "http"
            assert trigger["metadata"]["queueName"] == f"metis.{name}"

    def test_connections_fit_the_database(self) -> None:
        objects = manifests.read_files(BASE)
        most = sum(item["spec"]["maxReplicaCount"] for item in every("ScaledObject", objects).values())
        most += every("HorizontalPodAutoscaler", objects)["registry"]["spec"]["maxReplicas"]
        kustomization = yaml.safe_load((BASE / "kustomization.yaml").read_text())
        literals = dict(line.split("=", 1) for line in kustomization["configMapGenerator"][0]["literals"])
        # Beside its pool a process holds its relay's connection and one for each job, of which none has more than four;
        # one pod more for each service while a version is replaced.
        wanted = (most + len(SERVICES)) * (int(literals["METIS_DATABASE_POOL_SIZE"]) + 5)
        parameters = every("Cluster", objects)["metis-postgres"]["spec"]["postgresql"]["parameters"]
        assert wanted <= int(parameters["max_connections"]) - 10


class TestNetwork:
    def test_nothing_is_allowed_by_default(self, objects: list[Object]) -> None:
        spec = every("NetworkPolicy", objects)["default-deny"]["spec"]
        assert spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}

    def test_services_are_asked_by_the_gateway_alone(self, objects: list[Object]) -> None:
        (rule,) = every("NetworkPolicy", objects)["services"]["spec"]["ingress"]
        pods = [peer["podSelector"]["matchLabels"] for peer in rule["from"] if "podSelector" in peer]
        assert pods == [{"app.kubernetes.io/name": "gateway"}]

    def test_only_notifications_speaks_to_the_outside(self, objects: list[Object]) -> None:
        policies = every("NetworkPolicy", objects)
        outside = [name for name, policy in policies.items() if "ipBlock" in yaml.safe_dump(policy)]
        assert outside == ["notifications-to-the-outside"]
        spec = policies["notifications-to-the-outside"]["spec"]
        assert spec["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "notifications"}
        (rule,) = spec["egress"]
        private = {block for peer in rule["to"] for block in peer["ipBlock"]["except"]}
        assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7"} <= private

    def test_every_workload_has_a_policy_of_its_own(self, objects: list[Object]) -> None:
        policies = every("NetworkPolicy", objects).values()
        for workload in workloads(objects):
            labels = workload["spec"]["template"]["metadata"]["labels"].items()
            selectors = [policy["spec"]["podSelector"].get("matchLabels", {}) for policy in policies]
            assert any(selector and selector.items() <= labels for selector in selectors), name_of(workload)

    def test_metrics_stay_inside(self) -> None:
        ingress = every("Ingress", manifests.read_files(SCEAUX))["gateway"]
        (rule,) = ingress["spec"]["rules"]
        prefixes = {path["path"] for path in rule["http"]["paths"] if path["pathType"] == "Prefix"}
        assert prefixes == {"/v1", "/oauth"}
        assert "/metrics" not in {path["path"] for path in rule["http"]["paths"]}
        assert ingress["spec"]["tls"][0]["hosts"] == [rule["host"]]


class TestSecrets:
    def test_no_manifest_holds_one(self, objects: list[Object]) -> None:
        assert not every("Secret", objects)
        for workload in workloads(objects):
            for container in containers(workload):
                for variable in container.get("env", []):
                    if any(word in variable["name"] for word in ("PASSWORD", "SECRET", "PRIVATE_KEY", "USERNAME")):
                        assert "secretKeyRef" in variable["valueFrom"], (name_of(workload), variable["name"])

    def test_every_secret_that_is_named_is_described(self) -> None:
        example = (BASE / "secrets.example.yaml").read_text()
        made_by_operators = {"metis-rabbitmq-default-user", "metis-postgres-ca"}
        for name in sorted(secret_names(manifests.read_files(BASE)) | made_by_operators):
            assert name in example, name

    def test_the_example_is_a_comment(self) -> None:
        assert not list(filter(None, yaml.safe_load_all((BASE / "secrets.example.yaml").read_text())))


def secret_names(value: Any) -> set[str]:
    """Every secret that is referred to below a value, in whatever way."""
    if isinstance(value, list):
        return set().union(*map(secret_names, value), set())
    if not isinstance(value, dict):
        return set()
    found = set().union(*map(secret_names, value.values()), set())
    for key in ("secretKeyRef", "passwordSecret", "accessKeyId", "secretAccessKey"):
        if isinstance(value.get(key), dict):
            found.add(value[key]["name"])
    if isinstance(value.get("secretTargetRef"), list):
        found |= {item["name"] for item in value["secretTargetRef"]}
    if isinstance(value.get("secretName"), str):
        found.add(value["secretName"])
    return found


class TestFiles:
    @pytest.mark.parametrize("folder", KUSTOMIZATIONS, ids=lambda folder: folder.name)
    def test_none_is_forgotten(self, folder: Path) -> None:
        kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
        files = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml", "secrets.example.yaml"}
        assert files == {name for name in kustomization["resources"] if name.endswith(".yaml")}

    def test_the_overlay_sets_the_version_of_every_image_of_ours(self) -> None:
        images = {entry["name"] for entry in yaml.safe_load((SCEAUX / "kustomization.yaml").read_text())["images"]}
        ours = {
            container["image"].partition(":")[0]
            for item in workloads(manifests.read_files(BASE))
            for container in containers(item)
        }
        assert images == {image for image in ours if image.startswith("metis/")}

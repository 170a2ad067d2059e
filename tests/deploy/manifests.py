"""deploy/k8s as objects: built by `kubectl kustomize` where there is one, and read file by file everywhere."""

import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
K8S = ROOT / "deploy" / "k8s"
KUSTOMIZATIONS = (K8S / "base", K8S / "overlays" / "sceaux")

Object = dict[str, Any]


@cache
def read_files(folder: Path) -> list[Object]:
    """Every object in the files that a kustomization names, those of the kustomizations it names included."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    found: list[Object] = []
    for name in kustomization["resources"]:
        path = (folder / name).resolve()
        found += read_files(path) if path.is_dir() else [item for item in yaml.safe_load_all(path.read_text()) if item]
    return found


@cache
def build(folder: Path) -> list[Object] | None:
    """What would be applied; None without kubectl."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        return None
    built = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True, timeout=60, check=False)
    assert built.returncode == 0, built.stderr
    return list(yaml.safe_load_all(built.stdout))


def applied(folder: Path) -> list[Object]:
    """The objects of the build, or of the files where there is no kubectl."""
    return build(folder) or read_files(folder)


def both(folder: Path) -> list[Object]:
    """The objects of the files, and those of the build where there can be one."""
    return read_files(folder) + (build(folder) or [])


def pod_spec(workload: Object) -> Object:
    spec: Object = workload["spec"]["template"]["spec"]
    return spec


def workloads(objects: list[Object]) -> Iterator[Object]:
    return (item for item in objects if item["kind"] in {"Deployment", "Job"})


def containers(workload: Object) -> list[Object]:
    spec = pod_spec(workload)
    return [*spec.get("initContainers", []), *spec["containers"]]

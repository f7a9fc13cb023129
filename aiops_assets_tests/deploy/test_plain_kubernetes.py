"""An overlay with its line for plain Kubernetes: volumes and users are given, and Prometheus asks for no token."""

import shutil
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from aiops_assets.settings import load_settings
from aiops_assets_tests.deploy import programs
from aiops_assets_tests.deploy.minors import MINORS
from aiops_assets_tests.deploy.overlays import ENVIRONMENTS, KUSTOMIZE, WORKLOADS, named, of_kind, pods
from aiops_assets_tests.deploy.pod_security import restricted_problems

LINE = "- ../../plain-kubernetes"

pytestmark = pytest.mark.needs("npm")


@pytest.fixture(params=ENVIRONMENTS)
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[dict[str, Any], ...]:
    """What an environment renders to when its line is no comment any more."""
    folder = shutil.copytree(KUSTOMIZE, tmp_path / "kustomize") / "overlays" / request.param
    overlay = folder / "kustomization.yaml"
    text = overlay.read_text()
    assert f"# {LINE}  # not OpenShift" in text
    overlay.write_text(text.replace(f"# {LINE}", LINE))
    return tuple(yaml.safe_load_all(programs.run(programs.kubectl(), "kustomize", str(folder))))


def test_pods_get_a_group_and_stay_restricted(objects: tuple[dict[str, Any], ...]) -> None:
    for pod in pods(objects):
        assert pod.spec["securityContext"]["fsGroup"] in (999, 1001), pod.owner
        assert restricted_problems(pod.spec) == []
    for workload in of_kind(objects, *WORKLOADS):
        kubernetes_validate.validate(workload, MINORS[-1], strict=True)


def test_settings_name_the_operators_prometheus_without_a_token(objects: tuple[dict[str, Any], ...]) -> None:
    settings = load_settings(named(objects, "ConfigMap", "aiops-settings")["data"])
    assert settings.prometheus_url == "http://prometheus-operated.monitoring.svc:9090"
    assert settings.prometheus_token_file is None
    assert settings.prometheus_ca_file is None

"""Every pod of ours may run where the restricted Pod Security Standard is enforced."""

import json
from copy import deepcopy

import pytest

from aiops_assets_tests.deploy.overlays import ENVIRONMENTS, everything, named, pods, render
from aiops_assets_tests.deploy.pod_security import restricted_problems

pytestmark = pytest.mark.needs("npm")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_pods_are_restricted_and_leave_the_user_to_openshift(environment: str) -> None:
    for pod in pods(everything(environment)):
        assert restricted_problems(pod.spec) == [], pod.owner
        assert "runAs" not in json.dumps(pod.spec).replace("runAsNonRoot", "")
        assert all(container["securityContext"]["readOnlyRootFilesystem"] for container in pod.containers)
        assert all(container["resources"]["requests"] for container in pod.containers)
        assert pod.spec.get("automountServiceAccountToken") is False


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("spec", "hostNetwork", True),
        ("spec", "securityContext", {}),
        ("spec", "volumes", [{"name": "host", "hostPath": {"path": "/"}}]),
        ("container", "ports", [{"containerPort": 80, "hostPort": 80}]),
        ("container", "livenessProbe", {"httpGet": {"host": "elsewhere", "port": 80}}),
        ("security", "privileged", True),
        ("security", "allowPrivilegeEscalation", True),
        ("security", "capabilities", {"drop": ["NET_RAW"]}),
        ("security", "capabilities", {"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
        ("security", "runAsNonRoot", False),
        ("security", "runAsUser", 0),
        ("security", "seccompProfile", {"type": "Unconfined"}),
        ("security", "procMount", "Unmasked"),
    ],
)
def test_a_pod_that_is_not_restricted_is_found(part: str, key: str, value: object) -> None:
    spec = deepcopy(named(render("production"), "Deployment", "aiops-service")["spec"]["template"]["spec"])
    assert restricted_problems(spec) == []
    container = spec["containers"][0]
    {"spec": spec, "container": container, "security": container["securityContext"]}[part][key] = value
    assert restricted_problems(spec)

"""deploy/kustomize renders to objects that Kubernetes takes, and that name each other rightly."""

import re
from copy import deepcopy
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from jsonschema import ValidationError

from aiops_assets import __version__
from aiops_assets.service.serving import GRACE_SECONDS, app_of
from aiops_assets.settings import PROJECT_ROOT, load_settings
from aiops_assets_tests.deploy.custom_resources import validator_of
from aiops_assets_tests.deploy.minors import MINORS
from aiops_assets_tests.deploy.overlays import (
    ENVIRONMENTS,
    FOLDERS,
    KUSTOMIZE,
    Object,
    everything,
    named,
    names,
    of_kind,
    pods,
    render,
    selects,
)

pytestmark = pytest.mark.needs("npm")

CORE = re.compile(r"v1|(apps|batch|policy|autoscaling|(networking|rbac\.authorization)\.k8s\.io)/v\d")
STRANGER = 12345
"""A user that no file belongs to."""


def is_core(found: Object) -> bool:
    return CORE.fullmatch(found["apiVersion"]) is not None


@pytest.mark.parametrize("minor", MINORS)
@pytest.mark.parametrize("folder", FOLDERS)
def test_core_objects_are_what_kubernetes_takes(folder: str, minor: str) -> None:
    for found in filter(is_core, render(folder)):
        kubernetes_validate.validate(found, minor, strict=True)


@pytest.mark.parametrize("minor", MINORS)
def test_a_misspelt_key_of_a_core_object_is_an_error(minor: str) -> None:
    found = deepcopy(named(render("production"), "Deployment", "aiops-service"))
    found["spec"]["template"]["spec"]["terminationGracePeriod"] = 40
    with pytest.raises(kubernetes_validate.ValidationError, match="terminationGracePeriod"):
        kubernetes_validate.validate(found, minor, strict=True)


@pytest.mark.parametrize("folder", FOLDERS)
def test_custom_resources_are_what_their_definitions_take(folder: str) -> None:
    custom = [found for found in render(folder) if not is_core(found)]
    assert custom
    for found in custom:
        validator_of(found["kind"], found["apiVersion"]).validate(found)


def test_a_misspelt_key_of_a_custom_resource_is_an_error() -> None:
    found = deepcopy(named(render("dev/serving"), "InferenceService", "anomaly-detector"))
    found["spec"]["predictor"]["model"]["storageURI"] = found["spec"]["predictor"]["model"].pop("storageUri")
    with pytest.raises(ValidationError, match="storageURI"):
        validator_of(found["kind"], found["apiVersion"]).validate(found)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_images_are_pinned_and_ours_names_what_is_in_it(environment: str) -> None:
    constraints = (PROJECT_ROOT / "constraints.txt").read_text()
    scikit_learn = re.search(r"^scikit-learn==(\S+)$", constraints, re.M)
    assert scikit_learn
    tag = f"{__version__}-sklearn{scikit_learn[1]}"
    for pod in pods(everything(environment)):
        for container in pod.containers:
            repository, _, found = container["image"].rpartition(":")
            assert repository, f"{pod.owner}: {container['image']} has neither tag nor digest"
            assert found not in ("", "latest")
            assert found == tag or not repository.endswith("aiops-assets")
    assert named(everything(environment), "ServingRuntime", "aiops-sklearn")["metadata"]["annotations"] == {
        "aiops-assets/scikit-learn": scikit_learn[1]
    }


def test_our_tag_stands_in_one_file() -> None:
    files = [path for path in KUSTOMIZE.rglob("*") if path.is_file() and re.search("sklearn[0-9]", path.read_text())]
    assert [path.relative_to(KUSTOMIZE).as_posix() for path in files] == ["image/kustomization.yaml"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_secrets_are_named_and_never_held(environment: str) -> None:
    objects = everything(environment)
    assert not of_kind(objects, "Secret")
    secret = re.compile("PASSWORD|SECRET|TOKEN|KEY")
    for pod in pods(objects):
        for variable in (one for container in pod.containers for one in container.get("env", ())):
            if secret.search(variable["name"]):
                assert set(variable["valueFrom"]) == {"secretKeyRef"}
    for found in of_kind(objects, "ConfigMap"):
        assert all(key.endswith("_FILE") for key in found["data"] if secret.search(key))
    assert not re.search(r"://[^/\s]+:[^/\s]+@|-----BEGIN", yaml.safe_dump_all(objects))


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_what_serves_has_the_public_key_where_the_settings_say_and_never_the_private_one(environment: str) -> None:
    objects = everything(environment)
    file = Path(named(objects, "ConfigMap", "aiops-settings")["data"]["VERIFY_KEY_FILE"])
    serving = [*of_kind(objects, "ServingRuntime"), named(objects, "Deployment", "aiops-service")["spec"]["template"]]
    assert len(serving) == 3
    for one in serving:
        secrets = {
            volume["name"]: volume["secret"]["secretName"] for volume in one["spec"]["volumes"] if "secret" in volume
        }
        (container,) = one["spec"]["containers"]
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        assert secrets == {mounts[str(file.parent)]["name"]: "aiops-verify"}
        assert mounts[str(file.parent)]["readOnly"]
    others = [pod for pod in pods(objects) if "aiops-signing" in str(pod.spec)]
    assert not others  # runs are Dagster's: deploy/dagster/values.yaml


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_what_pods_refer_to_exists(environment: str) -> None:
    objects = everything(environment)
    for pod in pods(objects):
        assert pod.spec["serviceAccountName"] in names(objects, "ServiceAccount")
        volumes = {volume["name"]: volume for volume in pod.spec.get("volumes", ())}
        claims = [
            one["persistentVolumeClaim"]["claimName"] for one in volumes.values() if "persistentVolumeClaim" in one
        ]
        assert set(claims) <= names(objects, "PersistentVolumeClaim")
        # The kubelet never starts a pod that mounts one claim by two volumes.
        assert len(set(claims)) == len(claims)
        maps = {one["configMap"]["name"] for one in volumes.values() if "configMap" in one}
        for container in pod.containers:
            maps |= {source["configMapRef"]["name"] for source in container.get("envFrom", ())}
        assert maps <= names(objects, "ConfigMap")
        kind, name = pod.owner.split("/")
        of_owner = named(objects, kind, name)["spec"].get("volumeClaimTemplates", ())
        known = {*volumes, *(claim["metadata"]["name"] for claim in of_owner)}
        for container in pod.containers:
            assert {mount["name"] for mount in container["volumeMounts"]} <= known


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_selectors_find_their_pods(environment: str) -> None:
    objects = everything(environment)
    for found in of_kind(objects, "Deployment", "StatefulSet"):
        labels = found["spec"]["template"]["metadata"]["labels"]
        assert selects(found["spec"]["selector"], labels)
        for spread in found["spec"]["template"]["spec"].get("topologySpreadConstraints", ()):
            assert selects(spread["labelSelector"], labels)
    for found in of_kind(objects, "PodDisruptionBudget"):
        assert [p.owner for p in pods(objects) if selects(found["spec"]["selector"], p.labels)] == [
            f"Deployment/{found['metadata']['name']}"
        ]
    for found in of_kind(objects, "HorizontalPodAutoscaler"):
        target = found["spec"]["scaleTargetRef"]
        # Each apply would set them back to what stands there.
        assert "replicas" not in named(objects, target["kind"], target["name"])["spec"]
    for found in of_kind(objects, "Service"):
        (pod,) = (p for p in pods(objects) if selects({"matchLabels": found["spec"]["selector"]}, p.labels))
        ports = {port["name"] for container in pod.containers for port in container.get("ports", ())}
        assert {port["targetPort"] for port in found["spec"]["ports"]} <= ports


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_monitors_find_their_pods(environment: str) -> None:
    objects = everything(environment)
    monitors = of_kind(objects, "ServiceMonitor")
    assert monitors
    for found in monitors:
        (service,) = (
            s for s in of_kind(objects, "Service") if selects(found["spec"]["selector"], s["metadata"]["labels"])
        )
        assert {end["port"] for end in found["spec"]["endpoints"]} <= {p["name"] for p in service["spec"]["ports"]}
    for found in of_kind(objects, "PodMonitor"):
        of_it = [pod for pod in pods(objects) if selects(found["spec"]["selector"], pod.labels)]
        assert {pod.owner.partition("/")[0] for pod in of_it} == {"InferenceService"}
        for pod in of_it:
            ports = {port["name"] for container in pod.containers for port in container.get("ports", ())}
            assert {end["port"] for end in found["spec"]["podMetricsEndpoints"]} <= ports


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_probes_ask_for_what_the_service_has(environment: str, tmp_path: Path) -> None:
    paths = app_of(load_settings({"AIOPS_HOME": str(tmp_path)}), demo=True).openapi()["paths"]
    probed = set()
    for pod in pods(everything(environment)):
        for container in pod.spec["containers"]:
            ports = {port.get("name"): port["containerPort"] for port in container.get("ports", ())}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                asked = container.get(probe, {}).get("httpGet")
                if asked:
                    probed.add(asked["path"])
                    assert ports.get(asked["port"], asked["port"]) in ports.values()
    assert probed == {"/health", "/v2/health/ready"} & set(paths)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_pod_is_killed_after_it_finished_its_requests(environment: str) -> None:
    for pod in pods(everything(environment)):
        for container in pod.spec["containers"]:
            if "serve" in container.get("args", ()):
                waits = container["lifecycle"]["preStop"]["sleep"]["seconds"]
                assert pod.spec["terminationGracePeriodSeconds"] > waits + GRACE_SECONDS

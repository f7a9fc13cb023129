"""What Helm's values and kustomize's objects call by the same name is the same."""

from typing import Any

import pytest
import yaml

from aiops_assets_tests.deploy.overlays import KUSTOMIZE, Object, everything, named, names, of_kind, pods, render

pytestmark = pytest.mark.needs("npm")

VALUES = KUSTOMIZE.parent / "dagster" / "values.yaml"


@pytest.fixture(scope="module")
def values() -> Object:
    found: Object = yaml.safe_load(VALUES.read_text())
    return found


def found_keys(tree: Any, key: str) -> list[Any]:
    """Every value of a key, at any depth."""
    if isinstance(tree, list):
        return [found for one in tree for found in found_keys(one, key)]
    if not isinstance(tree, dict):
        return []
    return [tree[key] for _ in range(key in tree)] + [found for one in tree.values() for found in found_keys(one, key)]


def test_dagsters_pods_find_accounts_settings_and_volumes(values: Object) -> None:
    objects = render("production")
    assert {values["global"]["serviceAccountName"]} <= names(objects, "ServiceAccount")
    maps = {one["name"] for several in found_keys(values, "envConfigMaps") for one in several}
    assert maps == {"aiops-settings"}
    assert maps <= names(objects, "ConfigMap")
    assert set(found_keys(values, "claimName")) == names(objects, "PersistentVolumeClaim")
    assert set(found_keys(values, "jobNamespace")) == names(objects, "Namespace")


def test_volumes_are_mounted_where_settings_say(values: Object) -> None:
    settings = named(render("production"), "ConfigMap", "aiops-settings")["data"]
    launcher = values["runLauncher"]["config"]["k8sRunLauncher"]
    service = named(render("production"), "Deployment", "aiops-service")["spec"]["template"]["spec"]
    for spec in (launcher, {**service, "volumeMounts": service["containers"][0]["volumeMounts"]}):
        paths = {mount["name"]: mount["mountPath"] for mount in spec["volumeMounts"]}
        claims = {
            one["persistentVolumeClaim"]["claimName"]: paths[one["name"]]
            for one in spec["volumes"]
            if "persistentVolumeClaim" in one
        }
        assert claims == {"model-storage-pvc": settings["MODEL_ROOT"], "aiops-state-pvc": settings["AIOPS_HOME"]}


def test_dagster_runs_the_image_that_serves(values: Object) -> None:
    # A pickle is read by the scikit-learn that wrote it.
    images = {f"{one['repository']}:{one['tag']}" for one in found_keys(values, "image")}
    ours = {image for image in images if not image.startswith("docker.io/library/")}
    service = named(render("production"), "Deployment", "aiops-service")["spec"]["template"]["spec"]
    assert ours == {service["containers"][0]["image"]}


def test_the_database_of_dev_is_the_one_that_dagster_asks(values: Object) -> None:
    objects = render("dev")
    asked = values["postgresql"]
    (pod,) = (one for one in pods(objects) if one.owner == f"StatefulSet/{asked['postgresqlHost']}")
    (container,) = pod.containers
    environment = {one["name"]: one for one in container["env"]}
    assert container["image"] == f"{asked['image']['repository']}:{asked['image']['tag']}"
    assert environment["POSTGRES_USER"]["value"] == asked["postgresqlUsername"] == asked["postgresqlDatabase"]
    assert environment["POSTGRES_PASSWORD"]["valueFrom"]["secretKeyRef"] == {
        "name": values["global"]["postgresqlSecretName"],
        "key": "postgresql-password",
    }
    service = named(objects, "Service", asked["postgresqlHost"])
    assert [port["port"] for port in service["spec"]["ports"]] == [asked["service"]["port"]]


def test_policies_open_the_code_server_and_not_the_webserver_which_has_no_login(values: Object) -> None:
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    policy = named(render("production"), "NetworkPolicy", "aiops-pipeline")
    opened = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
    assert opened == {deployment["port"]} != {values["dagsterWebserver"]["service"]["port"]}


def test_names_of_services_are_those_that_settings_ask() -> None:
    objects = everything("production")
    settings = named(objects, "ConfigMap", "aiops-settings")["data"]
    ports = {one["metadata"]["name"]: one["spec"]["ports"][0]["port"] for one in of_kind(objects, "Service")}
    assert settings["ML_SERVICE_URL"] == f"http://aiops-service:{ports['aiops-service']}"

"""MLflow's chart: what helm makes of it, and what it starts, on a real PostgreSQL."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import requests
import yaml

from aiops_assets.settings import PROJECT_ROOT
from aiops_assets_tests.deploy import programs
from aiops_assets_tests.deploy.container import contained, dockerfile
from aiops_assets_tests.deploy.minors import MINORS
from aiops_assets_tests.deploy.pod_security import restricted_problems
from aiops_assets_tests.ports import free_port
from aiops_assets_tests.postgres_server import running_postgres
from aiops_assets_tests.service.running import Running

Object = dict[str, Any]
CHART = PROJECT_ROOT / "deploy" / "mlflow"
ALL_OPTIONS = """
image: {repository: registry.example.com/team/aiops-assets, tag: 0.2.0, pullPolicy: Always, pullSecrets: [registry]}
replicas: 2
workers: 3
backendStore: {secretName: another, secretKey: address}
artifacts: {bucketUrl: "s3://models/mlflow", credentialsSecret: bucket}
hosts: [mlflow.example.com]
serviceAccount: {annotations: {example.com/role: writer}}
fsGroup: 1001
migration: {deadlineSeconds: 60}
"""
needs_npm = pytest.mark.needs("npm")


@cache
def render(values: str = "", *arguments: str) -> tuple[Object, ...]:
    """The chart's objects by the real program, hooks among them."""
    command = ("template", "mlflow", str(CHART), "--namespace", "self-healing-platform", "--values", "-", *arguments)
    return tuple(yaml.safe_load_all(programs.run(programs.helm(), *command, stdin=values)))


def of_kind(objects: tuple[Object, ...], kind: str) -> Object:
    (found,) = (one for one in objects if one["kind"] == kind)
    return found


def pod_of(objects: tuple[Object, ...], kind: str) -> Object:
    spec: Object = of_kind(objects, kind)["spec"]["template"]["spec"]
    return spec


def variables_of(container: Object) -> dict[str, Any]:
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


@needs_npm
def test_helm_finds_nothing_to_say() -> None:
    assert "0 chart(s) failed" in programs.run(programs.helm(), "lint", "--strict", str(CHART))


@needs_npm
@pytest.mark.parametrize("minor", MINORS)
@pytest.mark.parametrize("values", ["", ALL_OPTIONS])
def test_objects_are_what_kubernetes_takes(values: str, minor: str) -> None:
    for found in render(values):
        kubernetes_validate.validate(found, minor, strict=True)


@needs_npm
@pytest.mark.parametrize("values", ["", ALL_OPTIONS])
def test_pods_are_restricted_and_have_no_token(values: str) -> None:
    for kind in ("Deployment", "Job"):
        spec = pod_of(render(values), kind)
        assert restricted_problems(spec) == []
        assert spec["automountServiceAccountToken"] is False
        assert all(one["securityContext"]["readOnlyRootFilesystem"] for one in spec["containers"])
        assert "runAsUser" not in str(spec)


@needs_npm
def test_image_is_that_of_the_dockerfile_everywhere() -> None:
    version = dockerfile().labels["org.opencontainers.image.version"]
    images = {pod_of(render(), kind)["containers"][0]["image"] for kind in ("Deployment", "Job")}
    assert images == {f"aiops-assets:{version}"}


@needs_npm
@pytest.mark.parametrize(
    ("values", "secret"),
    [("", ("mlflow-backend-store", "uri")), (ALL_OPTIONS, ("another", "address"))],
    ids=["default", "all options"],
)
def test_database_is_named_by_a_secret_that_is_not_the_charts(values: str, secret: tuple[str, str]) -> None:
    for kind in ("Deployment", "Job"):
        (container,) = pod_of(render(values), kind)["containers"]
        reference = variables_of(container)["MLFLOW_BACKEND_STORE_URI"]["secretKeyRef"]
        assert (reference["name"], reference["key"]) == secret
    assert not [one for one in render(values) if one["kind"] == "Secret"]


@needs_npm
def test_schema_is_migrated_before_every_version_by_what_no_policy_stops() -> None:
    job = of_kind(render(), "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    # What a hook names has to be there before the chart; labels of ours would have the base's policy deny all traffic.
    assert "serviceAccountName" not in job["spec"]["template"]["spec"]
    assert "app.kubernetes.io/part-of" not in job["spec"]["template"]["metadata"]["labels"]


@needs_npm
def test_service_finds_the_server_and_not_the_migration() -> None:
    selector = of_kind(render(), "Service")["spec"]["selector"].items()
    assert selector <= of_kind(render(), "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    assert not selector <= of_kind(render(), "Job")["spec"]["template"]["metadata"]["labels"].items()


@needs_npm
def test_options_do_what_they_say() -> None:
    objects = render(ALL_OPTIONS)
    (container,) = pod_of(objects, "Deployment")["containers"]
    assert "--artifacts-destination=s3://models/mlflow" in container["command"]
    assert variables_of(container)["MLFLOW_SERVER_ALLOWED_HOSTS"].endswith(",mlflow.example.com")
    assert variables_of(container)["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] == "https://mlflow.example.com"
    kinds = {one["kind"] for one in objects}
    assert kinds - {one["kind"] for one in render()} == {"PodDisruptionBudget"}
    assert {one["kind"] for one in render()} - kinds == {"PersistentVolumeClaim"}
    assert not [one for one in render("networkPolicy: {enabled: false}") if one["kind"] == "NetworkPolicy"]


@needs_npm
@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("replica: 2", "replica"),
        ("artifacts: {bucketURL: 's3://models'}", "bucketURL"),
        ("backendStore: {secretName: ''}", "secretName"),
        ("backendStore: {secretName: null}", "secretName"),
        ("image: {tag: latest}", "tag"),
        ("artifacts: {bucketUrl: 's3://key:word@models'}", "bucketUrl"),
        ("replicas: 2", "ReadWriteMany"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(values: str, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        render(values)


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with running_postgres() as server:
        server.create_database("mlflow")
        # The driver is named as values.yaml says: SQLAlchemy 2.1 takes another one for plain `postgresql`.
        yield server.uri("mlflow").replace("postgresql:", "postgresql+psycopg2:")


@needs_npm
@pytest.mark.long
@pytest.mark.needs("postgres", "tmpfs")
def test_migration_makes_the_tables_and_the_server_answers_its_own_names(database: str, tmp_path: Path) -> None:
    variables = {"MLFLOW_BACKEND_STORE_URI": database}
    (migration,) = pod_of(render(), "Job")["containers"]
    for attempt in ("install", "upgrade"):
        log = tmp_path / attempt
        with contained(migration["command"], tmp_path, log, variables) as process:
            assert process.wait(120) == 0, log.read_text()
        assert database.split(":")[2].split("@")[0] not in log.read_text()

    (server,) = pod_of(render(), "Deployment")["containers"]
    port, log = free_port(), tmp_path / "server"
    command = [one.replace("0.0.0.0", "127.0.0.1").replace("=5000", f"={port}") for one in server["command"]]
    fixed = {name: value for name, value in variables_of(server).items() if isinstance(value, str)}
    with contained(command, tmp_path, log, {**fixed, **variables}, ["/var/lib/mlflow"]) as process:
        Running(f"http://127.0.0.1:{port}", process, log).wait_for("/health")
        search = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/search?max_results=1"
        for host in ("mlflow:5000", "mlflow.self-healing-platform.svc:5000"):
            answer = requests.get(search, headers={"Host": host}, timeout=30)
            assert (answer.status_code, answer.json()["experiments"][0]["name"]) == (200, "Default")
        assert requests.get(search, headers={"Host": "elsewhere.example.com"}, timeout=30).status_code == 403
        artifact = f"http://127.0.0.1:{port}/api/2.0/mlflow-artifacts/artifacts/0/one.txt"
        assert requests.put(artifact, data=b"1", headers={"Host": "mlflow:5000"}, timeout=30).status_code == 200
    assert (tmp_path / "volumes" / "var" / "lib" / "mlflow" / "0" / "one.txt").read_bytes() == b"1"

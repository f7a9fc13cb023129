"""What Kubernetes is asked for: the exact Job of each job's run and of each asset's step, and GPUs only where asked."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import kubernetes_validate
import pytest
from dagster_k8s import K8sRunLauncher
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import construct_dagster_k8s_job
from kubernetes.client import ApiClient

from aiops_assets.errors import SettingsError
from aiops_assets.pipeline.definitions import definitions_for
from aiops_assets.pipeline.pod_resources import JOBS, STEPS
from aiops_assets.settings import PROJECT_ROOT, load_settings
from aiops_assets.views.catalog import VIEWS
from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.deploy.dagster_instance import INSTANCE, POSTGRES, launcher_of
from aiops_assets_tests.deploy.minors import MINORS
from aiops_assets_tests.deploy.pod_security import restricted_problems
from aiops_assets_tests.snapshot import assert_snapshot

SETTINGS = PROJECT_ROOT / "deploy" / "kustomize" / "base" / "settings.env"
IMAGE = "registry.example/aiops-assets:1"
WITH_GPU = {"GPU_MODELS": "lstm-predictor"}
HELD: set[str] = set()
"""Jobs that fit the schemas, as JSON."""
WITHOUT_DAGSTER_K8S = """
import sys
sys.modules["dagster_k8s"] = None
from aiops_assets.pipeline.definitions import definitions_for
from aiops_assets.errors import SettingsError
from aiops_assets.settings import load_settings
from aiops_assets.views.catalog import VIEWS
definitions_for(load_settings({"AIOPS_HOME": sys.argv[1]}))
try:
    definitions_for(load_settings({"AIOPS_HOME": sys.argv[1], "GPU_MODELS": "lstm-predictor"}))
except SettingsError as error:
    print(error.code, *error.facts["models"])
    print(error)
"""


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[K8sRunLauncher]:
    with pytest.MonkeyPatch.context() as environment:
        for name in POSTGRES:
            environment.setenv(f"DAGSTER_PG_{name}", "5432" if name == "PORT" else f"the-{name.lower()}")
        yield launcher_of(INSTANCE.read_text(), tmp_path_factory.mktemp("home"))


def graph(home: Path, **variables: str) -> dg.Definitions:
    return definitions_for(load_settings({"AIOPS_HOME": str(home), "SYNTHETIC_END": "2026-11-01", **variables}))


def steps(definitions: dg.Definitions) -> dict[str, Mapping[str, str]]:
    """Every op of the graph, assets and checks, with its tags."""
    return {node.name: node.definition.tags for node in definitions.resolve_job_def("retrain").graph.nodes}


def kind_of(step: str) -> str:
    """The key in ``STEPS`` of an op's name."""
    if step.endswith(("_smoke_prediction", "_not_worse_than_champion", "_something_is_served")):
        return "check"
    # The checks of a view read all its rows, as the asset does.
    if step.removesuffix("_checks") in VIEWS:
        return "training_set"
    return step if step in STEPS else step.rpartition("_")[2]


def job_of(launcher: K8sRunLauncher, tags: Mapping[str, str]) -> dict[str, Any]:
    """The Job that the launcher, or the executor in its name, would send."""
    run = dg.DagsterRun(job_name="retrain", run_id="0" * 8, tags=dict(tags))
    context = K8sContainerContext.create_for_run(run, launcher, include_run_tags=True)
    job = construct_dagster_k8s_job(
        context.get_k8s_job_config(IMAGE, launcher),
        args=["dagster", "api", "execute_run"],
        job_name="dagster-run-0",
        user_defined_k8s_config=context.run_k8s_config,
        component="run_worker",
        labels={"dagster/run-id": run.run_id},
    )
    sent: dict[str, Any] = ApiClient().sanitize_for_serialization(job)
    return sent


def container(job: dict[str, Any]) -> Any:
    (only,) = job["spec"]["template"]["spec"]["containers"]
    return only


def held_to_schema(job: dict[str, Any]) -> None:
    """Each Job once: many steps have the same, and the schemas are read again each time."""
    text = json.dumps(job, sort_keys=True)
    if text in HELD:
        return
    for minor in MINORS:
        kubernetes_validate.validate(job, minor, strict=True)
    assert not restricted_problems(job["spec"]["template"]["spec"])
    HELD.add(text)


def test_a_misspelt_key_does_not_pass(launcher: K8sRunLauncher) -> None:
    job = job_of(launcher, {})
    held_to_schema(job)
    job["spec"]["template"]["spec"]["containers"][0]["imagePolicy"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError):
        held_to_schema(job)


def test_the_pod_of_a_run_has_settings_volumes_account_and_database(launcher: K8sRunLauncher) -> None:
    job = job_of(launcher, {})
    pod, only = job["spec"]["template"]["spec"], container(job)
    claims = {volume["name"]: volume.get("persistentVolumeClaim", {}).get("claimName") for volume in pod["volumes"]}
    access = "prometheus-access"
    keys = {"signing-key": "aiops-signing", "verify-key": "aiops-verify"}
    assert {name: claims.pop(name) for name in keys} == dict.fromkeys(keys)
    assert {one["name"]: one["secret"]["secretName"] for one in pod["volumes"] if one["name"] in keys} == keys
    assert claims == {"state": "aiops-state-pvc", "models": "model-storage-pvc", "tmp": None, access: None}
    [secret] = (volume["secret"] for volume in pod["volumes"] if volume["name"] == access)
    assert secret == {"secretName": "aiops-prometheus", "optional": True}
    mounts = {mount["name"]: mount["mountPath"] for mount in only["volumeMounts"]}
    assert mounts.pop(access) == "/etc/aiops/prometheus"
    places = [Path(mounts.pop(name)) for name in keys]
    shared = dict(line.split("=") for line in SETTINGS.read_text().splitlines() if not line.startswith("#"))
    assert places == [Path(shared[f"{name}_KEY_FILE"]).parent for name in ("SIGNING", "VERIFY")]
    assert mounts == {"state": "/var/lib/aiops", "models": "/mnt/models", "tmp": "/tmp"}
    assert pod["serviceAccountName"] == "aiops-pipeline"
    assert [one["configMapRef"]["name"] for one in only["envFrom"]] == ["aiops-settings"]
    variables = {one["name"]: one for one in only["env"]}
    secret = variables["DAGSTER_PG_PASSWORD"]["valueFrom"]["secretKeyRef"]
    assert secret == {"name": "aiops-postgresql", "key": "postgresql-password"}
    assert variables["DAGSTER_PG_HOST"]["value"] == "the-host"
    assert job["spec"]["ttlSecondsAfterFinished"] == 86400
    assert only["image"] == IMAGE


@pytest.mark.parametrize("name", JOBS)
def test_the_exact_pod_of_each_jobs_run(name: str, launcher: K8sRunLauncher, tmp_path: Path) -> None:
    job = job_of(launcher, graph(tmp_path).resolve_job_def(name).tags)
    held_to_schema(job)
    asked = container(job)["resources"]
    assert asked["limits"] == {"cpu": JOBS[name].cpu[1], "memory": JOBS[name].memory}
    assert asked["requests"]["memory"] == asked["limits"]["memory"]


def test_no_job_is_without_resources(tmp_path: Path) -> None:
    definitions = graph(tmp_path)
    named = {job.name for job in definitions.resolve_all_job_defs() if not job.name.startswith("__")}
    assert named == set(JOBS)


@pytest.mark.parametrize("variables", [{}, WITH_GPU], ids=["none", "gpu"])
def test_the_exact_pod_of_each_step(variables: dict[str, str], launcher: K8sRunLauncher, tmp_path: Path) -> None:
    source = {"DATA_SOURCE": "hybrid", "PROMETHEUS_URL": "http://127.0.0.1:1"}
    every = steps(graph(tmp_path, **source, **variables))
    assert {kind_of(name) for name in every} == set(STEPS)
    with_gpu = "lstm_predictor_model" if variables else None
    for name, tags in every.items():
        job = job_of(launcher, tags)
        held_to_schema(job)
        # Of the table, not of the tags: these were rendered into the job.
        expected = STEPS[kind_of(name)].container_config(gpu=name == with_gpu)
        assert container(job)["resources"] == expected["resources"], name


def test_only_a_model_of_torch_may_ask_for_a_gpu(tmp_path: Path) -> None:
    assert make_settings(tmp_path).gpu_models == ()
    assert make_settings(tmp_path, GPU_MODELS="lstm-predictor").gpu_models == ("lstm-predictor",)
    said = []
    for wrong in ("anomaly-detector", "lstm-predictor,prophet-predictor", "lstm"):
        with pytest.raises(SettingsError) as caught:
            make_settings(tmp_path, GPU_MODELS=wrong)
        assert str(caught.value).startswith("GPU_MODELS=")
        said.append(str(caught.value))
    assert_snapshot("gpu_models", "".join(f"{line}\n" for line in said))


def test_training_has_a_pod_for_each_step_only_with_a_gpu(launcher: K8sRunLauncher, tmp_path: Path) -> None:
    executors = {job: graph(tmp_path).resolve_job_def(job).executor_def.name for job in JOBS}
    assert set(executors.values()) == {dg.in_process_executor.name}
    definitions = graph(tmp_path, **WITH_GPU)
    executors = {job: definitions.resolve_job_def(job).executor_def.name for job in JOBS}
    assert executors.pop("retrain") == "k8s"
    assert set(executors.values()) == {dg.in_process_executor.name}
    # Also of assets that somebody picks in the UI.
    assert definitions.resolve_implicit_global_asset_job_def().executor_def.name == "k8s"
    others = graph(tmp_path, **WITH_GPU, MODELS="anomaly-detector")
    assert others.resolve_job_def("retrain").executor_def.name == dg.in_process_executor.name
    # The run itself only waits: it holds neither a GPU nor the memory of a fit.
    waiting = container(job_of(launcher, definitions.resolve_job_def("retrain").tags))["resources"]["limits"]
    assert waiting == {"cpu": STEPS["check"].cpu[1], "memory": STEPS["check"].memory}


def test_without_dagster_k8s_the_graph_loads_and_a_gpu_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_DAGSTER_K8S, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    error, text = done.stdout.splitlines()
    assert error.split() == ["no_dagster_k8s", "lstm-predictor"]
    assert_snapshot("gpu_without_dagster_k8s", f"{text}\n")

"""The cluster's dagster.yaml and the values of Dagster's chart."""

import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._core.errors import DagsterInvalidConfigError
from dagster._core.instance.ref import InstanceRef

from aiops_assets import __version__
from aiops_assets_tests.deploy.dagster_instance import (
    INSTANCE,
    POSTGRES,
    VALUES,
    chart_instance,
    launcher_of,
    shipped_instance,
)

SHIPPED = INSTANCE.read_text()


@pytest.fixture
def values() -> Any:
    return yaml.safe_load(VALUES.read_text())


def test_the_launcher_is_made(tmp_path: Path) -> None:
    launcher = launcher_of(SHIPPED, tmp_path)
    assert launcher.job_namespace == "self-healing-platform"
    assert launcher.service_account_name == "aiops-pipeline"
    assert launcher.fail_pod_on_run_failure
    assert launcher.job_image is None, "a run has to be of the image that its code was loaded from"


@pytest.mark.parametrize("word", ["env_config_maps", "volume_mounts", "pod_spec_config", "fail_pod_on_run_failure"])
def test_a_misspelt_word_of_the_launcher_is_refused(word: str, tmp_path: Path) -> None:
    assert word in SHIPPED
    with pytest.raises(DagsterInvalidConfigError, match=f"{word}x"):
        launcher_of(SHIPPED.replace(f"{word}:", f"{word}x:"), tmp_path)


@pytest.mark.parametrize("word", ["hostname", "granularity", "max_runtime_seconds", "purge_after_days", "max_retries"])
def test_a_misspelt_word_of_the_instance_is_refused(word: str, tmp_path: Path) -> None:
    assert word in SHIPPED
    (tmp_path / "dagster.yaml").write_text(SHIPPED.replace(f"{word}:", f"{word}x:"))
    with pytest.raises(DagsterInvalidConfigError, match=f"{word}x"):
        InstanceRef.from_dir(str(tmp_path))


def test_what_the_instance_does_with_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in POSTGRES:
        monkeypatch.setenv(f"DAGSTER_PG_{name}", "5432" if name == "PORT" else "x")
    monkeypatch.setenv("AIOPS_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text(SHIPPED)
    ref = InstanceRef.from_dir(str(tmp_path))
    assert type(ref.run_coordinator).__name__ == "QueuedRunCoordinator"
    assert type(ref.compute_log_manager).__name__ == "NoOpComputeLogManager"
    assert ref.local_artifact_storage.base_dir == str(tmp_path)
    ours: Any = yaml.safe_load(SHIPPED)
    settings: Any = ref.settings
    assert settings["concurrency"]["pools"] == {"granularity": "run", "default_limit": 1}
    assert settings["run_retries"] == ours["run_retries"]
    assert not settings["run_retries"]["retry_on_asset_or_op_failure"]
    assert settings["run_monitoring"] == ours["run_monitoring"]
    assert not settings["telemetry"]["enabled"]


def test_the_chart_is_told_the_same_as_our_file(values: Any) -> None:
    chart, ours = chart_instance(values), shipped_instance()
    database = yaml.safe_load(SHIPPED)["storage"]["postgres"]["postgres_db"]
    told = chart.pop("storage")
    assert (told["scheme"], set(told)) == (database["scheme"], set(database) - {"password"})
    assert chart == ours


def test_what_the_chart_writes_is_an_instance(values: Any, tmp_path: Path) -> None:
    chart = chart_instance(values)
    database = {**chart.pop("storage"), "password": {"env": "DAGSTER_PG_PASSWORD"}}
    words = {
        **chart,
        "storage": {"postgres": {"postgres_db": database}},
        "run_launcher": {"module": "dagster_k8s", "class": "K8sRunLauncher", "config": chart["run_launcher"]},
        "run_coordinator": {"module": "dagster._core.run_coordinator", "class": chart["run_coordinator"]},
        "compute_logs": {
            "module": "dagster._core.storage.noop_compute_log_manager",
            "class": chart["compute_logs"],
        },
    }
    assert launcher_of(yaml.safe_dump(words), tmp_path).job_namespace == "self-healing-platform"
    settings: Any = InstanceRef.from_dir(str(tmp_path)).settings
    assert settings["run_retries"]["max_retries"] == 2


def test_one_image_of_ours_and_every_tag_is_pinned(values: Any) -> None:
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    image = deployment["image"]
    tag = f"{__version__}-sklearn{version('scikit-learn')}"
    assert (image["repository"], image["tag"]) == ("aiops-assets", tag)
    assert values["dagsterWebserver"]["image"] == values["dagsterDaemon"]["image"] == image
    text = VALUES.read_text()
    assert text.count(tag) == 1
    tags = re.findall(r"\btag: *\"?([^\s\"]+)", text)
    assert len(tags) == text.count("repository:") == 3
    assert all(re.search(r"\d+\.\d+", one) for one in tags)


def test_the_chart_is_of_the_release_that_is_installed() -> None:
    assert re.findall(r"--version (\S+)|version (\d\S+)\. Not run", VALUES.read_text()) == [
        ("", version("dagster")),
        (version("dagster"), ""),
    ]


def test_the_webserver_listens_where_no_capability_is_needed(values: Any) -> None:
    webserver = values["dagsterWebserver"]
    port = webserver["service"]["port"]
    assert port >= 1024
    assert {webserver[probe]["httpGet"]["port"] for probe in ("readinessProbe", "livenessProbe")} == {port}

"""deploy/dagster as Dagster reads it: the shipped dagster.yaml, and what the official chart makes of values.yaml."""

import re
from pathlib import Path
from typing import Any

import yaml
from dagster._core.instance.ref import InstanceRef
from dagster_k8s.launcher import K8sRunLauncher

from aiops_assets.settings import PROJECT_ROOT

FOLDER = PROJECT_ROOT / "deploy" / "dagster"
INSTANCE, VALUES = FOLDER / "dagster.yaml", FOLDER / "values.yaml"
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: none
clusters: [{name: none, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: none, user: {}}]
contexts: [{name: none, context: {cluster: none, user: none}}]
"""
POSTGRES = ("HOST", "PORT", "DB", "USERNAME", "PASSWORD")


def launcher_of(text: str, home: Path) -> K8sRunLauncher:
    """The launcher of a dagster.yaml, made as Dagster makes it but for the cluster that it would connect to.

    Args:
        text: the file's.
        home: empty folder, becomes DAGSTER_HOME.
    """
    kubeconfig = home / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG)
    outside, replaced = re.subn(
        "load_incluster_config: true", f"load_incluster_config: false, kubeconfig_file: {kubeconfig}", _in_flow(text)
    )
    assert replaced == 1
    (home / "dagster.yaml").write_text(outside)
    launcher = InstanceRef.from_dir(str(home)).run_launcher
    assert isinstance(launcher, K8sRunLauncher)
    return launcher


def chart_instance(values: dict[str, Any]) -> dict[str, Any]:
    """The dagster.yaml of the official chart 1.13.27, for the values that we set: its configmap-instance.yaml."""
    daemon, database = values["dagsterDaemon"], values["postgresql"]
    launcher = values["runLauncher"]["config"]["k8sRunLauncher"]
    raw = launcher["runK8sConfig"]
    assert not daemon["runMonitoring"]["enabled"], "the chart would write run_monitoring a second time"
    assert not daemon["runRetries"]["enabled"], "the chart would write run_retries a second time"
    written = {
        "storage": {
            "scheme": database["postgresqlScheme"],
            "hostname": database["postgresqlHost"],
            "port": database["service"]["port"],
            "db_name": database["postgresqlDatabase"],
            "username": database["postgresqlUsername"],
        },
        "run_coordinator": daemon["runCoordinator"]["type"],
        "compute_logs": values["computeLogManager"]["type"],
        "telemetry": values["telemetry"],
        "retention": {
            name: {"purge_after_days": values["retention"][name]["purgeAfterDays"]} for name in ("schedule", "sensor")
        },
        "run_launcher": {
            "load_incluster_config": launcher["loadInclusterConfig"],
            "job_namespace": launcher["jobNamespace"],
            "service_account_name": values["global"]["serviceAccountName"],
            "image_pull_policy": launcher["imagePullPolicy"],
            "dagster_home": values["global"]["dagsterHome"],
            "instance_config_map": "dagster-instance",
            "postgres_password_secret": values["global"]["postgresqlSecretName"],
            "env_config_maps": [one["name"] for one in launcher["envConfigMaps"]],
            "volumes": launcher["volumes"],
            "volume_mounts": launcher["volumeMounts"],
            "resources": launcher["resources"],
            "security_context": launcher["securityContext"],
            "fail_pod_on_run_failure": launcher["failPodOnRunFailure"],
            "run_k8s_config": {"pod_spec_config": raw["podSpecConfig"], "job_spec_config": raw["jobSpecConfig"]},
        },
    }
    additional = values["additionalInstanceConfig"]
    assert not set(written) & set(additional)
    return {**written, **additional}


def shipped_instance() -> dict[str, Any]:
    """Ours in the same words: without what the chart takes from elsewhere, the addresses of PostgreSQL."""
    instance = yaml.safe_load(INSTANCE.read_text())
    launcher = dict(instance["run_launcher"]["config"])
    # The chart writes names, ours passes them on.
    passed = launcher.pop("env_vars")
    assert passed == [f"DAGSTER_PG_{name}" for name in POSTGRES if name != "PASSWORD"]
    return {
        **{name: instance[name] for name in instance if name != "storage"},
        "run_coordinator": instance["run_coordinator"]["class"],
        "compute_logs": instance["compute_logs"]["class"],
        "run_launcher": launcher,
    }


def _in_flow(text: str) -> str:
    """The same document with the launcher's configuration on one line, so that one line can be replaced."""
    document = yaml.safe_load(text)
    return yaml.safe_dump(document, default_flow_style=True, width=10**6)

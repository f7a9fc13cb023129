"""InferenceServices: each model by a runtime that can read it, of a version that is named once."""

import os
import re
import subprocess
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import pytest

from aiops_assets.families.catalog import MODEL_NAMES, MODELS
from aiops_assets.families.contract import ModelSpec
from aiops_assets.settings import PROJECT_ROOT
from aiops_assets.storage.served import MODEL_FILE
from aiops_assets_tests.deploy.overlays import ENVIRONMENTS, KUSTOMIZE, Object, named, names, of_kind, render
from aiops_assets_tests.families.other_package import HOUR_MEAN, Z_SCORE
from aiops_assets_tests.snapshot import assert_snapshot, steady

pytestmark = pytest.mark.needs("npm")

STOCK_RUNTIMES = {"kserve-sklearnserver": "1.5"}
"""Runtimes that KServe 0.20 and 0.21 bring -> the minor release of their scikit-learn."""
STORAGE_URI = re.compile(r"pvc://model-storage-pvc/([a-z-]+)/([1-9][0-9]*)")


def pinned_scikit_learn() -> str:
    found = re.search(r"^scikit-learn==(\S+)$", (PROJECT_ROOT / "constraints.txt").read_text(), re.M)
    assert found
    return found[1]


def runtime_problems(service: Object, objects: Sequence[Object], scikit_learn: str) -> list[str]:
    """Why a predictor may not read what training wrote; empty: it may."""
    model = service["spec"]["predictor"]["model"]
    runtime = model["runtime"]
    if runtime in STOCK_RUNTIMES:
        stock = STOCK_RUNTIMES[runtime]
        same = scikit_learn.startswith(f"{stock}.")
        return [] if same else [f"{runtime} reads pickles with scikit-learn {stock}, they are of {scikit_learn}"]
    if runtime not in names(objects, "ServingRuntime"):
        return [f"{runtime}: nobody knows its scikit-learn"]
    formats = [one["name"] for one in named(objects, "ServingRuntime", runtime)["spec"]["supportedModelFormats"]]
    return [] if model["modelFormat"]["name"] in formats else [f"{runtime} does not read {model['modelFormat']}"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_each_model_is_served_of_a_version_by_a_runtime_that_reads_it(environment: str) -> None:
    objects = render(f"{environment}/serving")
    services = of_kind(objects, "InferenceService")
    assert sorted(service["metadata"]["name"] for service in services) == sorted(MODEL_NAMES)
    for service in services:
        name = service["metadata"]["name"]
        model = service["spec"]["predictor"]["model"]
        uri = STORAGE_URI.fullmatch(model["storageUri"])
        assert uri, model["storageUri"]
        assert uri[1] == name
        assert service["metadata"]["annotations"] == {"serving.kserve.io/deploymentMode": "Standard"}
        assert runtime_problems(service, objects, pinned_scikit_learn()) == []


def runtime_for(spec: ModelSpec) -> str:
    """Which runtime reads what a family writes: scikit-learn's where that is a Pipeline, else the project's service."""
    return "aiops-sklearn" if spec.family.model_file == MODEL_FILE else "aiops-predictor"


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)
def test_scikit_learns_runtime_is_for_directories_with_a_pipeline(spec: ModelSpec) -> None:
    service = named(render("production/serving"), "InferenceService", spec.name)
    assert service["spec"]["predictor"]["model"]["runtime"] == runtime_for(spec)


@pytest.mark.parametrize("spec", [Z_SCORE, HOUR_MEAN], ids=lambda spec: spec.name)
def test_models_of_other_packages_have_a_runtime_that_reads_them(spec: ModelSpec) -> None:
    objects = render("production/serving")
    like = next(one for one in MODELS if runtime_for(one) == runtime_for(spec))
    service = deepcopy(named(objects, "InferenceService", like.name))
    service["metadata"]["name"] = spec.name
    assert runtime_problems(service, objects, pinned_scikit_learn()) == []


@pytest.mark.parametrize("runtime", ["kserve-sklearnserver", "kserve-mlserver"])
def test_a_runtime_with_another_scikit_learn_is_refused(runtime: str) -> None:
    objects = render("production/serving")
    service = deepcopy(named(objects, "InferenceService", "anomaly-detector"))
    service["spec"]["predictor"]["model"]["runtime"] = runtime
    assert runtime_problems(service, objects, pinned_scikit_learn())
    assert bool(runtime_problems(service, objects, "1.5.2")) == (runtime not in STOCK_RUNTIMES)


def test_a_version_is_a_line_of_an_overlay() -> None:
    for environment in ENVIRONMENTS:
        lines = (KUSTOMIZE / "overlays" / environment / "serving" / "versions.env").read_text().splitlines()
        versions = dict(line.split("=") for line in lines)
        for service in of_kind(render(f"{environment}/serving"), "InferenceService"):
            name = service["metadata"]["name"]
            assert service["spec"]["predictor"]["model"]["storageUri"].endswith(f"/{name}/{versions[name]}")


def copy_record(root: Path, model: str) -> "subprocess.CompletedProcess[str]":
    """The predictor's init container, with /mnt elsewhere."""
    (container,) = named(render("dev/serving"), "InferenceService", model)["spec"]["predictor"]["initContainers"]
    (script,) = container["args"]
    command = [*container["command"], script.replace("/mnt/", f"{root}/")]
    env = {"MODEL": model, "PATH": os.environ["PATH"]}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)


def test_the_champions_record_is_copied_beside_the_version(tmp_path: Path) -> None:
    record = tmp_path / "model-volume" / "lstm-predictor" / "champion.json"
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    for _ in range(2):  # a container may be started again
        assert copy_record(tmp_path, "lstm-predictor").returncode == 0
    copied = [path for path in (tmp_path / "model-storage").rglob("*") if path.is_file()]
    assert [path.relative_to(tmp_path).as_posix() for path in copied] == ["model-storage/lstm-predictor/champion.json"]


def test_a_predictor_of_a_model_without_champion_says_so(tmp_path: Path) -> None:
    done = copy_record(tmp_path, "lstm-predictor")
    assert done.returncode == 1
    assert_snapshot("deploy_no_champion", steady(done.stderr, {"ROOT": tmp_path}))

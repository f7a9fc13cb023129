"""The served file judged as a serving image sees it: scikit-learn, numpy and joblib, and nothing of ours.

The rows are made here from the coordination engine's contract, in plain numpy, so that an error in the
package's own features cannot hide itself.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import pytest

from aiops_assets.settings import PROJECT_ROOT

Floats = npt.NDArray[np.float64]

NAME = "anomaly-detector"
METRICS = (
    "node_cpu_utilization",
    "node_memory_utilization",
    "pod_cpu_usage",
    "pod_memory_usage",
    "container_restart_count",
)
LEVELS = ((0.2, 0.6), (0.35, 0.7), (0.02, 0.5), (0.2, 0.7))
NOISE = (0.005, 0.05)
MAX_RESTARTS = 20
DEFAULT = (0.5, 0.5, 0.1, 0.3, 0.7, 0.5, 0.5, 0.0, 0.0)
SAMPLES = 6
"""t - 5 min to t, a minute apart."""
ROWS = 5000
ANOMALOUS_ROWS = 1000

MAX_HEALTHY_ALARMS = 0.10
MIN_CAUGHT = 0.80
MIN_NORMAL_WITH_ONE_DEFAULT = 0.99

# Run by an interpreter that has only what a serving image has.
JUDGE = """
import hashlib, importlib.util, json, pathlib, sys

directory, rows = map(pathlib.Path, sys.argv[1:])
for package in ("aiops_assets", "pandas", "mlflow", "dagster"):
    assert importlib.util.find_spec(package) is None, f"{package} can be imported here"
model = directory / "model.joblib"
manifest = json.loads((directory / "manifest.json").read_text())
assert hashlib.sha256(model.read_bytes()).hexdigest() == manifest["files"]["model.joblib"], "not the recorded file"

import joblib, numpy, sklearn

pipeline = joblib.load(model)
answers = {}
for file in sorted(rows.glob("*.npy")):
    labels = pipeline.predict(numpy.load(file))
    answers[file.stem] = {
        "integer": labels.dtype.kind == "i",
        "shape": labels.shape,
        "values": sorted(set(labels.tolist())),
        "alarms": float((labels == -1).mean()),
    }
packages = {module.__name__: module.__version__ for module in (sklearn, numpy, joblib)}
print(json.dumps({"packages": packages, "answers": answers}))
"""


class Answer(TypedDict):
    """What the file says of one set of rows; ``alarms`` is the share of -1."""

    integer: bool
    shape: list[int]
    values: list[int]
    alarms: float


@dataclass(frozen=True)
class Judged:
    """The answers by name of the set of rows, the packages they were made with, and the manifest beside the file."""

    answers: dict[str, Answer]
    packages: dict[str, str]
    manifest: dict[str, Any]

    def alarms(self, name: str) -> float:
        return self.answers[name]["alarms"]


def nine(samples: Floats) -> Floats:
    """The nine statistics of (n, 6) samples; the five-minute window holds t and the four minutes before it."""
    window = samples[:, 1:]
    now, minute_ago, five_ago = samples[:, 5], samples[:, 4], samples[:, 0]
    change = now - minute_ago
    relative = np.array([c / lag if lag else 0.0 for c, lag in zip(change, minute_ago, strict=True)])
    mean = window.sum(axis=1) / 5
    std = np.sqrt(((window - mean[:, None]) ** 2).sum(axis=1) / 5)
    lowest, highest = window.min(axis=1), window.max(axis=1)
    return np.column_stack([now, mean, std, lowest, highest, minute_ago, five_ago, change, relative])


def healthy_samples(n: int, rng: np.random.Generator) -> dict[str, Floats]:
    """Metric -> (n, 6): a level and a noise for each row and metric, and restarts that do not change."""
    samples = {}
    for metric, (low, high) in zip(METRICS, LEVELS, strict=False):
        level, noise = rng.uniform(low, high, (n, 1)), rng.uniform(*NOISE, (n, 1))
        samples[metric] = level * (1 + noise * rng.standard_normal((n, SAMPLES)))
    samples["container_restart_count"] = np.tile(rng.integers(0, MAX_RESTARTS + 1, (n, 1)), SAMPLES).astype(float)
    return samples


def rows_of(samples: dict[str, Floats]) -> Floats:
    return np.hstack([nine(samples[metric]) for metric in METRICS])


def with_one_default(rows: Floats, metric: int) -> Floats:
    changed = rows.copy()
    changed[:, 9 * metric : 9 * metric + 9] = DEFAULT
    return changed


def cpu_spike(rng: np.random.Generator, mean: float) -> Floats:
    """Node CPU near ``mean`` in the whole window."""
    samples = healthy_samples(ANOMALOUS_ROWS, rng)
    samples["node_cpu_utilization"] = np.clip(rng.normal(mean, 0.05, (ANOMALOUS_ROWS, SAMPLES)), 0, 1)
    return rows_of(samples)


def memory_leak(rng: np.random.Generator, top: float) -> Floats:
    """Pod memory that has grown from a healthy level to ``top`` in one to three hours, noise on it."""
    samples = healthy_samples(ANOMALOUS_ROWS, rng)
    start, hours = rng.uniform(*LEVELS[3], (ANOMALOUS_ROWS, 1)), rng.uniform(1, 3, (ANOMALOUS_ROWS, 1))
    grown = top - (top - start) * np.arange(SAMPLES - 1, -1, -1) / (60 * hours)
    noise = rng.uniform(*NOISE, (ANOMALOUS_ROWS, 1)) * rng.standard_normal((ANOMALOUS_ROWS, SAMPLES))
    samples["pod_memory_usage"] = grown * (1 + noise)
    return rows_of(samples)


def restart_storm(rng: np.random.Generator, in_five_minutes: float) -> Floats:
    """Restarts that go on at a Poisson rate in every minute of the window."""
    samples = healthy_samples(ANOMALOUS_ROWS, rng)
    restarts = rng.poisson(in_five_minutes / 5, (ANOMALOUS_ROWS, SAMPLES)).cumsum(axis=1)
    samples["container_restart_count"] += restarts
    return rows_of(samples)


def sets_of_rows() -> Iterator[tuple[str, Floats]]:
    """All rows that the file is asked about, by name."""
    rng = np.random.default_rng(20261101)
    healthy = rows_of(healthy_samples(ROWS, rng))
    yield "healthy", healthy
    yield "default", np.tile(DEFAULT, len(METRICS))[None, :]
    for position, metric in enumerate(METRICS):
        yield f"without {metric}", with_one_default(healthy, position)
    yield from ((f"cpu_spike {mean}", cpu_spike(rng, mean)) for mean in (0.8, 0.85, 0.9, 0.95))
    yield from ((f"memory_leak {top}", memory_leak(rng, top)) for top in (0.85, 0.9, 0.95, 1.05))
    yield from ((f"restart_storm {count}", restart_storm(rng, count)) for count in (2, 3, 5, 10))


def serving_python(folder: Path) -> Path:
    """An environment with the pinned scikit-learn, numpy and joblib and what they need themselves."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    options = ["--quiet", "--disable-pip-version-check", "-c", str(PROJECT_ROOT / "constraints.txt")]
    packages = ["scikit-learn", "numpy", "joblib"]
    subprocess.run([str(python), "-m", "pip", "install", *options, *packages], check=True)
    return python


def served_directory(aiops: str, home: Path) -> Path:
    """The champion of one run with the default settings."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "XDG_CONFIG_HOME") if name in os.environ}
    environment = {**inherited, "AIOPS_HOME": str(home), "SYNTHETIC_END": "2026-11-01", "MODELS": NAME}
    run = subprocess.run([aiops, "run"], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return home / "models" / NAME / "1"


@pytest.fixture(scope="module")
def judged(aiops: str, tmp_path_factory: pytest.TempPathFactory) -> Judged:
    folder = tmp_path_factory.mktemp("served-file")
    directory = served_directory(aiops, folder / "home")
    python = serving_python(folder / "venv")
    (folder / "rows").mkdir()
    for name, rows in sets_of_rows():
        np.save(folder / "rows" / f"{name}.npy", rows)
    # -I: neither the working directory nor the environment adds a path to import from.
    command = [str(python), "-I", "-W", "error", "-c", JUDGE, str(directory), str(folder / "rows")]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    return Judged(report["answers"], report["packages"], json.loads((directory / "manifest.json").read_text()))


@pytest.mark.long
def test_answers_are_integers_minus_one_and_one(judged: Judged) -> None:
    for name, answer in judged.answers.items():
        assert answer["integer"], name
        assert len(answer["shape"]) == 1, name
    assert {value for answer in judged.answers.values() for value in answer["values"]} == {-1, 1}


@pytest.mark.long
def test_healthy_rows_seldom_raise_an_alarm(judged: Judged) -> None:
    assert judged.alarms("healthy") <= MAX_HEALTHY_ALARMS


@pytest.mark.long
def test_default_vector_is_normal(judged: Judged) -> None:
    assert judged.answers["default"]["values"] == [1]


@pytest.mark.long
@pytest.mark.parametrize("metric", METRICS)
def test_a_healthy_row_without_one_metric_is_normal(judged: Judged, metric: str) -> None:
    assert judged.alarms(f"without {metric}") <= 1 - MIN_NORMAL_WITH_ONE_DEFAULT


@pytest.mark.long
@pytest.mark.parametrize("anomaly", ["cpu_spike 0.9", "memory_leak 0.95", "restart_storm 5"])
def test_anomalies_are_caught(judged: Judged, anomaly: str) -> None:
    assert judged.alarms(anomaly) >= MIN_CAUGHT


@pytest.mark.long
@pytest.mark.parametrize(("package", "module"), [("scikit-learn", "sklearn"), ("numpy", "numpy"), ("joblib", "joblib")])
def test_manifest_names_the_versions_it_is_served_with(judged: Judged, package: str, module: str) -> None:
    assert judged.manifest["packages"][package] == judged.packages[module]

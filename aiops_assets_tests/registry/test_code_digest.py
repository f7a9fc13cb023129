"""Which edits make a model another one: those of code that its fit can reach, and of nothing else."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from aiops_assets.families.catalog import MODELS
from aiops_assets.registry.code_digest import OUR_PACKAGE, code_digest, reachable

FILES = {
    "__init__.py": '__version__ = "1"\n',
    "family.py": '"""A family."""\nfrom sample.learner import fit\n\n\nclass Family:\n    """Docstring."""\n',
    "learner.py": "def fit():\n    from . import constants\n    return constants.LIMIT\n",
    "constants.py": 'LIMIT = 3\n"""Why."""\n',
    "other.py": "OTHER = 1\n",
}
PRINT = "import {package}, aiops_assets.registry.code_digest as c; print(c.code_digest('{package}.family'))"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "sample"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


def digest(package: Path) -> str:
    """In a process of its own: a process keeps what it has read."""
    script = PRINT.format(package=package.name)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=package.parent, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def edit(package: Path, file: str, old: str, new: str) -> None:
    path = package / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_comments_docstrings_and_unreachable_modules_do_not_count(package: Path) -> None:
    before = digest(package)
    edit(package, "learner.py", "fit():\n", "fit():  # why\n")
    edit(package, "learner.py", "    from", '    """What."""\n\n    from')
    edit(package, "family.py", '    """Docstring."""\n', "    pass\n")
    edit(package, "constants.py", "Why.", "Another reason.")
    edit(package, "other.py", "1", "2")
    assert digest(package) == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [("constants.py", "3", "4"), ("learner.py", "LIMIT", "LIMIT + 0"), ("family.py", "Family", "Other")],
)
def test_code_that_is_reached_counts_also_through_functions_and_relative_imports(
    package: Path, file: str, old: str, new: str
) -> None:
    before = digest(package)
    edit(package, file, old, new)
    assert digest(package) != before


def test_our_release_number_does_not_count() -> None:
    assert OUR_PACKAGE not in reachable("aiops_assets.errors", frozenset({OUR_PACKAGE}))


def test_a_digest_is_short_and_stable() -> None:
    assert code_digest("aiops_assets.errors") == code_digest("aiops_assets.errors")
    assert len(code_digest("aiops_assets.errors")) == 12


LEARNERS = {
    "detectors.isolation_forest": {"anomaly-detector"},
    "detectors.ensemble": {"ensemble-predictor"},
    "detectors.deviation_scores": {"anomaly-detector", "ensemble-predictor", "lstm-predictor"},
    "detectors.lstm_network": {"lstm-predictor"},
    "forecasters.arima": {"arima-predictor"},
    "forecasters.prophet": {"prophet-predictor"},
    "forecasters.per_metric": {"arima-predictor", "prophet-predictor"},
    "forecasters.pretrained": {"fracast-predictor"},
    "forecasters.trees": {"predictive-analytics"},
}


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_learner_counts_for_the_models_that_are_fitted_by_it_alone(learner: str) -> None:
    ours = frozenset({OUR_PACKAGE})
    name = f"aiops_assets.learners.{learner}"
    found = {spec.name for spec in MODELS if name in reachable(type(spec.family).__module__, ours)}
    assert found == LEARNERS[learner]


def test_judging_reporting_and_serving_count_for_no_model() -> None:
    rooms = {"judging", "reporting", "service", "registry", "pipeline", "settings"}
    for spec in MODELS:
        found = reachable(type(spec.family).__module__, frozenset({OUR_PACKAGE}))
        assert not rooms & {name.split(".")[1] for name in found}, spec.name


@pytest.mark.parametrize("module", ["matchers", "queries", "metrics_file", "shape"])
def test_how_queries_are_read_counts_for_no_model(module: str) -> None:
    name = f"aiops_assets.timeseries.{module}"
    assert importlib.util.find_spec(name)
    ours = frozenset({OUR_PACKAGE})
    assert [spec.name for spec in MODELS if name in reachable(type(spec.family).__module__, ours)] == []

"""What is installed by which name: the core is the client, all else is an extra."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from aiops_assets.commands.entry import EXTRAS
from aiops_assets.settings import PROJECT_ROOT
from aiops_assets_tests.test_architecture import BESIDE, GROUND, MODULES, imports, room_of

CORE_ROOMS = {*GROUND, "client", "__init__"}
THROUGH_ANOTHER = {"PIL": "matplotlib", "pydantic_core": "pydantic", "sqlalchemy": "mlflow", "starlette": "fastapi"}
"""Modules that come with a package of an extra, and are part of what that one offers."""
BLOCK = """
import sys
from importlib.machinery import PathFinder

class Installed:
    find_distributions = staticmethod(PathFinder.find_distributions)
    def __init__(self, finders, without):
        self.finders, self.without = finders, without
    def find_spec(self, name, path=None, target=None):
        if name in self.without:
            return None
        return next((spec for one in self.finders if (spec := one.find_spec(name, path, target))), None)

sys.meta_path[:] = [Installed(list(sys.meta_path), sys.argv.pop(1).split(","))]
"""
"""Modules are as if they were not installed."""
AIOPS = f"{BLOCK}\nfrom aiops_assets.commands.entry import main; main()"
GRAPH = f"{BLOCK}\nimport aiops_assets.definitions, aiops_assets.commands.cli"
ASK = """
import json
from datetime import UTC, datetime
from types import SimpleNamespace
from aiops_assets.client import MLServiceClient
from aiops_assets.errors import ServiceUnavailable
with MLServiceClient.from_environment({"ML_SERVICE_URL": "http://127.0.0.1:9", "ML_SERVICE_TIMEOUT": "5s"}) as client:
    sample = SimpleNamespace(name="m", value=1.0, time=datetime.now(UTC), labels={})
    try:
        client.detect([sample])
    except ServiceUnavailable:
        print(json.dumps({"state": client.breaker_state}))
"""


def project() -> dict[str, Any]:
    return dict(tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"])


def brought_by(*extras: str) -> set[str]:
    """Names of the packages of the core and some extras, and of the extras that these name."""
    lists, found = project()["optional-dependencies"], set()
    wanted = [*project()["dependencies"], *(one for extra in extras for one in lists[extra])]
    for text in wanted:
        requirement = Requirement(text)
        if requirement.name == project()["name"]:
            found |= brought_by(*requirement.extras)
        else:
            found.add(canonicalize_name(requirement.name))
    return found


def foreign(paths: Iterable[Path]) -> set[str]:
    """Top-level modules of other people's that files import, also inside functions."""
    tops = {name.partition(".")[0] for path in paths for name in imports(path)}
    return tops - sys.stdlib_module_names - {"aiops_assets"}


def packages_of(module: str) -> set[str]:
    return {canonicalize_name(name) for name in distributions()[THROUGH_ANOTHER.get(module, module)]}


distributions = cache(packages_distributions)
"""Reads the files of every package that is installed."""


def aiops(without: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-c", AIOPS, without, *arguments)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_the_core_is_what_the_client_needs_and_nothing_else() -> None:
    assert brought_by() == {"prometheus-client", "requests", "urllib3"}
    used = foreign(path for path in MODULES if room_of(path) in CORE_ROOMS)
    assert set().union(*map(packages_of, used)) == brought_by()


def test_what_lies_beside_the_core_is_known_to_the_entry() -> None:
    assert set(BESIDE["client"]) <= CORE_ROOMS
    used = {module for module in foreign(MODULES) if not packages_of(module) & brought_by()}
    assert used == set(EXTRAS)
    assert [module for module in used if not packages_of(module) & brought_by(EXTRAS[module])] == []


def test_the_client_needs_the_core_alone() -> None:
    done = run(sys.executable, "-c", f"{BLOCK}\n{ASK}", ",".join(EXTRAS))
    assert json.loads(done.stdout)["state"] == "closed", done.stderr


@pytest.mark.long
def test_graph_and_commands_load_with_the_pipelines_extra() -> None:
    beyond = [module for module, extra in EXTRAS.items() if extra != "pipeline"]
    # Dagster brings these for itself.
    beyond = [module for module in beyond if module not in ("sqlalchemy", "structlog")]
    done = run(sys.executable, "-c", GRAPH, ",".join(beyond))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("without", "arguments", "extra"),
    [
        ("click", ["--version"], "pipeline"),
        (",".join(EXTRAS), ["settings"], "pipeline"),
        ("dagster", ["lineage", "anomaly-detector"], "pipeline"),
    ],
)
def test_a_command_that_lacks_a_package_names_the_extra_in_one_line(
    without: str, arguments: list[str], extra: str
) -> None:
    done = aiops(without, *arguments)
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (1, "")
    assert f"aiops-assets[{extra}]" in line


def test_a_package_that_lacks_while_a_command_runs_is_named_too(tmp_path: Path) -> None:
    series = tmp_path / "series.parquet"
    times = pd.date_range("2026-11-01", periods=600, freq="5min", tz="UTC")
    pd.DataFrame({"timestamp": times, "a": np.sin(np.arange(600) / 20)}).to_parquet(series)
    backtest = ["backtest", "--model", "arima-predictor", "--series", str(series), "--out", str(tmp_path / "out")]
    done = aiops("statsmodels", *backtest)
    assert done.returncode == 1
    assert "aiops-assets[train]" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.long
def test_the_ui_names_its_extra() -> None:
    done = aiops("dagster_webserver", "ui")
    assert done.returncode == 2
    assert "aiops-assets[ui]" in done.stderr


def test_what_is_not_of_ours_to_install_is_shown_as_it_is() -> None:
    done = aiops("aiops_assets.settings", "settings")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_each_extra_that_is_named_exists() -> None:
    texts = [*MODULES, *PROJECT_ROOT.glob("*.*"), *(PROJECT_ROOT / "deploy").rglob("*.*")]
    named = {
        extra
        for path in texts
        if path.suffix in (".py", ".md", ".toml", ".yaml")
        for found in re.findall(r"aiops-assets\[([a-z,]+)]", path.read_text())
        for extra in found.split(",")
    }
    assert {"pipeline", "train", "service", "ui", "cluster"} <= named <= set(project()["optional-dependencies"])


@pytest.mark.long
def test_the_core_installs_and_asks_in_an_environment_of_its_own(tmp_path: Path) -> None:
    environment = tmp_path / "core"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python, command = str(environment / "bin" / "python"), str(environment / "bin" / "aiops")
    subprocess.run([python, "-m", "pip", "install", "--quiet", str(PROJECT_ROOT)], check=True)
    asked = run(python, "-I", "-W", "error", "-c", ASK)
    assert json.loads(asked.stdout)["state"] == "closed", asked.stderr
    listed = json.loads(run(python, "-m", "pip", "list", "--format=json").stdout)
    installed = {canonicalize_name(one["name"]) for one in listed}
    assert brought_by() <= installed
    assert not installed & (brought_by("pipeline", "train", "service", "ui", "cluster") - brought_by())
    for arguments in (["--version"], ["settings"]):
        done = run(command, *arguments)
        (line,) = done.stderr.splitlines()
        assert (done.returncode, done.stdout) == (1, "")
        assert "pip install 'aiops-assets[pipeline]'" in line

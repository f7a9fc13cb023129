"""The one-way street: who may import what."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from aiops_assets.settings import PROJECT_ROOT

PACKAGE = PROJECT_ROOT / "aiops_assets"
MODULES = sorted(PACKAGE.rglob("*.py"))
DAGSTER_LAYER = ("definitions.py", "resources.py", "assets/", "automation/")
PURE = ("timeseries/", "prometheus/", "models/", "insights/")
FRAMEWORKS = {"dagster", "mlflow", "fastapi"}
HEAVY = {"torch", "mlflow", "sklearn", "kubernetes", "matplotlib", "scipy"}
BELOW_PURE = {f"aiops_assets.{name}" for name in ("errors", "http_client", "timeseries", "prometheus", "models")}
BELOW_CLIENT = {f"aiops_assets.{name}" for name in ("errors", "http_client", "settings", "insights", "client")}
LONGEST = 400


def imports(path: Path) -> set[str]:
    """Absolute names of all modules that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def _name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_only_the_dagster_layer_imports_dagster(path: Path) -> None:
    top = {name.partition(".")[0] for name in imports(path)}
    if not _name(path).startswith(DAGSTER_LAYER):
        assert "dagster" not in top


@pytest.mark.parametrize("path", [p for p in MODULES if _name(p).startswith(PURE)], ids=_name)
def test_the_pure_part_imports_no_framework_and_nothing_above_it(path: Path) -> None:
    found = imports(path)
    assert not {name.partition(".")[0] for name in found} & FRAMEWORKS
    ours = {".".join(name.split(".")[:2]) for name in found if name.startswith("aiops_assets")}
    assert ours <= BELOW_PURE | ({"aiops_assets.insights"} if _name(path).startswith("insights/") else set())
    if _name(path).startswith("timeseries/"):
        assert ours <= {"aiops_assets.errors", "aiops_assets.timeseries"}


@pytest.mark.parametrize("path", [p for p in MODULES if _name(p).startswith("stores/")], ids=_name)
def test_stores_know_time_series_and_nothing_else_of_ours(path: Path) -> None:
    ours = {".".join(name.split(".")[:2]) for name in imports(path) if name.startswith("aiops_assets.")}
    assert ours <= {"aiops_assets.errors", "aiops_assets.timeseries", "aiops_assets.stores"}


@pytest.mark.parametrize("path", [p for p in MODULES if not _name(p).startswith("service/")], ids=_name)
def test_only_the_command_imports_the_service(path: Path) -> None:
    if _name(path) != "commands/serve.py":
        assert not any(name.startswith("aiops_assets.service") for name in imports(path))


@pytest.mark.parametrize("path", [p for p in MODULES if _name(p).startswith("client/")], ids=_name)
def test_the_client_is_light(path: Path) -> None:
    ours = {".".join(name.split(".")[:2]) for name in imports(path) if name.startswith("aiops_assets.")}
    assert ours <= BELOW_CLIENT


def test_what_http_clients_share_imports_nothing_of_ours() -> None:
    assert not any(name.startswith("aiops_assets") for name in imports(PACKAGE / "http_client.py"))


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_no_module_is_too_long(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST


def test_the_code_location_is_light() -> None:
    script = f"import sys, aiops_assets.definitions; print(sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

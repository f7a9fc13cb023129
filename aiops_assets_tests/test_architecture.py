"""The one-way street: who may import what."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

from aiops_assets.families.catalog import ALIASES, MODEL_NAMES
from aiops_assets.settings import PROJECT_ROOT

PACKAGE = PROJECT_ROOT / "aiops_assets"
MODULES = sorted(PACKAGE.rglob("*.py"))
GROUND = ("errors", "durations", "masking", "http_client")
STREET = (
    "timeseries",
    "synthetic",
    "hosts",
    "views",
    "learners",
    "outlook",
    "judging",
    "families",
    "settings",
    "storage",
    "tracking",
    "prometheus",
    "datasets",
    "registry",
    "engine",
    "reporting",
    "service",
    "pipeline",
    "commands",
)
"""Each room may import the ground and what stands before it."""
BESIDE = {"client": GROUND, "definitions": ("pipeline",)}
"""Off the street: what each may import of ours."""
APART = {
    "tracking": {"storage"},
    "prometheus": {"storage", "tracking"},
    "pipeline": {"service"},
    "settings": {"judging"},
}
"""Neighbours that do not import each other."""
PURE = (
    "timeseries",
    "synthetic",
    "hosts",
    "views",
    "prometheus",
    "learners",
    "outlook",
    "judging",
    "families",
    "engine",
)
FRAMEWORKS = {"dagster", "mlflow", "fastapi", "sqlalchemy"}
HEAVY = {"torch", "mlflow", "sklearn", "kubernetes", "matplotlib", "scipy", "sqlalchemy", "jinja2"}
LONGEST = 400
MAX_CLIENT_MODULES = 350


@cache
def tree(path: Path) -> ast.Module:
    """A file, parsed once."""
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> frozenset[str]:
    """Absolute names of all modules that a file imports, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            if node.module == "aiops_assets":
                found |= {f"aiops_assets.{alias.name}" for alias in node.names if alias.name != "__version__"}
    return frozenset(found)


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def rooms_imported(path: Path) -> set[str]:
    """The rooms of ours from which a file imports."""
    return {name.split(".")[1] for name in imports(path) if name.startswith("aiops_assets.")}


def allowed(room: str) -> set[str]:
    """What a room may import of ours."""
    if room in BESIDE:
        return {room, *BESIDE[room]}
    if room in GROUND or room == "__init__":
        return set(GROUND[: GROUND.index(room)]) if room in GROUND else {"errors"}
    return {room, *GROUND, *STREET[: STREET.index(room)]} - APART.get(room, set())


def test_each_file_imports_only_what_stands_before_it() -> None:
    wrong = {
        path.relative_to(PACKAGE).as_posix(): sorted(found)
        for path in MODULES
        if (found := rooms_imported(path) - allowed(room_of(path)))
    }
    assert wrong == {}


def test_every_room_has_its_place_in_the_street() -> None:
    assert {room_of(path) for path in MODULES} == {"__init__", *GROUND, *STREET, *BESIDE}


def test_no_two_modules_import_each_other() -> None:
    names = {".".join(path.relative_to(PROJECT_ROOT).with_suffix("").parts): path for path in MODULES}
    ahead = {name: {one for one in imports(path) if one in names} for name, path in names.items()}
    while free := [name for name, needs in ahead.items() if not needs & ahead.keys()]:
        for name in free:
            del ahead[name]
    assert ahead == {}


def test_only_the_dagster_layer_imports_dagster() -> None:
    layer = {"pipeline", "definitions"}
    found = [path for path in MODULES if "dagster" in {name.partition(".")[0] for name in imports(path)}]
    assert {room_of(path) for path in found} <= layer


def test_the_pure_part_imports_no_framework() -> None:
    wrong = [
        path
        for path in MODULES
        if room_of(path) in PURE and {name.partition(".")[0] for name in imports(path)} & FRAMEWORKS
    ]
    assert wrong == []


def test_only_the_command_imports_the_service() -> None:
    users = {path.relative_to(PACKAGE).as_posix() for path in MODULES if "service" in rooms_imported(path)}
    assert {name for name in users if not name.startswith("service/")} == {"commands/serve.py"}


def test_no_module_is_too_long() -> None:
    assert [path for path in MODULES if len(path.read_text().splitlines()) > LONGEST] == []


def test_the_code_location_is_light() -> None:
    script = f"import sys, aiops_assets.definitions; print(sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_the_client_loads_little() -> None:
    heavy = "{'dagster', 'pandas', 'numpy', 'pydantic'} & set(sys.modules)"
    script = f"import sys, aiops_assets.client; print(len(sys.modules), *{heavy})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    count, *found = done.stdout.split()
    assert not found
    assert int(count) < MAX_CLIENT_MODULES


def test_models_are_named_in_families_alone() -> None:
    """But for the names of those that the coordination engine asks for, which stand in one place."""
    named = {*MODEL_NAMES, *ALIASES}
    wrong = {
        path.relative_to(PACKAGE).as_posix()
        for path in MODULES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and node.value in named
    }
    assert {name for name in wrong if not name.startswith("families/")} == {"engine/models.py"}


def test_nobody_asks_which_kind_a_model_is() -> None:
    """Its task and its family answer; records and findings may have kinds of their own."""
    wrong = [
        (path.relative_to(PACKAGE).as_posix(), node.lineno)
        for path in MODULES
        if room_of(path) not in ("judging", "families")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Compare)
        and ast.unparse(node.left).endswith(("family.kind", "task.name", "family.task", "spec.family", "view.name"))
    ]
    assert wrong == []

"""Test files that a change can break, the nearest first: ``python -m aiops_assets_tests.changed [BASE]``.

A test file depends on what it imports or names and what that does, also inside functions, on the conftest.py of its
folders, and, where it starts our commands, on all of them. Imports between a test and the changed file are steps; what
is at few steps comes first, until a minute is full, by how long each file took when it last ran.

Recording what each test executes would be finer, and would miss what matters here: homes and models are made once, in
another test, another worker or another process.
"""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("aiops_assets", "aiops_assets_tests")
STARTS_COMMANDS = re.compile(r'\baiops: str\b|"aiops"|"dagster"|executable\(')
"""In a test file: the fixture that names the program, or the program's name."""
READ_BY: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile("^deploy/"), "aiops_assets_tests/deploy/"),
    (re.compile(r"\.md$|^docs/|^Makefile$"), "aiops_assets_tests/test_site.py"),
    (re.compile(r"\.md$|^Makefile$"), "aiops_assets_tests/test_documents.py"),
    (re.compile("^CHANGELOG.md$"), "aiops_assets_tests/test_version.py"),
    (re.compile(r"^LICENSE$|(^|/)\.gitignore$"), "none"),
)
"""Files that are no modules -> the beginning of the test files that read them. Whatever else changes, all depend on."""
OURS = re.compile(r"(aiops_assets|aiops_assets_tests)(\.\w+)+(:\w+)?$")
"""A text that names a module or what is in one: models are looked up by such names."""
IS_TEST = re.compile(r"^(?!.*/long/).*/test_[^/]*\.py$")
"""Of a path; what is long is not for a minute."""
FAR = 99
"""Steps to what is not imported."""
WORKERS, BUDGET_SECONDS, UNKNOWN_SECONDS = 2, 60.0, 6.0
"""What is not known takes what a test file takes on average."""
DURATIONS = Path(".pytest_cache") / "seconds-of-test-files.json"


def selected(changed: Iterable[str], durations: Mapping[str, float]) -> tuple[list[str], list[str]]:
    """Test files that fit into the budget, and those that do not; a change of a test itself always fits.

    Args:
        changed: paths from the root.
        durations: test file -> seconds.
    """
    reached = steps(changed)
    fit: list[str] = []
    left: list[str] = []
    seconds = 0.0
    for name in sorted(reached, key=lambda name: (reached[name], durations.get(name, UNKNOWN_SECONDS), name)):
        seconds += durations.get(name, UNKNOWN_SECONDS)
        (fit if reached[name] == 0 or seconds <= WORKERS * BUDGET_SECONDS else left).append(name)
    return fit, left


def steps(changed: Iterable[str]) -> dict[str, int]:
    """Test file -> how many imports lie between it and the nearest changed file; only those that reach one."""
    files = set(changed)
    everything = {name for name in files if _is_of_all(name)}
    found = {}
    for test in filter(IS_TEST.search, graph()):
        read = [pattern for pattern, tests in READ_BY if test.startswith(tests)]
        reads = any(pattern.search(name) for pattern in read for name in files)
        distance = 0 if reads else _distance(test, files)
        if distance is None and everything:
            distance = FAR
        if distance is not None:
            found[test] = distance
    return found


def _is_of_all(name: str) -> bool:
    # A module that is not there was removed: whoever imported it has changed too.
    module = name.endswith(".py") and name.startswith(PACKAGES)
    return not module and not any(pattern.search(name) for pattern, _ in READ_BY)


def _distance(test: str, files: set[str]) -> int | None:
    """Breadth first."""
    seen, front, distance = {test}, {test}, 0
    while front:
        if front & files:
            return distance
        front = {name for one in front for name in graph()[one]} - seen
        seen |= front
        distance += 1
    return None


@cache
def graph() -> dict[str, frozenset[str]]:
    """File -> files that it imports, of our two packages; paths from the root."""
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return {_name(path): frozenset(_imported(path)) for path in files}


@cache
def commands() -> frozenset[str]:
    """Files of our programs, and what Dagster's programs load."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    entries = [entry.partition(":")[0] for entry in project["project"]["scripts"].values()]
    location = project["tool"]["dg"]["project"]["code_location_target_module"]
    return frozenset(file for module in (*entries, location) for file in _files_of(module))


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _imported(path: Path) -> set[str]:
    text = path.read_text()
    names: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and OURS.match(node.value):
            names.add(node.value.partition(":")[0])
    found = {file for name in names for file in _files_of(name)}
    if _name(path).startswith(PACKAGES[1]):
        folders = [folder for folder in path.parents if folder.is_relative_to(ROOT / PACKAGES[1])]
        found |= {_name(folder / "conftest.py") for folder in folders if (folder / "conftest.py").exists()}
        found |= commands() if STARTS_COMMANDS.search(text) else set()
    return found - {_name(path)}


def _files_of(module: str) -> list[str]:
    """The file of a module, and of the packages that it is in."""
    parts = module.split(".")
    if parts[0] not in PACKAGES:
        return []
    packages = [ROOT.joinpath(*parts[:n], "__init__.py") for n in range(1, len(parts) + 1)]
    return [_name(file) for file in (ROOT.joinpath(*parts).with_suffix(".py"), *packages) if file.exists()]


def remember(seconds: Mapping[str, float], folder: Path) -> None:
    """Keep how long test files took, beside what is known of others; conftest.py tells of each run."""
    file = folder / DURATIONS
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({**durations(folder), **seconds}, indent=1, sort_keys=True))


def durations(folder: Path) -> dict[str, float]:
    """What was kept."""
    try:
        found: dict[str, float] = json.loads((folder / DURATIONS).read_text())
    except (OSError, ValueError):
        return {}
    return found


def _git(*arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def changed_since(base: str) -> set[str]:
    """Files that differ from a commit, also new ones; without ``base`` from HEAD, or from HEAD~ if nothing does."""
    new = set(_git("ls-files", "--others", "--exclude-standard"))
    if base:
        return new | set(_git("diff", "--name-only", "--no-renames", base))
    return new | set(_git("diff", "--name-only", "--no-renames", "HEAD")) or set(
        _git("diff", "--name-only", "--no-renames", "HEAD~")
    )


def main(base: str = "") -> None:
    """Print the files; what does not fit goes to stderr."""
    changed = changed_since(base)
    fit, left = selected(changed, durations(ROOT))
    print(f"changed: {', '.join(sorted(changed))}", file=sys.stderr)
    print(f"{len(fit)} test files, nearest first", file=sys.stderr)
    if left:
        print(f"left to `make test`, for they do not fit into a minute: {' '.join(left)}", file=sys.stderr)
    print("\n".join(fit))


if __name__ == "__main__":
    main(*sys.argv[1:])

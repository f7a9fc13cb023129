"""`aiops run`: `dagster asset materialize` with the right arguments, and a summary."""

import json
import os
import shlex
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.text import Text

from aiops_assets.commands.progress import Progress, follow
from aiops_assets.commands.summary import show_warnings, summarize
from aiops_assets.commands.tables import console, program
from aiops_assets.datasets.selection import active_models, asset_name
from aiops_assets.errors import AiopsError, SettingsError, StoreError
from aiops_assets.pipeline.run_lines import LOGGER_NAME
from aiops_assets.settings import PROJECT_ROOT, Settings
from aiops_assets.storage.served import ServedModels
from aiops_assets.storage.signatures import Keys
from aiops_assets.storage.storage import open_storage

MIN_FREE_BYTES = 64_000_000
"""Least free disk space for a run, which writes about 10 MB; SQLite databases on a full disk are slow to repair."""
LOCATION = "aiops_assets.definitions"
"""Module of the graph, and the name of its code location in the UI that `aiops ui` starts."""
LOGGER = json.dumps({"loggers": {LOGGER_NAME: {}}})
"""Dagster reports steps and messages as data; what people see of them is up to :class:`Progress`."""
START_SECONDS, STEPS_SECONDS = 12.0, 6.0
"""For estimates: until the first step, and for the steps of a model beside its fit."""
CANCELLED = 130
"""Exit code of a command that was interrupted, as shells have it."""


class RunFailed(AiopsError):
    """`dagster asset materialize` did not succeed."""


def materialize_all(settings: Settings) -> None:
    """Materialize everything that DATA_SOURCE needs, like the documented Dagster command, and print a summary.

    Raises:
        AiopsError: nothing new is served; the message is one line that says why.
    """
    check_writable(settings)
    # The child process must have the same day after midnight.
    environment = dagster_environment(settings) | {"SYNTHETIC_END": settings.synthetic_end.isoformat()}
    arguments = ["asset", "materialize", *location_arguments(), *selection(settings)]
    specs, out = active_models(settings), console()
    out.print(Text(_announcement(settings)))
    out.print(Text(f"by hand: {shlex.join([beside_this('dagster'), *arguments])}", style="dim"))
    before = _versions(settings)
    started = time.time()
    fits = {asset_name(spec.name, "model"): (spec.name, spec.family.typical_seconds) for spec in specs}
    progress = Progress(out, fits, START_SECONDS + STEPS_SECONDS * len(specs))
    log = settings.aiops_home / "logs" / "newest-run.log"
    command = [executable("dagster"), *arguments, "--config-json", LOGGER]
    try:
        code = follow(command, environment, progress, out, log)
    except KeyboardInterrupt:
        from aiops_assets.pipeline.run_history import cancel_since, claim_runs_of

        cancel_since(environment["DAGSTER_HOME"], started)
        claim_runs_of(environment["DAGSTER_HOME"], LOCATION)
        out.print(Text("cancelled: what was served before is served still"))
        raise SystemExit(CANCELLED) from None
    # Dagster is slow to import: not before it is needed.
    from aiops_assets.pipeline.run_history import claim_runs_of, failure_since

    claim_runs_of(environment["DAGSTER_HOME"], LOCATION)
    if code:
        cause = failure_since(environment["DAGSTER_HOME"], started)
        show_warnings(out, progress.warnings)
        raise RunFailed(cause or f"dagster ended with exit code {code}: see {log}", exit_code=code)
    summarize(settings, before, progress.run, progress.warnings)


def _announcement(settings: Settings) -> str:
    """What is about to happen, and about how long it takes."""
    specs = active_models(settings)
    seconds = START_SECONDS + sum(spec.family.typical_seconds + STEPS_SECONDS for spec in specs)
    source = settings.data_source if settings.data_source == settings.mode else f"auto: {settings.mode}"
    minutes = f"about {max(round(seconds / 60), 1)} min" if seconds >= 60 else "less than a minute"
    return f"training {len(specs)} models, DATA_SOURCE={source}, {minutes} on two cores; Ctrl-C cancels"


def selection(settings: Settings) -> list[str]:
    """Arguments that select assets: all from synthetic_series on, and with real data the days of the window and today.

    Raises:
        SettingsError: a setting that the run needs is missing or wrong.
    """
    _ = settings.metrics  # an invalid METRICS_FILE is reported here, not by a traceback of the child process
    if not settings.fetches:
        return ["--select", 'key:"synthetic_series"+']
    # Dagster is slow to import; only this branch needs partitions before the child process loads them.
    from aiops_assets.pipeline.partitions import days_to_fetch

    days = days_to_fetch(settings, datetime.now(UTC).date())
    return ["--select", "*", "--partition-range", f"{days[0]}...{days[-1]}"]


def dagster_environment(settings: Settings) -> dict[str, str]:
    """The environment for Dagster's programs, with a DAGSTER_HOME that holds the shipped dagster.yaml."""
    home = Path(os.environ.get("DAGSTER_HOME") or settings.aiops_home / "dagster").absolute()
    try:
        home.mkdir(parents=True, exist_ok=True)
        configuration = home / "dagster.yaml"
        if not configuration.exists():
            configuration.unlink(missing_ok=True)
            configuration.symlink_to(_shipped("dagster.yaml"))
    except OSError as error:
        name = "DAGSTER_HOME" if os.environ.get("DAGSTER_HOME") else "AIOPS_HOME"
        shown = home if name == "DAGSTER_HOME" else settings.aiops_home
        raise StoreError(
            f"{name}={shown} is not writable ({error.strerror}): set another folder", code="not_writable", variable=name
        ) from None
    # Fits use one thread anyway; predictions are made in small parts, for which threads mostly wait.
    one_thread = {"OMP_NUM_THREADS": "1"}
    return {**one_thread, **os.environ, "DAGSTER_HOME": str(home), "AIOPS_HOME": str(settings.aiops_home)}


def check_writable(settings: Settings) -> None:
    """Raise an error if a run could not finish.

    Raises:
        StoreError: a folder cannot be written, or its disk is nearly full.
    """
    folders = {"AIOPS_HOME": str(settings.aiops_home), "MODEL_ROOT": settings.model_root}
    for name, folder in folders.items():
        if "://" in folder:
            continue
        path = Path(folder)
        try:
            path.mkdir(parents=True, exist_ok=True)
            probe = path / f".writable-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise StoreError(
                f"{name}={folder} is not writable ({error.strerror}): set it to a folder that is",
                code="not_writable",
                variable=name,
            ) from None
        free = shutil.disk_usage(path).free
        if free < MIN_FREE_BYTES:
            raise StoreError(
                f"{name}={folder} has {free / 1e6:.0f} MB free, a run needs {MIN_FREE_BYTES / 1e6:.0f} MB: "
                "free some space; nothing was changed",
                code="disk_full",
                variable=name,
                free=free,
            )


def _versions(settings: Settings) -> dict[str, list[int]]:
    served = ServedModels(open_storage(settings.model_root), Keys(settings.verify_key_file))
    return {spec.name: served.versions(spec.name) for spec in active_models(settings)}


def beside_this(name: str) -> str:
    """A program of this environment as it can be typed, in the way this one was."""
    return str(Path(program()).parent / name)


def executable(name: str) -> str:
    """Path of a console script of this environment."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise SettingsError(
            f"{name} is not installed in this environment: pip install 'aiops-assets[pipeline]'",
            code="not_installed",
            program=name,
        )
    return found


def location_arguments() -> list[str]:
    """Arguments with which Dagster finds the graph from any working directory."""
    return ["-m", LOCATION]


def _shipped(name: str) -> Path:
    """Path of a file at the top of a checkout, or beside the modules of an installed package."""
    root = PROJECT_ROOT / name
    return root if root.is_file() else Path(__file__).parent.parent / name

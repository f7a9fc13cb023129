"""`aiops run`: `dagster asset materialize` with the right arguments, and a summary."""

import os
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import click

from aiops_assets.datasets.selection import active_models, training_set_name, training_sets_of
from aiops_assets.errors import AiopsError, NotFoundError, SettingsError, StoreError
from aiops_assets.families.contract import ModelSpec
from aiops_assets.settings import PROJECT_ROOT, Settings
from aiops_assets.storage.handoff import Handoffs, TrainingSetRef
from aiops_assets.storage.records import ChampionMove
from aiops_assets.storage.served import ServedModels
from aiops_assets.storage.storage import open_storage

LEAST_FREE_BYTES = 64_000_000
"""Least free disk space for a run, which writes about 10 MB; SQLite databases on a full disk are slow to repair."""
CONSOLE = '{"loggers": {"console": {"config": {"log_level": "INFO"}}}}'
"""Log level of Dagster: its own events are debug messages, fifty lines per run, and the UI shows them anyway."""


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
    arguments = ["asset", "materialize", *location_arguments(), *selection(settings), "--config-json", CONSOLE]
    click.echo(shlex.join(["dagster", *arguments]))
    before = _versions(settings)
    started = time.time()
    code = subprocess.run([executable("dagster"), *arguments], env=environment, check=False).returncode
    if code:
        from aiops_assets.pipeline.run_history import failure_since

        cause = failure_since(environment["DAGSTER_HOME"], started)
        raise RunFailed(cause or f"dagster ended with exit code {code}", exit_code=code)
    summarize(settings, before)


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
        if free < LEAST_FREE_BYTES:
            raise StoreError(
                f"{name}={folder} has {free / 1e6:.0f} MB free, a run needs {LEAST_FREE_BYTES / 1e6:.0f} MB: "
                "free some space; nothing was changed",
                code="disk_full",
                variable=name,
                free=free,
            )


def summarize(settings: Settings, before: dict[str, list[int]]) -> None:
    """Print what was trained, where the models are, how good they are, and which commands show more."""
    from aiops_assets.reporting.reports import report_of

    served = ServedModels(open_storage(settings.model_root))
    click.echo("")
    click.echo(f"this run: {stated_source(settings)}")
    for spec in active_models(settings):
        record = served.champion(spec.name)
        new = [version for version in served.versions(spec.name) if version not in before[spec.name]]
        trained = f"version {new[-1]} trained" if new else "training skipped, nothing changed"
        if record is None:
            click.echo(f"{spec.name}: {trained}; nothing is served: {_reason(served, spec)}")
            continue
        champion = record.champion
        manifest = served.manifest(spec.name, champion.version, champion.manifest_sha256)
        why, figures = _why_served(served, spec, champion)
        click.echo(f"{spec.name}: {trained}; version {champion.version} is served ({why})")
        if new and new[-1] != champion.version:
            click.echo(f"  challenger  version {new[-1]} is not served: {_reason(served, spec, new[-1])}")
        click.echo(f"  directory   {served.locate(spec.name, champion.version)}")
        click.echo(f"  data        {manifest.effective_source}, data version {manifest.data_version}")
        click.echo(f"  hold-out    {report_of(spec).summary(manifest.metrics)}")
        if figures:
            click.echo(f"  when judged {figures}")
    click.echo("ask it: `make serve`; look further: `make ui`, `.venv/bin/aiops lineage anomaly-detector`")


def stated_source(settings: Settings) -> str:
    """The source of the newest training sets, in one line."""
    handoffs = Handoffs(open_storage(settings.aiops_home), settings.cluster)
    refs = []
    for view, source in training_sets_of(active_models(settings)):
        # A person may have materialized a single model.
        with suppress(NotFoundError):
            refs.append(handoffs.get(("training_set", training_set_name(view.name, source)), TrainingSetRef))
    sets = [
        f"{ref.effective_source} ({', '.join(f'{n:,} rows {source}' for source, n in ref.source.rows.items())})"
        for ref in refs
    ]
    # Warnings of views of one fetch are the same, except for counts.
    warnings = dict.fromkeys(warning for ref in refs for warning in ref.source.warnings)
    return "; ".join([" and ".join(sets), *warnings])


def _why_served(served: ServedModels, spec: ModelSpec, champion: ChampionMove) -> tuple[str, str]:
    """Why a version is served, and the figures of that decision, which only its evaluation has separately.

    The reason of a person, or of a record of older code, is shown unchanged.
    """
    evaluation = served.evaluation(spec.name, champion.version)
    if evaluation and evaluation.code and evaluation.reason == champion.reason:
        return evaluation.head, evaluation.stated_figures
    return champion.reason, ""


def _reason(served: ServedModels, spec: ModelSpec, version: int | None = None) -> str:
    """The reason of the evaluation of a version, by default the newest one."""
    newest = version or max(served.versions(spec.name), default=0)
    evaluation = served.evaluation(spec.name, newest)
    return evaluation.reason if evaluation else "see its evaluation in the UI"


def _versions(settings: Settings) -> dict[str, list[int]]:
    served = ServedModels(open_storage(settings.model_root))
    return {spec.name: served.versions(spec.name) for spec in active_models(settings)}


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
    return ["-m", "aiops_assets.definitions"]


def _shipped(name: str) -> Path:
    """Path of a file at the top of a checkout, or beside the modules of an installed package."""
    root = PROJECT_ROOT / name
    return root if root.is_file() else Path(__file__).parent.parent / name

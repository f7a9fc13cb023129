"""Causes of failed runs in Dagster's history, and runs whose process was killed."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.storage.tags import REPOSITORY_LABEL_TAG

from aiops_assets.tracking.processes import ran_at

START = timedelta(minutes=5)
"""Longest time until a launched run has a process, which takes seconds."""
OPEN = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
MAX_CLAIMED = 100
"""How many of the newest runs are examined for those without a code location."""


def failure_since(dagster_home: str, started: float) -> str:
    """Cause of the first failed run after ``started`` (Unix seconds), in one line; empty: none failed."""
    since = datetime.fromtimestamp(started - 1, UTC)
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], created_after=since)
    with dg.DagsterInstance.from_config(dagster_home) as instance:
        for record in instance.get_run_records(failed, limit=1, ascending=True):
            return failure_of(instance, record.dagster_run.run_id)
    return ""


def cancel_since(dagster_home: str, started: float) -> None:
    """Mark runs that began after ``started`` (Unix seconds) and did not succeed as cancelled; their process has ended.

    A step that is interrupted fails, and Dagster calls its run failed.
    """
    since = datetime.fromtimestamp(started - 1, UTC)
    statuses = [*OPEN, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.FAILURE]
    unfinished = dg.RunsFilter(statuses=statuses, created_after=since)
    with dg.DagsterInstance.from_config(dagster_home) as instance:
        for record in instance.get_run_records(unfinished):
            instance.report_run_canceled(record.dagster_run, message="Cancelled from the keyboard.")


def failure_of(instance: dg.DagsterInstance, run_id: str) -> str:
    """The checks that stopped a run, else the step that failed first and why, in one line; empty for neither."""
    entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    checks = [entry.dagster_event.asset_check_evaluation_data for entry in entries if entry.dagster_event]
    failed = [c for c in checks if not c.passed and c.blocking and c.severity == dg.AssetCheckSeverity.ERROR]
    if failed:
        return "; ".join(f"{c.asset_key.to_user_string()}: check {c.check_name}: {c.description}" for c in failed)
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        event = entry.dagster_event
        error = event.step_failure_data.error if event else None
        if error:
            first = error.cause or error
            return f"{entry.step_key}: {named_failure(first.cls_name, first.message)}"
    return ""


def named_failure(cls_name: str | None, message: str) -> str:
    """Class and message of an exception in one line; Dagster's ``message`` begins with the path of the class."""
    line = message.strip().splitlines()[0]
    path, _, rest = line.partition(": ")
    if cls_name and path.rpartition(".")[2] == cls_name:
        return f"{cls_name}: {rest}" if rest else cls_name
    return line


def close_dead_runs_of(dagster_home: str) -> None:
    """Close the dead runs of an instance, which would stay in the UI's queue."""
    with dg.DagsterInstance.from_config(dagster_home) as instance:
        close_dead_runs(instance)


def close_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs as failed whose process on this machine has ended or never started; their ids.

    They would occupy their pool for ever. This applies to runs that a command, the UI or the daemon started on this
    machine; elsewhere Dagster's own run monitoring does it. A home belongs to one machine: a container that shares it
    does not see processes of another.
    """
    if not _launches_here(instance):
        return []
    dead = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=OPEN)):
        if _is_dead(instance, record):
            instance.report_run_failed(record.dagster_run, "its process was killed")
            dead.append(record.dagster_run.run_id)
    return dead


def claim_runs_of(dagster_home: str, location: str) -> None:
    """Give runs of this project that commands started their code location: see :func:`claim_runs`.

    A database that is busy is no error: the next call does it.
    """
    from sqlalchemy.exc import SQLAlchemyError  # slow to import, and the code location needs it for nothing else

    with suppress(SQLAlchemyError), dg.DagsterInstance.from_config(dagster_home) as instance:
        claim_runs(instance, location)


def claim_runs(instance: dg.DagsterInstance, location: str) -> list[str]:
    """Name the code location of ended runs of a module that have none, among the newest ``MAX_CLAIMED``; their ids.

    `dagster asset materialize` starts runs without one, and the timeline, which is the first page of Dagster's UI,
    leaves such runs out. Runs that go on are left alone: their process writes the same record. So are runs of other
    modules, files or code servers: several projects may share an instance.

    Args:
        instance: the instance with the runs.
        location: the module, such as ``aiops_assets.definitions``; the code location in the UI has its name.
    """
    claimed = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=ENDED), limit=MAX_CLAIMED):
        run = record.dagster_run
        if run.remote_job_origin is not None or _module_of(run) != location:
            continue
        repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(location), SINGLETON_REPOSITORY_NAME)
        # The call that `dagster run migrate-repository` uses; it changes the tag of a run, but does not add it.
        instance.add_run_tags(run.run_id, {REPOSITORY_LABEL_TAG: repository.get_label()})
        instance.run_storage.replace_job_origin(run, repository.get_job_origin(run.job_name))
        claimed.append(run.run_id)
    return claimed


def _module_of(run: dg.DagsterRun) -> str:
    """The module whose graph a run is of; empty: it was not started from a module, or did not say."""
    origin = run.job_code_origin
    pointer = origin.repository_origin.code_pointer if origin else None
    return pointer.module if isinstance(pointer, ModuleCodePointer) else ""


def newest_run_of(dagster_home: str) -> str | None:
    """The id of an instance's newest run; ``None``: it has none."""
    with dg.DagsterInstance.from_config(dagster_home) as instance:
        return next((record.dagster_run.run_id for record in instance.get_run_records(limit=1)), None)


def has_ended(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether a run is in this history and has ended; on Kubernetes, run monitoring ends those of lost pods."""
    run = instance.get_run_by_id(run_id)
    return run is not None and run.is_finished


def _launches_here(instance: dg.DagsterInstance) -> bool:
    """Whether runs start on this machine, by the configuration alone: creating a launcher may need a cluster."""
    launcher = instance.get_ref().run_launcher_data if instance.is_persistent else None
    return launcher is None or launcher.class_name == dg.DefaultRunLauncher.__name__


def _is_dead(instance: dg.DagsterInstance, record: dg.RunRecord) -> bool:
    run = record.dagster_run
    if run.status == dg.DagsterRunStatus.STARTING:
        return datetime.now(UTC) - record.update_timestamp > START
    entries = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    seen = [(e.dagster_event.pid, e.timestamp) for e in entries if e.dagster_event and e.dagster_event.pid]
    return bool(seen) and not any(ran_at(pid, when) for pid, when in seen)

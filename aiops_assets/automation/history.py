"""What Dagster's history tells about runs, and runs in it whose process was killed."""

import dagster as dg

from aiops_assets.processes import ran_at


def failure_since(dagster_home: str, started: float) -> str:
    """Why the newest run failed, in one line; empty when none failed after ``started`` (Unix seconds)."""
    with dg.DagsterInstance.from_config(dagster_home) as instance:
        for record in instance.get_run_records(limit=1):
            if record.create_timestamp.timestamp() < started - 1:
                return ""
            for entry in instance.all_logs(record.dagster_run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
                event = entry.dagster_event
                error = event.step_failure_data.error if event else None
                if error:
                    message = (error.cause or error).message.strip().splitlines()[0]
                    return f"{entry.step_key}: {message.rpartition('errors.')[2]}"
    return ""


def close_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark started runs as failed whose process on this machine is gone, and name them.

    Only for runs that a command or the UI started here: elsewhere Dagster's own run monitoring knows better.
    """
    if not isinstance(instance.run_launcher, dg.DefaultRunLauncher):
        return []
    dead = []
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        entries = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
        seen = [(e.dagster_event.pid, e.timestamp) for e in entries if e.dagster_event and e.dagster_event.pid]
        if seen and not any(ran_at(pid, when) for pid, when in seen):
            instance.report_run_failed(run, "its process was killed")
            dead.append(run.run_id)
    return dead

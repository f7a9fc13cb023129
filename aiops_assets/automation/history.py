"""What Dagster's history tells about a run."""

import dagster as dg


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

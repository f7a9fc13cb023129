"""A logger that tells another program how far a run is."""

import logging
from typing import Any

import dagster as dg
from typing_extensions import override

from aiops_assets.pipeline.run_lines import FAILED, FINISHED, LOGGER_NAME, MESSAGE, STARTED, WARNED, write_line
from aiops_assets.views.catalog import VIEWS

KINDS = {"STEP_START": STARTED, "STEP_SUCCESS": FINISHED, "STEP_FAILURE": FAILED}
"""Type of a Dagster event -> what it is called here. All other events are left out."""

NOT_EXECUTED = "Dependencies for step"
"""Begin of what Dagster logs of each step after one that failed, which hides why that one did."""
ABOUT_DATA = ("raw_metrics", *VIEWS)
"""Begin of the names of assets that hold data, whose checks are told; a rejected challenger is told by the summary.
Of these checks, those that stop a run are the reason that it failed for."""


class _Lines(logging.Handler):
    @override
    def emit(self, record: logging.LogRecord) -> None:
        meta: dict[str, Any] = getattr(record, "dagster_meta", {})
        event, run = meta.get("dagster_event"), meta.get("run_id") or ""
        if event and event.event_type_value in KINDS:
            print(write_line(KINDS[event.event_type_value], event.step_key or "", run=run), flush=True)
        elif event and event.event_type_value == "ASSET_CHECK_EVALUATION":
            found = event.asset_check_evaluation_data
            asset = found.asset_key.to_user_string()
            stops = found.blocking and found.severity == dg.AssetCheckSeverity.ERROR
            if not found.passed and not stops and asset.startswith(ABOUT_DATA):
                check = f"{asset}: {found.check_name}"
                print(write_line(WARNED, check, found.severity.value, found.description or "", run), flush=True)
        elif not event and record.levelno >= logging.INFO:
            text = str(meta.get("orig_message", record.getMessage()))
            if text.startswith(NOT_EXECUTED):
                return
            print(write_line(MESSAGE, meta.get("step_key") or "", record.levelname, text, run), flush=True)


@dg.logger({}, "A line of JSON for each step that starts, ends or has something to say.")
def progress_logger(_: dg.InitLoggerContext) -> logging.Logger:
    """A logger whose lines :func:`~aiops_assets.pipeline.run_lines.read_line` understands."""
    logger = logging.Logger(LOGGER_NAME, logging.DEBUG)
    logger.addHandler(_Lines())
    return logger

"""Looks up the report of a model's task."""

from typing import Any

from aiops_assets.families.contract import Model, ModelSpec, Prediction
from aiops_assets.judging.detection.task import DETECTION
from aiops_assets.judging.forecasting.task import FORECASTING
from aiops_assets.reporting.detection_report import DetectionReport
from aiops_assets.reporting.forecasting_report import ForecastingReport
from aiops_assets.reporting.task_report import TaskReport

REPORTS: dict[str, TaskReport[Any]] = {DETECTION.name: DetectionReport(), FORECASTING.name: ForecastingReport()}


def report_of(spec: ModelSpec[Model, Prediction]) -> TaskReport[Prediction]:
    """The object that shows a model's predictions and figures."""
    return REPORTS[spec.family.task.name]

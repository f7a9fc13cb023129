"""The code location of Dagster: resources from settings, and Definitions from resources and assets."""

import os
from collections.abc import Callable

import dagster as dg

from aiops_assets.datasets.selection import active_models, training_sets_of
from aiops_assets.pipeline.assets.card import card_asset
from aiops_assets.pipeline.assets.evaluation import evaluation_asset
from aiops_assets.pipeline.assets.raw_metrics import raw_metrics_asset
from aiops_assets.pipeline.assets.scores import scores_asset
from aiops_assets.pipeline.assets.served import served_asset
from aiops_assets.pipeline.assets.shadow import shadow_asset
from aiops_assets.pipeline.assets.synthetic_series import synthetic_series
from aiops_assets.pipeline.assets.trained import model_asset
from aiops_assets.pipeline.assets.training_sets import training_set_asset
from aiops_assets.pipeline.automation.drift import drift_automation
from aiops_assets.pipeline.automation.jobs import automation_for
from aiops_assets.pipeline.checks import (
    not_worse_check,
    smoke_check,
    something_is_served_check,
    training_set_checks,
)
from aiops_assets.pipeline.executors import steps_executor
from aiops_assets.pipeline.progress import progress_logger
from aiops_assets.pipeline.resources import resources_for
from aiops_assets.pipeline.run_lines import LOGGER_NAME
from aiops_assets.settings import Settings, load_settings


def definitions_for(settings: Settings, current: Callable[[], Settings] | None = None) -> dg.Definitions:
    """The asset graph with resources, schedules and sensors of one environment.

    Args:
        settings: settings of the environment.
        current: returns the present settings, for schedules and sensors; by default ``settings``.
    """
    makers = (evaluation_asset, served_asset, shadow_asset, card_asset)
    checks = (smoke_check, not_worse_check, something_is_served_check)
    specs = active_models(settings)
    training_sets = training_sets_of(specs)
    graph = dg.Definitions(
        assets=[
            synthetic_series,
            raw_metrics_asset(settings),
            *(training_set_asset(view, source) for view, source in training_sets),
            *(model_asset(spec, gpu=spec.name in settings.gpu_models) for spec in specs),
            *(make(spec) for spec in specs for make in makers),
            scores_asset(specs, writes_back=settings.remote_write_url is not None),
        ],
        asset_checks=[
            *(training_set_checks(view, source) for view, source in training_sets),
            *(check(spec) for spec in specs for check in checks),
        ],
        resources=resources_for(settings),
        # A process per step takes three seconds each without a benefit on one machine; a GPU needs one of its own.
        executor=steps_executor(settings),
        loggers={"console": dg.colored_console_logger, LOGGER_NAME: progress_logger},
    )
    present = current or (lambda: settings)
    return dg.Definitions.merge(graph, automation_for(settings, present), drift_automation(settings, present))


@dg.definitions
def defs() -> dg.Definitions:
    """The graph of the environment that this process runs in."""
    return definitions_for(load_settings(os.environ), lambda: load_settings(os.environ))

"""A version of a forecaster with everything that a card can tell: records, and forecasts of two models."""

from dataclasses import replace
from functools import cache

import pandas as pd

from aiops_assets.families.forecasters import METRICS, UNITS
from aiops_assets.families.predictive_analytics import PREDICTIVE_ANALYTICS
from aiops_assets.judging.forecasting import gate as forecast_gate
from aiops_assets.judging.forecasting.holdout import SIDES, trivial_forecasts
from aiops_assets.judging.forecasting.shadow import compare as compare_windows
from aiops_assets.judging.forecasting.shadow import side_by_side
from aiops_assets.reporting.cards.subject import Subject
from aiops_assets.storage.records import EvaluationRecord, Gap
from aiops_assets.synthetic.cluster import generate_cluster
from aiops_assets.views import cluster_metrics as cluster_series
from aiops_assets_tests.reporting.card_subject import EVALUATION, MANIFEST, SHADOW, TRAINING_SET

NAME = PREDICTIVE_ANALYTICS.name
END = pd.Timestamp("2026-11-01", tz="UTC")
DAYS = 10
"""Two days of hold-out: from some moments of it a whole day follows."""


@cache
def rows() -> pd.DataFrame:
    values = generate_cluster(DAYS, END, seed=7)
    return cluster_series.segment_rows(values, cluster_series.holdout_of(values), source="synthetic")


@cache
def forecasts() -> tuple[pd.DataFrame, pd.DataFrame]:
    """A challenger, the mean of two trivial forecasters, which is better than each, and one of them as champion."""
    naive, median = (trivial_forecasts(rows(), METRICS, name) for name in ("seasonal_naive", "median_24h"))
    return naive.assign(**{side: (naive[side] + median[side]) / 2 for side in SIDES}), naive


def evaluation(who: str = "champion version 6", seed: int = 42) -> EvaluationRecord:
    """What the gate says of the two."""
    found = forecast_gate.compare(*forecasts(), who, seed)
    return EVALUATION.model_copy(
        update={
            "name": NAME,
            "holdout_rows": found.challenger_figures.rows,
            "anomalous_rows": 0,
            "figures": found.challenger_figures.as_metrics(),
            "opponent": who,
            "opponent_figures": found.opponent_figures.as_metrics(),
            "gaps": {name: Gap(value=gap.value, low=gap.low, high=gap.high) for name, gap in found.gaps.items()},
        }
    )


@cache
def plain() -> Subject:
    manifest = MANIFEST.model_copy(
        update={
            "name": NAME,
            "features": METRICS,
            "units": UNITS,
            "width": len(METRICS),
            "view": "cluster_metrics",
            "metrics": compare_windows(side_by_side(forecasts()[0], None)).challenger.as_metrics(),
            "fit": "warm start from version 6, not worse than the full refit",
            "files": {"model.joblib": "cd" * 32},
        }
    )
    return Subject(
        spec=PREDICTIVE_ANALYTICS,
        manifest=manifest,
        manifest_sha256="ee" * 32,
        directory=f"/models/{NAME}/7",
        evaluation=evaluation(),
        training_set=TRAINING_SET.model_copy(update={"view": "cluster_metrics", "pods": ("cluster", "synthetic-000")}),
        scores=side_by_side(*forecasts()),
        shadow=SHADOW.model_copy(update={"name": NAME, "metrics": METRICS}),
        seed=42,
    )


def subject(**changes: object) -> Subject:
    return replace(plain(), **changes)  # type: ignore[arg-type]

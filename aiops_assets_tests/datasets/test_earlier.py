"""Days before the training window: learnt from where the lake holds them, needed nowhere."""

from collections.abc import Collection
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aiops_assets.datasets.earlier import with_earlier_days
from aiops_assets.datasets.source_rule import training_set
from aiops_assets.pipeline.partitions import days_to_fetch, earlier_days, training_days, window_days
from aiops_assets.pipeline.resources import stores_of
from aiops_assets.registry.retention import first_kept
from aiops_assets.storage.lake import FetchOutcome, Lake
from aiops_assets.storage.records import SyntheticRecipe
from aiops_assets.timeseries.catalog import FORECAST_METRICS
from aiops_assets.views.catalog import CLUSTER_METRICS_VIEW, POD_VIEWS, VIEWS
from aiops_assets.views.cluster_metrics import MAX_HOLDOUT_ROWS
from aiops_assets_tests.conftest import END, make_settings

VIEW = VIEWS[CLUSTER_METRICS_VIEW]
NOW = END.to_pydatetime() + timedelta(hours=9)
WINDOW = [(END - timedelta(days=back)).date() for back in range(14, 0, -1)]
REAL = {"DATA_SOURCE": "prometheus", "PROMETHEUS_URL": "http://127.0.0.1:9"}
RECIPE = SyntheticRecipe(n_pods=20, days=7, end=END.to_pydatetime(), seed=42, anomaly_rate=0.03)


def back(days: int) -> date:
    """The day that ended so many days before the window did, from 1."""
    return (END - timedelta(days=days)).date()


def fill(lake: Lake, days: int, missing: Collection[int] = (), half: Collection[int] = (), still: int = 0) -> None:
    """Store the newest days; of ``half`` there is half, and ``still`` is open."""
    for ago in range(1, days + 1):
        begin = pd.Timestamp(back(ago), tz="UTC")
        rows = 144 if ago in half else 288
        times = pd.date_range(begin, periods=rows, freq="5min", unit="us", name="timestamp")
        for i, metric in enumerate(FORECAST_METRICS):
            if not (ago in missing and i == 2):
                wide = pd.DataFrame({"{}": 0.4 + 0.1 * np.sin(np.arange(rows) / 45.8 + i)}, index=times)
                until = (begin + timedelta(days=1)).to_pydatetime()
                closed = ago != still
                lake.upsert_day(metric, back(ago), wide, fetched=NOW, fetched_until=until, closed=closed)


@pytest.mark.parametrize(
    ("stored", "taken"),
    [
        ({"days": 32}, 30),
        ({"days": 14}, 14),
        ({"days": 15}, 15),  # OpenShift keeps so many
        ({"days": 22, "missing": (19,)}, 18),
        ({"days": 22, "half": (17,)}, 16),
        ({"days": 22, "still": 16}, 15),
        ({"days": 22, "half": (2, 4, 6)}, 14),  # the window's own coverage is not to be hidden
    ],
)
def test_unbroken_full_days_are_taken_and_nothing_waits_for_them(
    tmp_path: Path, stored: dict[str, Any], taken: int
) -> None:
    settings = make_settings(tmp_path, **REAL)
    lake = stores_of(settings).lake()
    fill(lake, **stored)
    days = with_earlier_days(lake, WINDOW, VIEW.metrics, earlier_days(settings, VIEW.name))
    assert days == [back(ago) for ago in range(taken, 0, -1)]


def test_a_training_set_has_the_earlier_days_though_the_last_fetch_did_not(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, **REAL)
    lake = stores_of(settings).lake()
    fill(lake, 30)
    fetched = FetchOutcome(
        when=NOW.isoformat(), reached=True, problem="", run_id="r", server="127.0.0.1:9",
        first_day=WINDOW[0].isoformat(), last_day=WINDOW[-1].isoformat(),
    )  # fmt: skip
    lake.note_fetch(fetched)
    days = with_earlier_days(lake, WINDOW, VIEW.metrics, 16)
    rows, record = training_set(VIEW, settings, RECIPE, "announced", lake, days, NOW)
    VIEW.validate(rows)
    own = rows[rows["source"] == "prometheus"]
    assert (len(own), record.source.coverage, record.source.warnings) == (30 * 288, 1.0, ())
    # What is learnt from reaches to days that are as new as without the earlier ones.
    assert (own["split"] == "holdout").sum() == MAX_HOLDOUT_ROWS == int(14 * 288 * 0.2)


def test_only_a_model_that_learns_from_earlier_days_asks_for_them(tmp_path: Path) -> None:
    real = make_settings(tmp_path, **REAL)
    assert training_days(VIEW.name) + earlier_days(real, VIEW.name) == 30
    assert [earlier_days(real, view) for view in POD_VIEWS] == [0, 0]
    assert earlier_days(make_settings(tmp_path, **REAL, MODELS="arima-predictor"), VIEW.name) == 0
    assert earlier_days(make_settings(tmp_path, **REAL, TRAINING_DAYS="21"), VIEW.name) == 0
    assert earlier_days(make_settings(tmp_path), VIEW.name) == 0


def test_they_are_not_fetched_and_retention_keeps_them(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, **REAL, KEEP_LAKE_DAYS="1")
    assert days_to_fetch(settings, END.date())[0] == WINDOW[0] == window_days(settings, 14)[0]
    kept = first_kept(settings, END.date())
    assert kept
    assert kept <= back(30)

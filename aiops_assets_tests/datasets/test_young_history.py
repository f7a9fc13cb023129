"""A history that has only begun is told from one with a fault: rows are generated until there is enough of it."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aiops_assets.datasets.source_rule import training_set
from aiops_assets.datasets.window import read_window
from aiops_assets.datasets.young_history import young_history
from aiops_assets.errors import DataError
from aiops_assets.storage.fetch_outcome import FetchOutcome
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.storage import LocalStorage
from aiops_assets.timeseries.catalog import FORECAST_METRICS, MetricSpec
from aiops_assets.views.catalog import CLUSTER_METRICS_VIEW, VIEWS
from aiops_assets_tests.conftest import END, make_settings
from aiops_assets_tests.datasets.pod_lake import RECIPE, store
from aiops_assets_tests.pipeline.graph import CLOSED

DAYS = [(END - timedelta(days=back)).date() for back in range(7, 0, -1)]
NOW = (END + pd.Timedelta(hours=9)).to_pydatetime()


def lake_since(folder: Path, *hours: float, silent: tuple[MetricSpec, ...] = ()) -> Lake:
    """A lake whose metrics have samples of the last hours before NOW, but for some of them.

    Args:
        folder: where it is.
        hours: begin and, if there are two, end of the samples, in hours before NOW.
        silent: metrics without any.
    """
    lake = Lake(LocalStorage(folder), "default")
    begin, end = hours if len(hours) == 2 else (*hours, 0.0)
    for metric in FORECAST_METRICS:
        if metric not in silent:
            step = pd.Timedelta(seconds=metric.step_seconds)
            first, last = (pd.Timestamp(NOW) - pd.Timedelta(hours=back) for back in (begin, end))
            times = pd.date_range(first, last, freq=step, inclusive="left", unit="us", name="timestamp")
            store(lake, metric, pd.DataFrame({"{}": np.linspace(0.4, 0.5, len(times))}, index=times))
    return lake


def code_of(lake: Lake) -> tuple[str, object] | None:
    metrics = VIEWS[CLUSTER_METRICS_VIEW].metrics
    found = young_history(lake, read_window(lake, DAYS, metrics), metrics, 0.5, NOW)
    return (found.code, found.facts["begin"]) if found else None


@pytest.mark.parametrize(
    ("hours", "begin"),
    [(1.0, END.date()), (33.0, DAYS[-1]), (60.0, DAYS[-3]), (24.0 * 3, DAYS[-3])],
)
def test_it_has_begun_and_nothing_else_is_wrong(tmp_path: Path, hours: float, begin: object) -> None:
    assert code_of(lake_since(tmp_path, hours)) == ("young_history", begin)


def test_enough_history_is_not_young(tmp_path: Path) -> None:
    assert code_of(lake_since(tmp_path, 24.0 * 9)) is None


def test_no_sample_a_silent_metric_and_a_server_that_is_away_are_no_young_history(tmp_path: Path) -> None:
    assert code_of(Lake(LocalStorage(tmp_path / "empty"), "default")) is None
    assert code_of(lake_since(tmp_path / "silent", 1.0, silent=(FORECAST_METRICS[2],))) is None
    assert code_of(lake_since(tmp_path / "away", 24.0 * 5.5, 24.0 * 5)) is None


def fetched(lake: Lake) -> None:
    lake.note_fetch(
        FetchOutcome(
            when=NOW.isoformat(),
            reached=True,
            problem="",
            run_id="r",
            server="127.0.0.1:9",
            first_day=DAYS[0].isoformat(),
            last_day=END.date().isoformat(),
        )
    )


@pytest.mark.parametrize("fallback", ["cached,synthetic", "cached"])
def test_rows_are_generated_only_where_the_fallback_allows_it(tmp_path: Path, fallback: str) -> None:
    lake = lake_since(tmp_path, 1.0)
    fetched(lake)
    variables = {"DATA_SOURCE": "prometheus", "PROMETHEUS_URL": CLOSED, "FALLBACK": fallback}
    settings, view = make_settings(tmp_path, **variables), VIEWS[CLUSTER_METRICS_VIEW]

    def made() -> tuple[str, list[str], tuple[str, ...]]:
        rows, record = training_set(view, settings, RECIPE, "", lake, DAYS, NOW)
        return record.effective_source, sorted(rows["source"].unique()), record.source.warnings

    if fallback == "cached":
        with pytest.raises(DataError):
            made()
        return
    source, rows, warnings = made()
    assert (source, rows, len(warnings)) == ("synthetic", ["synthetic"], 1)

"""`aiops backtest` of a forecaster: what it writes, and one line for what it refuses."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from aiops_assets.commands.cli import main
from aiops_assets.judging.forecasting.backtest import COLUMNS

ROWS = 1200


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """Two metrics, no `split`, a row a minute."""
    path = tmp_path / "web.parquet"
    swing = np.sin(np.arange(ROWS) / 100)
    times = pd.date_range("2026-03-01", periods=ROWS, freq="1min", tz="UTC", unit="ms")
    pd.DataFrame({"timestamp": times, "cpu": 2 + swing, "memory": 5 - swing}).to_parquet(path, index=False)
    return path


def call(series: Path, out: Path, *arguments: object, model: str = "last-value") -> Result:
    command = ["backtest", "--model", model, "--series", series, "--out", out, *arguments]
    return CliRunner().invoke(main, [str(argument) for argument in command])


@pytest.mark.parametrize("model", ["predictive-analytics", "last-value"])
def test_a_forecast_of_each_metric_from_each_origin_is_written(series: Path, tmp_path: Path, model: str) -> None:
    done = call(series, tmp_path / "out.parquet", "--horizon", 24, "--origins", 3, model=model)
    assert done.exit_code == 0, done.output
    assert f"{model}: 24 steps of 300 s of 2 metrics from 3 origins" in done.output
    made = pd.read_parquet(tmp_path / "out.parquet")
    assert tuple(made.columns) == COLUMNS
    assert len(made) == 24 * 2 * 3
    last = pd.Timestamp("2026-03-01 19:55", tz="UTC")  # five minutes that begin there hold the last row
    assert sorted(made["origin"].unique()) == [last - pd.Timedelta(hours=2 * back) for back in (2, 1, 0)]
    one = made[(made["origin"] == last) & (made["metric"] == "memory")]
    assert one["timestamp"].tolist() == [last + pd.Timedelta(minutes=5 * step) for step in range(1, 25)]
    assert (made["lower"] <= made["value"]).all()
    assert (made["value"] <= made["upper"]).all()


def test_the_horizon_is_a_setting(series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECAST_HORIZON", "7")
    assert call(series, tmp_path / "out.parquet").exit_code == 0
    assert len(pd.read_parquet(tmp_path / "out.parquet")) == 7 * 2


def test_rows_that_are_all_test_rows_are_a_history_too(series: Path, tmp_path: Path) -> None:
    pd.read_parquet(series).assign(split="test").to_parquet(series, index=False)
    assert call(series, tmp_path / "out.parquet").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--horizon", 289), "horizon 289: 1 to 288 steps of 300 s can be forecast, a day"),
        (("--horizon", 100, "--origins", 9), "9 origins, 100 steps apart: 240 steps of history allow 1 to 3"),
        (("--explain",), "--alert-budget and --explain belong to detectors, last-value is a forecaster"),
    ],
)
def test_what_cannot_be_asked_is_said_in_a_line_and_what_was_there_stays(
    series: Path, tmp_path: Path, arguments: tuple[object, ...], says: str
) -> None:
    out = tmp_path / "out.parquet"
    out.write_bytes(b"old")
    done = call(series, out, *arguments)
    assert done.exit_code == 2
    assert says in done.output
    assert out.read_bytes() == b"old"


def test_a_detector_has_no_horizon(series: Path, tmp_path: Path) -> None:
    done = call(series, tmp_path / "out.parquet", "--horizon", 12, model="ensemble-predictor")
    assert done.exit_code == 2
    assert "--horizon and --origins belong to forecasters: predictive-analytics" in done.output

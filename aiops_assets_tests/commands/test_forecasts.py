"""`aiops backtest` of a forecaster: what it writes, and one line for what it refuses."""

from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from aiops_assets.commands.cli import main
from aiops_assets.errors import DataError
from aiops_assets.judging.forecasting.backtest import COLUMNS
from aiops_assets_tests.commands.typed import Transcript, cause
from aiops_assets_tests.snapshot import assert_snapshot

ROWS = 1200


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """Two metrics, no `split`, a row a minute."""
    path = tmp_path / "web.parquet"
    swing = np.sin(np.arange(ROWS) / 100)
    times = pd.date_range("2026-03-01", periods=ROWS, freq="1min", tz="UTC", unit="ms")
    pd.DataFrame({"timestamp": times, "cpu": 2 + swing, "memory": 5 - swing}).to_parquet(path, index=False)
    return path


TOO_MUCH: list[tuple[object, ...]] = [("--horizon", 289), ("--horizon", 100, "--origins", 9)]
OF_THE_OTHERS: list[tuple[str, tuple[object, ...]]] = [
    ("last-value", ("--explain",)),
    ("last-value", ("--alert-budget", 0.1)),
    ("ensemble-predictor", ("--horizon", 12)),
    ("ensemble-predictor", ("--origins", 2)),
]


def command(series: Path, out: Path, *arguments: object, model: str = "last-value") -> list[object]:
    return ["backtest", "--model", model, "--series", series, "--out", out, *arguments]


def typed(*words: str) -> Result:
    return CliRunner().invoke(main, words)


def call(series: Path, out: Path, *arguments: object, model: str = "last-value") -> Result:
    return typed(*map(str, command(series, out, *arguments, model=model)))


@pytest.mark.parametrize("model", ["predictive-analytics", "last-value"])
def test_a_forecast_of_each_metric_from_each_origin_is_written(series: Path, tmp_path: Path, model: str) -> None:
    done = call(series, tmp_path / "out.parquet", "--horizon", 24, "--origins", 3, model=model)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"{model}: ")
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


@pytest.mark.parametrize("arguments", TOO_MUCH)
def test_what_cannot_be_asked_is_said_in_a_line_and_what_was_there_stays(
    series: Path, tmp_path: Path, arguments: tuple[object, ...]
) -> None:
    out = tmp_path / "out.parquet"
    out.write_bytes(b"old")
    error = cause(call(series, out, *arguments))
    assert isinstance(error, DataError)
    assert error.facts["path"] == series
    assert out.read_bytes() == b"old"


@pytest.mark.parametrize(("model", "arguments"), OF_THE_OTHERS)
def test_a_detector_has_no_horizon_and_a_forecaster_no_budget(
    series: Path, tmp_path: Path, model: str, arguments: tuple[object, ...]
) -> None:
    out = tmp_path / "out.parquet"
    out.write_bytes(b"old")
    done = call(series, out, *arguments, model=model)
    assert (done.exit_code, done.stdout) == (2, "")
    assert out.read_bytes() == b"old"
    words = map(str, command(series, out, *arguments, model=model))
    assert isinstance(CliRunner().invoke(main, list(words), standalone_mode=False).exception, click.UsageError)


def test_what_is_printed(series: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    said = Transcript(typed, SERIES=series, OUT=out)
    for model in ("last-value", "predictive-analytics"):
        said.type(*command(series, out, "--horizon", 24, "--origins", 3, model=model))
    for arguments in TOO_MUCH:
        said.type(*command(series, out, *arguments))
    for model, arguments in OF_THE_OTHERS:
        said.type(*command(series, out, *arguments, model=model))
    assert_snapshot("commands_forecasts", said.text)

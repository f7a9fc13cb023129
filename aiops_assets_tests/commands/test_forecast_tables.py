"""Forecasters in `aiops compare`, in `aiops models` and in the summary of a run."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from aiops_assets.commands.champions import table_of
from aiops_assets.commands.cli import main
from aiops_assets.families.anomaly_detector import ANOMALY_DETECTOR
from aiops_assets.families.arima_predictor import ARIMA_PREDICTOR
from aiops_assets.judging.forecasting.holdout import SIDES, TRIVIAL_NAMES
from aiops_assets.judging.forecasting.shadow import side_by_side
from aiops_assets.registry.listing import VersionLine
from aiops_assets.reporting.reports import report_of
from aiops_assets.storage.shadow import ShadowRecord, ShadowScores
from aiops_assets.storage.storage import LocalStorage
from aiops_assets_tests.commands.typed import Transcript
from aiops_assets_tests.reporting.forecast_subject import forecasts
from aiops_assets_tests.snapshot import assert_snapshot

NAME = ARIMA_PREDICTOR.name
END = datetime(2026, 11, 1, tzinfo=UTC)
FIGURES = {
    "mae_to_seasonal_naive_1h": 0.631,
    "mae_to_seasonal_naive_6h": 0.684,
    "mae_to_seasonal_naive_24h": 0.738,
    "mae_to_median_24h_1h": 0.49,
    "mae_to_median_24h_6h": 0.53,
    "mae_to_median_24h_24h": 0.57,
    "coverage_1h": 0.888,
    "coverage_6h": 0.872,
    "coverage_24h": 0.866,
}


def call(folder: Path, *arguments: str) -> Result:
    unset = dict.fromkeys(("MODEL_ROOT", "MLFLOW_TRACKING_URI", "DATA_SOURCE", "PROMETHEUS_URL", "CLUSTER"))
    return CliRunner().invoke(main, arguments, env={**unset, "AIOPS_HOME": str(folder)})


def keep(folder: Path, week: int, challenger: int, champion: int, *, better: bool = True) -> None:
    new, old = forecasts() if better else forecasts()[::-1]
    end = END + timedelta(weeks=week)
    record = ShadowRecord(
        name=NAME, challenger=challenger, challenger_sha256=f"c{challenger}", champion=champion,
        champion_sha256=f"c{champion}" if champion else "", data_version="d", effective_source="synthetic",
        window_start=end - timedelta(days=7), window_end=end, code_version="0", metrics=("cpu_usage",),
    )  # fmt: skip
    ShadowScores(LocalStorage(folder), "default").put(record, side_by_side(new, old if champion else None))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("windows")
    keep(folder, 0, 1, 0)
    keep(folder, 1, 2, 1)
    keep(folder, 2, 3, 2, better=False)
    return folder


def test_a_line_for_each_window_and_what_they_say_together(kept: Path) -> None:
    done = call(kept, "compare", NAME)
    assert done.exit_code == 0, done.output
    head, *lines, _ = done.stdout.splitlines()  # the snapshot has the summary
    assert head.split() == [
        "WINDOW", "END", "CHALLENGER", "CHAMPION", "ORIGINS", "TO", "SEASONAL", "1H", "6H", "24H", "CHAMPION'S", "1H",
        "6H", "24H", "ERROR", "TO", "CHAMPION'S", "NEARER", "INSIDE", "80", "%", "CHAMPION'S",
    ]  # fmt: skip
    alone, better, worse = (line.split() for line in lines)
    assert alone[:4] == ["2026-11-01", "1", "-", "24"]
    assert alone[7:12] == ["-"] * 5
    assert better[7:10] == ["1.00"] * 3
    assert all(float(new) < 1 for new in better[4:7])
    assert better[4:7] == worse[7:10]
    assert float(better[10].rstrip("%")) < 0 < float(worse[10].rstrip("%"))
    assert float(better[11].rstrip("%")) + float(worse[11].rstrip("%")) == pytest.approx(100, abs=0.11)
    assert better[12:] == worse[12:][::-1]


def test_what_is_printed(kept: Path) -> None:
    said = Transcript(lambda *words: call(kept, *words), HOME=kept)
    said.type("compare", NAME)
    assert_snapshot("commands_compare_forecasts", said.text)


def test_compare_as_json_holds_everything(kept: Path) -> None:
    found = json.loads(call(kept, "compare", NAME, "--json").stdout)
    alone, pair, _ = found["windows"]
    assert (alone["champion_figures"], alone["error"], alone["nearer"]) == (None, None, None)
    assert (pair["origins"], pair["rows"]) == (24, len(forecasts()[0]))
    assert "anomalies" not in pair
    assert set(pair["champion_figures"]) == set(pair["challenger_figures"]) == set(FIGURES)
    theirs, ours = ((frame["value"] - frame["actual"]).abs().to_numpy() for frame in (forecasts()[1], forecasts()[0]))
    assert pair["nearer"] == pytest.approx(((ours < theirs) + 0.5 * (ours == theirs)).mean())
    assert -0.1 < pair["error"] < 0


def test_a_window_without_a_moment_has_no_figures(tmp_path: Path) -> None:
    empty = forecasts()[0].iloc[:0]
    record = ShadowRecord(
        name=NAME, challenger=2, challenger_sha256="c2", champion=1, champion_sha256="c1", data_version="d",
        effective_source="synthetic", window_start=END - timedelta(days=7), window_end=END, code_version="0",
        metrics=("cpu_usage",),
    )  # fmt: skip
    ShadowScores(LocalStorage(tmp_path), "default").put(record, side_by_side(empty, empty))
    done = call(tmp_path, "compare", NAME)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[1].split() == ["2026-11-01", "2", "1", "0", *["-"] * 10]


def line(version: int, **more: Any) -> VersionLine:
    return VersionLine(version=version, state="", figures=FIGURES, **more)


def test_versions_are_listed_with_errors_and_what_they_met() -> None:
    theirs = {name: value + 0.1 for name, value in FIGURES.items()}
    head, met, first, plain = table_of(
        [
            line(3, decision="promote", opponent="champion version 2", opponent_figures=theirs),
            line(2, decision="promote", opponent=TRIVIAL_NAMES, opponent_figures=theirs),
            line(1),
        ],
        END,
    )
    assert head[5:] == ["TO SEASONAL 1H", "6H", "24H", "INSIDE 80 %", "DECISION", "AGAINST"]
    assert met[5:9] == ["0.63", "0.68", "0.74", "87%"]
    assert met[-1] == "champion version 2: 0.73 0.78 0.84"
    # Two trivial ones have no figures in common.
    assert first[-1] == TRIVIAL_NAMES
    assert plain[-2:] == ["-", "-"]


def test_the_summary_of_a_run_has_a_line_for_each_kind() -> None:
    short = {name: value for name, value in FIGURES.items() if not name.endswith("_24h")}
    of_forecasters = [report_of(ARIMA_PREDICTOR).summary(figures) for figures in (FIGURES, short, {})]
    lines = [*of_forecasters, report_of(ANOMALY_DETECTOR).summary({})]
    assert_snapshot("holdout_summaries", "".join(f"{line}\n" for line in lines))


def test_sides_are_what_is_kept(kept: Path) -> None:
    record, frame = ShadowScores(LocalStorage(kept), "default").read(NAME, "2026-11-08__v2__v1.parquet")
    assert record.is_pair
    for who, whole in zip(("challenger", "champion"), forecasts(), strict=True):
        for side in SIDES:
            np.testing.assert_array_equal(frame[f"{who}_{side}"], whole[side])

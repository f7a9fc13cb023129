"""`aiops outlook`: a table for people, one JSON object, and one line for what it refuses."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from aiops_assets.commands.cli import main
from aiops_assets.errors import DataError
from aiops_assets_tests.commands.typed import Transcript, refused
from aiops_assets_tests.snapshot import assert_snapshot

ROWS = 240


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """Twenty hours: memory that leaks 0.024 an hour, a steady disk, requests that are no ratio."""
    path = tmp_path / "node.parquet"
    rng = np.random.default_rng(1)
    columns = {
        "node_memory_usage": 0.3 + 0.002 * np.arange(ROWS) + rng.normal(0, 0.002, ROWS),
        "disk_usage": 0.4 + rng.normal(0, 0.002, ROWS),
        "requests": 50 + rng.normal(0, 1, ROWS),
    }
    times = pd.date_range("2026-03-01", periods=ROWS, freq="5min", tz="UTC")
    pd.DataFrame({"timestamp": times, **columns}).to_parquet(path, index=False)
    return path


def call(series: Path, *arguments: object) -> Result:
    return CliRunner().invoke(main, ["outlook", "--series", str(series), *map(str, arguments)])


def test_columns_that_are_known_ratios_get_one_as_their_limit(series: Path) -> None:
    done = call(series)
    assert done.exit_code == 0, done.output
    _, _, memory, disk = done.output.splitlines()  # the snapshot has the first line
    assert memory.split()[:2] == ["node_memory_usage", "1"]
    assert " in about 9." in memory
    assert disk.split()[:2] == ["disk_usage", "1"]
    assert "not before" in disk


def test_json_is_one_object_with_the_forecast_the_breach_and_the_exhaustion(series: Path) -> None:
    done = call(series, "--limit", "node_memory_usage=1", "--limit", "requests=20", "--horizon", 24, "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert (said["timestamp"], said["step_seconds"], said["horizon"]) == ("2026-03-01T19:55:00Z", 300, 24)
    memory, requests = said["metrics"]
    assert (memory["metric"], memory["limit"], memory["breach"]) == ("node_memory_usage", 1.0, None)
    assert memory["now"] == pytest.approx(0.778, abs=0.01)
    for ahead in ("forecast_1h", "forecast_end"):
        assert memory[ahead]["lower"] <= memory[ahead]["value"] <= memory[ahead]["upper"]
    exhaustion = memory["exhaustion"]
    assert exhaustion["earliest_hours"] <= 9.25 <= exhaustion["latest_hours"]
    assert exhaustion["trend_per_hour"] == pytest.approx(0.024, rel=0.05)
    assert exhaustion["in_words"].startswith("node_memory_usage reaches 1 in about 9.")
    breach = requests["breach"]
    assert (breach["kind"], breach["time_to_breach"], breach["severity"]) == ("predicted_breach", 5, "critical")
    assert breach["time"] == "2026-03-01T20:00:00Z"
    assert len(breach["confidence_interval"]) == 2
    assert requests["exhaustion"] is None


def test_a_breach_in_the_table_says_how_soon(series: Path) -> None:
    done = call(series, "--limit", "requests=20", "--horizon", 6)
    assert done.exit_code == 0, done.output
    assert "predictive-analytics 0.5 h ahead" in done.output
    row = done.output.splitlines()[-1]
    assert "in 5 min, critical" in row
    assert " - " in row  # half an hour says nothing of one hour


def test_the_horizon_is_a_setting(series: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECAST_HORIZON", "36")
    assert json.loads(call(series, "--limit", "disk_usage=1", "--json").stdout)["horizon"] == 36


BAD_LIMITS: dict[str, tuple[str, dict[str, object]]] = {
    "memory=1": ("no_column", {"column": "memory", "there": ["node_memory_usage", "disk_usage", "requests"]}),
    **{text: ("bad_limit", {"given": text}) for text in ("disk_usage", "disk_usage=full", "disk_usage=nan", "=1")},
}


@pytest.mark.parametrize("limit", BAD_LIMITS)
def test_a_bad_limit_is_refused_in_one_line(series: Path, limit: str) -> None:
    code, facts = BAD_LIMITS[limit]
    refused(call(series, "--limit", limit), DataError, code, **facts)


def without_ratio(series: Path) -> None:
    pd.read_parquet(series)[["timestamp", "requests"]].to_parquet(series, index=False)


def without_samples(series: Path) -> None:
    pd.read_parquet(series).assign(disk_usage=np.nan).to_parquet(series, index=False)


def test_without_a_known_ratio_a_limit_is_asked_for(series: Path) -> None:
    without_ratio(series)
    refused(call(series), DataError, "no_ratio", there=["requests"])


def test_a_column_without_samples_is_named(series: Path) -> None:
    without_samples(series)
    refused(call(series), DataError, "no_sample_in_column", column="disk_usage")


def test_what_is_printed(series: Path) -> None:
    said = Transcript(lambda *words: CliRunner().invoke(main, words), SERIES=series)
    command = ("outlook", "--series", series)
    said.type(*command, lines=1)  # figures of a fit differ from machine to machine
    said.type(*command, "--limit", "requests=20", "--horizon", 6, lines=1)
    for limit in BAD_LIMITS:
        said.type(*command, "--limit", limit)
    without_samples(series)
    said.type(*command)
    without_ratio(series)
    said.type(*command)
    assert_snapshot("commands_outlook", said.text)

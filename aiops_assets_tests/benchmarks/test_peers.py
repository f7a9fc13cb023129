"""The peers' table, as far as it needs no library of theirs."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aiops_assets_tests.benchmarks.peers import libraries, netdata_like, score_files, simple
from aiops_assets_tests.benchmarks.peers.judge import OWN, TRAIN, judge, table, with_train_alert
from aiops_assets_tests.benchmarks.peers.runner import Task, by_method, run
from aiops_assets_tests.benchmarks.peers.series import Method, series_of
from aiops_assets_tests.benchmarks.peers.tails import tail_scores

N_ROWS, N_TRAIN, SPIKE = 1200, 700, slice(900, 912)
ONLINE = [simple.online_z_score, simple.rolling_median, netdata_like.node_anomaly_rate, libraries.documents_forest]


def series_frame(seed: int = 1) -> pd.DataFrame:
    """Three metrics at five minutes; two of them jump during ``SPIKE``."""
    rng = np.random.default_rng(seed)
    day = np.sin(np.arange(N_ROWS) * 2 * np.pi / 288)
    values = day[:, np.newaxis] + rng.normal(0, 0.1, (N_ROWS, 3))
    values[SPIKE, :2] += rng.normal(0, 8, (SPIKE.stop - SPIKE.start, 2))
    frame = pd.DataFrame(values, columns=["cpu", "memory", "network"])
    frame.insert(0, "timestamp", pd.date_range("2026-01-01", periods=N_ROWS, freq="5min", tz="UTC"))
    frame.insert(1, "split", np.where(np.arange(N_ROWS) < N_TRAIN, "train", "test"))
    return frame


def labels_of(frame: pd.DataFrame) -> pd.DataFrame:
    truth = np.zeros(N_ROWS, dtype=int)
    truth[SPIKE] = 1
    return frame[["timestamp", "split"]].assign(label=truth)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "labelled"
    for part in ("series", "labels"):
        (folder / part).mkdir(parents=True)
    for seed, name in enumerate(("a__one", "a__two", "b__one")):
        frame = series_frame(seed)
        frame.to_parquet(folder / "series" / f"{name}.parquet")
        labels_of(frame).to_parquet(folder / "labels" / f"{name}.parquet")
    return folder


def write_scores(data: Path, scores: Path, method: str, names: list[str], **columns: Any) -> None:
    for name in names:
        frame = pd.read_parquet(data / "series" / f"{name}.parquet")[["timestamp"]].assign(**columns)
        score_files.write(scores / method / f"{name}.parquet", frame, 2.0, "test")


@pytest.mark.parametrize("method", ONLINE, ids=lambda method: method.__name__)
def test_no_method_looks_ahead(method: Method) -> None:
    frame = series_frame()
    whole = method(series_of(frame)).score
    for end in (N_TRAIN + 1, 905, 1100):
        np.testing.assert_allclose(method(series_of(frame[:end])).score, whole[:end], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("method", ONLINE, ids=lambda method: method.__name__)
def test_what_jumps_scores_highest(method: Method) -> None:
    score = method(series_of(series_frame())).score
    normal = np.delete(score, np.arange(SPIKE.start, SPIKE.stop + 8))[N_TRAIN:]
    assert score[SPIKE].max() > normal.max()


def test_online_z_score_keeps_learning() -> None:
    frame = series_frame()
    frame.loc[N_TRAIN:, ["cpu", "memory", "network"]] += 10.0
    score = simple.online_z_score(series_of(frame)).score
    assert score[N_TRAIN] > 4 * score[-1]


def test_netdata_like_models_take_the_two_levels_of_a_metric() -> None:
    levels = np.repeat([[[0.0] * 6], [[5.0] * 6]], 10, axis=0)
    model = netdata_like.fit(levels)
    assert sorted(model.centres[:, 0, 0]) == [0.0, 5.0]
    assert model.nearest == model.farthest
    noisy = netdata_like.fit(levels + np.random.default_rng(1).normal(0, 0.1, levels.shape))
    assert noisy.bits(np.full((1, 1, 6), 20.0)).all()
    assert not noisy.bits(np.full((1, 1, 6), 2.5)).any()


def test_train_rows_are_learnt_first_also_where_they_are_later() -> None:
    frame = series_frame()
    frame["split"] = np.where(np.arange(N_ROWS) >= 500, "train", "test")
    frame.loc[[0, 600], "cpu"] = np.nan
    series = series_of(frame)
    assert series.n_train == 700
    assert series.step_seconds == 300
    assert series.frame["timestamp"].iloc[0] == frame["timestamp"].iloc[500]
    assert series.values[100, 0] == frame["cpu"].iloc[599]
    assert series.values[700, 0] == frame["cpu"].iloc[N_ROWS - 1]
    assert np.isfinite(series.values).all()


@pytest.mark.parametrize("name", ["ECOD", "COPOD"])
def test_tails_are_those_of_a_row_alone_beside_the_train_rows(name: str) -> None:
    rng = np.random.default_rng(5)
    train = rng.exponential(size=(200, 3)).round(1) * [1, -1, 1]
    for row in np.vstack([train[:5], rng.normal(0, 4, (20, 3))]):
        together = np.vstack([train, row])
        left = -np.log((together <= row).mean(axis=0))
        right = -np.log((together >= row).mean(axis=0))
        skewed = np.where(((together - together.mean(axis=0)) ** 3).sum(axis=0) > 0, right, left)
        both = np.maximum(left, right) if name == "ECOD" else (left + right) / 2
        assert tail_scores(train, row[np.newaxis], name)[0] == pytest.approx(np.maximum(both, skewed).sum())


def test_runs_once_and_again_when_code_or_series_changed(data: Path, tmp_path: Path) -> None:
    scores = tmp_path / "scores"
    target = scores / "z" / "a__one.parquet"

    def pass_over(made_by: str, again: bool = False) -> int:
        assert run([Task("z", by_method(simple.online_z_score), made_by)], data, scores, again=again, limit=60) == []
        return target.stat().st_mtime_ns

    first = pass_over("1")
    assert list(pd.read_parquet(target)) == ["timestamp", "score", "alert"]
    assert pass_over("1") == first
    second = pass_over("2")
    assert second != first
    assert pass_over("2", again=True) != second
    source = data / "series" / "a__one.parquet"
    assert score_files.is_current(target, source, "2")
    os.utime(source, (time.time() + 10,) * 2)
    assert not score_files.is_current(target, source, "2")


def test_a_method_that_fails_or_takes_too_long_is_named_and_the_others_go_on(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(frame: pd.DataFrame) -> pd.DataFrame:
        raise ZeroDivisionError("of the library")

    def hang(frame: pd.DataFrame) -> pd.DataFrame:
        time.sleep(600)
        return frame

    for path in list((data / "series").glob("*.parquet"))[1:]:
        path.unlink()
    name = next((data / "series").glob("*.parquet")).stem
    problems = run([Task("broken", fail, "1")], data, tmp_path / "scores", again=False, limit=60)
    assert problems == [f"broken has no scores of {name}: ZeroDivisionError: of the library"]
    problems = run([Task("slow", hang, "1")], data, tmp_path / "scores", again=False, limit=0.5)
    assert problems == [f"slow has no scores of {name}: skipped after 0.5 s"]
    assert "1/1" in capsys.readouterr().out
    assert not list((tmp_path / "scores").rglob("*.parquet"))


def test_threshold_is_a_quantile_of_train_scores_only() -> None:
    frame = series_frame()
    scored = frame[["timestamp"]].assign(score=np.r_[np.arange(N_TRAIN), np.full(N_ROWS - N_TRAIN, 1e6)])
    alert = with_train_alert(scored, labels_of(frame))["alert"]
    assert alert[:N_TRAIN].sum() == 4
    assert alert[N_TRAIN:].all()


def test_table_means_over_sets_and_names_what_is_missing(data: Path, tmp_path: Path) -> None:
    scores = tmp_path / "scores"
    truth = labels_of(series_frame())["label"].to_numpy()
    write_scores(data, scores, "good", ["a__one", "a__two"], score=truth.astype(float), alert=truth > 0)
    write_scores(data, scores, "good", ["b__one"], score=1.0, alert=False)
    write_scores(data, scores, "partly", ["b__one"], score=truth.astype(float))
    rows = judge(data, scores, {"partly": "Partly", "good": "Good", "absent": "Absent"})
    assert [(row.title, row.alert) for row in rows] == [("Partly", TRAIN), ("Good", OWN), ("Good", TRAIN)]
    assert rows[1].figures.event_f1 == pytest.approx(0.5)
    assert [row.missing for row in rows] == [2, 0, 0]
    lines = table(rows).splitlines()
    assert lines[2].startswith(f"| Partly (2 series missing) | {TRAIN} |")
    assert lines[3].endswith("| .50 | 0.0 | 0.0 % | 2.0 |")
    assert len({line.count("|") for line in lines}) == 1


def test_the_runner_needs_nothing_of_the_project() -> None:
    script = "import sys, aiops_assets_tests.benchmarks.peers.runner; print('aiops_assets' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_without_a_folder_the_cure_is_said() -> None:
    command = [sys.executable, "-m", "aiops_assets_tests.benchmarks.peers", "--python", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "make peers DATA=" in done.stderr

"""`aiops backtest` and `aiops evaluate` on files: what they write and print, and one line for what they refuse."""

import errno
import os
import re
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from aiops_assets.commands import reports
from aiops_assets.commands.backtesting import backtest_file
from aiops_assets.commands.cli import main
from aiops_assets.errors import DataError, ModelError, StoreError
from aiops_assets.families.backtests import DETECTORS, FORECASTERS
from aiops_assets_tests.commands.typed import Transcript, cause, refused
from aiops_assets_tests.raising import raises
from aiops_assets_tests.snapshot import assert_snapshot, steady

EVENTS = ((700, 712), (900, 930))


def _series(rows: int = 1000, columns: int = 2, seed: int = 1) -> pd.DataFrame:
    """Quiet columns that jump in both events; the first 500 rows are train rows."""
    values = np.random.default_rng(seed).normal(1.0, 0.1, (rows, columns))
    for begin, end in EVENTS:
        values[begin:end] += 5.0
    frame = pd.DataFrame(values, columns=[f"m{i}" for i in range(columns)])
    frame.insert(0, "timestamp", pd.date_range("2026-03-01", periods=rows, freq="5min", tz="UTC", unit="ms"))
    frame.insert(1, "split", np.where(np.arange(rows) < 500, "train", "test"))
    return frame


def _labels(rows: int = 1000) -> pd.DataFrame:
    labels = _series(rows)[["timestamp", "split"]].assign(label=0)
    for begin, end in EVENTS:
        labels.loc[begin : end - 1, "label"] = 1
    return labels


@pytest.fixture
def series(tmp_path: Path) -> Path:
    path = tmp_path / "cpu.parquet"
    _series().to_parquet(path, index=False)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three labelled series of two sets; the last one has no event."""
    for place in ("series", "labels"):
        (tmp_path / "pack" / place).mkdir(parents=True)
    for seed, name in enumerate(("a__one", "a__two", "b__quiet")):
        _series(seed=seed).to_parquet(tmp_path / "pack" / "series" / f"{name}.parquet", index=False)
        labels = _labels() if name != "b__quiet" else _labels().assign(label=0)
        labels.to_parquet(tmp_path / "pack" / "labels" / f"{name}.parquet", index=False)
    return tmp_path / "pack"


def _call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def _backtest(series: Path, out: Path, model: str = "ensemble-predictor") -> Result:
    return _call("backtest", "--model", model, "--series", series, "--out", out)


@pytest.mark.parametrize("model", ["ensemble-predictor", "anomaly-detector"])
def test_every_row_gets_a_score_and_an_alert_in_the_order_of_the_file(tmp_path: Path, model: str) -> None:
    frame = _series().sample(frac=1, random_state=3)
    frame = pd.concat([frame, frame.head(20)])
    frame.to_parquet(tmp_path / "mixed.parquet", index=False)
    done = _backtest(tmp_path / "mixed.parquet", tmp_path / "out" / "scores.parquet", model)
    assert done.exit_code == 0, done.output
    scored = pd.read_parquet(tmp_path / "out" / "scores.parquet")
    assert list(scored.columns) == ["timestamp", "score", "alert", "page"]
    assert scored["timestamp"].tolist() == frame["timestamp"].tolist()
    assert np.isfinite(scored["score"]).all()
    assert scored["alert"].dtype == scored["page"].dtype == np.bool_
    assert scored.loc[scored["page"], "alert"].all()
    assert scored["score"].tail(20).tolist() == scored["score"].head(20).tolist()
    name, counts = done.stdout.split(": ")
    assert name == model
    by_time = scored[scored["page"]].sort_values("timestamp")["timestamp"]
    calls = int((by_time.diff() > pd.Timedelta(hours=1)).sum()) + bool(len(by_time))
    printed = [int(number) for number in re.findall(r"\b(\d+) [a-z]", counts)]
    assert printed[:4] == [1020, 2, scored["alert"].sum(), calls]
    assert done.stdout.endswith(f" s -> {tmp_path / 'out' / 'scores.parquet'}\n")
    assert done.stderr == ""


@pytest.mark.long
@pytest.mark.parametrize("model", list(DETECTORS))
def test_a_thousand_columns_are_scored(tmp_path: Path, model: str) -> None:
    _series(columns=1000).to_parquet(tmp_path / "wide.parquet", index=False)
    done = _backtest(tmp_path / "wide.parquet", tmp_path / "scores.parquet", model)
    assert done.exit_code == 0, done.output
    assert "1000 rows of 1000 columns" in done.stdout
    scored = pd.read_parquet(tmp_path / "scores.parquet")
    assert scored.loc[700:711, "alert"].any()


def test_a_model_that_is_not_known_is_refused_with_those_that_are(series: Path, tmp_path: Path) -> None:
    done = _backtest(series, tmp_path / "out.parquet", "lstm")
    refused(done, DataError, "no_model", name="lstm", there=(*DETECTORS, *FORECASTERS))
    done = _call("evaluate", tmp_path, "--model", "ensemble-predictor", "--model", "lstm")
    refused(done, DataError, "no_detector", name="lstm", there=tuple(DETECTORS))
    assert {"ensemble-predictor", "anomaly-detector"} <= set(DETECTORS)


def test_input_that_cannot_be_used_ends_in_one_line_and_leaves_the_old_scores(series: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    out.write_bytes(b"scores of yesterday")
    tampered = tmp_path / "tampered.parquet"
    tampered.write_bytes(series.read_bytes()[:-100])
    text = tmp_path / "text.parquet"
    _series().assign(host="web-1").to_parquet(text, index=False)
    for path, code, facts in (
        (tmp_path / "nowhere.parquet", "no_file", {}),
        (tampered, "not_parquet", {}),
        (text, "not_numeric", {"column": "host"}),
    ):
        error = refused(_backtest(path, out), DataError, code, **facts)
        assert str(error).startswith(f"{path}: ")
    assert out.read_bytes() == b"scores of yesterday"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ("cpu.parquet", "out.parquet", "tampered.parquet", "text.parquet")
    )


def test_a_place_that_cannot_hold_the_scores_is_named(series: Path, tmp_path: Path) -> None:
    before = series.read_bytes()
    for out, code in (
        (tmp_path, "is_directory"),
        (series, "is_the_series"),
        (series / "scores.parquet", "not_written"),
        (Path("/proc/scores.parquet"), "not_written"),
    ):
        error = refused(_backtest(series, out), StoreError, code, path=out)
        assert "AIOPS_HOME" not in str(error)
    assert series.read_bytes() == before


def test_a_write_that_fails_leaves_the_old_scores(
    series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.parquet"
    out.write_bytes(b"scores of yesterday")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with raises(StoreError, "not_written", path=out, reason=os.strerror(errno.ENOSPC)):
        backtest_file("ensemble-predictor", series, out)
    assert out.read_bytes() == b"scores of yesterday"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cpu.parquet", "out.parquet"]


def _oracle(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Knows the events."""
    jumped = frame["m0"] > 3
    flags = {"alert": jumped, "page": jumped}
    return pd.DataFrame({"timestamp": frame["timestamp"], "score": jumped.astype(float), **flags})


def _rows(printed: str) -> dict[str, list[str]]:
    """First cell -> the other cells of a table."""
    cells = [re.split(r"\s{2,}", line.strip()) for line in printed.splitlines()]
    return {name: " ".join(others).split() for name, *others in cells}


def test_a_folder_is_judged_by_series_by_set_and_over_the_sets(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures, scores = tmp_path / "pictures", tmp_path / "scores"
    models = ["ensemble-predictor"]
    reports.on_labelled_series(folder, models, pictures=pictures, scores=scores, back_test=_oracle)
    printed = capsys.readouterr().out
    rows = _rows(printed)
    perfect = ["2", "2", "1.000", "1.000", "1.000", "0.00", "0.00%", "0", "min", "1.00", "0.000"]
    assert rows["a__one"] == ["500", *perfect]
    # No event is labelled there: quality cannot be said, and both jumps are false alarms.
    assert rows["b__quiet"] == ["500", "2", "0", "-", "-", "-", "1.15", "8.40%", "-", "-", "1.152"]
    assert rows["b"] == ["2", "2", "23.04", "0", "-"]
    assert rows["mean of a"] == ["1000", "4", *perfect[2:]]
    over_sets = ["1500", "4", "1.000", "1.000", "1.000", "0.58", "4.20%", "0", "min", "1.00", "0.576"]
    assert rows["mean over the sets"] == over_sets
    for which in ("best", "worst"):
        path = pictures / f"ensemble-predictor-{which}.png"
        assert path.read_bytes().startswith(b"\x89PNG")
        assert f"{which}: a__" in printed
        assert str(path) in printed
    kept = pd.read_parquet(scores / "ensemble-predictor" / "b__quiet.parquet")
    assert len(kept) == 1000


def test_each_model_has_a_table_and_the_worst_series_is_the_worst(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def blind_on_one(name: str, frame: pd.DataFrame) -> pd.DataFrame:
        scored = _oracle(name, frame)
        return scored.assign(score=0.0) if frame["m0"].equals(_series(seed=1)["m0"]) else scored

    reports.on_labelled_series(folder, [], pictures=tmp_path, back_test=blind_on_one)
    printed = capsys.readouterr().out
    for model in DETECTORS:
        assert f"{model} on 3 series, " in printed
        assert f"worst: a__two, {tmp_path / model}-worst.png" in printed
        assert f"best: a__one, {tmp_path / model}-best.png" in printed


def test_only_series_with_events_have_pictures(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = ["ensemble-predictor"]
    for name in ("a__one", "a__two"):
        (folder / "series" / f"{name}.parquet").unlink()
        reports.on_labelled_series(folder, models, pictures=tmp_path / "pictures", back_test=_oracle)
        printed = capsys.readouterr().out
    assert_snapshot("commands_evaluate", steady(printed, {"FOLDER": tmp_path}))
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["ensemble-predictor-best.png"]


def test_labels_decide_which_rows_are_train_rows(folder: Path, tmp_path: Path) -> None:
    """A series without `split` has no say, and one that has another split is not fitted on what is judged."""
    seen = []

    def spy(name: str, frame: pd.DataFrame) -> pd.DataFrame:
        seen.append((frame["split"] == "train").to_numpy())
        return _oracle(name, frame)

    path = folder / "series" / "a__one.parquet"
    for changed in (_series().drop(columns="split"), _series().assign(split="train")):
        changed.to_parquet(path, index=False)
        reports.on_labelled_series(folder, ["anomaly-detector"], pictures=tmp_path / "pictures", back_test=spy)
    assert [train.sum() for train in seen] == [500] * 6


def test_labels_of_another_series_are_refused(folder: Path, tmp_path: Path) -> None:
    path = folder / "labels" / "a__one.parquet"
    labels = _labels()
    labels["timestamp"] += pd.Timedelta(days=3)
    labels.to_parquet(path, index=False)
    with raises(DataError, "series_not_judged") as caught:
        reports.on_labelled_series(folder, [], pictures=tmp_path, back_test=_oracle)
    (one,) = caught.value.facts["causes"]
    assert (one.code, one.facts) == ("labels_of_another_series", {"path": path, "missing": 864, "rows": 1000})
    assert str(one) in str(caught.value)


def _silent(folder: Path) -> Path:
    """Another labelled series, without any value."""
    path = folder / "series" / "a__silent.parquet"
    silent = _series()
    silent.loc[:, [name for name in silent.columns if name.startswith("m")]] = np.nan
    silent.to_parquet(path, index=False)
    _labels().to_parquet(folder / "labels" / path.name, index=False)
    return path


def test_a_series_that_cannot_be_used_is_named_and_the_others_are_judged(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIOPS_HOME", str(tmp_path / "home"))
    path = _silent(folder)
    done = _call("evaluate", folder, "--model", "ensemble-predictor")
    assert "a__one" in _rows(done.stdout)
    (one,) = cause(done).facts["causes"]
    assert isinstance(one, ModelError)
    assert one.facts["path"] == path


def test_a_column_of_answers_is_not_read(series: Path, tmp_path: Path) -> None:
    without, with_label = tmp_path / "without.parquet", tmp_path / "with.parquet"
    assert _call("backtest", "--model", "ensemble-predictor", "--series", series, "--out", without).exit_code == 0
    pd.read_parquet(series).assign(label=lambda rows: rows.index % 2).to_parquet(tmp_path / "labelled.parquet")
    arguments = ("--series", tmp_path / "labelled.parquet", "--out", with_label)
    assert _call("backtest", "--model", "ensemble-predictor", *arguments).exit_code == 0
    pd.testing.assert_frame_equal(pd.read_parquet(with_label), pd.read_parquet(without))


def test_evaluate_as_people_type_it(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIOPS_HOME", str(tmp_path / "home"))
    done = _call("evaluate", folder, "--model", "ensemble-predictor", "--scores", tmp_path / "scores")
    assert done.exit_code == 0, done.output
    assert float(_rows(done.stdout)["mean of a"][4]) > 0.8
    assert done.stderr == ""
    assert len(list((tmp_path / "home" / "evaluation").glob("*.png"))) == 2
    assert len(list((tmp_path / "scores" / "ensemble-predictor").glob("*.parquet"))) == 3


def test_options_of_a_folder_want_a_folder(tmp_path: Path) -> None:
    words = ["evaluate", "--model", "ensemble-predictor"]
    assert isinstance(CliRunner().invoke(main, words, standalone_mode=False).exception, click.UsageError)
    refused(_call("evaluate", tmp_path / "nowhere"), DataError, "no_folder")


def test_what_is_printed(series: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIOPS_HOME", str(tmp_path / "home"))
    said = Transcript(_call, FOLDER=tmp_path)
    out = tmp_path / "out.parquet"
    tampered, text = tmp_path / "tampered.parquet", tmp_path / "text.parquet"
    tampered.write_bytes(series.read_bytes()[:-100])
    _series().assign(host="web-1").to_parquet(text, index=False)
    for path in (series, tmp_path / "nowhere.parquet", tampered, text):
        said.type("backtest", "--model", "ensemble-predictor", "--series", path, "--out", out)
    for place in (tmp_path, series, series / "scores.parquet"):
        said.type("backtest", "--model", "ensemble-predictor", "--series", series, "--out", place)
    said.type("backtest", "--model", "lstm", "--series", series, "--out", out)
    said.type("evaluate", tmp_path, "--model", "lstm")
    said.type("evaluate", "--model", "ensemble-predictor")
    said.type("evaluate", tmp_path / "nowhere")
    _silent(folder)
    moved = _labels().assign(timestamp=lambda labels: labels["timestamp"] + pd.Timedelta(days=3))
    moved.to_parquet(folder / "labels" / "a__one.parquet", index=False)
    said.type("evaluate", folder, "--model", "ensemble-predictor", lines=0)  # figures of a fit
    assert_snapshot("commands_files", said.text)

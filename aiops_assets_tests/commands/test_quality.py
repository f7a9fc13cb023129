"""`aiops backtest` and `aiops evaluate` on files: what they write and print, and one line for what they refuse."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from aiops_assets.commands import reports
from aiops_assets.commands.backtesting import backtest_file
from aiops_assets.commands.cli import main
from aiops_assets.errors import DataError, StoreError
from aiops_assets.families.backtests import DETECTORS, FORECASTERS

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
    assert list(scored.columns) == ["timestamp", "score", "alert"]
    assert scored["timestamp"].tolist() == frame["timestamp"].tolist()
    assert np.isfinite(scored["score"]).all()
    assert scored["alert"].dtype == np.bool_
    assert scored["score"].tail(20).tolist() == scored["score"].head(20).tolist()
    said = f"{model}: 1020 rows of 2 columns, {scored['alert'].sum()} under alert, "
    assert done.stdout.startswith(said)
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
    detectors = ", ".join(DETECTORS)
    done = _backtest(series, tmp_path / "out.parquet", "lstm")
    known = f"{detectors}, {', '.join(FORECASTERS)}"
    assert (done.exit_code, done.stderr) == (2, f"error: no model 'lstm' to back-test: choose from {known}\n")
    done = _call("evaluate", tmp_path, "--model", "ensemble-predictor", "--model", "lstm")
    assert (done.exit_code, done.stderr) == (2, f"error: no detector 'lstm': choose from {detectors}\n")
    assert {"ensemble-predictor", "anomaly-detector"} <= set(DETECTORS)


def test_input_that_cannot_be_used_ends_in_one_line_and_leaves_the_old_scores(series: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    out.write_bytes(b"scores of yesterday")
    tampered = tmp_path / "tampered.parquet"
    tampered.write_bytes(series.read_bytes()[:-100])
    text = tmp_path / "text.parquet"
    _series().assign(host="web-1").to_parquet(text, index=False)
    for path, message in (
        (tmp_path / "nowhere.parquet", "there is no such file"),
        (tampered, "not a Parquet file that can be read"),
        (text, "column 'host' is"),
    ):
        done = _backtest(path, out)
        assert done.exit_code == 2
        assert done.stderr.startswith(f"error: {path}: ")
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
    assert out.read_bytes() == b"scores of yesterday"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ("cpu.parquet", "out.parquet", "tampered.parquet", "text.parquet")
    )


def test_a_place_that_cannot_hold_the_scores_is_named(series: Path, tmp_path: Path) -> None:
    before = series.read_bytes()
    for out, message in (
        (tmp_path, "is a directory, name a file"),
        (series, "is the series itself, name another file"),
        (series / "scores.parquet", "cannot be written"),
        (Path("/proc/scores.parquet"), "cannot be written"),
    ):
        done = _backtest(series, out)
        assert done.exit_code == 2
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
        assert "AIOPS_HOME" not in done.stderr
    assert series.read_bytes() == before


def test_a_write_that_fails_leaves_the_old_scores(
    series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.parquet"
    out.write_bytes(b"scores of yesterday")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"No space left on device\): nothing was changed"):
        backtest_file("ensemble-predictor", series, out)
    assert out.read_bytes() == b"scores of yesterday"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cpu.parquet", "out.parquet"]


def _oracle(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Knows the events."""
    jumped = frame["m0"] > 3
    return pd.DataFrame({"timestamp": frame["timestamp"], "score": jumped.astype(float), "alert": jumped})


def _rows(printed: str) -> dict[str, list[str]]:
    """First cell -> the other cells of a table."""
    return {line[:32].strip(): line[32:].split() for line in printed.splitlines()}


def test_a_folder_is_judged_by_series_by_set_and_over_the_sets(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures, scores = tmp_path / "pictures", tmp_path / "scores"
    models = ["ensemble-predictor"]
    reports.on_labelled_series(folder, models, pictures=pictures, scores=scores, back_test=_oracle)
    printed = capsys.readouterr().out
    rows = _rows(printed)
    perfect = ["2", "2", "1.000", "1.000", "1.000", "0.00", "0.00%", "0", "min"]
    assert rows["a__one"] == ["500", *perfect]
    # No event is labelled there: quality cannot be said, and both jumps are false alarms.
    assert rows["b__quiet"] == ["500", "2", "0", "-", "-", "-", "1.15", "8.40%", "-"]
    assert rows["mean of a"] == ["1000", "4", *perfect[2:]]
    assert rows["mean over the sets"] == ["1500", "4", "1.000", "1.000", "1.000", "0.58", "4.20%", "0", "min"]
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
    assert "no picture: no series has a labelled event" in printed
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
    with pytest.raises(
        DataError,
        match=f"^1 series not judged: {path}: 864 of 1000 rows are at times that .*both must be of the same series",
    ):
        reports.on_labelled_series(folder, [], pictures=tmp_path, back_test=_oracle)


def test_a_series_that_cannot_be_used_is_named_and_the_others_are_judged(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIOPS_HOME", str(tmp_path / "home"))
    silent = pd.read_parquet(folder / "series" / "a__one.parquet")
    silent.loc[:, [name for name in silent.columns if name.startswith("m")]] = np.nan
    silent.to_parquet(folder / "series" / "a__silent.parquet", index=False)
    _labels().to_parquet(folder / "labels" / "a__silent.parquet", index=False)
    done = _call("evaluate", folder, "--model", "ensemble-predictor")
    assert done.exit_code == 2
    assert "a__one " in done.output
    assert "error: 1 series not judged: " in done.output
    assert "a__silent.parquet: no training row has a value" in done.output


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
    done = _call("evaluate", "--model", "ensemble-predictor")
    assert done.exit_code == 2
    assert "belong to a DATA_DIR: name one" in done.stderr
    done = _call("evaluate", tmp_path / "nowhere")
    assert done.exit_code == 2
    assert done.stderr == f"error: {tmp_path / 'nowhere'}: there is no such folder\n"

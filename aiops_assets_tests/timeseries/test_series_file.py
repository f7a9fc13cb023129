"""Files that users bring: what is accepted, and one clear line for what is not."""

from decimal import Decimal
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aiops_assets.errors import DataError
from aiops_assets.timeseries import series_file
from aiops_assets.timeseries.series_file import labelled_folder, read_labels, read_series
from aiops_assets_tests.raising import raises

N = 30


def _times(n: int = N, step: str = "1min") -> pd.DatetimeIndex:
    return pd.date_range("2026-03-01", periods=n, freq=step, tz="UTC")


def _time_array() -> pa.Array:
    return pa.array(_times().tz_localize(None).to_numpy())


def _frame(**columns: object) -> pd.DataFrame:
    parts = {"timestamp": _times(), "cpu": np.arange(N) / N, **columns}
    return pd.DataFrame({name: values for name, values in parts.items() if values is not None})


def _written(folder: Path, frame: pd.DataFrame) -> Path:
    path = folder / "mine.parquet"
    frame.to_parquet(path, index=False)
    return path


def test_a_series_keeps_its_rows_and_columns_in_order(tmp_path: Path) -> None:
    split = ["test"] * 10 + ["train"] * 20
    frame = read_series(_written(tmp_path, _frame(split=split, memory=np.float32(0.5))))
    assert list(frame.columns) == ["timestamp", "split", "cpu", "memory"]
    assert frame["split"].tolist() == split
    assert (frame["timestamp"] == _times()).all()
    assert frame["cpu"].tolist() == (np.arange(N) / N).tolist()
    assert frame["memory"].dtype == np.float64


@pytest.mark.parametrize("name", ["label", "Label", "is_anomaly", "anomaly", "Is Outlier", "changepoint"])
@pytest.mark.parametrize("kind", [float, bool, int])
def test_a_column_that_holds_the_answer_is_no_metric(tmp_path: Path, name: str, kind: type) -> None:
    answer = [kind(row > 20) for row in range(N)]
    frame = read_series(_written(tmp_path, _frame(**{name: answer})))
    assert list(frame.columns) == ["timestamp", "split", "cpu"]
    assert frame.attrs["left_out"] == (name,)


def test_other_values_under_such_a_name_and_other_names_are_metrics(tmp_path: Path) -> None:
    frame = read_series(_written(tmp_path, _frame(anomaly=np.arange(N) / 7, up=np.arange(N) > 3)))
    assert list(frame.columns) == ["timestamp", "split", "cpu", "anomaly", "up"]
    assert frame.attrs["left_out"] == ()


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["naive", "UTC", "Europe/Berlin"])
def test_times_without_a_zone_are_utc_and_any_other_zone_is_an_instant(
    tmp_path: Path, unit: Literal["s", "ms", "us", "ns"], zone: str
) -> None:
    times = _times().tz_localize(None) if zone == "naive" else _times().tz_convert(zone)
    frame = read_series(_written(tmp_path, _frame(timestamp=times.as_unit(unit))))
    assert str(frame["timestamp"].dt.tz) == "UTC"
    assert (frame["timestamp"] == _times()).all()


def test_every_kind_of_number_is_one(tmp_path: Path) -> None:
    path = tmp_path / "kinds.parquet"
    columns = {
        "timestamp": _time_array(),
        "whole": pa.array([None, *range(1, N)], pa.int16()),
        "huge": pa.array([2**63 - 1] * N, pa.int64()),
        "flag": pa.array([True, None] * (N // 2)),
        "money": pa.array([Decimal("1.25")] * N),
        "half": pa.array(np.full(N, 0.5, np.float16)),
        "nothing": pa.nulls(N),
        "infinite": pa.array([np.inf, -np.inf, np.nan] * (N // 3)),
    }
    pq.write_table(pa.table(columns), path)
    frame = read_series(path)
    assert (frame.dtypes[2:] == np.float64).all()
    assert frame["whole"].isna().tolist() == [True] + [False] * (N - 1)
    assert frame["huge"].eq(2.0**63).all()
    assert frame["flag"].sum() == N // 2
    assert frame["money"].eq(1.25).all()
    assert frame["half"].eq(0.5).all()
    assert frame[["nothing", "infinite"]].isna().all(axis=None)


def test_repeated_and_unsorted_times_keep_their_rows(tmp_path: Path) -> None:
    order = np.random.default_rng(1).permutation(np.repeat(np.arange(N), 2))
    frame = read_series(_written(tmp_path, pd.DataFrame({"timestamp": _times()[order], "x": order})))
    assert frame["x"].tolist() == order.tolist()
    assert set(frame.loc[frame["split"] == "train", "x"]) == set(range(10))


@pytest.mark.parametrize(("rows", "train"), [(1, 1), (2, 1), (3, 1), (4, 2), (30, 10)])
def test_without_a_split_the_first_third_in_time_is_train(tmp_path: Path, rows: int, train: int) -> None:
    path = _written(tmp_path, pd.DataFrame({"timestamp": _times(rows)[::-1], "x": 1.0}))
    assert read_series(path)["split"].tolist() == ["test"] * (rows - train) + ["train"] * train


def test_the_index_that_pandas_leaves_in_a_file_is_no_column(tmp_path: Path) -> None:
    path = tmp_path / "mine.parquet"
    _frame().iloc[[0, 2, 3, 7]].to_parquet(path)
    assert "__index_level_0__" in pq.read_schema(path).names
    assert list(read_series(path).columns) == ["timestamp", "split", "cpu"]


def test_a_thousand_columns_are_read_and_one_more_is_refused(tmp_path: Path) -> None:
    wide = {f"m{i:04d}": np.full(N, float(i)) for i in range(1001)}
    table = pa.table({"timestamp": _time_array(), **wide})
    pq.write_table(table.drop(["m1000"]), tmp_path / "most.parquet")
    frame = read_series(tmp_path / "most.parquet")
    assert frame.shape == (N, 1002)
    assert frame["m0999"].eq(999).all()
    pq.write_table(table, tmp_path / "more.parquet")
    with raises(DataError, "too_many_columns", columns=1001):
        read_series(tmp_path / "more.parquet")


@pytest.mark.parametrize(
    ("columns", "code", "facts"),
    [
        ({"timestamp": None}, "missing_column", {"column": "timestamp"}),
        ({"timestamp": [str(time) for time in _times()]}, "not_times", {}),
        ({"timestamp": range(N)}, "not_times", {}),
        ({"timestamp": [pd.NaT, pd.NaT, *_times()[2:]]}, "empty_times", {"rows": 2}),
        ({"timestamp": _times(step="1s")}, "bad_cadence", {"step": 1.0}),
        ({"timestamp": _times(step="2h")}, "bad_cadence", {"step": 7200.0}),
        ({"timestamp": pd.to_datetime(np.arange(N) * 60 - 7e10, unit="s")}, "bad_years", {"first": -249}),
        ({"cpu": None}, "no_numeric_column", {}),
        ({"host": ["web-1"] * N}, "not_numeric", {"column": "host"}),
        ({"when": _times()}, "not_numeric", {"column": "when"}),
        ({"parts": [[1.0]] * N}, "not_numeric", {"column": "parts"}),
        ({"split": ["train", "valid"] * (N // 2)}, "bad_split", {"value": "valid"}),
        ({"split": ["train", None] * (N // 2)}, "bad_split", {"value": None}),
        ({"split": [0, 1] * (N // 2)}, "bad_split", {"value": 0}),
        ({"split": ["test"] * N}, "no_train_row", {}),
    ],
)
def test_a_column_that_cannot_be_used_is_named(
    tmp_path: Path, columns: dict[str, object], code: str, facts: dict[str, object]
) -> None:
    path = _written(tmp_path, _frame(**columns))
    with raises(DataError, code, **facts) as caught:
        read_series(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("step", ["10s", "9900ms", "1h", "3601s"])
def test_the_ends_of_the_range_of_cadences_are_allowed(tmp_path: Path, step: str) -> None:
    assert len(read_series(_written(tmp_path, _frame(timestamp=_times(step=step))))) == N


def test_gaps_do_not_change_the_cadence(tmp_path: Path) -> None:
    times = [*_times()[:15], *(_times()[15:] + pd.Timedelta(days=9))]
    assert len(read_series(_written(tmp_path, _frame(timestamp=times)))) == N


def test_files_that_are_no_parquet_are_named(tmp_path: Path) -> None:
    good = _written(tmp_path, _frame(noise=np.random.default_rng(1).normal(size=N))).read_bytes()
    contents = {
        "empty.parquet": b"",
        "text.parquet": b"timestamp,cpu\n1,2\n",
        "cut.parquet": good[: len(good) // 2],
        "footer.parquet": good[:-800] + bytes(792) + good[-8:],
        "pages.parquet": good[:4] + bytes(len(good) // 3) + good[4 + len(good) // 3 :],
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with raises(DataError, "not_parquet") as caught:
            read_series(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_file_with_any_byte_changed_is_read_or_refused(tmp_path: Path) -> None:
    good = bytearray(_written(tmp_path, _frame()).read_bytes())
    rng = np.random.default_rng(5)
    bad, refused = tmp_path / "bad.parquet", 0
    for position in rng.integers(0, len(good), 200):
        content = bytearray(good)
        content[position] ^= int(rng.integers(1, 256))
        bad.write_bytes(content)
        try:
            assert len(read_series(bad)) == N
        except DataError as error:
            refused += "\n" not in str(error)
    assert refused > 20


def test_places_that_hold_no_file_are_named(tmp_path: Path) -> None:
    with raises(DataError, "no_file"):
        read_series(tmp_path / "nowhere.parquet")
    with raises(DataError, "not_regular"):
        read_series(tmp_path)


def test_files_without_rows_or_with_too_many_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with raises(DataError, "no_rows"):
        read_series(_written(tmp_path, _frame().head(0)))
    path = _written(tmp_path, _frame())
    monkeypatch.setattr(series_file, "MAX_VALUES", 2 * N - 1)
    with raises(DataError, "too_many_values", rows=N, columns=2):
        read_series(path)
    monkeypatch.setattr(series_file, "MAX_ROWS", N - 1)
    with raises(DataError, "too_many_rows", rows=N):
        read_series(path)


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.parquet"
    pq.write_table(pa.Table.from_arrays([_time_array(), pa.nulls(N), pa.nulls(N)], ["timestamp", "a", "a"]), path)
    with raises(DataError, "repeated_column", column="a"):
        read_series(path)


def _labels(folder: Path, **columns: object) -> Path:
    truth = {"cpu": None, "split": ["train"] * 10 + ["test"] * 20, "label": [0, 1] * (N // 2), **columns}
    return _written(folder, _frame(**truth))


@pytest.mark.parametrize("kind", ["int8", "float32", "bool"])
def test_labels_are_read(tmp_path: Path, kind: str) -> None:
    labels = read_labels(_labels(tmp_path, label=np.array([0, 1] * (N // 2), dtype=kind)))
    assert list(labels.columns) == ["timestamp", "split", "label"]
    assert labels["label"].tolist() == [0, 1] * (N // 2)


@pytest.mark.parametrize(
    ("columns", "code", "facts"),
    [
        ({"label": None}, "missing_column", {"column": "label"}),
        ({"split": None}, "missing_column", {"column": "split"}),
        ({"label": [0, 2] * (N // 2)}, "bad_label", {}),
        ({"label": [0, None] * (N // 2)}, "bad_label", {}),
        ({"label": ["yes"] * N}, "not_numeric", {"column": "label"}),
        ({"split": ["train"] * N}, "no_test_row", {}),
    ],
)
def test_labels_that_cannot_be_used_are_named(
    tmp_path: Path, columns: dict[str, object], code: str, facts: dict[str, object]
) -> None:
    path = _labels(tmp_path, **columns)
    with raises(DataError, code, **facts) as caught:
        read_labels(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_folder_of_another_layout_is_named(tmp_path: Path) -> None:
    with raises(DataError, "no_folder"):
        labelled_folder(tmp_path / "nowhere")
    with raises(DataError, "no_series"):
        labelled_folder(tmp_path)
    (tmp_path / "series").mkdir()
    (tmp_path / "labels").mkdir()
    for name in ("b__two", "a__one"):
        (tmp_path / "series" / f"{name}.parquet").touch()
    (tmp_path / "labels" / "a__one.parquet").touch()
    with raises(DataError, "missing_labels", path=tmp_path / "labels" / "b__two.parquet"):
        labelled_folder(tmp_path)
    (tmp_path / "labels" / "b__two.parquet").touch()
    assert [one.name for one in labelled_folder(tmp_path)] == ["a__one", "b__two"]

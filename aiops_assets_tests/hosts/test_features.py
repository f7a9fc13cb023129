"""Features of a host's rows: of many as of one, from the past alone, finite whatever is missing."""

import numpy as np
import pandas as pd
import pytest

from aiops_assets.errors import SchemaError
from aiops_assets.hosts.features import FEATURES, HostFeatures
from aiops_assets.hosts.generated import generate_full_training_set
from aiops_assets.hosts.metrics import HOST_COLUMNS
from aiops_assets_tests.raising import raises


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return generate_full_training_set(1)[list(HOST_COLUMNS)]


@pytest.fixture(scope="module")
def features(rows: pd.DataFrame) -> HostFeatures:
    return HostFeatures.fit(rows)


def test_values_of_a_row_are_those_of_its_past(rows: pd.DataFrame, features: HostFeatures) -> None:
    found = features.of(rows)
    assert tuple(found.columns) == FEATURES
    cpu, row = rows["cpu_usage_percent"].to_numpy(), found.iloc[100]
    for window in (5, 10, 30):
        part = cpu[101 - window : 101]
        expected = (part.mean(), part.std(), part.min(), part.max())
        got = [row[f"cpu_usage_percent_{name}_{window}m"] for name in ("mean", "std", "min", "max")]
        assert got == pytest.approx(expected)
        assert row[f"cpu_usage_percent_lag_{window}m"] == cpu[100 - window]
    assert row["cpu_usage_percent_per_minute"] == pytest.approx((cpu[100] - cpu[95]) / 5)
    assert (row["hour"], row["weekday"]) == (1, 2)


def test_a_part_has_the_features_of_the_whole(rows: pd.DataFrame, features: HostFeatures) -> None:
    part = features.of(rows.iloc[500:561]).iloc[-1]
    pd.testing.assert_series_equal(part, features.of(rows).iloc[560], rtol=1e-9, check_names=False)


def test_later_rows_change_nothing(rows: pd.DataFrame, features: HostFeatures) -> None:
    other = rows.copy()
    other.iloc[600:] *= 3
    pd.testing.assert_frame_equal(features.of(other).iloc[:600], features.of(rows).iloc[:600])


def test_one_sample_without_history_is_enough(rows: pd.DataFrame, features: HostFeatures) -> None:
    row = features.of(rows.iloc[[7]]).iloc[0]
    cpu = rows["cpu_usage_percent"].iloc[7]
    assert {row[name] for name in FEATURES if name.startswith("cpu_usage_percent") and "std" not in name} == {cpu, 0.0}
    assert row["cpu_usage_percent_std_30m"] == row["cpu_usage_percent_per_minute"] == 0


def test_what_is_missing_has_its_newest_value_for_half_an_hour_and_then_the_median(
    rows: pd.DataFrame, features: HostFeatures
) -> None:
    holed = rows.drop(columns="error_rate")
    holed.iloc[10:60, 0] = np.nan
    holed.iloc[5, 1] = np.inf
    found = features.of(holed)
    assert np.isfinite(found.to_numpy()).all()
    assert set(found["error_rate"]) == {features.medians["error_rate"]}
    assert found["cpu_usage_percent"].iloc[39] == rows["cpu_usage_percent"].iloc[9]
    assert found["cpu_usage_percent"].iloc[40] == features.medians["cpu_usage_percent"]


def test_minutes_that_were_missed_are_not_invented(rows: pd.DataFrame, features: HostFeatures) -> None:
    found = features.of(rows.drop(rows.index[81:100]))
    row, cpu = found.loc[rows.index[100]], rows["cpu_usage_percent"]
    assert row["cpu_usage_percent_mean_10m"] == cpu.iloc[100]
    assert row["cpu_usage_percent_mean_30m"] == pytest.approx(cpu.iloc[[*range(71, 81), 100]].mean())
    assert row["cpu_usage_percent_lag_5m"] == cpu.iloc[100]
    assert row["cpu_usage_percent_lag_30m"] == cpu.iloc[70]


def test_unusable_rows_are_refused(rows: pd.DataFrame, features: HostFeatures) -> None:
    with raises(SchemaError, "times_not_increasing"):
        features.of(rows.iloc[::-1])
    with raises(SchemaError, "times_not_increasing"):
        features.of(rows.reset_index(drop=True))
    with pytest.raises(SchemaError):
        HostFeatures.fit(rows.drop(columns="error_rate"))
    with pytest.raises(SchemaError):
        features.of(rows.assign(error_rate="many"))

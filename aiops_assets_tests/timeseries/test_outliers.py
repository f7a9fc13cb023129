"""The share of outliers of a day: none on healthy days of any shape, and what a broken exporter leaves."""

import numpy as np
import pandas as pd
import pytest

from aiops_assets.timeseries.outliers import MANY, outlier_shares
from aiops_assets_tests.timeseries.drift_series import NOISES, simulated


def frame(noise: str, unit: float = 1.0) -> pd.DataFrame:
    """A week of two series of different levels."""
    rng = np.random.default_rng(1)
    parts = [simulated(rng, noise, 7, level=level, unit=unit) for level in (20.0, 500.0)]
    times = pd.to_datetime(parts[0].seconds, unit="s", utc=True)
    return pd.concat(
        [pd.DataFrame({"at": times, "series": f"s{i}", "value": part.values()}) for i, part in enumerate(parts)],
        ignore_index=True,
    )


def shares(rows: pd.DataFrame) -> list[float]:
    return list(outlier_shares(rows["at"], rows["series"], rows["value"]).values())


@pytest.mark.parametrize("unit", [1e-9, 1e9])
@pytest.mark.parametrize("noise", NOISES)
def test_healthy_days_have_few_outliers(noise: str, unit: float) -> None:
    found = shares(frame(noise, unit))
    assert len(found) == 7
    assert max(found) < MANY


def test_a_day_with_wrong_values_has_their_share() -> None:
    rows = frame("independent")
    third = rows["at"].dt.date == rows["at"].dt.date.unique()[2]
    wrong = np.flatnonzero(third)[::5]
    rows.loc[wrong, "value"] = 1e6
    found = shares(rows)
    assert found[2] == pytest.approx(len(wrong) / third.sum())
    assert found[:2] + found[3:] == [0.0] * 6


def test_a_metric_that_is_constant_has_outliers_only_where_it_is_not() -> None:
    rows = frame("independent").assign(value=3.0)
    assert set(shares(rows)) == {0.0}
    rows.loc[rows.index[:40], "value"] = 7.0
    assert shares(rows)[0] == 0.0  # more than the rarest half per cent: it is a value that the metric has
    rows.loc[rows.index[8:40], "value"] = 3.0
    assert shares(rows)[0] == pytest.approx(8 / 576)


def test_missing_values_do_not_count() -> None:
    rows = frame("independent").assign(value=np.nan)
    assert outlier_shares(rows["at"], rows["series"], rows["value"]) == {}


@pytest.mark.parametrize(("far", "outside"), [(3.4, 0), (3.6, 2)])
def test_the_fences_are_three_interquartile_ranges_beyond_the_quartiles(far: float, outside: int) -> None:
    """The quartiles of -1 to 1 are -0.5 and 0.5, and the fences 3.5 on both sides."""
    values = pd.Series([*np.linspace(-1, 1, 3001), far, -far])
    times = pd.Series(pd.date_range("2026-03-02", periods=len(values), freq="1s", tz="UTC"))
    (share,) = outlier_shares(times, pd.Series("one", index=values.index), values).values()
    assert round(share * len(values)) == outside

"""What models read of a host's rows: values, windows, lags and rates of the past half hour, for training and serving.

The sets of windows and lags are the ML setup guide's. Everything is causal: a row's features depend on it and on rows
before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from aiops_assets.errors import SchemaError
from aiops_assets.hosts.metrics import HOST_COLUMNS, HOST_METRICS
from aiops_assets.timeseries.frames import numeric_columns

WINDOWS = (5, 10, 30)
"""Minutes of rolling statistics."""
LAGS = (5, 10, 30)
"""Minutes."""
LAG_TOLERANCE = pd.Timedelta("150s")
"""A lag is of the newest sample that is at most so much older than it should be."""
KEPT = pd.Timedelta("30min")
"""A metric that is missing in a row has its newest value, for so long."""
STATISTICS = ("mean", "std", "min", "max")
MEASURED = tuple(metric.name for metric in HOST_METRICS if not metric.minute_change_of)
FEATURES = (
    *HOST_COLUMNS,
    *(f"{name}_{statistic}_{window}m" for window in WINDOWS for statistic in STATISTICS for name in MEASURED),
    *(f"{name}_lag_{lag}m" for lag in LAGS for name in MEASURED),
    *(f"{name}_per_minute" for name in MEASURED),
    "hour",
    "weekday",
)


@dataclass(frozen=True)
class HostFeatures:
    """Makes features of rows.

    Attributes:
        medians: column -> what stands for a metric that no row has: the median of training; changes a minute are 0.
    """

    medians: Mapping[str, float]

    @classmethod
    def fit(cls, rows: pd.DataFrame) -> "HostFeatures":
        """Take medians of rows. Raises SchemaError: a column is missing or holds no numbers."""
        values = _values(rows)
        medians = values.median().fillna(0.0)
        return cls({name: float(medians[name]) for name in HOST_COLUMNS})

    def of(self, rows: pd.DataFrame) -> pd.DataFrame:
        """(n, n_features) float64, finite, in the order of ``FEATURES``.

        Args:
            rows: UTC index ``timestamp``, increasing, at any distances; columns of ``HOST_COLUMNS``, of which any may
                be missing or NaN, and others, which are ignored. One row is enough: its windows and lags are its own
                values, its rates 0.

        Raises:
            SchemaError: the index holds no increasing times, or a column holds no numbers.
        """
        times = rows.index
        if not isinstance(times, pd.DatetimeIndex) or not (times.is_monotonic_increasing and times.is_unique):
            raise SchemaError("rows need an index of increasing times, each once", code="times_not_increasing")
        values = _values(rows.reindex(columns=list(HOST_COLUMNS)))
        values = self._filled(values)
        measured = values[list(MEASURED)]
        parts = [values]
        for window in WINDOWS:
            rolling = measured.rolling(f"{window}min", min_periods=1)
            found = (rolling.mean(), rolling.std(ddof=0), rolling.min(), rolling.max())
            parts += [part.add_suffix(f"_{name}_{window}m") for name, part in zip(STATISTICS, found, strict=True)]
        lagged = {lag: self._lagged(measured, lag) for lag in LAGS}
        parts += [part.add_suffix(f"_lag_{lag}m") for lag, part in lagged.items()]
        parts.append(((measured - lagged[LAGS[0]]) / LAGS[0]).add_suffix("_per_minute"))
        clock = {"hour": times.hour.to_numpy(float), "weekday": times.day_of_week.to_numpy(float)}
        made = pd.concat([*parts, pd.DataFrame(clock, index=times)], axis=1)
        return made[list(FEATURES)]

    def _filled(self, values: pd.DataFrame) -> pd.DataFrame:
        """Without gaps: the newest value, while it is not old, else the median."""
        if not values.isna().to_numpy().any():
            return values
        times = values.index.to_series()
        for name in values.columns[values.isna().any()]:
            seen = times.where(values[name].notna()).ffill()
            newest = values[name].ffill().where(times - seen <= KEPT)
            values[name] = newest.fillna(self.medians.get(name, 0.0))
        return values

    def _lagged(self, measured: pd.DataFrame, lag: int) -> pd.DataFrame:
        """Values so many minutes ago; where there are none, those of now."""
        wanted = pd.DatetimeIndex(measured.index) - pd.Timedelta(minutes=lag)
        earlier = measured.reindex(wanted, method="ffill", tolerance=LAG_TOLERANCE).set_axis(measured.index)
        return earlier.fillna(measured)


def _values(rows: pd.DataFrame) -> pd.DataFrame:
    """Numbers of all columns, infinite ones as missing."""
    return pd.DataFrame(numeric_columns(rows, HOST_COLUMNS), columns=list(HOST_COLUMNS), index=rows.index)

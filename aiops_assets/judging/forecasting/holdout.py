"""Forecasts of a hold-out, from origins in it, beside the true values and the forecasts of the baselines.

The history before each origin is known, hold-out rows too: a forecaster that is fitted on train rows is used as it will
be when it is served.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aiops_assets.errors import ModelError
from aiops_assets.learners.contracts import Forecast, Forecaster
from aiops_assets.timeseries.history import STEP_SECONDS, History, steps_a_day
from aiops_assets.timeseries.series import Floats
from aiops_assets.views.cluster_metrics import history_of_segment, main_segment
from aiops_assets.views.pod_series import SEGMENT

HORIZON_HOURS = {"1h": 1, "6h": 6, "24h": 24}
KEYS = ("source", "pod", "origin", "timestamp", "step", "metric", "actual", "seasonal_naive", "median_24h", "scale")
SIDES = ("value", "lower", "upper")
MAX_ORIGINS = 24
ORIGIN_STEPS = (12, 35)
"""Least and most steps between two origins: an hour at least; 35 do not divide a day, and meet many times of day."""
MIN_AHEAD_STEPS = 12
"""So many steps, an hour, have to follow an origin."""
TAIL = 0.1
COVERAGE = 0.8
SMALL_SHARE, RATIO_BOUNDS = 0.01, (0.05, 20.0)
"""A share of the scale is added to both errors, and their ratio is bounded: where nothing moves, being right to the
last bit is no merit."""
Predict = Callable[[History, int], tuple[Floats, Floats, Floats]]
"""A history and a horizon -> median, lower and upper, each (horizon, n_metrics)."""
TRIVIAL = {"seasonal_naive": "the seasonal naive", "median_24h": "the 24 h median"}
TRIVIAL_NAMES = " and ".join(TRIVIAL.values())


@dataclass(frozen=True)
class ForecastFigures:
    """How good forecasts of a hold-out are.

    Attributes:
        rows: values that were judged.
        anomalies: none; nobody judges a forecaster by them.
        origins: number of forecast origins.
        ratios: trivial forecaster -> horizon -> geometric mean of the mean absolute error to its, below 1 is better;
            horizons that do not fit into the hold-out are left out.
        coverage: horizon -> share of values inside the 80 % interval.
    """

    rows: int
    origins: int
    ratios: Mapping[str, Mapping[str, float]]
    coverage: Mapping[str, float]
    anomalies: int = 0

    def as_metrics(self) -> dict[str, float]:
        """Flat name -> number."""
        flat = {
            f"mae_to_{name}_{label}": ratio for name, ratios in self.ratios.items() for label, ratio in ratios.items()
        }
        return flat | {f"coverage_{label}": share for label, share in self.coverage.items()}


def holdout_forecasts(forecaster: Forecaster, rows: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Forecasts from up to 24 origins in the hold-out, as far as it reaches and at most a day: KEYS and SIDES."""
    return _forecasts_from_origins(rows, metrics, lambda known, horizon: _sides(forecaster, known, horizon))


def trivial_forecasts(rows: pd.DataFrame, metrics: Sequence[str], name: str) -> pd.DataFrame:
    """The same of a trivial forecaster: its interval is that of the last day's values, or of its own errors."""
    return _forecasts_from_origins(rows, metrics, lambda known, horizon: _trivial_sides(known, horizon, name))


def frame_of(forecast: Forecast) -> pd.DataFrame:
    """A forecast of which nobody knows what came, as a frame of KEYS and SIDES; what is not known of it is missing."""
    steps, metrics = len(forecast.times), len(forecast.metrics)
    columns = {
        "origin": forecast.times[0] - pd.Timedelta(seconds=STEP_SECONDS),
        "timestamp": np.tile(forecast.times, metrics),
        "step": np.tile(np.arange(1, steps + 1), metrics),
        "metric": np.repeat(np.array(forecast.metrics, dtype=object), steps),
        **{side: getattr(forecast, side).T.ravel() for side in SIDES},
    }
    return pd.DataFrame(columns).reindex(columns=[*KEYS, *SIDES])


def figures_of(forecasts: pd.DataFrame) -> ForecastFigures:
    """Judge forecasts of KEYS and SIDES."""
    errors = errors_of(forecasts)
    ratios: dict[str, dict[str, float]] = {name: {} for name in TRIVIAL}
    coverage = {}
    for label in HORIZON_HOURS:
        of = errors[errors["horizon"] == label]
        if len(of):
            coverage[label] = float(of["inside"].mean())
            for name in TRIVIAL:
                ratios[name][label] = float(np.exp(of[f"log_{name}"].mean()))
    known = int(forecasts["actual"].notna().sum())
    return ForecastFigures(known, forecasts["origin"].nunique(), ratios, coverage)


def errors_of(forecasts: pd.DataFrame) -> pd.DataFrame:
    """A row an origin, metric and horizon that the hold-out holds wholly.

    Returns:
        ``origin``, ``metric``, ``horizon``, ``error`` (mean absolute, plus a hundredth of the scale), ``inside`` (share
        in the interval), and ``log_<trivial>``, the logarithm of the error to that of a trivial forecaster.
    """
    actual = forecasts["actual"]
    found = forecasts.assign(
        error=(actual - forecasts["value"]).abs(),
        inside=actual.between(forecasts["lower"], forecasts["upper"]).astype(float).where(actual.notna()),
        **{f"error_{name}": (actual - forecasts[name]).abs() for name in TRIVIAL},
    )
    parts = []
    for label, hours in HORIZON_HOURS.items():
        steps = hours * 3600 // STEP_SECONDS
        means = (
            found[found["step"] <= steps]
            .groupby(["origin", "metric"], sort=True)
            .agg(
                last=("step", "max"),
                scale=("scale", "first"),
                error=("error", "mean"),
                inside=("inside", "mean"),
                **{name: (f"error_{name}", "mean") for name in TRIVIAL},
            )
        )
        whole = means[(means["last"] == steps) & means["error"].notna()].copy()
        floor = SMALL_SHARE * whole["scale"]
        whole["error"] += floor
        for name in TRIVIAL:
            whole[f"log_{name}"] = np.log((whole["error"] / (whole[name] + floor)).clip(*RATIO_BOUNDS))
        parts.append(whole.assign(horizon=label).reset_index())
    columns = ["origin", "metric", "horizon", "error", "inside", *(f"log_{name}" for name in TRIVIAL)]
    return pd.concat(parts, ignore_index=True)[columns]


def _forecasts_from_origins(rows: pd.DataFrame, metrics: Sequence[str], predict: Predict) -> pd.DataFrame:
    segment, _ = main_segment(rows)
    history = history_of_segment(segment, metrics)
    begin = segment.loc[segment["split"] == "holdout", "timestamp"].min()
    source, pod = segment[SEGMENT].iloc[0]
    parts = [_forecasts_from(history, rows, predict) for rows in _origins(history, begin)]
    if not parts:  # too short a hold-out: the columns without a row
        parts = [_forecasts_from(history, len(history.times) - 1, predict)[:0]]
    frame = pd.concat(parts, ignore_index=True)
    return frame.assign(source=source, pod=pod)[[*KEYS, *SIDES]]


def _origins(history: History, begin: pd.Timestamp) -> Iterator[int]:
    """How many rows are known at each forecast origin."""
    first = int(history.times.searchsorted(begin)) if pd.notna(begin) else len(history.times)
    left = len(history.times) - first
    every = int(np.clip(-(-left // MAX_ORIGINS), *ORIGIN_STEPS))
    yield from range(max(first, MIN_AHEAD_STEPS), len(history.times) - MIN_AHEAD_STEPS + 1, every)


def _forecasts_from(history: History, rows: int, predict: Predict) -> pd.DataFrame:
    known, day = history.until(rows), steps_a_day(history.step_seconds)
    horizon = min(day, len(history.times) - rows)
    value, lower, upper = predict(known, horizon)
    if not all(np.isfinite(side).all() for side in (value, lower, upper)):
        origin = known.times[-1]
        raise ModelError(
            f"a forecast after {origin} holds values that are not finite", code="not_finite", origin=origin
        )
    after = slice(rows, rows + horizon)
    actual = np.where(history.known[after], history.values[after], np.nan)
    seasonal, median = _seasonal(known, horizon), np.tile(np.median(known.values[-day:], axis=0), (horizon, 1))
    columns = {"actual": actual, "seasonal_naive": seasonal, "median_24h": median}
    columns |= {"scale": np.tile(_scale(known), (horizon, 1)), "value": value, "lower": lower, "upper": upper}
    metrics = len(history.metrics)
    return pd.DataFrame(
        {
            "origin": known.times[-1],
            "timestamp": np.tile(history.times[after], metrics),
            "step": np.tile(np.arange(1, horizon + 1), metrics),
            "metric": np.repeat(np.array(history.metrics, dtype=object), horizon),
            **{name: array.T.ravel() for name, array in columns.items()},
        }
    )


def _sides(forecaster: Forecaster, known: History, horizon: int) -> tuple[Floats, Floats, Floats]:
    forecast = forecaster.forecast(known, horizon)
    return forecast.value, forecast.lower, forecast.upper


def _trivial_sides(known: History, horizon: int, name: str) -> tuple[Floats, Floats, Floats]:
    day = steps_a_day(known.step_seconds)
    if name == "median_24h":
        low, middle, high = np.quantile(known.values[-day:], (TAIL, 0.5, 1 - TAIL), axis=0)
        value, lower, upper = (np.tile(side, (horizon, 1)) for side in (middle, low, high))
        return value, lower, upper
    value = _seasonal(known, horizon)
    change = known.values[day:] - known.values[:-day] if len(known.values) > day else np.zeros((1, value.shape[1]))
    low, high = np.quantile(change, (TAIL, 1 - TAIL), axis=0)
    return value, value + np.minimum(low, 0.0), value + np.maximum(high, 0.0)


def _seasonal(known: History, horizon: int) -> Floats:
    """The values of a day before; the last one where there was none."""
    day, rows = steps_a_day(known.step_seconds), len(known.times)
    at = rows + np.arange(horizon) - day
    return known.values[np.where(at >= 0, at, rows - 1)]


def _scale(known: History) -> Floats:
    """(n_metrics,) mean absolute change from day to day."""
    day = steps_a_day(known.step_seconds)
    lag = day if len(known.values) > day else 1
    scale: Floats = np.abs(known.values[lag:] - known.values[:-lag]).mean(axis=0) + 1e-12
    return scale

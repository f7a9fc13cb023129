"""Prophet for each metric, corrected by the residuals of the newest rows."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from aiops_assets.errors import ModelError
from aiops_assets.learners.forecasters.per_metric import (
    Metric,
    PerMetricForecaster,
    Scale,
    smallest_errors,
    unjudged,
)
from aiops_assets.timeseries.series import Floats

FIT_DAYS = 14
"""A fit uses so many of the newest days."""
BLOCKS_A_DAY = 48
"""Prophet sees medians of half hours: its shortest wave of a day is 2.4 h, and a spike moves no median."""
DAILY_WAVES, WEEKLY_WAVES = 10, 3
MIN_DAYS, MIN_DAYS_WEEKLY = 2.0, 13.9
SEASONALITY_SCALE = 0.1
CUTS, CUT_DAYS, ORIGINS_A_CUT = 6, 7 / 12, 4
"""The calibration split: models of the rows before so many cuts, so many days apart, each with so many origins."""
CORRECTIONS = tuple((hours, level) for level in (0.0, 1.0) for hours in (0.0, 3.0, 12.0, 84.0))
"""Hours in which the last hour's residual decays (0: it is not added), and weight of the last day's residual."""
LOGGERS = ("prophet", "prophet.plot", "prophet.models", "cmdstanpy")
PANDAS_4 = "The 'convert_dates' keyword in read_json|The inplace keyword in DataFrame.drop"


class ProphetForecaster(PerMetricForecaster):
    """Prophet (Taylor & Letham 2018) with flat growth, a daily and, from two weeks on, a weekly season.

    A Prophet model looks at the clock alone, not at recent values. This class corrects its predictions: by the median
    residual of the last day, or none, and by a residual of the last hour that decays, or none. Which of them, and
    whether the metric is compressed before (see :class:`~aiops_assets.learners.forecasters.per_metric.Scale`), is what
    had the smallest errors from the origins of the calibration split, by models of the rows before these. Growth is
    flat: a steady trend has been taken away before, and any other is no help a day ahead when the level follows from
    the newest rows.
    """

    kind = "prophet"
    format, oldest = 2, 1

    def _import_library(self) -> None:
        with quiet():
            import prophet  # noqa: F401

    def _fit_model(self, metric: Metric) -> tuple[dict[str, Any], Floats, str]:
        rows, day = len(metric.values), metric.day
        if rows < MIN_DAYS * day:
            raise ModelError(
                f"{rows} rows are too few for Prophet's season of a day, which takes {MIN_DAYS:g} days",
                code="too_few_rows",
                rows=rows,
                least=MIN_DAYS * day,
            )
        if np.ptp(metric.values) == 0:
            raise ModelError("it never changed", code="never_changed")
        kinds = [(compressed, *one) for compressed in (False, True) for one in CORRECTIONS]
        cuts = [rows - max(1, round(k * CUT_DAYS * day)) for k in range(1, CUTS + 1)]
        cuts = [cut for cut in cuts if cut >= (MIN_DAYS - CUT_DAYS) * day] or cuts[:1]
        found: list[list[Floats]] = [[] for _ in kinds]
        for cut in cuts:
            wished = cut - 1 + round(CUT_DAYS * day) * np.arange(ORIGINS_A_CUT) // ORIGINS_A_CUT
            origins = metric.origins(wished[wished < rows - 1])
            if not len(origins):
                continue
            cut = int(origins[0]) + 1
            for compressed in (False, True):
                scale = Scale.of(metric.values[max(0, cut - FIT_DAYS * day) : cut], compressed)
                model = fit_prophet(metric, cut, scale, self.seed)
                begin = max(0, cut - day)
                yhat = predict(model, grid(metric, begin, int(origins[-1]) + 1 + day))
                for i, (kind, hours, level) in enumerate(kinds):
                    if kind == compressed:
                        ahead = [correct(yhat, scale, metric, begin, t, day, hours, level) for t in origins]
                        found[i].append(metric.errors(origins, np.array(ahead)))
        if not found[0]:
            raise unjudged()
        errors = [np.concatenate(one) for one in found]
        best = smallest_errors(errors)
        compressed, hours, level = kinds[best]
        scale = Scale.of(metric.values[-FIT_DAYS * day :], compressed)
        model = {
            "prophet": as_json(fit_prophet(metric, rows, scale, self.seed)), "scale": asdict(scale), "hours": hours,
            "level": level,
        }  # fmt: skip
        note = "Prophet" + ", compressed" * compressed + ", on the level of the last day" * (level > 0)
        return model, errors[best], note + f", the last hour decays in {hours:g} h" * (hours > 0)

    def _forecast_medians(self, model: dict[str, Any], metric: Metric, horizon: int) -> Floats:
        rows = len(metric.values)
        begin = max(0, rows - metric.day)
        yhat = predict(from_json(model["prophet"]), grid(metric, begin, rows + horizon))
        scale = Scale(**model["scale"])
        return correct(yhat, scale, metric, begin, rows - 1, horizon, model["hours"], model["level"])


def fit_prophet(metric: Metric, end: int, scale: Scale, seed: int) -> Any:
    """A Prophet model of the rows before ``end``. Raises ValueError: Stan found no fit."""
    with quiet():
        from prophet import Prophet

        block = max(1, round(metric.day / BLOCKS_A_DAY))
        blocks = min(end, FIT_DAYS * metric.day) // block
        begin = end - blocks * block
        level = np.where(metric.known[begin:end], scale.into(metric.values[begin:end]), np.nan)
        seen = pd.DataFrame(level.reshape(blocks, block)).median(axis=1).to_numpy()  # NaN: all of it is a gap
        times = metric.times[begin:end:block].tz_localize(None) + (metric.times[1] - metric.times[0]) * (block / 2)
        frame = pd.DataFrame({"ds": times, "y": seen}).dropna()
        weekly = WEEKLY_WAVES if blocks * block >= MIN_DAYS_WEEKLY * metric.day else False
        model = Prophet(
            growth="flat", daily_seasonality=DAILY_WAVES, weekly_seasonality=weekly, yearly_seasonality=False,
            seasonality_prior_scale=SEASONALITY_SCALE, uncertainty_samples=0,
        )  # fmt: skip
        try:
            return model.fit(frame, seed=seed)
        except RuntimeError as error:  # also of Stan
            raise ModelError(f"Prophet found no fit: {error}", code="no_fit", cause=str(error)) from error


def predict(model: Any, times: pd.DatetimeIndex) -> Floats:
    """(n,) predictions of a model for times, on its scale."""
    with quiet():
        yhat: Floats = model.predict(pd.DataFrame({"ds": times}))["yhat"].to_numpy()
    return yhat


def correct(
    yhat: Floats, scale: Scale, metric: Metric, begin: int, origin: int, horizon: int, hours: float, level: float
) -> Floats:
    """(horizon,) medians after a row, in the metric's unit; ``yhat`` are Prophet's values from row ``begin`` on."""
    first = max(begin, origin + 1 - metric.day)
    residual = scale.into(metric.values[first : origin + 1]) - yhat[first - begin : origin + 1 - begin]
    day_residual = level * float(np.median(residual))
    ahead = yhat[origin + 1 - begin : origin + 1 - begin + horizon] + day_residual
    if hours:
        hour_residual = float(np.median(residual[-metric.hour :])) - day_residual
        ahead = ahead + hour_residual * np.exp(-np.arange(1, horizon + 1) / (hours * metric.day / 24))
    return scale.back(ahead, metric.values[: origin + 1])


def grid(metric: Metric, begin: int, end: int) -> pd.DatetimeIndex:
    """The begins of rows, also of those to come, without a zone, as Prophet wants them."""
    step = pd.Timedelta(days=1) / metric.day
    return pd.DatetimeIndex(metric.times[0].tz_localize(None) + np.arange(begin, end) * step)


def as_json(model: Any) -> str:
    """A model as Prophet serialises it."""
    with quiet():
        from prophet.serialize import model_to_json

        return str(model_to_json(model))


@lru_cache(maxsize=16)
def from_json(text: str) -> Any:
    """A model that :func:`as_json` wrote; it is shared, so only predictions may be made with it."""
    with quiet():
        from prophet.serialize import model_from_json

        return model_from_json(text)


@contextmanager
def quiet() -> Iterator[None]:
    """Prophet and Stan log every fit, and Prophet calls pandas in ways that pandas 4 will not allow."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [one.disabled for one in loggers]
    try:
        for one in loggers:
            one.disabled = True
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", PANDAS_4)
            yield
    finally:
        for one, was in zip(loggers, before, strict=True):
            one.disabled = was

"""ARIMA of each metric, with or without its daily profile, on a plain or a compressed scale."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from aiops_assets.errors import ModelError
from aiops_assets.learners.forecasters.features import NARROW_HOURS, SEASONS, Steps
from aiops_assets.learners.forecasters.per_metric import (
    Metric,
    PerMetricForecaster,
    Scale,
    smallest_errors,
    unjudged,
)
from aiops_assets.timeseries.series import Floats

Order = tuple[int, int, int]

FIT_ROWS = 1200
"""A fit uses so many of the newest rows: older ones make the likelihood slower, and little better."""
MIN_ROWS = 60
SCALE_DAYS = 14
CALIBRATION_DAYS, CALIBRATION_SHARE = 4, 0.5
ORIGINS = 64
ORDERS = ((0, 1), (1, 1), (2, 1), (2, 2))
"""AICc chooses one of these (p, q)."""
SIGNIFICANT = 0.05
ITERATIONS = 50
EVALUATIONS = 600
"""A search ends after so many evaluations of the likelihood: no real series took as many, and that of a raw counter has
no maximum to reach."""
RANDOM_WALK: Order = (0, 1, 0)


@dataclass(frozen=True)
class Estimate:
    """An order and its parameters, as statsmodels' ``ARIMA`` with a concentrated scale takes them."""

    order: Order
    parameters: list[float]


@dataclass(frozen=True)
class View:
    """The series that an ARIMA is fitted to: a metric on a scale, less its daily profile, which has no level.

    Attributes:
        level: (n,) the metric on its scale.
        profile: (n,) the median of up to seven days before at the same time, each smoothed over an hour and less its
            own level; NaN on the first day; all 0 in a view without profile.
        first: the first row with a profile.
    """

    level: Floats
    profile: Floats
    first: int

    @classmethod
    def of(cls, level: Floats, day: int, seasonal: bool) -> "View":
        """A view of a metric on a scale."""
        rows = np.arange(len(level))
        profile = daily_profile(level, rows, rows - 1, day) if seasonal else np.zeros(len(level))
        return cls(level, profile, day if seasonal else 0)

    def remainder(self, begin: int, end: int) -> Floats:
        """(n,) rows ``begin`` to ``end`` without profile, none before the first that has one."""
        begin = max(begin, self.first)
        return self.level[begin:end] - self.profile[begin:end]


class ArimaForecaster(PerMetricForecaster):
    """ARIMA(p, d, q) by maximum likelihood: d by a KPSS test, p and q by AICc (Hyndman & Khandakar 2008).

    Four views of a metric are candidates: plain or compressed by a hyperbolic sine, as it is or less its daily profile.
    Each is fitted on the rows before the calibration split and forecasts from origins in it; the one with the smallest
    errors there is fitted again on the newest :data:`FIT_ROWS`. A later history is filtered with these parameters.

    Attributes:
        orders: metric -> (p, d, q); without those that are forecast by the median of the last hour.
    """

    kind = "arima"
    format, oldest = 3, 2  # in 1 a profile had a level

    @property
    def orders(self) -> dict[str, Order]:
        """Metric -> (p, d, q) that was fitted to it."""
        fitted = zip(self.metrics, self.models, strict=True)
        return {name: _order(model["order"]) for name, model in fitted if model}

    def _import_library(self) -> None:
        with contained():
            import statsmodels.tsa.arima.model  # noqa: F401

    def _fit_model(self, metric: Metric) -> tuple[dict[str, Any], Floats, str]:
        values, day, rows = metric.values, metric.day, len(metric.values)
        if rows < MIN_ROWS:
            raise ModelError(
                f"{rows} rows are too few for ARIMA, which takes {MIN_ROWS}",
                code="too_few_rows",
                rows=rows,
                least=MIN_ROWS,
            )
        if np.ptp(values) == 0:
            raise ModelError("it never changed", code="never_changed")
        begin = rows - min(CALIBRATION_DAYS * day, int(rows * CALIBRATION_SHARE))
        origins = metric.origins(np.linspace(begin - 1, rows - 2, ORIGINS).astype(int))
        if not len(origins):
            raise unjudged()
        begin = int(origins[0]) + 1
        kinds = [(seasonal, compressed) for seasonal in (False, True) for compressed in (False, True)]
        kinds = [kind for kind in kinds if not kind[0] or begin - day >= MIN_ROWS]
        errors, tried = [], []
        for seasonal, compressed in kinds:
            scale = Scale.of(values[max(0, begin - SCALE_DAYS * day) : begin], compressed)
            view = View.of(scale.into(values), day, seasonal)
            estimate, _ = fit_arima(view.remainder(begin - FIT_ROWS, begin))
            ahead = forecasts(estimate, view, origins, day, seasonal)
            tried.append(estimate)
            errors.append(metric.errors(origins, scale.back(ahead, values[:begin])))
        best = smallest_errors(errors)
        seasonal, compressed = kinds[best]
        scale = Scale.of(values[-SCALE_DAYS * day :], compressed)
        view = View.of(scale.into(values), day, seasonal)
        order = tried[best].order
        estimate, note = fit_arima(view.remainder(rows - FIT_ROWS, rows), None if order == RANDOM_WALK else order)
        profile = np.zeros(day)
        if seasonal:  # for histories that are too short to have their own
            profile[slots(metric.times[-day:], day)] = view.profile[-day:]
        model = {
            **asdict(estimate), "seasonal": seasonal, "scale": asdict(scale), "profile": profile.tolist() * seasonal,
        }  # fmt: skip
        what = f"ARIMA{estimate.order}" + " less the daily profile" * seasonal + ", compressed" * compressed
        return model, errors[best], f"{what}{note}"

    def _forecast_medians(self, model: dict[str, Any], metric: Metric, horizon: int) -> Floats:
        scale, day, rows = Scale(**model["scale"]), metric.day, len(metric.values)
        estimate = Estimate(_order(model["order"]), model["parameters"])
        level, newest = scale.into(metric.values), np.array([rows - 1])
        if not model["seasonal"] or rows >= day + metric.hour:
            view = View.of(level, day, model["seasonal"])
            ahead = forecasts(estimate, view, newest, horizon, model["seasonal"])[0]
        else:
            profile, slot = np.array(model["profile"]), slots(metric.times, day)
            view = View(level, profile[slot], 0)
            ahead = forecasts(estimate, view, newest, horizon, False)[0]
            ahead += profile[(slot[-1] + np.arange(1, horizon + 1)) % day]
        return scale.back(ahead, metric.values)


def fit_arima(remainder: Floats, order: Order | None = None) -> tuple[Estimate, str]:
    """Fit a series, with the given order if it has a likelihood, else with the best by AICc; a note of what failed."""
    if len(remainder) < MIN_ROWS or np.ptp(remainder) == 0:
        return Estimate(RANDOM_WALK, []), "; a random walk: what is modelled never changed"
    with contained():
        if order and (fit := _likeliest(remainder, order)):
            return fit[1:]
        d = differences(remainder)
        fits = [fit for p, q in ORDERS if (fit := _likeliest(remainder, (p, d, q)))]
    if not fits:
        return Estimate(RANDOM_WALK, []), f"; a random walk: no likelihood with d = {d}"
    _, estimate, note = min(fits, key=lambda fit: fit[0])
    return estimate, note + f"; no likelihood of ARIMA{order}" * bool(order)


def differences(remainder: Floats) -> int:
    """d: 1 where a KPSS test rejects that the series is stationary (Kwiatkowski et al. 1992), else 0."""
    with contained():
        from statsmodels.tsa.stattools import kpss

        return int(kpss(remainder, regression="c", nlags="auto", result_object=True).pvalue < SIGNIFICANT)


def forecasts(estimate: Estimate, view: View, origins: Steps, horizon: int, seasonal: bool) -> Floats:
    """(n_origins, horizon) medians on the scale, each from the rows up to its origin and fixed parameters."""
    first = max(view.first, int(origins[0]) + 1 - FIT_ROWS)
    with contained():
        model = _arima(view.remainder(first, int(origins[-1]) + 1), estimate.order)
        # Results for people would come with a covariance of the parameters, which costs as much as several filters.
        found = model.filter(estimate.parameters, return_ssm=True)
    mean = estimate.parameters[0] if estimate.order[1] == 0 else 0.0
    # The state after a row decides all that follows: one pass over the rows serves every origin.
    state, design, transition = found.predicted_state[:, origins + 1 - first], found.design[0, :, 0], found.transition
    ahead = np.empty((len(origins), horizon))
    for h in range(horizon):
        ahead[:, h] = design @ state + mean
        state = transition[:, :, 0] @ state
    if seasonal:
        day, known = view.first, origins[:, None]
        ahead += daily_profile(view.level, known + np.arange(1, horizon + 1), known, day)
    return ahead


def daily_profile(level: Floats, rows: Steps, known: Steps, day: int) -> Floats:
    """The daily profile at the time of rows, from rows up to ``known``; NaN where there is no day before.

    A median over days of how far each lay from its own level, the median of the day around the row: where the level
    shifts, days on either side of the shift still agree, and what is left of a metric carries its level.
    """
    half = max(1, round(NARROW_HOURS * day / 24)) // 2
    smooth = pd.Series(level).rolling(2 * half + 1, center=True, min_periods=1).median().to_numpy()
    # Smoothing looks ahead by half its window, and must not reach rows after the last known one.
    back = [np.minimum(rows - days * day, known - half) for days in range(1, SEASONS + 1)]
    own = pd.Series(level).rolling(day, min_periods=1).median().to_numpy()
    shape = [smooth[np.maximum(at, 0)] - own[np.minimum(np.maximum(at + day // 2, day - 1), known)] for at in back]
    days = np.stack([np.where(at >= 0, one, np.nan) for at, one in zip(back, shape, strict=True)])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice")
        profile: Floats = np.nanmedian(days, axis=0)
    return profile


def slots(times: pd.DatetimeIndex, day: int) -> Steps:
    """(n,) position of each time in its day, in rows from 0."""
    seconds = times.hour * 3600 + times.minute * 60 + times.second
    return (seconds.to_numpy() * day // 86400).astype(np.int64)


@contextmanager
def contained() -> Iterator[None]:
    """Statsmodels gives no warnings inside: fits note that they did not converge, and it replaces bad start values."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # Its import puts filters of its own before all others: inside, so that they go with the context.
        from statsmodels.tools.sm_exceptions import ModelWarning

        warnings.simplefilter("ignore", ModelWarning)
        warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"statsmodels\.")
        yield


def _likeliest(remainder: Floats, order: Order) -> tuple[float, Estimate, str] | None:
    """AICc, parameters and a note; ``None`` where there is no likelihood."""
    try:
        search = {"maxiter": ITERATIONS, "maxfun": EVALUATIONS, "disp": 0}
        fit = _arima(remainder, order).fit(low_memory=True, cov_type="none", method_kwargs=search)
    except (ValueError, ZeroDivisionError, IndexError):  # numpy's LinAlgError is a ValueError
        return None
    if not (np.isfinite(fit.aicc) and np.isfinite(fit.params).all()):
        return None
    found = fit.mle_retvals
    note = "" if found["converged"] else f"; the likelihood still grew after {found['iterations']} steps"
    return float(fit.aicc), Estimate(order, [float(one) for one in fit.params]), note


def _arima(remainder: Floats, order: Order) -> Any:
    from statsmodels.tsa.arima.model import ARIMA

    return ARIMA(remainder, order=order, trend="n" if order[1] else "c", concentrate_scale=True)


def _order(stored: Any) -> Order:
    p, d, q = stored
    return p, d, q

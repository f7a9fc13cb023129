"""Base class of forecasters that model each metric alone: scales, choice and intervals by a calibration split, a file.

A model of the rows before the calibration split forecasts from origins in it. Its errors there choose between
candidates and give the intervals (split conformal prediction: Lei et al. 2018); then all rows are fitted. All this is
done with what remains of a metric without its steady trend, if it has one.
"""

import itertools
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from aiops_assets.errors import ModelError
from aiops_assets.learners.contracts import Flags, Forecast
from aiops_assets.learners.forecasters.direct import BINS, COVERAGE, require_horizon, require_same
from aiops_assets.learners.forecasters.features import Steps
from aiops_assets.learners.forecasters.steady_trend import SteadyTrend
from aiops_assets.learners.threads import one_thread
from aiops_assets.timeseries.history import History, steps_a_day
from aiops_assets.timeseries.series import Floats

MAX_ORIGINS = 200
HOUR_MEDIAN = "median of the last hour"
STATE = ("seed", "metrics", "step_seconds", "notes", "models")


@dataclass(frozen=True)
class Metric:
    """One metric of a history: (n,) begins of steps, finite values, whether there was a sample; and rows of a day."""

    times: pd.DatetimeIndex
    values: Floats
    known: Flags
    day: int

    @classmethod
    def all_of(cls, history: History) -> "list[Metric]":
        """Each metric of a history."""
        day = steps_a_day(history.step_seconds)
        return [cls(history.times, *both, day) for both in zip(history.values.T, history.known.T, strict=True)]

    @property
    def hour(self) -> int:
        """Rows of an hour, at least one."""
        return max(1, round(self.day / 24))

    def less(self, trend: SteadyTrend) -> "Metric":
        """The same without a trend."""
        return replace(self, values=trend.less(self.times, self.values))

    def origins(self, wished: Steps) -> Steps:
        """The newest row with a sample up to each wished row, none before the first: values in gaps know later ones."""
        newest = np.maximum.accumulate(np.where(self.known, np.arange(len(self.known)), -1))[wished]
        return np.unique(newest[newest >= max(wished[0], 0)])

    def errors(self, origins: Steps, forecasts: Floats) -> Floats:
        """(n_origins, horizon) values less forecasts after these rows; NaN where no sample is."""
        rows = origins[:, None] + np.arange(1, forecasts.shape[1] + 1)
        came = np.append(np.where(self.known, self.values, np.nan), np.nan)
        return came[np.minimum(rows, len(self.values))] - forecasts


@dataclass(frozen=True)
class Scale:
    """A unit for a metric: distance to its median, or its inverse hyperbolic sine: spikes weigh less, medians stay."""

    center: float
    unit: float
    compressed: bool
    least: float
    most: float

    @classmethod
    def of(cls, values: Floats, compressed: bool) -> Self:
        """From values of training: the unit is their mean or, for the sine, median distance to their median."""
        center = float(np.median(values))
        distance = np.abs(values - center)
        unit = (float(np.median(distance)) if compressed else 0.0) or float(np.mean(distance)) or 1.0
        return cls(center, unit, compressed, float(values.min()), float(values.max()))

    def into(self, values: Floats) -> Floats:
        """Values in this unit."""
        scaled: Floats = (values - self.center) / self.unit
        return np.arcsinh(scaled) if self.compressed else scaled

    def back(self, scaled: Floats, values: Floats) -> Floats:
        """Forecasts in the metric's unit, at most half its range outside that of training and ``values``."""
        least, most = min(self.least, values.min()), max(self.most, values.max())
        room = (most - least) / 2
        low, high = self.into(np.array([least - room, most + room]))
        clipped = np.clip(scaled, low, high)
        return self.center + self.unit * (np.sinh(clipped) if self.compressed else clipped)


@dataclass(frozen=True)
class Margins:
    """The 80 % interval of a metric around its forecast.

    Attributes:
        ahead: (n_bins,) steps ahead, increasing.
        below: (n_bins,) the 10 % quantile of the errors, at most 0, never rising.
        above: (n_bins,) the 90 % quantile, at least 0, never falling.
        reach: the most steps ahead for which there are errors.
    """

    ahead: list[float]
    below: list[float]
    above: list[float]
    reach: int

    @classmethod
    def of(cls, errors: Floats) -> Self:
        """From (n_origins, horizon) errors in the metric's unit; NaN: not known."""
        judged = np.flatnonzero(np.isfinite(errors).any(axis=0))
        reach = int(judged[-1]) + 1 if len(judged) else 1
        found = [(1.0, 0.0, 0.0)]
        for begin, end in bins(reach):
            here = errors[:, begin:end]
            if np.isfinite(here).any():
                low, high = np.nanquantile(here, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
                found.append(((begin + 1 + end) / 2, min(low, 0.0), max(high, 0.0)))
        ahead, low, high = np.array(found[1:] or found).T
        # What is farther away is not surer.
        return cls(ahead.tolist(), np.minimum.accumulate(low).tolist(), np.maximum.accumulate(high).tolist(), reach)

    def at_least(self, width: float) -> Self:
        """The same, but so wide at least to each side."""
        return replace(self, below=[min(x, -width) for x in self.below], above=[max(x, width) for x in self.above])

    def at(self, h: Steps) -> Floats:
        """(2, n): below and above for so many steps ahead; beyond ``reach`` they grow as a random walk's."""
        known = np.minimum(h, self.reach)
        sides = [np.interp(np.log(known), np.log(self.ahead), side) for side in (self.below, self.above)]
        return np.stack(sides) * np.sqrt(h / known)


class PerMetricForecaster(ABC):
    """Several metrics, each modelled alone, up to a day ahead: a JSON document, in a file as when it forecasts.

    Attributes:
        notes: metric -> what was fitted, and why where that is the median of the last hour or a random walk.
        models, margins: the fitted model of each metric, empty for the median of the last hour; and its interval.
        trends: the steady trend of each metric, without which it is modelled.
    """

    kind: ClassVar[str]
    format: ClassVar[int]
    oldest: ClassVar[int]
    """Files of this format are read, too: in it a metric has no trend."""

    def __init__(self, seed: int = 42) -> None:
        self.seed = seed
        self.metrics: tuple[str, ...] = ()
        self.step_seconds = 0
        self.notes: dict[str, str] = {}
        self.models: list[dict[str, Any]] = []
        self.margins: list[Margins] = []
        self.trends: list[SteadyTrend] = []

    @abstractmethod
    def _import_library(self) -> None:
        """Import the library that fits: threads are limited in what is loaded."""

    @abstractmethod
    def _fit_model(self, metric: Metric) -> tuple[dict[str, Any], Floats, str]:
        """A model, its (n_origins, horizon) errors on the calibration split, and a note.

        Raises:
            ModelError: no model can be fitted; also a ValueError of the library that fits.
        """

    @abstractmethod
    def _forecast_medians(self, model: dict[str, Any], metric: Metric, horizon: int) -> Floats:
        """(horizon,) medians after the newest row."""

    def fit(self, history: History) -> None:
        """Fit each metric, and note what was fitted. Raises ModelError: no metric has samples to learn from."""
        if not history.known.any():
            raise ModelError(
                "no metric has samples from which a forecast could be learnt: bring a longer history", code="no_samples"
            )
        self.metrics, self.step_seconds = history.metrics, history.step_seconds
        self.notes, self.models, self.margins, self.trends = {}, [], [], []
        self._import_library()
        with one_thread():
            for name, metric in zip(history.metrics, Metric.all_of(history), strict=True):
                self._fit_one(name, metric)

    def _fit_one(self, name: str, metric: Metric) -> None:
        trend = SteadyTrend.of(metric.times, metric.values, metric.known, metric.day)
        metric = metric.less(trend)
        try:
            model, errors, note = self._fit_model(metric)
            if not np.isfinite(errors).any():
                raise unjudged()
        except (ModelError, ValueError) as error:  # numpy's LinAlgError is a ValueError
            model, errors, note = {}, hour_median_errors(metric), f"{HOUR_MEDIAN}: {error}"
        self.models.append(model)
        self.margins.append(Margins.of(errors).at_least(trend.least_width))
        self.trends.append(trend)
        self.notes[name] = note + f", on a line of {trend.a_day:+.3g} a day" * bool(trend.a_day)

    def forecast(self, history: History, horizon: int) -> Forecast:
        """Median and interval of the next steps of each metric, from parameters of the last fit.

        Args:
            history: one of the same metrics and step, up to the forecast origin; one row is enough.
            horizon: number of steps, 1 to a day's; otherwise DataError.

        Raises:
            ModelError: not fitted, or fitted on other metrics or another step.
        """
        require_same(self.metrics, self.step_seconds, history)
        require_horizon(horizon, self.step_seconds)
        value, lower, upper = (np.empty((horizon, len(self.metrics))) for _ in range(3))
        for m, metric in enumerate(Metric.all_of(history)):
            # A metric that was never below zero is a rate or a share, and stays above.
            least = 0.0 if metric.values.min() >= 0 else -np.inf
            middle = np.maximum(self._middle(m, metric, history.after(horizon)), least)
            below, above = self.margins[m].at(np.arange(1, horizon + 1))
            for side, by in ((value, 0.0), (lower, below), (upper, above)):
                side[:, m] = np.maximum(middle + by, least)
        return Forecast(history.metrics, history.after(horizon), value, lower, upper)

    def _middle(self, m: int, metric: Metric, after: pd.DatetimeIndex) -> Floats:
        trend, horizon = self.trends[m], len(after)
        if not trend.goes_on(metric.values, metric.known, metric.day):
            return np.full(horizon, hour_median(metric)[-1])  # the model is of what remained of a trend that has ended
        left = metric.less(trend)
        model = self.models[m]
        ahead = self._forecast_medians(model, left, horizon) if model else np.full(horizon, hour_median(left)[-1])
        return ahead + trend.line(after)

    def to_bytes(self) -> bytes:
        """One JSON document."""
        document = {"kind": self.kind, "format": self.format, **{name: getattr(self, name) for name in STATE}}
        for name in ("margins", "trends"):
            document[name] = [asdict(one) for one in getattr(self, name)]
        return json.dumps(document, allow_nan=False).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Load what :meth:`to_bytes` wrote. Raises ModelError: it is something else."""
        try:
            document = json.loads(data)
            header = (document["kind"], document["format"])
            if header[0] != cls.kind or header[1] not in range(cls.oldest, cls.format + 1):
                raise ModelError(
                    f"a model file of kind {header[0]!r}, format {header[1]}: not {cls.kind!r}, {cls.format}",
                    code="other_file",
                    found=header,
                    expected=(cls.kind, cls.format),
                )
            made = cls()
            for name in STATE:
                setattr(made, name, document[name])
            made.metrics, made.margins = tuple(made.metrics), [Margins(**one) for one in document["margins"]]
            trends = [{}] * len(made.metrics) if header[1] == cls.oldest else document["trends"]
            made.trends = [SteadyTrend(**one) for one in trends]
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"not a model file of {cls.kind!r}: {error}", code="not_a_model_file", expected=cls.kind
            ) from error
        return made


def unjudged() -> ModelError:
    """Why a model is not used that has no errors to judge it by."""
    return ModelError("too few samples in the calibration split to judge a model", code="unjudged")


def bins(reach: int) -> list[tuple[int, int]]:
    """Slices of steps ahead, each wider than the one before by the same factor: errors grow fast at first."""
    edges = np.unique(np.round(np.geomspace(1, reach + 1, BINS + 1)).astype(int)) - 1
    return list(itertools.pairwise(edges.tolist()))


def smallest_errors(candidates: Sequence[Floats]) -> int:
    """Position of the smallest of several (n_origins, horizon) errors on equal origins, where all bins count alike."""
    by_bin = [
        [np.nanmean(np.abs(one[:, begin:end])) for one in candidates]
        for begin, end in bins(candidates[0].shape[1])
        if np.isfinite(candidates[0][:, begin:end]).any()
    ]
    if not by_bin:
        return 0
    wrong = np.array(by_bin)
    return int(np.argmin((wrong / (wrong.mean(axis=1, keepdims=True) + np.finfo(float).tiny)).sum(axis=0)))


def hour_median(metric: Metric) -> Floats:
    """(n,) the median of the last hour, at each row."""
    return pd.Series(metric.values).rolling(metric.hour, min_periods=1).median().to_numpy()


def hour_median_errors(metric: Metric) -> Floats:
    """(n_origins, horizon) errors of the median of the last hour; NaN where no sample is."""
    rows = len(metric.values)
    origins = metric.origins(np.linspace(0, max(rows - 2, 0), MAX_ORIGINS).astype(int))
    return metric.errors(origins, np.repeat(hour_median(metric)[origins][:, None], min(metric.day, rows), axis=1))

"""A forecaster that somebody else trained: Fracast-0, a network of 85,001 weights, which ship in its wheel.

Nothing is fitted, so that an hour of history is enough. The network reads a metric's last two days and gives the
quantiles of its next 48 steps; for what is farther ahead it reads means of half hours. Its 80 % interval never shrinks
with distance, and is widened or narrowed by a factor a metric that origins in the history show (conformalized quantile
regression: Romano, Patterson, Candes 2019); with few origins the factor stays near that of little history.

Weights are read from the installed package, never from a network. Which ones they were is part of a stored model.
"""

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from aiops_assets.errors import ModelError
from aiops_assets.learners.contracts import Flags, Forecast
from aiops_assets.learners.forecasters.direct import COVERAGE, require_horizon, require_same
from aiops_assets.learners.threads import one_torch_thread
from aiops_assets.timeseries.history import History, steps_a_day
from aiops_assets.timeseries.series import Floats

if TYPE_CHECKING:
    from fracast import FracastModel

BLOCK = 48
"""The network forecasts so many steps at once."""
NEAR_BLOCKS = 2
"""So many blocks are forecast in the history's own steps, the second from the medians of the first."""
CONTEXT_DAYS = 2
"""It reads so much: with more, the range that it scales by is that of the past."""
CONTEXT_ROWS = 2 * 288
"""Most rows of a context, whatever their step."""
LEAST_ROWS = 8
"""With fewer samples the network answers nothing: the median of the last hour is forecast."""
ORIGINS, LEAST_KNOWN = 6, 24
"""An interval is calibrated by forecasts from at most so many origins, each with so many rows before it."""
PRIOR_ORIGINS = 6.0
"""So many origins weigh what is assumed of a metric without any."""
FACTOR_BOUNDS = (0.5, 4.0)
YOUNG_ROWS = 4.0
"""Intervals are wider by so many times 1/n after n rows: those of the network alone hold .73 of what comes after an
hour of real series (see docs/start/first-day.md)."""
SAMPLE_WIDTH = 0.1
"""Half the interval of a single sample, as a share of its size; an hour ahead."""
QUANTILES = (0, 4, 8)
"""Positions of 10 %, 50 % and 90 % among the nine quantiles that the network gives."""
PACKAGE, WEIGHTS = "fracast", "weights/model.safetensors"
KIND, FORMAT = "fracast", 1


@dataclass(frozen=True)
class Quantiles:
    """(n, horizon) median, and distances of the 10 % and the 90 % quantile from it, which never fall."""

    middle: Floats
    below: Floats
    above: Floats


class PretrainedForecaster:
    """Forecasts each metric by the network; a fit only measures how wide intervals have to be.

    Attributes:
        factors: metric -> by how much the network's own intervals are multiplied.
        origins: how many forecast origins the factors were measured from; 0: none, as in the first hours.
    """

    def __init__(self) -> None:
        self.metrics: tuple[str, ...] = ()
        self.step_seconds = 0
        self.factors: dict[str, float] = {}
        self.origins = 0

    def fit(self, history: History) -> None:
        """Measure how wide intervals have to be. Raises ModelError: no metric has samples, or fracast is missing."""
        if not history.known.any():
            raise ModelError(
                "no metric has samples from which a forecast could be made: bring a longer history", code="no_samples"
            )
        self.metrics, self.step_seconds = history.metrics, history.step_seconds
        self.factors, self.origins = dict.fromkeys(history.metrics, 1.0), 0
        rows, day = len(history.times), steps_a_day(history.step_seconds)
        horizon = min(day, max((rows - LEAST_KNOWN) // 2, 0))
        if not horizon:
            return
        first = max(LEAST_KNOWN, rows // 2)
        origins = np.unique(np.linspace(first, rows - max(horizon // 4, 1), ORIGINS).astype(int))
        found = [_wanted_factors(history, int(origin), horizon) for origin in origins]
        self.origins = len(found)
        for name, wanted in zip(history.metrics, np.array(found).T, strict=True):
            self.factors[name] = _factor(wanted[np.isfinite(wanted)])

    def forecast(self, history: History, horizon: int) -> Forecast:
        """Median and interval of the next steps of each metric.

        Args:
            history: one of the same metrics in any step, up to the forecast origin; one row is enough.
            horizon: number of steps, 1 to a day's; otherwise DataError.

        Raises:
            ModelError: not fitted, or fitted on other metrics; fracast is not installed.
        """
        require_same(self.metrics, history.step_seconds, history)  # the network is of no step
        require_horizon(horizon, history.step_seconds)
        found = _quantiles(history, horizon)
        young = 1 + YOUNG_ROWS / np.maximum(history.known.sum(axis=0), 1)
        factor = (young * [self.factors[name] for name in self.metrics])[:, np.newaxis]
        value, lower, upper = found.middle, found.middle - factor * found.below, found.middle + factor * found.above
        # A metric that was never below zero is a rate or a share, and stays above.
        least = np.where(history.values.min(axis=0) >= 0, 0.0, -np.inf)[:, np.newaxis]
        sides = [np.maximum(side, least).T for side in (value, lower, upper)]
        return Forecast(history.metrics, history.after(horizon), *sides)

    def to_bytes(self) -> bytes:
        """One JSON document, with the digest of the weights that the factors were measured with."""
        document = {
            "kind": KIND,
            "format": FORMAT,
            "weights_sha256": weights_digest(),
            "metrics": self.metrics,
            "step_seconds": self.step_seconds,
            "factors": self.factors,
            "origins": self.origins,
        }
        return json.dumps(document, allow_nan=False).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Load what :meth:`to_bytes` wrote. Raises ModelError: it is something else, or of other weights."""
        try:
            document: dict[str, Any] = json.loads(data)
            if (document["kind"], document["format"]) != (KIND, FORMAT):
                raise ValueError(f"kind {document['kind']!r}, format {document['format']}")
            made = cls()
            made.metrics, made.step_seconds = tuple(document["metrics"]), int(document["step_seconds"])
            made.factors = {name: float(document["factors"][name]) for name in made.metrics}
            made.origins, weights = int(document["origins"]), document["weights_sha256"]
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"not a model file of {KIND!r}: {error}", code="not_a_model_file", expected=KIND
            ) from error
        if weights != weights_digest():
            raise ModelError(
                f"the weights of the installed {PACKAGE} are not those of this version: install the release that its "
                "manifest names, or train it again",
                code="other_weights",
                expected=weights,
            )
        return made


@cache
def weights_digest() -> str:
    """SHA-256 of the weights of the installed package, 64 hex digits. Raises ModelError: it is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ModelError(
            f"{PACKAGE} is not installed, whose weights this model needs: pip install 'aiops-assets[train]'",
            code="no_weights",
        )
    return hashlib.sha256((Path(found.origin).parent / WEIGHTS).read_bytes()).hexdigest()


@cache
def _network() -> "FracastModel":
    """The network with the weights of the installed package; PyTorch is imported here, when it is first needed."""
    weights_digest()  # says what is missing
    from fracast import FracastModel

    return FracastModel.from_pretrained(weights="fp32", device="cpu")


def _quantiles(history: History, horizon: int) -> Quantiles:
    """The network's quantiles of all metrics, (n_metrics, horizon); those of metrics with hardly a sample are wide."""
    found = _wide(history, horizon)
    enough = np.flatnonzero(history.known[-_context_rows(history) :].sum(axis=0) >= LEAST_ROWS)
    if not len(enough):
        return found
    given = _asked(history, enough, horizon)
    found.middle[enough] = given[..., 1]
    for side, position in ((found.below, 0), (found.above, 2)):
        wide = side[enough]
        side[enough] = np.abs(given[..., position] - given[..., 1])
        still = (side[enough] == 0).all(axis=1)
        # What stood still may not have done so for long.
        seen = np.maximum(history.known[:, enough[still]].sum(axis=0), 1)[:, np.newaxis]
        side[enough[still]] = wide[still] * history.steps(1) / seen
    for side in (found.below, found.above):
        np.maximum.accumulate(side, axis=1, out=side)
    return found


def _asked(history: History, metrics: "np.ndarray[tuple[int], np.dtype[np.intp]]", horizon: int) -> Floats:
    """(n, horizon, 3) lower, median and upper of some metrics by the network."""
    values, known = history.values[:, metrics], history.known[:, metrics]
    near_steps = min(horizon, NEAR_BLOCKS * BLOCK)
    every = -(-horizon // BLOCK)
    coarse = _means(values, known, every)[-CONTEXT_ROWS:] if horizon > near_steps else None
    far_is_known = coarse is not None and (np.isfinite(coarse).sum(axis=0) >= LEAST_ROWS).all()
    recent = np.where(known, values, np.nan)[-_context_rows(history) :]
    near = _ask(recent, near_steps if far_is_known or horizon == near_steps else horizon)
    if not far_is_known or coarse is None:
        return near
    far = np.repeat(_ask(coarse, BLOCK), every, axis=1)[:, :horizon]
    far[:, :near_steps] = near
    return far


def _context_rows(history: History) -> int:
    """Most rows that the network reads of a history in its own steps."""
    return min(CONTEXT_ROWS, CONTEXT_DAYS * steps_a_day(history.step_seconds))


def _ask(context: Floats, horizon: int) -> Floats:
    """(n_rows, n) values, NaN where no sample is -> (n, horizon, 3), in the values' unit."""
    network = _network()
    # Single precision: a small change of a large value is kept by taking away the middle first.
    middle = np.nanmedian(context, axis=0)
    unit = np.nanmax(np.abs(context - middle), axis=0)
    unit = np.where(unit > 0, unit, 1.0)
    with one_torch_thread():
        found = network.forecast_batch(((context - middle) / unit).T, horizon=horizon)
    picked = np.sort(found[..., list(QUANTILES)].astype(np.float64), axis=-1)
    still = np.nanmax(context, axis=0) == np.nanmin(context, axis=0)
    picked[still] = 0.0  # what stood still for all that is known goes on so
    return picked * unit[:, np.newaxis, np.newaxis] + middle[:, np.newaxis, np.newaxis]


def _means(values: Floats, known: Flags, every: int) -> Floats:
    """(n_blocks, n) means of so many rows each, up to the newest; NaN where none has a sample."""
    blocks = len(values) // every
    part, there = (one[len(one) - blocks * every :].reshape(blocks, every, -1) for one in (values, known))
    count = there.sum(axis=1)
    return np.where(count > 0, np.where(there, part, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)


def _wide(history: History, horizon: int) -> Quantiles:
    """The median of the last hour, with an interval that grows as a random walk's, of a metric hardly seen."""
    hour = history.steps(1)
    middle = np.median(history.values[-hour:], axis=0)[:, np.newaxis]
    size = SAMPLE_WIDTH * np.abs(middle) + np.ptp(history.values[-hour:], axis=0)[:, np.newaxis]
    grown = size * np.sqrt(np.arange(1, horizon + 1) / hour)
    return Quantiles(np.repeat(middle, horizon, axis=1), grown, grown.copy())


def _wanted_factors(history: History, origin: int, horizon: int) -> Floats:
    """(n_metrics,) the factor with which 80 % of what came after an origin lies inside; NaN where nothing came."""
    horizon = min(horizon, len(history.times) - origin)
    found = _quantiles(history.until(origin), horizon)
    after = slice(origin, origin + horizon)
    error = np.where(history.known[after], history.values[after], np.nan).T - found.middle
    half = np.where(error < 0, found.below, found.above)
    ratio = np.abs(error) / np.maximum(half, np.finfo(float).tiny)
    ratio = np.where(np.abs(error) > 0, ratio, np.where(np.isfinite(error), 0.0, np.nan))
    wanted = pd.DataFrame(ratio.T).quantile(COVERAGE).to_numpy()
    return np.asarray(wanted, dtype=np.float64)


def _factor(wanted: Floats) -> float:
    """One factor from those of some origins: their mean in logarithms, with a prior of 1."""
    logs = np.log(np.clip(wanted, *FACTOR_BOUNDS))
    return float(np.exp(logs.sum() / (len(logs) + PRIOR_ORIGINS)))

"""predictive-analytics: one forecaster for whatever history is at hand, from a single sample to weeks.

How much is known decides which of its parts forecasts. Each part was fitted, and its intervals calibrated, on origins
at which as much is known: a forecast from one sample is not one from two weeks with gaps.
"""

import io
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from aiops_assets.errors import ModelError
from aiops_assets.learners.contracts import Forecast
from aiops_assets.learners.forecasters.blended import BlendedForecaster
from aiops_assets.learners.forecasters.hourly_baseline import HourlyBaseline, hourly_baseline_of
from aiops_assets.learners.forecasters.learned import MIN_DAYS, LearnedForecaster
from aiops_assets.learners.forecasters.trees import TREES
from aiops_assets.synthetic.habits import varied_series
from aiops_assets.timeseries.history import STEP_SECONDS, History, steps_a_day

HOUR_SECONDS = 3600
LOOKBACK_ROWS = 24
"""ADR-052's look-back: two hours of samples five minutes apart."""
HISTORY, LOOKBACK, SAMPLE, HOURLY = "history", "lookback", "sample", "hourly"
HOURLY_ROWS = 48
"""The engine's 3264 columns hold so many hours of a metric."""
HABITS = 60
"""So many generated histories are learnt from, beside the cluster's own on twelve hourly grids."""
SHORT_PARTS_DAYS = 14
"""The parts that remember less learn from so many of the newest days: more teach them nothing, and take longer."""
FORMAT, FORMATS = 3, (1, 3)
"""In files of the first format each part is trees alone; the second was never released."""


@dataclass(frozen=True)
class Part:
    """The histories that one forecaster is for: their step, their least rows; its memory in rows, and its class."""

    step_seconds: int
    least_rows: int
    memory: int | None
    forecaster: type[LearnedForecaster] = LearnedForecaster


def parts_of(lookback: int = LOOKBACK_ROWS) -> dict[str, Part]:
    """The parts, the one that needs most history first."""
    return {
        HISTORY: Part(STEP_SECONDS, round(MIN_DAYS * steps_a_day(STEP_SECONDS)), None, BlendedForecaster),
        LOOKBACK: Part(STEP_SECONDS, lookback, lookback, BlendedForecaster),
        SAMPLE: Part(STEP_SECONDS, 1, 1),
        HOURLY: Part(HOUR_SECONDS, 1, HOURLY_ROWS, BlendedForecaster),
    }


class PredictiveAnalytics:
    """Forecasts several metrics at once, up to a day ahead, in the steps of the history: five minutes or an hour.

    Args:
        seed: makes the drawn pairs and the trees reproducible.
        trees: "boosting" or "random_forest".
        lookback: least rows, and memory in rows, of the part for histories of less than a day and a half.
        start: a fitted one of the same metrics, for a warm start of boosting.
    """

    def __init__(
        self,
        seed: int = 42,
        trees: str = "boosting",
        lookback: int = LOOKBACK_ROWS,
        start: "PredictiveAnalytics | None" = None,
    ) -> None:
        if trees not in TREES:
            raise ModelError(
                f"no trees {trees!r}: choose from {', '.join(TREES)}",
                code="unknown_trees",
                trees=trees,
                known=tuple(TREES),
            )
        self.lookback = lookback
        self.parts: dict[str, LearnedForecaster] = {
            name: part.forecaster(seed, part.memory, TREES[trees](seed), start.parts[name] if start else None)
            for name, part in parts_of(lookback).items()
        }
        self.hourly_baseline: HourlyBaseline | None = None

    def fit(self, history: History, others: Sequence[History] = ()) -> None:
        """Learn all parts.

        Args:
            history: the cluster's own, in steps of five minutes.
            others: histories of other entities, to the same end.

        Raises:
            ModelError: another step, or no metric has samples to learn from.
        """
        if history.step_seconds != STEP_SECONDS:
            raise ModelError(
                f"a history in steps of {history.step_seconds} s: steps of {STEP_SECONDS} s are needed",
                code="other_steps",
                step_seconds=history.step_seconds,
                known=[STEP_SECONDS],
            )
        every = HOUR_SECONDS // STEP_SECONDS
        newest = history.newest(SHORT_PARTS_DAYS * steps_a_day(STEP_SECONDS))
        for name, part in parts_of(self.lookback).items():
            if part.step_seconds == STEP_SECONDS:
                self.parts[name].fit(newest if part.memory else history, others=others)
            else:
                # The engine samples at any minute of an hour: each of the twelve grids is learnt from.
                hourly, *alike = (newest.sampled(HOUR_SECONDS, phase) for phase in range(every))
                elsewhere = [one.sampled(HOUR_SECONDS) for one in others]
                self.parts[name].fit(hourly, alike=alike, others=[*elsewhere, *_habits(hourly, self.parts[name].seed)])
        self.hourly_baseline = hourly_baseline_of(
            pd.DataFrame(history.values, columns=list(history.metrics)).assign(timestamp=history.times)
        )

    def forecast(self, history: History, horizon: int) -> Forecast:
        """The next steps after a history of the same metrics, five minutes or an hour apart, of one row or more.

        Raises:
            DataError: a horizon of more than a day.
            ModelError: other metrics or another step.
        """
        for name, part in parts_of(self.lookback).items():
            if part.step_seconds == history.step_seconds and len(history.times) >= part.least_rows:
                return self.parts[name].forecast(history, horizon)
        steps = sorted({part.step_seconds for part in parts_of().values()})
        raise ModelError(
            f"a history in steps of {history.step_seconds} s: known are steps of {steps} s",
            code="other_steps",
            step_seconds=history.step_seconds,
            known=steps,
        )

    def why_anew(self, trees: str, lookback: int) -> str:
        """Why a fit with these trees and look-back has no warm start from this one; empty when it has."""
        mine = self.parts[HISTORY].trees
        if trees != mine.name or lookback != self.lookback:
            return f"the champion has {mine.name} and a look-back of {self.lookback} rows"
        return mine.why_anew()

    def to_bytes(self) -> bytes:
        """A joblib file of plain numbers, arrays and scikit-learn's own classes: it loads without this package.

        Raises ModelError: not fitted.
        """
        import joblib

        if self.hourly_baseline is None:
            raise ModelError("the forecaster is not fitted", code="not_fitted")
        document = {
            "format": FORMAT,
            "lookback": self.lookback,
            "parts": {name: forecaster.state() for name, forecaster in self.parts.items()},
            "usual": self.hourly_baseline.to_dict(),
        }
        buffer = io.BytesIO()
        joblib.dump(document, buffer, compress=3)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "PredictiveAnalytics":
        """Read a file made by :meth:`to_bytes`, whose digest was verified before: it is a pickle.

        Raises:
            ModelError: it is of another format.
        """
        import joblib

        try:
            document = joblib.load(io.BytesIO(data))
        except (pickle.UnpicklingError, EOFError, KeyError) as error:
            raise ModelError(f"not a model file of predictive-analytics: {error}", code="not_a_model_file") from None
        if not isinstance(document, Mapping) or document.get("format") not in FORMATS:
            raise ModelError(
                "the model file is of another format: train it again with this release",
                code="other_format",
                format=FORMAT,
            )
        model = cls(lookback=document["lookback"])
        parts: Mapping[str, Any] = document["parts"]
        for name, state in parts.items():
            model.parts[name].restore(state)
        model.hourly_baseline = HourlyBaseline.from_dict(document["usual"])
        return model


def _habits(hourly: History, seed: int) -> list[History]:
    """Generated histories of many habits, as long as the one given.

    The engine's rows of 3264 may be of any namespace, whose metrics are not those of the cluster as a whole.
    """
    width, shape = len(hourly.metrics), (len(hourly.times), len(hourly.metrics))
    values = varied_series(HABITS * width, len(hourly.times), steps_a_day(HOUR_SECONDS), seed)
    known = np.ones(shape, dtype=bool)
    return [
        History(hourly.metrics, hourly.times, values[:, i : i + width], known, HOUR_SECONDS)
        for i in range(0, HABITS * width, width)
    ]

"""ensemble-predictor: different kinds of deviation, each normalised on training rows, added up.

What makes it work (measured: README, "How good it is"): changes instead of levels, since levels drift; kinds that
fail in different ways; sharp terms beside slow ones; scales and alert threshold that keep learning after training.

The kinds are of :mod:`deviations`; scales, terms, score and alerts are those of :mod:`deviation_detector`.
"""

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd

from aiops_assets.errors import ModelError
from aiops_assets.learners.detectors.deviation_detector import (
    CALIBRATION_ARRAYS,
    Calibration,
    DeviationDetector,
    Kinds,
    Term,
)
from aiops_assets.learners.detectors.deviation_scores import MOST_TERM, least_scale
from aiops_assets.learners.detectors.deviations import NOW, Forecast, deviations, fit_forecast
from aiops_assets.learners.detectors.newest_deviations import newest_deviations
from aiops_assets.learners.detectors.raw_rows import Read
from aiops_assets.timeseries.frames import Grid

FORMAT = 3
TERMS: tuple[Term, ...] = (
    Term("volatility", "top", 0.0),
    Term("seasonal", "all", 0.0),
    Term("new_level", "all", 0.0),
    Term("new_level", "all", 6.0),
    Term("new_change", "all", 1.5),
    Term("new_change", "top", 6.0),
    Term("change_1d", "all", 0.0),
    Term("extreme", "all", 6.0),
    Term("forecast_error", "all", 0.0),
)
"""Chosen stepwise on labelled series, as `make tune` does anew."""
KINDS: tuple[str, ...] = tuple(dict.fromkeys((*(term.kind for term in TERMS), *NOW)))
TERMS_OF_FORMAT_1 = (
    Term("change", "all", 0.0),
    Term("change", "top", 1.0),
    Term("change_1h", "all", 0.0),
    Term("seasonal", "all", 0.0),
    Term("forecast_error", "all", 0.5),
    Term("volatility", "top", 6.0),
    Term("level", "all", 6.0),
)
MOST_OF_FORMAT_1 = 20.0
FORMER = {1: (TERMS_OF_FORMAT_1, MOST_OF_FORMAT_1), 2: (TERMS, MOST_TERM)}
"""Format of an earlier release -> its terms, and the most that each counts."""
MIN_STANDARD = 1e-3
"""Errors of a forecast below so many standard deviations are too small to count."""


class EnsemblePredictor(DeviationDetector):
    """Kinds of deviation, added up; arguments as of DeviationDetector."""

    terms = TERMS
    kinds = KINDS
    kinds_of_contributions: tuple[str, ...] = (*NOW, "new_change", "forecast_error")
    least_seen_share = 0.1
    _format = FORMAT
    _forecast: Forecast

    def fit(self, frames: Sequence[pd.DataFrame], step_seconds: int | None = None) -> None:
        """Fit the forecast of changes, scales and threshold to training rows.

        Args:
            frames: one of each entity (a pod, a server), in order of time: ``timestamp`` and the columns.
            step_seconds: cadence of the series; that of the longest frame by default.

        Raises:
            ModelError: fewer than ten rows, or no value at all.
            SchemaError: a column is missing or holds no numbers.
            DataError: no cadence between 10 s and 1 h.
        """
        grids, counters = self._training_grids(frames, step_seconds)
        forecast = fit_forecast([grid.values for grid in grids])
        least = least_scale(np.concatenate([grid.values for grid in grids]))
        floors = {kind: MIN_STANDARD if kind == "forecast_error" else least for kind in self.kinds}
        found = [deviations(grid, forecast, self.kinds) for grid in grids]
        self._forecast, self._calibration = forecast, self._calibrate(grids, found, floors, counters)

    def _deviations(self, grid: Grid) -> Kinds:
        return deviations(grid, self._forecast, self.kinds)

    def newest_deviations(self, rows: Read, first: int) -> Kinds:
        """As DeviationDetector has it."""
        return newest_deviations(rows, first, self.step_seconds, self._forecast, self.kinds)

    def to_bytes(self) -> bytes:
        """The fitted detector as JSON: numbers only, nothing that runs when it is read."""
        calibration = self._require_fitted()
        document: dict[str, Any] = {
            "format": self._format,
            "columns": self.columns,
            "alert_budget": self.alert_budget,
            "step_seconds": calibration.step_seconds,
            "rows": calibration.rows,
            "forecast": {field.name: getattr(self._forecast, field.name).tolist() for field in fields(Forecast)},
            "kinds": self.kinds,
            **{name: getattr(calibration, name).tolist() for name in CALIBRATION_ARRAYS},
        }
        return json.dumps(document, allow_nan=False).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "EnsemblePredictor":
        """Read a file made by :meth:`to_bytes`.

        Raises:
            ModelError: it is none, or of another format.
        """
        try:
            document = json.loads(data)
            detector = cls(document["columns"], document["alert_budget"])
            if document["format"] in FORMER:
                detector._read_as_former(document, *FORMER[document["format"]])
            elif document["format"] != FORMAT:
                raise ModelError(
                    "the model file is of another format: train it again with this release", code="other_format"
                )
            if tuple(document["kinds"]) != detector.kinds:
                raise ModelError("not a model file of ensemble-predictor: it has other kinds of deviation")
            detector._forecast = Forecast(**{name: np.array(value) for name, value in document["forecast"].items()})
            arrays = {name: np.array(document[name]) for name in CALIBRATION_ARRAYS}
            detector._calibration = Calibration(int(document["step_seconds"]), int(document["rows"]), **arrays)
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"not a model file of ensemble-predictor: {error}") from None
        return detector

    def _read_as_former(self, document: dict[str, Any], terms: tuple[Term, ...], most_term: float) -> None:
        """Take a file of an earlier release: other terms, and no usable scales of what is unusual now."""
        self._format, self.terms, self.most_term = document["format"], terms, most_term
        self.kinds = tuple(dict.fromkeys(term.kind for term in self.terms))
        self.kinds_of_contributions = tuple(kind for kind in self.kinds if kind != "volatility")
        at = [document["kinds"].index(kind) for kind in self.kinds]
        document |= {name: [document[name][i] for i in at] for name in ("quantile", "mean")}
        document |= {"kinds": list(self.kinds), "now": []}
        document.setdefault("rows", len(document["scores"]))
        document.setdefault("counters", [0.0] * len(self.columns))

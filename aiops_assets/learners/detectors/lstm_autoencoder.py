"""lstm-predictor: how badly an LSTM encoder-decoder writes out the newest row of a window, as a window detector.

1. The network (:mod:`lstm_network`) gives two errors of each metric in each row: of its change to the row before, and
   of its level within the last 16 rows.
2. Scales, terms, score and alerts are those of :mod:`deviation_detector`, so that a network that ages does not make
   every row anomalous. Terms are over all metrics at once and over an hour, and over the fifth with the largest errors
   over an hour.

PyTorch is imported when it is needed.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from aiops_assets.errors import ModelError
from aiops_assets.learners.contracts import Flags
from aiops_assets.learners.detectors.alert_rule import ALERT_BUDGET
from aiops_assets.learners.detectors.deviation_detector import (
    CALIBRATION_ARRAYS,
    Calibration,
    DeviationDetector,
    Kinds,
    Term,
)
from aiops_assets.learners.detectors.deviation_scores import MOST_TERM, least_scale
from aiops_assets.learners.detectors.deviations import NOW, deviations
from aiops_assets.learners.detectors.newest_deviations import newest_deviations
from aiops_assets.learners.detectors.raw_rows import Read
from aiops_assets.learners.detectors.rolling import rolling_mean
from aiops_assets.learners.threads import one_torch_thread
from aiops_assets.timeseries.frames import Grid
from aiops_assets.timeseries.series import Floats

if TYPE_CHECKING:
    from torch import Tensor

    from aiops_assets.learners.detectors.lstm_network import Network, Windows

FORMAT = 3
VALIDATION_SHARE = 0.15
"""Share of each entity's train rows, its newest, that are the validation split of training."""
MOST_OF_FORMER = {1: 20.0, 2: MOST_TERM}
"""Format of an earlier release -> how much a term counts at most."""
MIN_ERROR = 0.1
"""Errors below this share of a metric's mean signal are the network's own noise."""
SIGNALS = ("change", "level")
"""``lstm_network.SIGNALS``, which cannot be imported without torch."""
KINDS: tuple[str, ...] = (*SIGNALS, *NOW)
OVER = (("all", 0.0), ("all", 1.0), ("top", 1.0))
"""Each kind is averaged over these metrics (all, or the fifth that is largest), and smoothed over so many hours."""


class LstmAutoencoder(DeviationDetector):
    """Two errors of a network that writes windows out, as kinds of deviation.

    Args:
        columns, alert_budget: as in :class:`DeviationDetector`.
        seed: makes the first weights and the order of training reproducible.
    """

    terms = tuple(Term(kind, over, hours) for kind in SIGNALS for over, hours in OVER)
    kinds = KINDS
    kinds_of_contributions = SIGNALS
    _network: "Network"
    _losses: Floats
    """Losses of the validation split before training and after each epoch."""

    def __init__(self, columns: Sequence[str], alert_budget: float = ALERT_BUDGET, seed: int = 42) -> None:
        super().__init__(columns, alert_budget)
        self.seed = seed
        self._file: bytes | None = None

    def fit(
        self,
        frames: Sequence[pd.DataFrame],
        step_seconds: int | None = None,
        start: "LstmAutoencoder | None" = None,
    ) -> None:
        """Train the network, and fit scales and threshold to training rows.

        The newest 15 % of each frame are the validation split: training ends early when its loss falls no more.

        Args:
            frames: one of each entity (a pod, a server), in order of time: ``timestamp`` and the columns.
            step_seconds: cadence of the series; that of the longest frame by default.
            start: a fitted detector for a warm start: from its weights and its units of the signals, fewer epochs.

        Raises:
            ModelError: fewer than ten rows, no value at all, or a ``start`` of other columns or another cadence.
            SchemaError: a column is missing or holds no numbers.
            DataError: no cadence between 10 s and 1 h.
        """

        with one_torch_thread():
            self._learn(*self._training_grids(frames, step_seconds), start)

    def _learn(self, grids: Sequence[Grid], counters: Flags, start: "LstmAutoencoder | None") -> None:
        from aiops_assets.learners.detectors import lstm_network

        if start is None:
            network = lstm_network.new_network(_signal_scale(grids, lstm_network.WINDOW + 1), self.seed)
        else:
            network = self._warm_start(start, grids[0].step_seconds)
        windows = lstm_network.Windows([grid.values for grid in grids])
        training, validation = _training_and_validation(windows, grids)
        losses = lstm_network.train(network, windows, training, validation, self.seed, warm_start=start is not None)
        found = [_errors(network, grid, KINDS) for grid in grids]
        least = _least_scale(grids)
        floors = {kind: MIN_ERROR if kind in SIGNALS else least for kind in KINDS}
        self._calibration = self._calibrate(grids, found, floors, counters)
        self._network, self._losses, self._file = network, np.array(losses), None

    def _deviations(self, grid: Grid) -> Kinds:
        return _errors(self._network, grid, self.kinds)

    def newest_deviations(self, rows: Read, first: int) -> Kinds:
        """As DeviationDetector has it."""
        from aiops_assets.learners.detectors import lstm_network

        least = max(0, first - lstm_network.WINDOW)
        stretches = list(np.ascontiguousarray(rows.part(least, rows.shape[0]).swapaxes(0, 1)))
        errors = lstm_network.newest_errors(self._network, stretches, first - least)
        signals = {name: errors[:, :, i].swapaxes(0, 1) for i, name in enumerate(lstm_network.SIGNALS)}
        others = [kind for kind in self.kinds if kind not in signals]
        return {**signals, **newest_deviations(rows, first, self.step_seconds, None, others)}

    def to_bytes(self) -> bytes:
        """The fitted detector as one archive of torch.export (.pt2), which plain PyTorch loads and runs.

        The program in it maps windows to errors, see ``Network.forward`` in :mod:`lstm_network`: (n, 17, n_columns)
        float64 raw samples, NaN where unknown, to (n, 2, n_columns). Its extra file ``detector.json`` holds the rest:
        columns, cadence, scales, thresholds. Verify the digest before ``torch.export.load`` reads an archive: unlike
        :meth:`from_bytes`, that may run what is in it.
        """
        from aiops_assets.learners.detectors import lstm_network

        calibration = self._require_fitted()
        if self._file is None:
            document: dict[str, Any] = {
                "format": FORMAT,
                "columns": self.columns,
                "alert_budget": self.alert_budget,
                "seed": self.seed,
                "step_seconds": calibration.step_seconds,
                "rows": calibration.rows,
                "window": lstm_network.WINDOW,
                "signals": lstm_network.SIGNALS,
                "losses": self._losses.tolist(),
                **{name: getattr(calibration, name).tolist() for name in CALIBRATION_ARRAYS},
                "hours": calibration.hours[: len(OVER)].tolist(),  # the same of each kind
            }
            self._file = lstm_network.to_file(self._network, document)
        return self._file

    @classmethod
    def from_bytes(cls, data: bytes) -> "LstmAutoencoder":
        """Read a file made by :meth:`to_bytes`; nothing in it is run.

        Raises:
            ModelError: it is none, damaged, or of another format.
        """
        from aiops_assets.learners.detectors import lstm_network

        try:
            document = lstm_network.read_document(data)
            detector = cls(document["columns"], float(document["alert_budget"]), int(document["seed"]))
            if document["format"] in MOST_OF_FORMER:
                detector._read_as_former(document)
            shape = [lstm_network.WINDOW, list(lstm_network.SIGNALS)]
            if (
                document["format"] not in (*MOST_OF_FORMER, FORMAT)
                or [document["window"], document["signals"]] != shape
            ):
                raise ModelError(
                    "the model file is of another format: train it again with this release", code="other_format"
                )
            arrays = {name: np.array(document[name], dtype=np.float64) for name in ("losses", *CALIBRATION_ARRAYS)}
            step_seconds = int(document["step_seconds"])
            _check(arrays, step_seconds, len(detector.columns), detector.kinds)
            detector._losses = arrays.pop("losses")
            arrays["hours"] = np.tile(arrays["hours"], len(SIGNALS))
            detector._network = lstm_network.read_network(data, len(detector.columns))
            detector._calibration = Calibration(step_seconds, int(document["rows"]), **arrays)
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"not a model file of lstm-predictor: {error}") from None
        detector._file = data
        return detector

    def _read_as_former(self, document: dict[str, Any]) -> None:
        """Take a file of an earlier release, which has no usable scales of what is unusual now."""
        self.kinds, self.most_term = SIGNALS, MOST_OF_FORMER[document["format"]]
        document |= {name: document[name][: len(SIGNALS)] for name in ("quantile", "mean")}
        document["now"] = []
        document.setdefault("rows", len(document["scores"]))
        document.setdefault("counters", [0.0] * len(self.columns))

    @property
    def validation_losses(self) -> tuple[float, ...]:
        """Losses of the validation split before training and after each epoch."""
        self._require_fitted()
        return tuple(self._losses.tolist())

    def _warm_start(self, start: "LstmAutoencoder", step_seconds: int) -> "Network":
        """A copy of another detector's network, for a warm start. Raises ModelError: other columns or cadence."""
        import copy

        calibration = start._require_fitted()
        if start.columns != self.columns:
            differing = sorted(set(self.columns) ^ set(start.columns))
            raise ModelError(
                f"no warm start from a detector of {len(start.columns)} columns for one of {len(self.columns)}: "
                f"{differing[0] if differing else 'the order of the columns'} differs, train from scratch",
                code="other_columns" if differing else "other_order",
                before=start.columns,
                columns=self.columns,
                differing=differing,
            )
        if calibration.step_seconds != step_seconds:
            raise ModelError(
                f"no warm start from a detector of rows {calibration.step_seconds} s apart for rows {step_seconds} s "
                "apart: train from scratch",
                code="other_cadence",
                before=calibration.step_seconds,
                step_seconds=step_seconds,
            )
        return copy.deepcopy(start._network)


def _training_and_validation(windows: "Windows", grids: Sequence[Grid]) -> "tuple[Tensor, Tensor]":
    """Ends of the windows of the training and of the validation split; none ends in a row without any value."""
    import torch

    training, validation = [], []
    for ends, grid in zip(windows.ends, grids, strict=True):
        known = ends[np.isfinite(grid.values).any(axis=1)]
        first = len(known) - int(VALIDATION_SHARE * len(known))
        training.append(known[:first])
        validation.append(known[first:])
    both = [torch.from_numpy(np.concatenate(part)) for part in (training, validation)]
    return both[0], both[1] if len(both[1]) else both[0]  # many entities of a few rows each: nothing to split off


def _signal_scale(grids: Sequence[Grid], window: int) -> Floats:
    """(2, n_metrics): mean absolute change, and mean distance to the mean of a window, over the training rows."""
    signals = (
        [np.abs(np.diff(grid.values, axis=0)) for grid in grids],
        [np.abs(grid.values - rolling_mean(grid.values, window)) for grid in grids],
    )
    return np.stack([_known_mean(np.concatenate(parts)) + _least_scale(grids) for parts in signals])


def _least_scale(grids: Sequence[Grid]) -> Floats:
    return least_scale(np.concatenate([grid.values for grid in grids]))


def _known_mean(values: Floats) -> Floats:
    """(n_metrics,) mean over the rows of what is known; 0 where nothing is."""
    known = np.isfinite(values)
    return np.where(known, values, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)


def _errors(network: "Network", grid: Grid, kinds: Sequence[str]) -> Kinds:
    """Kind -> (n_rows, n_metrics): errors of the signals in units of the metric's mean signal in training, and NOW."""
    from aiops_assets.learners.detectors import lstm_network

    errors = dict(zip(lstm_network.SIGNALS, lstm_network.errors(network, grid.values).swapaxes(0, 1), strict=True))
    return {**errors, **deviations(grid, None, [kind for kind in kinds if kind not in errors])}


def _check(arrays: Mapping[str, Floats], step_seconds: int, n_columns: int, kinds: Sequence[str]) -> None:
    """Raises ValueError: arrays of other shapes than fitting leaves, or values that are not finite."""
    scales, terms = (len(kinds), n_columns), (len(SIGNALS) * len(OVER),)
    of_now = (len(NOW) if kinds == KINDS else 0,)
    shapes = {"quantile": scales, "mean": scales, "middle": terms, "spread": terms, "hours": (len(OVER),)}
    shapes |= {"counters": (n_columns,), "now": of_now}
    for name, values in arrays.items():
        if values.shape != shapes.get(name, values.shape) or not (values.size or name == "now"):
            raise ValueError(f"{name} has the shape {values.shape}")
        if not np.isfinite(values).all():
            raise ValueError(f"{name} holds values that are not finite")
    if step_seconds < 1 or (arrays["spread"] <= 0).any() or (arrays["now"] <= 0).any():
        raise ValueError("a cadence or a spread is not positive")

"""lstm-predictor: how badly an LSTM encoder-decoder writes out the newest row of a window, as a window detector.

1. The network (:mod:`lstm_network`) gives two errors of each metric in each row: of its change to the row before, and
   of its level within the last 16 rows.
2. Scales, terms, score and alerts are those of :mod:`deviation_detector`. So a network that ages does not make every
   row unusual. Terms are over all metrics at once and over an hour, and over the fifth with the largest errors over an
   hour.

PyTorch is imported when it is needed.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from aiops_assets.errors import ModelError
from aiops_assets.learners.detectors.deviation_detector import USUAL_ARRAYS, DeviationDetector, Kinds, Term, Usual
from aiops_assets.learners.detectors.deviation_scores import ALERT_BUDGET, least_scale, training_grids
from aiops_assets.learners.detectors.deviations import rolling_mean
from aiops_assets.timeseries.frames import Grid
from aiops_assets.timeseries.series import Floats

if TYPE_CHECKING:
    from torch import Tensor

    from aiops_assets.learners.detectors.lstm_network import Network, Windows

FORMAT = 1
HELD_BACK = 0.15
"""Share of each entity's train rows, its newest, that training is judged by and does not learn from."""
LEAST_ERROR = 0.1
"""In units of a metric's usual signal: smaller errors are the network's own noise."""
KINDS = ("change", "level")
"""``lstm_network.SIGNALS``, which cannot be imported without torch."""
OVER = (("all", 0.0), ("all", 1.0), ("top", 1.0))
"""Over which metrics (all, or the fifth that is largest), and over how many hours; of each kind."""


class LstmAutoencoder(DeviationDetector):
    """Two errors of a network that writes windows out, as kinds of deviation.

    Args:
        columns, alert_budget: as of DeviationDetector.
        seed: of the first weights and of the order of training.
    """

    terms = tuple(Term(kind, over, hours) for kind in KINDS for over, hours in OVER)
    kinds = kinds_of_now = KINDS
    least_spread = 1e-3
    _network: "Network"
    _losses: Floats
    """Of the held-back windows before training and after each epoch."""

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
        """Learn from training rows what is usual.

        The newest 15 % of each frame are held back: training ends early when they are no longer written out better.

        Args:
            frames: one of each entity (a pod, a server), in order of time: ``timestamp`` and the columns.
            step_seconds: cadence of the series; that of the longest frame by default.
            start: a fitted detector to go on from: its weights and its units of the signals, fewer epochs.

        Raises:
            ModelError: fewer than ten rows, no value at all, or a ``start`` of other columns or another cadence.
            SchemaError: a column is missing or holds no numbers.
            DataError: no cadence between 10 s and 1 h.
        """
        from aiops_assets.learners.detectors import lstm_network

        with lstm_network.one_thread():
            self._learn(training_grids(frames, self.columns, step_seconds), start)

    def _learn(self, grids: Sequence[Grid], start: "LstmAutoencoder | None") -> None:
        from aiops_assets.learners.detectors import lstm_network

        if start is None:
            network = lstm_network.new_network(_signal_scale(grids, lstm_network.WINDOW + 1), self.seed)
        else:
            network = self._continued(start, grids[0].step_seconds)
        windows = lstm_network.Windows([grid.values for grid in grids])
        learnt, held_back = _learnt_and_held_back(windows, grids)
        losses = lstm_network.train(network, windows, learnt, held_back, self.seed, continued=start is not None)
        found = [_errors(network, grid) for grid in grids]
        self._usual = self._calibrated(grids, found, dict.fromkeys(KINDS, LEAST_ERROR))
        self._network, self._losses, self._file = network, np.array(losses), None

    def _deviations(self, grid: Grid) -> Kinds:
        return _errors(self._network, grid)

    def to_bytes(self) -> bytes:
        """The fitted detector as one archive of torch.export (.pt2), which plain PyTorch loads and runs.

        The program in it maps windows to errors, see ``Network.forward`` in :mod:`lstm_network`: (n, 17, n_columns)
        float64 raw samples, NaN where unknown, to (n, 2, n_columns). Its extra file ``detector.json`` holds the rest:
        columns, cadence, scales, thresholds. Verify the digest before ``torch.export.load`` reads an archive: unlike
        :meth:`from_bytes`, that may run what is in it.
        """
        from aiops_assets.learners.detectors import lstm_network

        usual = self._fitted()
        if self._file is None:
            document: dict[str, Any] = {
                "format": FORMAT,
                "columns": self.columns,
                "alert_budget": self.alert_budget,
                "seed": self.seed,
                "step_seconds": usual.step_seconds,
                "window": lstm_network.WINDOW,
                "signals": lstm_network.SIGNALS,
                "losses": self._losses.tolist(),
                **{name: getattr(usual, name).tolist() for name in USUAL_ARRAYS},
                "hours": usual.hours[: len(OVER)].tolist(),  # the same of each kind
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
            shape = [FORMAT, lstm_network.WINDOW, list(lstm_network.SIGNALS)]
            if [document["format"], document["window"], document["signals"]] != shape:
                raise ModelError(
                    "the model file is of another format: train it again with this release", code="other_format"
                )
            detector = cls(document["columns"], float(document["alert_budget"]), int(document["seed"]))
            arrays = {name: np.array(document[name], dtype=np.float64) for name in ("losses", *USUAL_ARRAYS)}
            step_seconds = int(document["step_seconds"])
            _check(arrays, step_seconds, len(detector.columns))
            detector._losses = arrays.pop("losses")
            arrays["hours"] = np.tile(arrays["hours"], len(KINDS))
            detector._network = lstm_network.read_network(data, len(detector.columns))
            detector._usual = Usual(step_seconds, **arrays)
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"not a model file of lstm-predictor: {error}") from None
        detector._file = data
        return detector

    @property
    def held_back_losses(self) -> tuple[float, ...]:
        """Loss of the held-back windows before training and after each epoch."""
        self._fitted()
        return tuple(self._losses.tolist())

    def _continued(self, start: "LstmAutoencoder", step_seconds: int) -> "Network":
        """A copy of another detector's network."""
        import copy

        usual = start._fitted()
        if start.columns != self.columns:
            differing = sorted(set(self.columns) ^ set(start.columns))
            raise ModelError(
                f"cannot go on from a detector of {len(start.columns)} columns with one of {len(self.columns)}: "
                f"{differing[0] if differing else 'the order of the columns'} differs, train from scratch",
                code="other_columns" if differing else "other_order",
                before=start.columns,
                columns=self.columns,
                differing=differing,
            )
        if usual.step_seconds != step_seconds:
            raise ModelError(
                f"cannot go on from a detector of rows {usual.step_seconds} s apart with rows {step_seconds} s apart: "
                "train from scratch",
                code="other_cadence",
                before=usual.step_seconds,
                step_seconds=step_seconds,
            )
        return copy.deepcopy(start._network)


def _learnt_and_held_back(windows: "Windows", grids: Sequence[Grid]) -> "tuple[Tensor, Tensor]":
    """Ends of the windows to learn from and of those that judge; none ends in a row without any value."""
    import torch

    learnt, held_back = [], []
    for ends, grid in zip(windows.ends, grids, strict=True):
        known = ends[np.isfinite(grid.values).any(axis=1)]
        first = len(known) - int(HELD_BACK * len(known))
        learnt.append(known[:first])
        held_back.append(known[first:])
    both = [torch.from_numpy(np.concatenate(part)) for part in (learnt, held_back)]
    return both[0], both[1] if len(both[1]) else both[0]  # many entities of a few rows each: nothing to hold back


def _signal_scale(grids: Sequence[Grid], window: int) -> Floats:
    """(2, n_metrics): the mean absolute change, and distance to the mean of a window, of the training rows."""
    signals = (
        [np.abs(np.diff(grid.values, axis=0)) for grid in grids],
        [np.abs(grid.values - rolling_mean(grid.values, window)) for grid in grids],
    )
    least = least_scale(np.concatenate([grid.values for grid in grids]))
    return np.stack([_known_mean(np.concatenate(parts)) + least for parts in signals])


def _known_mean(values: Floats) -> Floats:
    """Over the rows; 0 where nothing is known."""
    known = np.isfinite(values)
    return np.where(known, values, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)


def _errors(network: "Network", grid: Grid) -> Kinds:
    """Of each signal, in units of what is usual of the metric."""
    from aiops_assets.learners.detectors import lstm_network

    return dict(zip(lstm_network.SIGNALS, lstm_network.errors(network, grid.values).swapaxes(0, 1), strict=True))


def _check(arrays: Mapping[str, Floats], step_seconds: int, n_columns: int) -> None:
    """Raises ValueError: arrays of other shapes than fitting leaves, or values that are not finite."""
    scales, terms = (len(KINDS), n_columns), (len(KINDS) * len(OVER),)
    shapes = {"quantile": scales, "mean": scales, "middle": terms, "spread": terms, "hours": (len(OVER),)}
    for name, values in arrays.items():
        if values.shape != shapes.get(name, values.shape) or not values.size:
            raise ValueError(f"{name} has the shape {values.shape}")
        if not np.isfinite(values).all():
            raise ValueError(f"{name} holds values that are not finite")
    if step_seconds < 1 or (arrays["spread"] <= 0).any():
        raise ValueError("a cadence or a spread is not positive")

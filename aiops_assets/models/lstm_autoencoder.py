"""lstm-predictor: how badly an LSTM encoder-decoder writes out the newest row of a window, as a window detector.

1. The network (:mod:`lstm_network`) gives two errors of each metric in each row: of its change to the row before, and
   of its level within the last 16 rows.
2. Each is divided by a scale: the training rows' 99 % quantile, corrected by how large the metric's errors have been
   lately compared with training. So a network that ages does not make every row unusual.
3. Terms are means over the metrics: over all of them at once and over an hour, and over the fifth with the largest
   errors over an hour. A term's training median is 0 and its 99 % quantile 1; the score is the sum of the terms.
4. An alert is a score above the trailing quantile of the last seven days that the asked budget leaves.

Scales, terms and alerts follow ensemble-predictor, whose constants they share. PyTorch is imported when it is needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from aiops_assets.errors import ModelError
from aiops_assets.models.base import Scored
from aiops_assets.models.deviation_scores import (
    ALERT_BUDGET,
    KEPT_SCORES,
    LEAST_TRAIN_ROWS,
    SCALE_QUANTILE,
    contributions,
    learnt_ratios,
    least_scale,
    require_budget,
    shares,
    smoothing_hours,
    thinned,
    total,
    trailing_threshold,
    training_grids,
)
from aiops_assets.models.deviations import rolling_mean
from aiops_assets.timeseries.frames import Grid, fits, on_grid
from aiops_assets.timeseries.series import Floats

if TYPE_CHECKING:
    from torch import Tensor

    from aiops_assets.models.lstm_network import Network, Windows

FORMAT = 1
HELD_BACK = 0.15
"""Share of each entity's train rows, its newest, that training is judged by and does not learn from."""
LEAST_ERROR = 0.1
"""In units of a metric's usual signal: smaller errors are the network's own noise."""
LEAST_SPREAD = 1e-3
TERMS = (("all", 0.0), ("all", 1.0), ("top", 1.0))
"""Over which metrics (all, or the fifth that is largest), and over how many hours; of each signal."""


@dataclass(frozen=True)
class _State:
    """What fitting leaves beside the network.

    ``quantile`` and ``mean`` are (2, n_metrics) of training errors, 0 where there was none; ``hours`` (smoothing),
    ``middle`` and ``spread`` (n_terms,); ``scores`` up to 1,000 training scores in order of size; ``losses`` the
    held-back loss before training and after each epoch.
    """

    step_seconds: int
    losses: Floats
    quantile: Floats
    mean: Floats
    hours: Floats
    middle: Floats
    spread: Floats
    scores: Floats


_ARRAYS = ("losses", "quantile", "mean", "hours", "middle", "spread", "scores")


class LstmAutoencoder:
    """A window detector over any numeric columns.

    Args:
        columns: which, in order.
        alert_budget: share of the time that may be under alert, 0 to 0.5.
        seed: of the first weights and of the order of training.
    """

    def __init__(self, columns: Sequence[str], alert_budget: float = ALERT_BUDGET, seed: int = 42) -> None:
        require_budget(columns, alert_budget)
        self.columns = tuple(columns)
        self.alert_budget = alert_budget
        self.seed = seed
        self._parts: tuple[Network, _State] | None = None
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
        grids = training_grids(frames, self.columns, step_seconds)
        step = grids[0].step_seconds
        from aiops_assets.models import lstm_network

        if start is None:
            network = lstm_network.new_network(_signal_scale(grids, lstm_network.WINDOW + 1), self.seed)
        else:
            network = self._continued(start, step)
        windows = lstm_network.Windows([grid.values for grid in grids])
        learnt, held_back = _learnt_and_held_back(windows, grids)
        losses = lstm_network.train(network, windows, learnt, held_back, self.seed, continued=start is not None)
        self._parts = network, _calibrated(network, grids, np.array(losses))
        self._file = None

    def score(self, frame: pd.DataFrame) -> Scored:
        """Score, alert and contributions of every row of one entity's frame, from this and earlier rows.

        Raises:
            ModelError: not fitted, or rows at another cadence than the training rows.
            SchemaError: a column is missing or holds no numbers.
        """
        from aiops_assets.models import lstm_network

        network, state = self._fitted()
        if not fits(frame["timestamp"], state.step_seconds):
            raise ModelError(f"rows of another cadence than {state.step_seconds} s, that of training: resample them")
        grid = on_grid(frame, self.columns, state.step_seconds)
        ratios = _ratios(lstm_network.errors(network, grid.values), grid, state)
        score = _total(_terms(ratios, grid, state), state)
        known = np.isfinite(grid.values).any(axis=1)
        score[~known] = state.scores[0]  # nothing is known: nothing is said
        alert = (score > trailing_threshold(state.scores, score, grid, self.alert_budget)) & known
        at = grid.position
        return Scored(score[at], alert[at], contributions(ratios.swapaxes(0, 1), grid)[at])

    def to_bytes(self) -> bytes:
        """The fitted detector as one archive of torch.export (.pt2), which plain PyTorch loads and runs.

        The program in it maps windows to errors, see ``Network.forward`` in :mod:`lstm_network`: (n, 17, n_columns)
        float64 raw samples, NaN where unknown, to (n, 2, n_columns). Its extra file ``detector.json`` holds the rest:
        columns, cadence, scales, thresholds. Verify the digest before ``torch.export.load`` reads an archive: unlike
        :meth:`from_bytes`, that may run what is in it.
        """
        from aiops_assets.models import lstm_network

        network, state = self._fitted()
        if self._file is None:
            document: dict[str, Any] = {
                "format": FORMAT,
                "columns": self.columns,
                "alert_budget": self.alert_budget,
                "seed": self.seed,
                "step_seconds": state.step_seconds,
                "window": lstm_network.WINDOW,
                "signals": lstm_network.SIGNALS,
                **{name: getattr(state, name).tolist() for name in _ARRAYS},
            }
            self._file = lstm_network.to_file(network, document)
        return self._file

    @classmethod
    def from_bytes(cls, data: bytes) -> "LstmAutoencoder":
        """Read a file made by :meth:`to_bytes`; nothing in it is run.

        Raises:
            ModelError: it is none, damaged, or of another format.
        """
        from aiops_assets.models import lstm_network

        try:
            document = lstm_network.read_document(data)
            shape = [FORMAT, lstm_network.WINDOW, list(lstm_network.SIGNALS)]
            if [document["format"], document["window"], document["signals"]] != shape:
                raise ModelError("the model file is of another format: train it again with this release")
            detector = cls(document["columns"], float(document["alert_budget"]), int(document["seed"]))
            arrays = {name: np.array(document[name], dtype=np.float64) for name in _ARRAYS}
            state = _State(int(document["step_seconds"]), **arrays)
            _check(state, len(detector.columns))
            detector._parts = lstm_network.read_network(data, len(detector.columns)), state
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"not a model file of lstm-predictor: {error}") from None
        detector._file = data
        return detector

    @property
    def step_seconds(self) -> int:
        """Cadence of the training rows."""
        return self._fitted()[1].step_seconds

    @property
    def held_back_losses(self) -> tuple[float, ...]:
        """Loss of the held-back windows before training and after each epoch."""
        return tuple(self._fitted()[1].losses.tolist())

    def _fitted(self) -> "tuple[Network, _State]":
        if self._parts is None:
            raise ModelError("the detector is not fitted")
        return self._parts

    def _continued(self, start: "LstmAutoencoder", step_seconds: int) -> "Network":
        """A copy of another detector's network."""
        import copy

        network, state = start._fitted()
        if start.columns != self.columns:
            differing = sorted(set(self.columns) ^ set(start.columns)) or ["the order of the columns"]
            raise ModelError(
                f"cannot go on from a detector of {len(start.columns)} columns with one of {len(self.columns)}: "
                f"{differing[0]} differs, train from scratch"
            )
        if state.step_seconds != step_seconds:
            raise ModelError(
                f"cannot go on from a detector of rows {state.step_seconds} s apart with rows {step_seconds} s apart: "
                "train from scratch"
            )
        return copy.deepcopy(network)


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


def _calibrated(network: "Network", grids: Sequence[Grid], losses: Floats) -> _State:
    """What is usual of a trained network's errors, terms and scores on the training rows."""
    from aiops_assets.models import lstm_network

    found = [lstm_network.errors(network, grid.values) for grid in grids]
    together = np.concatenate(found)
    count = np.isfinite(together).sum(axis=0)
    at = np.maximum(np.ceil(SCALE_QUANTILE * count).astype(int) - 1, 0)
    upper = np.take_along_axis(np.sort(together, axis=0), at[np.newaxis], axis=0)[0]  # NaN are last
    seen = count >= LEAST_TRAIN_ROWS // 2
    quantile = np.where(seen, np.nan_to_num(upper, nan=0.0) + LEAST_ERROR, 0.0)
    mean = np.where(seen, _known_mean(together) + LEAST_ERROR, 0.0)
    step = grids[0].step_seconds
    hours = smoothing_hours([hours for _, hours in TERMS], grids)
    n_terms = len(lstm_network.SIGNALS) * len(TERMS)
    draft = _State(step, losses, quantile, mean, hours, np.zeros(n_terms), np.ones(n_terms), np.zeros(0))
    terms = np.concatenate([_terms(_ratios(e, grid, draft), grid, draft) for e, grid in zip(found, grids, strict=True)])
    terms = terms[np.concatenate([np.isfinite(grid.values).any(axis=1) for grid in grids])]
    middle, most = np.quantile(terms, [0.5, SCALE_QUANTILE], axis=0)
    normalised = replace(draft, middle=middle, spread=np.maximum(most - middle, LEAST_SPREAD))
    return replace(normalised, scores=thinned(np.sort(_total(terms, normalised)), KEPT_SCORES))


def _ratios(found: Floats, grid: Grid, state: _State) -> Floats:
    """(n_rows, 2, n_metrics) errors in units of a scale that keeps learning; NaN where unknown."""
    signals = range(found.shape[1])
    return np.stack([learnt_ratios(found[:, i], state.quantile[i], state.mean[i], grid) for i in signals], axis=1)


def _terms(ratios: Floats, grid: Grid, state: _State) -> Floats:
    """(n_rows, 2 * n_terms), smoothed, not yet normalised."""
    return np.stack(
        [
            rolling_mean(shares(ratios[:, i], over).sum(axis=1), grid.rows(hours))
            for i in range(ratios.shape[1])
            for (over, _), hours in zip(TERMS, state.hours, strict=True)
        ],
        axis=1,
    )


def _total(terms: Floats, state: _State) -> Floats:
    return total(terms, state.middle, state.spread)


def _check(state: _State, n_columns: int) -> None:
    """Raises ValueError: arrays of other shapes than fitting leaves, or values that are not finite."""
    terms = (2 * len(TERMS),)
    shapes = {"quantile": (2, n_columns), "mean": (2, n_columns), "middle": terms, "spread": terms}
    for name in _ARRAYS:
        values = getattr(state, name)
        if values.shape != shapes.get(name, (len(TERMS),) if name == "hours" else values.shape) or not values.size:
            raise ValueError(f"{name} has the shape {values.shape}")
        if not np.isfinite(values).all():
            raise ValueError(f"{name} holds values that are not finite")
    if state.step_seconds < 1 or (state.spread <= 0).any():
        raise ValueError("a cadence or a spread is not positive")

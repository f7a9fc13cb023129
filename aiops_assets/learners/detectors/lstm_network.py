"""The network of lstm-predictor: an LSTM encoder-decoder over windows of samples, its training and its file.

Malhotra et al., "LSTM-based Encoder-Decoder for Multi-sensor Anomaly Detection", ICML workshop 2016: an encoder reads a
window, a decoder reconstructs it from the little that was kept, newest row first; where it fails, the row is anomalous.

This module needs PyTorch: import it where a network is needed, not at the top of a module.
"""

import copy
import io
import json
import math
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from aiops_assets.errors import ModelError
from aiops_assets.timeseries.series import Floats

WINDOW = 16
"""Steps that are reconstructed; one row more is read, since a step goes from a row to the next."""
SIGNALS = ("change", "level")
HIDDEN = 32
LATENT = 8
"""Numbers that are kept of a window, whatever its width: with room for everything, anomalies too would be reconstructed
well."""
MAX_SHOWN = 6.0
"""The network is shown signals of at most so many scales, so that one spike does not drown the window."""
MAX_SIGNAL = 1000.0
BATCH = 128
EPOCHS, EPOCHS_WARM = 12, 4
PATIENCE = 3
MIN_GAIN = 0.005
"""An epoch that lowers the validation loss by a smaller share counts as one without progress."""
LEARNING_RATE, LEARNING_RATE_WARM = 5e-3, 1e-3
MAX_GRADIENT = 1.0
MAX_WINDOWS, MIN_WINDOWS, MAX_EPOCH_VALUES = 6144, 512, 6144 * WINDOW * 64
"""An epoch draws so many windows at most, however long the history, and fewer of wide series: so many values, but not
below the least number of windows."""
MAX_VALIDATION_WINDOWS = 2048
SCORED_WINDOWS, MAX_BLOCK_VALUES = 512, 2_000_000
DOCUMENT = "detector.json"


class Network(nn.Module):
    """Windows of raw samples in, errors of their last row out.

    Two signals of each column are reconstructed: ``change``, to the row before, and ``level``, to the mean of the
    window; both in units of :attr:`scale`, cut at 1,000. Levels themselves drift and are not shown.

    Args:
        n_columns: columns of the windows.
        generator: draws the first weights; zeros without one, for weights that are loaded.
    """

    scale: Tensor
    """(2, n_columns) float64, mean size of each signal in training, in the columns' units."""

    def __init__(self, n_columns: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        width = len(SIGNALS) * n_columns
        with torch.random.fork_rng(devices=[]):  # the layers draw weights of their own, which are replaced below
            self.encoder = nn.LSTM(width, HIDDEN, batch_first=True)
            self.keep = nn.Linear(HIDDEN, LATENT)
            self.decoder = nn.LSTM(LATENT, HIDDEN, batch_first=True)
            self.write = nn.Linear(HIDDEN, width)
        self.register_buffer("scale", torch.ones(len(SIGNALS), n_columns, dtype=torch.float64))
        bound = 1 / math.sqrt(HIDDEN)
        for weights in self.parameters():
            if generator is None:
                nn.init.zeros_(weights)
            else:
                nn.init.uniform_(weights, -bound, bound, generator=generator)

    def forward(self, windows: Tensor) -> Tensor:
        """Absolute errors of the last row of each window, in units of :attr:`scale`.

        Args:
            windows: (n_windows, WINDOW + 1, n_columns) float64 in the columns' own units, oldest row first; NaN where
                no sample is.

        Returns:
            (n_windows, 2, n_columns) float32: of ``change`` and of ``level``; NaN where the sample, or for ``change``
            the one before, is missing. Windows in which nothing moves have no error.
        """
        signals = self._signals(windows)
        newest = signals[:, -1]
        errors = (newest - self._reconstruct(signals, 1)[:, 0]).abs()
        moves = (torch.nan_to_num(signals) != 0).any(dim=2).any(dim=1)
        errors = torch.where(moves[:, None] | torch.isnan(newest), errors, torch.zeros_like(errors))
        return errors.reshape(-1, len(SIGNALS), self.scale.shape[1])

    def loss(self, windows: Tensor) -> Tensor:
        """Mean Huber loss of the whole windows' reconstruction, over what is known; () float32."""
        signals = self._signals(windows)
        known = torch.isfinite(signals)
        written = torch.flip(self._reconstruct(signals, WINDOW), [1])
        loss = nn.functional.smooth_l1_loss(written, _shown(signals), reduction="none")
        return (loss * known).sum() / known.sum().clamp(min=1)

    def _signals(self, windows: Tensor) -> Tensor:
        """(n_windows, WINDOW, 2 * n_columns) float32, NaN where unknown."""
        change = windows[:, 1:] - windows[:, :-1]
        largest = torch.nan_to_num(windows, nan=-math.inf).amax(dim=1, keepdim=True)
        apart = windows - largest  # so that the mean of a constant is exact, and its level exactly 0
        level = apart[:, 1:] - torch.nanmean(apart, dim=1, keepdim=True)
        signals = torch.cat([change / self.scale[0], level / self.scale[1]], dim=2)
        return torch.clamp(signals, -MAX_SIGNAL, MAX_SIGNAL).float()

    def _reconstruct(self, signals: Tensor, rows: int) -> Tensor:
        """(n_windows, rows, 2 * n_columns), the last row of the window first."""
        _, (state, _) = self.encoder(_shown(signals))
        kept = torch.tanh(self.keep(state[0]))
        decoded, _ = self.decoder(kept.unsqueeze(1).repeat(1, rows, 1))
        written: Tensor = self.write(decoded)
        return written


class Windows:
    """Every window of some stretches, cut on request; rows before a stretch are unknown.

    Args:
        stretches: each (n_rows, n_columns) float64, NaN where no sample is.

    Attributes:
        ends: for each stretch, positions of its rows: row ``ends[i][j]`` is the last row of a window.
    """

    def __init__(self, stretches: Sequence[Floats]) -> None:
        before = np.full((WINDOW, stretches[0].shape[1]), np.nan)
        self.rows = torch.from_numpy(np.concatenate([part for values in stretches for part in (before, values)]))
        begins = np.cumsum([0, *(len(values) + WINDOW for values in stretches)])
        self.ends = [begin + WINDOW + np.arange(len(v)) for begin, v in zip(begins[:-1], stretches, strict=True)]
        self._offsets = torch.arange(-WINDOW, 1)

    def ending(self, ends: Tensor) -> Tensor:
        """(n_windows, WINDOW + 1, n_columns) float64, on the device that networks are on."""
        return self.rows[ends[:, None] + self._offsets].to(device())


def device() -> torch.device:
    """Where networks train and score: the GPU when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def exactly() -> AbstractContextManager[None]:
    """While it is open, a GPU rounds as a CPU does (no TF32) and picks its algorithms always alike."""
    if device().type == "cpu":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def new_network(scale: Floats, seed: int) -> Network:
    """An untrained network whose first weights the seed decides; ``scale`` (2, n_columns)."""
    network = Network(scale.shape[1], torch.Generator().manual_seed(seed))
    network.scale.copy_(torch.from_numpy(scale))
    return network.to(device())


def train(
    network: Network, windows: Windows, training: Tensor, validation: Tensor, seed: int, *, warm_start: bool = False
) -> list[float]:
    """Train in place; the weights of the best epoch stay.

    Ends early when three epochs in a row hardly lowered the validation loss.

    Args:
        network: the network to train.
        windows: windows of the train rows.
        training: ends of the windows of the training split; each epoch draws some of them.
        validation: ends of the windows of the validation split.
        seed: makes the draw reproducible.
        warm_start: whether the network was trained before: fewer epochs, smaller steps.

    Returns:
        The validation loss before training and after each epoch.
    """
    n_columns = network.scale.shape[1]
    most = max(MIN_WINDOWS, min(MAX_WINDOWS, MAX_EPOCH_VALUES // (WINDOW * n_columns)))
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE_WARM if warm_start else LEARNING_RATE)
    with exactly():
        losses = [_loss(network, windows, validation)]
        best, kept, fruitless = losses[0], copy.deepcopy(network.state_dict()), 0
        for _ in range(EPOCHS_WARM if warm_start else EPOCHS):
            drawn = training[torch.randperm(len(training), generator=generator)[:most]]
            for batch in _parts(drawn, BATCH):
                optimizer.zero_grad()
                torch.autograd.backward(network.loss(windows.ending(batch)))
                nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT)
                optimizer.step()
            losses.append(_loss(network, windows, validation))
            fruitless = 0 if losses[-1] < (1 - MIN_GAIN) * best else fruitless + 1
            if losses[-1] < best:
                best, kept = losses[-1], copy.deepcopy(network.state_dict())
            if fruitless >= PATIENCE:
                break
    network.load_state_dict(kept)
    return losses


def errors(network: Network, values: Floats) -> Floats:
    """(n_rows, 2, n_columns) errors of each row of a stretch, from the window that ends in it; NaN where unknown."""
    return newest_errors(network, [values], 0)[0]


def newest_errors(network: Network, stretches: Sequence[Floats], first: int) -> Floats:
    """(n_stretches, n_rows - first, 2, n_columns) the same of rows from ``first`` on, of stretches of one length."""
    windows = Windows(stretches)
    ends = np.concatenate([of_stretch[first:] for of_stretch in windows.ends])
    n_columns = stretches[0].shape[1]
    # Blocks are always full: with other shapes, sums would be rounded otherwise, and a row's score would depend on
    # how many rows come after it.
    block = max(1, min(SCORED_WINDOWS, MAX_BLOCK_VALUES // (WINDOW * n_columns)))
    found = np.empty((len(ends), len(SIGNALS), n_columns))
    with torch.no_grad(), exactly():
        for begin in range(0, len(ends), block):
            part = np.resize(ends[begin : begin + block], block)
            made = network(windows.ending(torch.from_numpy(part)))
            found[begin : begin + block] = made.cpu().numpy()[: len(ends) - begin]
    return found.reshape(len(stretches), -1, len(SIGNALS), n_columns)


def to_file(network: Network, document: Mapping[str, object]) -> bytes:
    """An archive of torch.export (.pt2): the program of :meth:`Network.forward`, its weights, and a JSON document.

    ``torch.export.load`` alone runs it, for any number of windows; the document is its extra file ``detector.json``.
    """
    on_cpu = copy.deepcopy(network).cpu()
    example = torch.zeros(2, WINDOW + 1, network.scale.shape[1], dtype=torch.float64)
    shapes = ({0: torch.export.Dim("n_windows", min=1)},)
    with warnings.catch_warnings():
        # LSTM layers hold a second list of their weights, which export sets and sets back.
        warnings.filterwarnings("ignore", message="The tensor attributes .*_flat_weights")
        with torch.no_grad():
            program = torch.export.export(on_cpu, (example,), dynamic_shapes=shapes)
    for node in program.graph.nodes:
        # It names the source files of the machine that trained: nobody else's business, and other bytes elsewhere.
        node.meta.pop("stack_trace", None)
    archive = io.BytesIO()
    torch.export.save(program, archive, extra_files={DOCUMENT: json.dumps(document, allow_nan=False)})
    return archive.getvalue()


def read_document(data: bytes) -> dict[str, Any]:
    """The JSON document of a file made by :func:`to_file`. Raises ModelError: the file is another one, or damaged."""
    document: dict[str, Any] = json.loads(_Archive(data).read(f"extra/{DOCUMENT}"))
    return document


def read_network(data: bytes, n_columns: int) -> Network:
    """The network of a file made by :func:`to_file`. Raises ModelError: damaged, or of another network.

    Only numbers are taken from the file. ``torch.export.load`` would also take a program, and runs pickles and
    expressions that somebody may have put there.
    """
    archive = _Archive(data)
    places = json.loads(archive.read("data/weights/model_weights_config.json"))["config"]
    network = Network(n_columns)
    state = network.state_dict()
    for name, blank in state.items():
        raw = archive.read(f"data/weights/{places[name]['path_name']}")
        if len(raw) != blank.nbytes:
            raise ModelError(f"{name} of the model file is {len(raw)} bytes, {blank.nbytes} were expected")
        weights = torch.frombuffer(bytearray(raw), dtype=blank.dtype).reshape(blank.shape)
        if not torch.isfinite(weights).all():
            raise ModelError(f"{name} of the model file holds values that are not finite")
        state[name] = weights
    network.load_state_dict(state)
    return network.to(device())


class _Archive:
    """The zip file that torch.export writes: all its entries are under one folder."""

    def __init__(self, data: bytes) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except zipfile.BadZipFile as error:
            raise ModelError(f"the model file is not an archive of torch.export: {error}") from None
        self._folder = next(iter(self._zip.namelist()), "").partition("/")[0]

    def read(self, name: str) -> bytes:
        try:
            return self._zip.read(f"{self._folder}/{name}")
        except (KeyError, zipfile.BadZipFile, EOFError, NotImplementedError) as error:
            raise ModelError(f"{name} of the model file cannot be read: {error}") from None


def _loss(network: Network, windows: Windows, ends: Tensor) -> float:
    """Mean loss over windows; of more than 2,048, over as many evenly spaced ones."""
    every = ends[:: -(-len(ends) // MAX_VALIDATION_WINDOWS)]
    with torch.no_grad():
        parts = [float(network.loss(windows.ending(part))) * len(part) for part in _parts(every, SCORED_WINDOWS)]
    return sum(parts) / len(every)


def _parts(ends: Tensor, size: int) -> list[Tensor]:
    return [ends[first : first + size] for first in range(0, len(ends), size)]


def _shown(signals: Tensor) -> Tensor:
    """Signals as the network reads and has to reconstruct them: bounded, and 0 where nothing is known."""
    return torch.clamp(torch.nan_to_num(signals), -MAX_SHOWN, MAX_SHOWN)

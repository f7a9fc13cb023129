"""What the scores of a metric of one's own keep between two runs: its band, its newest hour, and what forecasts read.

``scores/cluster=<cluster>/metrics/<metric>.npz`` is an archive of plain arrays. It is a cache: whatever is wrong with a
file, it is as if it were not there, and the band is learnt anew from the days that the lake holds.
"""

import io
import json
import zipfile
import zlib
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from aiops_assets.errors import ModelError, NotFoundError
from aiops_assets.learners.bands.state import BandState
from aiops_assets.storage.storage import Storage
from aiops_assets.timeseries.local_time import Integers
from aiops_assets.timeseries.series import Floats

FORMAT = 1
SHOWN = ("value", "score", "expected", "lower", "upper", "alert")


@dataclass(frozen=True)
class MetricState:
    """What one metric left behind.

    Attributes:
        identity: what the state depends on, such as the query; a state of another one is of no use.
        since: the first day that was read, ISO; an earlier one in the lake makes the state anew.
        until: the newest row that was judged, Unix seconds.
        series: labels of its n series, as JSON.
        looks_like_counter: whether a series of a gauge behaves as a counter.
        band: of the series.
        seen: (n,) when each series had its newest value, Unix seconds.
        raw: (n,) newest value of each series as it was fetched; a counter's increase needs it.
        stillness: (n, 3) how long it rests: still, longest, changes.
        seconds: (k,) instants of the newest hour.
        shown: name of :data:`SHOWN` -> (n, k) of the newest hour; ``alert`` is 0 or 1.
        history: (n, n_rows) rows that forecasts read, the newest last; empty where there is no forecast.
    """

    identity: str
    since: str
    until: int
    series: tuple[str, ...]
    looks_like_counter: bool
    band: BandState
    seen: Floats
    raw: Floats
    stillness: Floats
    seconds: Integers
    shown: dict[str, Floats]
    history: Floats


class MetricStates:
    """The states of one cluster."""

    def __init__(self, storage: Storage, cluster: str) -> None:
        """Look at the files of a cluster."""
        self.storage = storage
        self.folder = f"scores/cluster={cluster}/metrics"

    def read(self, metric: str) -> MetricState | None:
        """The state of a metric; ``None``: there is none that can be read."""
        try:
            data = self.storage.read(self._path(metric))
            with np.load(io.BytesIO(data), allow_pickle=False) as stored:
                header = json.loads(stored["header"].tobytes())
                if header.pop("format") != FORMAT:
                    return None
                arrays = {name: stored[name] for name in ("seen", "raw", "stillness", "seconds", "history")}
                shown = {name: stored[f"shown_{name}"] for name in SHOWN}
                band = BandState.from_bytes(stored["band"].tobytes())
            header["series"] = tuple(header["series"])
            state = MetricState(band=band, shown=shown, **arrays, **header)
        except (NotFoundError, ModelError, zipfile.BadZipFile, zlib.error, OSError, EOFError):
            return None
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        lengths = {
            len(state.series),
            len(band.rows),
            len(state.seen),
            len(state.raw),
            len(state.stillness),
            len(state.history),
        }
        return state if len(lengths | {len(one) for one in shown.values()}) == 1 else None

    def write(self, metric: str, state: MetricState) -> None:
        """Replace the state of a metric, atomically."""
        names = ("identity", "since", "until", "series", "looks_like_counter")
        header = json.dumps({"format": FORMAT, **{name: getattr(state, name) for name in names}}).encode()
        as_bytes = partial(np.frombuffer, dtype=np.uint8)
        sink = io.BytesIO()
        arrays: dict[str, Any] = {"header": as_bytes(header), "band": as_bytes(state.band.to_bytes())}
        arrays |= {name: getattr(state, name) for name in ("seen", "raw", "stillness", "seconds")}
        arrays |= {f"shown_{name}": state.shown[name] for name in SHOWN}
        np.savez_compressed(sink, history=state.history.astype(np.float32), **arrays)
        self.storage.write(self._path(metric), sink.getvalue())

    def _path(self, metric: str) -> str:
        return f"{self.folder}/{metric}.npz"

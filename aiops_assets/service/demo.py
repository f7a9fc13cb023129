"""`aiops serve --demo`: the real routes over trivial models of a line of arithmetic each, for tests of clients.

The same request gets the same answer, byte for byte, on every machine, because the clock is fixed.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from typing_extensions import override

from aiops_assets.families.catalog import MODELS
from aiops_assets.families.contract import Asking, ModelSpec
from aiops_assets.judging.detection.task import DETECTION
from aiops_assets.judging.forecasting.task import FORECASTING
from aiops_assets.judging.statements import Statement
from aiops_assets.learners.contracts import Forecast, Scored
from aiops_assets.service.instruments import Instruments
from aiops_assets.service.pool import ModelPool
from aiops_assets.service.ready import ReadyModel
from aiops_assets.storage.records import ChampionMove, Manifest
from aiops_assets.timeseries.catalog import ENGINE_METRICS
from aiops_assets.timeseries.features import STATISTICS
from aiops_assets.timeseries.history import History
from aiops_assets.timeseries.series import Floats

NOW = datetime(2026, 1, 25, 10, 0, tzinfo=UTC)
"""The fixed time, from the examples of ADR-009."""
SOURCE = "demo"
NORMAL_LEVEL, SPREAD, ALARM = 0.4, 0.1, 0.9
"""Expected level, its spread, and the level from which on a row is anomalous, in ratios and cores."""
DRIFT = 0.001
"""Rise of a forecast per step."""
DIGEST = "0" * 64


def demo_clock() -> datetime:
    """The fixed time."""
    return NOW


class DemoRows:
    """Replaces the row detector: a row is anomalous if a level reaches 0.9."""

    def __init__(self) -> None:
        width = len(STATISTICS)
        restarts = [i for i, metric in enumerate(ENGINE_METRICS) if metric.unit == "count"]
        level = np.array([name not in ("std_5m", "diff", "pct_change") for name in STATISTICS])
        self._levels = np.tile(level, len(ENGINE_METRICS))
        for i in restarts:
            self._levels[i * width : (i + 1) * width] = False
        self.expected: Floats = np.where(self._levels, NORMAL_LEVEL, 0.0)
        self.spread: Floats = np.full(len(self.expected), SPREAD)

    def score(self, rows: Any) -> Floats:
        """(n_rows,) distance of the highest level above 0.9."""
        levels: Floats = np.atleast_2d(np.asarray(rows, dtype=np.float64))[:, self._levels]
        highest: Floats = levels.max(axis=1) - ALARM
        return highest.clip(-0.5, 0.5)

    def contributions(self, row: Any) -> Floats:
        """(5,) contributions: 1 for the metric with the highest level, 0 for the others."""
        levels = np.where(self._levels, np.asarray(row, dtype=np.float64), -np.inf)
        shares: Floats = np.zeros(len(ENGINE_METRICS))
        shares[int(levels.argmax()) // len(STATISTICS)] = 1.0
        return shares


class DemoWindow:
    """Replaces a window detector: a row is anomalous if a ratio reaches 0.9."""

    def score(self, frame: pd.DataFrame) -> Scored:
        """Score, alert and contributions of each row, independent of other rows."""
        values = frame.drop(columns="timestamp").to_numpy(dtype=np.float64)[:, : len(ENGINE_METRICS) - 1]
        score = values.max(axis=1) - ALARM
        return Scored(score, score >= 0, np.full((len(values), len(ENGINE_METRICS)), 1 / len(ENGINE_METRICS)))


class DemoForecaster:
    """Replaces a forecaster: the last value plus ``DRIFT`` per step."""

    hourly_baseline = None

    def forecast(self, history: History, horizon: int) -> Forecast:
        """A straight line with a constant interval."""
        steps = np.arange(1, horizon + 1)[:, np.newaxis]
        value = history.values[-1] * (1 + DRIFT * steps)
        margin = 0.05 * np.abs(value)
        return Forecast(history.metrics, history.after(horizon), value, value - margin, value + margin)


STANDS_FOR: dict[str, Callable[[], Any]] = {DETECTION.name: DemoWindow, FORECASTING.name: DemoForecaster}


class DemoPool(ModelPool):
    """A pool of all models that are ready at once, without reading or swapping versions."""

    def __init__(self, specs: tuple[ModelSpec, ...], instruments: Instruments) -> None:
        self._only = ""
        self.specs = {spec.name: spec for spec in specs}
        self.problems: dict[str, Statement] = {}
        self.settled = self.warm = True
        self._ready = {spec.name: _ready(spec) for spec in specs}
        for ready in self._ready.values():
            instruments.swapped(ready, None)

    @override
    def start(self, warm_up: Callable[[], None] = lambda: None) -> None:
        """Do nothing: there are no versions to watch."""

    @override
    def stop(self) -> None:
        """Do nothing: there is no background thread."""


def demo_pool(instruments: Instruments) -> DemoPool:
    """The pool of demo models."""
    return DemoPool(MODELS, instruments)


def _ready(spec: ModelSpec) -> ReadyModel:
    family = spec.family
    made = DemoRows if family.asking is Asking.ROWS else STANDS_FOR[family.task.name]
    champion = ChampionMove(
        version=1,
        manifest_sha256=DIGEST,
        data_version=SOURCE,
        effective_source=SOURCE,
        reason=SOURCE,
        who=SOURCE,
        when=NOW,
    )
    manifest = Manifest(
        name=spec.name,
        version=1,
        created=NOW,
        description=spec.description,
        cluster=SOURCE,
        features=family.features,
        features_digest=DIGEST,
        width=len(family.features),
        units=dict(family.units),
        parameters={},
        packages={},
        view=spec.view,
        data_version=SOURCE,
        training_set_sha256=DIGEST,
        effective_source=SOURCE,
        run_id="",
        run_url="",
        dagster_run_id="",
        code_version="",
        fingerprint="",
        metrics={},
        files={},
    )
    return ReadyModel(spec, champion, manifest, made(), NOW)

"""A home with days in the lake and a champion that was trained on some, without its model: drift reads none."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd

from aiops_assets.datasets.drift import Looks
from aiops_assets.families.catalog import MODELS
from aiops_assets.families.contract import ModelSpec
from aiops_assets.pipeline.resources import StoresResource
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.records import ChampionMove, ChampionRecord, Day, TrainingSetRecord
from aiops_assets.timeseries.catalog import MetricSpec
from aiops_assets.timeseries.series import DAY_SECONDS
from aiops_assets.views.catalog import CLUSTER_METRICS_VIEW, POD_SERIES, VIEWS

DAY = timedelta(days=1)
FIRST = date(2026, 10, 5)
"""A Monday."""
TRAINED_DAYS = 7
LIVE = datetime(2026, 10, 12, tzinfo=UTC)
"""The end of training."""
FORECASTER = next(spec for spec in MODELS if spec.view == CLUSTER_METRICS_VIEW)
DETECTOR = next(spec for spec in MODELS if spec.view == POD_SERIES)
Wide = Callable[[MetricSpec, date], pd.DataFrame]


class DriftHome:
    """A home below a folder.

    Args:
        stores: its stores.
        spec: the model with a champion.
    """

    def __init__(self, stores: StoresResource, spec: ModelSpec) -> None:
        self.stores = stores
        self.spec = spec
        self.metrics = VIEWS[spec.view].metrics

    @property
    def lake(self) -> Lake:
        return self.stores.lake()

    def fill(self, days: int, wide: Wide, *, after: date = FIRST) -> None:
        """Days of all metrics of the view."""
        for metric in self.metrics:
            for day in (after + i * DAY for i in range(days)):
                end = datetime(day.year, day.month, day.day, tzinfo=UTC) + DAY
                self.lake.upsert_day(metric, day, wide(metric, day), fetched=end, fetched_until=end, closed=True)

    def serve(self, version: int = 1, *, source: str = "prometheus", queries: Mapping[str, str] | None = None) -> None:
        """A champion that was trained on the first seven days."""
        data_version = f"{version:032d}"
        found = [FIRST + i * DAY for i in range(TRAINED_DAYS)]
        known = {metric: set(self.lake.days(metric)) for metric in self.metrics}
        infos = {day: {m.name: self.lake.info(m, day) for m in self.metrics if day in known[m]} for day in found}
        digests = {day: {name: one.digest for name, one in some.items() if one} for day, some in infos.items()}
        record = TrainingSetRecord(
            view=self.spec.view, data_version=data_version, rows_sha256="", cluster="default", effective_source=source,
            window_start=LIVE - TRAINED_DAYS * DAY, window_end=LIVE, rows=0, label_rate=0.0, anomaly_rate=0.0, seed=1,
            pods=(), queries=queries if queries is not None else {m.name: self.lake.query_of(m) for m in self.metrics},
            days=tuple(
                Day(day=str(day), digest="", source=origin, metrics=some if origin == "prometheus" else {})
                for origin in ("prometheus", "synthetic") for day, some in digests.items()
            ),
        )  # fmt: skip
        move = ChampionMove(
            version=version, manifest_sha256="", data_version=data_version, effective_source=source,
            reason="", who="", when=LIVE,
        )  # fmt: skip
        sets, served = self.stores.training_sets(), self.stores.served()
        sets.storage.write(f"{sets.path(self.spec.view, data_version)}/record.json", record.to_bytes())
        champion = ChampionRecord(name=self.spec.name, champion=move)
        served.storage.write(f"{self.spec.name}/champion.json", champion.to_bytes())
        served.sign_champion(champion)

    def looks(self) -> Looks:
        stores = self.stores
        return Looks(stores.lake(), stores.training_sets(), stores.served(), stores.drift(), [self.spec])


def one_line(shift: float = 0.0, seed: int = 1) -> Wide:
    """A series of the cluster per metric: independent noise of deviation 1 around a daily season."""

    def wide(metric: MetricSpec, day: date) -> pd.DataFrame:
        times = grid(metric, day)
        rng = np.random.default_rng([seed, day.toordinal(), metric.promql.__len__()])
        season = 3.0 * np.sin(2 * np.pi * np.arange(len(times)) / len(times))
        return pd.DataFrame({"{}": 20.0 + season + rng.standard_normal(len(times)) + shift}, index=times)

    return wide


def grid(metric: MetricSpec, day: date) -> pd.DatetimeIndex:
    """All instants of a day."""
    step = pd.Timedelta(seconds=metric.step_seconds)
    begin = pd.Timestamp(day, tz="UTC")
    return pd.date_range(begin, periods=DAY_SECONDS // metric.step_seconds, freq=step, unit="us", name="timestamp")

"""A home with days of pods and of the cluster, of which training sets are made again and again."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from aiops_assets.datasets.reuse import Request, TrainingSet, stored_training_set
from aiops_assets.pipeline.resources import stores_of
from aiops_assets.settings import Settings
from aiops_assets.storage.lake import FetchOutcome
from aiops_assets.synthetic.cluster import generate_cluster
from aiops_assets.timeseries.catalog import FORECAST_METRICS, NODE_CPU, MetricSpec
from aiops_assets.views.catalog import POD_FEATURES, VIEWS
from aiops_assets_tests.conftest import END, make_settings
from aiops_assets_tests.datasets.pod_lake import DAYS, RECIPE, WINDOW, fill, pods, store
from aiops_assets_tests.pipeline.graph import CLOSED

NOW = END.to_pydatetime() + timedelta(hours=9)


def settings_of(home: Path, **variables: str) -> Settings:
    """Real days only, of a server that is away."""
    real = {"DATA_SOURCE": "prometheus", "PROMETHEUS_URL": CLOSED, "SYNTHETIC_RATIO": "0", "TRAINING_PODS": "6"}
    return make_settings(home, **(real | variables))


def outcome(reached: bool = True, last: int = -1) -> FetchOutcome:
    """Of the last fetch of the window."""
    first_day, last_day = WINDOW[0].isoformat(), WINDOW[last].isoformat()
    return FetchOutcome(
        when=NOW.isoformat(),
        reached=reached,
        problem="" if reached else "no answer",
        run_id="r",
        server="127.0.0.1:9",
        first_day=first_day,
        last_day=last_day,
    )


def counts(metric: MetricSpec, nodes: float) -> pd.DataFrame:
    """So many nodes all the time."""
    instants = pd.date_range(END - timedelta(days=DAYS), END, freq=f"{metric.step_seconds}s", inclusive="left")
    return pd.DataFrame({"{}": np.full(len(instants), nodes)}, index=instants.as_unit("us"))


def make_home(home: Path) -> None:
    """Two days of pods, of the cluster and of the number of nodes, as the last fetch left them."""
    lake = stores_of(settings_of(home)).lake()
    fill(lake, pods(), {})
    cluster = generate_cluster(DAYS, END, seed=7).set_index("timestamp")
    for metric in FORECAST_METRICS:
        store(lake, metric, cluster[[metric.name]].set_axis(["{}"], axis=1))
    store(lake, NODE_CPU.members, counts(NODE_CPU.members, 3.0))
    lake.note_fetch(outcome())


def request_of(home: Path, view: str = POD_FEATURES, **variables: str) -> Request:
    """For a training set of the window."""
    return Request(VIEWS[view], settings_of(home, **variables), RECIPE, announced="", days=WINDOW)


def take(home: Path, view: str = POD_FEATURES) -> TrainingSet:
    """The training set of a view, stored or built."""
    stores = stores_of(settings_of(home))
    return stored_training_set(request_of(home, view), view, stores.lake(), stores.training_sets(), NOW)

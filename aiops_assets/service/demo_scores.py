"""A run of scores for `aiops serve --demo`: a pod and a node with a page, a calm pod, a silent node, and metrics.

All numbers are a line of arithmetic, and the same on every machine.
"""

import json
from datetime import timedelta

import numpy as np
import pandas as pd
from obstore.store import MemoryStore

from aiops_assets.service.demo import DIGEST, NOW, SOURCE, demo_clock
from aiops_assets.service.newest_findings import NewestFindings
from aiops_assets.storage.explanations import (
    CLUSTER,
    EPISODE_COLUMNS,
    EXPLANATION_COLUMNS,
    NODE,
    PAGE,
    POD,
    SUBJECT,
)
from aiops_assets.storage.scores import (
    METRIC_COLUMNS,
    PAGE_COLUMNS,
    SCORE_COLUMNS,
    SILENCE_COLUMNS,
    PredictingModel,
    Scores,
    ScoresRecord,
    ScoresRun,
)
from aiops_assets.storage.storage import ObjectStorage

CART = (POD, "shop", "cart-5d4f8c7b9-x2x9k", "cart", "")
CALM = (POD, "blog", "cart-5d4f8c7b9-x2x9k", "cart", "")
NODE_1 = (NODE, "", "", "", "node-1")
DETECTOR, FORECASTER = "demo-detector", "demo-forecaster"
SINCE = NOW - timedelta(minutes=30)
DAY_ROWS, OUTSIDE_ROWS = 288, 7


def demo_findings() -> NewestFindings:
    """The run, read as any other is."""
    store = Scores(ObjectStorage(MemoryStore(), "memory://"), SOURCE)
    store.put(demo_run())
    return NewestFindings(store, demo_clock, 0.0)


def demo_run() -> ScoresRun:
    """Memory of the pod and of the node is above the band for half an hour."""
    models = [
        PredictingModel(
            name=name, version=1, manifest_sha256=DIGEST, kind=kind, data_version=SOURCE, effective_source=SOURCE,
            proven=proven,
        )
        for name, kind, proven in ((DETECTOR, "detector", ()), (FORECASTER, "forecaster", ("1h",)))
    ]  # fmt: skip
    record = ScoresRecord(
        cluster=SOURCE,
        made_at=NOW,
        source=SOURCE,
        code_version="",
        scored_until=NOW,
        paged_until=NOW,
        metrics_until=NOW,
        forecast_from=NOW,
        pods=2,
        models=tuple(models),
    )
    rows = [
        _rows(CART, "pod_memory_usage", 0.4, 0.93),
        _rows(CART, "pod_cpu_usage", 0.2, 0.2),
        _rows(NODE_1, "node_memory_utilization", 0.5, 0.95),
        _rows((CLUSTER, "", "", "", ""), "memory_usage", 0.3, 0.3),
    ]
    pages = [(NOW, *CART[1:], "pod_memory_usage"), (NOW, *NODE_1[1:], "node_memory_utilization")]
    episodes = [
        (*CART, PAGE, "pod_memory_usage", SINCE, NOW),
        (*CART, DETECTOR, "pod_memory_usage", SINCE, NOW),
        (*NODE_1, PAGE, "node_memory_utilization", SINCE, NOW),
    ]
    return ScoresRun(
        record,
        _scores(),
        _forecasts(),
        pd.DataFrame(pages, columns=list(PAGE_COLUMNS)),
        metrics=_own(),
        silence=_silent(),
        explanations=pd.concat(rows, ignore_index=True),
        episodes=pd.DataFrame(episodes, columns=list(EPISODE_COLUMNS)),
    )


def _scores() -> pd.DataFrame:
    shares = json.dumps({"pod_memory_usage": 0.75, "pod_cpu_usage": 0.25})
    rows = [(NOW, DETECTOR, 1, *who[1:4], score, score > 0, shares) for who, score in ((CART, 0.5), (CALM, -0.5))]
    return pd.DataFrame(rows, columns=list(SCORE_COLUMNS))


def _forecasts() -> pd.DataFrame:
    ahead = pd.DataFrame({"predicted_for": [NOW + timedelta(hours=hours) for hours in (1, 24)], "value": [0.325, 0.35]})
    named = ahead.assign(made_at=NOW, model_name=FORECASTER, model_version=1, metric_name="memory_usage")
    columns = ["made_at", "model_name", "model_version", "metric_name", "predicted_for", "value"]
    return named[columns].assign(lower=0.25, upper=0.5)


def _rows(subject: tuple[str, ...], metric: str, expected: float, newest: float) -> pd.DataFrame:
    """A day of the expected value, and at its end the newest."""
    times = pd.date_range(end=NOW, periods=DAY_ROWS, freq="5min", unit="us")
    value = np.where(np.arange(DAY_ROWS) < DAY_ROWS - OUTSIDE_ROWS, expected, newest)
    sides = {"value": value, "expected": expected, "lower": expected - 0.1, "upper": expected + 0.1}
    frame = pd.DataFrame({"timestamp": times, **sides}).astype(dict.fromkeys(sides, "float32"))
    return frame.assign(**dict(zip(SUBJECT, subject, strict=True)), metric=metric)[list(EXPLANATION_COLUMNS)]


def _own() -> pd.DataFrame:
    """A metric of METRICS_FILE whose newest value is above its band."""
    row = (NOW, "queue_depth", "messages", "queue=orders", '{"queue": "orders"}', 90.0, 4.0, 10.0, -10.0, 30.0, True)
    return pd.DataFrame([(*row, "warning")], columns=list(METRIC_COLUMNS))


def _silent() -> pd.DataFrame:
    """A node of which nothing is heard any more."""
    row = (NOW, "node_gone", "", "node-2", '{"node": "node-2"}', SINCE, "critical")
    return pd.DataFrame([row], columns=list(SILENCE_COLUMNS))

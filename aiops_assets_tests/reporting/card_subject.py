"""A version with everything that a card can tell: records with odd names, and scores of two models."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from aiops_assets.families.ensemble_predictor import ENSEMBLE_PREDICTOR
from aiops_assets.judging.detection.shadow import side_by_side
from aiops_assets.learners.contracts import Scored
from aiops_assets.reporting.cards.subject import Subject
from aiops_assets.storage.records import (
    Day,
    EvaluationRecord,
    FewerNodes,
    Gap,
    KnownMetric,
    Manifest,
    SourceReport,
    TrainingSetRecord,
)
from aiops_assets.storage.shadow import ShadowRecord

METRICS = ("pod_cpu_usage", "pod_memory_usage", "odd|metric")
BEGIN, END = datetime(2026, 10, 25, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
MANIFEST = Manifest(
    name="ensemble-predictor",
    version=7,
    created=datetime(2026, 11, 1, 2, 3, tzinfo=UTC),
    description="Watches | pods <b>closely</b>",
    cluster="prod-1",
    features=METRICS,
    features_digest="fd" * 16,
    width=3,
    units={"pod_cpu_usage": "cores", "pod_memory_usage": "ratio", "odd|metric": "bytes/s"},
    parameters={"alert_budget": 0.01, "random_seed": 42},
    packages={"python": "3.11.7", "numpy": "2.4.6"},
    view="pod_series",
    data_version="da" * 16,
    training_set_sha256="ab" * 32,
    effective_source="cached+synthetic",
    source=SourceReport(
        asked="prometheus",
        rows={"prometheus": 12_345, "synthetic": 3_000},
        note="server away; see `log`",
        cached_age_seconds=7_200,
        coverage=0.875,
        coverage_by_metric={"pod_cpu_usage": 0.875, "odd|metric": 0.991},
        full_days=6,
        window_days=7,
        missing_share=0.125,
        known={
            "pod_cpu_usage": KnownMetric(share=1.0, rows=12_345, known=12_345, pods=3, lacking=0),
            "odd|metric": KnownMetric(
                share=0.25,
                rows=12_345,
                known=3_086,
                pods=3,
                lacking=2,
                window_pods=9,
                window_lacking=4,
                names=("db|1", "web-2"),
            ),
        },
        nodes={"odd|metric": FewerNodes(least=2, most=3, hours=31.0, share=0.184)},
        warnings=("node *n1* was silent",),
    ),
    window_start=BEGIN,
    window_end=END,
    run_id="mlflowrun1",
    run_url="https://mlflow.example/#/experiments/1/runs/mlflowrun1",
    dagster_run_id="dagster-fit",
    code_version="0.2.0+abc",
    fingerprint="f1" * 16,
    metrics={"average_precision": 0.1},
    fit="fitted anew; there was no <champion>",
    files={"model.json": "cd" * 32},
)
EVALUATION = EvaluationRecord(
    name="ensemble-predictor",
    version=7,
    when=datetime(2026, 11, 1, 4, 5, tzinfo=UTC),
    dagster_run_id="dagster-judge",
    data_version="db" * 16,
    effective_source="prometheus+synthetic",
    holdout_rows=8_060,
    anomalous_rows=242,
    figures={
        "average_precision": 0.47123,
        "precision": 0.65751,
        "recall": 0.19831,
        "f1": 0.30471,
        "false_alarm_rate": 0.00321,
        "recall_cpu_spike": 0.38031,
        "recall_memory_leak": 0.91231,
    },
    opponent="champion version 6",
    opponent_figures={"average_precision": 0.46891, "false_alarm_rate": 0.00451, "recall_cpu_spike": 0.40851},
    gaps={
        "average_precision": Gap(value=0.00232, low=-0.01235, high=0.02345),
        "false_alarm_rate": Gap(value=-0.0013, low=-0.0024, high=0.0001),
    },
    decision="promote",
    reason="not worse than [champion](x) version 6",
)
TRAINING_SET = TrainingSetRecord(
    view="pod_series",
    data_version="da" * 16,
    rows_sha256="",
    cluster="prod-1",
    effective_source="cached+synthetic",
    window_start=BEGIN,
    window_end=END,
    rows=15_345,
    label_rate=0.0299,
    anomaly_rate=0.03,
    seed=42,
    pods=("web-1", "web-2", "db|1"),
    queries={"pod_cpu_usage": 'sum(rate(x{c!=""}[5m])) by (pod)', "odd|metric": 'y{a=~"b|c"}'},
    days=(Day(day="2026-10-25", digest="1"), Day(day="2026-10-31", digest="2")),
)
SHADOW = ShadowRecord(
    name="ensemble-predictor",
    challenger=7,
    challenger_sha256="77",
    champion=6,
    champion_sha256="66",
    data_version="da" * 16,
    effective_source="cached+synthetic",
    window_start=BEGIN,
    window_end=END,
    code_version="0.2.0+abc",
    metrics=METRICS,
)


def scores(pods: int = 3, rows: int = 200, kinds: tuple[str, ...] = ("cpu_spike", "memory_leak")) -> pd.DataFrame:
    """Pods with an episode of each kind; both models see most of it, the challenger names the right metric."""
    rng = np.random.default_rng(3)
    frames = []
    for pod in range(pods):
        kind = np.full(rows, "normal", dtype=object)
        for i, name in enumerate(kinds):
            kind[(i + 1) * rows // 4 : (i + 1) * rows // 4 + rows // 10] = name
        frames.append(
            pd.DataFrame(
                {
                    "timestamp": pd.date_range("2026-10-30", periods=rows, freq="5min", tz="UTC", unit="us"),
                    "pod": f"web-{pod}",
                    "source": "prometheus",
                    "label": (kind != "normal").astype(int),
                    "kind": kind,
                }
            )
        )
    frame = pd.concat(frames, ignore_index=True)
    new, old = (frame["label"].to_numpy() * 2.0 + rng.normal(0, 0.6, len(frame)) for _ in range(2))
    right = np.where(frame["kind"] == "memory_leak", METRICS[1], METRICS[0])
    first = np.where(frame["label"] == 1, right, "").astype(object)
    nothing = np.zeros((len(frame), 0))
    return side_by_side(frame, Scored(new, new > 1.5, nothing), Scored(old, old > 1.5, nothing), first)


def subject(**changes: object) -> Subject:
    plain = Subject(
        spec=ENSEMBLE_PREDICTOR,
        manifest=MANIFEST,
        manifest_sha256="ee" * 32,
        directory="/models/ensemble-predictor/7",
        evaluation=EVALUATION,
        training_set=TRAINING_SET,
        scores=scores(),
        shadow=SHADOW,
        seed=42,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]

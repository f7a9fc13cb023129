"""Notes on rows as data: every code has its words."""

from datetime import UTC, date, datetime

from aiops_assets.datasets.notes import WORDINGS, Note
from aiops_assets.timeseries.quality import Shortage
from aiops_assets_tests.snapshot import assert_snapshot

SHORT = Shortage("low_coverage", found=2 / 7, wanted=0.5)
FEW = Shortage("few_full_days", found=2, wanted=3)
NOTES = [
    Note("no_server"),
    Note("cached_days", problem="no answer", hours=26.04),
    Note("cached_newest", problem="no answer"),
    Note("synthetic_allowed", problem="no answer"),
    Note("synthetic_allowed", problem="no answer", shortage=SHORT, has_cache=True),
    Note("synthetic_allowed", problem="no answer", shortage=FEW, has_cache=True),
    Note("synthetic_allowed", problem="no answer", shortage=None, has_cache=False),
    Note("nothing_allowed", problem="no answer", fallback=("fail",)),
    Note("nothing_allowed", problem="no answer", fallback=("cached",), shortage=SHORT, has_cache=False),
    Note("young_history", begin=date(2026, 11, 30), shortage=SHORT),
    Note("low_coverage", share=0.43, days=7, full_days=3, lowest="cpu_usage"),
    Note("part_of_window", share=0.43, lowest="cpu_usage"),
    Note("short_cluster", asked=0.8, got=0.5),
    Note("silent_pods", silent=2, pods=20),
    Note(
        "metric_not_judged",
        metric="pod_memory_usage",
        share=0.3,
        lacking=7,
        pods=10,
        names=("a", "b", "c", "d"),
        window_lacking=27,
        window_pods=30,
    ),
    Note(
        "metric_not_judged",
        metric="container_restart_count",
        share=1.0,
        lacking=0,
        pods=10,
        names=("a",),
        window_lacking=1,
        window_pods=11,
    ),
    Note("metric_part_of_life", metric="pod_memory_usage", partly=2, pods=10),
    Note("metric_unknown", metric="pod_memory_usage", pods=10),
    Note(
        "missing_nodes",
        metrics=("node_cpu_utilization", "node_memory_utilization"),
        least=2,
        most=3,
        hours=31.0,
        share=0.32,
    ),
    Note("doubled_restarts", doubled=12, pods=50, first=datetime(2026, 10, 30, 12, 3, tzinfo=UTC)),
    Note("pods_left_out", most=2, scored=2, living=3),
    Note("old_sample", name="pods", hours=58.06),
    Note("models_of_generated_rows", models=("anomaly-detector", "fracast-predictor")),
]


def test_the_wordings_are_those_that_were_agreed() -> None:
    assert {note.code for note in NOTES} == set(WORDINGS)
    assert_snapshot("dataset_notes", "".join(f"{note.code}\n    {note.text}\n" for note in NOTES))

"""What a scrape finds of the times to exhaustion, and which of it is stored and read again."""

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from prometheus_client import CollectorRegistry

from aiops_assets.reporting.exhaustion_exposition import COLUMNS
from aiops_assets.reporting.exposition import STALE, ScoresCollector, documented, shown
from aiops_assets.storage.scores import EXHAUSTION, EXHAUSTION_COLUMNS, RECORD, Scores, ScoresRun
from aiops_assets.storage.storage import LocalStorage
from aiops_assets_tests.deploy.monitored import running_out
from aiops_assets_tests.storage.test_scores import NOON, UNTIL, run

LABELS = {
    "cluster": "prod", "kind": "disk", "namespace": "", "pod": "", "workload": "", "node": "node-1",
    "persistentvolumeclaim": "", "resourcequota": "", "resource": "",
}  # fmt: skip
QUOTA = LABELS | {
    "kind": "quota",
    "namespace": "shop",
    "resourcequota": "compute",
    "resource": "limits.memory",
    "node": "",
}
DAY = 86_400.0


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Scores, ScoresRun]:
    kept = Scores(LocalStorage(tmp_path), "prod")
    made = replace(run(), exhaustion=running_out(UNTIL, True))
    kept.put(made)
    return kept, made


def test_what_runs_out_is_stored_and_shown(stored: tuple[Scores, ScoresRun]) -> None:
    kept, made = stored
    found = kept.newest()
    assert found
    pd.testing.assert_frame_equal(found.exhaustion, made.exhaustion)
    registry = CollectorRegistry()
    registry.register(ScoresCollector(kept, clock=NOON.timestamp))
    values = {column: registry.get_sample_value(one.name, LABELS) for column, one in COLUMNS.items()}
    assert values == {"seconds": DAY, "lower": DAY / 2, "upper": 2 * DAY, "usage": 0.8}
    assert registry.get_sample_value("aiops_exhaustion_upper_seconds", QUOTA) == math.inf
    assert registry.get_sample_value("aiops_exhaustion_seconds", QUOTA) == DAY


def test_an_old_run_shows_no_times_and_one_without_estimates_has_no_series(stored: tuple[Scores, ScoresRun]) -> None:
    _, made = stored
    names = {one.name for one in COLUMNS.values()}

    def count(one: ScoresRun, later: float) -> int:
        families = shown(one, NOON.timestamp() + later)
        return sum(len(family.samples) for family in families if family.name in names)

    assert count(made, 0) == 4 * len(COLUMNS)
    assert count(made, STALE.total_seconds() + 1) == 0
    assert count(run(), 0) == 0
    assert names <= {family.name for family in documented()}


def test_a_run_of_a_release_that_did_not_know_them_has_none(stored: tuple[Scores, ScoresRun]) -> None:
    kept, _ = stored
    found = kept.newest()
    assert found
    folder = Path(kept.locate(kept.names()[0]))
    (folder / EXHAUSTION).unlink()
    files = {name: digest for name, digest in found.record.files.items() if name != EXHAUSTION}
    (folder / RECORD).write_bytes(found.record.model_copy(update={"files": files}).to_bytes())
    again = kept.newest()
    assert again
    assert again.exhaustion.empty
    assert list(again.exhaustion.columns) == list(EXHAUSTION_COLUMNS)

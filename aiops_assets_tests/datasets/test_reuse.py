"""A training set with equal inputs is taken as it is stored; any other input, and any doubt, builds it again."""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from aiops_assets.datasets import reuse
from aiops_assets.datasets.reuse import Request, inputs_of, metrics_read, stored_training_set
from aiops_assets.datasets.source_rule import training_set
from aiops_assets.errors import IntegrityError, NotFoundError
from aiops_assets.pipeline.resources import stores_of
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.training_sets import TrainingSets
from aiops_assets.storage.workloads import Workloads
from aiops_assets.timeseries.catalog import ENGINE_METRICS, NODE_CPU, MetricSpec
from aiops_assets.views.catalog import CLUSTER_METRICS_VIEW, POD_FEATURES, POD_SERIES, VIEWS
from aiops_assets_tests.datasets.pod_lake import DAYS, RECIPE, WINDOW, store
from aiops_assets_tests.datasets.reuse_home import NOW, counts, make_home, outcome, request_of, settings_of, take
from aiops_assets_tests.once import made_once
from aiops_assets_tests.raising import raises

NAMES = (POD_FEATURES, POD_SERIES, CLUSTER_METRICS_VIEW)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_once("reuse", make_home), tmp_path / "home"))


@pytest.fixture
def lake(home: Path) -> Lake:
    return stores_of(settings_of(home)).lake()


@pytest.fixture
def sets(home: Path) -> TrainingSets:
    return stores_of(settings_of(home)).training_sets()


@pytest.mark.parametrize("view", NAMES)
def test_equal_inputs_yield_the_stored_rows_and_their_record(home: Path, view: str) -> None:
    built, taken, again = take(home, view), take(home, view), take(home, view)
    assert [found.is_reused for found in (built, taken, again)] == [False, True, True]
    assert taken.record == again.record == built.record
    assert_frame_equal(taken.rows, built.rows, check_dtype=False)


def test_a_home_that_was_moved_reuses_its_sets(home: Path) -> None:
    take(home)
    assert take(home.rename(home.with_name("moved"))).is_reused


def test_generated_rows_are_reused_as_well(home: Path, lake: Lake, sets: TrainingSets) -> None:
    settings = settings_of(home, DATA_SOURCE="synthetic")
    request = Request(VIEWS[CLUSTER_METRICS_VIEW], settings, RECIPE, announced="", days=WINDOW)
    found = [stored_training_set(request, "name", lake, sets, NOW) for _ in range(2)]
    assert [one.is_reused for one in found] == [False, True]
    assert found[0].record == found[1].record


@pytest.mark.parametrize(
    "variables",
    [
        {"RANDOM_SEED": "43"},
        {"TRAINING_PODS": "5"},
        {"ANOMALY_RATE": "0.04"},
        {"SYNTHETIC_RATIO": "0.2"},
        {"N_SAMPLES": "3000"},
        {"DATA_SOURCE": "hybrid"},
        {"DATA_SOURCE": "synthetic"},
        {"PROMETHEUS_SCRAPE_INTERVAL": "15s"},
        {"PROMETHEUS_MATCHER": 'cluster="a"'},
        {"CLUSTER": "other"},
        {"FALLBACK": "cached"},
        {"MIN_COVERAGE": "0.4"},
        {"SYNTHETIC_END": "2026-10-31"},
    ],
    ids=str,
)
def test_another_setting_is_another_input(home: Path, lake: Lake, variables: dict[str, str]) -> None:
    before = inputs_of(request_of(home), lake, NOW)
    assert len(before) == 32
    assert inputs_of(request_of(home, **variables), lake, NOW) not in (before, "")


def _with_another_definition(request: Request) -> Request:
    other = replace(ENGINE_METRICS[-1], upper=7.0)
    return replace(request, view=replace(request.view, metrics=(*ENGINE_METRICS[:-1], other)))


@pytest.mark.parametrize(
    "change",
    [
        lambda request: replace(request, view=VIEWS[POD_SERIES]),
        lambda request: replace(request, announced="another version"),
        lambda request: replace(request, days=WINDOW[1:]),
        _with_another_definition,
        *(
            lambda request, update=update: replace(request, recipe=RECIPE.model_copy(update=update))
            for update in ({"seed": 43}, {"n_pods": 21}, {"days": 3}, {"anomaly_rate": 0.04}, {"cut": 5}, {"kinds": ()})
        ),
    ],
)
def test_another_request_is_another_input(home: Path, lake: Lake, change: Callable[[Request], Request]) -> None:
    request = request_of(home)
    assert inputs_of(change(request), lake, NOW) not in (inputs_of(request, lake, NOW), "")


def _change_a_sample(lake: Lake, metric: MetricSpec, day: date) -> None:
    wide, info = lake.read_day(metric, day)
    values = wide.to_numpy().copy()
    values[700, 0] += 0.01
    wide = pd.DataFrame(values, wide.index, wide.columns)
    lake.upsert_day(metric, day, wide, fetched=NOW, fetched_until=info.requested_until, closed=True)


def test_another_workload_is_another_input(home: Path, lake: Lake) -> None:
    request = request_of(home)
    before = inputs_of(request, lake, NOW)
    Workloads(lake.storage, lake.cluster).add(WINDOW[0], {"shop/cart-1": "StatefulSet/cart"}, closed=True)
    assert inputs_of(request, lake, NOW) not in (before, "")


@pytest.mark.parametrize("day", WINDOW, ids=str)
@pytest.mark.parametrize("metric", ENGINE_METRICS, ids=lambda metric: metric.name)
def test_another_sample_is_another_input(home: Path, lake: Lake, metric: MetricSpec, day: date) -> None:
    before = inputs_of(request_of(home), lake, NOW)
    _change_a_sample(lake, metric, day)
    assert inputs_of(request_of(home), lake, NOW) not in (before, "")


@pytest.mark.parametrize("view", NAMES)
def test_another_input_builds_anew(home: Path, lake: Lake, view: str) -> None:
    before = take(home, view)
    lake.drop_day(VIEWS[view].metrics[0], WINDOW[0])
    after = take(home, view)
    assert not after.is_reused
    assert after.record.days != before.record.days
    assert take(home, view).is_reused


def test_another_number_of_nodes_builds_anew(home: Path, lake: Lake) -> None:
    before = take(home)
    store(lake, NODE_CPU.members, counts(NODE_CPU.members, 3.0).mul([2 / 3] * 100 + [1.0] * 476, axis=0))
    after = take(home)
    assert (before.record.source.nodes, after.is_reused) == ({}, False)
    assert after.record.source.nodes[NODE_CPU.name].least == 2
    # The rows are the same, and so is their version; only what this build knows of them is not.
    assert after.record.data_version == before.record.data_version
    assert take(home).record == after.record


@pytest.mark.parametrize("metric", [*ENGINE_METRICS, NODE_CPU.members], ids=lambda metric: metric.name)
def test_a_day_less_is_another_input(home: Path, lake: Lake, metric: MetricSpec) -> None:
    before = inputs_of(request_of(home), lake, NOW)
    lake.drop_day(metric, WINDOW[0])
    assert inputs_of(request_of(home), lake, NOW) not in (before, "")


def test_a_day_that_closes_is_another_input(home: Path, lake: Lake) -> None:
    wide, info = lake.read_day(NODE_CPU, WINDOW[1])
    found = []
    for closed in (False, True):
        lake.drop_day(NODE_CPU, WINDOW[1])
        lake.upsert_day(NODE_CPU, WINDOW[1], wide, fetched=NOW, fetched_until=info.requested_until, closed=closed)
        found.append(inputs_of(request_of(home), lake, NOW))
    assert len({*found, ""}) == 3


@pytest.mark.parametrize("view", NAMES)
def test_a_build_reads_no_day_that_its_inputs_leave_out(
    home: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch, view: str
) -> None:
    read: set[str] = set()
    under = lake.storage.read

    def reading(path: str) -> bytes:
        read.add(path)
        return under(path)

    monkeypatch.setattr(lake.storage, "read", reading)
    request = request_of(home, view)
    inputs_of(request, lake, NOW)
    known = set(read)
    read.clear()
    training_set(request.view, request.settings, RECIPE, "", lake, WINDOW, NOW)
    assert read
    assert read <= known
    assert len(known) == (len(metrics_read(VIEWS[view])) + 2) * DAYS + 1  # workloads, what is intact, the last fetch


def test_other_code_is_another_input(home: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    before = inputs_of(request_of(home), lake, NOW)
    monkeypatch.setattr(reuse, "digest_of_code", lambda: "other code")
    assert inputs_of(request_of(home), lake, NOW) not in (before, "")


def test_other_libraries_are_another_input(home: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    before = inputs_of(request_of(home), lake, NOW)
    monkeypatch.setattr(reuse, "LIBRARIES", ("python 3.12.0",))
    assert inputs_of(request_of(home), lake, NOW) not in (before, "")


def _code_of(package: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(reuse, "PACKAGE", str(package))
    return reuse.digest_of_code.__wrapped__()


def test_the_digest_of_code_is_of_each_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hour_ago = time.time() - 3600
    (tmp_path / "room").mkdir()
    found = []
    for name, text in (("room/a.py", "A = 1\n"), ("room/a.py", "A = 2\n"), ("b.py", ""), ("room/c.txt", "")):
        (tmp_path / name).write_text(text)
        os.utime(tmp_path / name, (hour_ago, hour_ago))
        found.append(_code_of(tmp_path, monkeypatch))
    assert len(set(found[:3])) == 3
    assert found[3] == found[2]


def test_code_that_changed_since_it_was_imported_is_in_doubt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.py").write_text("A = 1\n")
    assert _code_of(tmp_path, monkeypatch) == ""
    (tmp_path / "a.py").unlink()
    assert _code_of(tmp_path, monkeypatch) == ""


def test_with_code_in_doubt_it_is_built_each_time(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reuse, "digest_of_code", lambda: "")
    assert [take(home).is_reused for _ in range(2)] == [False, False]


def test_days_of_a_server_that_is_away_are_blended_anew(home: Path, lake: Lake) -> None:
    take(home)
    lake.note_fetch(outcome(reached=False))
    found = stored_training_set(
        request_of(home, MIN_COVERAGE="0"), POD_FEATURES, lake, stores_of(settings_of(home)).training_sets(), NOW
    )
    assert (found.is_reused, inputs_of(request_of(home), lake, NOW)) == (False, "")


def test_a_damaged_day_is_in_doubt(home: Path, lake: Lake) -> None:
    take(home)
    path = next((home / "lake").rglob(f"metric={ENGINE_METRICS[2].name}/**/day=*.parquet"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert inputs_of(request_of(home), lake, NOW) == ""


def test_a_window_that_was_not_fetched_is_refused_as_without_a_stored_set(home: Path, lake: Lake) -> None:
    take(home)
    wide, info = lake.read_day(NODE_CPU, WINDOW[1])
    lake.drop_day(NODE_CPU, WINDOW[1])
    lake.upsert_day(NODE_CPU, WINDOW[1], wide, fetched=NOW, fetched_until=info.requested_until, closed=False)
    lake.note_fetch(outcome(last=0))
    with raises(NotFoundError, "window_not_fetched"):
        take(home)


def test_days_of_two_clusters_are_refused_as_without_a_stored_set(home: Path, lake: Lake) -> None:
    take(home)
    for day, cluster in zip(WINDOW, ("one", "two"), strict=True):
        wide, info = lake.read_day(NODE_CPU, day)
        lake.drop_day(NODE_CPU, day)
        until = info.requested_until
        lake.upsert_day(NODE_CPU, day, wide, fetched=NOW, fetched_until=until, closed=True, cluster_id=cluster)
    with raises(IntegrityError, "mixed_clusters"):
        take(home)


def test_days_that_change_during_a_build_are_in_doubt(home: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*arguments: object) -> object:
        found = training_set(*arguments)  # type: ignore[arg-type]
        lake.drop_day(NODE_CPU.members, WINDOW[0])
        return found

    with monkeypatch.context() as patch:
        patch.setattr(reuse, "training_set", build)
        take(home)
    assert [take(home).is_reused for _ in range(2)] == [False, True]


def test_sets_of_one_view_and_two_sources_are_kept_apart(home: Path, lake: Lake, sets: TrainingSets) -> None:
    requests = {
        "real": request_of(home, CLUSTER_METRICS_VIEW),
        "blend": request_of(home, CLUSTER_METRICS_VIEW, SYNTHETIC_RATIO="0.5"),
    }
    found = [
        stored_training_set(request, name, lake, sets, NOW).is_reused
        for _ in range(2)
        for name, request in requests.items()
    ]
    assert found == [False, False, True, True]

"""Retention of the lake: what is old goes, and what a kept version was trained on or a window reads stays."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from aiops_assets.commands.cli import main
from aiops_assets.datasets.newest import CLUSTER_DAYS
from aiops_assets.errors import IntegrityError
from aiops_assets.registry.lineage import LineageReader
from aiops_assets.registry.retention import Expired, expired, first_kept, prune
from aiops_assets.settings import Settings
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.lake_files import stored_days
from aiops_assets.storage.records import Day, TrainingSetRecord
from aiops_assets.storage.storage import LocalStorage
from aiops_assets.timeseries.catalog import POD_CPU, MetricSpec
from aiops_assets.timeseries.schema import combined_digest, content_digest
from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.raising import raises
from aiops_assets_tests.registry.champion_home import ChampionHome

TODAY = datetime.now(UTC).date()
"""The command looks at the clock."""
OLD = [TODAY - timedelta(days=days) for days in (400, 399, 398)]
NEW = TODAY - timedelta(days=CLUSTER_DAYS)
CHANGED = replace(POD_CPU, promql="sum(an_earlier_query) by (pod)")


@pytest.fixture
def lake(home: ChampionHome) -> Lake:
    """A metric, its companion, and the days of its earlier query: three old days and a new one of each."""
    found = Lake(LocalStorage(home.folder), "default")
    for metric in (POD_CPU, POD_CPU.members, CHANGED):
        for day in (*OLD, NEW):
            put(found, metric, day)
    return found


def put(lake: Lake, metric: MetricSpec, day: date) -> str:
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    grid = pd.date_range(begin, periods=10, freq=f"{metric.step_seconds}s", unit="us", name="timestamp")
    wide, end = pd.DataFrame(0.5, index=grid, columns=['{"pod":"a"}']), begin + timedelta(days=1)
    info, _ = lake.upsert_day(metric, day, wide, fetched=end, fetched_until=end, closed=True)
    assert info
    return info.digest


def trained_on(home: ChampionHome, lake: Lake, metric: MetricSpec, day: date, *, names_query: bool = True) -> int:
    """A version whose training set was made of a day of the lake."""
    digests = {metric.name: lake.read_day(metric, day)[1].digest}
    times = pd.date_range(day, periods=10, freq="1min", tz="UTC")
    rows = pd.DataFrame({"timestamp": times, "x": np.arange(10.0), "source": "synthetic"})
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    record = TrainingSetRecord(
        view="pod_features",
        data_version=content_digest(rows),
        rows_sha256="",
        cluster="default",
        effective_source="prometheus",
        window_start=midnight,
        window_end=midnight + timedelta(days=1),
        rows=len(rows),
        label_rate=0.0,
        anomaly_rate=0.0,
        seed=1,
        pods=("a",),
        queries={metric.name: metric.promql} if names_query else {},
        days=(Day(day=day.isoformat(), source="prometheus", digest=combined_digest(digests), metrics=digests),),
    )
    home.training_sets.put(rows, record)
    digest = home.training_sets.record_sha256(record.view, record.data_version)
    return home.add(data_version=record.data_version, training_set_sha256=digest)


def settings(home: ChampionHome, **variables: str) -> Settings:
    return make_settings(home.folder, **{"KEEP_LAKE_DAYS": "30", "SYNTHETIC_END": TODAY.isoformat(), **variables})


def found(home: ChampionHome, lake: Lake, **variables: str) -> Expired:
    return expired(lake, home.served, home.training_sets, settings(home, **variables), TODAY)


def test_what_is_old_goes_with_companions_and_days_of_earlier_queries(home: ChampionHome, lake: Lake) -> None:
    every = set(stored_days(lake))
    assert len(every) == 12
    old = found(home, lake)
    assert set(old.removable) == {stored for stored in every if stored.day in OLD}
    assert old.needed == 0
    prune(lake, old)
    prune(lake, old)
    assert {stored.day for stored in stored_days(lake)} == {NEW}
    assert lake.days(POD_CPU) == lake.days(POD_CPU.members) == lake.days(CHANGED) == [NEW]
    left = {path.name for path in Path(lake.storage.locate("lake")).rglob("*day=*")}
    assert not [name for name in left if any(day.isoformat() in name for day in OLD)]
    assert found(home, lake).removable == ()


def test_without_the_setting_everything_stays(home: ChampionHome, lake: Lake) -> None:
    assert make_settings(home.folder).keep_lake_days is None
    unset = expired(lake, home.served, home.training_sets, make_settings(home.folder), TODAY)
    assert unset.removable == ()


def test_the_longest_window_stays_however_little_is_kept(home: ChampionHome) -> None:
    few = first_kept(settings(home, KEEP_LAKE_DAYS="1"), TODAY)
    assert few
    assert few < TODAY - timedelta(days=CLUSTER_DAYS)
    longer = first_kept(settings(home, KEEP_LAKE_DAYS="1", TRAINING_DAYS="90"), TODAY)
    assert longer
    assert longer < TODAY - timedelta(days=90)
    earlier = settings(home, SYNTHETIC_END=(TODAY - timedelta(days=300)).isoformat())
    assert (first_kept(earlier, TODAY) or TODAY) < TODAY - timedelta(days=300 + CLUSTER_DAYS)
    assert first_kept(settings(home, KEEP_LAKE_DAYS="200"), TODAY) == TODAY - timedelta(days=200)


@pytest.mark.parametrize("metric", [POD_CPU, CHANGED])
def test_the_lineage_of_a_kept_version_still_verifies(home: ChampionHome, lake: Lake, metric: MetricSpec) -> None:
    """The one that is served, also one that was rolled back to; whichever query it was fetched with."""
    version = trained_on(home, lake, metric, OLD[1])
    trained_on(home, lake, POD_CPU, NEW)
    home.serve(version, home.champion())
    old = found(home, lake)
    prune(lake, old)
    assert old.needed == 2  # the day, and that of its companion
    assert lake.days(metric) == [OLD[1], NEW]
    reader = LineageReader(home.served, home.training_sets, lake, home.tracker)
    assert [day.state for day in reader.trace(home.name).days] == ["verified"]
    home.serve(max(home.served.versions(home.name)), version)
    assert found(home, lake).removable == ()
    home.served.remove(home.name, version)
    assert {stored.day for stored in found(home, lake).removable} == {OLD[1]}


def test_a_record_without_queries_keeps_the_day_of_every_query(home: ChampionHome, lake: Lake) -> None:
    trained_on(home, lake, POD_CPU, OLD[0], names_query=False)
    prune(lake, found(home, lake))
    assert lake.days(POD_CPU) == lake.days(CHANGED) == lake.days(POD_CPU.members) == [OLD[0], NEW]


@pytest.mark.parametrize("lost", ["record", "manifest"])
def test_nothing_goes_while_the_days_of_a_version_are_not_known(home: ChampionHome, lake: Lake, lost: str) -> None:
    version = trained_on(home, lake, POD_CPU, OLD[0])
    manifest = home.served.manifest(home.name, version)
    record = home.training_sets.path(manifest.view, manifest.data_version)
    broken = {
        "record": home.folder / record / "record.json",
        "manifest": home.model_folder / f"{version}/manifest.json",
    }
    assert broken[lost].exists()
    broken[lost].write_text("{}")
    with raises(IntegrityError, "unknown_days", name=home.name, version=version):
        found(home, lake)
    assert len(set(stored_days(lake))) == 12


def test_a_kill_in_between_leaves_whole_days(home: ChampionHome, lake: Lake) -> None:
    old = found(home, lake)
    removed: list[str] = []
    whole = lake.storage.remove

    def killed(path: str) -> None:
        if len(removed) == 5:
            raise KeyboardInterrupt
        removed.append(path)
        whole(path)

    lake.storage.remove = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        prune(lake, old)
    lake.storage.remove = whole  # type: ignore[method-assign]
    left = [(metric, day) for metric in (POD_CPU, POD_CPU.members, CHANGED) for day in lake.days(metric)]
    assert 3 < len(left) < 12
    assert {lake.read_day(metric, day)[1].samples for metric, day in left} == {10}
    prune(lake, found(home, lake))
    assert {stored.day for stored in stored_days(lake)} == {NEW}


def test_the_command_removes_nothing_without_yes(
    home: ChampionHome, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIOPS_HOME", str(home.folder))

    def aiops(*more: str) -> int:
        return CliRunner().invoke(main, ["lake", "prune", *more]).exit_code

    assert aiops("--yes") == 2
    monkeypatch.setenv("KEEP_LAKE_DAYS", "30")
    assert aiops() == 1
    assert len(set(stored_days(lake))) == 12
    assert aiops("--yes") == 0
    assert len(set(stored_days(lake))) == 3
    assert aiops("--yes") == aiops() == 0

"""Looks at drift: what is read, what is kept, when a drift begins and ends, and what is not judged."""

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aiops_assets.datasets.drift import episode, line
from aiops_assets.pipeline.resources import stores_of
from aiops_assets.storage.drift import DriftReport
from aiops_assets.timeseries.catalog import FORECAST_METRICS, POD_CPU, RESTARTS, MetricSpec
from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.datasets.drift_home import (
    DAY,
    DETECTOR,
    FIRST,
    FORECASTER,
    LIVE,
    TRAINED_DAYS,
    DriftHome,
    grid,
    one_line,
)

NAMES = {metric.name for metric in FORECAST_METRICS}
HOUR = timedelta(hours=1)


@pytest.fixture
def home(tmp_path: Path) -> DriftHome:
    """A home whose champion was trained on seven days; two more are in the lake."""
    made = DriftHome(stores_of(make_settings(tmp_path)), FORECASTER)
    made.fill(TRAINED_DAYS + 2, one_line())
    made.serve()
    return made


def profiles(home: DriftHome) -> dict[str, bytes]:
    folder = Path(home.stores.home, "drift", "cluster=default", "profiles")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_ordinary_days_are_compared_and_have_not_drifted(home: DriftHome) -> None:
    report = home.looks().newest(LIVE + DAY)
    assert {one.metric for one in report.metrics} == NAMES
    assert {one.models for one in report.metrics} == {(FORECASTER.name,)}
    assert {one.coverage for one in report.metrics} == {1.0}
    assert (report.drifted, report.since, report.text, report.not_judged) == ((), None, "", {})
    assert home.stores.drift().newest() == report


def test_one_cluster_of_a_shared_server_is_judged_too(tmp_path: Path) -> None:
    home = DriftHome(stores_of(make_settings(tmp_path, PROMETHEUS_MATCHER='cluster="a"')), FORECASTER)
    home.fill(TRAINED_DAYS + 2, one_line())
    home.serve()
    report = home.looks().newest(LIVE + DAY)
    assert ({one.metric for one in report.metrics}, report.not_judged) == (NAMES, {})


def test_a_shift_is_a_drift_that_names_its_metrics(home: DriftHome) -> None:
    home.fill(1, one_line(shift=1.0), after=LIVE.date())
    report = home.looks().newest(LIVE + DAY)
    assert {one.metric for one in report.drifted} == NAMES
    assert report.since == LIVE + DAY
    assert all(name in report.text for name in NAMES)
    assert all(0.5 < one.shift < 1.5 and one.psi > 0.25 and one.ks > 0.25 for one in report.metrics)


def test_a_drift_is_one_until_a_day_without(home: DriftHome) -> None:
    home.fill(1, one_line(shift=1.0), after=LIVE.date())
    home.fill(3, one_line(seed=2), after=LIVE.date() + DAY)
    first = home.looks().newest(LIVE + DAY)
    again = home.looks().newest(LIVE + DAY + 2 * HOUR)
    assert (first.since, again.since) == (LIVE + DAY, LIVE + DAY)
    after = home.looks().newest(LIVE + 2 * DAY)
    assert (after.drifted, after.since) == ((), LIVE + DAY)
    assert after.text
    assert home.looks().newest(LIVE + 3 * DAY + 3 * HOUR).since is None


def test_a_drift_that_has_begun_goes_on_near_its_limit() -> None:
    begun = DriftReport(when=LIVE, champions={}, since=LIVE, seen=LIVE)
    assert episode(False, True, LIVE + DAY, begun) == (LIVE, LIVE + DAY)
    assert episode(False, False, LIVE + DAY, begun) == (LIVE, LIVE)
    assert episode(False, True, LIVE + DAY, None) == (None, None)
    assert episode(True, True, LIVE + 2 * DAY, begun) == (LIVE + 2 * DAY, LIVE + 2 * DAY)


def test_another_champion_begins_anew(home: DriftHome) -> None:
    home.fill(1, one_line(shift=1.0), after=LIVE.date())
    home.looks().newest(LIVE + DAY)
    home.serve(version=2)
    report = home.looks().newest(LIVE + DAY + HOUR / 2)
    assert report.since == LIVE + DAY + HOUR / 2


def test_looks_are_an_hour_apart(home: DriftHome) -> None:
    first = home.looks().newest(LIVE + DAY)
    assert home.looks().newest(LIVE + DAY + HOUR / 2) == first
    assert home.looks().newest(LIVE + DAY + HOUR).when == LIVE + DAY + HOUR


def test_profiles_are_made_once_and_again_where_they_are_damaged(home: DriftHome) -> None:
    home.looks().newest(LIVE + DAY)
    first = profiles(home)
    assert len(first) == len(NAMES)
    folder = Path(home.stores.home, "drift", "cluster=default", "profiles")
    damaged, missing = sorted(first)[:2]
    (folder / damaged).write_bytes(b"{")
    (folder / missing).unlink()
    (folder / "of-an-earlier-champion.json").write_bytes(b"{}")
    home.looks().newest(LIVE + DAY + 2 * HOUR)
    assert profiles(home) == first
    (folder.parent / "newest.json").write_bytes(b"damaged")
    assert home.stores.drift().newest() is None
    assert home.looks().newest(LIVE + DAY + 2 * HOUR).metrics


def test_a_profile_is_small_and_gives_the_same_figures_when_it_was_stored(home: DriftHome) -> None:
    made = home.looks().newest(LIVE + DAY)
    read = home.looks().newest(LIVE + DAY + HOUR)
    assert max(map(len, profiles(home).values())) < 20_000
    assert json.loads(next(iter(profiles(home).values())))["days"] == TRAINED_DAYS
    home.stores.drift().put(made.model_copy(update={"when": LIVE}))
    assert home.looks().newest(LIVE + DAY).metrics == made.metrics
    assert read.metrics


def test_what_cannot_be_judged_is_named(home: DriftHome, tmp_path: Path) -> None:
    changed, *others = sorted(NAMES)
    home.serve(version=2, queries={m.name: m.promql if m.name != changed else "up" for m in FORECAST_METRICS})
    report = home.looks().newest(LIVE + DAY)
    assert set(report.not_judged) == {changed}
    assert {one.metric for one in report.metrics} == set(others)
    late = home.looks().newest(LIVE + 4 * DAY)
    assert late.metrics == ()
    assert set(late.not_judged) == NAMES
    home.stores.training_sets().storage.remove(
        f"{home.stores.training_sets().path(FORECASTER.view, f'{2:032d}')}/record.json"
    )
    assert set(home.looks().newest(LIVE + 5 * DAY).not_judged) == {FORECASTER.name}


def test_days_that_left_the_lake_are_not_judged(tmp_path: Path) -> None:
    home = DriftHome(stores_of(make_settings(tmp_path)), FORECASTER)
    home.fill(2, one_line())
    home.serve()
    assert set(home.looks().newest(LIVE + DAY).not_judged) == NAMES


@pytest.mark.parametrize("source", ["", "synthetic"])
def test_without_a_champion_of_fetched_days_there_is_nothing_to_compare(tmp_path: Path, source: str) -> None:
    home = DriftHome(stores_of(make_settings(tmp_path)), FORECASTER)
    if source:
        home.serve(source=source)
    report = home.looks().newest(LIVE)
    assert (report.champions, report.metrics, report.not_judged, report.since) == ({}, (), {}, None)


def test_a_report_of_an_earlier_look_is_not_that_of_the_future(home: DriftHome) -> None:
    later = home.looks().newest(LIVE + 2 * DAY)
    assert home.looks().newest(LIVE + DAY).when < later.when


def pods(names: list[str], level: float = 1.0) -> pd.DataFrame:
    times = grid(POD_CPU, FIRST)
    return pd.DataFrame({f'{{"pod":"{name}"}}': level for name in names}, index=times)


def put(home: DriftHome, metric: MetricSpec, day: date, wide: pd.DataFrame) -> None:
    end = LIVE
    home.lake.upsert_day(metric, day, wide, fetched=end, fetched_until=end, closed=True)


def test_the_line_of_a_metric_is_the_mean_of_its_pods_whatever_their_names(tmp_path: Path) -> None:
    home = DriftHome(stores_of(make_settings(tmp_path)), DETECTOR)
    put(home, POD_CPU, FIRST, pods(["a", "b"]).assign(**{'{"pod":"c"}': 4.0}))
    begin = LIVE - TRAINED_DAYS * DAY
    seconds, values = line(home.lake, POD_CPU, [FIRST, FIRST + DAY], begin, begin + DAY / 2)
    assert (len(seconds), set(np.diff(seconds)), seconds[0]) == (144, {300}, int(begin.timestamp()))
    assert set(values) == {2.0}


def test_the_line_of_a_counter_is_how_much_it_rose(tmp_path: Path) -> None:
    home = DriftHome(stores_of(make_settings(tmp_path)), DETECTOR)
    wide = pods(["a", "b"], level=7.0)
    wide.iloc[100:, 0] += 3.0
    wide.iloc[200:, 1] = 0.0  # replaced by a new pod of the same name
    put(home, RESTARTS, FIRST, wide)
    begin = LIVE - TRAINED_DAYS * DAY
    values = line(home.lake, RESTARTS, [FIRST], begin, begin + DAY)[1]
    assert values.sum() == 3.0
    assert values[20] == 3.0


def test_a_report_of_other_code_is_none(home: DriftHome) -> None:
    report = home.looks().newest(LIVE + DAY)
    newest = Path(home.stores.home, "drift", "cluster=default", "newest.json")
    newest.write_text(json.dumps({**json.loads(report.to_bytes()), "of_later_code": 1}))
    assert home.stores.drift().newest() is None
    assert DriftReport.model_validate_json(report.to_bytes()) == report

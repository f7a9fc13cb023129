"""Metrics of one's own: scored, banded, alerted and forecast, as their entries want it."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aiops_assets.registry.metric_scoring import HORIZONS, score_metrics
from aiops_assets.registry.metric_tables import MetricTables, with_metrics
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.metric_state import MetricStates
from aiops_assets.storage.scores import (
    FORECAST_COLUMNS,
    METRIC_NOT_FETCHED,
    METRIC_WITHOUT_VALUES,
    SCORE_COLUMNS,
    ScoresRecord,
    ScoresRun,
    no_rows,
)
from aiops_assets.storage.storage import LocalStorage
from aiops_assets.timeseries.catalog import MetricSpec
from aiops_assets.timeseries.series import Floats
from aiops_assets.timeseries.watch import OwnMetric, Watch, parse_window

STEP = 1800
DAYS = 5
BEGIN = datetime(2026, 11, 2, tzinfo=UTC)
"""A Monday; the newest rows are those of a Saturday at noon."""
NOW = BEGIN + timedelta(days=DAYS, hours=12, minutes=1)
ROWS = (DAYS * 24 + 12) * 3600 // STEP + 1
QUEUES = tuple(json.dumps({"queue": name}) for name in ("orders", "test-a"))
SPEC = MetricSpec("depth", "max by (queue) (depth)", "messages", "labels", "", step_seconds=STEP, labels=("queue",))
OWN = OwnMetric(SPEC)


def levels(bump: float = 0.0, rows: int = 3) -> Floats:
    """(2, ROWS) around 100 with noise of 2; the first one is another in its newest rows."""
    values = 100 + np.random.default_rng(5).normal(0, 2, (2, ROWS))
    values[0, ROWS - rows :] += bump
    return values


class Home:
    """A lake and states below a folder, and runs over them."""

    def __init__(self, folder: Path) -> None:
        self.lake = Lake(LocalStorage(folder), "prod")
        self.states = MetricStates(LocalStorage(folder), "prod")

    def store(self, spec: MetricSpec, values: Mapping[str, Floats], first: int = 0, stop: int = ROWS) -> None:
        times = pd.date_range(BEGIN, periods=ROWS, freq=f"{STEP}s", name="timestamp")[first:stop]
        frame = pd.DataFrame({name: one[first:stop] for name, one in values.items()}, index=times)
        for day, part in frame.groupby(times.date):
            assert isinstance(day, date)
            self.lake.upsert_day(spec, day, part, fetched=NOW, fetched_until=NOW, closed=False)

    def run(self, *metrics: OwnMetric, most: int = 100, now: datetime = NOW) -> MetricTables:
        return score_metrics(metrics, self.lake, self.states, now, {}, most)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def alerted(tables: MetricTables) -> set[str]:
    rows = tables.scores
    return set(rows.loc[rows["alert"].astype(bool), "entity"])


def test_a_series_that_leaves_its_band_is_an_alert_with_its_entity(home: Home) -> None:
    home.store(SPEC, dict(zip(QUEUES, levels(60.0), strict=True)))
    tables = home.run(OWN)
    rows = tables.scores
    newest = rows[rows["timestamp"] == rows["timestamp"].max()].set_index("entity")
    assert alerted(tables) == {"queue=orders"}
    assert newest.loc["queue=orders", "score"] > 1 > newest.loc["queue=test-a", "score"]
    assert json.loads(newest.loc["queue=orders", "labels"]) == {"queue": "orders"}
    assert newest.loc["queue=orders", "upper"] < newest.loc["queue=orders", "value"]
    assert newest["expected"].between(95, 105).all()
    assert set(newest["severity"]) == {"warning"}
    assert tables.until == pd.Timestamp(NOW).floor("30min")
    assert len(rows) == 2 * 2  # two rows an hour


@pytest.mark.parametrize(
    ("watch", "bump", "alarms"),
    [
        ({}, 60.0, True),
        ({"direction": "down"}, 60.0, False),
        ({"direction": "up"}, 60.0, True),
        ({"direction": "up"}, -60.0, False),
        ({"direction": "down"}, -60.0, True),
        ({"direction": "both"}, -60.0, True),
        ({"severity": "critical"}, 60.0, True),
        ({"silence": True}, 60.0, True),
        ({"min_deviation": 80.0}, 60.0, False),
        ({"min_deviation": 40.0}, 60.0, True),
        ({"min_deviation_ratio": 0.8}, 60.0, False),
        ({"min_deviation_ratio": 0.2}, 60.0, True),
        ({"exclude": {"queue": ("ord*",)}}, 60.0, False),
        ({"exclude": {"queue": ("test-*",)}}, 60.0, True),
        ({"business_hours": (parse_window("Mon-Fri 08:00-18:00"),)}, 60.0, False),
        ({"business_hours": (parse_window("Sat 08:00-18:00"),)}, 60.0, True),
        ({"business_hours": (parse_window("Sat 08:00-18:00"),), "time_zone": "Asia/Tokyo"}, 60.0, False),
        ({"business_hours": (parse_window("Sat 08:00-18:00"),), "time_zone": "Europe/Berlin"}, 60.0, True),
        (
            {"business_hours": (parse_window("Sat 08:00-18:00"),), "holidays": frozenset({date(2026, 11, 7)})},
            60.0,
            False,
        ),
        (
            {"business_hours": (parse_window("Sat 08:00-18:00"),), "holidays": frozenset({date(2026, 11, 6)})},
            60.0,
            True,
        ),
        ({"maintenance": (parse_window("2026-11-07T10:00/2026-11-07T13:00"),)}, 60.0, False),
        ({"maintenance": (parse_window("2026-11-07T13:00/2026-11-07T14:00"),)}, 60.0, True),
    ],
)
def test_each_knob_changes_the_answer_or_must_not(home: Home, watch: dict[str, Any], bump: float, alarms: bool) -> None:
    home.store(SPEC, dict(zip(QUEUES, levels(bump), strict=True)))
    assert (alerted(home.run(replace(OWN, watch=Watch(**watch)))) == {"queue=orders"}) is alarms


def test_excluded_series_are_not_scored_at_all(home: Home) -> None:
    home.store(SPEC, dict(zip(QUEUES, levels(), strict=True)))
    tables = home.run(replace(OWN, watch=Watch(exclude={"queue": ("test-*",)})))
    assert set(tables.scores["entity"]) == {"queue=orders"}


def test_a_single_row_outside_is_no_alert(home: Home) -> None:
    home.store(SPEC, dict(zip(QUEUES, levels(60.0, rows=1), strict=True)))
    tables = home.run(OWN)
    assert tables.scores["score"].max() > 1
    assert not alerted(tables)


def test_a_run_goes_on_from_the_one_before_and_gives_what_one_run_gives(home: Home, tmp_path: Path) -> None:
    values = dict(zip(QUEUES, levels(60.0), strict=True))
    other = Home(tmp_path / "other")
    other.store(SPEC, values)
    whole = other.run(replace(OWN, forecast=True))
    for stop in (ROWS - 40, ROWS - 2, ROWS):
        home.store(SPEC, values, 0 if stop == ROWS - 40 else stop - 60, stop)
        tables = home.run(replace(OWN, forecast=True))
    pd.testing.assert_frame_equal(tables.scores, whole.scores)
    pd.testing.assert_frame_equal(tables.ahead, whole.ahead, rtol=1e-6)
    # Without anything new the answer stays.
    pd.testing.assert_frame_equal(home.run(OWN).scores, whole.scores)


def test_days_that_are_fetched_later_are_learnt_from(home: Home) -> None:
    values = dict(zip(QUEUES, levels(60.0), strict=True))
    home.store(SPEC, values, ROWS - 20)
    assert home.run(OWN).scores["score"].isna().all()
    home.store(SPEC, values, 0, ROWS - 20)
    assert alerted(home.run(OWN)) == {"queue=orders"}


def test_a_counter_is_scored_by_its_increase(home: Home) -> None:
    per_second = np.abs(levels()) / 100
    per_second[0, ROWS - 3 :] *= 3
    counts = np.cumsum(per_second * STEP, axis=1)
    counts[1, ROWS // 2 :] -= counts[1, ROWS // 2]  # a restart
    home.store(SPEC, dict(zip(QUEUES, counts, strict=True)))
    tables = home.run(replace(OWN, counter=True))
    rows = tables.scores
    assert alerted(tables) == {"queue=orders"}
    assert rows.loc[rows["entity"] == "queue=test-a", "value"].between(0.8, 1.2).all()
    assert set(rows["unit"]) == {"messages/s"}
    assert not tables.counters
    assert home.run(OWN).counters == ("depth",)  # the user is told of a gauge that counts


def test_a_gauge_is_not_taken_for_a_counter(home: Home) -> None:
    home.store(SPEC, dict(zip(QUEUES, levels(), strict=True)))
    assert not home.run(OWN).counters


@pytest.mark.parametrize("most", [0, 1, 2])
def test_series_above_the_limit_are_counted(home: Home, most: int) -> None:
    home.store(SPEC, dict(zip(QUEUES, levels(), strict=True)))
    tables = home.run(OWN, most=most)
    assert (len(set(tables.scores["entity"])), tables.above_cap) == (most, 2 - most)


def test_forecasts_are_made_where_they_are_asked_for(home: Home) -> None:
    home.store(SPEC, dict(zip(QUEUES, levels(), strict=True)))
    assert home.run(OWN).ahead.empty
    ahead = home.run(replace(OWN, forecast=True)).ahead
    # Half hours have no forecast of five minutes.
    assert set(ahead["horizon_seconds"]) == {HORIZONS["1h"], HORIZONS["24h"]}
    assert len(ahead) == 4
    assert ahead["value"].between(90, 110).all()
    assert (ahead["lower"] <= ahead["value"]).all()
    assert (ahead["value"] <= ahead["upper"]).all()
    assert (ahead["upper"] - ahead["lower"]).between(1, 20).all()


@pytest.mark.parametrize("per", ["pod", "node", "cluster"])
def test_entities_of_each_kind(home: Home, per: Any) -> None:
    labels = {
        "pod": {"namespace": "shop", "pod": "cart-7d9f8b6c5-x2x4z"},
        "node": {"instance": "node-1"},
        "cluster": {},
    }[str(per)]
    spec = MetricSpec("mine", "mine", "count", per, "", step_seconds=STEP)
    home.store(spec, {json.dumps(labels): levels()[0]})
    rows = home.run(OwnMetric(spec)).scores
    entity, shown = {
        "pod": ("shop/cart-7d9f8b6c5-x2x4z", {**labels, "workload": "cart"}),
        "node": ("node-1", {"node": "node-1"}),
        "cluster": ("", {}),
    }[str(per)]
    assert set(rows["entity"]) == {entity}
    assert json.loads(rows["labels"].iloc[0]) == shown


@pytest.mark.parametrize(
    ("bounds", "cut"), [({}, False), ({"lower": -5.0, "upper": 500.0}, False), ({"lower": 99.0, "upper": 101.0}, True)]
)
def test_a_band_ends_where_values_must_and_nowhere_else(home: Home, bounds: dict[str, Any], cut: bool) -> None:
    home.store(SPEC, dict(zip(QUEUES, levels(), strict=True)))
    bounded = replace(OWN, spec=replace(SPEC, **bounds))
    rows = home.run(bounded).scores
    assert bool(rows["lower"].min() >= 99.0) is cut
    assert bool(rows["upper"].max() <= 101.0) is cut


@pytest.mark.parametrize("severity", ["info", "warning", "critical"])
def test_a_severity_is_that_of_the_entry(home: Home, severity: Any) -> None:
    home.store(SPEC, dict(zip(QUEUES, levels(60.0), strict=True)))
    assert set(home.run(replace(OWN, watch=Watch(severity=severity))).scores["severity"]) == {severity}


def test_a_pod_of_two_namespaces_is_two(home: Home) -> None:
    spec = MetricSpec("mine", "mine", "count", "pod", "", step_seconds=STEP)
    pods = [json.dumps({"namespace": namespace, "pod": "db-0"}) for namespace in ("blog", "shop")]
    home.store(spec, dict(zip(pods, levels(60.0), strict=True)))
    tables = home.run(OwnMetric(spec))
    assert set(tables.scores["entity"]) == {"blog/db-0", "shop/db-0"}
    assert alerted(tables) == {"blog/db-0"}


def test_values_of_labels_that_hold_separators_are_two_entities(home: Home) -> None:
    spec = replace(SPEC, labels=("a", "b"))
    series = [json.dumps(one) for one in ({"a": "1, b=2", "b": "3"}, {"a": "1", "b": "2, b=3"})]
    home.store(spec, dict(zip(series, levels(60.0), strict=True)))
    assert set(home.run(OwnMetric(spec)).scores["entity"]) == {'a="1, b=2", b=3', 'a=1, b="2, b=3"'}


def test_a_new_series_is_shown_from_its_first_row_and_judged_when_two_hours_are_known(home: Home) -> None:
    new = levels()
    new[1, : ROWS - 2] = np.nan
    home.store(SPEC, dict(zip(QUEUES, new, strict=True)))
    rows = home.run(OWN).scores
    known, young = (rows[rows["entity"] == entity] for entity in ("queue=orders", "queue=test-a"))
    assert len(young) == len(known) > 0
    assert young["value"].notna().all()
    assert young[["score", "lower", "upper"]].isna().to_numpy().all()
    assert known[["score", "lower", "upper"]].notna().to_numpy().all()


def test_a_damaged_state_is_learnt_anew(home: Home, tmp_path: Path) -> None:
    home.store(SPEC, dict(zip(QUEUES, levels(60.0), strict=True)))
    first = home.run(OWN)
    file = next(tmp_path.rglob("depth.npz"))
    file.write_bytes(file.read_bytes()[:-100])
    pd.testing.assert_frame_equal(home.run(OWN).scores, first.scores)


def test_a_metric_without_a_sample_has_no_rows(home: Home) -> None:
    tables = home.run(OWN)
    assert (len(tables.scores), len(tables.ahead), tables.until) == (0, 0, None)


def test_a_metric_that_never_had_a_value_is_named(home: Home) -> None:
    home.store(SPEC, dict(zip(QUEUES, levels(), strict=True)))
    other = replace(OWN, spec=replace(SPEC, name="misspelt"))
    tables = home.run(OWN, other)
    assert tables.empty == ("misspelt",)
    run = ScoresRun(
        ScoresRecord(cluster="prod", made_at=NOW, source="prometheus", code_version="0", unwatched={"above_cap": 2}),
        no_rows(SCORE_COLUMNS),
        no_rows(FORECAST_COLUMNS),
    )
    for not_fetched, counted in (([], (0, 1)), (["depth"], (1, 1)), (["depth", "misspelt"], (2, 0))):
        record = with_metrics(run, tables, dict.fromkeys(not_fetched, "refused")).record
        unwatched = record.unwatched
        assert unwatched
        assert record.metrics_not_scored.keys() == {*not_fetched, "misspelt"}
        assert (unwatched[METRIC_NOT_FETCHED], unwatched[METRIC_WITHOUT_VALUES]) == counted
        assert unwatched["above_cap"] == 2

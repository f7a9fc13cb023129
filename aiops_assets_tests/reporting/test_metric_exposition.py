"""What a scrape finds of the metrics of one's own, and of what has stopped."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from aiops_assets.reporting.metric_exposition import MetricCollector, shown_metrics
from aiops_assets.storage.scores import (
    AHEAD_COLUMNS,
    FORECAST_COLUMNS,
    METRIC_COLUMNS,
    METRICS,
    SCORE_COLUMNS,
    SILENCE_COLUMNS,
    Scores,
    ScoresRecord,
    ScoresRun,
    no_rows,
)
from aiops_assets.storage.storage import LocalStorage

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
ORDERS = json.dumps({"queue": "orders", "severity": "theirs"})
NAN = float("nan")


def row(
    minute: int, score: float, alert: bool, labels: str = ORDERS, entity: str = "queue=orders"
) -> tuple[object, ...]:
    when = pd.Timestamp(AT - timedelta(minutes=minute))
    band = (10.0, 5.0, 15.0) if score == score else (NAN, NAN, NAN)
    return (when, "depth", "messages", entity, labels, 20.0 + minute, score, *band, alert, "critical")


def run(rows: Iterable[tuple[object, ...]], made_at: datetime = AT, silent: bool = False) -> ScoresRun:
    ahead = [(pd.Timestamp(AT), "depth", "messages", "queue=orders", ORDERS, 3600, 11.0, 6.0, 16.0)]
    gone = [(pd.Timestamp(AT), "node_gone", "", "n1", json.dumps({"node": "n1"}), pd.Timestamp(AT), "critical")]
    return ScoresRun(
        ScoresRecord(
            cluster="prod",
            made_at=made_at,
            source="prometheus",
            code_version="0",
            shown_minutes=10,
            silence_until=AT if silent else None,
        ),
        no_rows(SCORE_COLUMNS),
        no_rows(FORECAST_COLUMNS),
        metrics=pd.DataFrame(list(rows), columns=list(METRIC_COLUMNS)),
        ahead=pd.DataFrame(ahead, columns=list(AHEAD_COLUMNS)),
        silence=pd.DataFrame(gone if silent else [], columns=list(SILENCE_COLUMNS)),
    )


@pytest.fixture
def store(tmp_path: Path) -> Scores:
    return Scores(LocalStorage(tmp_path), "prod")


class Scraped:
    def __init__(self, store: Scores) -> None:
        self.now = AT
        self.registry = CollectorRegistry()
        self.registry.register(MetricCollector(store, clock=lambda: self.now.timestamp()))

    def __call__(self, entity: str = "queue=orders") -> dict[str, float]:
        """Name of each gauge of an entity -> its value."""
        found = [sample for family in self.registry.collect() for sample in family.samples]
        return {s.name: s.value for s in found if s.labels.get("entity", entity) == entity}


def test_the_newest_row_of_each_series_becomes_gauges_with_its_labels(store: Scores) -> None:
    store.put(run([row(5, 0.5, False), row(0, 2.0, True)]))
    scraped = Scraped(store)
    assert scraped() == {
        "aiops_metric_value": 20.0,
        "aiops_metric_score": 2.0,
        "aiops_metric_expected": 10.0,
        "aiops_metric_lower": 5.0,
        "aiops_metric_upper": 15.0,
        "aiops_metric_alert": 1.0,
        "aiops_metric_forecast": 11.0,
        "aiops_metric_forecast_lower": 6.0,
        "aiops_metric_forecast_upper": 16.0,
        "aiops_metric_timestamp_seconds": AT.timestamp(),
    }
    labels = {s.name: s.labels for family in scraped.registry.collect() for s in family.samples}
    common = {"cluster": "prod", "metric": "depth", "unit": "messages", "entity": "queue=orders"}
    own = {"queue": "orders", "exported_severity": "theirs"}
    assert labels["aiops_metric_score"] == common | own
    assert labels["aiops_metric_alert"] == common | own | {"severity": "critical"}
    assert labels["aiops_metric_forecast"] == common | own | {"horizon": "1h"}
    assert b'aiops_metric_score{cluster="prod",entity="queue=orders"' in generate_latest(scraped.registry)


@pytest.mark.parametrize(("minute", "shown"), [(9, 1.0), (10, 0.0)])
def test_an_alert_is_shown_for_the_minutes_of_the_run(store: Scores, minute: int, shown: float) -> None:
    store.put(run([row(minute, 2.0, True), row(0, 0.5, False)]))
    assert Scraped(store)()["aiops_metric_alert"] == shown


def test_a_series_of_which_too_little_is_known_has_a_value_alone(store: Scores) -> None:
    store.put(run([row(0, NAN, False, json.dumps({"queue": "new"}), "queue=new")]))
    assert set(Scraped(store)("queue=new")) == {"aiops_metric_value", "aiops_metric_timestamp_seconds"}


def test_old_values_are_not_shown_and_a_newer_run_is(store: Scores) -> None:
    store.put(run([row(0, 2.0, True)], silent=True))
    scraped = Scraped(store)
    scraped.now = AT + timedelta(minutes=61)
    assert set(scraped()) == {"aiops_metric_timestamp_seconds"}
    store.put(run([row(-30, 0.5, False)], AT + timedelta(minutes=30)))
    assert scraped()["aiops_metric_score"] == 0.5


def test_what_has_stopped_is_a_gauge(store: Scores) -> None:
    store.put(run([], silent=True))
    found = [s for family in Scraped(store).registry.collect() for s in family.samples if s.name == "aiops_silence"]
    assert [(s.labels, s.value) for s in found] == [
        (
            {
                "cluster": "prod",
                "reason": "node_gone",
                "metric": "",
                "entity": "n1",
                "severity": "critical",
                "node": "n1",
            },
            1.0,
        )
    ]


def test_a_damaged_run_leaves_the_one_before_and_fails_no_scrape(store: Scores, tmp_path: Path) -> None:
    store.put(run([row(0, 2.0, True)]))
    scraped = Scraped(store)
    assert scraped()["aiops_metric_score"] == 2.0
    store.put(run([row(0, 0.5, False)], AT + timedelta(minutes=5)))
    newest = sorted(tmp_path.rglob(METRICS))[-1]
    newest.write_bytes(newest.read_bytes()[:-9])
    assert scraped()["aiops_metric_score"] == 2.0


def test_without_a_run_there_is_nothing(store: Scores) -> None:
    assert Scraped(store)() == {}


def test_a_run_in_hand_is_shown_whatever_is_stored(store: Scores) -> None:
    later = run([row(0, 0.2, False)], made_at=AT + timedelta(minutes=5))
    store.put(later)
    shown = [sample for family in shown_metrics(run([row(0, 1.5, True)]), AT.timestamp()) for sample in family.samples]
    assert [one.value for one in shown if one.name in ("aiops_metric_score", "aiops_metric_alert")] == [1.5, 1.0]

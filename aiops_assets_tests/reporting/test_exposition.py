"""What a scrape finds of the newest scores: values, age, and never an error."""

import logging
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from aiops_assets.errors import IntegrityError, StoreError
from aiops_assets.reporting.exposition import ScoresCollector
from aiops_assets.storage.scores import SCORES, Scores, ScoresRun
from aiops_assets.storage.storage import LocalStorage
from aiops_assets_tests.storage.test_scores import NOON, UNTIL, run

NOW = NOON.timestamp()
A, B = ({"namespace": namespace, "pod": pod, "workload": pod} for namespace, pod in (("shop", "a"), ("blog", "b")))
ABOUT = {
    "aiops_scores_timestamp_seconds",
    "aiops_scores_stale",
    "aiops_scores_made_timestamp_seconds",
    "aiops_scores_source_info",
    "aiops_scores_model_info",
    "aiops_scores_model_left_out",
    "aiops_scores_watched",
}
VALUES = {
    "aiops_anomaly_score",
    "aiops_anomaly_alert",
    "aiops_anomaly_page",
    "aiops_forecast_value",
    "aiops_forecast_lower",
    "aiops_forecast_upper",
    "aiops_forecast_proven",
}
SCORE = "aiops_anomaly_score"
PAGE = {"cluster": "prod", "kind": "pod", "namespace": "shop", "pod": "a", "workload": "a", "node": "", "metric": "m"}
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Scraped:
    """A service's ``/metrics`` at a time that can be set."""

    def __init__(self, store: Scores) -> None:
        self.now = NOW
        self.registry = CollectorRegistry()
        self.registry.register(ScoresCollector(store, clock=lambda: self.now))

    def samples(self) -> Samples:
        text = generate_latest(self.registry).decode()
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        return self.samples()[name, frozenset(labels.items())]

    def of(self, name: str) -> list[dict[str, str]]:
        """Labels of the values of a metric, each of which is 1."""
        found = {labels: value for (one, labels), value in self.samples().items() if one == name}
        assert set(found.values()) <= {1.0}
        return [dict(labels) for labels in found]

    def names(self) -> set[str]:
        return {name for name, _ in self.samples()} - {"aiops_scores_unreadable_total"}


def with_a_forecaster(plain: ScoresRun) -> ScoresRun:
    """The same, with a forecaster that was proven up to six hours ahead."""
    (detector,) = plain.record.models
    told = {"name": "forecaster", "kind": "forecaster", "proven": ("1h", "6h")}
    models = (detector, detector.model_copy(update=told))
    return replace(plain, record=plain.record.model_copy(update={"models": models}))


@pytest.fixture
def store(tmp_path: Path) -> Scores:
    return Scores(LocalStorage(tmp_path), "prod")


def test_a_run_becomes_gauges_in_the_units_of_its_metrics(store: Scores) -> None:
    store.put(with_a_forecaster(run()))
    scraped = Scraped(store)
    pod = {"cluster": "prod", "model": "detector"}
    assert scraped.value("aiops_anomaly_score", **A, **pod) == 0.25
    assert scraped.value("aiops_anomaly_score", **B, **pod) == -0.5
    assert scraped.value("aiops_anomaly_alert", **A, **pod) == 1.0
    assert scraped.value("aiops_anomaly_alert", **B, **pod) == 0.0
    assert scraped.of("aiops_anomaly_page") == [PAGE]
    of = {"cluster": "prod", "model": "forecaster", "metric": "cpu_usage", "unit": "cores", "horizon": "1h"}
    sides = [scraped.value(f"aiops_forecast_{side}", **of) for side in ("value", "lower", "upper")]
    assert sides == [0.5, 0.25, 1.0]
    proven = [
        scraped.value("aiops_forecast_proven", cluster="prod", model="forecaster", horizon=one) for one in ("1h", "24h")
    ]
    assert proven == [1.0, 0.0]
    for kind in ("anomaly", "forecast", "page"):
        assert scraped.value("aiops_scores_timestamp_seconds", cluster="prod", kind=kind) == UNTIL.timestamp()
        assert scraped.value("aiops_scores_stale", cluster="prod", kind=kind) == 0.0
    assert scraped.value("aiops_scores_made_timestamp_seconds", cluster="prod") == NOW
    assert scraped.value("aiops_scores_source_info", cluster="prod", source="prometheus") == 1.0
    told = {"version": "3", "kind": "detector", "trained_on": "prometheus+synthetic"}
    assert scraped.value("aiops_scores_model_info", **pod, **told) == 1.0
    assert scraped.value("aiops_scores_model_left_out", cluster="prod", model="lstm-predictor") == 1.0
    assert scraped.names() == ABOUT | VALUES


def test_pods_without_scores_are_a_number_with_a_reason_also_when_scores_are_old(store: Scores) -> None:
    plain = run()
    counts = {"above_cap": 7, "no_cpu": 0}
    store.put(replace(plain, record=plain.record.model_copy(update={"pods": 2, "unwatched": counts})))
    scraped = Scraped(store)
    for _ in range(2):
        assert scraped.value("aiops_scores_watched", cluster="prod") == 2.0
        for reason, n in counts.items():
            assert scraped.value("aiops_scores_unwatched", cluster="prod", reason=reason) == n
        scraped.now += 7200


@pytest.mark.parametrize(("minutes", "score", "notice", "pages"), [(15, 0.4, 1.0, 1), (10, 0.3, 1.0, 0)])
def test_the_minutes_that_a_run_shows_count_with_their_highest_score_and_any_alert(
    store: Scores, minutes: int, score: float, notice: float, pages: int
) -> None:
    """So many that a row between two runs is not missed."""
    plain = run()
    instants = [UNTIL - pd.Timedelta(minutes=5 * back) for back in (3, 2, 1, 0)]
    rows = pd.concat([plain.scores.iloc[:1]] * 4, ignore_index=True).assign(timestamp=instants)
    rows = rows.assign(anomaly_score=[0.9, 0.4, 0.3, 0.2], is_anomaly=[True, True, True, False])
    paged = pd.concat([plain.pages] * 2, ignore_index=True).assign(timestamp=instants[:2])
    record = plain.record.model_copy(update={"shown_minutes": minutes})
    store.put(ScoresRun(record, rows, plain.forecasts, paged))
    scraped = Scraped(store)
    of = {"cluster": "prod", "model": "detector", **A}
    assert [scraped.value(name, **of) for name in (SCORE, "aiops_anomaly_alert")] == [score, notice]
    assert len(scraped.of("aiops_anomaly_page")) == pages
    calm = rows.assign(is_anomaly=[True, False, False, False])
    later = record.model_copy(update={"made_at": NOON + timedelta(minutes=15)})
    store.put(ScoresRun(later, calm, plain.forecasts, paged.iloc[:1]))
    assert scraped.value("aiops_anomaly_alert", **of) == 0.0
    assert scraped.of("aiops_anomaly_page") == []


def test_old_scores_show_their_age_and_no_values(store: Scores) -> None:
    store.put(with_a_forecaster(run()))
    scraped = Scraped(store)
    scraped.now = UNTIL.timestamp() + 3600
    assert scraped.names() == ABOUT | VALUES
    scraped.now += 1
    assert scraped.names() == ABOUT
    assert scraped.value("aiops_scores_stale", cluster="prod", kind="anomaly") == 1.0
    assert scraped.value("aiops_scores_timestamp_seconds", cluster="prod", kind="anomaly") == UNTIL.timestamp()


def test_what_is_old_of_one_kind_leaves_the_other(store: Scores) -> None:
    plain = run()
    later = (UNTIL + pd.Timedelta(hours=1)).to_pydatetime()
    record = plain.record.model_copy(update={"scored_until": later})
    store.put(ScoresRun(record, plain.scores.assign(timestamp=UNTIL + pd.Timedelta(hours=1)), plain.forecasts))
    scraped = Scraped(store)
    scraped.now = later.timestamp() + 60
    assert scraped.names() == ABOUT | {"aiops_anomaly_score", "aiops_anomaly_alert"}
    assert scraped.value("aiops_scores_stale", cluster="prod", kind="forecast") == 1.0
    assert scraped.value("aiops_scores_stale", cluster="prod", kind="anomaly") == 0.0


def test_without_a_run_there_is_nothing_but_the_counter(store: Scores) -> None:
    scraped = Scraped(store)
    assert scraped.samples() == {("aiops_scores_unreadable_total", frozenset()): 0.0}


def test_a_run_in_which_nobody_answered_shows_who_did_not(store: Scores) -> None:
    plain = run()
    record = plain.record.model_copy(
        update={"scored_until": None, "forecast_from": None, "paged_until": None, "models": ()}
    )
    store.put(ScoresRun(record, plain.scores.iloc[:0], plain.forecasts.iloc[:0]))
    assert Scraped(store).names() == {
        "aiops_scores_made_timestamp_seconds",
        "aiops_scores_source_info",
        "aiops_scores_model_left_out",
        "aiops_scores_stale",
        "aiops_scores_watched",
    }


def test_two_pods_of_one_name_are_two_gauges(store: Scores) -> None:
    two = run()
    store.put(ScoresRun(two.record, two.scores.assign(pod="a", workload="a"), two.forecasts))
    found = Scraped(store).samples()
    scores = {dict(labels)["namespace"]: value for (name, labels), value in found.items() if name == SCORE}
    assert scores == {"shop": 0.25, "blog": -0.5}


@pytest.mark.parametrize(
    ("left_out", "asked", "stale"),
    [
        (("anomaly-detector", "lstm-predictor"), "forecaster", {"anomaly": 1, "forecast": 0}),
        (("arima-predictor",), "detector", {"anomaly": 0, "forecast": 1}),
        # MODELS has detectors alone, and they gave scores.
        (("lstm-predictor",), "detector", {"anomaly": 0}),
        # A model of a package that the service does not have.
        (("another-packages-model",), "detector", {"anomaly": 0}),
    ],
)
def test_a_kind_that_no_model_predicted_is_stale(
    store: Scores, left_out: tuple[str, ...], asked: str, stale: dict[str, float]
) -> None:
    plain = run()
    empty = {"scored_until": None} if asked == "forecaster" else {"forecast_from": None}
    models = tuple(model.model_copy(update={"kind": asked}) for model in plain.record.models)
    given = {"left_out": dict.fromkeys(left_out, "why"), "models": models, **empty}
    store.put(ScoresRun(plain.record.model_copy(update=given), plain.scores, plain.forecasts))
    found = {
        dict(labels)["kind"]: v for (name, labels), v in Scraped(store).samples().items() if name.endswith("_stale")
    }
    assert found == {**stale, "page": 0}


def test_a_run_of_the_future_hides_no_later_one(store: Scores) -> None:
    store.put(run(NOON + timedelta(days=2), score=0.9))
    scraped = Scraped(store)
    assert scraped.names() == set()
    store.put(run())
    assert scraped.value(SCORE, cluster="prod", model="detector", **A) == 0.25
    scraped.now += timedelta(days=2).total_seconds()
    assert scraped.names() == ABOUT  # its time has come, and its samples are old


def test_a_newer_run_takes_the_place_and_is_read_once(store: Scores, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(store, "read", lambda name, of=store.read: read.append(name) or of(name))  # type: ignore[func-returns-value]
    store.put(run())
    scraped = Scraped(store)
    pod = {"cluster": "prod", "model": "detector", **A}
    for _ in range(3):
        assert scraped.value("aiops_anomaly_score", **pod) == 0.25
    store.put(run(NOON + timedelta(minutes=15), score=0.75))
    for _ in range(3):
        assert scraped.value("aiops_anomaly_score", **pod) == 0.75
    assert read == store.names()


def test_a_damaged_run_is_counted_and_said_once_and_the_one_before_stays(
    store: Scores, caplog: pytest.LogCaptureFixture
) -> None:
    store.put(run())
    store.put(run(NOON + timedelta(minutes=15), score=0.75))
    path = Path(store.locate(store.names()[-1])) / SCORES
    path.write_bytes(path.read_bytes()[:-1])
    scraped = Scraped(store)
    pod = {"cluster": "prod", "model": "detector", **A}
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert scraped.value("aiops_anomaly_score", **pod) == 0.25
    assert scraped.value("aiops_scores_unreadable_total") == 1.0
    with pytest.raises(IntegrityError) as damaged:
        store.read(store.names()[-1])
    assert str(path) in str(damaged.value)
    assert [record.args for record in caplog.records] == [(str(damaged.value),)]
    store.put(run(NOON + timedelta(minutes=30), score=0.5))
    assert scraped.value("aiops_anomaly_score", **pod) == 0.5


class Away(LocalStorage):
    """A storage that can be away."""

    away = False

    def names(self, path: str) -> list[str]:
        if self.away:
            raise StoreError(f"{path}: away")
        return super().names(path)


def test_a_storage_that_is_away_fails_no_scrape_and_is_asked_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage = Away(tmp_path)
    store = Scores(storage, "prod")
    store.put(run())
    scraped = Scraped(store)
    pod = {"cluster": "prod", "model": "detector", **A}
    assert scraped.value("aiops_anomaly_score", **pod) == 0.25
    store.put(run(NOON + timedelta(minutes=15), score=0.75))
    storage.away = True
    assert scraped.value("aiops_anomaly_score", **pod) == 0.25
    assert scraped.value("aiops_scores_unreadable_total") == 2.0
    assert [record.args for record in caplog.records] == [("scores/cluster=prod: away",)]
    storage.away = False
    assert scraped.value("aiops_anomaly_score", **pod) == 0.75


@pytest.mark.needs("prometheus")
def test_promtool_finds_nothing_to_say_of_names_and_help(store: Scores) -> None:
    store.put(run())
    text = generate_latest(Scraped(store).registry)
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")

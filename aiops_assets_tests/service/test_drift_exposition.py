"""What a scrape finds of the newest look at drift."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import pytest
from prometheus_client import CollectorRegistry

from aiops_assets.errors import StoreError
from aiops_assets.service.drift_exposition import DriftCollector
from aiops_assets.storage.drift import MAX_AGE, DriftReport, DriftStore, MetricFigures
from aiops_assets.storage.storage import LocalStorage

LOOK = datetime(2026, 11, 1, 12, tzinfo=UTC)
REPORT = DriftReport(
    when=LOOK,
    champions={"arima-predictor": "d"},
    metrics=tuple(
        MetricFigures(
            metric=metric, models=(), psi=0.1, ks=0.1, shift=0, width=1, strength=strength, coverage=1, drifted=drifted
        )
        for metric, strength, drifted in (("cpu_usage", 1.5, True), ("disk_usage", 0.5, False))
    ),
)
LOOKED = {("aiops_drift_timestamp_seconds", ""): LOOK.timestamp()}
VALUES = {
    ("aiops_drift", "cpu_usage"): 1.0,
    ("aiops_drift", "disk_usage"): 0.0,
    ("aiops_drift_strength", "cpu_usage"): 1.5,
    ("aiops_drift_strength", "disk_usage"): 0.5,
}


@pytest.fixture
def store(tmp_path: Path) -> DriftStore:
    return DriftStore(LocalStorage(tmp_path), "prod")


def scraped(store: DriftStore, age: timedelta = timedelta()) -> dict[tuple[str, str], float]:
    """(name, metric) -> value; all are of one cluster."""
    registry = CollectorRegistry()
    registry.register(DriftCollector(store, "prod", clock=lambda: (LOOK + age).timestamp()))
    samples = [sample for family in registry.collect() for sample in family.samples]
    assert all(sample.labels["cluster"] == "prod" for sample in samples)
    return {(sample.name, sample.labels.get("metric", "")): sample.value for sample in samples}


def test_a_look_becomes_gauges_of_each_metric(store: DriftStore) -> None:
    store.put(REPORT)
    assert scraped(store) == LOOKED | VALUES


def test_a_metric_of_two_champions_is_one_gauge_of_the_higher_figures(store: DriftStore) -> None:
    """A rejected challenger leaves an older champion, trained on other days, beside a newer one of the same view."""
    other = REPORT.metrics[1].model_copy(update={"metric": "cpu_usage", "models": ("prophet-predictor",)})
    store.put(REPORT.model_copy(update={"metrics": (other, *REPORT.metrics)}))
    registry = CollectorRegistry()
    registry.register(DriftCollector(store, "prod", clock=LOOK.timestamp))
    names = [(s.name, s.labels.get("metric")) for family in registry.collect() for s in family.samples]
    assert len(names) == len(set(names))
    assert scraped(store) == LOOKED | VALUES


def test_an_old_look_shows_its_age_and_no_values(store: DriftStore) -> None:
    store.put(REPORT)
    assert scraped(store, MAX_AGE) == LOOKED | VALUES
    assert scraped(store, MAX_AGE + timedelta(seconds=1)) == LOOKED


def test_without_a_look_that_can_be_read_there_is_nothing(store: DriftStore) -> None:
    assert scraped(store) == {}
    store.storage.write("drift/cluster=prod/newest.json", b"{}")
    assert scraped(store) == {}


def test_a_storage_that_is_away_fails_no_scrape_and_is_logged_once(
    store: DriftStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store.put(REPORT)
    registry = CollectorRegistry()
    registry.register(DriftCollector(store, "prod", clock=LOOK.timestamp))

    def away(path: str) -> NoReturn:
        raise StoreError(f"{path}: away")

    with monkeypatch.context() as patched:
        patched.setattr(store.storage, "read", away)
        assert [list(registry.collect()) for _ in range(2)] == [[], []]
    assert len(caplog.records) == 1
    assert list(registry.collect()) != []

"""The asset ``scores`` writes what it stored back to a real Prometheus; a server that refuses fails no run."""

import json
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from prometheus_client import CollectorRegistry

from aiops_assets.pipeline.definitions import definitions_for
from aiops_assets.pipeline.resources import stores_of
from aiops_assets.pipeline.writing_back import WRITTEN_BACK, written_back
from aiops_assets.reporting.exposition import ScoresCollector
from aiops_assets.service.remote_write_exposition import RemoteWriteCollector
from aiops_assets.settings import Settings
from aiops_assets.storage.scores import Scores
from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.prometheus_server import running_prometheus
from aiops_assets_tests.service.served_home import ServedHome
from aiops_assets_tests.storage.test_scores import run

CLOSED = "http://127.0.0.1:1/api/v1/write"


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {one.check_name: one.passed for one in result.get_asset_check_evaluations()}


def score(settings: Settings) -> dg.ExecuteInProcessResult:
    job = definitions_for(settings).resolve_job_def("score")
    with dg.DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(instance=instance)


def scraped(kept: Scores, at: float) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """What a scrape would find, without empty labels."""
    registry = CollectorRegistry()
    registry.register(ScoresCollector(kept, clock=lambda: at))
    return {
        (sample.name, frozenset((name, text) for name, text in sample.labels.items() if text)): sample.value
        for family in registry.collect()
        for sample in family.samples
    }


@pytest.mark.long
@pytest.mark.needs("prometheus")
def test_a_run_is_in_a_real_prometheus_as_a_scrape_would_have_found_it(tmp_path: Path) -> None:
    ServedHome(tmp_path / "models").serve(("ensemble-predictor", "arima-predictor"))
    storage = tmp_path / "tsdb"
    storage.mkdir()
    with running_prometheus(storage, arguments=["--web.enable-remote-write-receiver"]) as url:
        settings = make_settings(tmp_path, TRAINING_PODS="3", REMOTE_WRITE_URL=f"{url}/api/v1/write")
        assert checks(score(settings))[WRITTEN_BACK]
        stores = stores_of(settings)
        made_at = stores.scores().names()[-1]
        newest = stores.scores().read(made_at).record.made_at.timestamp()
        asked = urllib.parse.urlencode({"query": '{__name__=~"aiops_.+"}', "time": newest + 1})
        with urllib.request.urlopen(f"{url}/api/v1/query?{asked}") as answer:
            result = json.load(answer)["data"]["result"]
    found = {
        (one["metric"].pop("__name__"), frozenset(one["metric"].items())): float(one["value"][1]) for one in result
    }
    expected = scraped(stores.scores(), newest)
    del expected["aiops_scores_unreadable_total", frozenset()]  # of the process, not of the run
    assert found == pytest.approx(expected)
    assert {"aiops_anomaly_score", "aiops_forecast_value", "aiops_scores_model_info"} <= {name for name, _ in found}
    assert not [labels for name, labels in found if name != "aiops_scores_model_info" and "version" in dict(labels)]


@pytest.mark.long
def test_a_server_that_is_away_is_a_warning_of_a_run_that_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiops_assets.prometheus.retry.time.sleep", lambda _: None)
    settings = make_settings(tmp_path, TRAINING_PODS="3", REMOTE_WRITE_URL=CLOSED)
    result = score(settings)
    assert result.success
    assert not checks(result)[WRITTEN_BACK]
    assert stores_of(settings).scores().newest()


def test_without_a_url_there_is_no_check_and_nothing_is_sent(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    names = {key.name for key in definitions_for(settings).resolve_asset_graph().asset_check_keys}
    assert WRITTEN_BACK not in names
    assert written_back(settings, stores_of(settings), run(datetime.now(UTC)), print) == []


def test_failures_are_counted_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = make_settings(tmp_path, REMOTE_WRITE_URL=CLOSED)
    monkeypatch.setattr("aiops_assets.prometheus.remote_write.DEADLINE_SECONDS", 0.0)
    monkeypatch.setattr("aiops_assets.prometheus.remote_write.Retry.attempts", 1)
    stores, registry = stores_of(settings), CollectorRegistry()
    registry.register(RemoteWriteCollector(stores.written_back(), "default"))
    assert not list(registry.collect())
    for failures in (1.0, 2.0):
        (check,) = written_back(settings, stores, run(datetime.now(UTC)), print)
        assert not check.passed
        assert registry.get_sample_value("aiops_remote_write_failures_total", {"cluster": "default"}) == failures
    assert registry.get_sample_value("aiops_remote_write_series", {"cluster": "default"}) == 0.0
    assert registry.get_sample_value("aiops_remote_write_timestamp_seconds", {"cluster": "default"}) is None
    kept = stores.written_back().newest()
    assert kept
    assert kept.of > 0
    assert kept.code
    assert written_back(make_settings(tmp_path), stores, run(datetime.now(UTC)), print) == []
    assert not list(registry.collect())  # the URL was removed: an old failure says nothing

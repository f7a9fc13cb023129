"""The asset ``scores`` on generated and on a real server's days, and what a real Prometheus scrapes of it."""

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from prometheus_client import CollectorRegistry, start_http_server

from aiops_assets.datasets.newest import stored_window
from aiops_assets.datasets.notes import Note
from aiops_assets.errors import IntegrityError, PrometheusUnreachable
from aiops_assets.families.catalog import MODEL_NAMES
from aiops_assets.pipeline.automation import jobs
from aiops_assets.pipeline.definitions import definitions_for
from aiops_assets.pipeline.resources import stores_of
from aiops_assets.registry.champions import model_named
from aiops_assets.registry.scoring import NOTHING_SERVED
from aiops_assets.registry.version import version_of
from aiops_assets.reporting.exposition import HORIZONS, ScoresCollector
from aiops_assets.settings import Settings
from aiops_assets.storage.scores import FORECASTS, SCORES, ScoresRun
from aiops_assets.synthetic.pods import generate
from aiops_assets.timeseries.catalog import POD_CPU
from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.pipeline.graph import CLOSED, Result, asset, metadata
from aiops_assets_tests.prometheus_server import backfilled_prometheus, running_prometheus
from aiops_assets_tests.raising import raises
from aiops_assets_tests.service.served_home import ServedHome

pytestmark = pytest.mark.long
SERVED = ("anomaly-detector", "ensemble-predictor", "arima-predictor")
LEFT_OUT = {name: NOTHING_SERVED for name in MODEL_NAMES if name not in SERVED}
AT = datetime(2026, 11, 1, 10, 15, tzinfo=UTC)
SCRAPED_SECONDS = 60


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with three champions and nothing else."""
    ServedHome(tmp_path / "models").serve(SERVED, effective_source="prometheus+synthetic")
    return tmp_path


@pytest.fixture(scope="module")
def living_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server whose two days of five pods end now."""
    now = pd.Timestamp(datetime.now(UTC)).floor("min")
    with backfilled_prometheus(generate(5, 2, now, seed=7), tmp_path_factory.mktemp("living") / "tsdb") as url:
        yield url


def score(settings: Settings) -> Result:
    """A run of the schedule's job."""
    job = definitions_for(settings).resolve_job_def("score")
    with dg.DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(instance=instance)


def checks(result: Result) -> dict[str, tuple[bool, str]]:
    return {e.check_name: (e.passed, e.description or "") for e in result.get_asset_check_evaluations()}


def newest(settings: Settings) -> ScoresRun:
    run = stores_of(settings).scores().newest()
    assert run
    return run


def test_generated_pods_are_scored_up_to_now_and_said_to_be_generated(home: Path) -> None:
    settings = make_settings(home, TRAINING_PODS="5")
    before = datetime.now(UTC)
    result = score(settings)
    said = metadata(result, "scores")
    run = newest(settings)
    assert (said["effective_source"], run.record.source) == ("synthetic", "synthetic")
    assert said["left_out"] == run.record.left_out == LEFT_OUT
    assert (said["pods"], said["dagster/row_count"], said["forecasts"]) == (5, 2 * 5 * 12, 5 * 35)
    assert str(said["dagster/uri"]).endswith(run.record.run_name)
    assert str(said["plot"]).startswith("![plot](data:image/png;base64,")
    assert checks(result) == {"newest_window": (True, ""), "champions_asked": (True, ""), "drift": (True, "")}
    assert run.record.scored_until
    assert timedelta(0) <= before - run.record.scored_until < timedelta(minutes=5)
    assert run.record.forecast_from == run.record.scored_until


def test_a_champion_that_cannot_be_loaded_warns_and_the_others_are_asked(home: Path) -> None:
    (home / "models" / "ensemble-predictor" / "1" / "model.json").write_bytes(b"{}")
    settings = make_settings(home, TRAINING_PODS="3")
    result = score(settings)
    assert result.success
    passed, why = checks(result)["champions_asked"]
    assert not passed
    served, spec = stores_of(settings).served(), model_named("ensemble-predictor")
    champion = served.champion(spec.name)
    assert champion
    with raises(IntegrityError, "changed_file", file="model.json") as caught:
        version_of(served, spec, champion.champion).model()
    assert why == f"ensemble-predictor: {caught.value}"
    assert [model.name for model in newest(settings).record.models] == ["anomaly-detector", "arima-predictor"]


def test_a_new_cluster_without_champions_is_no_failure(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, TRAINING_PODS="3")
    result = score(settings)
    assert result.success
    assert newest(settings).record.left_out == dict.fromkeys(MODEL_NAMES, "nothing is served yet")
    assert checks(result)["champions_asked"] == (True, "")


@pytest.mark.needs("prometheus")
def test_real_pods_are_fetched_and_scored_up_to_now(home: Path, living_url: str) -> None:
    settings = make_settings(home, DATA_SOURCE="prometheus", PROMETHEUS_URL=living_url)
    result = score(settings)
    assert checks(result) == {"newest_window": (True, ""), "champions_asked": (True, ""), "drift": (True, "")}
    said = metadata(result, "scores")
    run = newest(settings)
    assert (said["effective_source"], run.record.source, run.record.pods) == ("prometheus", "prometheus", 5)
    assert 5 <= float(str(said["age_minutes_pods"])) < 60
    today = datetime.now(UTC).date()
    assert set(stores_of(settings).lake().days(POD_CPU)) <= {today, today - timedelta(days=1)}
    assert set(run.scores["pod"]) == {f"synthetic-{i:03d}" for i in range(5)}
    assert np.isfinite(run.scores["anomaly_score"]).all()
    assert set(run.forecasts["model_name"]) == {"arima-predictor"}
    assert stores_of(settings).lake().last_fetch() is None, "a fetch of two days must not stand for that of a window"


@pytest.mark.needs("prometheus")
def test_a_server_that_is_away_leaves_the_cached_days_and_everything_says_so(home: Path, living_url: str) -> None:
    score(make_settings(home, DATA_SOURCE="prometheus", PROMETHEUS_URL=living_url))
    settings = make_settings(home, DATA_SOURCE="prometheus", PROMETHEUS_URL=CLOSED)
    first = newest(settings).record
    result = score(settings)
    assert result.success
    passed, why = checks(result)["newest_window"]
    assert not passed
    used = Note("cached_newest", problem="").text
    said, record = metadata(result, "scores"), newest(settings).record
    assert (said["effective_source"], record.source) == ("cached", "cached")
    assert record.notes[0].endswith(used)
    assert record.notes[0] in why
    assert record.notes[0] in str(said["notes"])
    assert record.made_at > first.made_at
    assert (record.scored_until, record.pods_version) == (first.scored_until, first.pods_version)
    with raises(PrometheusUnreachable, "nothing_scored"):
        score(make_settings(home, DATA_SOURCE="prometheus", PROMETHEUS_URL=CLOSED, FALLBACK="fail"))
    assert newest(settings).record == record


def test_generated_pods_never_stand_in_for_a_server_that_is_away(home: Path) -> None:
    settings = make_settings(home, DATA_SOURCE="prometheus", PROMETHEUS_URL=CLOSED, FALLBACK="synthetic")
    result = score(settings)
    assert result.success
    lacking = stored_window(settings, stores_of(settings).lake(), datetime.now(UTC)).lacking
    assert {name: error.code for name, error in lacking.items()} == dict.fromkeys(("pods", "cluster"), "no_stored_day")
    assert checks(result)["newest_window"][1].startswith("; ".join(map(str, lacking.values())))
    run = newest(settings)
    assert (run.record.source, len(run.scores), len(run.forecasts)) == ("cached", 0, 0)
    assert set(run.record.left_out) == set(MODEL_NAMES)


@pytest.mark.needs("prometheus")
def test_a_real_prometheus_scrapes_what_the_parquet_holds(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = make_settings(home, TRAINING_PODS="5")
    store = stores_of(settings).scores()
    uri = Path(str(metadata(score(settings), "scores")["dagster/uri"]))
    scores, forecasts = pd.read_parquet(uri / SCORES), pd.read_parquet(uri / FORECASTS)
    until = scores["timestamp"].max()

    registry = CollectorRegistry()
    registry.register(ScoresCollector(store))
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    try:
        with running_prometheus(tmp_path_factory.mktemp("scraping"), f"127.0.0.1:{server.server_port}") as url:
            found = _eventually(lambda: _query(url, "aiops_anomaly_score"))
            newest_rows = scores[scores["timestamp"] > until - pd.Timedelta(minutes=10)]
            of_pods = newest_rows.groupby(["model_name", "pod"])
            assert _by(found, "model", "pod") == of_pods["anomaly_score"].max().to_dict()
            alerts = _by(_query(url, "aiops_anomaly_alert"), "model", "pod")
            assert alerts == of_pods["is_anomaly"].any().astype(float).to_dict()
            assert len(alerts) == 2 * 5
            for side in ("value", "lower", "upper"):
                for horizon, ahead in HORIZONS.items():
                    rows = forecasts[forecasts["predicted_for"] == until + ahead].set_index("metric_name")
                    asked = _query(url, f'aiops_forecast_{side}{{horizon="{horizon}",model="arima-predictor"}}')
                    assert {metric: value for (metric,), value in _by(asked, "metric").items()} == rows[side].to_dict()
                    assert len(rows) == 5
            assert _by(_query(url, "aiops_scores_timestamp_seconds"), "kind") == {
                ("anomaly",): until.timestamp(),
                ("forecast",): until.timestamp(),
                ("page",): until.timestamp(),
            }
            assert _by(_query(url, "aiops_scores_source_info"), "source") == {("synthetic",): 1.0}
            joined = "aiops_anomaly_score * on (cluster, model) group_left (version) aiops_scores_model_info"
            assert set(_by(_query(url, joined), "model", "version")) == {
                ("anomaly-detector", "1"),
                ("ensemble-predictor", "1"),
            }
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_schedule_asks_for_a_run_every_few_minutes_and_never_two_at_once(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    schedule = definitions_for(settings).resolve_schedule_def("regular_scores")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("1-59/5 * * * *", "UTC")
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
    production = definitions_for(make_settings(tmp_path, AIOPS_ENV="production", DATA_SOURCE="synthetic"))
    running = production.resolve_schedule_def("regular_scores")
    assert running.default_status == dg.DefaultScheduleStatus.RUNNING
    hourly = definitions_for(make_settings(tmp_path, SCORE_MINUTES="60")).resolve_schedule_def("regular_scores")
    assert hourly.cron_schedule == "1 * * * *"
    job = definitions_for(settings).resolve_job_def("score")
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        with dg.build_schedule_context(instance=instance, scheduled_execution_time=AT) as context:
            (request,) = schedule.evaluate_tick(context).run_requests or []
        assert request.run_key == "score-default-2026-11-01T10:15"
        run = instance.create_run_for_job(job)
        waits = jobs.score_request(settings, instance, AT + timedelta(minutes=15))
        assert isinstance(waits, dg.SkipReason)
        assert run.run_id in (waits.skip_message or "")
        killed_since = datetime.now(UTC) + timedelta(minutes=61)
        assert isinstance(jobs.score_request(settings, instance, killed_since), dg.RunRequest)
        instance.report_run_failed(run)
        assert isinstance(jobs.score_request(settings, instance, AT + timedelta(minutes=30)), dg.RunRequest)


def test_without_a_server_where_days_are_wanted_the_schedule_says_what_is_missing(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, AIOPS_ENV="production")
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        tick = jobs.score_request(settings, instance, AT)
    assert isinstance(tick, dg.SkipReason)
    assert "PROMETHEUS_URL is not set" in (tick.skip_message or "")


def test_scores_come_after_all_that_is_served(tmp_path: Path) -> None:
    graph = definitions_for(make_settings(tmp_path)).resolve_asset_graph()
    parents = {key.to_user_string() for key in graph.get(dg.AssetKey("scores")).parent_keys}
    assert parents == {"raw_metrics", *(asset("served", name) for name in MODEL_NAMES)}


Samples = list[tuple[dict[str, str], float]]


def _query(url: str, query: str) -> Samples:
    with urllib.request.urlopen(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}") as answer:
        result = json.load(answer)["data"]["result"]
    return [(series["metric"], float(series["value"][1])) for series in result]


def _by(samples: Samples, *labels: str) -> dict[tuple[str, ...], float]:
    return {tuple(found[label] for label in labels): value for found, value in samples}


def _eventually(ask: Callable[[], Samples]) -> Samples:
    """The first answer that holds something, for a bounded time."""
    end = time.monotonic() + SCRAPED_SECONDS
    while not (found := ask()):
        assert time.monotonic() < end, "Prometheus has scraped nothing"
        time.sleep(0.2)
    return found

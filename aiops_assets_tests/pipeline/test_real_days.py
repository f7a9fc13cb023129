"""The graph on a real server's days: coverage, archive, what stops and what only warns."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import dagster as dg
import pytest

from aiops_assets.commands.running import dagster_environment
from aiops_assets.commands.summary import stated_source
from aiops_assets.datasets.notes import Note
from aiops_assets.errors import (
    PrometheusAccessError,
    PrometheusAnswerError,
    PrometheusError,
    PrometheusPartial,
    PrometheusQueryError,
)
from aiops_assets.pipeline.definitions import definitions_for
from aiops_assets.pipeline.partitions import days_to_fetch
from aiops_assets.pipeline.resources import stores_of, tracking_of
from aiops_assets.pipeline.run_history import failure_of
from aiops_assets.registry.lineage import LineageReader
from aiops_assets.timeseries.catalog import CLUSTER_METRICS, ENGINE_METRICS, METRICS
from aiops_assets.timeseries.quality import Shortage
from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.pipeline.graph import (
    CLOSED,
    ENSEMBLE,
    NAME,
    champion,
    checks,
    materialize,
    metadata,
    newest,
)
from aiops_assets_tests.prometheus.fault_server import Params, Reply, faulty
from aiops_assets_tests.raising import raises

pytestmark = pytest.mark.needs("prometheus")


def test_everything_passes_on_a_healthy_server(filled: tuple[Path, dg.ExecuteInProcessResult]) -> None:
    evaluations = checks(filled[1])
    # Forecasters want fourteen days, and the server has ten: that is said, and stops nobody.
    assert {name for name, evaluation in evaluations.items() if not evaluation.passed} == {"day_coverage"}
    assert {"server_reached", "day_coverage", "bounds", "members", "stored_files"} < set(evaluations)
    raw = metadata(filled[1], "raw_metrics")
    assert (raw["effective_source"], raw["days"], raw["points_revised"], raw["not_finite"]) == ("prometheus", 14, 0, 0)
    assert str(raw["coverage"]).startswith("![plot](data:image/png;base64,")
    lake = stores_of(make_settings(filled[0])).lake()
    for metric in METRICS:
        for spec in (metric, metric.members):
            whole = [day for day in lake.days(spec) if day >= date(2026, 10, 22)]
            expected = [] if metric.per == "labels" else [date(2026, 10, day) for day in range(22, 32)]
            assert whole == expected, spec.name


def test_the_pods_of_a_server_become_segments_with_one_generated_pod_beside_five(
    filled: tuple[Path, dg.ExecuteInProcessResult],
) -> None:
    settings = make_settings(filled[0])
    assert {name for name, e in checks(filled[1], ENSEMBLE).items() if not e.passed} == {"day_coverage"}
    manifest = newest(settings, ENSEMBLE)
    assert manifest.effective_source == "prometheus+synthetic"
    assert manifest.files.keys() == {"model.json"}
    sets = stores_of(settings).training_sets()
    rows = sets.rows(manifest.view, manifest.data_version)
    assert rows.groupby("source")["pod"].nunique().to_dict() == {"prometheus": 5, "synthetic": 1}
    assert rows["label"].mean() == pytest.approx(settings.anomaly_rate, abs=0.002)
    detector = newest(settings)
    same = sets.rows(detector.view, detector.data_version)
    cuts = [frame.loc[frame["split"] == "holdout", "timestamp"].min() for frame in (rows, same)]
    assert abs(cuts[0] - cuts[1]) <= timedelta(minutes=5)
    columns = [metric.name for metric in ENGINE_METRICS]
    both = rows.merge(same, on=["timestamp", "pod", "source"], suffixes=("", "_other"))
    normal = both[(both["kind"] == "normal") & (both["kind_other"] == "normal") & (both["source"] == "prometheus")]
    # A counter that a storm raised stays up in a segment; all else of a normal row is what the server said.
    for name in columns[:4]:
        assert normal[name].to_numpy() == pytest.approx(normal[f"{name}_value"].to_numpy(), abs=1e-12)
    stores = stores_of(settings)
    reader = LineageReader(stores.served(), sets, stores.lake(), tracking_of(settings).tracker())
    chain = reader.trace(ENSEMBLE)
    assert chain.verified, chain.problems
    assert {day.state for day in chain.days} == {"verified"}
    assert {day.source for day in chain.days} == {"prometheus", "synthetic"}
    assert len(chain.queries) == 5


@pytest.mark.long
def test_five_days_of_history_train_and_warn(tmp_path: Path, prometheus_url: str) -> None:
    """The server's history begins on 22 October: a window that ends on the 27th has five days of seven."""
    variables = {"SYNTHETIC_END": "2026-10-27", "TRAINING_DAYS": "7"}
    settings = make_settings(tmp_path, DATA_SOURCE="prometheus", PROMETHEUS_URL=prometheus_url, **variables)
    result = materialize(settings)
    assert result.success
    coverage = checks(result)["window_coverage"]
    assert (coverage.passed, coverage.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert not checks(result)["day_coverage"].passed
    manifest = newest(settings)
    assert manifest.source.coverage == pytest.approx(5 / 7, abs=0.01)
    assert (manifest.source.full_days, manifest.source.window_days) == (5, 7)
    shares = manifest.source.coverage_by_metric
    lowest = min(shares, key=lambda name: shares[name])
    assert coverage.description == Note("part_of_window", share=5 / 7, lowest=lowest).text
    warning = Note("low_coverage", share=5 / 7, days=7, full_days=5, lowest=lowest).text
    assert manifest.source.warnings[0] == warning
    assert warning in stated_source(settings)
    rows = stores_of(settings).training_sets().rows(manifest.view, manifest.data_version)
    assert set(rows.loc[rows["source"] == "prometheus", "split"]) == {"train", "holdout"}


@pytest.mark.long
@pytest.mark.parametrize(
    ("variables", "shortage"),
    [
        (
            {"SYNTHETIC_END": "2026-10-25", "TRAINING_DAYS": "7"},
            Shortage("low_coverage", found=3 / 7, wanted=0.5),
        ),
        (
            {"SYNTHETIC_END": "2026-10-24", "TRAINING_DAYS": "7", "MIN_COVERAGE": "0.1"},
            Shortage("few_full_days", found=2, wanted=3),
        ),
    ],
)
def test_too_short_a_history_stops_before_training(
    tmp_path: Path, prometheus_url: str, variables: dict[str, str], shortage: Shortage
) -> None:
    """Where generated rows may stand in, it is the first days of a cluster instead, see test_first_hour."""
    source = {"DATA_SOURCE": "prometheus", "PROMETHEUS_URL": prometheus_url, "FALLBACK": "cached"}
    settings = make_settings(tmp_path, **source, **variables)
    result = materialize(settings, raise_on_error=False, lasting=True)
    assert not result.success
    coverage = checks(result)["window_coverage"]
    assert (coverage.passed, coverage.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert (coverage.description or "").startswith(f"{shortage.text} (least: ")
    with dg.DagsterInstance.from_config(dagster_environment(settings)["DAGSTER_HOME"]) as instance:
        said = failure_of(instance, result.run_id)
    assert f"pod_features: check window_coverage: {shortage.text}" in said
    assert stores_of(settings).served().versions(NAME) == []


@pytest.mark.long
def test_the_archive_has_the_days_that_the_server_forgot(tmp_path: Path, prometheus_url: str) -> None:
    """A server that keeps two days, played by a proxy that drops what is older, and the real one as its Thanos."""
    with faulty(prometheus_url, lambda *_: Reply(change=forget)) as short:
        settings = make_settings(
            tmp_path,
            DATA_SOURCE="prometheus",
            PROMETHEUS_URL=short.url,
            THANOS_URL=prometheus_url,
            TRAINING_DAYS="7",
        )
        result = materialize(settings, until="training_set")
    assert metadata(result, "pod_features")["coverage"] == pytest.approx(1.0, abs=1e-3)
    assert checks(result)["day_coverage"].passed
    lake = stores_of(settings).lake()
    sources = [info.source for day in lake.days(CLUSTER_METRICS[0]) if (info := lake.info(CLUSTER_METRICS[0], day))]
    assert sources == ["thanos"] * 5 + ["prometheus"] * 2


@pytest.mark.long
def test_an_archive_that_is_away_costs_only_what_the_server_forgot(tmp_path: Path, prometheus_url: str) -> None:
    """The server keeps five days of seven: enough to train, while nobody has the other two."""
    with faulty(prometheus_url, lambda *_: Reply(change=partial(forget, keep_from=27))) as short:
        variables = {"DATA_SOURCE": "prometheus", "PROMETHEUS_URL": short.url, "TRAINING_DAYS": "7"}
        settings = make_settings(tmp_path, THANOS_URL=CLOSED, **variables)
        result = materialize(settings, until="training_set")
        assert metadata(result, "pod_features")["effective_source"] == "prometheus+synthetic"
        away = checks(result)["archive_reached"]
        assert not away.passed
        assert "check THANOS_URL" in (away.description or "")
        lake = stores_of(settings).lake()
        assert lake.days(ENGINE_METRICS[0]) == [date(2026, 10, day) for day in range(27, 32)]
        back = make_settings(tmp_path, THANOS_URL=prometheus_url, **variables)
        assert checks(materialize(back, until="training_set"))["archive_reached"].passed
    assert lake.days(ENGINE_METRICS[0]) == [date(2026, 10, day) for day in range(25, 32)]


@pytest.mark.long
def test_what_looks_wrong_in_single_days_is_said(tmp_path: Path, prometheus_url: str) -> None:
    """Percent where a ratio is declared, a node that is counted half the day, a gap of half of each hour."""
    file = tmp_path / "metrics.yaml"
    file.write_text(
        "metrics: [{name: cpu_percent, promql: '100 * avg(node_memory_MemAvailable_bytes / "
        "node_memory_MemTotal_bytes)', unit: ratio, upper: 1, description: not a ratio}]"
    )

    def fault(_: int, path: str, params: Params) -> Reply | None:
        query = params.get("query", "")
        if path.endswith("/query_range") and query == ENGINE_METRICS[1].members.promql:
            return Reply(change=half_a_node)
        if path.endswith("/query_range") and query == ENGINE_METRICS[4].promql:
            return Reply(change=half_of_each_hour)
        return None

    with faulty(prometheus_url, fault) as server:
        variables = {"PROMETHEUS_URL": server.url, "METRICS_FILE": str(file), "TRAINING_DAYS": "3"}
        settings = make_settings(tmp_path, DATA_SOURCE="prometheus", MIN_COVERAGE="0.3", **variables)
        result = materialize(settings, raise_on_error=False)
    failed = [evaluation for evaluation in result.get_asset_check_evaluations() if not evaluation.passed]
    found = {evaluation.check_name: evaluation.description or "" for evaluation in failed}
    assert "cpu_percent 2026-10-30: 288 values outside 0.0 to 1.0 were not stored" in found["bounds"]
    assert "node_memory_utilization_members 2026-10-29: 2 of 3 at the least" in found["members"]
    assert "container_restart_count 2026-10-31: 50%" in found["day_coverage"]
    # The server counts the series in the hours in which the answer lacks them.
    assert "container_restart_count 2026-10-31: 50%" in found["complete"]
    assert "gaps in the metrics cost" in found["missing_share"]
    assert "0 full days are there" in found["window_coverage"]


def half_a_node(body: bytes) -> bytes:
    return _changed(body, lambda time, value: value if time % 86_400 < 43_200 else "2")


def half_of_each_hour(body: bytes) -> bytes:
    return _changed(body, lambda time, value: value if time % 3600 < 1800 else None)


def _changed(body: bytes, change: Callable[[int, str], str | None]) -> bytes:
    answer = json.loads(body)
    for series in answer["data"]["result"]:
        kept = [[time, change(time, value)] for time, value in series["values"]]
        series["values"] = [sample for sample in kept if sample[1] is not None]
    return json.dumps(answer, separators=(",", ":")).encode()


def test_closed_days_are_fetched_again_when_a_person_asks_for_it(home: Path, prometheus_url: str) -> None:
    settings = make_settings(home, DATA_SOURCE="prometheus", PROMETHEUS_URL=prometheus_url)
    job = definitions_for(settings).resolve_job_def("ingest")
    tags = {
        "dagster/asset_partition_range_start": "2026-10-30",
        "dagster/asset_partition_range_end": "2026-10-31",
    }
    no_volume_and_no_quota = 2 * 4 * 288  # asked each time, since no day without a series is stored
    every_metric = 2 * (5 * 1440 + 14 * 288 + 19 * 288) + no_volume_and_no_quota
    for refetch, asked in ((False, no_volume_and_no_quota), (True, every_metric)):
        result = job.execute_in_process(
            run_config={"ops": {"raw_metrics": {"config": {"refetch": refetch}}}}, tags=tags
        )
        assert metadata(result, "raw_metrics")["instants_asked"] == asked
        assert metadata(result, "raw_metrics")["points_revised"] == 0


@pytest.mark.long
def test_metrics_of_a_file_are_fetched_too(tmp_path: Path, prometheus_url: str) -> None:
    file = tmp_path / "metrics.yaml"
    file.write_text(
        "metrics:\n"
        "  - name: filesystem_size\n"
        '    promql: sum(node_filesystem_size_bytes{mountpoint="/"}) / 1e9\n'
        "    unit: count\n"
        "    description: gigabytes of all root file systems\n"
    )
    variables = {"PROMETHEUS_URL": prometheus_url, "METRICS_FILE": str(file), "TRAINING_DAYS": "3"}
    settings = make_settings(tmp_path / "home", DATA_SOURCE="hybrid", **variables)
    assert materialize(settings, until="training_set").success
    lake = stores_of(settings).lake()
    wide, info = lake.read_day(settings.metrics[-1], date(2026, 10, 31))
    assert (info.metric, info.step_seconds, wide.shape) == ("filesystem_size", 300, (288, 1))


def forget(body: bytes, keep_from: int = 30) -> bytes:
    """A range query's answer without its samples from before a day of October."""
    kept_from = datetime(2026, 10, keep_from, tzinfo=UTC).timestamp()
    answer = json.loads(body)
    for series in answer["data"]["result"] if answer["data"]["resultType"] == "matrix" else []:
        series["values"] = [sample for sample in series["values"] if sample[0] >= kept_from]
    return json.dumps(answer, separators=(",", ":")).encode()


def test_days_to_fetch_end_today_only_when_the_window_does(tmp_path: Path) -> None:
    today = datetime.now(UTC).date()
    days = days_to_fetch(make_settings(tmp_path, SYNTHETIC_END=today.isoformat()), today)
    assert (days[0], days[-1], len(days)) == (today - timedelta(days=14), today, 15)
    assert days_to_fetch(make_settings(tmp_path), today)[-1] == date(2026, 10, 31)


LOGIN = Reply(200, {"Content-Type": "text/html"}, b"<html>please log in</html>")
DISK = b'{"status":"error","errorType":"internal","error":"the disk is gone"}'
WARNED = Reply(
    change=lambda body: body.replace(b'{"status":"success",', b'{"status":"success","warnings":["store-1"],')
)
FAULTS: dict[str, tuple[Reply, type[PrometheusError], str, dict[str, object]]] = {
    "login page": (LOGIN, PrometheusAccessError, "web_page", {}),
    "refused token": (Reply(401, body=b"no"), PrometheusAccessError, "access_refused", {"status": 401}),
    "status error": (
        Reply(200, body=DISK),
        PrometheusAnswerError,
        "server_error",
        {"status": 200, "error_type": "internal", "text": json.loads(DISK)["error"]},
    ),
    "warning": (WARNED, PrometheusPartial, "incomplete", {"warnings": ["store-1"]}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_an_answer_that_is_no_data_stops_the_run_and_changes_nothing(
    home: Path, prometheus_url: str, name: str
) -> None:
    """FALLBACK would allow generated data, but these are configuration errors; only a lost day is asked for."""
    reply, error, code, facts = FAULTS[name]
    settings = make_settings(home, DATA_SOURCE="prometheus", PROMETHEUS_URL=prometheus_url)
    lake, metric, day = stores_of(settings).lake(), ENGINE_METRICS[2], date(2026, 10, 28)
    Path(home, lake._path(metric, day)).unlink()
    kept = {path: path.read_bytes() for path in Path(home, "lake").rglob("*.parquet")}
    with faulty(prometheus_url, lambda n, path, params: reply if path.endswith("/query_range") else None) as server:
        broken = make_settings(home, DATA_SOURCE="prometheus", PROMETHEUS_URL=server.url)
        with raises(error, code, **facts):
            materialize(broken)
    assert {path: path.read_bytes() for path in Path(home, "lake").rglob("*.parquet")} == kept
    assert champion(settings) == 1
    assert len(server.requests) < 40


def test_a_bad_query_of_a_metrics_file_stops_with_the_servers_own_text(tmp_path: Path, prometheus_url: str) -> None:
    file = tmp_path / "metrics.yaml"
    file.write_text("metrics: [{name: broken, promql: rat(up), unit: count, description: a typing error}]")
    settings = make_settings(tmp_path, DATA_SOURCE="hybrid", PROMETHEUS_URL=prometheus_url, METRICS_FILE=str(file))
    with raises(PrometheusQueryError, "bad_query", status=400, error_type="bad_data") as caught:
        materialize(settings)
    assert "unknown function" in caught.value.facts["text"]

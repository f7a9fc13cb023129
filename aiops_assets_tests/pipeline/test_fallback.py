"""What stands in for a server that is away, everywhere it must be said, and what never does."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest

from aiops_assets.commands.summary import stated_source
from aiops_assets.datasets.notes import Note
from aiops_assets.errors import EmptyDataError, NotFoundError, PrometheusUnreachable, SettingsError
from aiops_assets.judging.decision import Reason
from aiops_assets.pipeline.definitions import definitions_for
from aiops_assets.pipeline.resources import stores_of, tracking_of
from aiops_assets.registry.lineage import LineageReader
from aiops_assets.settings import Settings
from aiops_assets.storage.records import sha256
from aiops_assets.timeseries.catalog import ENGINE_METRICS
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
from aiops_assets_tests.raising import raises

pytestmark = [pytest.mark.long, pytest.mark.needs("prometheus")]

SAW_REAL_DATA = Reason("synthetic_after_real", champion_source="prometheus+synthetic")


def problem_of(settings: Settings) -> str:
    """Why the last fetch did not reach the server."""
    outcome = stores_of(settings).lake().last_fetch()
    assert outcome
    assert not outcome.reached
    return outcome.problem


def test_cached_days_stand_in_when_the_server_is_away_and_everything_says_so(home: Path) -> None:
    settings = make_settings(home, DATA_SOURCE="prometheus", PROMETHEUS_URL=CLOSED, AIOPS_ENV="production")
    result = materialize(settings)
    assert not checks(result)["server_reached"].passed
    assert not checks(result)["effective_source"].passed
    assert checks(result)["effective_source"].severity == dg.AssetCheckSeverity.WARN
    rows = metadata(result, "pod_features")
    assert metadata(result, "raw_metrics")["effective_source"] == "cached"
    assert rows["effective_source"] == "cached+synthetic"
    assert 0 < float(str(rows["cached_age_hours"])) < 1
    manifest = newest(settings)
    assert manifest.effective_source == "cached+synthetic"
    assert manifest.source.cached_age_seconds is not None
    assert manifest.source.note in manifest.source.warnings
    note = Note("cached_days", problem=problem_of(settings), hours=0.0).text
    assert manifest.source.note == note
    tags = tracking_of(settings).tracker().run_tags(manifest.run_id) or {}
    assert tags["effective_source"] == "cached+synthetic"
    assert json.loads(tags["source"])["note"] == note
    assert stated_source(settings).startswith("cached+synthetic (")
    assert note in stated_source(settings)
    # The same model again is not served anew: the one that the server's own answer made stays. The home may be of
    # another worker of these tests, whose pickles of equal models can differ; then it is a challenger like any other.
    same = manifest.files == stores_of(settings).served().manifest(NAME, 1).files
    assert (champion(settings), manifest.version) == (1 if same else 2, 2)


def test_both_views_take_the_same_fallback(home: Path) -> None:
    settings = make_settings(home, DATA_SOURCE="prometheus", PROMETHEUS_URL=CLOSED)
    result = materialize(settings, models=[ENSEMBLE])
    assert metadata(result, "pod_series")["effective_source"] == "cached+synthetic"
    assert newest(settings, ENSEMBLE).effective_source == "cached+synthetic"
    assert champion(settings, ENSEMBLE) == 1
    generated = make_settings(home, DATA_SOURCE="prometheus", PROMETHEUS_URL=CLOSED, FALLBACK="synthetic")
    result = materialize(generated, models=[ENSEMBLE])
    assert checks(result, ENSEMBLE)["not_worse_than_champion"].description == SAW_REAL_DATA.text
    assert champion(settings, ENSEMBLE) == 1


def test_on_an_empty_lake_dev_generates_and_says_so(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, DATA_SOURCE="hybrid", PROMETHEUS_URL=CLOSED, TRAINING_DAYS="3")
    result = materialize(settings)
    rows = metadata(result, "pod_features")
    assert rows["effective_source"] == "synthetic"
    shortage = Shortage("low_coverage", found=0.0, wanted=0.5)
    note = Note("synthetic_allowed", problem=problem_of(settings), shortage=shortage, has_cache=False).text
    assert rows["source_note"] == note
    assert metadata(result, "raw_metrics")["effective_source"] == "none"
    manifest = newest(settings)
    assert manifest.effective_source == "synthetic"
    assert manifest.source.asked == "hybrid"
    assert manifest.source.note == note
    assert note in stated_source(settings)
    tags = tracking_of(settings).tracker().run_tags(manifest.run_id) or {}
    assert tags["effective_source"] == "synthetic"
    assert champion(settings) == 1


def test_on_an_empty_lake_production_stops(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, AIOPS_ENV="production", PROMETHEUS_URL=CLOSED)
    with raises(PrometheusUnreachable, "nothing_allowed", fallback=("cached",), has_cache=False):
        materialize(settings)
    assert stores_of(settings).served().versions(NAME) == []


def test_with_fallback_fail_the_fetch_itself_stops(home: Path) -> None:
    settings = make_settings(home, DATA_SOURCE="prometheus", PROMETHEUS_URL=CLOSED, FALLBACK="fail")
    with raises(PrometheusUnreachable, "no_answer", url=CLOSED, attempts=4):
        materialize(settings)
    assert champion(settings) == 1


def test_a_synthetic_fallback_never_replaces_a_champion_that_saw_real_data(home: Path) -> None:
    settings = make_settings(home, DATA_SOURCE="prometheus", PROMETHEUS_URL=CLOSED, FALLBACK="synthetic")
    result = materialize(settings)
    assert result.success
    assert (newest(settings).version, newest(settings).effective_source) == (2, "synthetic")
    assert champion(settings) == 1
    assert checks(result)["not_worse_than_champion"].description == SAW_REAL_DATA.text


@pytest.mark.long
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "synthetic"),
        ({"PROMETHEUS_URL": "the real one"}, "prometheus+synthetic"),
        ({"PROMETHEUS_URL": CLOSED}, "synthetic"),
    ],
)
def test_auto_looks_for_a_server(tmp_path: Path, prometheus_url: str, variables: dict[str, str], expected: str) -> None:
    given = {name: value.replace("the real one", prometheus_url) for name, value in variables.items()}
    settings = make_settings(tmp_path, DATA_SOURCE="auto", TRAINING_DAYS="3", **given)
    result = materialize(settings, until="training_set")
    assert metadata(result, "pod_features")["effective_source"] == expected
    assert metadata(result, "pod_features")["data_source"] == "auto"


def test_a_server_without_any_sample_is_no_fallback(tmp_path: Path, prometheus_url: str) -> None:
    settings = make_settings(tmp_path, DATA_SOURCE="hybrid", PROMETHEUS_URL=prometheus_url, SYNTHETIC_END="2026-09-01")
    with raises(EmptyDataError, "no_lasting_pod", pods=0, least_minutes=60) as caught:
        materialize(settings)
    assert "is cAdvisor scraped" in str(caught.value)
    assert stores_of(settings).lake().days(ENGINE_METRICS[0]) == []


def test_a_champion_that_cannot_be_loaded_is_not_replaced_by_generated_data(home: Path) -> None:
    settings = make_settings(home, DATA_SOURCE="prometheus", PROMETHEUS_URL=CLOSED, FALLBACK="synthetic")
    model = home / "models" / NAME / "1" / "model.joblib"
    model.write_bytes(model.read_bytes() + b"x")
    result = materialize(settings, raise_on_error=False)
    assert not result.success
    assert champion(settings) == 1
    reason = checks(result)["not_worse_than_champion"].description or ""
    assert "the champion saw prometheus+synthetic data, and cannot be served" in reason


def test_a_champion_of_the_first_release_is_still_one(home: Path, prometheus_url: str) -> None:
    """Its manifest and its training set's record say nothing of blends, coverage or windows."""
    settings = make_settings(home, DATA_SOURCE="prometheus", PROMETHEUS_URL=prometheus_url)
    path = home / "models" / NAME / "1" / "manifest.json"
    manifest = json.loads(path.read_text())
    record = next((home / "training_sets").rglob("view=pod_features/*/record.json"))
    old = json.loads(record.read_text())
    for document in (manifest, old):
        document.pop("source")
    for name in ("window_start", "window_end"):
        manifest.pop(name)
    for day in old["days"]:
        for name in ("source", "closed", "revised"):
            day.pop(name)
    record.write_text(json.dumps(old))
    manifest["training_set_sha256"] = sha256(record.read_bytes())
    path.write_text(json.dumps(manifest))
    record_file = home / "models" / NAME / "champion.json"
    record_file.write_text(
        record_file.read_text().replace(
            json.loads(record_file.read_text())["champion"]["manifest_sha256"], sha256(path.read_bytes())
        )
    )
    served = stores_of(settings).served()
    served.sign(NAME, 1, sha256(path.read_bytes()))
    unsigned = served.unsigned_champion(NAME)
    assert unsigned
    served.sign_champion(unsigned)
    assert stores_of(settings).served().manifest(NAME, 1, sha256(path.read_bytes())).effective_source
    stores = stores_of(settings)
    reader = LineageReader(stores.served(), stores.training_sets(), stores.lake(), tracking_of(settings).tracker())
    chain = reader.trace(NAME)
    assert ["MLflow" in problem for problem in chain.problems] == [True]  # its manifest is no longer the recorded one
    assert {day.state for day in chain.days} == {"verified"}
    assert {day.source for day in chain.days} == {"prometheus", "synthetic"}


def test_what_is_left_of_a_damaged_day_is_said_when_no_server_answers(home: Path) -> None:
    lake = stores_of(make_settings(home)).lake()
    path = Path(home, lake._path(ENGINE_METRICS[0], date(2026, 10, 27)))
    path.write_bytes(path.read_bytes()[:-7])
    settings = make_settings(home, DATA_SOURCE="prometheus", PROMETHEUS_URL=CLOSED)
    manifest = newest(settings) if materialize(settings).success else None
    assert manifest
    assert manifest.source.coverage == pytest.approx(6 / 7, abs=0.01)
    assert any("day=2026-10-27.parquet is damaged" in warning for warning in manifest.source.warnings)


def test_a_window_that_was_not_fetched_is_asked_for_and_never_replaced(home: Path, prometheus_url: str) -> None:
    """Only the training set is materialized, a day later. The server is up: FALLBACK has no say."""
    lake = stores_of(make_settings(home)).lake()
    outcome = lake.last_fetch()
    assert outcome
    before = datetime(2026, 10, 31, 12, tzinfo=UTC)
    lake.note_fetch(outcome.model_copy(update={"when": before.isoformat()}))
    needed = ("2026-10-25", "2026-10-31")
    for variables, refused in (
        ({}, raises(NotFoundError, "window_not_fetched", needed=needed)),
        ({"SYNTHETIC_END": "2036-10-31"}, raises(SettingsError, "end_in_future", end="2036-10-31")),
    ):
        settings = make_settings(home, **{"DATA_SOURCE": "prometheus", "PROMETHEUS_URL": prometheus_url, **variables})
        job = definitions_for(settings).resolve_implicit_global_asset_job_def()
        with refused:
            job.execute_in_process(asset_selection=[dg.AssetKey("pod_features")])

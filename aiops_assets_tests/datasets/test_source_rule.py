"""The rule of the fallback, without a server: which source stands in, and why; and the rows it comes to."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from aiops_assets.datasets.generation import frame_of, series_of
from aiops_assets.datasets.notes import Note
from aiops_assets.datasets.source_rule import choose, training_set
from aiops_assets.datasets.window import MIN_POD_MINUTES, Window, draw_pods
from aiops_assets.errors import NotFoundError, PrometheusUnreachable, SchemaError, SettingsError
from aiops_assets.pipeline.assets.synthetic_series import synthetic_series
from aiops_assets.pipeline.partitions import days_to_fetch, longest_window, training_days
from aiops_assets.pipeline.resources import stores_of, tracking_of
from aiops_assets.registry.lineage import LineageReader
from aiops_assets.settings import Settings, load_settings
from aiops_assets.storage.lake import FetchOutcome, Lake
from aiops_assets.storage.records import Day, SyntheticRecipe, TrainingSetRecord
from aiops_assets.synthetic.cluster import generate_cluster
from aiops_assets.timeseries.catalog import FORECAST_METRICS
from aiops_assets.timeseries.quality import Shortage, WindowCoverage
from aiops_assets.timeseries.schema import combined_digest, content_digest, day_digests
from aiops_assets.views.catalog import CLUSTER_METRICS_VIEW, POD_FEATURES, POD_SERIES, POD_VIEWS, VIEWS
from aiops_assets.views.pod_features import synthetic_rows
from aiops_assets_tests.conftest import END, make_settings
from aiops_assets_tests.raising import raises
from aiops_assets_tests.snapshot import assert_snapshot

NOW = END.to_pydatetime() + timedelta(hours=9)
DAYS = tuple((END - timedelta(days=back)).date() for back in range(7, 0, -1))
URL = "http://127.0.0.1:9"
RECIPE = SyntheticRecipe(n_pods=20, days=7, end=END.to_pydatetime(), seed=42, anomaly_rate=0.03)
"""Of synthetic_series with the settings of the tests."""


def _outcome(reached: bool, when: datetime = NOW) -> FetchOutcome:
    problem = "" if reached else "no answer"
    first, last = DAYS[0].isoformat(), DAYS[-1].isoformat()
    return FetchOutcome(
        when=when.isoformat(),
        reached=reached,
        problem=problem,
        run_id="r",
        server="127.0.0.1:9",
        first_day=first,
        last_day=last,
    )


def _window(share: float) -> Window:
    full = round(7 * share)
    days = {day: 1.0 if i < full else 0.0 for i, day in enumerate(DAYS)}
    fetched = NOW - timedelta(hours=26) if full else None
    found = tuple(Day(day=day.isoformat(), source="prometheus", digest="", metrics={"m": ""}) for day in DAYS[:full])
    return Window(DAYS, found, WindowCoverage({"m": days}), fetched, (), {})


CACHED = Note("cached_days", problem="no answer", hours=26.0)
GENERATED = Note("synthetic_allowed", problem="no answer")
SHORT = Shortage("low_coverage", found=2 / 7, wanted=0.5)


@pytest.mark.parametrize(
    ("fallback", "share", "source", "note"),
    [
        ("cached,synthetic", 1.0, "cached", CACHED),
        ("cached", 5 / 7, "cached", CACHED),
        (
            "cached,synthetic",
            2 / 7,
            "synthetic",
            Note("synthetic_allowed", problem="no answer", shortage=SHORT, has_cache=True),
        ),
        ("synthetic", 1.0, "synthetic", GENERATED),
        ("synthetic,cached", 1.0, "synthetic", GENERATED),
    ],
)
def test_options_are_tried_in_order(tmp_path: Path, fallback: str, share: float, source: str, note: Note) -> None:
    settings = make_settings(tmp_path, FALLBACK=fallback)
    choice = choose(settings, _outcome(reached=False), _window(share), NOW)
    assert (choice.source, choice.note) == (source, note)
    assert choice.cached_age == (timedelta(hours=26) if source == "cached" else None)


@pytest.mark.parametrize(
    ("fallback", "tried"),
    [("cached", {"shortage": Shortage("low_coverage", 0.0, 0.5), "has_cache": False}), ("fail", {})],
)
def test_when_nothing_is_left_it_stops(tmp_path: Path, fallback: str, tried: dict[str, object]) -> None:
    expected = {"problem": "no answer", "fallback": (fallback,), **tried}
    with raises(PrometheusUnreachable, "nothing_allowed") as caught:
        choose(make_settings(tmp_path, FALLBACK=fallback), _outcome(reached=False), _window(0.0), NOW)
    assert caught.value.facts == expected
    assert str(caught.value) == Note("nothing_allowed", **expected).text


def test_a_server_that_answered_after_the_window_ended_is_the_source(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    assert choose(settings, _outcome(reached=True), _window(0.1), NOW).source == "prometheus"
    early = _outcome(reached=True, when=NOW - timedelta(hours=10))
    with raises(NotFoundError, "window_not_fetched", needed=("2026-10-25", "2026-10-31")):
        choose(settings, early, _window(1.0), NOW)


def test_days_that_the_last_fetch_did_not_ask_for_must_have_closed(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    today_only = _outcome(reached=True).model_copy(update={"first_day": DAYS[-1].isoformat()})
    assert choose(settings, today_only, _window(1.0), NOW).source == "prometheus"
    window = _window(1.0)
    open_day = replace(window, found=(*window.found[:-2], window.found[-2].model_copy(update={"closed": False})))
    fetched, needed = ("2026-10-31", "2026-10-31"), ("2026-10-25", "2026-10-31")
    with raises(NotFoundError, "window_not_fetched", fetched=fetched, needed=needed) as caught:
        choose(settings, today_only, open_day, NOW)
    assert_snapshot("window_not_fetched", f"{caught.value}\n")


def test_short_jobs_do_not_crowd_out_services() -> None:
    services = {f"service-{i:02d}": 10_080 for i in range(50)}
    jobs = {f"job-{i:05d}": 3 for i in range(10_500)}
    hours = {f"ci-{i:03d}": 70 for i in range(500)}
    drawn = draw_pods({**services, **jobs, **hours}, 50, seed=1)
    assert drawn == draw_pods({**hours, **services, **jobs}, 50, seed=1)
    assert len(set(drawn)) == 50
    assert sum(pod in services for pod in drawn) >= 35
    assert not set(drawn) & set(jobs)
    assert draw_pods(jobs, 50, seed=1) == ()
    assert draw_pods({"a": MIN_POD_MINUTES}, 50, seed=1) == ("a",)


def test_pods_with_all_metrics_are_drawn_first_and_others_fill_up() -> None:
    minutes = {f"pod-{i:02d}": 5_760 for i in range(30)}
    complete = {"pod-04", "pod-11", "pod-29"}
    drawn = draw_pods(minutes, 10, 1, complete)
    assert complete < set(drawn)
    others = set(drawn) - complete
    assert others < set(draw_pods({pod: n for pod, n in minutes.items() if pod not in complete}, 10, 1))
    assert draw_pods({**minutes, "pod-new": 60}, 10, 1, complete) == drawn
    assert set(draw_pods(minutes, 2, 1, complete)) < complete
    assert draw_pods(minutes, 10, 1, set(minutes)) == draw_pods(minutes, 10, 1)


def test_short_jobs_with_all_metrics_do_not_come_before_services_without() -> None:
    services = {f"service-{i:02d}": 10_080 for i in range(50)}
    jobs = {f"ci-{i:03d}": 70 for i in range(500)}
    drawn = draw_pods({**services, **jobs}, 50, 1, set(jobs))
    assert sum(pod in services for pod in drawn) >= 35


def test_nothing_was_ever_fetched(tmp_path: Path) -> None:
    with raises(NotFoundError, "never_fetched"):
        choose(make_settings(tmp_path), None, _window(0.0), NOW)


@pytest.mark.parametrize(
    ("variables", "mode", "share"),
    [
        ({}, "synthetic", 1.0),
        ({"DATA_SOURCE": "prometheus", "PROMETHEUS_URL": URL}, "prometheus", 0.2),
        ({"DATA_SOURCE": "hybrid", "PROMETHEUS_URL": URL}, "hybrid", 0.5),
        ({"DATA_SOURCE": "hybrid", "PROMETHEUS_URL": URL, "SYNTHETIC_RATIO": "0"}, "hybrid", 0.0),
        ({"DATA_SOURCE": "auto"}, "synthetic", 1.0),
        ({"DATA_SOURCE": "auto", "PROMETHEUS_URL": URL}, "prometheus", 0.2),
        ({"AIOPS_ENV": "production", "PROMETHEUS_URL": URL}, "prometheus", 0.2),
    ],
)
def test_the_mode_and_its_share(variables: dict[str, str], mode: str, share: float) -> None:
    settings = load_settings(variables)
    assert (settings.mode, settings.synthetic_share) == (mode, share)


@pytest.mark.parametrize(
    "variables",
    [
        {"DATA_SOURCE": "prometheus"},
        {"AIOPS_ENV": "staging"},
        {"AIOPS_ENV": "production", "DATA_SOURCE": "auto"},
    ],
)
def test_where_a_server_is_needed_its_address_is_asked_for(variables: dict[str, str]) -> None:
    with raises(SettingsError, "no_server"):
        _ = load_settings(variables).mode


def _fill_lake(lake: Lake, days: int, lost: dict[str, slice] | None = None) -> pd.DataFrame:
    """The newest ``days`` days of a cluster that is not the generated one; returns its values."""
    values = generate_cluster(14, END, seed=7).set_index("timestamp")
    for name, instants in (lost or {}).items():
        values.loc[values.index[instants], name] = np.nan
    values = values[values.index >= END - timedelta(days=days)]
    fetched = NOW - timedelta(hours=26)
    for back in range(days):
        until = (END - timedelta(days=back)).to_pydatetime()
        begin = until - timedelta(days=1)
        part = values[(values.index >= begin) & (values.index < until)]
        for metric in FORECAST_METRICS:
            wide = part[[metric.name]].set_axis(["{}"], axis=1)
            lake.upsert_day(metric, begin.date(), wide, fetched=fetched, fetched_until=until, closed=True)
    return values.reset_index()


def _cluster_set(settings: Settings, lake: Lake) -> tuple[pd.DataFrame, TrainingSetRecord]:
    """The training set of the forecasters; the recipe is that of the pods, seven days, as synthetic_series has it."""
    days = [(END - timedelta(days=back)).date() for back in range(14, 0, -1)]
    rows, record = training_set(VIEWS[CLUSTER_METRICS_VIEW], settings, RECIPE, "announced", lake, days, NOW)
    VIEWS[CLUSTER_METRICS_VIEW].validate(rows)
    return rows, record


def _note(lake: Lake, *, reached: bool) -> None:
    first = (END - timedelta(days=14)).date().isoformat()
    lake.note_fetch(_outcome(reached).model_copy(update={"first_day": first}))


def test_the_cluster_is_generated_over_its_own_window(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    rows, record = _cluster_set(settings, stores_of(settings).lake())
    assert (record.effective_source, record.source.rows) == ("synthetic", {"synthetic": 14 * 288})
    assert record.source.coverage is None
    assert (record.anomaly_rate, record.label_rate) == (0.0, 0.0)
    assert record.window_start == END - timedelta(days=14)
    assert record.pods == ("synthetic-000",)
    assert record.queries == {}
    assert rows["timestamp"].max() == END - timedelta(minutes=5)
    assert record.recipe
    assert day_digests(frame_of(record.recipe)) == {day.day: day.digest for day in record.days}
    assert len(record.days) == 14


@pytest.mark.parametrize(("mode", "generated"), [("prometheus", 1008), ("hybrid", 4032)])
def test_the_fetched_cluster_is_blended_as_asked(tmp_path: Path, mode: str, generated: int) -> None:
    settings = make_settings(tmp_path, DATA_SOURCE=mode, PROMETHEUS_URL=URL)
    lake = stores_of(settings).lake()
    values = _fill_lake(lake, 14, {"disk_usage": slice(100, 164)})
    _note(lake, reached=True)
    rows, record = _cluster_set(settings, lake)
    assert record.effective_source == "prometheus+synthetic"
    assert record.source.rows == {"prometheus": 4032, "synthetic": generated}
    assert record.source.warnings == ()
    assert record.source.coverage == pytest.approx(1 - 64 / 4032)
    assert set(record.source.coverage_by_metric) == {metric.name for metric in FORECAST_METRICS}
    assert record.source.missing_share == pytest.approx(64 / (5 * 4032))
    assert record.queries == {metric.name: metric.promql for metric in FORECAST_METRICS}
    assert record.pods == ("cluster", "synthetic-000")
    real = rows[rows["source"] == "prometheus"]
    pd.testing.assert_frame_equal(real[values.columns], values, check_column_type=False)
    assert real["disk_usage"].isna().sum() == 64


def test_a_share_that_one_cluster_cannot_reach_is_said(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, DATA_SOURCE="hybrid", PROMETHEUS_URL=URL, SYNTHETIC_RATIO="0.8")
    lake = stores_of(settings).lake()
    _fill_lake(lake, 14)
    _note(lake, reached=True)
    record = _cluster_set(settings, lake)[1]
    assert record.source.rows == {"prometheus": 4032, "synthetic": 4032}
    assert record.source.warnings == (Note("short_cluster", asked=0.8, got=0.5).text,)


def test_ten_days_of_fourteen_train_and_are_said(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, DATA_SOURCE="prometheus", PROMETHEUS_URL=URL)
    lake = stores_of(settings).lake()
    _fill_lake(lake, 10)
    _note(lake, reached=True)
    rows, record = _cluster_set(settings, lake)
    assert (record.source.full_days, record.source.window_days) == (10, 14)
    assert record.source.warnings == (
        Note("low_coverage", share=10 / 14, days=14, full_days=10, lowest="cpu_usage").text,
    )
    assert record.source.rows == {"prometheus": 2880, "synthetic": 720}
    cuts = rows[rows["split"] == "holdout"].groupby("source")["timestamp"].min()
    assert set(cuts) == {END - timedelta(days=2)}


@pytest.mark.parametrize(("days", "source"), [(14, "cached+synthetic"), (5, "synthetic")])
def test_the_fallback_is_the_same_for_the_cluster(tmp_path: Path, days: int, source: str) -> None:
    """Five days would do for the pods' seven; of fourteen they are a third."""
    settings = make_settings(tmp_path, DATA_SOURCE="prometheus", PROMETHEUS_URL=URL)
    lake = stores_of(settings).lake()
    _fill_lake(lake, days)
    _note(lake, reached=False)
    record = _cluster_set(settings, lake)[1]
    assert record.effective_source == source
    assert record.source.cached_age_seconds == (26 * 3600 if days == 14 else None)
    strict = make_settings(tmp_path, DATA_SOURCE="prometheus", PROMETHEUS_URL=URL, FALLBACK="fail")
    with raises(PrometheusUnreachable, "nothing_allowed", problem="no answer", fallback=("fail",)):
        _cluster_set(strict, lake)


def test_days_of_the_clusters_window_that_were_not_asked_for_must_be_fetched(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, DATA_SOURCE="prometheus", PROMETHEUS_URL=URL)
    lake = stores_of(settings).lake()
    _fill_lake(lake, 7)
    lake.note_fetch(_outcome(reached=True))
    with raises(NotFoundError, "window_not_fetched", needed=("2026-10-18", "2026-10-31")):
        _cluster_set(settings, lake)


def test_two_series_of_a_cluster_are_refused(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, DATA_SOURCE="prometheus", PROMETHEUS_URL=URL)
    lake = stores_of(settings).lake()
    values = _fill_lake(lake, 14).set_index("timestamp")["cpu_usage"]
    second = values.iloc[-288:].to_frame('{"replica":"b"}')
    end = END.to_pydatetime()
    lake.upsert_day(FORECAST_METRICS[0], DAYS[-1], second, fetched=NOW, fetched_until=end, closed=True)
    _note(lake, reached=True)
    with raises(SchemaError, "several_series", metric="cpu_usage", series=2):
        _cluster_set(settings, lake)


def test_the_lineage_of_a_cluster_is_walked_back_and_its_days_generated_again(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, DATA_SOURCE="prometheus", PROMETHEUS_URL=URL)
    stores = stores_of(settings)
    lake = stores.lake()
    _fill_lake(lake, 14)
    _note(lake, reached=True)
    record = _cluster_set(settings, lake)[1]
    reader = LineageReader(stores.served(), stores.training_sets(), lake, tracking_of(settings).tracker())
    states = reader._days(record)
    assert [(state.source, state.state) for state in states] == (
        [("prometheus", "verified")] * 14 + [("synthetic", "verified")] * 14
    )
    assert record.recipe
    other = record.model_copy(update={"recipe": record.recipe.model_copy(update={"seed": 1})})
    assert {state.state for state in reader._days(other) if state.source == "synthetic"} == {"revised"}


def test_a_recipe_of_older_code_is_one_of_pods() -> None:
    older = json.loads(RECIPE.to_bytes())
    del older["what"]
    recipe = SyntheticRecipe.model_validate(older)
    assert recipe == RECIPE
    assert content_digest(frame_of(recipe)) == content_digest(series_of(RECIPE).to_frame())


def test_the_longer_window_of_the_forecasters_is_not_the_pods(tmp_path: Path) -> None:
    """Generated pods are those of their own seven days, as before there were forecasters; TRAINING_DAYS rules all."""
    settings = make_settings(tmp_path)
    assert len(longest_window(settings, POD_VIEWS)) == 7
    assert [training_days(view) for view in VIEWS] == [7, 7, 14]
    assert len(days_to_fetch(settings, END.date())) == 15
    result = dg.materialize_to_memory([synthetic_series], resources={"settings": settings})
    event = result.asset_materializations_for_node("synthetic_series")[0]
    assert event.tags
    assert event.tags["dagster/data_version"] == "6b9a43bb28c25006f6c9c39e6f65d0f6"
    short = make_settings(tmp_path, TRAINING_DAYS="5")
    assert len(longest_window(short)) == len(longest_window(short, POD_VIEWS)) == 5


def test_generated_rows_of_pods_are_those_that_the_figures_were_measured_on(tmp_path: Path) -> None:
    """Columns of features differ between machines in the last bit; what they are computed from does not."""
    settings = make_settings(tmp_path)
    announced = combined_digest(day_digests(frame_of(RECIPE)))
    digests = {
        POD_FEATURES: content_digest(synthetic_rows(series_of(RECIPE), settings.n_samples, 0.03, 42)),
        POD_SERIES: "224fce338b77e9ca25b06c1ca82f4021",
    }
    for view, digest in digests.items():
        record = training_set(VIEWS[view], settings, RECIPE, announced, stores_of(settings).lake(), DAYS, NOW)[1]
        assert record.data_version == digest
        assert (record.anomaly_rate, len(record.days)) == (0.03, 7)

"""The rule of the fallback, without a server: which source stands in, and why."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from aiops_assets.errors import NotFoundError, PrometheusUnreachable, SettingsError
from aiops_assets.settings import load_settings
from aiops_assets.sources import choose
from aiops_assets.stores.lake import FetchOutcome
from aiops_assets.stores.records import Day
from aiops_assets.timeseries.quality import WindowCoverage
from aiops_assets.window import LEAST_POD_MINUTES, Window, draw_pods
from aiops_assets_tests.conftest import END, make_settings

NOW = END.to_pydatetime() + timedelta(hours=9)
DAYS = tuple((END - timedelta(days=back)).date() for back in range(7, 0, -1))
URL = "http://127.0.0.1:9"


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


@pytest.mark.parametrize(
    ("fallback", "share", "source", "note"),
    [
        ("cached,synthetic", 1.0, "cached", "no answer; cached days are used, fetched 26.0 h ago"),
        ("cached", 5 / 7, "cached", "no answer; cached days are used, fetched 26.0 h ago"),
        (
            "cached,synthetic",
            2 / 7,
            "synthetic",
            "no answer; cached days do not suffice: 29% of the window is there, MIN_COVERAGE asks for 50%; "
            "FALLBACK allows synthetic data",
        ),
        ("synthetic", 1.0, "synthetic", "no answer; FALLBACK allows synthetic data"),
        ("synthetic,cached", 1.0, "synthetic", "no answer; FALLBACK allows synthetic data"),
    ],
)
def test_options_are_tried_in_order(tmp_path: Path, fallback: str, share: float, source: str, note: str) -> None:
    settings = make_settings(tmp_path, FALLBACK=fallback)
    choice = choose(settings, _outcome(reached=False), _window(share), NOW)
    assert (choice.source, choice.note) == (source, note)
    assert choice.cached_age == (timedelta(hours=26) if source == "cached" else None)


@pytest.mark.parametrize("fallback", ["cached", "fail"])
def test_when_nothing_is_left_it_stops(tmp_path: Path, fallback: str) -> None:
    with pytest.raises(PrometheusUnreachable, match=f"no answer; .*FALLBACK={fallback} allows nothing else"):
        choose(make_settings(tmp_path, FALLBACK=fallback), _outcome(reached=False), _window(0.0), NOW)


def test_a_server_that_answered_after_the_window_ended_is_the_source(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    assert choose(settings, _outcome(reached=True), _window(0.1), NOW).source == "prometheus"
    early = _outcome(reached=True, when=NOW - timedelta(hours=10))
    with pytest.raises(NotFoundError, match="the window needs 2026-10-25 to 2026-10-31: materialize raw_metrics"):
        choose(settings, early, _window(1.0), NOW)


def test_days_that_the_last_fetch_did_not_ask_for_must_have_closed(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    today_only = _outcome(reached=True).model_copy(update={"first_day": DAYS[-1].isoformat()})
    assert choose(settings, today_only, _window(1.0), NOW).source == "prometheus"
    window = _window(1.0)
    open_day = replace(window, found=(*window.found[:-2], window.found[-2].model_copy(update={"closed": False})))
    with pytest.raises(NotFoundError, match=f"asked for {DAYS[-1]} to {DAYS[-1]}; the window needs {DAYS[0]} to"):
        choose(settings, today_only, open_day, NOW)


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
    assert draw_pods({"a": LEAST_POD_MINUTES}, 50, seed=1) == ("a",)


def test_nothing_was_ever_fetched(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="materialize it first"):
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
    with pytest.raises(SettingsError, match="needs PROMETHEUS_URL"):
        _ = load_settings(variables).mode


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("FALLBACK", "cached,fail", "must be cached, synthetic, cached,synthetic or fail"),
        ("SYNTHETIC_RATIO", "0.9", "0.0 to 0.8"),
        ("MIN_COVERAGE", "2", "0.0 to 1.0"),
        ("RETRAIN_AFTER_DAYS", "0", "1 to 365"),
        ("PROMETHEUS_COMPRESSION", "br", "one of identity, gzip"),
    ],
)
def test_wrong_values_say_what_is_allowed(name: str, value: str, hint: str) -> None:
    with pytest.raises(SettingsError, match=hint):
        load_settings({name: value})

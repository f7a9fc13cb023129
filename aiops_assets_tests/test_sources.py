"""The rule of the fallback, without a server: which source stands in, and why."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from aiops_assets.errors import NotFoundError, PrometheusUnreachable, SettingsError
from aiops_assets.settings import load_settings
from aiops_assets.sources import Window, choose
from aiops_assets.stores.lake import FetchOutcome
from aiops_assets.timeseries.quality import WindowCoverage
from aiops_assets_tests.conftest import END, make_settings

NOW = END.to_pydatetime() + timedelta(hours=9)
DAYS = tuple((END - timedelta(days=back)).date() for back in range(7, 0, -1))
URL = "http://127.0.0.1:9"


def _outcome(reached: bool, when: datetime = NOW) -> FetchOutcome:
    problem = "" if reached else "no answer"
    return FetchOutcome(when=when.isoformat(), reached=reached, problem=problem, run_id="r", server="127.0.0.1:9")


def _window(share: float) -> Window:
    full = round(7 * share)
    days = {day: 1.0 if i < full else 0.0 for i, day in enumerate(DAYS)}
    fetched = NOW - timedelta(hours=26) if full else None
    return Window(DAYS, {}, (), WindowCoverage({"m": days}), fetched, ())


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
    choice = choose(settings, early, _window(1.0), NOW)
    assert choice.source == "cached"
    assert "is older than the window's end" in choice.note


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

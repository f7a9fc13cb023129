"""Rows of a generated host: how many of which kind, what each kind does, and the same ones for a seed."""

import hashlib
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from aiops_assets.errors import DataError
from aiops_assets.hosts.generated import LABELS, generate_full_training_set
from aiops_assets.hosts.metrics import HOST_COLUMNS, LABEL
from aiops_assets.hosts.scenarios import CPU_SPIKE, ERROR_STORM, MEMORY_LEAK, SCENARIOS
from aiops_assets_tests.raising import raises

SHARES = {"normal": 0.85, "cpu_spike": 0.075, "memory_leak": 0.04, "error_storm": 0.035}


@pytest.fixture(scope="module")
def month() -> pd.DataFrame:
    return generate_full_training_set(30)


def episodes(rows: pd.DataFrame, label: str) -> list[pd.DataFrame]:
    """The rows of each scenario of a kind."""
    inside = (rows[LABEL] == label).to_numpy()
    edges = np.flatnonzero(np.diff(inside.astype(int), prepend=0, append=0))
    return [rows.iloc[begin:end] for begin, end in zip(edges[::2], edges[1::2], strict=True)]


@pytest.mark.parametrize("days", [7, 8, 13, 14, 30, 90])
@pytest.mark.parametrize("seed", [0, 42])
def test_shares_hold_within_half_a_point(days: int, seed: int) -> None:
    rows = generate_full_training_set(days, seed)
    assert rows.shape == (days * 1440, 15)
    assert tuple(rows.columns) == (*HOST_COLUMNS, LABEL)
    assert np.isfinite(rows[list(HOST_COLUMNS)].to_numpy()).all()
    for label, share in rows[LABEL].value_counts(normalize=True).items():
        assert share == pytest.approx(SHARES[str(label)], abs=0.005)


def test_in_a_day_scenarios_are_shortened() -> None:
    rows = generate_full_training_set(1)
    shares = rows[LABEL].value_counts(normalize=True)
    assert {label: round(shares[label], 2) for label in LABELS} == {
        label: pytest.approx(share, abs=0.01) for label, share in SHARES.items()
    }
    (leak,) = episodes(rows, MEMORY_LEAK.label)
    assert len(leak) == round(0.04 * 1440)
    assert leak["memory_usage_percent"].iloc[-1] > 85


def test_every_scenario_is_as_long_as_its_kind_says(month: pd.DataFrame) -> None:
    for scenario in SCENARIOS:
        found = [len(episode) for episode in episodes(month, scenario.label)]
        assert found
        assert min(found) >= scenario.shortest
        assert max(found) <= scenario.longest
        assert len(set(found)) > 1


def test_a_spike_builds_up_peaks_drops_and_recovers(month: pd.DataFrame) -> None:
    for spike in episodes(month, CPU_SPIKE.label):
        cpu = spike["cpu_usage_percent"].to_numpy()
        assert cpu[0] == pytest.approx(30, abs=2)
        assert np.corrcoef(np.arange(60), cpu[:60])[0, 1] > 0.99
        peak = cpu[60:-32]
        assert 10 <= len(peak) <= 15
        assert peak.min() >= 85
        assert peak.max() <= 95
        np.testing.assert_allclose(cpu[-32:-30], 35, atol=1)
        np.testing.assert_allclose(cpu[-30:], 30, atol=1)


def test_a_leak_grows_in_a_line_and_drops(month: pd.DataFrame) -> None:
    for leak in episodes(month, MEMORY_LEAK.label):
        memory = leak["memory_usage_percent"].to_numpy()
        assert np.corrcoef(np.arange(len(memory)), memory)[0, 1] > 0.99
        assert (memory[0], memory[-1]) == (pytest.approx(30, abs=1), pytest.approx(90, abs=1))
        after = leak.index[-1] + pd.Timedelta(minutes=1)
        assert month.loc[after, "memory_usage_percent"] < 50


def test_a_storm_slows_answers_as_errors_rise(month: pd.DataFrame) -> None:
    usual = month.loc[month[LABEL] == "normal", "response_time_p95"].median()
    for storm in episodes(month, ERROR_STORM.label):
        errors, latency = storm["error_rate"].to_numpy(), storm["response_time_p95"].to_numpy()
        assert errors.max() == pytest.approx(0.25, abs=0.02)
        assert errors[-1] < 0.05
        assert np.corrcoef(errors, latency)[0, 1] > 0.9
        assert latency.max() > 3 * usual


def test_normal_rows_have_hours_of_work_weekends_and_little_noise(month: pd.DataFrame) -> None:
    cpu = month.loc[month[LABEL] == "normal", "cpu_usage_percent"]
    times = pd.DatetimeIndex(cpu.index)
    noon, night = times.hour == 12, times.hour == 3
    work = times.day_of_week < 5
    assert cpu[noon & work].mean() > 1.5 * cpu[night & work].mean()
    assert cpu[noon & work].mean() > 1.3 * cpu[noon & ~work].mean()
    assert cpu[noon & work].std() / cpu[noon & work].mean() == pytest.approx(0.05, abs=0.01)


def test_rates_are_changes_in_a_minute(month: pd.DataFrame) -> None:
    for rate, of, decimals in (
        ("cpu_rate_of_change", "cpu_usage_percent", 2),
        ("memory_rate_of_change", "memory_usage_percent", 2),
        ("error_rate_trend", "error_rate", 5),
    ):
        np.testing.assert_allclose(month[rate].iloc[1:], np.diff(month[of]), atol=1.01 * 10**-decimals)


def test_a_seed_is_the_same_rows_and_another_one_others() -> None:
    def digest(seed: int) -> str:
        return hashlib.sha256(generate_full_training_set(2, seed).to_csv().encode()).hexdigest()

    assert digest(42) == "2ab521e06d20121a5c667ed5e7f5ebd074c840053f36a7955287f89cd750902e"
    assert digest(1) != digest(42)


def test_rows_end_before_a_given_time() -> None:
    end = datetime(2026, 11, 1, 12, tzinfo=UTC)
    rows = generate_full_training_set(1, end=end)
    assert (rows.index[0], rows.index[-1]) == (pd.Timestamp("2026-10-31 12:00Z"), pd.Timestamp("2026-11-01 11:59Z"))


@pytest.mark.parametrize("days", [0, -1, 3661])
def test_days_have_limits(days: int) -> None:
    with raises(DataError, "out_of_range", days=days):
        generate_full_training_set(days)

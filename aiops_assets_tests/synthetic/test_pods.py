import numpy as np
import pandas as pd
import pytest

from aiops_assets.errors import DataError
from aiops_assets.synthetic.healthy import HEALTHY_LEVELS
from aiops_assets.synthetic.pods import NOISE, generate
from aiops_assets.synthetic.seasons import DAY_MINUTES, WEEK_MINUTES, sine_table
from aiops_assets.timeseries.catalog import RESTARTS, SYNTHETIC_METRICS
from aiops_assets.timeseries.schema import content_digest
from aiops_assets.timeseries.series import minute_grid
from aiops_assets_tests.conftest import END


def test_same_seed_and_end_give_the_bytes_that_every_machine_gives() -> None:
    digest = content_digest(generate(3, 1, END, seed=42).to_frame())
    assert digest == "ac46c32a1edc5a04444c979ba55f0a84"


@pytest.mark.parametrize(("end", "seed"), [(END, 43), (END + pd.Timedelta(days=1), 42)])
def test_another_seed_or_end_gives_other_rows(end: pd.Timestamp, seed: int) -> None:
    assert content_digest(generate(3, 1, end, seed).to_frame()) != content_digest(generate(3, 1, END, 42).to_frame())


def test_grid_is_every_minute_of_the_days_before_the_end() -> None:
    series = generate(2, 3, END, seed=1)
    assert series.times[0] == END - pd.Timedelta(days=3)
    assert series.times[-1] == END - pd.Timedelta(minutes=1)
    assert len(series.times) == 3 * DAY_MINUTES == len(minute_grid(END - pd.Timedelta(days=3), END))
    for metric in SYNTHETIC_METRICS:
        assert series.values[metric.name].shape == (2, 1, 3 * DAY_MINUTES)


def test_pods_cover_the_levels_of_healthy_rows() -> None:
    series = generate(50, 7, END, seed=5)
    for metric, (low, high) in HEALTHY_LEVELS.items():
        levels = np.median(series.values[metric], axis=(1, 2))
        assert levels.min() < low + 0.1 * (high - low)
        assert levels.max() > high - 0.1 * (high - low)
        # No hole: the levels of 50 pods lie closer together than a tenth of the range.
        assert np.diff(np.sort(levels)).max() < 0.1 * (high - low)


def test_noise_differs_between_pods_and_stays_in_its_range() -> None:
    values = generate(50, 1, END, seed=5).values["node_cpu_utilization"][:, 0]
    noise = np.diff(values, axis=1).std(axis=1) / np.sqrt(2) / values.mean(axis=1)
    assert noise.min() > NOISE[0] * 0.8
    assert noise.max() < NOISE[1] * 1.2
    assert noise.max() / noise.min() > 5


def test_restarts_are_whole_and_never_fall() -> None:
    counts = generate(20, 7, END, seed=5).values[RESTARTS.name][:, 0]
    assert (counts == counts.round()).all()
    assert (np.diff(counts, axis=1) >= 0).all()
    # ADR-052: Poisson 0.01 in five minutes.
    assert np.diff(counts, axis=1).mean() == pytest.approx(0.01 / 5, rel=0.2)


@pytest.mark.parametrize("period", [DAY_MINUTES, WEEK_MINUTES])
def test_rounding_of_the_sine_table_cannot_differ_between_machines(period: int) -> None:
    exact = np.sin(2 * np.pi * np.arange(period) / period) * 1e9
    distance_to_edge = np.abs(exact - np.floor(exact) - 0.5)
    assert distance_to_edge.min() > 1e-6  # a last bit is about 1e-7 in these units
    assert np.abs(sine_table(period) - exact / 1e9).max() < 1e-9


@pytest.mark.parametrize(("pods", "days"), [(0, 1), (1, 0)])
def test_nothing_to_generate_is_an_error(pods: int, days: int) -> None:
    with pytest.raises(DataError, match="at least one pod and one day"):
        generate(pods, days, END, seed=1)

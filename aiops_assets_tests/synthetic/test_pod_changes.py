"""Harmless changes that are written into generated pods: each one by what it does to a flat series."""

import numpy as np
import pandas as pd
import pytest

from aiops_assets.synthetic.lives import Grid, Minutes
from aiops_assets.synthetic.pod_changes import Reboot, Scaled, Start
from aiops_assets.synthetic.pods import generate
from aiops_assets.synthetic.profiles import JVM, WEB, Family
from aiops_assets.timeseries.catalog import (
    NETWORK_RECEIVE,
    NODE_CPU,
    NODE_MEMORY,
    POD_CPU,
    POD_MEMORY,
    SYNTHETIC_METRICS,
)
from aiops_assets_tests.conftest import END

N = 2000


@pytest.fixture
def flat() -> Minutes:
    return Minutes(0, {metric.name: np.full(N, 0.5) for metric in SYNTHETIC_METRICS})


@pytest.mark.parametrize("family", [WEB, JVM], ids=lambda family: family.name)
def test_a_start_takes_cpu_for_minutes_and_memory_comes_back(flat: Minutes, family: Family) -> None:
    rng = np.random.default_rng(3)
    Start(family.draw(rng), 100, share=1.0, level=1.1)(rng, flat)
    cpu, memory = flat.values[POD_CPU.name], flat.values[POD_MEMORY.name]
    assert (cpu[:100] == 0.5).all()
    assert cpu[100] > 0.7
    assert (cpu[125:] == 0.5).all()
    assert (memory[:100] == 0.5).all()
    assert memory[100] < 0.65 * 0.55 + 1e-9
    assert (np.diff(memory[100:]) >= 0).all()
    assert memory[-1] == pytest.approx(0.55, rel=0.03)


def test_added_pods_take_a_part_of_the_load(flat: Minutes) -> None:
    Scaled(100, 300, reaction=10, surge=1.8, replicas=2.0)(np.random.default_rng(1), flat)
    for metric in (POD_CPU, NETWORK_RECEIVE):
        load = flat.values[metric.name] / 0.5
        assert load[:100].tolist() == [1.0] * 100
        assert load[109] == pytest.approx(1 + 0.8 * 9 / 12)
        assert load[200] == pytest.approx(0.9)
        assert load[305] == pytest.approx(0.5)
        assert (load[310:] == 1.0).all()


def test_a_node_that_was_rebooted_fills_again(flat: Minutes) -> None:
    Reboot(100, hours=2.0)(np.random.default_rng(1), flat)
    for metric in (NODE_CPU, NODE_MEMORY):
        assert flat.values[metric.name][100] == pytest.approx(0.25)
        assert flat.values[metric.name][-1] == pytest.approx(0.5, rel=1e-3)


def test_generated_weeks_hold_harmless_changes() -> None:
    series, week = generate(30, 14, END, seed=5), Grid.of(14, END).week
    cpu = series.values[POD_CPU.name][:, 0]
    weekend = np.median(cpu[:, week >= 5 * 1440], axis=1) / np.median(cpu[:, week < 5 * 1440], axis=1)
    assert (weekend < 0.85).sum() >= 5
    # Work at a fixed hour of each day: the same minutes are far above the day's level, day after day.
    daily = pd.DataFrame(cpu.T).rolling(15).median().to_numpy().T.reshape(30, 14, 1440)
    level = np.median(cpu, axis=1)[:, None]
    assert (np.quantile(daily, 0.2, axis=1) > 1.6 * level).any(axis=1).sum() >= 2
    # One minute alone, far above both neighbours.
    alone = np.minimum(cpu[:, 1:-1] - cpu[:, :-2], cpu[:, 1:-1] - cpu[:, 2:]) > 0.6 * level
    assert alone.sum() > 20
